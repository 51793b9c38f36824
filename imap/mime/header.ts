/**
 * Message headers as raw octets: where each field starts and ends, and its value as text. Works on what really arrives:
 * bare LF, lines without a colon, NUL, 8-bit. Linear, never throws, changes nothing.
 *
 * Inside imap/mime header text is a *Latin-1 string*: one character for one octet, so that offsets in the string are
 * offsets in the octets and nothing is lost on the way back (`octets`).
 */
import { isAscii, isUtf8 } from 'node:buffer';

export interface Field {
  /** As written. */
  readonly name: string;
  readonly start: number;
  /** Past the colon. */
  readonly valueStart: number;
  /** Past the field's last line break. */
  readonly end: number;
}

const LF = 10;
const CR = 13;
const COLON = 58;

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One character for one octet. */
export function latin1(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return view(bytes).toString('latin1', start, end);
}

/** The octets of a Latin-1 string. */
export function octets(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/**
 * The fields of a header given as a Latin-1 string, up to its empty line or its end. Lines that belong to no field (no
 * colon, blanks in the name, a continuation of nothing) are passed over, with the lines that continue them.
 */
export function* fieldsOf(text: string): Generator<Field, void> {
  const length = text.length;
  let start = 0;
  while (start < length) {
    const first = text.charCodeAt(start);
    if (first === LF || (first === CR && text.charCodeAt(start + 1) === LF)) return;
    let end = start;
    for (;;) {
      const lf = text.indexOf('\n', end);
      if (lf < 0) {
        end = length;
        break;
      }
      end = lf + 1;
      const next = text.charCodeAt(end);
      if (next !== 32 && next !== 9) break; // RFC 5322 §2.2.3: a line that starts with a blank continues the field
    }
    let i = start;
    let c = first;
    while (c > 32 && c < 127 && c !== COLON && i < end) c = text.charCodeAt(++i);
    const nameEnd = i;
    while ((c === 32 || c === 9) && i < end) c = text.charCodeAt(++i); // RFC 5322 §4.5.8: blanks before the colon
    if (c === COLON && nameEnd > start && i < end)
      yield { name: text.slice(start, nameEnd), start, valueStart: i + 1, end };
    start = end;
  }
}

/** The fields of a header given as octets. */
export function fields(header: Uint8Array): Iterable<Field> {
  return fieldsOf(latin1(header));
}

/** A field's value on one line, octet by octet: line breaks out (RFC 5322 §2.2.3), blanks at both ends off. */
export function unfoldLatin1(value: string): string {
  const line = value.includes('\n') || value.includes('\r') ? value.replace(/\r?\n/g, '').replaceAll('\r', ' ') : value;
  return trimBlanks(line);
}

function isBlank(c: number): boolean {
  return c === 32 || c === 9 || c === LF || c === CR;
}

function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** Octets as text: UTF-8 where it is valid (RFC 6532), else Latin-1. */
export function textOf(bytes: Uint8Array): string {
  const all = view(bytes);
  return isAscii(all) || !isUtf8(all) ? all.toString('latin1') : all.toString('utf8');
}

/** The same for a Latin-1 string. */
export function textOfLatin1(text: string): string {
  return /[\x80-\xff]/.test(text) ? textOf(Buffer.from(text, 'latin1')) : text;
}

/** A field's value as text on one line. Encoded words are left as they are: words.ts decodes them. */
export function unfold(value: Uint8Array): string {
  return textOfLatin1(unfoldLatin1(latin1(value)));
}

/** Where a whole header ends, its empty line included: past the first empty line, CRLF or bare LF; else the end. */
export function headerEnd(bytes: Uint8Array): number {
  let start = 0;
  for (;;) {
    const lf = bytes.indexOf(LF, start);
    if (lf < 0) return bytes.length;
    if (lf === start || (lf === start + 1 && bytes[start] === CR)) return lf + 1;
    start = lf + 1;
  }
}
