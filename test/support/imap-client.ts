/**
 * A strict IMAP client for tests. It reads every octet the server sends, checks each response against the grammar of RFC 3501 §9 and
 * the extensions we offer, and fails on whatever nobody asked for: an untagged line that is left over is a bug.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import { checkResponse } from './imap-grammar.ts';

export interface Said {
  readonly status: 'OK' | 'NO' | 'BAD';
  /** Behind the status: code and text. */
  readonly text: string;
  readonly untagged: string[];
}

export class ImapClient {
  #socket: Socket | TLSSocket;
  #buffer = '';
  #responses: string[] = [];
  #wake: (() => void) | undefined;
  #error: Error | undefined;
  #tags = 0;
  closed = false;
  /** Responses come as Latin-1, one character for one octet, from now on; else as UTF-8. */
  octets = false;
  /** The greeting, once connected. */
  greeting = '';

  private constructor(socket: Socket | TLSSocket) {
    this.#socket = socket;
    this.#attach();
  }

  /** Connects and reads the greeting; at the end of the test fails if something was left unread. */
  static async connect(t: Test | undefined, port: number, o: { tls?: boolean } = {}): Promise<ImapClient> {
    const socket = o.tls
      ? connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
      : connect({ host: '127.0.0.1', port });
    const client = new ImapClient(socket);
    t?.teardown(() => {
      client.end();
    });
    client.greeting = await client.next();
    return client;
  }

  #attach(): void {
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => {
      this.#buffer += chunk.toString('latin1');
      this.#cut();
      this.#wake?.();
    });
    this.#socket.on('close', () => {
      this.closed = true;
      if (this.#buffer !== '' && !this.#error)
        this.#error = new Error(`The server ended in mid-response: ${JSON.stringify(this.#buffer.slice(0, 200))}`);
      this.#wake?.();
    });
    this.#socket.on('error', () => {});
  }

  /** Sends bytes as they are; strings as Latin-1. */
  write(bytes: string | Uint8Array): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends a line. */
  send(line: string): void {
    this.write(Buffer.from(`${line}\r\n`));
  }

  /** The next response, literals inline; fails after a while without one. */
  async next(): Promise<string> {
    const deadline = AbortSignal.timeout(10_000);
    while (this.#responses.length === 0) {
      if (this.#error) throw this.#error;
      if (this.closed) throw new Error('The server closed the connection');
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error('The server said nothing for ten seconds'));
        this.#wake = () => {
          deadline.removeEventListener('abort', late);
          resolve();
        };
        deadline.addEventListener('abort', late, { once: true });
      });
    }
    return this.#responses.shift()!;
  }

  /** The next response must be this one, or match. */
  async sees(expected: string | RegExp): Promise<string> {
    const response = await this.next();
    const fits = typeof expected === 'string' ? response === expected : expected.test(response);
    if (!fits) throw new Error(`Expected ${expected}, the server said ${JSON.stringify(response)}`);
    return response;
  }

  /** Sends a command (a tag is put before it) and reads up to its tagged answer. */
  async says(command: string): Promise<Said> {
    const tag = `t${++this.#tags}`;
    this.send(`${tag} ${command}`);
    return this.answer(tag);
  }

  /** Reads up to the tagged answer. */
  async answer(tag: string): Promise<Said> {
    const untagged: string[] = [];
    for (;;) {
      const response = await this.next();
      if (!response.startsWith(`${tag} `)) {
        untagged.push(response);
        continue;
      }
      const [, status, text] = /^\S+ (OK|NO|BAD) ([\s\S]*)$/.exec(response) ?? [];
      return { status: status as Said['status'], text: text ?? '', untagged };
    }
  }

  /** The untagged responses of a command that must succeed. */
  async ok(command: string): Promise<string[]> {
    return (await this.#must('OK', command)).untagged;
  }

  /** Code and text of a command that must be refused. */
  async no(command: string): Promise<string> {
    return (await this.#must('NO', command)).text;
  }

  async bad(command: string): Promise<string> {
    return (await this.#must('BAD', command)).text;
  }

  async #must(status: Said['status'], command: string): Promise<Said> {
    const said = await this.says(command);
    if (said.status !== status)
      throw new Error(`${command.slice(0, 200)}: expected ${status}, got ${said.status} ${said.text}`);
    return said;
  }

  async startTls(): Promise<void> {
    await this.ok('STARTTLS');
    this.#socket.removeAllListeners();
    this.#socket = connectTls({ socket: this.#socket, rejectUnauthorized: false });
    this.#attach();
    await once(this.#socket, 'secureConnect');
  }

  /** No octets are read from now on, or again. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Resolves when the server has closed; responses may be left to read. */
  async gone(): Promise<void> {
    if (!this.closed) await once(this.#socket, 'close');
    if (this.#error) throw this.#error;
  }

  /** Ends our side only. */
  half(): void {
    this.#socket.end();
  }

  /** Hangs up. @throws if something was said that nobody read */
  end(): void {
    this.#socket.destroy();
    if (this.#error) throw this.#error;
    if (this.#responses.length > 0) throw new Error(`Nobody asked for: ${JSON.stringify(this.#responses.slice(0, 5))}`);
  }

  /** Hangs up; what is left unread does not matter. */
  abandon(): void {
    this.#responses = [];
    this.#error = undefined;
    this.#socket.destroy();
  }

  /** Cuts the input into responses: lines, and what their literals announce. */
  #cut(): void {
    for (;;) {
      const size = responseSize(this.#buffer);
      if (size < 0) return;
      const response = this.#buffer.slice(0, size - 2);
      this.#buffer = this.#buffer.slice(size);
      const fault = checkResponse(response);
      if (fault) this.#error ??= new Error(`${fault}: ${JSON.stringify(response.slice(0, 300))}`);
      else this.#responses.push(this.octets ? response : Buffer.from(response, 'latin1').toString('utf8'));
    }
  }
}

/** Octets of the first whole response, its CRLF included; -1 if it is not whole yet. */
function responseSize(buffer: string): number {
  for (let at = 0; ; ) {
    const end = buffer.indexOf('\r\n', at);
    if (end < 0) return -1;
    const literal = /\{([0-9]+)\}$/.exec(buffer.slice(Math.max(at, end - 20), end));
    if (!literal) return end + 2;
    at = end + 2 + Number(literal[1]);
    if (buffer.length < at) return -1;
  }
}
