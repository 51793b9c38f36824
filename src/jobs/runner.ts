/**
 * Claims jobs, runs them, keeps their leases, records how they ended (DESIGN §4.3). What must stay true: a claimed job
 * always ends in exactly one of finish, release, or a lost lease; nothing that a handler or the store does ends the runner;
 * one kind of work that hangs holds up no other (each lane claims for itself; one next hop is the delivery client's affair).
 */
import { randomUUID } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import type { Listen } from '#app/bus/bus';
import { retryDelayMs } from '#app/lib/backoff';
import type { Log } from '#app/observe/log';
import type { Ended, Handler } from '#app/quarantine/job-handler';
import { LeaseLost, StoreError } from '#store/errors';
import type { ClaimedJob, Step } from '#store/model';
import type { Outcome, Store } from '#store/port';

export type { Ended, Handler };

export interface RunnerOptions {
  readonly store: Pick<Store, 'jobs' | 'changes' | 'housekeep'>;
  readonly handlers: Readonly<Record<Step, Handler>>;
  /** Deliveries at a time; trainings have places of their own beside them. */
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly log: Log;
  /** Who rings when there may be work; by default the store. */
  readonly listen?: Listen;
  /** Looks for work at least so often, whatever rings were lost. */
  readonly pollMs?: number;
}

export interface Runner {
  start(): void;
  /** Claims nothing any more; running tries get so long, then they are given up, and given back where nothing was sent. */
  stop(graceMs: number): Promise<void>;
  /** There may be something to do: looks now. */
  poke(): void;
  /** For tests: resolves when nothing can be claimed now and nothing runs. */
  idle(): Promise<void>;
}

/** An eighth of the deliveries, but always some: a learner that hangs keeps fewer of them than there are. */
export const trainingsAtOnce = (concurrency: number): number => Math.max(4, Math.ceil(concurrency / 8));

export function createRunner(options: RunnerOptions): Runner {
  return new JobRunner(options);
}

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = {
  claimed: channel('lazaret:job.claimed'),
  ended: channel('lazaret:job.ended'),
  recorded: channel('lazaret:job.recorded'),
};

/** Changes come in bursts; one look answers many rings. */
const ringPauseMs = 50;
const pollMs = 5000;
/** After an error of the store, and between tries to record an outcome. */
const storePauseMs = 1000;
const longestPauseMs = 30_000;
/** The store was busy or away while a job was at work: soon again, that says nothing about the job. */
const storeTroubleDelayMs = 10_000;
/** Tries that were told to give up get so long to do so. */
const giveUpMs = 2000;

/** Jobs that are claimed together, apart from all others. */
interface Lane {
  readonly steps: readonly Step[];
  readonly most: number;
  readonly running: Set<Run>;
  claiming: Promise<void> | undefined;
  /** Somebody asked to look again while it was claiming. */
  again: boolean;
}

interface Run {
  readonly job: ClaimedJob;
  readonly abandon: AbortController;
  readonly ended: Promise<void>;
}

class JobRunner implements Runner {
  readonly #options: RunnerOptions;
  readonly #lanes: readonly Lane[];
  #state: 'new' | 'started' | 'stopping' | 'given-up' = 'new';
  #unwatch: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #housekeeping: Promise<void> | undefined;
  #housekeepAgain = false;
  /** Rises with every job claimed, so that idle() can tell whether a look found anything. */
  #claimed = 0;
  readonly #stopped = new AbortController();

