/**
 * Which messages match, by cost: what the view's columns tell first, for all; then, for those still undecided, the common
 * header fields in the mailbox's batches; then whole headers; bodies last. A test that cannot tell yet says so, and AND and OR
 * decide as early as logic allows: `UNSEEN BODY x` reads unseen messages only.
 */
import type { Fetched, Mailbox, View } from '../backend.ts';
import { Columns, FlagTest } from '../fetch/columns.ts';
import { FieldChoice } from '../fetch/fields.ts';
import { collect, headerSize } from '../fetch/literal.ts';
import { COMMON_FIELDS } from '../mime/common-fields.ts';
import { resolve, type SequenceSet } from '../wire/sequence-set.ts';
import { searchMessage } from './body-text.ts';
import { sentDay } from './dates.ts';
import { Finder, fold } from './fold.ts';
import { HeaderText } from './header-text.ts';
import type { Compare, Key } from './parse.ts';

const NO = 0;
const YES = 1;
/** Nothing known yet that would tell. */
const UNKNOWN = -1;
type Answer = typeof NO | typeof YES | typeof UNKNOWN;

/** What a test needs. */
const COLUMNS = 0;
const COMMON = 1;
const HEADER = 2;
const BODY = 3;
type Cost = typeof COLUMNS | typeof COMMON | typeof HEADER | typeof BODY;

const DAY_MS = 86_400_000;
const MAX_HEADER = 1024 * 1024;

/** What is known of the message looked at. */
interface Known {
  /** Message number. */
  number: number;
  uid: number;
  /** Index into the view's columns. */
  at: number;
  common: HeaderText | undefined;
  header: HeaderText | undefined;
  /** Of each BODY and TEXT key whether it was found. */
  texts: readonly boolean[] | undefined;
}

interface Test {
  readonly cost: Cost;
  ask(known: Known): Answer;
}

/** Indexes into `uids`, ascending, of the messages that match; `uids[i]` is message number i + 1. */
export async function evaluate(key: Key, mailbox: Mailbox, uids: Uint32Array, count: number): Promise<Uint32Array> {
  const search = new Search(mailbox.view, uids, count);
  const test = search.compile(key);
  const matched = new Uint8Array(count);
  let open = search.byColumns(test, matched);
  if (open.length > 0 && search.needs(COMMON)) open = await search.byCommonFields(test, mailbox, open, matched);
  if (open.length > 0) await search.byReading(test, mailbox, open, matched);
  let total = 0;
  for (let i = 0; i < count; i++) total += matched[i]!;
  const indexes = new Uint32Array(total);
  for (let i = 0, n = 0; i < count; i++) if (matched[i] === 1) indexes[n++] = i;
  return indexes;
}

class Search {
  private readonly view: View;
  private readonly uids: Uint32Array;
  private readonly count: number;
  private readonly columns: Columns;
  private readonly costs = new Set<Cost>();
  /** Names of fields that tests ask for, by what has to be read for them. */
  private readonly commonNames = new Set<string>();
  private readonly headerNames = new Set<string>();
  /** BODY and TEXT keys: `texts` of a message is in this order. */
  private readonly sought: { readonly text: string; readonly everywhere: boolean }[] = [];

  constructor(view: View, uids: Uint32Array, count: number) {
    this.view = view;
    this.uids = uids;
    this.count = count;
    this.columns = new Columns(view);
  }

  needs(cost: Cost): boolean {
    return this.costs.has(cost);
  }

  compile(key: Key): Test {
    const test = this.test(key);
    this.costs.add(test.cost);
    return test;
  }

