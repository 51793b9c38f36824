/**
 * Makes the inventories of what has come in: behind the intake and never in its way. What must stay true: a message's inventory
 * is put, or it stays on the list; nothing that a message or the store does ends the keeper; several keepers on one store do
 * no harm, and one message is made by two of them now and then.
 *
 * It takes one message after the other, at low priority (worker.ts), and rests where this process has little time left: with
 * a busy event loop it makes a few a second only, and catches up later. Decided by measuring (docs/architecture.md).
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import type { Listen } from '#app/bus/bus';
import type { Log } from '#app/observe/log';
import { NotFound } from '#store/errors';
import type { Inventory, MessageId } from '#store/model';
import type { Store } from '#store/port';
import { InventoryThread, type ThreadLimits } from './thread.ts';

export interface KeeperOptions {
  readonly store: Pick<Store, 'messages' | 'changes'>;
  readonly log: Log;
  /** Who rings when something may have come in; by default the store. */
  readonly listen?: Listen;
  readonly limits?: Partial<ThreadLimits>;
  /** Hears of each that was put. */
  readonly onMade?: (inventory: Inventory, ms: number) => void;
  /** Looks at least so often, whatever rings were lost. */
  readonly pollMs?: number;
  /** After so long a message that was not there is looked for again. */
  readonly missingAgainMs?: number;
  /** And after so long an error of the store is over, perhaps. */
  readonly troubleMs?: number;
}

export interface Keeper {
  start(): void;
  /** After the message at hand, at the latest after so long. */
  stop(graceMs: number): Promise<void>;
  /** For tests: resolves when nothing is to be made. */
  idle(): Promise<void>;
}

/** Messages that are looked up together, and inventories that are put together. */
const atOnce = 32;
const putAtOnce = 16;
const pollMs = 30_000;
/** Arrivals come in bursts; one look answers many rings. */
const ringPauseMs = 250;
/** Of the event loop's time: more, and others wait for it. */
const busy = 0.7;
/** Then so long nothing is made, after so many. */
const restMs = 500;
const betweenRests = 8;
/** After an error of the store. */
const troubleMs = 5000;
/** A message whose octets are not there may be on its way; after so long it is not. */
const missingMs = 10 * 60_000;
/** And is looked at again no sooner than after. */
const missingAgainMs = 5000;
/** Known to be missing; more than that, and the oldest are looked at again. */
const maxMissing = 1000;

export function createKeeper(options: KeeperOptions): Keeper {
  return new InventoryKeeper(options);
}

/** An inventory that is not put yet: after a crash it is made again. */
interface Made {
  readonly id: MessageId;
  readonly inventory: Inventory;
  readonly ms: number;
}

