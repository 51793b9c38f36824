/**
 * Is this process fit to be sent clients and mail? Asked by balancers, often, and most of all when something hangs; so a probe
 * that has not answered is waited for again and never started a second time. Whoever asks is told a name and a sentence; what
 * an error says in detail may name hosts and paths, and goes to the log, once when it begins and once when it ends.
 */
import { TooLate, within } from './deadline.ts';
import type { Log } from './log.ts';

export interface Probe {
  /** One word: store, bus, views. */
  readonly name: string;
  /** Resolves when all is well. A NotReady says why not in words for everybody; other errors are for the log. */
  probe(): Promise<void>;
  /** 2,000 when left out. */
  readonly withinMs?: number;
  /** The service goes on without it: told, and no reason to send nobody here. */
  readonly spare?: true;
}

export class NotReady extends Error {}

export interface Problem {
  readonly name: string;
  readonly why: string;
}

export interface Fitness {
  readonly status: 'ready' | 'not ready' | 'stopping';
  readonly problems: readonly Problem[];
}

const defaultMs = 2_000;

export class Readiness {
  readonly #probes: readonly Probe[];
  readonly #log: Log;
  readonly #running = new Map<Probe, Promise<void>>();
  readonly #failing = new Set<Probe>();
  #stopping = false;

  constructor(probes: readonly Probe[], log: Log) {
    this.#probes = probes;
    this.#log = log;
  }

  /** From now on nobody should be sent here. */
  stop(): void {
    this.#stopping = true;
  }

  /** Never rejects. */
  async check(): Promise<Fitness> {
    if (this.#stopping) return stopping;
    const problems = (await Promise.all(this.#probes.map((probe) => this.#ask(probe)))).filter(
      (each) => each !== undefined,
    );
    if (this.#stopping) return stopping;
    const bad = problems.some(({ spare }) => spare !== true);
    return { status: bad ? 'not ready' : 'ready', problems: problems.map(({ name, why }) => ({ name, why })) };
  }

  async #ask(probe: Probe): Promise<(Problem & Pick<Probe, 'spare'>) | undefined> {
    const { name, withinMs = defaultMs } = probe;
    let running = this.#running.get(probe);
    if (!running) {
      running = probe.probe().finally(() => this.#running.delete(probe));
      this.#running.set(probe, running);
    }
    try {
      await within(withinMs, running);
      if (this.#failing.delete(probe)) this.#log.info({ probe: name }, 'ready again');
      return undefined;
    } catch (error) {
      if (!this.#failing.has(probe)) this.#log.warn({ probe: name, err: error }, 'not ready');
      this.#failing.add(probe);
      return { name, why: sentence(error, withinMs), ...(probe.spare ? { spare: true } : {}) };
    }
  }
}

const stopping: Fitness = { status: 'stopping', problems: [{ name: 'server', why: 'The server is stopping.' }] };

function sentence(error: unknown, ms: number): string {
  if (error instanceof NotReady) return error.message;
  return error instanceof TooLate ? `It did not answer within ${ms / 1000} s.` : 'It failed; the log says how.';
}
