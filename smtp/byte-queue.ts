/**
 * One message on its way from a socket to whoever takes it: a bounded queue that is read once. The writer learns when to
 * stop (push) and when to go on (whenRoom); a reader that walks away leaves a queue that swallows the rest, so that the
 * end of the message is still found.
 */
/** Octets in the queue at which the socket is no longer read. More than a socket's chunk, so that the two overlap. */
const highWater = 256 * 1024;

export class ByteQueue implements AsyncIterable<Uint8Array> {
  #chunks: Uint8Array[] = [];
  #octets = 0;
  #state: 'open' | 'ended' | 'abandoned' = 'open';
  #error: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /** Waiting for the reader to take something. */
  get isFull(): boolean {
    return this.#octets >= highWater && this.#state === 'open';
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#state !== 'open') return;
    this.#chunks.push(chunk);
    this.#octets += chunk.length;
    this.#signal();
  }

  end(): void {
    if (this.#state === 'open') this.#state = 'ended';
    this.#signal();
  }

  /** The reader gets this error at once, whatever still lies in the queue. A message that is complete stays so. */
  fail(error: Error): void {
    if (this.#state !== 'open') return;
    this.#error = error;
    this.#drop();
    this.end();
  }

  /** Calls back once: when there is room, or nobody cares any more. */
  whenRoom(callback: () => void): void {
    if (this.isFull) this.#wakeWriter = callback;
    else callback();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        if (this.#error) throw this.#error;
        const chunk = this.#chunks.shift();
        if (chunk) {
          this.#octets -= chunk.length;
          this.#release();
          yield chunk;
        } else if (this.#state !== 'open') return;
        else
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
      }
    } finally {
      this.abandon();
    }
  }

  /** Nobody will read on: what is here and what still comes is dropped. */
  abandon(): void {
    this.#state = 'abandoned';
    this.#drop();
  }

  #drop(): void {
    this.#chunks = [];
    this.#octets = 0;
    this.#release();
  }

  #signal(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }

  #release(): void {
    if (this.isFull) return;
    const wake = this.#wakeWriter;
    this.#wakeWriter = undefined;
    wake?.();
  }
}
