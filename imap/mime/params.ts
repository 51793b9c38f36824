/**
 * Content-Type and Content-Disposition: a value and its parameters (RFC 2045 §5.1, RFC 2183), as tolerant as mail has
 * made everybody. In and out are Latin-1 strings. Linear; at most MAX_PARAMS parameters are read.
 */
import { unfoldLatin1 } from './header.ts';

export type Params = readonly (readonly [name: string, value: string])[];

/** More is an attack (50,000 RFC 2231 pieces); the rest of the line is ignored. */
const MAX_PARAMS = 1000;

export interface Valued {
  /** As written, without blanks and comments: `text/plain`, `attachment`. */
  readonly value: string;
  /** Names in lower case, values without quotes; RFC 2231 pieces stay as they are. */
  readonly params: Params;
}

class Cursor {
  readonly text: string;
  at = 0;
  constructor(text: string) {
    this.text = text;
  }

  /** Blanks and comments. An unclosed comment is everything to the end. */
  skip(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (c === 32 || c === 9) this.at++;
      else if (c === 40) this.comment();
      else return;
    }
  }

  private comment(): void {
    let depth = 0;
    for (; this.at < this.text.length; this.at++) {
      const c = this.text.charCodeAt(this.at);
      if (c === 92) this.at++;
      else if (c === 40) depth++;
      else if (c === 41 && --depth === 0) {
        this.at++;
        return;
      }
    }
  }

  /** Up to the first octet of `stops`, blanks at the end off. */
  until(stops: RegExp): string {
    stops.lastIndex = this.at;
    const found = stops.exec(this.text);
    const end = found ? found.index : this.text.length;
    const word = this.text.slice(this.at, end);
    this.at = end;
    return word.trimEnd();
  }

  quoted(): string {
    const { text } = this;
    let from = ++this.at;
    let out = '';
    for (; this.at < text.length; this.at++) {
      const c = text.charCodeAt(this.at);
      if (c === 34) break;
      if (c === 92 && this.at + 1 < text.length) {
        out += text.slice(from, this.at);
        from = ++this.at;
      }
    }
    out += text.slice(from, this.at);
    this.at++;
    return out;
  }
}

/** Reads a field's value as it stands in the header. */
export function parseValued(raw: string): Valued {
  const cursor = new Cursor(unfoldLatin1(raw));
  cursor.skip();
  const value = cursor.until(/[;( \t]/g);
  const params: [string, string][] = [];
  while (params.length < MAX_PARAMS) {
    cursor.until(/;/g);
    if (cursor.at >= cursor.text.length) break;
    cursor.at++;
    cursor.skip();
    const name = cursor.until(/[=;( \t]/g).toLowerCase();
    cursor.skip();
    if (cursor.text.charCodeAt(cursor.at) !== 61) continue; // no `=`: not a parameter
    cursor.at++;
    cursor.skip();
    const read =
      cursor.text.charCodeAt(cursor.at) === 34
        ? cursor.quoted()
        : // File names are often written with blanks and parentheses and without quotes.
          cursor.until(name === 'name' || name === 'filename' ? /;/g : /[;( \t]/g);
    if (name !== '') params.push([name, read]);
  }
  return { value, params };
}

/** The first value of that name, as written. */
export function param(params: Params, name: string): string | undefined {
  for (const [key, value] of params) if (key === name) return value;
  return undefined;
}
