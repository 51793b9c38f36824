/**
 * Where every part of a message lies, as a few numbers a part: made once at intake, read when somebody asks for
 * `BODY[1.2.MIME]`. Offsets count from the message's first stored octet (the prefix shown above it is not counted).
 *
 * Little-endian 32-bit words. Version; then one row a part, each part before its children: kind, rows of this part and
 * all below it, header start, body start, body end, lines. A table once written must stay readable: new layouts get a new version.
 */
import type { Part } from './parser.ts';

export interface Range {
  readonly start: number;
  readonly end: number;
}

/** RFC 3501 §6.4.5: what of a part is asked for. '' is the part itself. */
export type SectionKind = '' | 'HEADER' | 'TEXT' | 'MIME';

export interface PartRow {
  readonly kind: Part['kind'];
  /** Of this part and all below it. */
  readonly rows: number;
  readonly headerStart: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  readonly lines: number;
}

const VERSION = 1;
const WORDS = 6;
const KINDS: readonly Part['kind'][] = ['leaf', 'multipart', 'message'];
const MESSAGE = KINDS.indexOf('message');
const MULTIPART = KINDS.indexOf('multipart');

const KIND = 0;
const ROWS = 1;
const HEADER_START = 2;
const BODY_START = 3;
const BODY_END = 4;
const LINES = 5;

export function writePartTable(root: Part): Uint8Array {
  const table = new Uint8Array(4 + 4 * WORDS * countRows(root));
  const view = new DataView(table.buffer);
  view.setUint32(0, VERSION, true);
  let row = 0;
  const write = (part: Part): void => {
    const at = 4 + 4 * WORDS * row;
    const first = row++;
    for (const child of part.children) write(child);
    view.setUint32(at + 4 * KIND, KINDS.indexOf(part.kind), true);
    view.setUint32(at + 4 * ROWS, row - first, true);
    view.setUint32(at + 4 * HEADER_START, part.headerStart, true);
    view.setUint32(at + 4 * BODY_START, part.bodyStart, true);
    view.setUint32(at + 4 * BODY_END, part.bodyEnd, true);
    view.setUint32(at + 4 * LINES, part.lines, true);
  };
  write(root);
  return table;
}

function countRows(part: Part): number {
  let rows = 1;
  for (const child of part.children) rows += countRows(child);
  return rows;
}

export class PartTable {
  private readonly view: DataView;
  readonly rows: number;

  /** @throws RangeError  this is no part table */
  constructor(table: Uint8Array) {
    this.view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    if (table.length < 4 + 4 * WORDS || this.view.getUint32(0, true) !== VERSION)
      throw new RangeError('Not a table of parts');
    this.rows = Math.floor((table.length - 4) / (4 * WORDS));
  }

  row(index: number): PartRow {
    return {
      kind: KINDS[this.word(index, KIND)] ?? 'leaf',
      rows: this.word(index, ROWS),
      headerStart: this.word(index, HEADER_START),
      bodyStart: this.word(index, BODY_START),
      bodyEnd: this.word(index, BODY_END),
      lines: this.word(index, LINES),
    };
  }

  /**
   * Octets of a section: part numbers, then what of it. Undefined: there is no such part. RFC 3501 §6.4.5: the parts of a
   * message/rfc822 are those of the message inside; HEADER and TEXT below a number exist for such parts only; a message
   * that is no multipart has the one part 1, its body.
   */
  find(path: readonly number[], what: SectionKind): Range | undefined {
    let at = 0;
    for (let i = 0; i < path.length; i++) {
      const next = this.child(at, path[i]!, i === 0);
      if (next === undefined) return undefined;
      at = next;
    }
    if (what === 'MIME') return { start: this.word(at, HEADER_START), end: this.word(at, BODY_START) };
    if (path.length > 0) {
      if (what === '') return { start: this.word(at, BODY_START), end: this.word(at, BODY_END) };
      if (this.word(at, KIND) !== MESSAGE) return undefined;
      at++; // the message inside
    }
    const start = this.word(at, what === 'TEXT' ? BODY_START : HEADER_START);
    return { start, end: this.word(at, what === 'HEADER' ? BODY_START : BODY_END) };
  }

  private child(of: number, number: number, isTop: boolean): number | undefined {
    const kind = this.word(of, KIND);
    // Below a message/rfc822 the message inside is meant; the top row stands for the message itself.
    const entity = kind === MESSAGE && !isTop ? of + 1 : of;
    if (!isTop && kind !== MESSAGE && kind !== MULTIPART) return undefined;
    if (this.word(entity, KIND) !== MULTIPART) return number === 1 ? entity : undefined;
    const end = entity + this.word(entity, ROWS);
    let at = entity + 1;
    for (let n = 1; n < number && at < end; n++) at += Math.max(1, this.word(at, ROWS));
    return at < end ? at : undefined;
  }

  private word(row: number, word: number): number {
    return this.view.getUint32(4 + 4 * (row * WORDS + word), true);
  }
}
