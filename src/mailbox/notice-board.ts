/**
 * Tells accounts what they have to be told once (`* OK [ALERT]`): at login, and while they are logged in whenever the feed
 * shows that something is waiting. Many become one sentence: a client shows one alert, and Thunderbird 153 drops those
 * that follow within five seconds of another.
 */
import type { Log } from '#app/observe/log';
import type { Change } from '#store/model';
import type { Notices } from '#store/port';
import type { Feed, Sink } from './feed.ts';

interface Listeners {
  readonly tell: Set<(sentence: string) => void>;
  timer?: NodeJS.Timeout;
  lastToldAt: number;
}

export interface NoticeTiming {
  /** Failures come in swarms: so long the first one waits for the others. */
  readonly gatherMs: number;
  /** And so long the next swarm. */
  readonly apartMs: number;
}

export class NoticeBoard implements Sink {
  readonly #notices: Notices;
  readonly #feed: Feed;
  readonly #log: Log;
  readonly #timing: NoticeTiming;
  readonly #accounts = new Map<string, Listeners>();
  /** Taken from the store when the last session was just gone: for the next one. */
  readonly #untold = new Map<string, readonly string[]>();

  constructor(notices: Notices, feed: Feed, log: Log, timing: NoticeTiming = { gatherMs: 500, apartMs: 6_000 }) {
    this.#notices = notices;
    this.#feed = feed;
    this.#log = log;
    this.#timing = timing;
    feed.add(this);
  }

  /** Tells what is waiting now, and whatever comes. Answers the way to stop. */
  listen(account: string, tell: (sentence: string) => void): () => void {
    const listeners = this.#accounts.get(account) ?? { tell: new Set(), lastToldAt: 0 };
    this.#accounts.set(account, listeners);
    const own = (sentence: string) => tell(sentence);
    listeners.tell.add(own);
    this.#feed.start().catch(() => undefined);
    void this.#give(account, listeners);
    return () => {
      listeners.tell.delete(own);
      if (listeners.tell.size > 0) return;
      clearTimeout(listeners.timer);
      if (this.#accounts.get(account) === listeners) this.#accounts.delete(account);
    };
  }

  apply(changes: readonly Change[]): void {
    if (this.#accounts.size === 0) return;
    for (const { kind, account } of changes) {
      const listeners = kind === 'notice' && account !== undefined ? this.#accounts.get(account) : undefined;
      if (listeners && account !== undefined) this.#schedule(account, listeners);
    }
  }

  close(): void {
    for (const { timer } of this.#accounts.values()) clearTimeout(timer);
  }

  #schedule(account: string, listeners: Listeners): void {
    if (listeners.timer) return;
    const { gatherMs, apartMs } = this.#timing;
    const wait = Math.max(gatherMs, listeners.lastToldAt + apartMs - Date.now());
    listeners.timer = setTimeout(() => {
      delete listeners.timer;
      void this.#give(account, listeners);
    }, wait).unref();
  }

  async #give(account: string, listeners: Listeners): Promise<void> {
    try {
      const taken = await this.#notices.take(account);
      const texts = [...(this.#untold.get(account) ?? []), ...taken];
      this.#untold.delete(account);
      const sentence = summed(texts);
      if (sentence === undefined) return;
      if (listeners.tell.size === 0) {
        this.#untold.set(account, texts);
        return;
      }
      listeners.lastToldAt = Date.now();
      for (const tell of [...listeners.tell]) tell(sentence);
    } catch (error) {
      // They are still there; the account's next login asks again.
      this.#log.warn({ err: error, account }, 'notices cannot be read');
    }
  }
}

/** Each is about a message that came back. */
export function summed(texts: readonly string[]): string | undefined {
  const last = texts.at(-1);
  if (last === undefined || texts.length === 1) return last;
  return `${texts.length} messages could not be delivered and are back where they were. The last one: ${last}`;
}
