/**
 * Had the user who sent this shown a password? Our own mail servers say so when they hand a message over: by XCLIENT, or in
 * the Received that the first of them wrote (RFC 3848: `with ESMTPSA`). Fields are read from the top, past those in which one
 * of our own machines had it from another; the first that has it from elsewhere decides, since below that one stands whatever
 * a stranger likes.
 */
import { isIP } from 'node:net';
import { fieldsOf, unfoldLatin1 } from '#imap/mime/header';

const maxHops = 20;
const maxLength = 4096;

/** `header`: as Latin-1. `isOurs`: an address of a machine that may hand mail over. */
export function hasLoggedIn(
  header: string,
  forwarded: Readonly<Record<string, string>>,
  isOurs: (address: string) => boolean,
): boolean {
  if (forwarded.login) return true;
  let hops = 0;
  for (const field of fieldsOf(header)) {
    if (field.name.toLowerCase() !== 'received') continue;
    if (++hops > maxHops) return false;
    const value = unfoldLatin1(header.slice(field.valueStart, field.end)).slice(0, maxLength);
    const { from, protocol } = hopIn(value);
    if (/^(?:utf8)?(?:e?smtp|lmtp)s?a$/i.test(protocol)) return true;
    // What a client calls itself may be an address of ours; then its true one stands beside it.
    const addresses = from.replace(/ipv6:/gi, '').match(anyAddress) ?? [];
    if (addresses.length === 0 || !addresses.every((address) => isIP(address) !== 0 && isOurs(address))) return false;
  }
  return false;
}

const anyAddress = /(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}:[0-9a-f.]{0,15}:[0-9a-f:.]{0,45}/gi;

/**
 * Divided at the last `by`: what a client calls itself stands in front of it, and may hold blanks and anything else. Postfix
 * and Exim write the protocol straight behind the name, and behind that nothing of the client's.
 */
function hopIn(value: string): { readonly from: string; readonly protocol: string } {
  const by = value.search(/\sby\s(?:(?!\sby\s).)*$/i);
  if (by < 0) return { from: value, protocol: '' };
  const protocol = /^\sby\s+\S+(?:\s+\([^()]*\)){0,3}\s+with\s+(\S+)/i.exec(value.slice(by))?.[1] ?? '';
  return { from: value.slice(0, by), protocol };
}
