/** Header fields as the text that people search in: unfolded, encoded words decoded. */
import { fieldsOf, latin1, textOfLatin1, unfoldLatin1 } from '../mime/header.ts';
import { decodeWords } from '../mime/words.ts';
import { fold } from './fold.ts';

/** Some fields of one header by lower-case name, each value decoded when it is first asked for. */
export class HeaderText {
  private readonly values = new Map<string, string[]>();
  private readonly decoded = new Map<string, readonly string[]>();

  /** Whole fields, as octets. */
  constructor(pieces: readonly Uint8Array[]) {
    for (const piece of pieces) {
      const text = latin1(piece);
      for (const field of fieldsOf(text)) {
        const key = field.name.toLowerCase();
        const value = text.slice(field.valueStart, field.end);
        const values = this.values.get(key);
        if (values) values.push(value);
        else this.values.set(key, [value]);
      }
    }
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  /** The first one's text, not folded. */
  first(name: string): string | undefined {
    const value = this.values.get(name)?.[0];
    return value === undefined ? undefined : decodeField(value);
  }

  /** Values folded for comparison. */
  folded(name: string): readonly string[] {
    let known = this.decoded.get(name);
    if (!known) {
      known = (this.values.get(name) ?? []).map((value) => fold(decodeField(value)));
      this.decoded.set(name, known);
    }
    return known;
  }
}

/** A raw value (Latin-1 string, still folded into lines) as text. */
export function decodeField(value: string): string {
  return decodeWords(textOfLatin1(unfoldLatin1(value)));
}

/** A whole header as text, a line a field. */
export function headerText(header: Uint8Array): string {
  const text = latin1(header);
  let out = '';
  for (const field of fieldsOf(text)) out += `${field.name}: ${decodeField(text.slice(field.valueStart, field.end))}\n`;
  return out;
}