class InventoryKeeper implements Keeper {
  readonly #options: KeeperOptions;
  readonly #thread: InventoryThread;
  readonly #stopping = new AbortController();
  /** Since when they are missing, and when that was seen last. */
  readonly #missing = new Map<MessageId, { readonly since: number; readonly seen: number }>();
  #unwatch: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #rung = false;
  #idlers: (() => void)[] = [];
  #sinceRest = 0;
  #elu = performance.eventLoopUtilization();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#thread = new InventoryThread(options.limits);
  }

  start(): void {
    if (this.#running) return;
    const { listen, store } = this.#options;
    const ring = (): void => {
      this.#rung = true;
      this.#wake?.();
    };
    this.#unwatch = listen ? listen(ring) : store.changes.watch(ring);
    this.#running = this.#run();
  }

  async stop(graceMs: number): Promise<void> {
    this.#unwatch?.();
    this.#stopping.abort();
    this.#wake?.();
    await Promise.race([this.#running, pause(graceMs, undefined, { ref: false })]);
    await this.#thread.close();
    await Promise.race([this.#running, pause(graceMs, undefined, { ref: false })]);
  }

  idle(): Promise<void> {
    if (!this.#running || this.#stopping.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idlers.push(resolve);
      this.#rung = true;
      this.#wake?.();
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const idlers = this.#idlers.splice(0);
      const wasRung = this.#rung;
      this.#rung = false;
      let wait = this.#options.pollMs ?? pollMs;
      try {
        let made = 0;
        while (!signal.aborted && (await this.#makeSome())) made += 1;
        // A whole poll without mail: its memory is better used otherwise, and another is up in no time.
        if (made === 0 && !wasRung && !signal.aborted) await this.#thread.close();
        for (const resolve of idlers) resolve();
      } catch (error) {
        this.#idlers.push(...idlers);
        if (signal.aborted) break;
        this.#options.log.warn({ err: error }, 'inventories could not be made; trying again');
        wait = this.#options.troubleMs ?? troubleMs;
        this.#rung = false;
      }
      await this.#sleep(wait);
      if (this.#rung && this.#idlers.length === 0) await this.#rest(ringPauseMs);
    }
    for (const resolve of this.#idlers.splice(0)) resolve();
  }

  /** Answers whether there may be more. */
  async #makeSome(): Promise<boolean> {
    const { messages } = this.#options.store;
    const list = await messages.withoutInventory(atOnce + this.#missing.size);
    const ids = list.filter((id) => !this.#isMissing(id)).slice(0, atOnce);
    if (ids.length === 0) return false;
    let isNews = false;
    const { bytes, ends } = await messages.summaries(ids, ['parts']);
    let made: Made[] = [];
    for (const [at, id] of ids.entries()) {
      const wasMissing = this.#missing.has(id);
      const one = await this.#make(id, bytes.slice(at === 0 ? 0 : ends[at - 1], ends[at]));
      if (one) made.push(one);
      isNews ||= !wasMissing || one !== undefined;
      const isOver = this.#stopping.signal.aborted;
      const isTired = this.#isTired();
      if (made.length === putAtOnce || at === ids.length - 1 || isTired || isOver) {
        await this.#put(made);
        made = [];
      }
      if (isOver) return false;
      if (isTired) await this.#rest(restMs);
    }
    return isNews;
  }

  /** Side by side, so that the store commits them together: a commit for each would be in the way of the intake's. */
  async #put(made: readonly Made[]): Promise<void> {
    await Promise.all(made.map(({ id, inventory }) => this.#options.store.messages.putInventory(id, inventory)));
    for (const { id, inventory, ms } of made) {
      this.#missing.delete(id);
      this.#options.onMade?.(inventory, ms);
    }
  }

  /** undefined: it is not there, or the keeper is to stop. */
  async #make(id: MessageId, parts: Uint8Array): Promise<Made | undefined> {
    const { store } = this.#options;
    const began = performance.now();
    let inventory: Inventory;
    try {
      // Of one that is just being written not all may be there.
      if (parts.length === 0) throw new NotFound('nothing is known of this message');
      inventory = await this.#thread.make(parts, store.messages.read(id));
      if (this.#stopping.signal.aborted) return undefined;
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      const since = this.#missing.get(id)?.since ?? began;
      if (this.#missing.size >= maxMissing) this.#missing.clear();
      this.#missing.set(id, { since, seen: began });
      if (began - since < missingMs) return undefined;
      inventory = { attachments: [], links: [], problem: 'its octets are gone' };
    }
    return { id, inventory, ms: performance.now() - began };
  }

  #isMissing(id: MessageId): boolean {
    const known = this.#missing.get(id);
    return known !== undefined && performance.now() - known.seen < (this.#options.missingAgainMs ?? missingAgainMs);
  }

  /** After every few messages: whether the event loop has had too much to do meanwhile. */
  #isTired(): boolean {
    this.#sinceRest += 1;
    if (this.#sinceRest < betweenRests) return false;
    this.#sinceRest = 0;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#elu);
    this.#elu = now;
    return utilization > busy;
  }

  async #rest(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    this.#elu = performance.eventLoopUtilization();
  }

  /** Until somebody rings, or so long. */
  async #sleep(ms: number): Promise<void> {
    if (this.#rung || this.#stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      if (this.#idlers.length === 0) timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
