/** Header fields as they are read for their meaning. */

import type { FilterName } from '#app/lib/filter-names';
import { type Field, textOfLatin1, unfoldLatin1 } from '#imap/mime/header';

export interface BlockField {
  /** Lower case. */
  readonly name: string;
  /** As text, unfolded. */
  readonly value: string;
  /** As it stands there, folds and all; one character for one octet. */
  readonly raw: string;
}

/** What one filter wrote. */
export interface Block {
  readonly filter: FilterName;
  readonly fields: readonly BlockField[];
  /** Octets that are no part of the message that is kept. Empty where the fields stay where they are. */
  readonly start: number;
  readonly end: number;
  /** Only of SpamAssassin where it put the message into a report: the text of that. */
  readonly report?: string;
  /** Only of IceWarp: the name of the field with its reasons. */
  readonly reasonsIn?: string;
}

export interface Found {
  readonly name: string;
  readonly field: Field;
}

/** Longer than any filter writes for its own sake; lists of recipients may be. */
export const maxMark = 64 * 1024;

/** `max`: octets of a value; the rest of it is not read. */
export function valuesOf(text: string, found: readonly Found[], max = Number.POSITIVE_INFINITY): BlockField[] {
  return found.map(({ name, field }) => {
    const raw = text.slice(field.valueStart, Math.min(field.end, field.valueStart + max));
    return { name, raw, value: textOfLatin1(unfoldLatin1(raw)) };
  });
}

export function fieldText(block: Block, name: string): string | undefined {
  return block.fields.find((field) => field.name === name)?.value;
}

/** Lines of a folded field, as text, blanks at both ends off; a filter that wraps tables means its line breaks. */
export function linesOf(field: BlockField | undefined, max: number): string[] {
  return (field?.raw ?? '').split('\n', max).map((line) => textOfLatin1(line.slice(0, 2000)).trim());
}
