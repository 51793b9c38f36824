/**
 * Sender rewriting in the form of libsrs2 and Mail::SRS, so that postsrsd with the same secret reads bounces back:
 *
 *     ada@a.example                        →  SRS0=HHHH=TT=a.example=ada@ours
 *     SRS0=HHHH=TT=a.example=ada@b.example →  SRS1=HHHH=b.example==HHHH=TT=a.example=ada@ours
 *     SRS1=HHHH=b.example==…@c.example     →  SRS1=HHHH=b.example==…@ours
 *
 * TT: the day since 1970, modulo 1024, in base32. HHHH: HMAC-SHA1 over what follows, in lower case, its first four digits
 * of base64.
 */
import { createHmac } from 'node:crypto';
import { splitAddress } from '#app/policy/addresses';

export interface SrsOptions {
  readonly secret: string;
  /** To which bounces then go: a domain whose mail server reads them back. */
  readonly domain: string;
}

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const dayMs = 86_400_000;

/** `sender` is neither null nor of ours. */
export function rewriteSender(sender: string, { secret, domain: ours }: SrsOptions, now: number): string {
  const { local: written, domain } = splitAddress(sender);
  if (domain === '') return sender;
  const quoted = /^"(.*)"$/s.exec(written);
  const local = quoted?.[1] ?? written;
  const at = (name: string): string => (quoted ? `"${name}"@${ours}` : `${name}@${ours}`);
  const sign = (...parts: readonly string[]): string =>
    createHmac('sha1', secret).update(parts.join('').toLowerCase()).digest('base64').slice(0, 4);
  // RFC-less, but all implementations take =, + and - behind the tag.
  const again = /^SRS1[=+-][^=]+=([^=]+)=([=+-].+)$/i.exec(local);
  if (again) return at(`SRS1=${sign(again[1]!, again[2]!)}=${again[1]}=${again[2]}`);
  const first = /^SRS0([=+-].+)$/i.exec(local);
  if (first) return at(`SRS1=${sign(domain, first[1]!)}=${domain}=${first[1]}`);
  const day = Math.floor(now / dayMs) % 1024;
  const stamp = base32[day >> 5]! + base32[day & 31]!;
  return at(`SRS0=${sign(stamp, domain, local)}=${stamp}=${domain}=${local}`);
}
