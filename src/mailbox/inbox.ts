/**
 * INBOX: one message of help that nothing can take away (DESIGN §7.8). It lies in no view of the store; its flags are
 * remembered per account in the settings, and all sessions of an account in this process see the same.
 */
import { decode, encode, flagsKey, sinceKey } from '#app/accounts/help-settings';
import type { Change, ModSeq, Uid } from '#store/model';
import type { Who, World } from './account.ts';
import { helpHash, renderHelp } from './help-text.ts';
import type { LoadedView } from './loaded-view.ts';
import { smallView } from './small-views.ts';

export interface Inbox {
  readonly uid: number;
  readonly message: Uint8Array;
  readonly view: LoadedView;
  flags: readonly string[];
}

export class Inboxes {
  readonly #world: World;
  readonly #open = new Map<string, { inbox: Promise<Inbox>; users: number }>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Give it back with `release`, once. */
  async acquire(who: Who): Promise<Inbox> {
    const open = this.#open.get(who.name) ?? { inbox: this.#load(who), users: 0 };
    this.#open.set(who.name, open);
    open.users++;
    try {
      return await open.inbox;
    } catch (error) {
      this.release(who);
      throw error;
    }
  }

  release(who: Who): void {
    const open = this.#open.get(who.name);
    if (open && --open.users === 0) this.#open.delete(who.name);
  }

  /** Resolves when the flags are kept. A set that is there already changes nothing. */
  async setFlags(who: Who, inbox: Inbox, flags: readonly string[]): Promise<void> {
    if (flags.length === inbox.flags.length && flags.every((flag) => inbox.flags.includes(flag))) return;
    const modSeq = inbox.view.highestModSeq + 1;
    inbox.flags = flags;
    const { level } = who.scope;
    const change: Change = {
      kind: 'flags',
      modSeq: modSeq as ModSeq,
      uid: inbox.uid as Uid,
      flags: { [level]: flags.join(' ') },
      // The rest of a line says whom it concerns, which is settled here.
      folder: 'caught',
      entryId: 0 as Change['entryId'],
      messageId: 0 as Change['messageId'],
      owner: '',
    };
    inbox.view.apply([change]);
    await this.#world.store.settings.put(flagsKey(who.name), encode({ uid: inbox.uid, flags, modSeq }));
  }

  async #load(who: Who): Promise<Inbox> {
    const { settings } = this.#world.store;
    const hash = helpHash(this.#world, who);
    const uid = await settings.helpUid(who.name, hash);
    // Its date may not change under a UID either: the time at which somebody first looked.
    const since = await settings.putIfAbsent(sinceKey(who.name, uid), Buffer.from(new Date().toISOString()));
    const date = new Date(Buffer.from(since).toString());
    const message = renderHelp(this.#world, who, date);
    const remembered = await settings.get(flagsKey(who.name));
    const kept = remembered && decode(remembered);
    const flags = kept?.uid === uid ? kept.flags : [];
    const modSeq = kept === undefined ? 1 : kept.uid === uid ? kept.modSeq : kept.modSeq + 1;
    const { level } = who.scope;
    const shown = { uid, size: message.length, internalDate: date.getTime(), modSeq, flags: flags.join(' ') };
    const view = smallView([shown], { uidNext: uid + 1, highestModSeq: modSeq, level });
    return { uid, message, view, flags };
  }
}
