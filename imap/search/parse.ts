/**
 * SEARCH and UID SEARCH. RFC 3501 §6.4.4 and §9 (`search-key`), RFC 4731 (RETURN), RFC 7162 §3.1.5 (MODSEQ). Keys nest at
 * most MAX_DEPTH deep, so that nothing that walks them can run out of stack.
 */
import { Bad, No } from '../errors.ts';
import type { Args } from '../wire/args.ts';
import type { SequenceSet } from '../wire/sequence-set.ts';

export type Compare = 'before' | 'on' | 'since';

export type Key =
  | { readonly kind: 'all' }
  | { readonly kind: 'numbers'; readonly set: SequenceSet }
  | { readonly kind: 'uids'; readonly set: SequenceSet }
  | { readonly kind: 'flag'; readonly flag: string }
  /** Days since 1970. */
  | { readonly kind: 'arrived'; readonly compare: Compare; readonly day: number }
  | { readonly kind: 'sent'; readonly compare: Compare; readonly day: number }
  | { readonly kind: 'larger' | 'smaller'; readonly octets: number }
  | { readonly kind: 'modseq'; readonly atLeast: number }
  /** `name` in lower case. An empty text: there is such a field. */
  | { readonly kind: 'header'; readonly name: string; readonly text: string }
  | { readonly kind: 'text' | 'body'; readonly text: string }
  | { readonly kind: 'not'; readonly key: Key }
  | { readonly kind: 'and' | 'or'; readonly keys: readonly Key[] };

export type ReturnOption = 'MIN' | 'MAX' | 'ALL' | 'COUNT';

export interface SearchPlan {
  readonly key: Key;
  /** Answered with ESEARCH; absent: with SEARCH. */
  readonly returns?: ReadonlySet<ReturnOption>;
  /** RFC 7162 §3.1.5: the answer carries a mod-sequence, and the client uses them from now on. */
  readonly enablesCondstore: boolean;
}

const MAX_DEPTH = 100;

const NONE: Key = { kind: 'not', key: { kind: 'all' } };
const flag = (name: string): Key => ({ kind: 'flag', flag: name });
const not = (key: Key): Key => ({ kind: 'not', key });

/** Keys without arguments. \Recent is never set here (RFC 9051 dropped it): nothing is RECENT or NEW. */
const WORDS: ReadonlyMap<string, Key> = new Map<string, Key>([
  ['ALL', { kind: 'all' }],
  ['ANSWERED', flag('\\Answered')],
  ['DELETED', flag('\\Deleted')],
  ['DRAFT', flag('\\Draft')],
  ['FLAGGED', flag('\\Flagged')],
  ['SEEN', flag('\\Seen')],
  ['UNANSWERED', not(flag('\\Answered'))],
  ['UNDELETED', not(flag('\\Deleted'))],
  ['UNDRAFT', not(flag('\\Draft'))],
  ['UNFLAGGED', not(flag('\\Flagged'))],
  ['UNSEEN', not(flag('\\Seen'))],
  ['NEW', NONE],
  ['RECENT', NONE],
  ['OLD', { kind: 'all' }],
]);

type Parse = (args: Args, depth: number) => Key;

const header =
  (name: string): Parse =>
  (args) => ({ kind: 'header', name, text: args.sp().astring() });
const date =
  (kind: 'arrived' | 'sent', compare: Compare): Parse =>
  (args) => ({ kind, compare, day: args.sp().date() });

/** Keys with arguments; each is called past its name. */
const KEYS: ReadonlyMap<string, Parse> = new Map<string, Parse>([
  ['BCC', header('bcc')],
  ['CC', header('cc')],
  ['FROM', header('from')],
  ['SUBJECT', header('subject')],
  ['TO', header('to')],
  ['HEADER', (args) => ({ kind: 'header', name: args.sp().astring().toLowerCase(), text: args.sp().astring() })],
  ['BODY', (args) => ({ kind: 'body', text: args.sp().astring() })],
  ['TEXT', (args) => ({ kind: 'text', text: args.sp().astring() })],
  ['BEFORE', date('arrived', 'before')],
  ['ON', date('arrived', 'on')],
  ['SINCE', date('arrived', 'since')],
  ['SENTBEFORE', date('sent', 'before')],
  ['SENTON', date('sent', 'on')],
  ['SENTSINCE', date('sent', 'since')],
  ['LARGER', (args) => ({ kind: 'larger', octets: args.sp().number() })],
  ['SMALLER', (args) => ({ kind: 'smaller', octets: args.sp().number() })],
  ['KEYWORD', (args) => flag(args.sp().flag())],
  ['UNKEYWORD', (args) => not(flag(args.sp().flag()))],
  ['UID', (args) => ({ kind: 'uids', set: args.sp().sequenceSet() })],
  ['MODSEQ', parseModSeq],
  ['NOT', (args, depth) => not(parseKey(args.sp(), depth + 1))],
  ['OR', (args, depth) => ({ kind: 'or', keys: [parseKey(args.sp(), depth + 1), parseKey(args.sp(), depth + 1)] })],
]);

