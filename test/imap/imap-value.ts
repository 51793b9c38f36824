/** A strict reader of what a server may write: parenthesised lists, NIL, numbers, quoted strings, literals. Throws on anything else. */
export type ImapValue = null | number | string | readonly ImapValue[];

/** Strings as Latin-1: one character for one octet. */
export function imapValue(bytes: Uint8Array): ImapValue {
  const reader = new ValueReader(Buffer.from(bytes).toString('latin1'));
  const value = reader.value();
  if (reader.at !== reader.text.length) throw new Error(`Left over at ${reader.at}: ${reader.rest()}`);
  return value;
}

class ValueReader {
  readonly text: string;
  at = 0;
  constructor(text: string) {
    this.text = text;
  }
  rest(): string {
    return JSON.stringify(this.text.slice(this.at, this.at + 60));
  }
  value(): ImapValue {
    const { text } = this;
    const c = text[this.at];
    if (c === '(') return this.list();
    if (c === '"') return this.quoted();
    if (c === '{') {
      const match = /^\{(\d+)\}\r\n/.exec(text.slice(this.at, this.at + 20));
      if (!match) throw new Error(`No literal: ${this.rest()}`);
      const start = this.at + match[0].length;
      const literal = text.slice(start, start + Number(match[1]));
      if (literal.length !== Number(match[1]) || literal.includes('\0')) throw new Error('A bad literal');
      this.at = start + literal.length;
      return literal;
    }
    if (text.startsWith('NIL', this.at)) {
      this.at += 3;
      return null;
    }
    const digits = /^\d{1,10}/.exec(text.slice(this.at, this.at + 11));
    if (!digits) throw new Error(`No value: ${this.rest()}`);
    this.at += digits[0].length;
    return Number(digits[0]);
  }
  list(): ImapValue[] {
    const values: ImapValue[] = [];
    this.at++;
    while (this.text[this.at] !== ')') {
      values.push(this.value());
      // Lists may follow each other without a blank (addresses, bodies); everything else has exactly one.
      if (this.text[this.at] === ' ') {
        this.at++;
        if (this.text[this.at] === ')' || this.text[this.at] === ' ')
          throw new Error(`A blank too much: ${this.rest()}`);
      } else if (this.text[this.at] !== ')' && this.text[this.at] !== '(') throw new Error(`No blank: ${this.rest()}`);
    }
    this.at++;
    return values;
  }
  quoted(): string {
    let out = '';
    for (this.at++; ; this.at++) {
      const c = this.text[this.at];
      if (c === undefined) throw new Error('An unclosed string');
      if (c === '"') break;
      if (c === '\r' || c === '\n' || c === '\0' || c > '\x7f') throw new Error(`In a quoted string: ${this.rest()}`);
      if (c === '\\') {
        const next = this.text[++this.at];
        if (next !== '"' && next !== '\\') throw new Error(`A bad escape: ${this.rest()}`);
        out += next;
      } else out += c;
    }
    this.at++;
    return out;
  }
}

type List = readonly ImapValue[];

function isList(value: ImapValue | undefined): value is List {
  return Array.isArray(value);
}

function must(holds: boolean, what: string, value: unknown): void {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(value)?.slice(0, 200)}`);
}

const isString = (value: ImapValue | undefined) => typeof value === 'string';
const isNString = (value: ImapValue | undefined) => value === null || typeof value === 'string';
const isNumber = (value: ImapValue | undefined) => typeof value === 'number';

/** RFC 3501 §9 `envelope`. */
export function checkEnvelope(value: ImapValue | undefined): void {
  must(isList(value) && value.length === 10, 'no envelope', value);
  const fields = value as List;
  for (const i of [0, 1, 8, 9]) must(isNString(fields[i]), 'no nstring', fields[i]);
  for (let i = 2; i < 8; i++) {
    const addresses = fields[i]!;
    if (addresses === null) continue;
    must(isList(addresses) && addresses.length > 0, 'no address list', addresses);
    let inGroup = false;
    for (const address of addresses as List) {
      must(isList(address) && address.length === 4 && address.every(isNString), 'no address', address);
      const [, , mailbox, host] = address as List;
      if (host !== null) must(mailbox !== null, 'no mailbox', address);
      else {
        must(inGroup === (mailbox === null), 'groups that do not match', addresses);
        inGroup = !inGroup;
      }
    }
    must(!inGroup, 'an open group', addresses);
  }
}

function checkParams(value: ImapValue | undefined): void {
  if (value === null) return;
  must(isList(value) && value.length > 0 && value.length % 2 === 0 && value.every(isString), 'no parameters', value);
}

function checkExtension(values: List, from: number, extended: boolean, md5: boolean): void {
  if (!extended) {
    must(values.length === from, 'extension data', values.slice(from));
    return;
  }
  let at = from;
  if (md5) must(isNString(values[at++]), 'no md5', values);
  const disposition = values[at++]!;
  if (disposition !== null) {
    must(isList(disposition) && disposition.length === 2 && isString(disposition[0]), 'no disposition', disposition);
    checkParams((disposition as List)[1]);
  }
  const language = values[at++]!;
  must(
    isNString(language) || (isList(language) && language.length > 0 && language.every(isString)),
    'no language',
    language,
  );
  must(isNString(values[at++]), 'no location', values);
  must(values.length === at, 'too much', values);
}

/** RFC 3501 §9 `body`. Answers how many parts there are. */
export function checkBody(value: ImapValue | undefined, extended: boolean): number {
  must(isList(value), 'no body', value);
  const values = value as List;
  if (isList(values[0])) {
    let parts = 0;
    let count = 1;
    for (; isList(values[parts]); parts++) count += checkBody(values[parts], extended);
    must(isString(values[parts]), 'no subtype', values);
    if (extended) checkParams(values[parts + 1]);
    checkExtension(values, extended ? parts + 2 : parts + 1, extended, false);
    return count;
  }
  const [type, subtype, params, id, description, encoding, octets] = values;
  must(isString(type) && isString(subtype) && isString(encoding) && isNumber(octets), 'no basic body', values);
  checkParams(params);
  must(isNString(id) && isNString(description), 'no id, description', values);
  if (type === 'message' && subtype === 'rfc822') {
    checkEnvelope(values[7]);
    const inner = checkBody(values[8], extended);
    must(isNumber(values[9]), 'no lines', values);
    checkExtension(values, 10, extended, true);
    return 1 + inner;
  }
  if (type === 'text') must(isNumber(values[7]), 'no lines', values);
  checkExtension(values, type === 'text' ? 8 : 7, extended, true);
  return 1;
}
