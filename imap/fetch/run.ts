/**
 * Writes the `* n FETCH (…)` of FETCH and UID FETCH. What the view's columns answer is written without awaiting anything;
 * summaries come in the mailbox's batches; bodies stream. Messages that are gone are left out: RFC 3501 §7.4.1 allows no
 * EXPUNGE during FETCH, it follows at the next sync point.
 */
import type { Fetched, Mailbox, View, Want } from '../backend.ts';
import type { Output } from '../wire/output.ts';
import { Columns, FlagTest, RenderedFlags } from './columns.ts';
import { InternalDates } from './internal-date.ts';
import { Lines } from './lines.ts';
import {
  type Found,
  findSection,
  type Opened,
  openLate,
  openRange,
  writeNil,
  writePieces,
  writeRange,
} from './literal.ts';
import type { FetchPlan, Item, SectionItem } from './parse.ts';

export interface FetchRun {
  readonly plan: FetchPlan;
  readonly mailbox: Mailbox;
  /** Ascending; index by index their message numbers. */
  readonly uids: Uint32Array;
  readonly numbers: Uint32Array;
  readonly uidCommand: boolean;
  readonly condstore: boolean;
  readonly out: Output;
  /** Called with those that became \Seen by this fetch, before their answers, which tell of it. */
  onSeen?(uids: readonly number[]): void;
}

const STAR = Buffer.from('* ');
const FETCH = Buffer.from(' FETCH (');
const UID = Buffer.from('UID ');
const SIZE = Buffer.from('RFC822.SIZE ');
const MODSEQ = Buffer.from('MODSEQ (');
const DATE = Buffer.from('INTERNALDATE ');
const ENVELOPE = Buffer.from('ENVELOPE ');
const BODY = Buffer.from('BODY ');
const BODYSTRUCTURE = Buffer.from('BODYSTRUCTURE ');
const NIL = Buffer.from('NIL');
const BLANK = Buffer.from(' ');
const CLOSE = Buffer.from(')');
const END = Buffer.from(')\r\n');

/** @throws Bye  the store failed within a literal; No  before one */
export async function runFetch(run: FetchRun): Promise<void> {
  const response = new Responses(run);
  const want = wantOf(response.items);
  if (want) await fetchBatches(run, response, want);
  else await fetchColumns(run, response);
  response.lines.flush();
}

function isSection(item: Item): item is SectionItem {
  return typeof item !== 'string';
}

/** What has to be asked of the mailbox; undefined if the view's columns answer everything. */
function wantOf(items: readonly Item[]): Want | undefined {
  let [envelope, bodyStructure, body, commonFields, parts, any] = [false, false, false, false, false, false];
  for (const item of items) {
    if (isSection(item)) {
      const { path, what, fields } = item.section;
      if (fields?.covered && path.length === 0) commonFields = true;
      else if (path.length > 0 || what !== '') parts = true;
    } else if (item === 'ENVELOPE') envelope = true;
    else if (item === 'BODYSTRUCTURE') bodyStructure = true;
    else if (item === 'BODY') body = true;
    else continue;
    any = true;
  }
  return any ? { envelope, bodyStructure, body, commonFields, parts } : undefined;
}

async function fetchColumns(run: FetchRun, response: Responses): Promise<void> {
  const { uids, numbers } = run;
  for (let i = 0; i < uids.length; i++) {
    const uid = uids[i]!;
    const at = response.find(uid);
    if (at < 0) continue;
    response.columns(numbers[i]!, uid, at);
    const full = response.lines.settle();
    if (full) await full;
  }
}

async function fetchBatches(run: FetchRun, response: Responses, want: Want): Promise<void> {
  const { mailbox, numbers } = run;
  const marksSeen = !mailbox.readOnly && response.items.some((i) => isSection(i) && i.marksSeen);
  const uids = response.wanted(run.uids);
  let next = 0;
  for await (const batch of mailbox.fetch(uids, want)) {
    const marked = marksSeen ? await markSeen(mailbox, response, batch) : undefined;
    if (marked && marked.size > 0) run.onSeen?.([...marked]);
    for (const fetched of batch) {
      while (next < run.uids.length && run.uids[next]! < fetched.uid) next++;
      const at = response.find(fetched.uid);
      if (run.uids[next] !== fetched.uid || at < 0) continue;
      const writing = response.whole(numbers[next]!, fetched, at, marked?.has(fetched.uid) === true);
      if (writing) await writing;
      const full = response.lines.settle();
      if (full) await full;
    }
  }
}

/** RFC 3501 §6.4.5: BODY[…] sets \Seen, and the changed flags are part of the answer. */
async function markSeen(mailbox: Mailbox, response: Responses, batch: readonly Fetched[]): Promise<Set<number>> {
  const unseen = batch.map(({ uid }) => uid).filter((uid) => response.isUnseen(uid));
  if (unseen.length > 0) await mailbox.store({ uids: unseen }, { op: 'add', flags: ['\\Seen'] });
  return new Set(unseen);
}

class Responses {
  readonly items: readonly Item[];
  readonly lines: Lines;
  private readonly view: View;
  private readonly place: Columns;
  private readonly flags: RenderedFlags;
  private readonly seen: FlagTest;
  private readonly dates = new InternalDates();
  private readonly changedSince: number | undefined;
  private readonly condstore: boolean;

