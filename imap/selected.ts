/**
 * What this client believes about its selected mailbox: which message has which number, and up to which change it was told.
 * Turns what others did into EXPUNGE, EXISTS and FETCH, at sync points only.
 *
 * The belief is a (uids, count) snapshot of the view's own array, shared and not copied. It is an own copy only while messages are
 * gone of which this client may not be told yet and others have come or left. What must stay true:
 * - RFC 3501 §5.2, §5.5, §7.4.1: a message number changes its meaning only by an EXPUNGE that was written.
 * - belief = (the view's UIDs up to #highest) and those that left but were not told.
 * - a message is announced exactly once, and no UID before a smaller one.
 * - a sync point costs what changed, not what is there.
 */
import type { Mailbox, Targets, View } from './backend.ts';
import { Bad } from './errors.ts';
import type { Output } from './wire/output.ts';
import { resolve, type SequenceSet } from './wire/sequence-set.ts';

export interface Picked {
  /** Ascending; some may be gone by now. */
  readonly uids: Uint32Array;
  /** Index by index the message numbers. */
  readonly numbers: Uint32Array;
  readonly ranges?: NonNullable<Targets['ranges']>;
}

/** Lines between two looks at whether the client still reads. */
const linesAtOnce = 256;

export class Selected {
  readonly mailbox: Mailbox;
  /** EXAMINE, or a mailbox in which nothing can be changed. */
  readonly readOnly: boolean;
  #uids: Uint32Array;
  #count: number;
  /** The largest UID this client can know of, also when that message is gone. */
  #highest: number;
  #departures: number;
  #toldModSeq: number;
  /** Flags that an answer being written tells: UID and the mod-sequence they had. */
  #telling: Map<number, number> | undefined;
  #told: Map<number, number> | undefined;
  #flagSets: number;
  #keywords: Set<string>;

  constructor(mailbox: Mailbox, readOnly: boolean) {
    const { view } = mailbox;
    this.mailbox = mailbox;
    this.readOnly = readOnly || mailbox.readOnly;
    this.#uids = view.uids;
    this.#count = view.count;
    this.#highest = this.#last() ?? 0;
    this.#departures = view.departures;
    this.#toldModSeq = view.highestModSeq;
    this.#keywords = new Set(mailbox.flags.filter((flag) => flag !== '\\*'));
    this.#flagSets = 0;
    this.#newKeywords(view);
  }

  /** How many messages this client believes in. */
  get count(): number {
    return this.#count;
  }

  /** Their UIDs; index i is message number i + 1. */
  get uids(): Uint32Array {
    return this.#uids.subarray(0, this.#count);
  }

