/**
 * Commands wait here, and one batch of them at a time is written in a transaction (batch.ts). What must stay true: nobody is
 * answered before most nodes have the commit on their disks; a batch whose transaction met another one runs again as a
 * whole; what one command breaks the others do not pay for: they run again, each alone.
 *
 * While the disks are waited for, the next batch may run, of this process or of another: it builds on the commit before, and
 * what comes later in the log is on no disk without it. What a node took back that was primary, it takes back for both.
 */
import { channel } from 'node:diagnostics_channel';
import { setTimeout as pause } from 'node:timers/promises';
import type { ClientSession } from 'mongodb';
import { StoreBusy, StoreError, StoreUnavailable } from '../errors.ts';
import type { ModSeq } from '../model.ts';
import { endAbandoned } from './abandoned.ts';
import { Batch, CommandFailed } from './batch.ts';
import type { Connection } from './connect.ts';
import { asStoreError, isGone, isTransient, isUnknownCommit } from './fault.ts';
import type { Tx } from './tx.ts';

/** More would keep the first caller waiting for the last one's sake, and other processes for all of them. */
const maxCommands = 256;
const maxBytes = 8 * 1024 * 1024;
const maxMs = 20;
/** A batch is tried again until its first command has waited for so long; while the store is gone, for less. */
const tryMs = 8000;
const goneMs = 4000;
/** Batches that wait for the disks at a time. */
const maxUnconfirmed = 8;
/** So long the turn of others is waited for without looking at what else might be wrong. */
const askMs = 200;
/** Whoever had its turn while others write too leaves them about the time of a turn each, but no more than this. */
const yieldMs = 100;
/** A little less: who is there early waits in the server, who is late leaves it idle. */
const yieldShare = 0.9;
/** After so long a conflict is perhaps one with somebody who is no more; looked for as often. */
const abandonedMs = 1000;

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = {
  committing: channel('lazaret:store.committing'),
  committed: channel('lazaret:store.committed'),
  batch: channel('lazaret:store.batch'),
};

/** Commands that wait side by side and of which one run can do many. Runs each in `batch.run`, in their order. */
export type Together<A> = (batch: Batch, tasks: readonly A[]) => Promise<readonly Outcome[]>;
export type Outcome = { readonly value: unknown } | { readonly failed: StoreError };

