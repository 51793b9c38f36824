/**
 * XFORWARD and XCLIENT (Postfix XFORWARD_README, XCLIENT_README): whom the client that hands mail over got it from. The
 * caller makes sure that only a trusted client is believed. Of XCLIENT only the same facts are taken: nobody logs in.
 */
const attributes = new Set([
  'NAME',
  'ADDR',
  'PORT',
  'PROTO',
  'HELO',
  'IDENT',
  'SOURCE',
  'LOGIN',
  'REVERSE_NAME',
  'DESTADDR',
  'DESTPORT',
]);

/**
 * Attributes of one command: lower-case name → value, '' for one that the client does not know. Undefined if any of them
 * makes no sense; then none is believed.
 */
export function parseAttributes(command: string): Readonly<Record<string, string>> | undefined {
  const words = command.trim().split(/ +/).slice(1);
  if (words.length === 0) return undefined;
  const found: Record<string, string> = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = word.slice(0, equals).toUpperCase();
    const value = decodeXtext(word.slice(equals + 1));
    if (equals < 0 || !attributes.has(name) || /[\x00-\x1F\x7F-\x9F]/.test(value)) return undefined;
    found[name.toLowerCase()] = /^\[(UNAVAILABLE|TEMPUNAVAIL)\]$/i.test(value) ? '' : value;
  }
  return found;
}

/** RFC 3461 §4: `+XX` stands for an octet. */
export function decodeXtext(text: string): string {
  if (!text.includes('+')) return text;
  const latin1 = Buffer.from(text, 'utf8')
    .toString('latin1')
    .replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, 'latin1').toString('utf8');
}
