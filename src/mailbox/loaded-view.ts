/**
 * One folder of one scope in memory, as columns: what imap/backend.ts calls a View. Shared by all sessions that have it
 * open; only views.ts feeds it.
 *
 * What must stay true:
 * - An arrival costs the same in a folder of a million as in one of a thousand: columns grow in place, a quarter at a time.
 * - What lies below a `count` once read keeps its UID: departures put new arrays in the place of the old ones.
 * - Changes are applied in the log's order, each once, whole mod-sequences at a time, and none from before the snapshot.
 */

import type { View } from '#imap/backend';
import type { Change, Level } from '#store/model';
import type { ViewSnapshot } from '#store/port';

/** Departures and changes remembered: a session that slept through more compares arrays, or scans once. */
const maxRemembered = 65_536;

export class LoadedView implements View {
  readonly level: Level;
  uids: Uint32Array;
  entryIds: Uint32Array;
  messageIds: Float64Array;
  sizes: Uint32Array;
  internalDates: Float64Array;
  modSeqs: Float64Array;
  flagSet: Uint32Array;
  flagSets: string[];
  count: number;
  uidNext: number;
  highestModSeq: number;
  /** How many lack \Seen, and octets of all. */
  unseen = 0;
  octets = 0;
  /** Called after each batch of changes that touched this view. */
  readonly listeners = new Set<() => void>();

  #asOf: number;
  readonly #flagSetIndex = new Map<string, number>();
  readonly #isSeen: boolean[] = [];
  /** UIDs that left, and how many older ones were forgotten. */
  #left: number[] = [];
  #forgottenLeft = 0;
  /** (mod-sequence, UID) of arrivals and flag changes, ascending; complete above `#changesFrom`. */
  #changedModSeqs: number[] = [];
  #changedUids: number[] = [];
  #changesFrom: number;

  constructor(snapshot: ViewSnapshot, level: Level) {
    this.level = level;
    this.uids = snapshot.uids;
    this.entryIds = snapshot.entryIds;
    this.messageIds = snapshot.messageIds;
    this.sizes = snapshot.sizes;
    this.internalDates = snapshot.internalDates;
    this.modSeqs = snapshot.modSeqs;
    this.flagSet = snapshot.flagSet;
    this.flagSets = [];
    this.count = snapshot.uids.length;
    this.uidNext = snapshot.uidNext;
    this.highestModSeq = snapshot.highestModSeq;
    this.#asOf = snapshot.asOf;
    this.#changesFrom = snapshot.highestModSeq;
    for (const set of snapshot.flagSets) this.#intern(set);
    this.#sum();
  }

  /** Octets of the columns, room for arrivals included. */
  get bytes(): number {
    const { uids, entryIds, messageIds, sizes, internalDates, modSeqs, flagSet } = this;
    const columns = [uids, entryIds, messageIds, sizes, internalDates, modSeqs, flagSet];
    return columns.reduce((sum, column) => sum + column.byteLength, 0);
  }

  get departures(): number {
    return this.#forgottenLeft + this.#left.length;
  }

