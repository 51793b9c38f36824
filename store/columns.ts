/** The columns of a view while it is scanned: they grow as rows come, since how many there are is not known before. */
import type { ViewSnapshot } from './port.ts';

export class Columns {
  uids = new Uint32Array(1024);
  entryIds = new Uint32Array(1024);
  messageIds = new Float64Array(1024);
  sizes = new Uint32Array(1024);
  internalDates = new Float64Array(1024);
  modSeqs = new Float64Array(1024);
  flagSet = new Uint32Array(1024);
  readonly #known = new Map<string, number>();
  #count = 0;

  add(
    uid: number,
    entryId: number,
    messageId: number,
    size: number,
    internalDate: number,
    modSeq: number,
    flags: string,
  ): void {
    const at = this.#count;
    if (at === this.uids.length) this.#resize(at * 2);
    this.uids[at] = uid;
    this.entryIds[at] = entryId;
    this.messageIds[at] = messageId;
    this.sizes[at] = size;
    this.internalDates[at] = internalDate;
    this.modSeqs[at] = modSeq;
    let set = this.#known.get(flags);
    if (set === undefined) {
      set = this.#known.size;
      this.#known.set(flags, set);
    }
    this.flagSet[at] = set;
    this.#count += 1;
  }

  /** The columns as long as there are rows. */
  done(): Omit<ViewSnapshot, 'uidNext' | 'highestModSeq' | 'asOf'> {
    this.#resize(this.#count);
    const { uids, entryIds, messageIds, sizes, internalDates, modSeqs, flagSet } = this;
    const flagSets = [...this.#known.keys()];
    return { uids, entryIds, messageIds, sizes, internalDates, modSeqs, flagSet, flagSets };
  }

  #resize(length: number): void {
    const keep = Math.min(length, this.#count);
    const wide = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const next = new Uint32Array(length);
      next.set(old.subarray(0, keep));
      return next;
    };
    const double = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(length);
      next.set(old.subarray(0, keep));
      return next;
    };
    this.uids = wide(this.uids);
    this.entryIds = wide(this.entryIds);
    this.messageIds = double(this.messageIds);
    this.sizes = wide(this.sizes);
    this.internalDates = double(this.internalDates);
    this.modSeqs = double(this.modSeqs);
    this.flagSet = wide(this.flagSet);
  }
}
