/**
 * The records of a store with UIDs given anew: 1, 2, 3 … in the order in which they were given before (DESIGN §7.3). What
 * ascended ascends, in every folder and scope; only numbers that nothing has any more are left out. An entry's id is its
 * first UID, so ids change as well, and so does whatever names them.
 *
 * - The change log is left out: clients ask it under the UIDVALIDITY before, and load their folders anew.
 * - Mod-sequences, message ids and the ids of drops stay.
 *
 * Goes twice over the records: `note` learns which numbers there are, `record` gives the new ones. The same records get the
 * same numbers each time. What it keeps in memory are the numbers, at most 16 octets for each.
 */
import { StoreRefused } from './errors.ts';
import type { EntryId, Uid } from './model.ts';
import type { EntryRecord, FactRecord, RecordKind, SettingRecord } from './records.ts';
import { uidValidityAfter } from './records.ts';

/** The new number for an old one; undefined for what was no number of the store when it was read. */
export type Renumber = (old: number) => number | undefined;

export interface RenumberOptions {
  /** Milliseconds since 1970: UIDVALIDITY is made of it. */
  readonly now: number;
  /** What an entry of this id is shown with, which was shown with `prefix` under its id before. */
  prefixOf(prefix: string, id: EntryId): string;
  /** A setting that may have UIDs in it, as it is with the new ones; undefined if it means nothing any more. */
  settingOf(setting: SettingRecord, uid: Renumber): SettingRecord | undefined;
}

export class Renumbering {
  /** The kinds of records that `note` wants to see. */
  static readonly noted: readonly RecordKind[] = ['jobs', 'entries', 'trainingLines', 'repeats', 'helpTexts'];

  readonly #options: RenumberOptions;
  readonly #numbers = new Numbers();
  /** Known when the numbers were written. */
  uidValidity = 0;

  constructor(options: RenumberOptions) {
    this.#options = options;
  }

  note(record: FactRecord): void {
    this.#mapped(record, (old) => {
      this.#numbers.add(old);
      return old;
    });
  }

  /** The records to write for one of the store. @throws StoreRefused  it has a number that `note` has not seen */
  record(record: FactRecord): readonly FactRecord[] {
    const numbers = this.#numbers;
    switch (record.kind) {
      case 'changes':
        return [];
      case 'tops':
        // The stay that had the highest UID may be gone: then the next smaller one's, which is still behind all that are there.
        return [{ ...record, uid: numbers.upTo(record.uid) }];
      case 'settings': {
        const setting = this.#options.settingOf(record, (old) => numbers.of(old));
        return setting ? [setting] : [];
      }
      case 'numbers':
        this.uidValidity = uidValidityAfter(record.uidValidity, this.#options.now);
        return [
          {
            ...record,
            uidValidity: this.uidValidity,
            lastUid: numbers.upTo(Number.POSITIVE_INFINITY),
            trimmedModSeq: record.lastModSeq,
          },
        ];
      default:
        return [
          this.#mapped(record, (old) => {
            const given = numbers.of(old);
            if (given === undefined)
              throw new StoreRefused(
                `Number ${old} was given out while the numbers were read: stop the server on this store and begin again`,
              );
            return given;
          }),
        ];
    }
  }

  /** The one place that knows where records have numbers, but for those that are not looked up (`record`). */
  #mapped(record: FactRecord, numberOf: (old: number) => number): FactRecord {
    const of = <N extends number>(old: N): N => numberOf(old) as N;
    switch (record.kind) {
      case 'entries':
        return this.#entry(record, of);
      case 'jobs': {
        if (record.entryId === undefined) return record;
        const entryId = of(record.entryId);
        return { ...record, entryId, key: keyWith(record.key, entryId) };
      }
      case 'trainingLines': {
        if (record.entryId === undefined) return record;
        const entryId = of(record.entryId);
        return { ...record, entryId, jobKey: keyWith(record.jobKey, entryId) };
      }
      case 'repeats':
        return { ...record, entryId: of(record.entryId) };
      case 'helpTexts':
        return { ...record, uid: of(record.uid) };
      default:
        return record;
    }
  }

  #entry(entry: EntryRecord, of: <N extends number>(old: N) => N): EntryRecord {
    const id = of(entry.id);
    const prefix = this.#options.prefixOf(entry.prefix, id);
    return {
      ...entry,
      id,
      ...(entry.uid === undefined ? {} : { uid: of(entry.uid) }),
      ...(entry.linkedTo === undefined ? {} : { linkedTo: of(entry.linkedTo) }),
      prefix,
      size: entry.size + Buffer.byteLength(prefix) - Buffer.byteLength(entry.prefix),
      stays: entry.stays.map((stay) => ({
        ...stay,
        uid: of<Uid>(stay.uid),
        ...(stay.from === undefined ? {} : { from: of(stay.from) }),
        ...(stay.prefix === undefined ? {} : { prefix: this.#options.prefixOf(stay.prefix, id) }),
      })),
    };
  }
}

/** `dropId/entryId/step` with another entry. */
const keyWith = (key: string, id: EntryId): string => key.replace(/\/\d+\/(?=[^/]*$)/, `/${id}/`);

/** A set of numbers that knows how many of them are smaller. Numbers are added first, and asked for then. */
class Numbers {
  #sorted = new Uint32Array(1024);
  /** How many are in it; those behind `#kept` in no order, some of them twice. */
  #count = 0;
  #kept = 0;

  add(number: number): void {
    if (this.#count === this.#sorted.length) this.#tidy();
    this.#sorted[this.#count] = number;
    this.#count += 1;
  }

  /** Its place, beginning with 1; undefined if it is not there. */
  of(number: number): number | undefined {
    const place = this.upTo(number);
    return place > 0 && this.#sorted[place - 1] === number ? place : undefined;
  }

  /** How many there are up to this one. */
  upTo(number: number): number {
    if (this.#kept < this.#count) this.#tidy();
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sorted[middle]! <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** In order and without repeats; half of the room is free afterwards. */
  #tidy(): void {
    const all = this.#sorted.subarray(0, this.#count).sort();
    let kept = 0;
    for (const number of all) if (kept === 0 || all[kept - 1] !== number) all[kept++] = number;
    this.#kept = kept;
    this.#count = kept;
    if (kept <= this.#sorted.length / 2) return;
    const wider = new Uint32Array(this.#sorted.length * 2);
    wider.set(all.subarray(0, kept));
    this.#sorted = wider;
  }
}
