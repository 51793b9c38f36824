/**
 * Every folder that somebody in this process has open, or had a while ago, loaded once and kept up to date by the feed.
 * Nobody loads a view twice at a time: who comes while it is being loaded waits for the same one.
 */

import { splitAddress } from '#app/policy/addresses';
import type { Change, ReadableFolder, Scope } from '#store/model';
import type { Views as StoredViews } from '#store/port';
import type { Feed, Sink } from './feed.ts';
import { LoadedView } from './loaded-view.ts';

/** A view that nobody has open is kept this long: clients that poll come back within minutes. */
const idleMs = 5 * 60_000;
/** Of those without users, so many at most, and no more messages in all than this (40 octets each). */
const maxIdleViews = 500;
const maxIdleMessages = 2_000_000;

interface Slot {
  readonly key: string;
  readonly scope: Scope;
  readonly folder: ReadableFolder;
  view?: LoadedView;
  loading?: Promise<LoadedView>;
  /** Lines that came while a snapshot was being taken; those after it are applied to it. */
  waiting?: Change[];
  users: number;
  idleSince: number;
}

export class Views implements Sink {
  readonly #stored: StoredViews;
  readonly #feed: Feed;
  readonly #slots = new Map<string, Slot>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(stored: StoredViews, feed: Feed) {
    this.#stored = stored;
    this.#feed = feed;
    feed.add(this);
  }

  /** The view, up to date as of this call. Give it back with `release`, once. */
  async acquire(scope: Scope, folder: ReadableFolder): Promise<LoadedView> {
    await this.#feed.start();
    const key = keyOf(folder, scope);
    let slot = this.#slots.get(key);
    if (!slot) {
      slot = { key, scope, folder, users: 0, idleSince: Date.now() };
      this.#slots.set(key, slot);
    }
    slot.users++;
    try {
      if (!slot.view && !slot.loading) {
        slot.loading = this.#load(slot);
        return await slot.loading;
      }
      // Its snapshot may be older than this call, and so may be what was read of the log.
      const view = slot.loading ? await slot.loading : slot.view!;
      await this.#feed.refresh();
      return view;
    } catch (error) {
      this.#leave(slot);
      throw error;
    }
  }

  release(scope: Scope, folder: ReadableFolder): void {
    const slot = this.#slots.get(keyOf(folder, scope));
    if (slot) this.#leave(slot);
  }

  /** Resolves when every view that is being loaded now is there. @throws what keeps one from it */
  async loaded(): Promise<void> {
    await Promise.all([...this.#slots.values()].map(({ loading }) => loading));
  }

  /** What all of them hold: octets of their columns, not of what belongs to single sessions. */
  held(): { readonly views: number; readonly entries: number; readonly bytes: number } {
    let [views, entries, bytes] = [0, 0, 0];
    for (const { view } of this.#slots.values()) {
      if (!view) continue;
      views++;
      entries += view.count;
      bytes += view.bytes;
    }
    return { views, entries, bytes };
  }

  /** How many views are in memory. */
  get size(): number {
    return this.#slots.size;
  }

  apply(changes: readonly Change[]): void {
    if (this.#slots.size === 0) return;
    const batches = new Map<Slot, Change[]>();
    for (const change of changes) {
      if (change.kind === 'drop' || change.kind === 'notice') continue;
      const { folder, owner } = change;
      this.#collect(batches, `${folder} global`, change);
      if (owner === '') continue; // seen by global only
      this.#collect(batches, `${folder} domain ${splitAddress(owner).domain}`, change);
      this.#collect(batches, `${folder} recipient ${owner}`, change);
    }
    for (const [slot, batch] of batches)
      if (slot.waiting) for (const change of batch) slot.waiting.push(change);
      else slot.view?.apply(batch);
  }

  async reload(): Promise<void> {
    // One that is just being loaded is newer than what was lost. The feed hands on nothing while it waits here.
    for (const { view, scope, folder } of [...this.#slots.values()])
      view?.replace(await this.#stored.load(scope, folder));
  }

  close(): void {
    clearInterval(this.#sweeper);
  }

  async #load(slot: Slot): Promise<LoadedView> {
    slot.waiting = [];
    try {
      const view = new LoadedView(await this.#stored.load(slot.scope, slot.folder), slot.scope.level);
      view.apply(slot.waiting);
      slot.view = view;
      return view;
    } finally {
      delete slot.waiting;
      delete slot.loading;
    }
  }

  #collect(batches: Map<Slot, Change[]>, key: string, change: Change): void {
    const slot = this.#slots.get(key);
    if (!slot) return;
    const batch = batches.get(slot);
    if (batch) batch.push(change);
    else batches.set(slot, [change]);
  }

  #leave(slot: Slot): void {
    if (--slot.users > 0) return;
    slot.idleSince = Date.now();
    if (!slot.view && !slot.loading) this.#slots.delete(slot.key);
    this.#sweeper ??= setInterval(() => this.#sweep(), 60_000).unref();
    this.#sweep();
  }

  #sweep(): void {
    const idle = [...this.#slots.values()].filter((slot) => slot.users === 0 && !slot.loading);
    idle.sort((a, b) => b.idleSince - a.idleSince);
    let messages = 0;
    for (const [index, slot] of idle.entries()) {
      messages += slot.view?.count ?? 0;
      if (index >= maxIdleViews || messages > maxIdleMessages || Date.now() - slot.idleSince >= idleMs)
        this.#slots.delete(slot.key);
    }
    if (this.#slots.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
  }
}

function keyOf(folder: ReadableFolder, scope: Scope): string {
  switch (scope.level) {
    case 'global':
      return `${folder} global`;
    case 'domain':
      return `${folder} domain ${scope.domain}`;
    case 'recipient':
      return `${folder} recipient ${scope.address}`;
  }
}
