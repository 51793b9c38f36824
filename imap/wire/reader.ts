/**
 * Args over the bytes of one command, whole: `tag NAME arguments`, without the last CRLF, each literal standing inline as
 * `{n}` CRLF and its n octets, as it came. One pass, no look-back, nothing copied but what is asked for.
 *
 * What must stay true: any bytes at all lead to a value or to `Bad`, never to another error, in time linear in their number.
 */
import { Bad } from '../errors.ts';
import type { Args } from './args.ts';
import { parseDate, parseDateTime } from './date-time.ts';
import type { SequenceSet } from './sequence-set.ts';
import { decode } from './utf7.ts';

/** Lists within lists; RFC 3501 needs three, SEARCH keys of people perhaps ten. Bounds the recursion of whoever parses them. */
const maxDepth = 64;

const ATOM = 1;
const ASTRING = 2; //  ATOM-CHAR or `]`
const LIST = 4; //     ASTRING-CHAR or a wildcard
const KEYWORD = 8;
const TAG = 16; //     ASTRING-CHAR but `+`
const classes = new Uint8Array(256);
for (let c = 0x21; c < 0x7f; c++) {
  const char = String.fromCharCode(c);
  if (!'(){%*"\\]'.includes(char)) classes[c]! |= ATOM;
  if (!'(){%*"\\'.includes(char)) classes[c]! |= ASTRING;
  if (!'(){"\\'.includes(char)) classes[c]! |= LIST;
  if (!'(){%*"\\+'.includes(char)) classes[c]! |= TAG;
  if (/[A-Za-z0-9._-]/.test(char)) classes[c]! |= KEYWORD;
}

