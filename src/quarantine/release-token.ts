/**
 * The value of `X-Lazaret-Release`: by it a released message that the filter hands back is recognised (DESIGN §7.6).
 * It names the entry, the recipient and the hash of the body, and is signed with the installation's key, so that nobody
 * outside can make one: a forged or changed value verifies as undefined, exactly as no value at all.
 *
 * Form: `v1; id=17; rcpt=BASE64URL; body=HEX; sig=BASE64URL`. One line, only printable ASCII, blanks after semicolons
 * where it may be folded; folding or a lost blank on the way does no harm. The recipient is encoded and not written out,
 * because a quoted or UTF-8 local part is no safe header text. Whoever reads the header is the recipient.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface ReleaseToken {
  readonly entryId: number;
  /** Envelope recipient exactly as delivered to. */
  readonly recipient: string;
  /** SHA-256 of the octets below the header, hex. */
  readonly bodySha256: string;
}

/** Longer values are not looked at: an address has at most 320 octets, the rest is of fixed length. */
const longestValue = 2000;
const form = /^(v1;id=([1-9][0-9]{0,15});rcpt=([\w-]*);body=([0-9a-f]{64}));sig=([\w-]{43})$/;

/** Another use of the same key can never be taken for a release. */
const purpose = 'lazaret release\n';

export function signRelease(key: Uint8Array, token: ReleaseToken): string {
  const recipient = Buffer.from(token.recipient, 'utf8').toString('base64url');
  const claims = `v1;id=${token.entryId};rcpt=${recipient};body=${token.bodySha256.toLowerCase()}`;
  return `${claims};sig=${signature(key, claims).toString('base64url')}`.replaceAll(';', '; ');
}

/** What a value vouches for, or undefined if it was not signed with this key. Never throws, whatever stands in it. */
export function verifyRelease(key: Uint8Array, value: string): ReleaseToken | undefined {
  if (value.length > longestValue) return undefined;
  const match = form.exec(value.replace(/[ \t\r\n]+/g, ''));
  if (!match) return undefined;
  const [, claims = '', id = '', recipient = '', bodySha256 = '', sig = ''] = match;
  const expected = signature(key, claims);
  const given = Buffer.from(sig, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return { entryId: Number(id), recipient: Buffer.from(recipient, 'base64url').toString('utf8'), bodySha256 };
}

function signature(key: Uint8Array, claims: string): Buffer {
  return createHmac('sha256', key).update(purpose).update(claims).digest();
}
