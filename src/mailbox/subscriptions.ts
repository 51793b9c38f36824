/**
 * Which folders an account is subscribed to: all from the start (some clients show no others), so only what was taken
 * off is kept, and names that are no folders (RFC 3501 §6.3.6 lets a client subscribe to those).
 */

import { folders } from '#app/quarantine/folders';
import type { Settings } from '#store/port';

interface Kept {
  /** Folders of ours taken off. */
  readonly off: readonly string[];
  /** Other names put on. */
  readonly also: readonly string[];
}

const none: Kept = { off: [], also: [] };
/** Of names that are no folders. A client that goes on for ever forgets the oldest. */
const maxOthers = 1_000;

export class Subscriptions {
  readonly #settings: Settings;
  /** One change after the other, so that two of an account at once are both kept. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async of(account: string): Promise<(folder: string) => boolean> {
    const { off, also } = await this.#read(account);
    return (folder) => (isOurs(folder) ? !off.includes(folder) : also.includes(folder));
  }

  set(account: string, folder: string, subscribed: boolean): Promise<void> {
    const change = this.#last.then(async () => {
      const { off, also } = await this.#read(account);
      const named = (list: readonly string[], has: boolean) => [
        ...list.filter((each) => each !== folder),
        ...(has ? [folder] : []),
      ];
      const kept: Kept = isOurs(folder)
        ? { off: named(off, !subscribed), also }
        : { off, also: named(also, subscribed).slice(-maxOthers) };
      await this.#settings.put(keyOf(account), Buffer.from(JSON.stringify(kept)));
    });
    this.#last = change.catch(() => undefined);
    return change;
  }

  async #read(account: string): Promise<Kept> {
    const bytes = await this.#settings.get(keyOf(account));
    return bytes ? (JSON.parse(Buffer.from(bytes).toString()) as Kept) : none;
  }
}

const keyOf = (account: string): string => `subscriptions:${account}`;
const isOurs = (folder: string): boolean => folders.some(({ name }) => name === folder);
