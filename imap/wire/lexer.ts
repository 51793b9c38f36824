/**
 * Cuts what a client sends into commands. RFC 3501 §4.3 and RFC 7888: a line that ends with `{n}` or `{n+}` is followed by n octets
 * that belong to the command, and another line. Pure: bytes go in by push(), items come out by next(), and at each literal the
 * caller decides what becomes of it.
 *
 * What must stay true: the items are the same however the input was cut; each octet is looked at once; what is kept is bounded by
 * the limits, whatever comes; an empty lexer holds no buffer. Bytes handed out are never written to again.
 */

export interface LexerLimits {
  /** Octets of a command's lines that are not sequence numbers. */
  lineOctets: number;
  /** Octets of a command's lines in all. */
  setOctets: number;
  /** Octets thrown away of one refused command. */
  skipOctets: number;
}

export type Item =
  /** A whole command, literals inline, without its last CRLF. After stream(): what came behind the literal. */
  | { readonly kind: 'command'; readonly bytes: Buffer }
  /** The command so far, `{n}` CRLF included. Decide: accept(), stream(), skip() or (only if `waits`) refuse(). `waits`: the client waits for `+`. */
  | { readonly kind: 'literal'; readonly bytes: Buffer; readonly size: number; readonly waits: boolean }
  /** A command of which the rest was thrown away: because of skip(), or because of what `reason` says. `head` begins with its tag. */
  | { readonly kind: 'spoiled'; readonly head: Buffer; readonly reason: string }
  /** More than can be thrown away: the connection must end. */
  | { readonly kind: 'flood' };

const empty = Buffer.alloc(0);
const [LF, CR] = [10, 13];
/** Long enough for `{4294967295+}` and CRLF. */
const tailOctets = 24;
const headOctets = 256;

export class Lexer {
  limits: LexerLimits;
  /** Unread input: `#buffer` from `#start` to `#end`. Beyond `#end` it is ours to write if `#owned`. */
  #buffer: Buffer = empty;
  #start = 0;
  #end = 0;
  #owned = false;
  /** Where the search for the end of the current line goes on. */
  #scan = 0;
  /** Octets of the command's lines before the current one, and those of all its lines that count towards lineOctets. */
  #lines = 0;
  #counted = 0;
  #cost = 0;
  /** Where the current line began. */
  #line = 0;
  #mode: 'line' | 'decide' | 'literal' | 'stream' | 'skip-literal' | 'skip-line' = 'line';
  /** Octets of the literal that are still to come. */
  #left = 0;
  #skipped = 0;
  #head = empty;
  #tail = empty;
  #reason = '';

  constructor(limits: LexerLimits) {
    this.limits = limits;
  }

  /** Octets kept. */
  get pending(): number {
    return this.#end - this.#start;
  }

