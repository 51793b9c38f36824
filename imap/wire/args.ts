/**
 * Reading a command's arguments: a cursor over one whole command, its literals included. Every method throws `Bad` with
 * what was expected. Implemented by reader.ts; commands, fetch/ and search/ only know this interface.
 */
import type { SequenceSet } from './sequence-set.ts';

export interface Args {
  /** True when nothing is left. */
  atEnd(): boolean;
  /** The next octet without taking it, -1 at the end. A literal shows as 0x7b. */
  peek(): number;
  /** Takes this one octet (given as a one-character string) if it is next. */
  tryChar(char: string): boolean;
  /** Takes exactly this character. */
  char(char: string): void;
  /** One blank. */
  sp(): this;
  /** Nothing may be left. */
  end(): void;
  /** RFC 3501 `atom`, as written. */
  atom(): string;
  /** An atom in upper case, e.g. a FETCH item's or SEARCH key's name: letters, digits, `.`, `-`, `_`; stops before `[`, `(`. */
  keyword(): string;
  /** Octets of an astring (atom, quoted or literal); `]` allowed in the atom. */
  astringBytes(): Uint8Array;
  /** The same as text: UTF-8 where valid, else Latin-1. */
  astring(): string;
  /** quoted or literal. */
  string(): string;
  /** string or NIL. */
  nstring(): string | null;
  number(): number;
  nzNumber(): number;
  /** 63-bit numbers of RFC 7162, up to 2^53-1. */
  modSeq(): number;
  sequenceSet(): SequenceSet;
  /** Mailbox name, decoded from modified UTF-7 (raw UTF-8 and a bare & are understood, too); INBOX in upper case. */
  mailbox(): string;
  /** list-mailbox pattern: like mailbox, but * and % allowed. */
  listMailbox(): string;
  /** `\Seen`, `$Label1` … as written, system flags in canonical case. */
  flag(): string;
  /** Parenthesised, or for STORE bare (`bare`). */
  flagList(bare?: boolean): string[];
  /** RFC 3501 `date-time` in quotes. */
  dateTime(): Date;
  /** RFC 3501 `date`, quotes optional: days since 1970 (no time zone). */
  date(): number;
  /** Calls `item` for each element of `( … )`, blank-separated; `min` elements at least. */
  list(item: () => void, min?: number): void;
}
