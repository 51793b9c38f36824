/**
 * Who may: whoever shows one of the tokens, as `Authorization: Bearer TOKEN`, or as the password of `Basic` where a program
 * knows only user and password; the user's name is then not looked at. Only hashes of tokens are kept here. A comparison takes
 * as long for a wrong one as for a right one.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export interface Token {
  /** What the log calls whoever has it. */
  readonly name: string;
  /** Hex. */
  readonly sha256: string;
}

/** As an answer to who shows none. */
export const challenge = 'Bearer, Basic realm="lazaret", charset="UTF-8"';

/** Answers the name that belongs to the token in an Authorization field; undefined: it is none of these. */
export function createTokenCheck(tokens: readonly Token[]): (authorization: string | undefined) => string | undefined {
  const known = tokens.map(({ name, sha256 }) => ({ name, hash: Buffer.from(sha256, 'hex') }));
  return (authorization) => {
    const shown = tokenIn(authorization);
    if (shown === undefined) return undefined;
    const hash = createHash('sha256').update(shown).digest();
    let found: string | undefined;
    for (const { name, hash: other } of known) if (timingSafeEqual(hash, other)) found = name;
    return found;
  };
}

/** Its octets. */
function tokenIn(authorization: string | undefined): Buffer | undefined {
  const [, scheme = '', value = ''] = /^([A-Za-z]+) +(\S+) *$/.exec(authorization ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer') return Buffer.from(value, 'latin1');
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(value, 'base64');
  const at = pair.indexOf(':');
  return at < 0 ? undefined : pair.subarray(at + 1);
}
