/**
 * A write-only folder as a session has it open: always empty, whatever was dropped on it (DESIGN §1). Two things happen in
 * it all the same: after each drop of this account the client is told `* 0 EXISTS` again, and a UID that a drop was
 * answered with can be taken back (DESIGN §7.5, *Undo*), which clients do by UID although they see nothing.
 */
import { meaningOf } from '#app/quarantine/actions';
import type { FolderRecord } from '#app/quarantine/folders';
import { explain } from '#app/quarantine/refusals';
import type { Fetched, Mailbox, StoreChange, Stored, Targets, Transferred, View } from '#imap/backend';
import { No } from '#imap/errors';
import type { ActionFolder, ReadableFolder } from '#store/model';
import type { Who, World } from './account.ts';
import { copyUid } from './dropping.ts';
import type { LoadedView } from './loaded-view.ts';
import { named } from './named.ts';
import type { Nudges } from './nudges.ts';
import { emptyView } from './small-views.ts';
import { systemFlags } from './view-mailbox.ts';

export class ActionMailbox implements Mailbox {
  readonly name: string;
  readonly readOnly: boolean;
  readonly uidValidity: number;
  readonly flags: readonly string[] = systemFlags;
  /** Never empty, or clients take it that nothing can be dropped here (FEATURES Q6). */
  readonly permanentFlags: readonly string[] = [...systemFlags, '\\*'];
  readonly #view: LoadedView;
  readonly #world: World;
  readonly #who: Who;
  readonly #folder: ActionFolder;
  readonly #listeners = new Set<() => void>();
  readonly #stopNudges: () => void;
  #nudged = false;

  constructor(
    world: World,
    who: Who,
    record: FolderRecord,
    top: { readonly uidNext: number; readonly highestModSeq: number },
    nudges: Nudges,
    readOnly: boolean,
  ) {
    this.name = record.name;
    this.readOnly = readOnly;
    this.uidValidity = world.store.uidValidity;
    this.#view = emptyView(top);
    this.#world = world;
    this.#who = who;
    this.#folder = record.role as ActionFolder;
    this.#stopNudges = nudges.listen(who.actor.account, this.#folder, (uid) => {
      this.#nudged = true;
      if (uid >= this.#view.uidNext) this.#view.uidNext = uid + 1;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  get view(): View {
    return this.#view;
  }

  refresh(): Promise<void> {
    return this.#world.feed.refresh();
  }

  onChange(changed: () => void): () => void {
    const listener = () => changed();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  takeNudge(): boolean {
    const nudged = this.#nudged;
    this.#nudged = false;
    return nudged;
  }

  async *fetch(): AsyncGenerator<readonly Fetched[]> {}

  async store(targets: Targets, change: StoreChange): Promise<Stored> {
    this.#mayChange();
    if (change.op !== 'add' || !change.flags.includes('\\Deleted')) return { modified: [] };
    const { copyUid, refusal } = await this.#undo(targets, undefined);
    return { modified: [], ...(copyUid && { copyUid }), ...(refusal && { refusal }) };
  }

  /** There is nothing in it that could be copied. */
  async copy(_targets: Targets, to: string): Promise<Transferred> {
    named(this.#world, to, 'TRYCREATE');
    return { left: [] };
  }

  async move(targets: Targets, to: string): Promise<Transferred> {
    this.#mayChange();
    const meaning = meaningOf(this.#folder, named(this.#world, to, 'TRYCREATE').role);
    return meaning.kind === 'undo' ? this.#undo(targets, meaning.backTo) : { left: [] };
  }

  async expunge(): Promise<void> {
    this.#mayChange();
  }

  close(): void {
    this.#stopNudges();
    this.#listeners.clear();
  }

  async #undo(targets: Targets, backTo: ReadableFolder | undefined): Promise<Transferred> {
    if (!targets.ranges) return { left: [] };
    const { store, feed } = this.#world;
    const { actor, scope } = this.#who;
    const taken = await store.drops.undo(actor, scope, this.#folder, targets.ranges, backTo);
    await feed.upTo(taken.modSeq);
    const said = explain(
      taken.refused.map(({ reason }) => reason),
      taken.pairs.length + taken.refused.length,
    );
    return {
      left: [],
      ...copyUid(store.uidValidity, taken.pairs),
      ...(said && { refusal: new No(said.code, said.text) }),
    };
  }

  #mayChange(): void {
    if (this.readOnly) throw new No('CANNOT', 'The folder was opened for reading only');
  }
}
