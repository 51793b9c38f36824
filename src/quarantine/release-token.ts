/**
 * The value of `X-Lazaret-Release`. By it a released message that the filter hands back is recognised (DESIGN §7.6), and a
 * filter that has the key can let a release through, once (docs/release.md, deploy/filters). It names the entry, the
 * recipient and the hash of the body, and is signed with the installation's key, so that nobody outside can make one: a
 * forged or changed value verifies as undefined, exactly as no value at all.
 *
 * Form: `v1; id=17; drop=BASE64URL; try=1; until=SECONDS; rcpt=BASE64URL; body=HEX; sig=BASE64URL`. One line, only printable
 * ASCII, blanks after semicolons where it may be folded; folding or a lost blank on the way does no harm. The recipient is
 * encoded and not written out, because a quoted or UTF-8 local part is no safe header text. Whoever reads the header is
 * the recipient.
 *
 * `drop` is the same in all tries of a release and in no other release. `try` makes each try's signature its own: a filter
 * that has let one through refuses it when it comes again, and must not refuse our next try. `until` bounds how long a
 * filter has to remember; a hand-back is recognised at any time.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export interface ReleaseToken {
  readonly entryId: number;
  /** See `markOf`. */
  readonly drop: string;
  readonly attempt: number;
  /** Whole seconds since 1970: later no filter is to believe it. */
  readonly until: number;
  /** Envelope recipient exactly as delivered to. */
  readonly recipient: string;
  /** SHA-256 of the octets below the header, hex. */
  readonly bodySha256: string;
}

/** Longer values are not looked at: an address has at most 320 octets, the rest is of fixed length. */
const longestValue = 2000;
const form =
  /^(v1;id=([1-9][0-9]{0,15});drop=([\w-]{16});try=([0-9]{1,9});until=([0-9]{1,12});rcpt=([\w-]*);body=([0-9a-f]{64}));sig=([\w-]{43})$/;

/** Another use of the same key can never be taken for a release. */
const purpose = 'lazaret release\n';

/** What `drop` is made of: the message id fixed when the drop was made. */
export const markOf = (resentMessageId: string): string =>
  createHash('sha256').update(resentMessageId).digest('base64url').slice(0, 16);

export function signRelease(key: Uint8Array, token: ReleaseToken): string {
  const { entryId, drop, attempt, until, bodySha256 } = token;
  const recipient = Buffer.from(token.recipient, 'utf8').toString('base64url');
  const claims = `v1;id=${entryId};drop=${drop};try=${attempt};until=${until};rcpt=${recipient};body=${bodySha256.toLowerCase()}`;
  return `${claims};sig=${signature(key, claims).toString('base64url')}`.replaceAll(';', '; ');
}

/** What a value vouches for, or undefined if it was not signed with this key. Never throws, whatever stands in it. */
export function verifyRelease(key: Uint8Array, value: string): ReleaseToken | undefined {
  if (value.length > longestValue) return undefined;
  const match = form.exec(value.replace(/[ \t\r\n]+/g, ''));
  if (!match) return undefined;
  const [, claims = '', id, drop = '', attempt, until, recipient = '', bodySha256 = '', sig = ''] = match;
  const expected = signature(key, claims);
  const given = Buffer.from(sig, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return {
    entryId: Number(id),
    drop,
    attempt: Number(attempt),
    until: Number(until),
    recipient: Buffer.from(recipient, 'base64url').toString('utf8'),
    bodySha256,
  };
}

function signature(key: Uint8Array, claims: string): Buffer {
  return createHmac('sha256', key).update(purpose).update(claims).digest();
}
