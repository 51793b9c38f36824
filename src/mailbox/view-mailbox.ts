/**
 * A readable folder as a session has it open: both Caught folders, Training Requested, Trash. Reads from the shared view
 * and the store, and turns COPY, MOVE, STORE and EXPUNGE into what they mean here.
 */
import { meaningOf } from '#app/quarantine/actions';
import type { FolderRecord } from '#app/quarantine/folders';
import type { Fetched, Mailbox, StoreChange, Stored, Targets, Transferred, View, Want } from '#imap/backend';
import { No } from '#imap/errors';
import type { ModSeq, ReadableFolder, Uid } from '#store/model';
import type { Who, World } from './account.ts';
import { copyStays, type Drop, moveStays } from './dropping.ts';
import { fetchBatches } from './fetching.ts';
import type { LoadedView } from './loaded-view.ts';
import { named, refusal } from './named.ts';

/** System flags of RFC 3501 §2.3.2 but \Recent, which nothing here ever has. */
export const systemFlags: readonly string[] = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft'];

/** Stays changed in one transaction. */
const storeChunk = 5_000;

export class ViewMailbox implements Mailbox {
  readonly name: string;
  readonly readOnly: boolean;
  readonly uidValidity: number;
  readonly flags: readonly string[] = systemFlags;
  readonly permanentFlags: readonly string[];
  readonly #world: World;
  readonly #who: Who;
  readonly #folder: ReadableFolder;
  readonly #view: LoadedView;
  readonly #listening = new Set<() => void>();
  #closed = false;

  /** `view` was acquired for it and is released by `close`. */
  constructor(world: World, who: Who, record: FolderRecord, view: LoadedView, readOnly: boolean) {
    this.name = record.name;
    this.readOnly = readOnly;
    this.uidValidity = world.store.uidValidity;
    this.permanentFlags = readOnly ? [] : [...systemFlags, '\\*'];
    this.#world = world;
    this.#who = who;
    this.#folder = record.role as ReadableFolder;
    this.#view = view;
  }

  get view(): View {
    return this.#view;
  }

  refresh(): Promise<void> {
    return this.#world.feed.refresh();
  }

  onChange(changed: () => void): () => void {
    // A function of its own per call: the same callback given twice is told twice, and stopped by itself.
    const listener = () => changed();
    this.#view.listeners.add(listener);
    this.#listening.add(listener);
    return () => {
      this.#view.listeners.delete(listener);
      this.#listening.delete(listener);
    };
  }

  takeNudge(): boolean {
    return false;
  }

  fetch(uids: readonly number[] | Uint32Array, want: Want): AsyncIterable<readonly Fetched[]> {
    return fetchBatches(this.#world.store, this.#view, uids, want);
  }

  async store(targets: Targets, change: StoreChange): Promise<Stored> {
    this.#mayChange();
    const uids = targets.uids as readonly Uid[];
    const modified: number[] = [];
    let modSeq = 0;
    for (let at = 0; at < uids.length; at += storeChunk) {
      const stays = { scope: this.#who.scope, folder: this.#folder, uids: uids.slice(at, at + storeChunk) };
      const { op, flags, unchangedSince } = change;
      const set = await this.#world.store.entries.setFlags(stays, {
        op,
        flags,
        ...(unchangedSince !== undefined && { unchangedSince: unchangedSince as ModSeq }),
      });
      for (const uid of set.modified) modified.push(uid);
      modSeq = Math.max(modSeq, set.modSeq);
    }
    await this.#world.feed.upTo(modSeq);
    return { modified };
  }

  async copy(targets: Targets, to: string, progress: (sentence: string) => void): Promise<Transferred> {
    const drop = this.#dropOn(to, progress);
    // Onto and out of Trash a COPY takes the message away from here (DESIGN §7.5).
    if (drop.action === 'discard' || drop.action === 'restore') this.#mayChange();
    return copyStays(this.#world, this.#who, targets.uids, drop);
  }

  async move(targets: Targets, to: string, progress: (sentence: string) => void): Promise<Transferred> {
    this.#mayChange();
    return moveStays(this.#world, this.#who, targets, this.#dropOn(to, progress));
  }

  async expunge(uids: readonly number[]): Promise<void> {
    this.#mayChange();
    let modSeq = 0;
    for (let at = 0; at < uids.length; at += storeChunk) {
      const stays = { scope: this.#who.scope, folder: this.#folder, uids: uids.slice(at, at + storeChunk) as Uid[] };
      const expunged = await this.#world.store.entries.expunge(stays, this.#who.actor);
      modSeq = Math.max(modSeq, expunged.modSeq);
    }
    await this.#world.feed.upTo(modSeq);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listening) this.#view.listeners.delete(listener);
    this.#world.views.release(this.#who.scope, this.#folder);
  }

  /** @throws No  TRYCREATE for what is no folder, CANNOT for what does not take messages from here */
  #dropOn(to: string, progress: (sentence: string) => void): Drop {
    const meaning = meaningOf(this.#folder, named(this.#world, to, 'TRYCREATE').role);
    switch (meaning.kind) {
      case 'drop':
        return { from: this.#folder, action: meaning.action, progress };
      case 'restore':
        return { from: this.#folder, action: 'restore', restoreTo: meaning.to, progress };
      case 'refused':
        throw refusal(meaning.refusal);
      case 'undo':
      case 'nothing':
        throw new Error(`${this.#folder} is no action folder`);
    }
  }

  #mayChange(): void {
    if (this.readOnly) throw new No('CANNOT', 'The folder was opened for reading only');
  }
}