  private test(key: Key): Test {
    const { view } = this;
    switch (key.kind) {
      case 'all':
        return { cost: COLUMNS, ask: () => YES };
      case 'numbers': {
        const inSet = membership(key.set, this.count);
        return { cost: COLUMNS, ask: (known) => answer(inSet(known.number)) };
      }
      case 'uids': {
        const last = this.count > 0 ? this.uids[this.count - 1]! : 0;
        const inSet = membership(key.set, last);
        return { cost: COLUMNS, ask: (known) => answer(inSet(known.uid)) };
      }
      case 'flag': {
        const flag = new FlagTest(view, key.flag);
        return { cost: COLUMNS, ask: (known) => answer(flag.at(known.at)) };
      }
      case 'arrived':
        return {
          cost: COLUMNS,
          ask: (known) => answer(compares(Math.floor(view.internalDates[known.at]! / DAY_MS), key.compare, key.day)),
        };
      case 'larger':
        return { cost: COLUMNS, ask: (known) => answer(view.sizes[known.at]! > key.octets) };
      case 'smaller':
        return { cost: COLUMNS, ask: (known) => answer(view.sizes[known.at]! < key.octets) };
      case 'modseq':
        return { cost: COLUMNS, ask: (known) => answer(view.modSeqs[known.at]! >= key.atLeast) };
      case 'sent':
        return this.fieldTest('date', (fields) => {
          const value = fields.first('date');
          const day = value === undefined ? undefined : sentDay(value);
          return day !== undefined && compares(day, key.compare, key.day);
        });
      case 'header': {
        const text = fold(key.text);
        if (text === '') return this.fieldTest(key.name, (fields) => fields.has(key.name));
        return this.fieldTest(key.name, (fields) => fields.folded(key.name).some((value) => value.includes(text)));
      }
      case 'text':
      case 'body':
        return this.textTest(key.text, key.kind === 'text');
      case 'not':
        return negation(this.compile(key.key));
      case 'and':
        return conjunction(
          key.keys.map((part) => this.compile(part)),
          NO,
        );
      case 'or':
        return conjunction(
          key.keys.map((part) => this.compile(part)),
          YES,
        );
    }
  }

  private fieldTest(name: string, holds: (fields: HeaderText) => boolean): Test {
    if (COMMON_FIELDS.has(name)) {
      this.commonNames.add(name);
      return { cost: COMMON, ask: ({ common }) => (common ? answer(holds(common)) : UNKNOWN) };
    }
    this.headerNames.add(name);
    return { cost: HEADER, ask: ({ header }) => (header ? answer(holds(header)) : UNKNOWN) };
  }

  private textTest(text: string, everywhere: boolean): Test {
    if (text === '') return { cost: COLUMNS, ask: () => YES };
    const n = this.sought.push({ text, everywhere }) - 1;
    return { cost: BODY, ask: ({ texts }) => (texts ? answer(texts[n] === true) : UNKNOWN) };
  }

  private known(index: number, at: number): Known {
    return {
      number: index + 1,
      uid: this.uids[index]!,
      at,
      common: undefined,
      header: undefined,
      texts: undefined,
    };
  }

  /** Answers the indexes that are still undecided. */
  byColumns(test: Test, matched: Uint8Array): Uint32Array {
    const { uids, count, columns } = this;
    const open = new Uint32Array(count);
    let undecided = 0;
    const known = this.known(0, 0);
    for (let i = 0; i < count; i++) {
      const uid = uids[i]!;
      const at = columns.find(uid);
      if (at < 0) continue; // gone: it matches nothing
      known.number = i + 1;
      known.uid = uid;
      known.at = at;
      const says = test.ask(known);
      if (says === YES) matched[i] = 1;
      else if (says === UNKNOWN) open[undecided++] = i;
    }
    return open.subarray(0, undecided);
  }

  async byCommonFields(test: Test, mailbox: Mailbox, open: Uint32Array, matched: Uint8Array): Promise<Uint32Array> {
    const choice = new FieldChoice([...this.commonNames], false);
    const undecided: number[] = [];
    const ask = (known: Known, index: number, common: HeaderText) => {
      known.common = common;
      const says = test.ask(known);
      if (says === YES) matched[index] = 1;
      else if (says === UNKNOWN) undecided.push(index);
    };
    // Nothing is awaited for a message whose fields are at hand.
    await this.each(mailbox, open, { commonFields: true, parts: false }, (known, index, fetched) => {
      if (!fetched.commonFields) return readHeader(fetched).then((header) => ask(known, index, chosen(choice, header)));
      ask(known, index, chosen(choice, fetched.commonFields));
      return undefined;
    });
    return Uint32Array.from(undecided);
  }

