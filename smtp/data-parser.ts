/**
 * smtp-server's parser with another data mode. What must stay true, in whatever pieces the octets come:
 *
 * - Only CRLF . CRLF ends a message (RFC 5321 §4.1.1.4). A dot beside a bare CR or a bare LF is content and kept as it
 *   is, so there is nothing to smuggle a second transaction with (CVE-2023-51764 and its sisters).
 * - Of two dots after CRLF the first is taken off (§4.5.2). smtp-server does so after a bare LF too, where no client put
 *   one. A single dot before other text cannot come from a client that stuffs, and stays: better than losing a dot of a
 *   client that does not.
 * - What follows the end is not looked at before `finishData`.
 *
 * It is also faster where lines begin with dots, and hands octets to a queue without a stream in between.
 */
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import type { ByteQueue } from './byte-queue.ts';

const CR = 13;
const LF = 10;
const DOT = 46;
const lineDot = Buffer.from('\r\n.');
const nothing = Buffer.alloc(0);

export class DataParser extends SMTPStream {
  #queue: ByteQueue | undefined;
  #limit = 0;
  #octets = 0;
  #onEnd: (() => void) | undefined;
  #onTooLarge: (() => void) | undefined;
  /** Nothing of this message has been looked at: the CRLF of the DATA command stands before its first octet. */
  #atStart = false;
  /** Octets that may be the beginning of CRLF . CRLF. */
  #held: Buffer = nothing;
  #resume: (() => void) | undefined;

  /**
   * From here on input is a message, until its end. `onTooLarge` is called once, when the limit is passed; the message is
   * then read on and dropped.
   */
  startData(o: { queue: ByteQueue; limit: number; onTooLarge: () => void; onEnd: () => void }): void {
    this._dataMode = true;
    this.#queue = o.queue;
    this.#limit = o.limit;
    this.#octets = 0;
    this.#onEnd = o.onEnd;
    this.#onTooLarge = o.onTooLarge;
    this.#atStart = true;
    this.#held = nothing;
  }

  /** The message was answered: what the client sent after it may be read. */
  finishData(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** In data mode and not yet at the end of the message. */
  get inData(): boolean {
    return this._dataMode;
  }

  override _feedDataStream(chunk: Buffer, done: () => void): void {
    const bytes = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = nothing;
    let from = 0;
    if (this.#atStart) {
      const dot = this.#dotAt(bytes, 0);
      if (dot === 'unknown') {
        this.#held = Buffer.from(bytes);
        done();
        return;
      }
      this.#atStart = false;
      if (dot === 'end') {
        this.#endData(bytes.subarray(3), done);
        return;
      }
      if (dot === 'stuffed') from = 1;
    }
    for (let search = from; ; ) {
      const at = bytes.indexOf(lineDot, search);
      if (at < 0) break;
      const dot = this.#dotAt(bytes, at + 2);
      if (dot === 'unknown') {
        this.#emit(bytes.subarray(from, at));
        this.#held = Buffer.from(bytes.subarray(at));
        this.#whenRoom(done);
        return;
      }
      if (dot === 'end') {
        this.#emit(bytes.subarray(from, at + 2));
        this.#endData(bytes.subarray(at + 5), done);
        return;
      }
      if (dot === 'stuffed') {
        this.#emit(bytes.subarray(from, at + 2));
        from = at + 3;
      }
      search = at + 3;
    }
    const last = bytes.length - 1;
    const tail = bytes[last] === CR ? 1 : bytes[last] === LF && bytes[last - 1] === CR ? 2 : 0;
    const whole = Math.max(from, bytes.length - tail);
    this.#emit(bytes.subarray(from, whole));
    this.#held = Buffer.from(bytes.subarray(whole));
    this.#whenRoom(done);
  }

  /** An unfinished command at the end of the input is no command. */
  override _flushData(): void {}

  /** What the octet at `at`, the first of a line, means. */
  #dotAt(bytes: Buffer, at: number): 'end' | 'stuffed' | 'content' | 'unknown' {
    if (at >= bytes.length) return 'unknown';
    if (bytes[at] !== DOT) return 'content';
    if (at + 1 >= bytes.length) return 'unknown';
    if (bytes[at + 1] === DOT) return 'stuffed';
    if (bytes[at + 1] !== CR) return 'content';
    if (at + 2 >= bytes.length) return 'unknown';
    return bytes[at + 2] === LF ? 'end' : 'content';
  }

  #emit(octets: Buffer): void {
    const before = this.#octets;
    this.#octets += octets.length;
    if (this.#octets <= this.#limit) this.#queue?.push(octets);
    else if (before <= this.#limit) this.#onTooLarge?.();
  }

  #whenRoom(done: () => void): void {
    if (this.#queue) this.#queue.whenRoom(done);
    else done();
  }

  #endData(rest: Buffer, done: () => void): void {
    this._dataMode = false;
    // A copy: `rest` is part of a buffer that holds the whole end of the message.
    const after = Buffer.from(rest);
    this.#resume = () => this._write(after, 'buffer', done);
    this.#queue = undefined;
    this.#onEnd?.();
  }
}
