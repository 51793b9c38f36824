/** Tells sessions that have an action folder open that their account dropped something on it, by whatever way. */
import type { ActionFolder, Change } from '#store/model';
import type { Feed, Sink } from './feed.ts';

/** `uid`: the highest UID that was given there, 0 if none was (APPEND onto Spam and Not Spam). */
export type Nudge = (uid: number) => void;

export class Nudges implements Sink {
  readonly #listeners = new Map<string, Set<Nudge>>();

  constructor(feed: Feed) {
    feed.add(this);
  }

  /** Once the feed has been started. Answers the way to stop. */
  listen(account: string, folder: ActionFolder, nudge: Nudge): () => void {
    const key = `${folder} ${account}`;
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    const own: Nudge = (uid) => nudge(uid);
    listeners.add(own);
    return () => {
      listeners.delete(own);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  apply(changes: readonly Change[]): void {
    if (this.#listeners.size === 0) return;
    const highest = new Map<string, number>();
    for (const { kind, folder, account, uid } of changes)
      if (kind === 'drop' && account !== undefined) {
        const key = `${folder} ${account}`;
        highest.set(key, Math.max(highest.get(key) ?? 0, uid));
      }
    for (const [key, uid] of highest) for (const nudge of [...(this.#listeners.get(key) ?? [])]) nudge(uid);
  }
}
