/**
 * Output over a socket. Bytes are gathered in a buffer that begins small and grows with the answer (2 to 64 KiB), so that `a1 OK`
 * costs little and a large FETCH few writes; between answers there is none.
 *
 * What must stay true: octets leave in the order they were written; whoever awaits ready() lets no more than `outputOctets` and one
 * buffer wait for a client that does not read; bytes handed over are copied and stay the caller's; nothing here throws because a
 * peer is gone, only ready() rejects.
 */
import type { Socket } from 'node:net';
import type { Output } from './output.ts';

/** The peer is gone, or we have said BYE. Nobody's fault, and nothing to log. */
export class Gone extends Error {
  constructor() {
    super('The connection is gone');
    this.name = 'Gone';
  }
}

const smallest = 2 * 1024;
const largest = 64 * 1024;

export class Writer implements Output {
  #socket: Socket;
  readonly #outputOctets: number;
  #buffer: Buffer | undefined;
  #used = 0;
  #size = smallest;
  #gone = false;
  #waiting: { resolve: () => void; reject: (error: Gone) => void; promise: Promise<void> } | undefined;
  /** When the client last took something, or something was first given to it; by performance.now(). */
  movedAt = 0;

  constructor(socket: Socket, outputOctets: number) {
    this.#socket = socket;
    this.#outputOctets = outputOctets;
  }

  /** After STARTTLS. */
  set socket(socket: Socket) {
    this.#socket = socket;
  }

  /** Octets that wait for the client to read. */
  get waiting(): number {
    return this.#socket.writableLength;
  }

  text(text: string): void {
    const most = text.length * 3; // the most that UTF-8 takes for a UTF-16 unit
    if (most > largest) {
      this.bytes(Buffer.from(text));
      return;
    }
    const buffer = this.#reserve(most, most);
    this.#used += buffer.write(text, this.#used, 'utf8');
  }

  bytes(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const buffer = this.#reserve(1, Math.min(bytes.length - at, largest));
      const here = Math.min(bytes.length - at, buffer.length - this.#used);
      buffer.set(at === 0 && here === bytes.length ? bytes : bytes.subarray(at, at + here), this.#used);
      this.#used += here;
      at += here;
    }
  }

  number(value: number): void {
    this.text(String(value));
  }

  ready(): Promise<void> | undefined {
    if (this.#gone) return Promise.reject(new Gone());
    if (this.#socket.writableLength + this.#used < this.#outputOctets) return undefined;
    this.#send();
    if (this.#socket.writableLength < this.#outputOctets) return undefined;
    if (!this.#waiting) {
      let resolve = () => {};
      let reject: (error: Gone) => void = () => {};
      const promise = new Promise<void>((yes, no) => {
        resolve = yes;
        reject = no;
      });
      this.#waiting = { resolve, reject, promise };
    }
    return this.#waiting.promise;
  }

  /** Gives everything to the socket: at the end of each answer. */
  flush(): void {
    this.#send();
    this.#size = smallest;
  }

  /** Drops what is gathered and frees those who wait. */
  close(): void {
    this.#gone = true;
    this.#buffer = undefined;
    this.#used = 0;
    this.#waiting?.reject(new Gone());
    this.#waiting = undefined;
  }

  /** A buffer with room for `least` octets; a new one has room for `wish`. */
  #reserve(least: number, wish: number): Buffer {
    if (this.#buffer && this.#used + least <= this.#buffer.length) return this.#buffer;
    this.#send();
    while (this.#size < wish) this.#size = Math.min(largest, this.#size * 4);
    // Small ones come out of Node's shared pool.
    this.#buffer = this.#size < 4096 ? Buffer.allocUnsafe(this.#size) : Buffer.allocUnsafeSlow(this.#size);
    this.#size = Math.min(largest, this.#size * 4);
    return this.#buffer;
  }

  #send(): void {
    if (!this.#buffer || this.#used === 0) return;
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#buffer = undefined;
    this.#used = 0;
    if (this.#gone || this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.writableLength === 0) this.movedAt = performance.now();
    this.#socket.write(bytes, this.#written);
  }

  readonly #written = (): void => {
    this.movedAt = performance.now();
    if (!this.#waiting || this.#socket.writableLength >= this.#outputOctets) return;
    this.#waiting.resolve();
    this.#waiting = undefined;
  };
}
