/**
 * Octets of a message as strings of a response. A literal's size is written before its octets: exactly as many must
 * follow. If the store fails in between, the answer cannot be mended, and the connection ends (`Bye`).
 */
import type { Fetched } from '../backend.ts';
import { Bye } from '../errors.ts';
import { headerEnd } from '../mime/header.ts';
import { PartTable, type Range } from '../mime/part-table.ts';
import type { Lines } from './lines.ts';
import type { Portion, Section } from './parse.ts';

const NIL = Buffer.from('NIL');
/** Header octets that are looked at for HEADER.FIELDS: as many as at intake (mime/parser.ts). */
const MAX_HEADER = 1024 * 1024;

/** A section of one message: nothing, octets at hand, or octets to be read. */
export type Found =
  | undefined
  | { readonly pieces: readonly Uint8Array[]; readonly length: number }
  | { readonly range: Range };

/** What a section of this message is. Reads only where fields of a header are asked for that are not kept. */
export async function findSection(fetched: Fetched, section: Section): Promise<Found> {
  const { fields } = section;
  if (fields) {
    if (fields.covered && section.path.length === 0 && fetched.commonFields) return fields.choose(fetched.commonFields);
    const range = await rangeOf(fetched, section);
    if (!range) return undefined;
    return fields.choose(await collect(fetched, range.start, Math.min(range.end - range.start, MAX_HEADER)));
  }
  const range = await rangeOf(fetched, section);
  return range && { range };
}

/** Where the section lies in the shown message, which is the prefix and then the stored message (imap/backend.ts). */
async function rangeOf(fetched: Fetched, { path, what }: Section): Promise<Range | undefined> {
  if (path.length === 0) {
    if (what === '') return { start: 0, end: fetched.size };
    const header = await headerSize(fetched);
    return what === 'HEADER' ? { start: 0, end: header } : { start: header, end: fetched.size };
  }
  if (!fetched.parts) return undefined;
  const range = new PartTable(fetched.parts).find(path, what);
  if (!range) return undefined;
  const { prefixSize, size } = fetched;
  return { start: Math.min(prefixSize + range.start, size), end: Math.min(prefixSize + range.end, size) };
}

/** Octets of the shown message's header, its empty line included. */
export async function headerSize(fetched: Fetched): Promise<number> {
  if (fetched.parts) return Math.min(fetched.prefixSize + new PartTable(fetched.parts).row(0).bodyStart, fetched.size);
  return headerEnd(await collect(fetched, 0, Math.min(fetched.size, MAX_HEADER)));
}

/** @throws Error  fewer octets came than there are */
export async function collect(fetched: Fetched, offset: number, length: number): Promise<Uint8Array> {
  if (length <= 0) return new Uint8Array(0);
  const pieces: Uint8Array[] = [];
  let had = 0;
  for await (const piece of fetched.read(offset, length)) {
    pieces.push(piece);
    had += piece.length;
  }
  if (had < length) throw new Error(`Message ${fetched.uid}: ${had} octets where ${length} were expected`);
  return pieces.length === 1 ? pieces[0]!.subarray(0, length) : Buffer.concat(pieces, length);
}

/** The first octets of a range, read before the response begins: what fails here can still be answered with NO. */
export interface Opened {
  readonly start: number;
  readonly length: number;
  readonly first: Uint8Array;
  readonly rest: AsyncIterator<Uint8Array>;
}

export async function openRange(fetched: Fetched, range: Range, partial: Portion | undefined): Promise<Opened> {
  const { start, length } = cut(range.end - range.start, partial);
  const at = range.start + start;
  if (length === 0) return { start: at, length, first: new Uint8Array(0), rest: nothing() };
  const rest = fetched.read(at, length)[Symbol.asyncIterator]();
  const first = await rest.next();
  if (first.done) throw new Error(`Message ${fetched.uid}: no octets at ${at}`);
  return { start: at, length, first: first.value, rest };
}

/** The same when the response has begun. @throws Bye */
export async function openLate(fetched: Fetched, range: Range, partial: Portion | undefined): Promise<Opened> {
  try {
    return await openRange(fetched, range, partial);
  } catch (cause) {
    throw unreadable(cause);
  }
}

function unreadable(cause: unknown): Bye {
  const bye = new Bye('A message could not be read to its end', 'UNAVAILABLE');
  bye.cause = cause;
  return bye;
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Writes `{n}` and exactly n octets. @throws Bye  they could not all be had */
export async function writeRange(lines: Lines, opened: Opened): Promise<void> {
  const { length, rest } = opened;
  lines.text(`{${length}}\r\n`);
  let left = length;
  try {
    for (let piece = opened.first; left > 0; ) {
      const part = piece.length > left ? piece.subarray(0, left) : piece;
      lines.bytes(withoutNul(part));
      left -= part.length;
      if (left === 0) break;
      const full = lines.settle();
      if (full) await full;
      piece = await nextPiece(rest);
    }
  } finally {
    await rest.return?.();
  }
}

async function nextPiece(rest: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  try {
    const next = await rest.next();
    if (next.done) throw new Error('Octets are missing');
    return next.value;
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** Writes a string that is at hand. */
export function writePieces(
  lines: Lines,
  found: { readonly pieces: readonly Uint8Array[]; readonly length: number },
  partial: Portion | undefined,
): void {
  const { start, length } = cut(found.length, partial);
  lines.text(`{${length}}\r\n`);
  let skip = start;
  let left = length;
  for (const piece of found.pieces) {
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const part = skip === 0 && piece.length <= left ? piece : piece.subarray(skip, skip + left);
    skip = 0;
    left -= part.length;
    lines.bytes(withoutNul(part));
  }
}

export function writeNil(lines: Lines): void {
  lines.bytes(NIL);
}

/** RFC 3501 §6.4.5: a partial fetch past the end answers what there is, perhaps nothing. */
function cut(size: number, partial: Portion | undefined): { start: number; length: number } {
  if (!partial) return { start: 0, length: size };
  const start = Math.min(partial.offset, size);
  return { start, length: Math.min(partial.length, size - start) };
}

/** RFC 3501 §4.3: NUL may not stand in a literal. It is shown as 0x80, so that sizes and offsets stay (DESIGN §7.7). */
function withoutNul(bytes: Uint8Array): Uint8Array {
  if (!bytes.includes(0)) return bytes;
  return bytes.map((octet) => (octet === 0 ? 0x80 : octet));
}
