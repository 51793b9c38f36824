/**
 * One connection to a next hop: replies in, commands out, each wait with its own time limit. Knows how replies look
 * (RFC 5321 §4.2), not what they mean. Whatever ends the connection (closed, reset, late, not SMTP, given up) becomes one
 * HopFailure, kept and thrown by every later call, so that nobody waits on a dead connection.
 */
import type { Socket } from 'node:net';

export interface Reply {
  readonly code: number;
  /** The lines' texts, without the codes. */
  readonly lines: readonly string[];
  /** In one line, as people read it: `550 5.1.1 No such user`; control characters removed, at most 1000 characters. */
  readonly said: string;
}

/** The connection could not be made or is over. The message is a sentence without addresses of ours. */
export class HopFailure extends Error {
  override readonly name = 'HopFailure';
}

/** More than any reply or list of extensions ever had; a hop that talks on is cut off. */
const longestReply = 64 * 1024;

export class Session {
  /** Extensions of the last EHLO: upper-case keyword to its parameters. */
  readonly extensions = new Map<string, string>();
  /** Messages sent over it so far. */
  used = 0;
  #socket: Socket;
  #text = '';
  #lines: string[] = [];
  #lineOctets = 0;
  #replies: Reply[] = [];
  #failure: HopFailure | undefined;
  /** Whoever waits for a reply, for the socket to drain, or for both. */
  #wake: (() => void) | undefined;
  readonly #onData = (chunk: Buffer): void => this.#take(chunk);
  readonly #onEnd = (): void => this.fail('the next hop closed the connection');
  readonly #onError = (error: Error & { code?: string }): void => this.fail(sentenceFor(error));
  readonly #onDrain = (): void => this.#wake?.();

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  /** Nothing is wrong with it and nothing unread waits in it: it can take the next command. */
  get usable(): boolean {
    return !this.#failure && this.#replies.length === 0 && this.#text === '' && this.#socket.writable;
  }

  /** A reply came that nobody has read yet. */
  get hasReply(): boolean {
    return this.#replies.length > 0;
  }

  /** @throws HopFailure */
  async reply(limitMs: number, what: string): Promise<Reply> {
    await this.#until(() => this.#replies.length > 0, limitMs, `the next hop did not answer ${what} in time`);
    const reply = this.#replies.shift();
    if (!reply) throw this.#failure ?? new HopFailure('the next hop closed the connection');
    return reply;
  }

