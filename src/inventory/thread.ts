/**
 * The main thread's end of the thread that takes messages apart: one message at a time, piece by piece. A message that takes
 * it too long, or too much memory, costs the thread, and gets an inventory that says so; the next message gets a new thread.
 */
import { Worker } from 'node:worker_threads';
import { threadOptions } from '#app/lib/thread-options';
import type { Inventory } from '#store/model';
import type { Answer, Piece } from './protocol.ts';

export interface ThreadLimits {
  /** The thread's own time for one message; waiting for the store is not counted. */
  readonly deadlineMs: number;
  readonly memoryMb: number;
  /** What runs in the thread; for tests. */
  readonly module: string;
}

export const defaultLimits: ThreadLimits = { deadlineMs: 10_000, memoryMb: 128, module: '#app/inventory/worker' };

const broken = (problem: string): Inventory => ({ attachments: [], links: [], problem });

/** The thread ended under a message. */
class ThreadEnded extends Error {}

export class InventoryThread {
  readonly #limits: ThreadLimits;
  #worker: Worker | undefined;
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  constructor(limits: Partial<ThreadLimits> = {}) {
    this.#limits = { ...defaultLimits, ...limits };
  }

  /**
   * The inventory of a message, whatever is in it. Not to be called again before it has answered. What `octets` throws is
   * thrown: then nothing is said of the message.
   */
  async make(parts: Uint8Array, octets: AsyncIterable<Uint8Array>): Promise<Inventory> {
    let left = this.#limits.deadlineMs;
    let table: Uint8Array | undefined = parts;
    /** Held back, since the last one has to be known for it: most messages are one piece, and one question. */
    let held: Uint8Array | undefined;
    const send = async (bytes: Uint8Array, last: boolean): Promise<Answer> => {
      const began = performance.now();
      const piece: Piece = { ...(table ? { parts: table } : {}), octets: bytes, last };
      table = undefined;
      try {
        return await this.#ask(piece, left);
      } finally {
        left -= performance.now() - began;
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

  async close(): Promise<void> {
    await this.#end('the server is stopping');
  }

  async #ask(piece: Piece, leftMs: number): Promise<Answer> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        timer = setTimeout(() => void this.#end('took too long'), Math.max(0, leftMs));
        worker.postMessage(piece);
      });
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL(import.meta.resolve(this.#limits.module)), {
      execArgv: threadOptions(),
      resourceLimits: { maxOldGenerationSizeMb: this.#limits.memoryMb, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 },
    });
    worker.unref();
    worker.on('message', (answer: Answer) => this.#waiting?.resolve(answer));
    worker.on('error', (error) => this.#lost(worker, problemOf(error)));
    worker.on('exit', () => this.#lost(worker, 'could not be read: the thread ended'));
    return worker;
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
    this.#waiting?.reject(new ThreadEnded(why));
  }
}

function problemOf(error: Error): string {
  if ('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') return 'needed too much memory';
  return `could not be read: ${error.message}`;
}