interface Command {
  /** As in the port, e.g. `drops.take`. */
  readonly method: string;
  readonly bytes: number;
  readonly together: Together<never>;
  readonly task: unknown;
  readonly since: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class Queue {
  readonly #connection: Connection;
  /** Hears of the log's end after each commit, before anybody is answered. */
  readonly #committed: (end: ModSeq) => void;
  readonly #waiting: Command[] = [];
  #running: Promise<void> | undefined;
  /** Committed, and not yet on the disks of most nodes. */
  readonly #unconfirmed = new Set<Promise<void>>();
  #closed = false;
  /** Of the last batch: its number in the installation, and how long to let others before the next one. */
  #turn = 0;
  #yieldMs = 0;

  constructor(connection: Connection, committed: (end: ModSeq) => void) {
    this.#connection = connection;
    this.#committed = committed;
  }

  run<T>(method: string, command: (tx: Tx) => T | Promise<T>): Promise<T> {
    return this.runTogether(method, alone, command, 0) as Promise<T>;
  }

  runTogether<A>(method: string, together: Together<A>, task: A, bytes: number): Promise<unknown> {
    if (this.#closed) return Promise.reject(new StoreUnavailable('The store is closed'));
    return new Promise((resolve, reject) => {
      const since = performance.now();
      this.#waiting.push({ method, bytes, together: together as Together<never>, task, since, resolve, reject });
      this.#running ??= this.#runAll();
    });
  }

  /** Ends when everything that waits is done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await Promise.all(this.#unconfirmed);
  }

  async #runAll(): Promise<void> {
    await Promise.resolve(); // whoever calls in the same turn comes along
    while (this.#waiting.length > 0) {
      await this.#runBatch();
      // Without it the one that is quick wins every time: others waited for eight seconds, and gave up.
      if (this.#yieldMs > 0) await pause(this.#yieldMs);
      if (this.#unconfirmed.size >= maxUnconfirmed) await Promise.race(this.#unconfirmed);
    }
    this.#running = undefined; // in the same turn as the look at who waits
  }

  async #runBatch(): Promise<void> {
    const taken: Command[] = [];
    try {
      await this.#transaction(taken, () => this.#next(taken));
    } catch (error) {
      // Who waits behind a batch for which the store was gone would wait as long, and in vain.
      if (error instanceof StoreUnavailable) taken.push(...this.#waiting.splice(0));
      else if (taken.length === 0) taken.push(...this.#waiting.splice(0, maxCommands));
      const forAll = error instanceof StoreError && error.temporary;
      if (taken.length === 1 || forAll) for (const { reject } of taken) reject(error);
      else for (const command of taken) await this.#runAlone(command);
    }
  }

  async #runAlone(command: Command): Promise<void> {
    const only = [command];
    try {
      await this.#transaction(only, () => undefined);
    } catch (error) {
      command.reject(error);
    }
  }

  /**
   * Others have their turn; meanwhile this queue grows, and needs fewer of them. A write beside a transaction waits, in the
   * server, until the one that holds the document ends: that is asked once, where trying a transaction again and again
   * would cost as much as the work.
   */
  async #turnOfOthers(tries: number): Promise<void> {
    try {
      await this.#connection.db.command({
        update: 'numbers',
        updates: [{ q: { _id: 'numbers' }, u: { $inc: { asked: 1 } } }],
        writeConcern: { w: 1 },
        maxTimeMS: askMs,
      });
    } catch {
      await pause(1 + Math.random() * Math.min(10, tries + 1)); // it took long, or the server is gone
    }
  }

  /**
   * Waits until most nodes have on their disks what the primary has committed: to commit again is how MongoDB is asked for
   * it (the driver then asks with `w: majority`, and connect.ts has seen to it that this means the journal).
   */
  async #confirm(session: ClientSession, deadline: number, confirmed: () => void): Promise<void> {
    try {
      await commit(session, deadline);
    } catch (error) {
      throw new StoreUnavailable('The store did not say whether it has written', { cause: error });
    } finally {
      void session.endSession();
    }
    confirmed();
  }

  /** The commands that the batch takes next: as many as can run together. */
  #next(taken: readonly Command[]): readonly Command[] | undefined {
    let bytes = taken.reduce((sum, command) => sum + command.bytes, 0);
    const first = this.#waiting[0];
    if (!first) return undefined;
    let count = 0;
    for (const command of this.#waiting) {
      if (taken.length + count === maxCommands || bytes >= maxBytes || command.together !== first.together) break;
      count += 1;
      bytes += command.bytes;
    }
    return count === 0 ? undefined : this.#waiting.splice(0, count);
  }

  /**
   * Runs the commands of `taken`, and those that `more` gives meanwhile, which are added to it, and commits. They are
   * answered when that is confirmed, which is not waited for here.
   * @throws a temporary StoreError: the whole batch failed; any other error: one of them broke it
   */
  async #transaction(taken: Command[], more: () => readonly Command[] | undefined): Promise<void> {
    const began = performance.now();
    let lookedAt = began;
    for (let tries = 0; ; tries += 1) {
      if (this.#yieldMs > 0 || tries > 0) await this.#turnOfOthers(tries);
      const session = this.#connection.client.startSession();
      let committing = false;
      const tried = performance.now();
      this.#yieldMs = 0;
      try {
        const batch = await Batch.begin(this.#connection, session);
        const outcomes = await runCommands(batch, taken, more);
        await batch.flush();
        steps.committing.publish(taken);
        committing = true;
        const deadline = (taken[0]?.since ?? began) + goneMs;
        await commit(session, deadline);
        const ofOthers = batch.turn - this.#turn - 1;
        this.#yieldMs = Math.min(yieldMs, ofOthers * (performance.now() - tried) * yieldShare);
        this.#turn = batch.turn;
        const confirmed = this.#confirm(session, deadline, () => {
          steps.committed.publish(taken);
          this.#committed(batch.end);
          steps.batch.publish({ commands: taken.length, ms: performance.now() - began });
          for (const [at, outcome] of outcomes.entries())
            if ('value' in outcome) taken[at]!.resolve(outcome.value);
            else taken[at]!.reject(outcome.failed);
        }).catch((error) => {
          for (const { reject } of taken) reject(error);
        });
        this.#unconfirmed.add(confirmed);
        void confirmed.then(() => this.#unconfirmed.delete(confirmed));
        return;
      } catch (error) {
        // Which aborts it; a server that is gone, or has met a conflict, has undone it by itself, and is not waited for.
        const ended = session.endSession();
        if (!isGone(error) && !isTransient(error)) await ended;
        if (committing && isUnknownCommit(error))
          throw new StoreUnavailable('The store did not say whether it has written', { cause: error });
        if (!isTransient(error)) throw asStoreError(error);
        const cause = { cause: error };
        const since = (taken[0] ?? this.#waiting[0])?.since ?? began;
        const waitedMs = performance.now() - since;
        if (isGone(error) && waitedMs > goneMs) throw new StoreUnavailable('The store cannot be reached', cause);
        if (waitedMs > tryMs) throw new StoreBusy(undefined, cause);
      }
      if (performance.now() > lookedAt + abandonedMs) {
        await endAbandoned(this.#connection);
        lookedAt = performance.now();
      }
    }
  }
}

const alone: Together<(tx: Tx) => unknown> = async (batch, tasks) => {
  const outcomes: Outcome[] = [];
  for (const task of tasks) outcomes.push(await outcomeOf(() => batch.run(task)));
  return outcomes;
};

/** @throws what ends the batch */
export async function outcomeOf(run: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: await run() };
  } catch (error) {
    if (error instanceof CommandFailed) return { failed: error.error };
    throw error;
  }
}

async function runCommands(
  batch: Batch,
  taken: Command[],
  more: () => readonly Command[] | undefined,
): Promise<Outcome[]> {
  const until = performance.now() + maxMs;
  const outcomes: Outcome[] = [];
  for (let at = 0; ; ) {
    if (at === taken.length) {
      if (at > 0 && performance.now() > until) break;
      const next = more();
      if (!next) break;
      taken.push(...next);
    }
    const { together } = taken[at]!;
    let end = at + 1;
    while (taken[end]?.together === together) end += 1;
    const tasks = taken.slice(at, end).map(({ task }) => task as never);
    outcomes.push(...(await together(batch, tasks)));
    at = end;
  }
  return outcomes;
}

/** Asks until somebody knows whether it is committed: for the first time the primary alone, then most nodes. */
async function commit(session: ClientSession, deadline: number): Promise<void> {
  for (;;) {
    try {
      return await session.commitTransaction();
    } catch (error) {
      if (!isUnknownCommit(error) || performance.now() > deadline) throw error;
    }
    await pause(20);
  }
}