  constructor({ plan, mailbox, uidCommand, condstore, out }: FetchRun) {
    // RFC 3501 §6.4.8: UID FETCH always answers the UID.
    this.items = uidCommand && !plan.items.includes('UID') ? ['UID', ...plan.items] : plan.items;
    this.lines = new Lines(out);
    this.view = mailbox.view;
    this.place = new Columns(this.view);
    this.flags = new RenderedFlags(this.view);
    this.seen = new FlagTest(this.view, '\\Seen');
    this.changedSince = plan.changedSince;
    this.condstore = condstore;
  }

  /** Where in the view's columns; -1: gone, or not changed since. */
  find(uid: number): number {
    const at = this.place.find(uid);
    return at >= 0 && this.changedSince !== undefined && this.view.modSeqs[at]! <= this.changedSince ? -1 : at;
  }

  /** Of these those that are to be answered now. */
  wanted(uids: Uint32Array): Uint32Array {
    if (this.changedSince === undefined) return uids;
    return uids.filter((uid) => this.find(uid) >= 0);
  }

  isUnseen(uid: number): boolean {
    const at = this.place.find(uid);
    return at >= 0 && !this.seen.at(at);
  }

  columns(number: number, uid: number, at: number): void {
    const { items } = this;
    this.start(number);
    for (let i = 0; i < items.length; i++) {
      if (i > 0) this.lines.bytes(BLANK);
      this.column(items[i]!, uid, at);
    }
    this.lines.bytes(END);
  }

  /** One whole response. Undefined if nothing had to be awaited. */
  whole(number: number, fetched: Fetched, at: number, marked: boolean): Promise<void> | undefined {
    if (!this.items.some((item) => isSection(item) && !this.atHand(item, fetched))) {
      this.start(number);
      this.items.forEach((item, i) => {
        if (i > 0) this.lines.bytes(BLANK);
        if (!isSection(item)) this.simple(item, fetched, at);
        else {
          this.lines.bytes(item.label);
          writePieces(this.lines, item.section.fields!.choose(fetched.commonFields!), item.partial);
        }
      });
      this.finish(at, marked);
      return undefined;
    }
    return this.reading(number, fetched, at, marked);
  }

  /**
   * Everything that can fail is looked at before the first octet is written: sections are found, and the first of those that
   * stream is opened. Later ones are opened in their turn, so that one response holds one stream.
   */
  private async reading(number: number, fetched: Fetched, at: number, marked: boolean): Promise<void> {
    const found = new Map<SectionItem, Found>();
    let opened: { item: SectionItem; opened: Opened } | undefined;
    for (const item of this.items) {
      if (!isSection(item)) continue;
      const section = await findSection(fetched, item.section);
      found.set(item, section);
      if (section && 'range' in section && !opened)
        opened = { item, opened: await openRange(fetched, section.range, item.partial) };
    }
    this.start(number);
    for (let i = 0; i < this.items.length; i++) {
      const item = this.items[i]!;
      if (i > 0) this.lines.bytes(BLANK);
      if (!isSection(item)) {
        this.simple(item, fetched, at);
        continue;
      }
      this.lines.bytes(item.label);
      const section = found.get(item);
      if (!section) writeNil(this.lines);
      else if ('pieces' in section) writePieces(this.lines, section, item.partial);
      else if (item === opened?.item) await writeRange(this.lines, opened.opened);
      else await writeRange(this.lines, await openLate(fetched, section.range, item.partial));
      const full = this.lines.settle();
      if (full) await full;
    }
    this.finish(at, marked);
  }

  private atHand({ section }: SectionItem, fetched: Fetched): boolean {
    return section.fields?.covered === true && section.path.length === 0 && fetched.commonFields !== undefined;
  }

  private start(number: number): void {
    this.lines.bytes(STAR);
    this.lines.number(number);
    this.lines.bytes(FETCH);
  }

  private finish(at: number, marked: boolean): void {
    if (marked && !this.items.includes('FLAGS')) {
      this.lines.bytes(BLANK);
      this.lines.bytes(this.flags.at(at));
    }
    // RFC 7162 §3.2: a client that uses mod-sequences learns the new one with the changed flags.
    if (marked && this.condstore && !this.items.includes('MODSEQ')) {
      this.lines.bytes(BLANK);
      this.modSeq(at);
    }
    this.lines.bytes(END);
  }

  private modSeq(at: number): void {
    this.lines.bytes(MODSEQ);
    this.lines.number(this.view.modSeqs[at]!);
    this.lines.bytes(CLOSE);
  }

  private column(item: Item, uid: number, at: number): void {
    const { lines, view } = this;
    switch (item) {
      case 'UID':
        lines.bytes(UID);
        lines.number(uid);
        break;
      case 'FLAGS':
        lines.bytes(this.flags.at(at));
        break;
      case 'RFC822.SIZE':
        lines.bytes(SIZE);
        lines.number(view.sizes[at]!);
        break;
      case 'INTERNALDATE':
        lines.bytes(DATE);
        lines.bytes(this.dates.quoted(view.internalDates[at]!));
        break;
      case 'MODSEQ':
        this.modSeq(at);
        break;
      default:
        break;
    }
  }

  private simple(item: Exclude<Item, SectionItem>, fetched: Fetched, at: number): void {
    switch (item) {
      case 'ENVELOPE':
        this.rendered(ENVELOPE, fetched.envelope);
        break;
      case 'BODY':
        this.rendered(BODY, fetched.body);
        break;
      case 'BODYSTRUCTURE':
        this.rendered(BODYSTRUCTURE, fetched.bodyStructure);
        break;
      default:
        this.column(item, fetched.uid, at);
    }
  }

  private rendered(label: Uint8Array, bytes: Uint8Array | undefined): void {
    this.lines.bytes(label);
    this.lines.bytes(bytes ?? NIL);
  }
}
