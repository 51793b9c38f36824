/**
 * Reads an mbox file (RFC 4155; quoting as in mboxrd), message after message, holding no more than a line and a chunk. A
 * message begins at a `From ` line that ends in a date and stands at the beginning or behind an empty line: prose that begins
 * with "From " does not. `>From ` loses one `>`, the empty line in front of the next `From ` belongs to nobody.
 */
const LF = 10;
const longestLook = 64 * 1024;

export interface MboxMessage {
  /** From its `From ` line; '' where that names nobody. */
  readonly sender: string;
  readonly date?: Date;
  /** Line ends as in the file. To be read before the next message is asked for; what is left is skipped. */
  readonly source: AsyncIterable<Uint8Array>;
}

interface Line {
  /** With its line end; of a very long line, a piece. */
  readonly bytes: Buffer;
  /** False for the later pieces of a very long line. */
  readonly begins: boolean;
}

const month = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
/** `Tue Nov 24 18:00:00 2026` (asctime), as some write it with a zone or in the order of RFC 5322. */
const fromLine = new RegExp(
  `^From (?:(\\S+)\\s.*?)?((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\\s+(?:${month}\\s+\\d{1,2}|\\d{1,2}\\s+${month})\\s.*?\\d{1,2}:\\d{2}.*)`,
);

/** Could this be the first line of an mbox file? */
export const isMbox = (start: Uint8Array): boolean => fromLine.test(firstLine(start));

const firstLine = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, 300)).toString('latin1').split('\n', 1)[0]!;

export async function* readMbox(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<MboxMessage> {
  const lines = new Lines(chunks);
  let separator = await lines.next();
  while (separator) {
    const { sender, date } = parseFrom(separator.bytes);
    let next: Line | undefined;
    const source = message(lines, (line) => {
      next = line;
    });
    yield { sender, ...(date ? { date } : {}), source };
    for await (const _ of source); // whatever the reader left
    separator = next;
  }
}

const gathered = 64 * 1024;

async function* message(lines: Lines, ended: (separator: Line | undefined) => void): AsyncGenerator<Uint8Array> {
  let parts: Buffer[] = [];
  let size = 0;
  /** An empty line, held back: it may be the one in front of the next message. */
  let empty: Buffer | undefined;
  for (let line = lines.now() ?? (await lines.next()); line; line = lines.now() ?? (await lines.next())) {
    if (line.begins && (empty || size === 0) && isFrom(line.bytes)) {
      if (parts.length > 0) yield Buffer.concat(parts);
      return ended(line);
    }
    if (empty) parts.push(empty);
    size += 1;
    empty = line.begins && isEmpty(line.bytes) ? line.bytes : undefined;
    if (!empty) parts.push(line.begins && isQuotedFrom(line.bytes) ? line.bytes.subarray(1) : line.bytes);
    if (parts.length > 0 && lines.taken > gathered) {
      yield Buffer.concat(parts);
      parts = [];
      lines.taken = 0;
    }
  }
  if (parts.length > 0) yield Buffer.concat(parts);
  ended(undefined);
}

const isEmpty = (line: Buffer) => line[0] === LF || (line.length === 2 && line[0] === 13);
const isFrom = (line: Buffer) => line[0] === 0x46 && fromLine.test(firstLine(line));
const isQuotedFrom = (line: Buffer) => line[0] === 0x3e && /^>+From /.test(line.toString('latin1', 0, 200));

function parseFrom(line: Buffer): { sender: string; date?: Date } {
  const text = firstLine(line).trim();
  const [, named = '', when = ''] = fromLine.exec(text) ?? [];
  const sender = named.includes('@') ? named.replace(/^<(.*)>$/, '$1') : '';
  // asctime has no zone; mbox files are written in UTC (RFC 4155 appendix A).
  const zoned = /[+-]\d{4}|\b[A-Z]{3,4}\b(?=\s+\d{4}$)/.test(when);
  const date = new Date(zoned ? when : `${when} UTC`);
  return Number.isNaN(date.getTime()) ? { sender } : { sender, date };
}

/** The lines of a stream. `now` answers without waiting while there are some. */
class Lines {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  #at = 0;
  #begins = true;
  #ended = false;
  /** Octets given out; whoever counts them sets it back. */
  taken = 0;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  now(): Line | undefined {
    const end = this.#rest.indexOf(LF, this.#at);
    if (end >= 0) return this.#take(end + 1, true);
    if (this.#rest.length - this.#at > longestLook) return this.#take(this.#rest.length, false);
    return undefined;
  }

  async next(): Promise<Line | undefined> {
    for (;;) {
      const line = this.now();
      if (line) return line;
      if (this.#ended) return this.#at < this.#rest.length ? this.#take(this.#rest.length, true) : undefined;
      const { value, done } = await this.#chunks.next();
      if (done) this.#ended = true;
      else {
        this.#rest = Buffer.concat([this.#rest.subarray(this.#at), value]);
        this.#at = 0;
      }
    }
  }

  #take(end: number, whole: boolean): Line {
    const line = { bytes: this.#rest.subarray(this.#at, end), begins: this.#begins };
    this.taken += end - this.#at;
    this.#at = end;
    this.#begins = whole;
    return line;
  }
}
