/**
 * Message octets, in pieces of any size, -> the tree of its parts with offsets and line counts. Streaming: what is kept
 * is the header being read, the start of the line being read, and a small record for each part. Linear, pure, never
 * throws; every sequence of octets is some message.
 *
 * A part's body ends before the line break that precedes its boundary (RFC 2046 §5.1.1). A boundary line is `--`, the
 * boundary, perhaps `--`, blanks, and nothing else: then a boundary that starts with another one is not taken for it.
 */
import { type Field, latin1 } from './header.ts';
import { isMessage, MAX_BOUNDARY, type RenderedDescription, readHeader, renderDescription } from './structure.ts';

export interface Part {
  readonly headerStart: number;
  /** Past the header's empty line. */
  bodyStart: number;
  bodyEnd: number;
  /** Line feeds in the body. */
  lines: number;
  /** `message` has one child: the message inside. */
  kind: 'leaf' | 'multipart' | 'message';
  children: Part[];
  isText: boolean;
  rendered: RenderedDescription;
  /** ENVELOPE, of messages. */
  envelope: string;
}

export interface ParserLimits {
  /** Octets of a message's header that are looked at; the rest counts as header. */
  readonly headerBytes: number;
  /** The same for the header of a part. */
  readonly partHeaderBytes: number;
  /** Headers below the top one together: what comes after is not looked at, and shown as plain text. */
  readonly nestedHeaderBytes: number;
  /** Multiparts and messages inside each other. */
  readonly depth: number;
  /** What follows belongs to the last part. */
  readonly parts: number;
}

export const DEFAULT_LIMITS: ParserLimits = {
  headerBytes: 1024 * 1024, //       INTEGRATIONS §8.2, row 17
  partHeaderBytes: 64 * 1024,
  nestedHeaderBytes: 1024 * 1024,
  depth: 100, //                     CVE-2020-12100; the same as Postfix's mime_nesting_limit
  parts: 10_000,
};

/** Is told of the message's own header, once. */
export interface TopHeader {
  /** `key`: the name in lower case; `header`: the Latin-1 string that the offsets are about. */
  field(key: string, field: Field, header: string): void;
  /** All fields were told. `octets` is read now or copied: the buffer is used again. */
  done(octets: Uint8Array): void;
}

/** An open part. */
interface Frame {
  readonly part: Part;
  /** The header is one of a message, not of a part. */
  readonly isMessage: boolean;
  readonly digest: boolean;
  /** Line feeds before its body. */
  linesBefore: number;
  /** While its boundary is looked for. */
  boundary: string | undefined;
  /** The frame whose same boundary this one hides. */
  hidden: Frame | undefined;
  childrenAreDigest: boolean;
}

const LF = 10;
const CR = 13;
const DASH = 45;
/** Longest line that can be a boundary: two dashes on both sides, some blanks. */
const LINE_HEAD = MAX_BOUNDARY + 64;

const NOTHING_RENDERED: RenderedDescription = { basic: '', extension: '' };

export class PartParser {
  private readonly topHeader: TopHeader | undefined;
  private readonly limits: ParserLimits;
  private readonly stack: Frame[] = [];
  private readonly boundaries = new Map<string, Frame>();
  private readonly root: Part;
  private top: Frame;
  private inHeader = true;
  private partCount = 1;

  private offset = 0;
  private lineFeeds = 0;
  private lineStart = 0;
  private lastByte = -1;
  /** Octets of the line break before this line: 0, 1 or 2. */
  private breakLength = 0;
  /** The start of a line that came in several pieces. */
  private readonly head = new Uint8Array(LINE_HEAD);
  private headLength = 0;

  private header = new Uint8Array(4096);
  private headerLength = 0;
  private headerCap: number;
  private nestedRoom: number;

  constructor(limits: ParserLimits, topHeader?: TopHeader) {
    this.limits = limits;
    this.topHeader = topHeader;
    this.headerCap = limits.headerBytes;
    this.nestedRoom = limits.nestedHeaderBytes;
    this.top = this.open(0, true, false);
    this.root = this.top.part;
  }

