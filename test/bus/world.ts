/** What the tests of the bus stand on: a log that can be waited for, and a store that does nothing but commit. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { openBus, type SharedByNodes } from '#app/bus/open';
import type { LinkTiming } from '#app/bus/redis-link';
import type { Log } from '#app/observe/log';
import type { Changes, WatchOptions } from '#store/port';

/** In a hurry, but slow enough for a machine that is busy. */
export const timing: LinkTiming = { beatMs: 100, answerMs: 1000, firstRetryMs: 20, lastRetryMs: 200 };

/** Resolves when it has come true, and rejects when that takes longer than any machine is slow. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await what())) {
    if (performance.now() > end) throw new Error(`never came true: ${what}`);
    await pause(5);
  }
}

export interface Told extends Log {
  readonly lines: string[];
  /** Resolves when so many lines contain it. */
  sees(text: string, times?: number): Promise<void>;
}

export function remember(): Told {
  const lines: string[] = [];
  const write = (level: string) => (facts: object, message: string) =>
    void lines.push(`${level} ${message} ${JSON.stringify(facts)}`);
  return {
    lines,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    sees: (text, times = 1) => until(() => lines.filter((line) => line.includes(text)).length >= times),
  };
}

/** A change log that only says that it has grown. */
export class Bell implements Pick<Changes, 'watch'> {
  readonly #rings = new Map<() => void, boolean>();

  watch(ring: () => void, { others = true }: WatchOptions = {}): () => void {
    const own = (): void => ring();
    this.#rings.set(own, others);
    return () => {
      this.#rings.delete(own);
    };
  }

  /** Whether anybody wants to know what other processes commit. */
  get looksForOthers(): boolean {
    return [...this.#rings.values()].includes(true);
  }

  commit(): void {
    for (const ring of [...this.#rings.keys()]) ring();
  }

  /** Another process did, and this one's driver noticed by itself. */
  othersCommit(): void {
    for (const [ring, others] of [...this.#rings]) if (others) ring();
  }
}

export interface Node extends SharedByNodes {
  readonly bell: Bell;
  readonly log: Told;
  /** Rings heard. */
  readonly heard: { count: number };
}

export async function startNode(
  t: Test,
  url: string | undefined,
  options: { readonly uidValidity?: number; readonly timing?: Partial<LinkTiming>; readonly delayMs?: number } = {},
): Promise<Node> {
  const bell = new Bell();
  const log = remember();
  const shared = await openBus({
    url,
    store: { changes: bell as unknown as Changes, uidValidity: options.uidValidity ?? 17 },
    loginFailures: { delayMs: options.delayMs ?? 1000, maxDelayMs: 15_000 },
    log,
    timing: { ...timing, ...options.timing },
  });
  t.teardown(() => shared.bus.close());
  const heard = { count: 0 };
  shared.bus.listen(() => {
    heard.count += 1;
  });
  return { ...shared, bell, log, heard };
}