const [QUOTE, BACKSLASH, OPEN, CLOSE, BRACE, STAR] = [0x22, 0x5c, 0x28, 0x29, 0x7b, 0x2a];
const systemFlags = new Map(
  ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', '\\Recent'].map((flag) => [flag.toLowerCase(), flag]),
);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Reader implements Args {
  readonly #bytes: Buffer;
  #at = 0;
  #depth = 0;

  constructor(command: Uint8Array) {
    this.#bytes = Buffer.from(command.buffer, command.byteOffset, command.byteLength);
  }

  /** RFC 3501 `tag`. */
  tag(): string {
    return this.#run(TAG, 'a tag');
  }

  /** What is left is a blank and `{n}` CRLF without its octets. */
  onlyLiteralLeft(): boolean {
    const left = this.#bytes.length - this.#at;
    return left < 20 && /^ \{[0-9]+\+?\}\r\n$/.test(this.#bytes.toString('latin1', this.#at));
  }

  atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  peek(): number {
    return this.#bytes[this.#at] ?? -1;
  }

  tryChar(char: string): boolean {
    if (this.peek() !== char.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  char(char: string): void {
    if (!this.tryChar(char)) throw this.#expected(`"${char}"`);
  }

  sp(): this {
    if (!this.tryChar(' ')) throw this.#expected('a blank');
    return this;
  }

  end(): void {
    if (!this.atEnd()) throw this.#expected('the end of the command');
  }

  atom(): string {
    return this.#run(ATOM, 'an atom');
  }

  keyword(): string {
    return this.#run(KEYWORD, 'a word').toUpperCase();
  }

  astringBytes(): Uint8Array {
    const next = this.peek();
    if (next === QUOTE || next === BRACE) return this.#stringBytes();
    return Buffer.from(this.#run(ASTRING, 'a string or atom'), 'latin1');
  }

  astring(): string {
    const next = this.peek();
    if (next === QUOTE || next === BRACE) return this.string();
    return this.#run(ASTRING, 'a string or atom');
  }

  string(): string {
    return textOf(this.#stringBytes());
  }

  nstring(): string | null {
    const next = this.peek();
    if (next === QUOTE || next === BRACE) return this.string();
    if (this.#run(ATOM, 'a string or NIL').toUpperCase() === 'NIL') return null;
    throw this.#expected('a string or NIL');
  }

  number(): number {
    return this.#digits(0xffff_ffff, 'a number');
  }

  nzNumber(): number {
    if (this.peek() === 0x30) throw this.#expected('a number above 0');
    return this.#digits(0xffff_ffff, 'a number above 0');
  }

  modSeq(): number {
    return this.#digits(Number.MAX_SAFE_INTEGER, 'a mod-sequence');
  }

  sequenceSet(): SequenceSet {
    const ranges: { from: number; to: number }[] = [];
    do {
      const from = this.#sequenceNumber();
      const to = this.tryChar(':') ? this.#sequenceNumber() : from;
      const last = ranges.at(-1);
      // Runs and repetitions fold as they are read: `1,2,3,…` and `1:*,1:*,…` of a megabyte are one range.
      if (last && from === last.to + 1 && last.from <= last.to && to >= from) last.to = to;
      else if (!last || last.from !== from || last.to !== to) ranges.push({ from, to });
    } while (this.tryChar(','));
    return { ranges };
  }

  mailbox(): string {
    return mailboxName(this.astring());
  }

  listMailbox(): string {
    const next = this.peek();
    if (next === QUOTE || next === BRACE) return mailboxName(this.string());
    return mailboxName(this.#run(LIST, 'a mailbox pattern'));
  }

  flag(): string {
    if (!this.tryChar('\\')) return this.atom();
    const flag = `\\${this.atom()}`;
    return systemFlags.get(flag.toLowerCase()) ?? flag;
  }

  flagList(bare = false): string[] {
    const flags: string[] = [];
    if (!bare || this.peek() === OPEN) {
      this.list(() => flags.push(this.flag()), 0);
    } else {
      do flags.push(this.flag());
      while (this.tryChar(' '));
    }
    return flags;
  }

  dateTime(): Date {
    if (this.peek() !== QUOTE) throw this.#expected('a date and time in quotes');
    const date = parseDateTime(this.string());
    if (!date) throw new Bad('This is no date and time', 'CLIENTBUG');
    return date;
  }

  date(): number {
    const days = parseDate(this.peek() === QUOTE ? this.string() : this.atom());
    if (days === undefined) throw new Bad('This is no date', 'CLIENTBUG');
    return days;
  }

  list(item: () => void, min = 1): void {
    this.char('(');
    if (++this.#depth > maxDepth) throw new Bad('Too many lists within lists');
    let count = 0;
    if (this.peek() !== CLOSE) {
      do {
        item();
        count++;
      } while (this.tryChar(' '));
    }
    this.char(')');
    this.#depth--;
    if (count < min) throw new Bad('This list is too short');
  }

  #run(kind: number, what: string): string {
    const start = this.#at;
    let at = start;
    while (at < this.#bytes.length && (classes[this.#bytes[at]!]! & kind) !== 0) at++;
    if (at === start) throw this.#expected(what);
    this.#at = at;
    return this.#bytes.toString('latin1', start, at);
  }

  #digits(max: number, what: string): number {
    let value = 0;
    const start = this.#at;
    for (; ; this.#at++) {
      const digit = this.peek() - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (value > max) throw new Bad(`Too large for ${what}`);
    }
    if (this.#at === start) throw this.#expected(what);
    return value;
  }

  #sequenceNumber(): number {
    if (this.peek() !== STAR) return this.nzNumber();
    this.#at++;
    return Number.POSITIVE_INFINITY;
  }

  #stringBytes(): Uint8Array {
    if (this.peek() === QUOTE) return this.#quoted();
    if (this.peek() !== BRACE) throw this.#expected('a string');
    this.#at++;
    const size = this.#digits(0xffff_ffff, 'the size of a literal');
    this.tryChar('+');
    this.char('}');
    this.char('\r');
    this.char('\n');
    const start = this.#at;
    if (start + size > this.#bytes.length) throw this.#expected('a literal of that size');
    this.#at += size;
    const literal = this.#bytes.subarray(start, this.#at);
    if (literal.includes(0)) throw new Bad('NUL may not stand in a literal'); // RFC 3501 §4.3: CHAR8
    return literal;
  }

  /** RFC 3501 `quoted`; octets above 127 pass, because people's passwords and folder names come that way. */
  #quoted(): Uint8Array {
    const start = ++this.#at;
    let escapes = 0;
    for (let at = start; at < this.#bytes.length; at++) {
      const octet = this.#bytes[at]!;
      if (octet === QUOTE) {
        this.#at = at + 1;
        return escapes === 0
          ? this.#bytes.subarray(start, at)
          : withoutEscapes(this.#bytes.subarray(start, at), escapes);
      }
      if (octet === 0 || octet === 13 || octet === 10) break;
      if (octet !== BACKSLASH) continue;
      const escaped = this.#bytes[++at];
      if (escaped !== QUOTE && escaped !== BACKSLASH) break;
      escapes++;
    }
    throw new Bad('A quoted string does not end, or holds what it may not');
  }

  #expected(what: string): Bad {
    return new Bad(`Expected ${what} at octet ${this.#at + 1}`);
  }
}

function withoutEscapes(quoted: Buffer, escapes: number): Buffer {
  const bytes = Buffer.allocUnsafe(quoted.length - escapes);
  for (let from = 0, to = 0; from < quoted.length; from++, to++) {
    if (quoted[from] === BACKSLASH) from++;
    bytes[to] = quoted[from]!;
  }
  return bytes;
}

/** UTF-8 where it is valid, else Latin-1: old clients send passwords so. */
function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  }
}

function mailboxName(wire: string): string {
  const name = decode(wire);
  // A control character is in nobody's folder name, but in many an attempt to forge lines in a log.
  if (/[\x00-\x1f\x7f-\x9f]/.test(name)) throw new Bad('A control character in a mailbox name');
  return name.toUpperCase() === 'INBOX' ? 'INBOX' : name;
}

/** For tests of parsers: arguments as text, literals inline as `{n}\r\n` and their octets. */
export function argsOf(text: string | Uint8Array): Args {
  return new Reader(typeof text === 'string' ? Buffer.from(text) : text);
}
