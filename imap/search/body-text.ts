/**
 * Looks for texts in whole messages: the decoded text parts, the headers of parts (file names, forwarded messages) and, for
 * TEXT, the message's own header. Streams; parts that are no text are stepped over. Stops as soon as all is found.
 */
import type { Fetched } from '../backend.ts';
import { TextDecoding } from '../mime/decode.ts';
import { latin1 } from '../mime/header.ts';
import { DEFAULT_LIMITS } from '../mime/parser.ts';
import { PartTable } from '../mime/part-table.ts';
import { type Description, readHeader } from '../mime/structure.ts';
import { decodeParameter } from '../mime/words.ts';
import type { Finder } from './fold.ts';
import { headerText } from './header-text.ts';

/** A gap that is read over rather than jumped over with a new read. */
const JUMP = 256 * 1024;

/** `everywhere` are looked for in the message's header too, `below` only behind it. */
export async function searchMessage(
  fetched: Fetched,
  everywhere: readonly Finder[],
  below: readonly Finder[],
): Promise<void> {
  const finders = [...everywhere, ...below];
  const open = () => finders.some((finder) => !finder.found);
  if (!fetched.parts || !open()) return;
  const table = new PartTable(fetched.parts);
  const walk = new Walk(fetched);
  try {
    for (let i = 0; i < table.rows && open(); i++) {
      const row = table.row(i);
      const shift = fetched.prefixSize;
      const headerStart = i === 0 ? 0 : shift + row.headerStart;
      const header = await walk.collect(headerStart, shift + row.bodyStart);
      feedAll(i === 0 ? everywhere : finders, headerText(header));
      if (row.kind !== 'leaf' || row.bodyEnd <= row.bodyStart) continue;
      const { description } = readHeader(latin1(header), false, false);
      if (description.type !== 'text') continue;
      const decoding = new TextDecoding(description.encoding, charsetOf(description));
      await walk.each(shift + row.bodyStart, shift + row.bodyEnd, (octets) => {
        const text = decoding.decode(octets);
        for (const finder of finders) finder.feed(text);
        return open();
      });
      feedAll(finders, decoding.end());
    }
  } finally {
    await walk.close();
  }
}

/** The end of one text: nothing is found half in it and half in the next. */
function feedAll(finders: readonly Finder[], text: string): void {
  for (const finder of finders) {
    finder.feed(text);
    finder.end();
  }
}

/** UTF-8 where nothing is said: what is ASCII is the same, and what is not mostly is UTF-8. */
function charsetOf({ params }: Description): string {
  const named = decodeParameter(params, 'charset') ?? '';
  return named === '' || /^(?:us-)?ascii$/i.test(named) ? 'utf-8' : named;
}

/** Reads ranges of one message in ascending order with as few reads as possible. */
class Walk {
  private readonly fetched: Fetched;
  private source: AsyncIterator<Uint8Array> | undefined;
  private piece: Uint8Array = new Uint8Array(0);
  /** Offset of the piece's first octet. */
  private at = 0;

  constructor(fetched: Fetched) {
    this.fetched = fetched;
  }

  /** Octets of a range, at most as many as a header is looked at. */
  async collect(start: number, end: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    await this.each(start, Math.min(end, start + DEFAULT_LIMITS.headerBytes), (octets) => {
      pieces.push(octets);
      return true;
    });
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  /** Hands the octets of a range over, until `take` wants no more. */
  async each(start: number, end: number, take: (octets: Uint8Array) => boolean): Promise<void> {
    if (end <= start) return;
    if (!this.source || start < this.at || start - (this.at + this.piece.length) > JUMP) await this.open(start);
    for (;;) {
      const from = Math.max(0, start - this.at);
      if (from < this.piece.length) {
        const to = Math.min(this.piece.length, end - this.at);
        if (to > from && !take(this.piece.subarray(from, to))) return;
        if (this.at + this.piece.length >= end) return;
      }
      const next = await this.source!.next();
      if (next.done) throw new Error(`Message ${this.fetched.uid} ended before octet ${end}`);
      this.at += this.piece.length;
      this.piece = next.value;
    }
  }

  async close(): Promise<void> {
    await this.source?.return?.();
    this.source = undefined;
  }

  private async open(start: number): Promise<void> {
    await this.close();
    this.source = this.fetched.read(start, this.fetched.size - start)[Symbol.asyncIterator]();
    this.at = start;
    this.piece = new Uint8Array(0);
  }
}
