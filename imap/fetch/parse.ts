/**
 * What FETCH and UID FETCH ask for. RFC 3501 §6.4.5 and §9 (`fetch`, `fetch-att`, `section`), RFC 7162 §3.1.4 (CHANGEDSINCE).
 * The plan holds everything that is the same for each message, ready as octets.
 */
import { Bad } from '../errors.ts';
import { quote } from '../mime/quote.ts';
import type { Args } from '../wire/args.ts';
import { FieldChoice } from './fields.ts';

/** Which octets of a message. */
export interface Section {
  /** Part numbers; none: the message itself. */
  readonly path: readonly number[];
  readonly what: '' | 'HEADER' | 'TEXT' | 'MIME';
  /** Only these fields of that HEADER. */
  readonly fields?: FieldChoice;
}

/** RFC 3501 `partial`. */
export interface Portion {
  readonly offset: number;
  readonly length: number;
}

/** Items that the view or the summary answers. */
export type SimpleItem =
  | 'FLAGS'
  | 'UID'
  | 'INTERNALDATE'
  | 'RFC822.SIZE'
  | 'MODSEQ'
  | 'ENVELOPE'
  | 'BODY'
  | 'BODYSTRUCTURE';

export interface SectionItem {
  readonly section: Section;
  readonly partial?: Portion;
  /** As it stands in the response, its blank included: `BODY[1.2]<0> `. */
  readonly label: Uint8Array;
  /** Reading it marks the message \Seen. */
  readonly marksSeen: boolean;
}

export type Item = SimpleItem | SectionItem;

export interface FetchPlan {
  /** In the order asked. */
  readonly items: readonly Item[];
  /** Only messages with a higher mod-sequence (RFC 7162 §3.1.4.1). */
  readonly changedSince?: number;
  /** RFC 7162 §3.1: having asked so, the client uses mod-sequences from now on. */
  readonly enablesCondstore: boolean;
}

const MACROS: Readonly<Record<string, readonly SimpleItem[]>> = {
  ALL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE'],
  FAST: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'],
  FULL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODY'],
};

const SIMPLE: ReadonlySet<string> = new Set<SimpleItem>([
  'FLAGS',
  'UID',
  'INTERNALDATE',
  'RFC822.SIZE',
  'MODSEQ',
  'ENVELOPE',
  'BODY',
  'BODYSTRUCTURE',
]);

/** RFC 3501's names for three sections. */
const OLD_SECTIONS: Readonly<Record<string, { what: Section['what']; marksSeen: boolean }>> = {
  RFC822: { what: '', marksSeen: true },
  'RFC822.HEADER': { what: 'HEADER', marksSeen: false },
  'RFC822.TEXT': { what: 'TEXT', marksSeen: true },
};

/** Items of one command: far more than any client asks for, and few enough that an answer stays in proportion. */
const MAX_ITEMS = 200;

/** Everything after the sequence set, from the blank on. @throws Bad */
export function parseFetch(args: Args): FetchPlan {
  args.sp();
  const items: Item[] = [];
  const add = (item: Item) => {
    if (items.length >= MAX_ITEMS) throw new Bad('Too many items');
    if (typeof item !== 'string' || !items.includes(item)) items.push(item);
  };
  if (args.peek() === 0x28) args.list(() => add(parseItem(args, args.keyword())));
  else {
    const name = args.keyword();
    const macro = MACROS[name];
    if (macro) for (const item of macro) add(item);
    else add(parseItem(args, name));
  }
  let changedSince: number | undefined;
  if (!args.atEnd()) {
    args.sp().list(() => {
      const name = args.keyword();
      if (name !== 'CHANGEDSINCE') throw new Bad(`FETCH has no modifier ${name}`);
      changedSince = args.sp().modSeq();
    });
  }
  args.end();
  if (changedSince === undefined) return { items, enablesCondstore: items.includes('MODSEQ') };
  add('MODSEQ'); // RFC 7162 §3.1.4.1: as if it had been asked for
  return { items, changedSince, enablesCondstore: true };
}

function parseItem(args: Args, name: string): Item {
  const bracket = args.peek() === 0x5b;
  if (bracket && (name === 'BODY' || name === 'BODY.PEEK')) return parseSection(args, name === 'BODY');
  const old = OLD_SECTIONS[name];
  if (old)
    return {
      section: { path: [], what: old.what },
      label: Buffer.from(`${name} `),
      marksSeen: old.marksSeen,
    };
  if (bracket || !SIMPLE.has(name)) throw new Bad(`FETCH knows no ${name}`);
  return name as SimpleItem;
}

function parseSection(args: Args, marksSeen: boolean): SectionItem {
  args.char('[');
  const spec = args.peek() === 0x5d ? '' : args.keyword();
  const match = /^((?:[1-9]\d{0,9}(?:\.|$))*)(HEADER|TEXT|MIME|HEADER\.FIELDS|HEADER\.FIELDS\.NOT)?$/.exec(spec);
  const [, numbers = '', what = ''] = match ?? [];
  const path = numbers
    .split('.')
    .filter((number) => number !== '')
    .map(Number);
  // `1.` names nothing, and MIME is a part's header (RFC 3501 §6.4.5).
  if (!match || (what === '' && numbers.endsWith('.')) || (what === 'MIME' && path.length === 0))
    throw new Bad(`There is no section [${spec}]`);
  let section: Section;
  let shown = spec;
  if (what.startsWith('HEADER.')) {
    const names: string[] = [];
    args.sp().list(() => names.push(args.astring()));
    section = { path, what: 'HEADER', fields: new FieldChoice(names, what === 'HEADER.FIELDS.NOT') };
    shown += ` (${names.map(shownName).join(' ')})`;
  } else section = { path, what: what as Section['what'] };
  args.char(']');
  let partial: Portion | undefined;
  if (args.tryChar('<')) {
    const offset = args.number();
    args.char('.');
    partial = { offset, length: args.nzNumber() };
    args.char('>');
  }
  const label = Buffer.from(`BODY[${shown}]${partial ? `<${partial.offset}>` : ''} `, 'latin1');
  return partial ? { section, partial, label, marksSeen } : { section, label, marksSeen };
}

/** As the client wrote it: clients compare the response's text with what they asked for. */
function shownName(name: string): string {
  return /^[\x21\x23\x24\x26\x27\x2b-\x5b\x5d-\x7a\x7c-\x7e]+$/.test(name)
    ? name
    : quote(Buffer.from(name).toString('latin1'));
}
