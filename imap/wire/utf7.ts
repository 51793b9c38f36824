/**
 * Modified UTF-7, RFC 3501 §5.1.3: how mailbox names travel. Both ways, and forgiving on the way in: names that are not valid
 * modified UTF-7 (a bare `&`, raw UTF-8) are taken as they stand, because clients send them (Thunderbird gives a raw `&` back as
 * it came). What must stay true: encode() yields printable ASCII only, and decode(encode(name)) === name.
 */

const encoded = /&([A-Za-z0-9+,]*)-/g;

/** Unicode → wire. */
export function encode(name: string): string {
  return name.replace(/&|[^\x20-\x7e]+/g, (run) => {
    if (run === '&') return '&-';
    const utf16 = Buffer.from(run, 'utf16le').swap16();
    return `&${utf16.toString('base64').replace(/=+$/, '').replaceAll('/', ',')}-`;
  });
}

/** Wire → Unicode. */
export function decode(wire: string): string {
  if (!wire.includes('&')) return wire;
  let valid = !/[^\x20-\x7e]/.test(wire);
  const name = wire.replace(encoded, (_, base64: string) => {
    if (base64 === '') return '&';
    const utf16 = Buffer.from(base64.replaceAll(',', '/'), 'base64');
    if (utf16.length % 2 !== 0 || utf16.length === 0) {
      valid = false;
      return '';
    }
    return utf16.swap16().toString('utf16le');
  });
  // Only what we would have written ourselves is taken as encoded: one folder has one name on the wire, else a raw `a&b-c` would change.
  return valid && encode(name) === wire ? name : wire;
}
