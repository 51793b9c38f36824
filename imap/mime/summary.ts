/**
 * Everything that FETCH may ask about a message but its body, made in one pass while the message comes in: ENVELOPE, BODY,
 * BODYSTRUCTURE, the common header fields, and where the parts lie. Memory: the header (capped) and a small record a part,
 * whatever the message's size. Any octets give some summary; nothing is thrown.
 */
import { COMMON_FIELDS } from './common-fields.ts';
import { type Field, octets, textOfLatin1, unfoldLatin1 } from './header.ts';
import { DEFAULT_LIMITS, type ParserLimits, PartParser, type TopHeader } from './parser.ts';
import { writePartTable } from './part-table.ts';
import { renderStructure } from './structure.ts';
import { clean, decodeWords } from './words.ts';

export interface Summarized {
  /** Ready to send after `ENVELOPE `, `BODYSTRUCTURE `, `BODY `. */
  readonly envelope: Uint8Array;
  readonly bodyStructure: Uint8Array;
  readonly body: Uint8Array;
  /** Raw header fields of common-fields.ts in their order, each with its line break; no empty line. */
  readonly commonFields: Uint8Array;
  /** part-table.ts */
  readonly parts: Uint8Array;
  /** Octets of the header, its empty line included. */
  readonly headerSize: number;
  readonly size: number;
  /** Decoded, on one line, without control characters; at most MAX_LINE characters. */
  readonly subject: string;
  readonly from: string;
}

const MAX_LINE = 500;
/** A longer value is cut before it is decoded. */
const MAX_VALUE = 16 * 1024;
const NEWLINE = Buffer.from('\r\n');

export class Summarizer {
  private readonly header = new TopFields();
  private readonly parser: PartParser;

  constructor(limits: Partial<ParserLimits> = {}) {
    this.parser = new PartParser({ ...DEFAULT_LIMITS, ...limits }, this.header);
  }

  push(chunk: Uint8Array): void {
    this.parser.push(chunk);
  }

  end(): Summarized {
    const root = this.parser.end();
    return {
      envelope: octets(root.envelope),
      bodyStructure: octets(renderStructure(root, true)),
      body: octets(renderStructure(root, false)),
      commonFields: this.header.common,
      parts: writePartTable(root),
      headerSize: root.bodyStart,
      size: this.parser.size,
      subject: readable(this.header.subject),
      from: readable(this.header.from),
    };
  }
}

function readable(value: string | undefined): string {
  if (value === undefined) return '';
  return clean(decodeWords(textOfLatin1(unfoldLatin1(value.slice(0, MAX_VALUE)))), MAX_LINE);
}

class TopFields implements TopHeader {
  subject: string | undefined;
  from: string | undefined;
  common: Uint8Array = new Uint8Array(0);
  /** Starts and ends in turn; neighbours are joined. */
  private readonly runs: number[] = [];

  field(key: string, field: Field, header: string): void {
    if (key === 'subject') this.subject ??= header.slice(field.valueStart, field.end);
    else if (key === 'from') this.from ??= header.slice(field.valueStart, field.end);
    if (!COMMON_FIELDS.has(key)) return;
    if (this.runs.at(-1) === field.start) this.runs[this.runs.length - 1] = field.end;
    else this.runs.push(field.start, field.end);
  }

  done(header: Uint8Array): void {
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < this.runs.length; i += 2) pieces.push(header.subarray(this.runs[i], this.runs[i + 1]));
    const last = pieces.at(-1);
    // A header that ends with the message, or at the cap, may end within a line.
    if (last && last.at(-1) !== 10) pieces.push(NEWLINE);
    this.common = Uint8Array.from(Buffer.concat(pieces));
  }
}
