/** What a logged-in account sees and may ask for, folder by folder. */
import { folders } from '#app/quarantine/folders';
import type { Appending, FolderListing, FolderStatus, Mailbox, Session } from '#imap/backend';
import { No } from '#imap/errors';
import type { ActionFolder, ReadableFolder } from '#store/model';
import type { Who, World } from './account.ts';
import { ActionMailbox } from './action-mailbox.ts';
import { appendTo, type Take } from './append.ts';
import type { Inboxes } from './inbox.ts';
import { InboxMailbox } from './inbox-mailbox.ts';
import { named, offers } from './named.ts';
import type { NoticeBoard } from './notice-board.ts';
import type { Nudges } from './nudges.ts';
import type { Subscriptions } from './subscriptions.ts';
import { ViewMailbox } from './view-mailbox.ts';

/** What all sessions of this process share besides the world. */
export interface Shared {
  readonly inboxes: Inboxes;
  readonly nudges: Nudges;
  readonly noticeBoard: NoticeBoard;
  readonly subscriptions: Subscriptions;
}

export class AccountSession implements Session {
  readonly user: string;
  readonly #world: World;
  readonly #who: Who;
  readonly #shared: Shared;
  readonly #onClose: () => void;
  readonly #listening = new Set<() => void>();
  #closed = false;

  constructor(world: World, who: Who, shared: Shared, onClose: () => void) {
    this.user = who.name;
    this.#world = world;
    this.#who = who;
    this.#shared = shared;
    this.#onClose = onClose;
  }

  async folders(): Promise<readonly FolderListing[]> {
    const isSubscribed = await this.#shared.subscriptions.of(this.#who.name);
    return folders
      .filter((folder) => offers(this.#world, folder))
      .map(({ name, attributes }) => ({ name, attributes, subscribed: isSubscribed(name) }));
  }

  async setSubscribed(folder: string, subscribed: boolean): Promise<void> {
    const name = folders.find((each) => each.name === folder)?.name ?? folder;
    await this.#shared.subscriptions.set(this.#who.name, name, subscribed);
  }

  async status(folder: string): Promise<FolderStatus> {
    const { role, kind } = named(this.#world, folder, 'NONEXISTENT');
    const { store, views } = this.#world;
    const { scope } = this.#who;
    const { uidValidity } = store;
    switch (kind) {
      case 'help': {
        const { view } = await this.#shared.inboxes.acquire(this.#who);
        this.#shared.inboxes.release(this.#who);
        return { ...counted(view), uidValidity };
      }
      case 'readable': {
        const view = await views.acquire(scope, role as ReadableFolder);
        views.release(scope, role as ReadableFolder);
        return { ...counted(view), uidValidity };
      }
      case 'action': {
        const { uidNext, highestModSeq } = await store.views.top(scope, role as ActionFolder);
        return { messages: 0, unseen: 0, size: 0, uidNext, highestModSeq, uidValidity };
      }
    }
  }

  async open(folder: string, readOnly: boolean): Promise<Mailbox> {
    const record = named(this.#world, folder, 'NONEXISTENT');
    const { store, feed, views, actionFolders } = this.#world;
    const { scope } = this.#who;
    const { inboxes, nudges } = this.#shared;
    switch (record.kind) {
      case 'help': {
        const inbox = await inboxes.acquire(this.#who);
        return new InboxMailbox(this.#world, this.#who, record, inboxes, inbox, readOnly);
      }
      case 'readable': {
        const view = await views.acquire(scope, record.role as ReadableFolder);
        return new ViewMailbox(this.#world, this.#who, record, view, readOnly);
      }
      case 'action': {
        if (actionFolders === 'strict')
          throw new No('NOPERM', `${record.name} cannot be opened, messages can only be put on it`);
        await feed.start(); // or the first drops would be missed
        const top = await store.views.top(scope, record.role as ActionFolder);
        return new ActionMailbox(this.#world, this.#who, record, top, nudges, readOnly);
      }
    }
  }

  async create(): Promise<void> {
    throw new No('CANNOT', 'No folders can be made in the quarantine');
  }

  async delete(): Promise<void> {
    throw new No('CANNOT', 'The folders of the quarantine cannot be deleted');
  }

  async rename(): Promise<void> {
    throw new No('CANNOT', 'The folders of the quarantine cannot be renamed');
  }

  async append(message: Appending): Promise<Take> {
    return appendTo(this.#world, this.#who, named(this.#world, message.folder, 'TRYCREATE'));
  }

  onNotice(tell: (sentence: string) => void): () => void {
    const stop = this.#shared.noticeBoard.listen(this.#who.actor.account, tell);
    this.#listening.add(stop);
    return () => {
      this.#listening.delete(stop);
      stop();
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#listening) stop();
    this.#onClose();
  }
}

function counted(view: {
  readonly count: number;
  readonly unseen: number;
  readonly octets: number;
  readonly uidNext: number;
  readonly highestModSeq: number;
}): Omit<FolderStatus, 'uidValidity'> {
  const { count, unseen, octets, uidNext, highestModSeq } = view;
  return { messages: count, unseen, size: octets, uidNext, highestModSeq };
}