  /** For `* FLAGS`: the mailbox's flags and every keyword in use. */
  get flags(): string {
    return [...this.#keywords].join(' ');
  }

  /** Messages that a command names. @throws Bad on a number past EXISTS */
  pick(set: SequenceSet, uidCommand: boolean): Picked {
    return uidCommand ? this.#pickUids(set) : this.#pickNumbers(set);
  }

  /** Those with \Deleted, for EXPUNGE and CLOSE: known to this client, among `set` if given. */
  deleted(set?: SequenceSet): number[] {
    const { view } = this.mailbox;
    const isDeleted = view.flagSets.map((flags) => /(?:^| )\\Deleted(?: |$)/.test(flags));
    const wanted = set && resolve(set, this.#largest());
    const uids: number[] = [];
    for (let i = 0, r = 0; i < view.count; i++) {
      if (!isDeleted[view.flagSet[i]!]) continue;
      const uid = view.uids[i]!;
      if (uid > this.#highest) break;
      if (wanted) {
        while (r < wanted.length && wanted[r]!.last < uid) r++;
        if (r === wanted.length) break;
        if (wanted[r]!.first > uid) continue;
      }
      uids.push(uid);
    }
    return uids;
  }

  /** Writes what happened since the last sync point. Without `mayExpunge` those that left stay believed in. */
  async sync(out: Output, mayExpunge: boolean, condstore: boolean): Promise<void> {
    const { mailbox } = this;
    if (mailbox.takeNudge() && this.#count === 0) out.text('* 0 EXISTS\r\n');
    if (mayExpunge) {
      const indexes = this.#gone().map((uid) => indexOf(this.#uids, this.#count, uid));
      this.#rebase(); // before anything is awaited: what leaves from now on is told next time
      await this.#expunge(out, indexes);
    }
    await this.tellFlags(out, condstore);
    const { view } = mailbox;
    const last = view.count > 0 ? view.uids[view.count - 1]! : 0;
    if (last <= this.#highest) return;
    if (this.#gone().length === 0) {
      this.#uids = view.uids;
      this.#count = view.count;
      this.#departures = view.departures;
    } else {
      // Some are still believed in that are gone: EXISTS counts them, so the numbers of the new ones come after theirs.
      const from = upperBound(view.uids, view.count, this.#highest);
      const uids = new Uint32Array(this.#count + view.count - from);
      uids.set(this.uids);
      uids.set(view.uids.subarray(from, view.count), this.#count);
      this.#uids = uids;
      this.#count = uids.length;
    }
    this.#highest = last;
    out.text(`* ${this.#count} EXISTS\r\n`);
  }

  /** MOVE: tells of its own messages only (RFC 6851 §3.3); others that left wait for their sync point. */
  async moved(out: Output, left: readonly number[]): Promise<void> {
    const indexes = left.map((uid) => indexOf(this.#uids, this.#count, uid)).filter((index) => index >= 0);
    if (indexes.length === 0) return;
    const told = new Set(indexes);
    if (this.#gone().every((uid) => told.has(indexOf(this.#uids, this.#count, uid)))) {
      this.#rebase();
    } else {
      this.#uids = this.uids.filter((_, index) => !told.has(index));
      this.#count = this.#uids.length;
    }
    await this.#expunge(out, indexes);
  }

  /**
   * STORE: the flags of its messages as they are now, and whatever others changed. A silent one (RFC 3501 §6.4.6) is told only
   * the mod-sequences, if it uses them (RFC 7162 §3.1.3), but in full those that were left alone.
   */
  async stored(
    out: Output,
    picked: Picked,
    how: { silent: boolean; uids: boolean; condstore: boolean; modified: readonly number[] },
  ): Promise<void> {
    const { view } = this.mailbox;
    const changed = view.changedSince(this.#toldModSeq);
    this.#toldModSeq = view.highestModSeq;
    this.#tellKeywords(out, view);
    const own = new Set(picked.uids);
    for (const uid of how.modified) own.delete(uid);
    let lines = 0;
    if (!how.silent || how.condstore) {
      for (let i = 0; i < picked.uids.length; i++) {
        const uid = picked.uids[i]!;
        if (!own.has(uid)) continue;
        this.#fetchLine(out, picked.numbers[i]!, uid, {
          flags: !how.silent,
          uid: how.uids || how.condstore,
          modSeq: how.condstore,
        });
        if (++lines % linesAtOnce === 0) await out.ready();
      }
    }
    for (const uid of [...how.modified, ...changed]) {
      if (own.has(uid) || uid > this.#highest) continue;
      own.add(uid);
      const index = indexOf(this.#uids, this.#count, uid);
      if (index < 0) continue;
      this.#fetchLine(out, index + 1, uid, { flags: true, uid: true, modSeq: how.condstore });
      if (++lines % linesAtOnce === 0) await out.ready();
    }
  }

  /** Whether some of these messages are gone, of which this client was not told yet. */
  lacks(uids: Uint32Array): boolean {
    return this.#gone().some((uid) => indexOf(uids, uids.length, uid) >= 0);
  }

  /** FETCH: the answers about to be written hold the flags of these messages as they are now, or later ones. */
  telling(uids: readonly number[]): void {
    const { view } = this.mailbox;
    this.#telling ??= new Map();
    for (const uid of uids) {
      const modSeq = modSeqOf(view, uid);
      if (modSeq !== undefined) this.#telling.set(uid, modSeq);
    }
  }

  /** They are written. Where this is not called, the sync point tells them. */
  told(): void {
    this.#told = this.#telling;
    this.#telling = undefined;
  }

  #last(): number | undefined {
    return this.#count > 0 ? this.#uids[this.#count - 1] : undefined;
  }

  /** What `*` means in a UID set. In an empty mailbox the last UID there was: `UID MOVE *` there may still undo something. */
  #largest(): number {
    return this.#last() ?? Math.max(this.#highest, this.mailbox.view.uidNext - 1);
  }

  #pickUids(set: SequenceSet): Picked {
    const ranges = resolve(set, this.#largest()).filter((range) => range.last > 0);
    const parts = ranges.map(({ first, last }) => {
      const from = upperBound(this.#uids, this.#count, first - 1);
      return { from, to: upperBound(this.#uids, this.#count, last) };
    });
    return { ...this.#gather(parts), ranges };
  }

  #pickNumbers(set: SequenceSet): Picked {
    // `1:*` of nothing is nothing: clients send it without looking.
    const open = set.ranges.every(
      ({ to, from }) => to === Number.POSITIVE_INFINITY || from === Number.POSITIVE_INFINITY,
    );
    if (this.#count === 0 && open) return { uids: new Uint32Array(0), numbers: new Uint32Array(0) };
    const ranges = resolve(set, this.#count);
    if ((ranges.at(-1)?.last ?? 0) > this.#count) throw new Bad(`There are ${this.#count} messages here`);
    return this.#gather(ranges.map(({ first, last }) => ({ from: first - 1, to: last })));
  }

  #gather(parts: readonly { from: number; to: number }[]): Picked {
    let total = 0;
    for (const { from, to } of parts) total += to - from;
    const numbers = new Uint32Array(total);
    let at = 0;
    for (const { from, to } of parts) for (let i = from; i < to; i++) numbers[at++] = i + 1;
    const only = parts.length === 1 ? parts[0] : undefined;
    if (only) return { uids: this.#uids.subarray(only.from, only.to), numbers };
    return { uids: numbers.map((number) => this.#uids[number - 1]!), numbers };
  }

  /** UIDs that left and are still believed in. */
  #gone(): number[] {
    const { view } = this.mailbox;
    if (view.departures === this.#departures) return [];
    const left = view.leftSince(this.#departures);
    if (left) return left.filter((uid) => indexOf(this.#uids, this.#count, uid) >= 0);
    const gone: number[] = [];
    for (let i = 0, v = 0; i < this.#count; i++) {
      const uid = this.#uids[i]!;
      while (v < view.count && view.uids[v]! < uid) v++;
      if (v === view.count || view.uids[v] !== uid) gone.push(uid);
    }
    return gone;
  }

  /** Highest first, so that each number is true when it is written. */
  async #expunge(out: Output, indexes: number[]): Promise<void> {
    indexes.sort((a, b) => b - a);
    for (let i = 0; i < indexes.length; i++) {
      out.text(`* ${indexes[i]! + 1} EXPUNGE\r\n`);
      if ((i + 1) % linesAtOnce === 0) await out.ready();
    }
  }

  /** Nothing that left is believed in any more: the view's own array says it all. */
  #rebase(): void {
    const { view } = this.mailbox;
    this.#uids = view.uids;
    this.#count = upperBound(view.uids, view.count, this.#highest);
    this.#departures = view.departures;
  }

  /** Message numbers of UIDs this client believes in. */
  numbersOf(uids: readonly number[]): number[] {
    return uids.map((uid) => indexOf(this.#uids, this.#count, uid) + 1);
  }

  /** What others changed. */
  async tellFlags(out: Output, condstore: boolean): Promise<void> {
    const { view } = this.mailbox;
    const told = this.#told;
    this.#told = this.#telling = undefined;
    if (view.highestModSeq <= this.#toldModSeq) return;
    const changed = view
      .changedSince(this.#toldModSeq)
      .filter((uid) => !told?.has(uid) || told.get(uid) !== modSeqOf(view, uid));
    this.#toldModSeq = view.highestModSeq;
    this.#tellKeywords(out, view);
    for (let i = 0; i < changed.length; i++) {
      const uid = changed[i]!;
      const index = uid <= this.#highest ? indexOf(this.#uids, this.#count, uid) : -1;
      if (index >= 0) this.#fetchLine(out, index + 1, uid, { flags: true, uid: true, modSeq: condstore });
      if ((i + 1) % linesAtOnce === 0) await out.ready();
    }
  }

  #fetchLine(out: Output, number: number, uid: number, items: { flags: boolean; uid: boolean; modSeq: boolean }): void {
    const { view } = this.mailbox;
    const index = indexOf(view.uids, view.count, uid);
    if (index < 0) return; // gone; an EXPUNGE will tell
    const words: string[] = [];
    if (items.uid) words.push(`UID ${uid}`);
    if (items.flags) words.push(`FLAGS (${view.flagSets[view.flagSet[index]!]})`);
    if (items.modSeq) words.push(`MODSEQ (${view.modSeqs[index]})`);
    out.text(`* ${number} FETCH (${words.join(' ')})\r\n`);
  }

  /** RFC 3501 §7.2.6: keywords that were not there at SELECT are announced before they are used. */
  #tellKeywords(out: Output, view: View): void {
    if (this.#newKeywords(view)) out.text(`* FLAGS (${this.flags})\r\n`);
  }

  #newKeywords(view: View): boolean {
    const known = this.#keywords.size;
    for (; this.#flagSets < view.flagSets.length; this.#flagSets++)
      for (const flag of view.flagSets[this.#flagSets]!.split(' '))
        if (flag && flag !== '\\Recent') this.#keywords.add(flag);
    return this.#keywords.size > known;
  }
}

/** The first index whose UID is above this one. */
function upperBound(uids: Uint32Array, count: number, uid: number): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (uids[middle]! <= uid) low = middle + 1;
    else high = middle;
  }
  return low;
}

function indexOf(uids: Uint32Array, count: number, uid: number): number {
  const index = upperBound(uids, count, uid) - 1;
  return index >= 0 && uids[index] === uid ? index : -1;
}

function modSeqOf(view: View, uid: number): number | undefined {
  const index = indexOf(view.uids, view.count, uid);
  return index >= 0 ? view.modSeqs[index] : undefined;
}