  /** Octets pushed so far. */
  get size(): number {
    return this.offset;
  }

  push(chunk: Uint8Array): void {
    const end = chunk.length;
    const base = this.offset;
    let at = 0;
    while (at < end) {
      if (!this.inHeader && this.boundaries.size === 0) {
        this.countLines(chunk, at); // no boundary can come: most messages, most octets
        break;
      }
      let lf = at;
      while (lf < end && chunk[lf] !== LF) lf++;
      if (this.inHeader) this.keepHeader(chunk, at, Math.min(lf + 1, end));
      if (lf === end) {
        this.keepHead(chunk, at, end);
        break;
      }
      this.lineFeeds++;
      const before = lf > at ? chunk[lf - 1] : at > 0 ? -1 : this.lastByte;
      const breakLength = before === CR && base + lf > this.lineStart ? 2 : 1;
      this.offset = base + lf + 1;
      if (this.headLength > 0) {
        this.keepHead(chunk, at, lf);
        this.line(this.head, 0, this.headLength, breakLength);
        this.headLength = 0;
      } else this.line(chunk, at, lf, breakLength);
      this.lineStart = base + lf + 1;
      this.breakLength = breakLength;
      at = lf + 1;
    }
    this.offset = base + end;
    if (end > 0) this.lastByte = chunk[end - 1]!;
  }

  /** Closes what is open and answers the message. Nothing may be pushed afterwards. */
  end(): Part {
    // The last line, without a line feed, may still be a boundary.
    if (this.headLength > 0 && this.boundaries.size > 0) this.boundary(this.head, 0, this.headLength, 0);
    while (this.inHeader) this.finishHeader(this.offset);
    while (this.stack.length > 0) this.close(this.offset, this.lineFeeds);
    return this.root;
  }

  private countLines(chunk: Uint8Array, from: number): void {
    let count = 0;
    for (let i = from; i < chunk.length; i++) if (chunk[i] === LF) count++;
    this.lineFeeds += count;
  }

  private keepHead(chunk: Uint8Array, from: number, to: number): void {
    const length = Math.min(to - from, LINE_HEAD - this.headLength);
    if (length > 0) this.head.set(chunk.subarray(from, from + length), this.headLength);
    this.headLength += Math.max(0, length);
  }

  private keepHeader(chunk: Uint8Array, from: number, to: number): void {
    const length = Math.min(to - from, this.headerCap - this.headerLength);
    if (length <= 0) return;
    const need = this.headerLength + length;
    if (need > this.header.length) {
      const larger = new Uint8Array(Math.min(Math.max(need, this.header.length * 2), this.limits.headerBytes + 4096));
      larger.set(this.header.subarray(0, this.headerLength));
      this.header = larger;
    }
    this.header.set(chunk.subarray(from, from + length), this.headerLength);
    this.headerLength = need;
  }

  /** A whole line, without its line feed. `bytes` may be cut at LINE_HEAD, no line of interest is that long. */
  private line(bytes: Uint8Array, from: number, to: number, breakLength: number): void {
    if (this.boundaries.size > 0 && this.boundary(bytes, from, to, 1)) return;
    if (!this.inHeader) return;
    const length = to - from;
    if (length === 0 || (length === 1 && breakLength === 2)) this.finishHeader(this.offset);
  }

  /** If this line, which ends with `own` line feeds, is a boundary that is looked for, does what it means. */
  private boundary(bytes: Uint8Array, from: number, to: number, own: number): boolean {
    if (to - from < 3 || to - from >= LINE_HEAD || bytes[from] !== DASH || bytes[from + 1] !== DASH) return false;
    let end = to;
    while (end > from + 2 && isPadding(bytes[end - 1]!)) end--;
    const text = latin1(bytes, from + 2, end);
    const next = this.boundaries.get(text);
    const closed = text.endsWith('--') ? this.boundaries.get(text.slice(0, -2)) : undefined;
    const frame = next ?? closed;
    if (!frame) return false;
    if (next && this.partCount >= this.limits.parts) return false;
    // The line break before the boundary is part of the boundary.
    const bodyEnd = this.lineStart - this.breakLength;
    const lineFeeds = this.lineFeeds - own - (this.breakLength > 0 ? 1 : 0);
    while (this.inHeader) this.finishHeader(bodyEnd);
    while (this.top !== frame) this.close(bodyEnd, lineFeeds);
    if (next) {
      this.partCount++;
      this.top = this.open(this.offset, false, frame.childrenAreDigest);
      frame.part.children.push(this.top.part);
    } else this.forget(frame);
    return true;
  }

