/**
 * What is said about a message beside its octets, when it is handed over by HTTP: in header fields, in fields of a form, or
 * in JSON. All of it becomes one list of facts by name, whose values are not believed to be of any kind; the readers below
 * say what is wrong with one. Names are looked up in a Map and never become keys of an object, whoever made them up.
 */
import { clean } from '#imap/mime/words';
import { parsePathCommand } from '#smtp/address';

/** Values as they came: a text, several of them where a field stood several times, or anything that JSON can say. */
export type Facts = ReadonlyMap<string, unknown>;

/** What is said makes no sense; a sentence for whoever sent it. */
export class BadFacts extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BadFacts';
  }
}

/** Header fields or fields of a form: one value as itself, several as a list. */
export function factsOfFields(fields: ReadonlyMap<string, readonly string[]>): Facts {
  return new Map([...fields].map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

/** `{"client": {"addr": …}}` says `client-addr`, `queueId` is `queue-id`. @throws BadFacts */
export function factsOfJson(value: unknown, what: string): Facts {
  const facts = new Map<string, unknown>();
  for (const [name, inner] of entriesOf(value, what)) {
    if (name !== 'client') facts.set(name === 'queueId' ? 'queue-id' : name, inner);
    else for (const [key, fact] of entriesOf(inner, 'client')) facts.set(`client-${key}`, fact);
  }
  return facts;
}

export function entriesOf(value: unknown, what: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadFacts(`${what}: expected an object, found ${kindOf(value)}`);
  return Object.entries(value);
}

/** @throws BadFacts  the same thing is said in two places */
export function together(...all: readonly Facts[]): Facts {
  const facts = new Map<string, unknown>();
  for (const some of all)
    for (const [name, value] of some) {
      if (facts.has(name)) throw new BadFacts(`${clean(name, 60)} is said twice`);
      facts.set(name, value);
    }
  return facts;
}

/** For sentences: what stands where something else was expected, without saying it. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** No filter gives so many points. */
export const maxPoints = 1e9;

/** Absent or empty: undefined. */
export function textOf(facts: Facts, name: string, max: number): string | undefined {
  const value = facts.get(name);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new BadFacts(`${name}: expected one text, found ${kindOf(value)}`);
  const text = clean(value, max);
  return text === '' ? undefined : text;
}

export function numberOf(facts: Facts, name: string): number | undefined {
  const value = facts.get(name);
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'number' && Math.abs(value) < maxPoints) return value;
  if (typeof value === 'string' && /^\s*[-+]?\d{1,9}(?:\.\d{1,9})?\s*$/.test(value)) return Number(value);
  throw new BadFacts(`${name}: expected a number like 7.5, found ${kindOf(value)}`);
}

/** A choice, in any case. */
export function oneOf<const T extends readonly string[]>(
  facts: Facts,
  name: string,
  choices: T,
): T[number] | undefined {
  const text = textOf(facts, name, 60)?.toLowerCase();
  if (text === undefined) return undefined;
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new BadFacts(`${name}: expected one of ${choices.join(', ')}`);
  return found;
}

/** One value or a list of them, as a list. */
export function listOf(value: unknown): readonly unknown[] {
  return value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
}

/**
 * `a@b` or `<a@b>`, or several with commas between, as fields become that were sent more than once: no address has a comma
 * but within quotes (RFC 5321 §4.1.2). Undefined where one of them is none: control characters, blanks, an open quote.
 */
export function addressesIn(text: string): readonly string[] | undefined {
  const found: string[] = [];
  for (const piece of pieces(text)) {
    const written = piece.trim();
    if (written === '' || written === '<>') continue;
    const bracketed = written.startsWith('<');
    const path = parsePathCommand('RCPT TO', `RCPT TO:${bracketed ? written : `<${written}>`}`);
    const isOne = path && Object.keys(path.params).length === 0 && (bracketed || path.address === written);
    if (!isOne || path.address === '') return undefined;
    found.push(path.address);
  }
  return found;
}

/** Cut at the commas outside of quotes. */
function pieces(text: string): string[] {
  const found: string[] = [];
  let from = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    if (quoted && text[at] === '\\') at++;
    else if (text[at] === '"') quoted = !quoted;
    else if (text[at] === ',' && !quoted) {
      found.push(text.slice(from, at));
      from = at + 1;
    }
  }
  found.push(text.slice(from));
  return found;
}