  /** Writes without waiting. */
  write(bytes: Uint8Array | string): void {
    if (!this.#failure) this.#socket.write(bytes);
  }

  /** Writes, and waits while the hop reads slowly; comes back early when it answers. @throws HopFailure */
  async push(bytes: Uint8Array, limitMs: number): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (bytes.length === 0 || this.#socket.write(bytes)) return;
    const drained = () => !this.#socket.writableNeedDrain || this.#replies.length > 0;
    await this.#until(drained, limitMs, 'the next hop stopped reading the message');
  }

  /** Lines written between are sent together. */
  together(write: () => void): void {
    this.#socket.cork();
    write();
    this.#socket.uncork();
  }

  /**
   * Gives the socket away for a TLS handshake and takes the new one. What came in clear text after the answer to
   * STARTTLS, and what EHLO said, is not believed any more (RFC 3207 §4.2, §6). @throws HopFailure
   */
  async upgrade(secure: (plain: Socket) => Promise<Socket>): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#replies.length > 0 || this.#text !== '' || this.#lines.length > 0) {
      this.fail('the next hop sent text between STARTTLS and the handshake');
      throw this.#failure;
    }
    this.#deafen();
    this.extensions.clear();
    try {
      this.#socket = await secure(this.#socket);
    } catch (error) {
      this.#socket.destroy();
      this.fail(error instanceof HopFailure ? error.message : 'the TLS handshake failed');
      throw this.#failure;
    }
    this.#listen();
  }

  /** While idle it keeps no process alive. */
  idle(is: boolean): void {
    if (is) this.#socket.unref();
    else this.#socket.ref();
  }

  /** Says QUIT and does not wait for the answer. */
  quit(): void {
    if (this.#failure) return;
    this.#socket.end('QUIT\r\n');
    this.#failure = new HopFailure('the connection was ended');
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), 2000);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }

  /** Ends it at once, for this reason. */
  fail(why: string): void {
    if (!this.#failure) this.#failure = new HopFailure(why);
    this.#socket.destroy();
    this.#wake?.();
  }

  #listen(): void {
    this.#socket.on('data', this.#onData);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('close', this.#onEnd);
    this.#socket.on('error', this.#onError);
    this.#socket.on('drain', this.#onDrain);
    this.#socket.setNoDelay(true);
  }

  #deafen(): void {
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onEnd);
    this.#socket.off('error', this.#onError);
    this.#socket.off('drain', this.#onDrain);
  }

  async #until(there: () => boolean, limitMs: number, late: string): Promise<void> {
    // Replies that came before the end count: a hop may refuse and close in one breath.
    if (there()) return;
    if (this.#failure) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => this.fail(late), limitMs);
      this.#wake = () => {
        const ready = there();
        if (!ready && !this.#failure) return;
        clearTimeout(timer);
        this.#wake = undefined;
        if (ready) resolve();
        else reject(this.#failure);
      };
    });
  }

  #take(chunk: Buffer): void {
    this.#text += chunk.toString('latin1');
    let from = 0;
    for (let end = this.#text.indexOf('\n'); end !== -1; end = this.#text.indexOf('\n', from)) {
      this.#line(this.#text.slice(from, end).replace(/\r$/, ''));
      from = end + 1;
    }
    this.#text = this.#text.slice(from);
    if (this.#text.length + this.#lineOctets > longestReply) this.fail('the next hop sent an endless reply');
    this.#wake?.();
  }

  #line(line: string): void {
    const match = /^([2-5]\d\d)(?:([ -])(.*))?$/.exec(line);
    if (!match) {
      this.fail('the next hop answered something that is not SMTP');
      return;
    }
    this.#lines.push(Buffer.from(match[3] ?? '', 'latin1').toString('utf8'));
    this.#lineOctets += line.length;
    if (match[2] === '-') return;
    const code = Number(match[1]);
    this.#replies.push({ code, lines: this.#lines, said: inOneLine(code, this.#lines) });
    this.#lines = [];
    this.#lineOctets = 0;
  }
}

/** `550-5.1.1 a` CRLF `550 5.1.1 b` reads `550 5.1.1 a b`: the enhanced code is repeated on every line (RFC 2034 §4). */
function inOneLine(code: number, lines: readonly string[]): string {
  const enhanced = /^[245]\.\d{1,3}\.\d{1,3}(?= |$)/.exec(lines[0] ?? '')?.[0];
  const texts = lines.map((line, index) =>
    index > 0 && enhanced && line.startsWith(enhanced) ? line.slice(enhanced.length) : line,
  );
  return `${code} ${texts.join(' ')}`
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')
    .trim()
    .slice(0, 1000);
}

const sentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the next hop refused the connection',
  ECONNRESET: 'the next hop broke the connection off',
  EPIPE: 'the next hop broke the connection off',
  ETIMEDOUT: 'the next hop did not answer in time',
  ENOTFOUND: "the next hop's name was not found",
  EAI_AGAIN: "the next hop's name could not be looked up",
  EHOSTUNREACH: 'there is no way to the next hop',
  ENETUNREACH: 'there is no way to the next hop',
};

/** What a socket error is to people: no address in it, since it may be shown to the mail's owner. */
export function sentenceFor(error: Error & { code?: string }): string {
  const code = error.code ?? '';
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|ERR_OSSL)/.test(code)) {
    return `the next hop's certificate or TLS was not accepted (${code})`;
  }
  return sentences[code] ?? `the connection to the next hop failed${code === '' ? '' : ` (${code})`}`;
}