  leftSince(departures: number): readonly number[] | undefined {
    if (departures < this.#forgottenLeft) return undefined;
    return departures === this.departures ? [] : this.#left.slice(departures - this.#forgottenLeft);
  }

  changedSince(modSeq: number): readonly number[] {
    if (modSeq >= this.highestModSeq) return [];
    const uids: number[] = [];
    if (modSeq < this.#changesFrom) {
      for (let i = 0; i < this.count; i++) if (this.modSeqs[i]! > modSeq) uids.push(this.uids[i]!);
      return uids;
    }
    for (let i = firstAbove(this.#changedModSeqs, modSeq); i < this.#changedUids.length; i++) {
      const uid = this.#changedUids[i]!;
      if (this.indexOf(uid) >= 0) uids.push(uid);
    }
    uids.sort((a, b) => a - b);
    return uids.filter((uid, i) => uid !== uids[i - 1]);
  }

  /** Where this UID stands, or -1. */
  indexOf(uid: number): number {
    const at = this.#placeOf(uid);
    return at < this.count && this.uids[at] === uid ? at : -1;
  }

  /** Applies lines of the log that concern this folder and scope. Lines of other levels are known here and passed over. */
  apply(changes: readonly Change[]): void {
    const gone = new Set<number>();
    let touched = false;
    for (const change of changes) {
      if (change.modSeq <= this.#asOf) continue;
      if (change.level !== undefined && change.level !== this.level) continue;
      if (change.kind === 'enter') this.#enter(change);
      else if (change.kind === 'leave') {
        const at = this.indexOf(change.uid);
        if (at >= 0) gone.add(at);
      } else if (change.kind === 'flags') {
        const flags = change.flags?.[this.level];
        if (flags === undefined) continue;
        this.#setFlags(change.uid, flags, change.modSeq);
      } else continue;
      touched = true;
      if (change.modSeq > this.highestModSeq) this.highestModSeq = change.modSeq;
    }
    const last = changes.at(-1);
    if (last && last.modSeq > this.#asOf) this.#asOf = last.modSeq;
    if (gone.size > 0) this.#remove([...gone].sort((a, b) => a - b));
    if (touched) this.#tell();
  }

  /** The log no longer reaches back to what is here: everything is replaced by a new snapshot. */
  replace(snapshot: ViewSnapshot): void {
    const stays = new Set(snapshot.uids);
    const left: number[] = [];
    for (let i = 0; i < this.count; i++) if (!stays.has(this.uids[i]!)) left.push(this.uids[i]!);
    this.uids = snapshot.uids;
    this.entryIds = snapshot.entryIds;
    this.messageIds = snapshot.messageIds;
    this.sizes = snapshot.sizes;
    this.internalDates = snapshot.internalDates;
    this.modSeqs = snapshot.modSeqs;
    // flagSets only grows, so the snapshot's numbers are translated into ours.
    const ours = snapshot.flagSets.map((set) => this.#intern(set));
    this.flagSet = snapshot.flagSet.map((set) => ours[set]!);
    this.count = snapshot.uids.length;
    this.uidNext = Math.max(this.uidNext, snapshot.uidNext);
    this.highestModSeq = Math.max(this.highestModSeq, snapshot.highestModSeq);
    this.#asOf = snapshot.asOf;
    this.#changedModSeqs = [];
    this.#changedUids = [];
    this.#changesFrom = this.highestModSeq;
    this.#remember(left);
    this.#sum();
    this.#tell();
  }

  #enter(change: Change): void {
    const { uid } = change;
    if (uid >= this.uidNext) this.uidNext = uid + 1;
    const at = this.#placeOf(uid);
    if (at < this.count && this.uids[at] === uid) {
      this.#setFlags(uid, change.flags?.[this.level], change.modSeq);
      return;
    }
    if (this.count === this.uids.length) this.#grow();
    // UIDs ascend along the log, but within one command its lines may stand in any order.
    if (at < this.count) this.#openGap(at);
    const set = this.#intern(change.flags?.[this.level] ?? '');
    const size = change.size ?? 0;
    this.uids[at] = uid;
    this.entryIds[at] = change.entryId;
    this.messageIds[at] = change.messageId;
    this.sizes[at] = size;
    this.internalDates[at] = change.internalDate ?? 0;
    this.modSeqs[at] = change.modSeq;
    this.flagSet[at] = set;
    this.count++;
    this.octets += size;
    if (!this.#isSeen[set]) this.unseen++;
    this.#noteChanged(change.modSeq, uid);
  }

  #setFlags(uid: number, flags: string | undefined, modSeq: number): void {
    const at = this.indexOf(uid);
    if (at < 0) return;
    if (flags !== undefined) {
      const set = this.#intern(flags);
      if (!this.#isSeen[this.flagSet[at]!]) this.unseen--;
      if (!this.#isSeen[set]) this.unseen++;
      this.flagSet[at] = set;
    }
    this.modSeqs[at] = modSeq;
    this.#noteChanged(modSeq, uid);
  }

  /** `gone` are indexes, ascending. */
  #remove(gone: readonly number[]): void {
    const left: number[] = [];
    for (const at of gone) {
      left.push(this.uids[at]!);
      this.octets -= this.sizes[at]!;
      if (!this.#isSeen[this.flagSet[at]!]) this.unseen--;
    }
    this.uids = without(this.uids, this.count, gone);
    this.entryIds = without(this.entryIds, this.count, gone);
    this.messageIds = without(this.messageIds, this.count, gone);
    this.sizes = without(this.sizes, this.count, gone);
    this.internalDates = without(this.internalDates, this.count, gone);
    this.modSeqs = without(this.modSeqs, this.count, gone);
    this.flagSet = without(this.flagSet, this.count, gone);
    this.count -= gone.length;
    this.#remember(left);
  }

  #remember(left: readonly number[]): void {
    for (const uid of left) this.#left.push(uid);
    const tooMany = this.#left.length - maxRemembered;
    if (tooMany <= 0) return;
    // Half of them at once, so that forgetting costs little per departure.
    const forget = Math.max(tooMany, maxRemembered / 2);
    this.#left.splice(0, forget);
    this.#forgottenLeft += forget;
  }

  #noteChanged(modSeq: number, uid: number): void {
    this.#changedModSeqs.push(modSeq);
    this.#changedUids.push(uid);
    if (this.#changedUids.length <= maxRemembered) return;
    const forget = maxRemembered / 2;
    this.#changesFrom = this.#changedModSeqs[forget - 1]!;
    this.#changedModSeqs.splice(0, forget);
    this.#changedUids.splice(0, forget);
  }

  /** Room for a quarter more. The arrays that sessions hold keep their contents. */
  #grow(): void {
    const capacity = roomFor(this.count);
    this.uids = grown(this.uids, new Uint32Array(capacity));
    this.entryIds = grown(this.entryIds, new Uint32Array(capacity));
    this.messageIds = grown(this.messageIds, new Float64Array(capacity));
    this.sizes = grown(this.sizes, new Uint32Array(capacity));
    this.internalDates = grown(this.internalDates, new Float64Array(capacity));
    this.modSeqs = grown(this.modSeqs, new Float64Array(capacity));
    this.flagSet = grown(this.flagSet, new Uint32Array(capacity));
  }

  /** Moves everything from `at` on by one, in new arrays: whoever holds the old ones sees no UID change. */
  #openGap(at: number): void {
    this.uids = gapped(this.uids, this.uids.slice(), at, this.count);
    this.entryIds = gapped(this.entryIds, this.entryIds.slice(), at, this.count);
    this.messageIds = gapped(this.messageIds, this.messageIds.slice(), at, this.count);
    this.sizes = gapped(this.sizes, this.sizes.slice(), at, this.count);
    this.internalDates = gapped(this.internalDates, this.internalDates.slice(), at, this.count);
    this.modSeqs = gapped(this.modSeqs, this.modSeqs.slice(), at, this.count);
    this.flagSet = gapped(this.flagSet, this.flagSet.slice(), at, this.count);
  }

  #intern(set: string): number {
    let index = this.#flagSetIndex.get(set);
    if (index === undefined) {
      index = this.flagSets.length;
      this.flagSets.push(set);
      this.#flagSetIndex.set(set, index);
      this.#isSeen.push(set.split(' ').includes('\\Seen'));
    }
    return index;
  }

  #sum(): void {
    this.unseen = 0;
    this.octets = 0;
    for (let i = 0; i < this.count; i++) {
      this.octets += this.sizes[i]!;
      if (!this.#isSeen[this.flagSet[i]!]) this.unseen++;
    }
  }

  /** Where this UID stands or would stand. At the end for every arrival but the odd one. */
  #placeOf(uid: number): number {
    let from = 0;
    let to = this.count;
    if (to > 0 && this.uids[to - 1]! < uid) return to;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.uids[middle]! < uid) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** Index of the first number above `limit` in an ascending list. */
function firstAbove(numbers: readonly number[], limit: number): number {
  let from = 0;
  let to = numbers.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (numbers[middle]! <= limit) from = middle + 1;
    else to = middle;
  }
  return from;
}

type Column = Uint32Array | Float64Array;

function grown<C extends Column>(old: C, larger: C): C {
  larger.set(old);
  return larger;
}

function gapped<C extends Column>(old: C, copy: C, at: number, count: number): C {
  copy.set(old.subarray(at, count), at + 1);
  return copy;
}

/** Capacity of a column, so that arrivals seldom need a new one. */
function roomFor(count: number): number {
  return count + Math.max(256, count >> 2);
}

/**
 * A new column without the rows at `gone` (ascending); runs between them are copied whole. It keeps room, or each arrival
 * after a departure would copy everything once more.
 */
function without<C extends Column>(old: C, count: number, gone: readonly number[]): C {
  const room = Math.min(old.length, roomFor(count - gone.length));
  const kept = (old instanceof Uint32Array ? new Uint32Array(room) : new Float64Array(room)) as C;
  let from = 0;
  let to = 0;
  for (const at of gone) {
    kept.set(old.subarray(from, at), to);
    to += at - from;
    from = at + 1;
  }
  kept.set(old.subarray(from, count), to);
  return kept;
}
