/**
 * The main thread's end of one of the store's threads: calls by number, answers in any order. A thread that dies fails the
 * calls that wait for it and is started again by the next one. A thread keeps the process alive only while somebody waits
 * for it.
 */
import { channel } from 'node:diagnostics_channel';
import { Worker } from 'node:worker_threads';
import { StoreUnavailable } from '../errors.ts';
import type { ModSeq } from '../model.ts';
import type { ThreadOptions } from './connect.ts';
import { fromFault } from './fault.ts';
import type { Call, FromThread, ToThread } from './protocol.ts';

/** Every committed batch, `{ commands, ms }`, on the main thread and for whoever measures. Each driver publishes it. */
const batches = channel('lazaret:store.batch');

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

/**
 * Of the options of this process, those by which a thread finds our modules: conditions, and imports of our own. What a test
 * runner or a profiler has preloaded into the main thread costs a thread 250 ms, and is of no use there.
 */
function moduleOptions(argv: readonly string[]): string[] {
  return argv.flatMap((argument, at) => {
    const equals = argument.indexOf('=');
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const value = equals < 0 ? (argv[at + 1] ?? '') : argument.slice(equals + 1);
    if (name === '--conditions' || name === '-C') return [`--conditions=${value}`];
    return name === '--import' && value.startsWith('.') ? [`--import=${value}`] : [];
  });
}

export class Thread {
  readonly #module: string;
  readonly #options: ThreadOptions;
  readonly #onEnd: (end: ModSeq) => void;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 1;
  #closing: Promise<void> | undefined;
  #polls = false;
  #idle: (() => void) | undefined;

  /** `onEnd` hears how far the log has grown, before the calls that made it grow are answered. */
  constructor(module: string, options: ThreadOptions, onEnd: (end: ModSeq) => void) {
    this.#module = module;
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** Calls that wait for an answer. */
  get load(): number {
    return this.#waiting.size;
  }

  call<T>(method: string, args: readonly unknown[], transfer: readonly ArrayBuffer[] = []): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closing) throw new StoreUnavailable('The store is closed');
      const id = this.#nextId;
      this.#nextId += 1;
      const bytes = transfer.reduce((sum, buffer) => sum + buffer.byteLength, 0);
      this.#post({ id, method, args, bytes }, transfer);
      if (this.#waiting.size === 0) this.#worker?.ref();
      this.#waiting.set(id, { resolve, reject });
    });
  }

  /** Lets the thread look for commits of others. */
  poll(on: boolean): void {
    if (this.#closing || on === this.#polls) return;
    this.#polls = on;
    if (on || this.#worker) this.#post({ poll: on });
  }

  /** After all that was asked for is answered. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    if (this.#waiting.size > 0)
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    const worker = this.#worker;
    if (!worker) return;
    worker.ref();
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
      worker.postMessage({ close: true } satisfies ToThread);
    });
  }

  #post(message: Call | { poll: boolean }, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message, transfer);
  }

  #start(): Worker {
    const worker = new Worker(new URL(import.meta.resolve(this.#module)), {
      workerData: this.#options,
      execArgv: moduleOptions(process.execArgv),
    });
    worker.unref();
    worker.on('message', (message: FromThread) => this.#receive(message));
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => this.#exited(worker, cause));
    if (this.#polls) worker.postMessage({ poll: true } satisfies ToThread);
    return worker;
  }

  #receive(message: FromThread): void {
    if (message.end !== undefined) this.#onEnd(message.end);
    if (message.batch) batches.publish(message.batch);
    for (const reply of message.replies ?? []) {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('fault' in reply) waiting?.reject(fromFault(reply.fault));
      else waiting?.resolve(reply.value as never);
    }
    if (this.#waiting.size === 0) this.#settled();
  }

  #settled(): void {
    // Whoever closes the store waits for the thread's end; what it says until then must not let the process go.
    if (!this.#closing) this.#worker?.unref();
    this.#idle?.();
  }

  #exited(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new StoreUnavailable('A thread of the store ended', { cause }));
    this.#settled();
    if (this.#polls && !this.#closing) this.#worker = this.#start();
  }
}

/** Reader threads, started one by one as there is work for them at the same time. */
export class Readers {
  readonly #threads: readonly Thread[];

  constructor(count: number, make: () => Thread) {
    this.#threads = Array.from({ length: count }, make);
  }

  call<T>(method: string, args: readonly unknown[]): Promise<T> {
    return this.#leastLoaded().call<T>(method, args);
  }

  /** The last thread looks: it has the least to do otherwise. */
  poll(on: boolean): void {
    this.#threads.at(-1)?.poll(on);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #leastLoaded(): Thread {
    return this.#threads.reduce((best, thread) => (thread.load < best.load ? thread : best));
  }
}