  private open(at: number, message: boolean, digest: boolean): Frame {
    const part: Part = {
      headerStart: at,
      bodyStart: at,
      bodyEnd: at,
      lines: 0,
      kind: 'leaf',
      children: [],
      isText: false,
      rendered: NOTHING_RENDERED,
      envelope: '',
    };
    const frame: Frame = {
      part,
      isMessage: message,
      digest,
      linesBefore: 0,
      boundary: undefined,
      hidden: undefined,
      childrenAreDigest: false,
    };
    this.stack.push(frame);
    this.inHeader = true;
    return frame;
  }

  /** The header of the innermost open part ends here. */
  private finishHeader(at: number): void {
    const frame = this.top;
    const { part } = frame;
    part.bodyStart = Math.max(at, part.headerStart);
    frame.linesBefore = this.lineFeeds;
    this.inHeader = false;
    // A boundary that ended the header has been kept with it.
    const length = Math.min(this.headerLength, part.bodyStart - part.headerStart);
    const topHeader = part === this.root ? this.topHeader : undefined;
    if (part !== this.root) this.nestedRoom -= length;
    const header = latin1(this.header, 0, length);
    const { description, envelope } = readHeader(header, frame.isMessage, frame.digest, topHeader);
    topHeader?.done(this.header.subarray(0, length));
    const open = this.stack.length <= this.limits.depth;
    part.envelope = envelope;
    part.isText = description.type === 'text';
    part.kind =
      open && description.boundary !== undefined ? 'multipart' : open && isMessage(description) ? 'message' : 'leaf';
    part.rendered = renderDescription(description, part.kind);
    this.headerLength = 0;
    if (part.kind === 'multipart') {
      frame.childrenAreDigest = description.subtype === 'digest';
      this.lookFor(frame, description.boundary!);
    }
    const room = Math.max(0, this.nestedRoom);
    this.headerCap = Math.min(room, this.limits.partHeaderBytes);
    if (part.kind === 'message') {
      this.partCount++;
      this.headerCap = Math.min(room, this.limits.headerBytes);
      this.top = this.open(part.bodyStart, true, false);
      part.children.push(this.top.part);
    }
  }

  private lookFor(frame: Frame, boundary: string): void {
    frame.boundary = boundary;
    frame.hidden = this.boundaries.get(boundary);
    this.boundaries.set(boundary, frame);
  }

  private forget(frame: Frame): void {
    if (frame.boundary === undefined) return;
    if (frame.hidden) this.boundaries.set(frame.boundary, frame.hidden);
    else this.boundaries.delete(frame.boundary);
    frame.boundary = undefined;
  }

  /** Closes the innermost open part. */
  private close(bodyEnd: number, lineFeeds: number): void {
    const frame = this.stack.pop()!;
    const { part } = frame;
    this.forget(frame);
    part.bodyEnd = Math.max(part.bodyStart, bodyEnd);
    part.lines = Math.max(0, lineFeeds - frame.linesBefore);
    // RFC 3501's grammar wants a part in every multipart: an empty one where none was found.
    if (part.kind === 'multipart' && part.children.length === 0) part.children.push(emptyPart(part.bodyEnd));
    const below = this.stack.at(-1);
    if (below) this.top = below;
  }
}

function isPadding(byte: number): boolean {
  return byte === 32 || byte === 9 || byte === CR;
}

function emptyPart(at: number): Part {
  const { description, envelope } = readHeader('', false, false);
  return {
    headerStart: at,
    bodyStart: at,
    bodyEnd: at,
    lines: 0,
    kind: 'leaf',
    children: [],
    isText: true,
    rendered: renderDescription(description, 'leaf'),
    envelope,
  };
}
