/**
 * HEADER.FIELDS: the named fields out of a header's octets, in the header's order, as runs of octets. It runs for every
 * message of a folder when a client opens it, so it makes no strings: names are compared octet by octet.
 */
import { coversAll } from '../mime/common-fields.ts';

const LF = 10;
const CR = 13;
const COLON = 58;
const EMPTY_LINE = Buffer.from('\r\n');
const BREAK_AND_EMPTY_LINE = Buffer.from('\r\n\r\n');

export class FieldChoice {
  /** As the client wrote them. */
  readonly names: readonly string[];
  /** All but these. */
  readonly negated: boolean;
  /** The common fields kept at intake suffice. */
  readonly covered: boolean;
  /** Names in lower case, by their length. */
  private readonly byLength: Uint8Array[][] = [];
  /** Start and end of each run, in turn. Reused from message to message. */
  private readonly runs: number[] = [];

  constructor(names: readonly string[], negated: boolean) {
    this.names = names;
    this.negated = negated;
    this.covered = !negated && coversAll(names);
    for (const name of new Set(names.map((name) => name.toLowerCase()))) {
      const octets = Buffer.from(name);
      this.byLength[octets.length] ??= [];
      this.byLength[octets.length]!.push(octets);
    }
  }

  /** The chosen fields of a header and the empty line (RFC 3501 §6.4.5), as pieces of it. */
  choose(header: Uint8Array): { readonly pieces: readonly Uint8Array[]; readonly length: number } {
    const { runs } = this;
    runs.length = 0;
    this.scan(header);
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let i = 0; i < runs.length; i += 2) {
      const start = runs[i]!;
      const end = runs[i + 1]!;
      pieces.push(header.subarray(start, end));
      length += end - start;
    }
    // The last field of a header that ends with the message may lack its line break.
    const last = runs.length > 0 ? header[runs[runs.length - 1]! - 1] : LF;
    const tail = last === LF ? EMPTY_LINE : BREAK_AND_EMPTY_LINE;
    pieces.push(tail);
    return { pieces, length: length + tail.length };
  }

  private scan(header: Uint8Array): void {
    const { runs, negated } = this;
    const { length } = header;
    let start = 0;
    while (start < length) {
      const first = header[start]!;
      if (first === LF || (first === CR && header[start + 1] === LF)) return;
      let at = start;
      let c = first;
      while (c > 32 && c < 127 && c !== COLON && at < length) c = header[++at] ?? 0;
      const nameEnd = at;
      while (c === 32 || c === 9) c = header[++at] ?? 0;
      const isField = c === COLON && nameEnd > start;
      for (;;) {
        while (at < length && header[at] !== LF) at++;
        if (at >= length) break;
        c = header[++at] ?? 0;
        if (c !== 32 && c !== 9) break;
      }
      if (isField && this.has(header, start, nameEnd) !== negated) {
        if (runs.length > 0 && runs[runs.length - 1] === start) runs[runs.length - 1] = at;
        else runs.push(start, at);
      }
      start = at;
    }
  }

  private has(header: Uint8Array, start: number, end: number): boolean {
    const candidates = this.byLength[end - start];
    if (!candidates) return false;
    next: for (const name of candidates) {
      for (let i = 0; i < name.length; i++) {
        let c = header[start + i]!;
        if (c >= 65 && c <= 90) c += 32;
        if (c !== name[i]) continue next;
      }
      return true;
    }
    return false;
  }
}
