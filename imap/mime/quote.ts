/** IMAP strings made of Latin-1 strings: quoted where RFC 3501 allows it, else literal. */

const PLAIN = /^[\t\x20\x21\x23-\x5b\x5d-\x7f]*$/;

/**
 * RFC 3501 §4.3: `string`. 8-bit octets go into a literal, for clients that know IMAP4rev1 only. Line breaks become
 * blanks; NUL, which may stand nowhere, is shown as 0x80 (DESIGN §7.7).
 */
export function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  const line = text.replace(/[\r\n]/g, ' ').replaceAll('\0', '\x80');
  if (/[\x80-\xff]/.test(line)) return `{${line.length}}\r\n${line}`;
  return `"${line.replace(/["\\]/g, '\\$&')}"`;
}

export function quoteOrNil(text: string | undefined): string {
  return text === undefined ? 'NIL' : quote(text);
}