  async byReading(test: Test, mailbox: Mailbox, open: Uint32Array, matched: Uint8Array): Promise<void> {
    const choice = new FieldChoice([...this.commonNames], false);
    const rest = new FieldChoice([...this.headerNames], false);
    const commonFields = this.commonNames.size > 0;
    await this.each(mailbox, open, { commonFields, parts: true }, async (known, index, fetched) => {
      if (commonFields) known.common = chosen(choice, fetched.commonFields ?? (await readHeader(fetched)));
      if (this.headerNames.size > 0) known.header = chosen(rest, await readHeader(fetched));
      if (test.ask(known) === UNKNOWN) known.texts = await this.textsOf(fetched);
      if (test.ask(known) === YES) matched[index] = 1;
    });
  }

  private async textsOf(fetched: Fetched): Promise<readonly boolean[]> {
    const finders = this.sought.map(({ text }) => new Finder(text));
    await searchMessage(
      fetched,
      finders.filter((_, n) => this.sought[n]!.everywhere),
      finders.filter((_, n) => !this.sought[n]!.everywhere),
    );
    return finders.map((finder) => finder.found);
  }

  private async each(
    mailbox: Mailbox,
    open: Uint32Array,
    want: { readonly commonFields: boolean; readonly parts: boolean },
    look: (known: Known, index: number, fetched: Fetched) => Promise<void> | undefined,
  ): Promise<void> {
    const uids = open.map((index) => this.uids[index]!);
    let next = 0;
    for await (const batch of mailbox.fetch(uids, want)) {
      for (const fetched of batch) {
        while (next < uids.length && uids[next]! < fetched.uid) next++;
        const at = this.columns.find(fetched.uid);
        if (uids[next] !== fetched.uid || at < 0) continue;
        const index = open[next]!;
        const reading = look(this.known(index, at), index, fetched);
        if (reading) await reading;
      }
    }
  }
}

async function readHeader(fetched: Fetched): Promise<Uint8Array> {
  return collect(fetched, 0, Math.min(await headerSize(fetched), MAX_HEADER));
}

function chosen(choice: FieldChoice, header: Uint8Array): HeaderText {
  return new HeaderText(choice.choose(header).pieces);
}

function answer(holds: boolean): Answer {
  return holds ? YES : NO;
}

function negation(test: Test): Test {
  return {
    cost: test.cost,
    ask: (known) => {
      const says = test.ask(known);
      return says === UNKNOWN ? UNKNOWN : says === YES ? NO : YES;
    },
  };
}

/** AND with `decides` NO, OR with `decides` YES: one such answer settles it. Cheap tests are asked first. */
function conjunction(tests: readonly Test[], decides: typeof NO | typeof YES): Test {
  const ordered = [...tests].sort((a, b) => a.cost - b.cost);
  return {
    cost: ordered.at(-1)?.cost ?? COLUMNS,
    ask: (known) => {
      let all: Answer = decides === NO ? YES : NO;
      for (const test of ordered) {
        const says = test.ask(known);
        if (says === decides) return decides;
        if (says === UNKNOWN) all = UNKNOWN;
      }
      return all;
    },
  };
}

function compares(value: number, compare: Compare, day: number): boolean {
  if (compare === 'before') return value < day;
  return compare === 'on' ? value === day : value >= day;
}

function membership(set: SequenceSet, largest: number): (number: number) => boolean {
  const ranges = resolve(set, largest);
  return (number) => {
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ranges[middle]!.last < number) low = middle + 1;
      else high = middle;
    }
    return low < ranges.length && ranges[low]!.first <= number;
  };
}
