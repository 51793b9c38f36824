/**
 * Encoded words of header fields (RFC 2047) and encoded parameters (RFC 2231) -> text; and text made safe to show.
 * Tolerant and linear on anything: each octet is looked at a fixed number of times.
 */
import { decodeCharset } from './charset.ts';
import { octets, textOfLatin1 } from './header.ts';

/**
 * charset, language (RFC 2231 §5), encoding, text. The text ends at the first `?`; some senders leave question marks
 * unencoded just before the end, hence `\?*`. No two parts of the pattern can match the same octets, so it stays linear.
 */
const WORD = /=\?([^?*\s]{1,64})(?:\*[^?\s]{0,32})?\?([bBqQ])\?([^?]*\?*)\?=/g;

/** Decodes encoded words wherever they stand, also inside quoted strings. Neighbours are joined (RFC 2047 §6.2). */
export function decodeWords(text: string): string {
  if (!text.includes('=?')) return text;
  let out = '';
  let last = 0;
  let charset = '';
  let pending: Uint8Array[] = [];
  for (const match of text.matchAll(WORD)) {
    const between = text.slice(last, match.index);
    const [whole, name = '', encoding = '', body = ''] = match;
    const joined = pending.length > 0 && between.trim() === '';
    // Characters cut between two words of one charset are common: such words are decoded as one.
    if (!joined || name.toLowerCase() !== charset) {
      out += flush(pending, charset);
      pending = [];
    }
    if (!joined) out += between;
    charset = name.toLowerCase();
    pending.push(encoding === 'b' || encoding === 'B' ? Buffer.from(body, 'base64') : decodeQ(body, charset));
    last = match.index + whole.length;
  }
  return out + flush(pending, charset) + text.slice(last);
}

function flush(pending: readonly Uint8Array[], charset: string): string {
  if (pending.length === 0) return '';
  return decodeCharset(pending.length === 1 ? pending[0]! : Buffer.concat(pending), charset);
}

/** RFC 2047 §4.2. Characters that should have been encoded are taken for what they most likely were. */
function decodeQ(text: string, charset: string): Uint8Array {
  const source = Buffer.from(text, charset === 'utf-8' || /[^\x00-\xff]/.test(text) ? 'utf8' : 'latin1');
  return decodeHex(source, 0x3d, true);
}

/** `=41` or `%41` -> the octet; anything else stays. */
function decodeHex(source: Uint8Array, sign: number, underscoreIsBlank: boolean): Uint8Array {
  const out = Buffer.alloc(source.length);
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    const byte = source[i]!;
    if (byte === sign && i + 2 < source.length) {
      const high = hexValue(source[i + 1]!);
      const low = hexValue(source[i + 2]!);
      if (high >= 0 && low >= 0) {
        out[length++] = high * 16 + low;
        i += 2;
        continue;
      }
    }
    out[length++] = underscoreIsBlank && byte === 0x5f ? 0x20 : byte;
  }
  return out.subarray(0, length);
}

/** 0 to 15, or -1. */
export function hexValue(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  if (c >= 65 && c <= 70) return c - 55;
  if (c >= 97 && c <= 102) return c - 87;
  return -1;
}

/**
 * A parameter's value by its plain name, of parameters as they were written (names in lower case, values as Latin-1
 * strings): `name`, `name*`, or the pieces `name*0`, `name*1*` … put together (RFC 2231 §3, §4).
 */
export function decodeParameter(params: readonly (readonly [string, string])[], name: string): string | undefined {
  const pieces: { text: string; encoded: boolean }[] = [];
  for (const [key, value] of params) {
    if (key === name) return decodeWords(textOfLatin1(value));
    if (!key.startsWith(`${name}*`)) continue;
    const rest = key.slice(name.length + 1);
    if (rest === '') return decodeExtended(value, undefined).text;
    const match = /^(\d{1,4})(\*?)$/.exec(rest);
    if (match && Number(match[1]) <= params.length)
      pieces[Number(match[1])] ??= { text: value, encoded: match[2] === '*' };
  }
  if (!pieces[0]) return undefined;
  let charset: string | undefined;
  let out = '';
  for (const piece of pieces) {
    if (!piece) break; // RFC 2231 §3: pieces after a gap do not belong to it
    if (piece.encoded) {
      const decoded = decodeExtended(piece.text, charset);
      charset = decoded.charset;
      out += decoded.text;
    } else out += textOfLatin1(piece.text);
  }
  return out;
}

/** `utf-8'en'%41…`; the prefix stands in the first piece only. */
function decodeExtended(value: string, charset: string | undefined): { text: string; charset: string } {
  let name = charset;
  let text = value;
  if (name === undefined) {
    const match = /^([^']{0,64})'[^']{0,64}'/.exec(value);
    name = match?.[1] || 'utf-8';
    if (match) text = value.slice(match[0].length);
  }
  return { text: decodeCharset(decodeHex(octets(text), 0x25, false), name), charset: name };
}

/** C0, DEL, C1, the marks that reorder text (CVE-2021-42574), line and paragraph separators, invisible joiners of tags. */
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]+/gu;

/** One line of text that is safe in a list, a log line or a terminal: at most `max` characters, never half of one. */
export function clean(text: string, max: number): string {
  // Bounds the work; only a line of almost nothing but control characters loses by it.
  const head = text.length > max * 8 ? text.slice(0, max * 8) : text;
  const line = head
    .replace(/[\t\r\n]+/g, ' ')
    .replace(UNSAFE, '')
    .replace(/\p{Cs}/gu, '\ufffd')
    .trim();
  if (line.length <= max) return line;
  const cut = line.slice(0, max);
  const last = cut.charCodeAt(max - 1);
  return (last >= 0xd800 && last <= 0xdbff ? cut.slice(0, -1) : cut).trimEnd();
}
