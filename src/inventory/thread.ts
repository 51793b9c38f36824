/**
 * The main thread's end of the thread that takes messages apart: one message at a time, piece by piece. A message that takes
 * it too long, or too much memory, costs the thread, and gets an inventory that says so; the next message gets a new thread.
 */
import { Worker } from 'node:worker_threads';
import { threadOptions } from '#app/lib/thread-options';
import type { Inventory } from '#store/model';
import type { Answer, Hello, Piece } from './protocol.ts';
import { workedMs } from './thread-time.ts';

export interface ThreadLimits {
  /** The time that the thread may work on one message; where that cannot be told, that may pass. */
  readonly deadlineMs: number;
  readonly memoryMb: number;
  /** What runs in the thread; for tests. */
  readonly module: string;
}

export const defaultLimits: ThreadLimits = { deadlineMs: 10_000, memoryMb: 128, module: '#app/inventory/worker' };

const broken = (problem: string): Inventory => ({ attachments: [], links: [], problem });

/** A thread that works on nothing for so many times its deadline has a machine that has no time for it. */
const patience = 20;

/** The thread ended under a message. */
class ThreadEnded extends Error {}

export class InventoryThread {
  readonly #limits: ThreadLimits;
  #worker: Worker | undefined;
  /** Its number, as soon as it is ready. */
  #thread: number | undefined;
  #waiting: { resolve(said: Answer | Hello): void; reject(error: Error): void } | undefined;

  constructor(limits: Partial<ThreadLimits> = {}) {
    this.#limits = { ...defaultLimits, ...limits };
  }

  /**
   * The inventory of a message, whatever is in it. Not to be called again before it has answered. What `octets` throws is
   * thrown, and so is it when there can be no thread: then nothing is said of the message.
   */
  async make(parts: Uint8Array, octets: AsyncIterable<Uint8Array>): Promise<Inventory> {
    let workedBefore: number | undefined;
    let waited = 0;
    let table: Uint8Array | undefined = parts;
    /** Held back, since the last one has to be known for it: most messages are one piece, and one question. */
    let held: Uint8Array | undefined;
    const send = async (bytes: Uint8Array, last: boolean): Promise<Answer> => {
      // Its start is nobody's fault.
      if (this.#thread === undefined) await this.#begin();
      workedBefore ??= this.#workedMs() ?? 0;
      const began = performance.now();
      const piece: Piece = { ...(table ? { parts: table } : {}), octets: bytes, last };
      table = undefined;
      try {
        return await this.#ask(piece, waited, workedBefore);
      } finally {
        waited += performance.now() - began;
      }
    };
    try {
      for await (const bytes of octets) {
        if (held) {
          const answer = await send(held, false);
          if ('problem' in answer) return broken(answer.problem);
        }
        held = bytes;
      }
      const answer = await send(held ?? new Uint8Array(), true);
      if ('problem' in answer) return broken(answer.problem);
      return answer.inventory ?? broken('nothing came of it');
    } catch (error) {
      if (error instanceof ThreadEnded) return broken(error.message);
      // The next message begins anew whatever this one has left in the thread.
      throw error;
    }
  }

  /** Ends the thread, under a message too. The next message gets a new one. */
  async close(): Promise<void> {
    await this.#end('the thread was ended');
  }

  /** `waitedMs`: for this message already. */
  async #ask(piece: Piece, waitedMs: number, workedBefore: number): Promise<Answer> {
    const { deadlineMs } = this.#limits;
    const began = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      const waited = waitedMs + performance.now() - began;
      const worked = this.#workedMs();
      const spent = worked === undefined || waited > deadlineMs * patience ? waited : worked - workedBefore;
      if (spent >= deadlineMs) void this.#end('took too long');
      else timer = setTimeout(look, Math.max(50, deadlineMs - spent));
    };
    try {
      return await this.#answer<Answer>(() => {
        timer = setTimeout(look, Math.max(0, deadlineMs - waitedMs));
        this.#worker?.postMessage(piece);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** A thread that is ready. What keeps it from that is no message's fault. */
  async #begin(): Promise<void> {
    try {
      const { thread } = await this.#answer<Hello>(() => {
        this.#worker = this.#start();
      });
      this.#thread = thread;
    } catch (error) {
      throw new Error('The thread that lists attachments cannot be started', { cause: error });
    }
  }

  /** What the thread says next. It keeps the process alive until then. @throws ThreadEnded */
  async #answer<T extends Answer | Hello>(ask: () => void): Promise<T> {
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#waiting = { resolve: (said) => resolve(said as T), reject };
        ask();
        this.#worker?.ref();
      });
    } finally {
      this.#waiting = undefined;
      this.#worker?.unref();
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL(import.meta.resolve(this.#limits.module)), {
      execArgv: threadOptions(),
      resourceLimits: { maxOldGenerationSizeMb: this.#limits.memoryMb, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 },
    });
    worker.on('message', (said: Answer | Hello) => this.#waiting?.resolve(said));
    worker.on('error', (error) => this.#lost(worker, problemOf(error)));
    worker.on('exit', () => this.#lost(worker, 'could not be read: the thread ended'));
    return worker;
  }

  #workedMs(): number | undefined {
    return this.#thread ? workedMs(this.#thread) : undefined;
  }

  async #end(why: string): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    this.#lost(worker, why);
    await worker.terminate();
  }

  #lost(worker: Worker, why: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#thread = undefined;
    this.#waiting?.reject(new ThreadEnded(why));
  }
}

function problemOf(error: Error): string {
  if ('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') return 'needed too much memory';
  return `could not be read: ${error.message}`;
}