  push(chunk: Uint8Array): void {
    const pending = this.pending;
    if (pending === 0) {
      this.#buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      this.#start = this.#scan = this.#line = this.#counted = 0;
      this.#end = chunk.byteLength;
      this.#owned = false;
      return;
    }
    const end = this.#end + chunk.length;
    if (!this.#owned || end > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(512, 2 * (pending + chunk.length)));
      this.#buffer.copy(grown, 0, this.#start, this.#end);
      this.#scan -= this.#start;
      this.#line -= this.#start;
      this.#counted -= this.#start;
      this.#start = 0;
      this.#end = pending;
      this.#buffer = grown;
      this.#owned = true;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Throws away all input. */
  clear(): void {
    this.#consume(this.#end);
    this.#begin();
  }

  /** The next item, or undefined until more is pushed. */
  next(): Item | undefined {
    for (;;) {
      switch (this.#mode) {
        case 'decide':
        case 'stream':
          return undefined;
        case 'line': {
          const item = this.#nextLine();
          if (item !== 'again') return item;
          break;
        }
        case 'literal': {
          if (this.#end - this.#line < this.#left) return undefined;
          this.#line += this.#left;
          this.#scan = this.#counted = this.#line;
          this.#mode = 'line';
          break;
        }
        case 'skip-literal': {
          const here = Math.min(this.#left, this.pending);
          this.#consume(this.#start + here);
          this.#left -= here;
          if (this.#skipped > this.limits.skipOctets) return { kind: 'flood' };
          if (this.#left > 0) return undefined;
          this.#tail = empty;
          this.#mode = 'skip-line';
          break;
        }
        case 'skip-line': {
          const item = this.#skipLine();
          if (item !== 'again') return item;
          break;
        }
      }
    }
  }

  /** Gathers the literal with its command. */
  accept(): void {
    this.#left = this.#literalSize();
    this.#mode = 'literal';
  }

  /** The command so far is done with; the literal's octets come by take(). */
  stream(): void {
    this.#left = this.#literalSize();
    this.#consume(this.#line);
    this.#lines = this.#cost = 0;
    this.#mode = 'stream';
  }

  /** While streaming: the next octets of the literal; undefined until more is pushed, 'end' after the last one. */
  take(): Buffer | 'end' | undefined {
    if (this.#left === 0) {
      this.#mode = 'line';
      return 'end';
    }
    const here = Math.min(this.#left, this.pending);
    if (here === 0) return undefined;
    const chunk = this.#buffer.subarray(this.#start, this.#start + here);
    this.#left -= here;
    this.#consume(this.#start + here);
    return chunk;
  }

  /** Throws away the rest of the command, which decides nothing any more; next() answers 'spoiled' at its end. */
  skip(reason: string): void {
    if (this.#mode === 'decide') {
      this.#left = this.#literalSize();
      this.#keepHead(this.#line);
      this.#consume(this.#line);
    }
    this.#reason = reason;
    this.#skipped = this.#left;
    this.#mode = 'skip-literal';
  }

  /** The command ends here: its literal was not invited. */
  refuse(): void {
    this.#consume(this.#line);
    this.#begin();
  }

  /**
   * For what is not a command (an answer to `+`, DONE): the next line without its CRLF, of up to `max` octets; undefined until more
   * is pushed. Only between commands.
   */
  line(max: number): Buffer | 'too long' | undefined {
    const at = this.#buffer.subarray(0, this.#end).indexOf(LF, this.#scan);
    if (at < 0) {
      this.#scan = this.#end;
      return this.pending > max ? 'too long' : undefined;
    }
    const line = this.#buffer.subarray(this.#start, at);
    this.#consume(at + 1);
    this.#begin();
    if (line.length > max) return 'too long';
    return line.at(-1) === CR ? line.subarray(0, -1) : line;
  }

  #nextLine(): Item | 'again' | undefined {
    const found = this.#buffer.subarray(0, this.#end).indexOf(LF, this.#scan);
    const upTo = found < 0 ? this.#end : found + 1;
    this.#scan = upTo;
    const octets = this.#lines + upTo - this.#line;
    if (octets > this.limits.lineOctets && this.#tooLong(upTo, octets)) {
      this.#keepHead(upTo);
      this.#reason = 'The command line is too long';
      this.#skipped = 0;
      // The part already read may end in the middle of `{n+}`: skipLine() sees it once more.
      this.#tail = empty;
      this.#consume(this.#line);
      this.#mode = 'skip-line';
      return 'again';
    }
    if (found < 0) return undefined;
    if (found === this.#line || this.#buffer[found - 1] !== CR) {
      this.#keepHead(upTo);
      this.#consume(upTo);
      const head = this.#head;
      this.#begin();
      return { kind: 'spoiled', head, reason: 'A line ends with CR and LF' };
    }
    const literal = literalAt(this.#buffer, this.#line, found - 1);
    if (literal) {
      this.#lines += upTo - this.#line;
      this.#cost = 0;
      this.#line = this.#scan = this.#counted = upTo;
      if (literal.size > 0xffff_ffff) {
        if (!literal.waits) return { kind: 'flood' };
        this.#keepHead(upTo);
        const head = this.#head;
        this.refuse();
        return { kind: 'spoiled', head, reason: 'No literal can be that large' };
      }
      this.#mode = 'decide';
      return { kind: 'literal', bytes: this.#buffer.subarray(this.#start, upTo), ...literal };
    }
    const bytes = this.#buffer.subarray(this.#start, found - 1);
    this.#consume(upTo);
    this.#begin();
    return { kind: 'command', bytes };
  }

  /** Past lineOctets: sequence numbers do not count, up to setOctets. */
  #tooLong(upTo: number, octets: number): boolean {
    if (octets > this.limits.setOctets) return true;
    // The command's earlier lines (before its literals) count in full; they are rarely more than a few octets.
    let cost = this.#cost;
    for (let at = Math.max(this.#counted, this.#line); at < upTo; at++) {
      const octet = this.#buffer[at]!;
      if (!((octet >= 0x30 && octet <= 0x3a) || octet === 0x2c || octet === 0x2a)) cost++;
    }
    this.#cost = cost;
    this.#counted = upTo;
    return this.#lines + cost > this.limits.lineOctets;
  }

  #skipLine(): Item | 'again' | undefined {
    const at = this.#buffer.subarray(0, this.#end).indexOf(LF, this.#start);
    const upTo = at < 0 ? this.#end : at + 1;
    this.#skipped += upTo - this.#start;
    const from = Math.max(this.#start, upTo - tailOctets);
    // A copy: the tail outlives the buffer it came in.
    this.#tail = Buffer.concat([this.#tail, this.#buffer.subarray(from, upTo)]).subarray(-tailOctets);
    this.#consume(upTo);
    if (this.#skipped > this.limits.skipOctets) return { kind: 'flood' };
    if (at < 0) return undefined;
    const literal = literalAt(this.#tail, 0, this.#tail.length - 2);
    this.#tail = empty;
    if (literal && !literal.waits) {
      this.#skipped += literal.size;
      if (this.#skipped > this.limits.skipOctets) return { kind: 'flood' };
      this.#left = literal.size;
      this.#mode = 'skip-literal';
      return 'again';
    }
    const item: Item = { kind: 'spoiled', head: this.#head, reason: this.#reason };
    this.#begin();
    return item;
  }

  #literalSize(): number {
    return literalAt(this.#buffer, this.#start, this.#line - 2)?.size ?? 0;
  }

  #keepHead(upTo: number): void {
    this.#head = Buffer.from(this.#buffer.subarray(this.#start, Math.min(upTo, this.#start + headOctets)));
  }

  #begin(): void {
    this.#mode = 'line';
    this.#line = this.#scan = this.#counted = this.#start;
    this.#lines = this.#cost = this.#left = 0;
    this.#head = this.#tail = empty;
  }

  #consume(upTo: number): void {
    this.#start = this.#line = this.#scan = this.#counted = upTo;
    if (this.#start < this.#end) return;
    this.#buffer = empty;
    this.#owned = false;
    this.#start = this.#end = this.#line = this.#scan = this.#counted = 0;
  }
}

/** `{n}` or `{n+}` that ends just before `end`. */
function literalAt(buffer: Buffer, start: number, end: number): { size: number; waits: boolean } | undefined {
  let at = end - 1;
  if (at < start || buffer[at] !== 0x7d) return undefined;
  at--;
  const waits = buffer[at] !== 0x2b;
  if (!waits) at--;
  const last = at;
  while (at >= start && buffer[at]! >= 0x30 && buffer[at]! <= 0x39) at--;
  if (at === last || at < start || buffer[at] !== 0x7b) return undefined;
  return { size: Number(buffer.toString('latin1', at + 1, last + 1)), waits };
}
