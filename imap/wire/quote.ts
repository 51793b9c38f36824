/** Values → `quoted` or a literal (RFC 3501 §9 `string`), and folder names as they travel. */
import { encode } from './utf7.ts';

/** Printable ASCII is quoted; anything else would have to be a literal and is not for this. */
export function quote(ascii: string): string {
  return `"${ascii.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}

export function mailbox(name: string): string {
  return quote(encode(name));
}