  constructor(options: RunnerOptions) {
    this.#options = options;
    const lane = (steps: readonly Step[], most: number): Lane => ({
      steps,
      most,
      running: new Set(),
      claiming: undefined,
      again: false,
    });
    this.#lanes = [
      lane(['deliver'], options.concurrency),
      lane(['train-ham', 'train-spam'], trainingsAtOnce(options.concurrency)),
    ];
  }

  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'started';
    const { listen, store } = this.#options;
    const ring = () => this.#lookIn(ringPauseMs);
    this.#unwatch = listen ? listen(ring) : store.changes.watch(ring);
    this.poke();
  }

  poke(): void {
    if (this.#state !== 'started') return;
    void this.#look();
  }

  async idle(): Promise<void> {
    while (this.#state === 'started') {
      const before = this.#claimed;
      await this.#look();
      const runs = this.#lanes.flatMap(({ running }) => [...running]);
      if (runs.length === 0 && this.#claimed === before) return;
      await Promise.all(runs.map(({ ended }) => ended));
    }
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'given-up') return;
    this.#state = 'stopping';
    this.#unwatch?.();
    clearTimeout(this.#timer);
    await within(graceMs, Promise.all([this.#housekeeping, ...this.#lanes.map(({ claiming }) => claiming)]));
    const runs = this.#lanes.flatMap(({ running }) => [...running]);
    const all = Promise.all(runs.map(({ ended }) => ended));
    await within(graceMs, all);
    this.#state = 'given-up';
    this.#stopped.abort(new Error('The server is stopping'));
    for (const { abandon } of runs) abandon.abort(this.#stopped.signal.reason);
    // What does not even let itself be given up keeps its lease until that runs out; somebody claims it then.
    await within(giveUpMs, all);
  }

  /** Housekeeping first: it may make jobs claimable. Resolves when both are done; never rejects. */
  async #look(): Promise<void> {
    if (this.#state !== 'started') return;
    this.#lookIn(this.#options.pollMs ?? pollMs, true);
    await this.#housekeep();
    await Promise.all(this.#lanes.map((lane) => this.#claim(lane)));
  }

  /** Looks in so long, or earlier if that was planned already; with `anew` what was planned is forgotten. */
  #lookIn(ms: number, anew = false): void {
    if (this.#state !== 'started') return;
    const at = performance.now() + ms;
    if (!anew && at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      void this.#look();
    }, ms);
  }

  #housekeep(): Promise<void> {
    this.#housekeepAgain = true;
    this.#housekeeping ??= this.#keepHouse().then(() => {
      this.#housekeeping = undefined;
      // Asked for between the last turn and now.
      return this.#housekeepAgain && this.#state === 'started' ? this.#housekeep() : undefined;
    });
    return this.#housekeeping;
  }

  async #keepHouse(): Promise<void> {
    const { store, log } = this.#options;
    try {
      while (this.#housekeepAgain && this.#state === 'started') {
        this.#housekeepAgain = false;
        const { more, nextDueAt } = await store.housekeep();
        if (more) {
          // A long turn (thousands of jobs becoming due) must not keep those waiting that are due already.
          this.#housekeepAgain = true;
          for (const lane of this.#lanes) void this.#claim(lane);
        } else if (nextDueAt) {
          // The store's clock may differ a little from ours: never sooner than a moment, the poll mends the rest.
          this.#lookIn(Math.max(nextDueAt.getTime() - Date.now(), ringPauseMs));
        }
      }
    } catch (error) {
      this.#housekeepAgain = false;
      log.warn({ error }, 'housekeeping has to wait');
      this.#lookIn(storePauseMs);
    }
  }

  #claim(lane: Lane): Promise<void> {
    lane.again = true;
    lane.claiming ??= this.#fill(lane).then(() => {
      lane.claiming = undefined;
      return lane.again && this.#state === 'started' ? this.#claim(lane) : undefined;
    });
    return lane.claiming;
  }

  async #fill(lane: Lane): Promise<void> {
    const { store, leaseMs, log } = this.#options;
    try {
      while (lane.again && this.#state === 'started') {
        lane.again = false;
        const limit = lane.most - lane.running.size;
        if (limit <= 0) return; // whoever ends next looks again
        const jobs = await store.jobs.claim({ steps: lane.steps, limit, leaseMs });
        this.#claimed += jobs.length;
        if (jobs.length > 0) steps.claimed.publish(jobs);
        for (const job of jobs) this.#begin(lane, job);
        if (jobs.length > 0) lane.again = true;
      }
    } catch (error) {
      lane.again = false;
      log.warn({ error }, 'jobs cannot be claimed just now');
      this.#lookIn(storePauseMs);
    }
  }

  #begin(lane: Lane, job: ClaimedJob): void {
    const abandon = new AbortController();
    const ended = this.#run(job, abandon).finally(() => {
      lane.running.delete(run);
      if (this.#state === 'started') void this.#claim(lane);
    });
    const run: Run = { job, abandon, ended };
    lane.running.add(run);
  }

  /** Never rejects. */
  async #run(job: ClaimedJob, abandon: AbortController): Promise<void> {
    const { store, log } = this.#options;
    const renewing = this.#keepLease(job, abandon);
    try {
      const ended = await this.#try(job, abandon.signal);
      if (ended === 'lost') return;
      if (ended === 'give-back') {
        await store.jobs.release(job);
        return;
      }
      const { recorded, ...outcome } = ended;
      steps.ended.publish(job);
      if (!(await this.#record(job, outcome))) return;
      steps.recorded.publish(job);
      recorded?.();
    } catch (error) {
      log.error({ error, job: job.key }, 'a job could not be brought to its end; its lease will run out');
    } finally {
      clearInterval(renewing);
    }
  }

  async #try(job: ClaimedJob, signal: AbortSignal): Promise<Ended | 'lost' | 'give-back'> {
    const { handlers, log } = this.#options;
    if (this.#state !== 'started') return 'give-back';
    try {
      const ended = await handlers[job.step](job, signal);
      return signal.aborted && signal.reason instanceof LeaseLost ? 'lost' : ended;
    } catch (error) {
      if (signal.aborted) return signal.reason instanceof LeaseLost ? 'lost' : 'give-back';
      if (error instanceof StoreError && error.temporary) {
        log.warn({ error, job: job.key }, 'a job has to wait for the store');
        return { kind: 'later', said: 'the store was not available', afterMs: storeTroubleDelayMs };
      }
      const id = randomUUID();
      log.error({ error, id, job: job.key }, 'a job failed inside');
      const ageMs = Date.now() - job.droppedAt.getTime();
      return { kind: 'later', said: `an error inside (${id})`, afterMs: retryDelayMs(ageMs, Math.random()) };
    }
  }

  #keepLease(job: ClaimedJob, abandon: AbortController): NodeJS.Timeout {
    const { store, leaseMs, log } = this.#options;
    return setInterval(() => {
      store.jobs.renew(job, leaseMs).catch((error: unknown) => {
        if (error instanceof LeaseLost) abandon.abort(error);
        else log.warn({ error, job: job.key }, 'a lease could not be renewed');
      });
    }, leaseMs / 3);
  }

  /**
   * Records an outcome, however long the store takes: what was delivered and is not recorded would be delivered again.
   * Answers whether it was recorded; not so if the lease was lost or the runner had to stop.
   */
  async #record(job: ClaimedJob, outcome: Outcome): Promise<boolean> {
    const { store, log } = this.#options;
    for (let pauseMs = storePauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        await store.jobs.finish(job, outcome);
        return true;
      } catch (error) {
        if (error instanceof LeaseLost) {
          log.info(
            { job: job.key, outcome: outcome.kind },
            'a job ended after its lease was lost; nothing is recorded',
          );
          return false;
        }
        log.error(
          { error, job: job.key, outcome: outcome.kind, said: outcome.said },
          'an outcome cannot be recorded yet',
        );
        if (this.#state === 'given-up') return false;
        await this.#pause(pauseMs);
      }
    }
  }

  /** Cut short when the runner gives up. */
  #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end);
      if (signal.aborted) end();
    });
  }
}

/** Waits for it, but not longer. */
async function within(ms: number, what: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    what,
    new Promise((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}
