/**
 * INBOX as a session has it open. STORE keeps everything but \Deleted, which is not in PERMANENTFLAGS; EXPUNGE and CLOSE
 * remove nothing; nothing can be copied or moved out of it.
 */
import { meaningOf } from '#app/quarantine/actions';
import type { FolderRecord } from '#app/quarantine/folders';
import type { Fetched, Mailbox, StoreChange, Stored, Targets, Transferred, View, Want } from '#imap/backend';
import { No } from '#imap/errors';
import { Summarizer } from '#imap/mime/summary';
import type { Who, World } from './account.ts';
import type { Inbox, Inboxes } from './inbox.ts';
import { named, refusal } from './named.ts';
import { systemFlags } from './view-mailbox.ts';

/** A setting is small; a client that makes keywords without end is told so. */
const maxFlags = 50;

export class InboxMailbox implements Mailbox {
  readonly name: string;
  readonly readOnly: boolean;
  readonly uidValidity: number;
  readonly flags: readonly string[] = systemFlags;
  readonly permanentFlags: readonly string[];
  readonly view: View;
  readonly #world: World;
  readonly #who: Who;
  readonly #inboxes: Inboxes;
  readonly #inbox: Inbox;
  readonly #listening = new Set<() => void>();
  #closed = false;

  /** `inbox` was acquired for it and is released by `close`. */
  constructor(world: World, who: Who, record: FolderRecord, inboxes: Inboxes, inbox: Inbox, readOnly: boolean) {
    this.name = record.name;
    this.readOnly = readOnly;
    this.uidValidity = world.store.uidValidity;
    this.permanentFlags = readOnly ? [] : [...systemFlags.filter((flag) => flag !== '\\Deleted'), '\\*'];
    this.view = inbox.view;
    this.#world = world;
    this.#who = who;
    this.#inboxes = inboxes;
    this.#inbox = inbox;
  }

  async refresh(): Promise<void> {}

  onChange(changed: () => void): () => void {
    const listener = () => changed();
    this.#inbox.view.listeners.add(listener);
    this.#listening.add(listener);
    return () => {
      this.#inbox.view.listeners.delete(listener);
      this.#listening.delete(listener);
    };
  }

  takeNudge(): boolean {
    return false;
  }

  async *fetch(uids: readonly number[] | Uint32Array, want: Want): AsyncGenerator<readonly Fetched[]> {
    const { uid, message } = this.#inbox;
    if (!uids.includes(uid)) return;
    const summarizer = new Summarizer();
    summarizer.push(message);
    const { envelope, bodyStructure, body, commonFields, parts } = summarizer.end();
    yield [
      {
        uid,
        size: message.length,
        prefixSize: 0,
        ...(want.envelope && { envelope }),
        ...(want.bodyStructure && { bodyStructure }),
        ...(want.body && { body }),
        ...(want.commonFields && { commonFields }),
        ...(want.parts && { parts }),
        async *read(offset, length) {
          const bytes = message.subarray(offset, offset + length);
          if (bytes.length > 0) yield bytes;
        },
      },
    ];
  }

  async store(targets: Targets, change: StoreChange): Promise<Stored> {
    if (this.readOnly) throw new No('CANNOT', 'The folder was opened for reading only');
    const { uid, view } = this.#inbox;
    if (!targets.uids.includes(uid)) return { modified: [] };
    if (change.unchangedSince !== undefined && view.modSeqs[0]! > change.unchangedSince) return { modified: [uid] };
    const flags = changed(this.#inbox.flags, change);
    if (flags.length > maxFlags) throw new No('LIMIT', `A message here can have ${maxFlags} flags`);
    await this.#inboxes.setFlags(this.#who, this.#inbox, flags);
    return { modified: [] };
  }

  async copy(_targets: Targets, to: string): Promise<Transferred> {
    return this.#refuse(to);
  }

  async move(_targets: Targets, to: string): Promise<Transferred> {
    return this.#refuse(to);
  }

  async expunge(): Promise<void> {}

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listening) this.#inbox.view.listeners.delete(listener);
    this.#inboxes.release(this.#who);
  }

  #refuse(to: string): Transferred {
    const meaning = meaningOf('inbox', named(this.#world, to, 'TRYCREATE').role);
    if (meaning.kind === 'refused') throw refusal(meaning.refusal);
    return { left: [] };
  }
}

/** Keywords are the same in any case (RFC 9051 §2.3.2); \\Deleted is nothing that can be kept here. */
function changed(old: readonly string[], { op, flags: named }: StoreChange): readonly string[] {
  const has = (list: readonly string[], flag: string) => list.some((each) => each.toLowerCase() === flag.toLowerCase());
  if (op === 'remove') return old.filter((flag) => !has(named, flag));
  const flags = op === 'replace' ? [] : [...old];
  for (const flag of named) if (flag !== '\\Deleted' && !has(flags, flag)) flags.push(flag);
  return flags;
}
