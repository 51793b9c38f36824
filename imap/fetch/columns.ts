/**
 * Reading a view's columns by ascending UID. The arrays of a view are replaced when messages leave (imap/backend.ts), so
 * they are taken anew whenever that happened, and a UID that is no longer there is simply not found.
 */
import type { View } from '../backend.ts';

export class Columns {
  private readonly view: View;
  private uids: Uint32Array;
  private count: number;
  private next = 0;

  constructor(view: View) {
    this.view = view;
    this.uids = view.uids;
    this.count = view.count;
  }

  /** Index of this UID in the view's columns, or -1. Ascending UIDs cost a step each; a jump costs its logarithm. */
  find(uid: number): number {
    const { view } = this;
    if (view.uids !== this.uids || view.count !== this.count) {
      this.uids = view.uids;
      this.count = view.count;
      this.next = 0;
    }
    const { uids, count } = this;
    const { next } = this;
    if (next < count && uids[next] === uid) {
      this.next = next + 1;
      return next;
    }
    // Gallop from where we are, then halve.
    let low = next;
    if (low >= count || uids[low]! > uid) low = 0;
    let step = 1;
    while (low + step < count && uids[low + step]! <= uid) step *= 2;
    let high = Math.min(count, low + step);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (uids[middle]! < uid) low = middle + 1;
      else high = middle;
    }
    this.next = low;
    if (low >= count || uids[low] !== uid) return -1;
    this.next = low + 1;
    return low;
  }
}

/** `FLAGS (…)` for each different set of flags, rendered once. */
export class RenderedFlags {
  private readonly view: View;
  private readonly rendered: Uint8Array[] = [];
  constructor(view: View) {
    this.view = view;
  }
  at(index: number): Uint8Array {
    const set = this.view.flagSet[index]!;
    const known = this.rendered[set];
    if (known) return known;
    const made = Buffer.from(`FLAGS (${this.view.flagSets[set] ?? ''})`);
    this.rendered[set] = made;
    return made;
  }
}

/** Which sets of flags hold this one, worked out once for each. */
export class FlagTest {
  private readonly view: View;
  private readonly flag: string;
  private readonly known: (boolean | undefined)[] = [];
  constructor(view: View, flag: string) {
    this.view = view;
    this.flag = flag.toLowerCase();
  }
  at(index: number): boolean {
    const set = this.view.flagSet[index]!;
    let has = this.known[set];
    if (has === undefined) {
      has = (this.view.flagSets[set] ?? '').toLowerCase().split(' ').includes(this.flag);
      this.known[set] = has;
    }
    return has;
  }
}