/** Everything after SEARCH, from the blank on. @throws Bad, No BADCHARSET */
export function parseSearch(args: Args): SearchPlan {
  args.sp();
  let returns: ReadonlySet<ReturnOption> | undefined;
  let usesModSeq = false;
  const top = (parse: () => Key): Key => {
    const key = parse();
    usesModSeq ||= holdsModSeq(key);
    return key;
  };
  const keys: Key[] = [];
  let first = firstWord(args);
  if (first === 'RETURN') {
    returns = parseReturn(args);
    first = firstWord(args.sp());
  }
  if (first === 'CHARSET') {
    checkCharset(args.sp().astring());
    first = firstWord(args.sp());
  }
  const named = first;
  keys.push(top(() => (named === undefined ? parseKey(args, 0) : parseNamed(args, named, 0))));
  while (!args.atEnd()) keys.push(top(() => parseKey(args.sp(), 0)));
  const key: Key = keys.length === 1 ? keys[0]! : { kind: 'and', keys };
  return returns ? { key, returns, enablesCondstore: usesModSeq } : { key, enablesCondstore: usesModSeq };
}

/** The word that stands here, if it is one. */
function firstWord(args: Args): string | undefined {
  return isWord(args.peek()) ? args.keyword() : undefined;
}

function isWord(octet: number): boolean {
  return (octet >= 65 && octet <= 90) || (octet >= 97 && octet <= 122);
}

function parseKey(args: Args, depth: number): Key {
  if (depth >= MAX_DEPTH) throw new Bad('Search keys nest too deep');
  const next = args.peek();
  if (next === 0x28) {
    const keys: Key[] = [];
    args.list(() => keys.push(parseKey(args, depth + 1)));
    return keys.length === 1 ? keys[0]! : { kind: 'and', keys };
  }
  if (isWord(next)) return parseNamed(args, args.keyword(), depth);
  return { kind: 'numbers', set: args.sequenceSet() };
}

function parseNamed(args: Args, name: string, depth: number): Key {
  const word = WORDS.get(name);
  if (word) return word;
  const parse = KEYS.get(name);
  if (!parse) throw new Bad(`SEARCH has no key ${name}`);
  return parse(args, depth);
}

function parseReturn(args: Args): ReadonlySet<ReturnOption> {
  const options = new Set<ReturnOption>();
  args.sp().list(() => {
    const name = args.keyword();
    if (name !== 'MIN' && name !== 'MAX' && name !== 'ALL' && name !== 'COUNT')
      throw new Bad(`SEARCH cannot return ${name}`);
    options.add(name);
  }, 0);
  if (options.size === 0) options.add('ALL'); // RFC 4731 §3.1
  return options;
}

/** RFC 7162 §3.1.5: `MODSEQ ["/flags/\\Seen" all] n`. We keep one mod-sequence a message, so the entry makes no difference. */
function parseModSeq(args: Args): Key {
  args.sp();
  if (args.peek() === 0x22) {
    args.string();
    const type = args.sp().keyword();
    if (type !== 'PRIV' && type !== 'SHARED' && type !== 'ALL') throw new Bad('Expected priv, shared or all');
    args.sp();
  }
  return { kind: 'modseq', atLeast: args.modSeq() };
}

/** RFC 3501 §6.4.4 partial: CHARSET other than US-ASCII and UTF-8 */
function checkCharset(name: string): void {
  if (!/^(?:utf-?8|us-ascii|ascii)$/i.test(name))
    throw new No('BADCHARSET', 'Search texts can be given in US-ASCII and UTF-8');
}

function holdsModSeq(key: Key): boolean {
  if (key.kind === 'modseq') return true;
  if (key.kind === 'not') return holdsModSeq(key.key);
  return (key.kind === 'and' || key.kind === 'or') && key.keys.some(holdsModSeq);
}
