/** A client that sends exactly the octets it is given, in the pieces it is given, and reads replies line by line. */
import { once } from 'node:events';
import net from 'node:net';

export class RawClient {
  readonly socket: net.Socket;
  #text = '';
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('utf8');
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  /** Connects and reads the greeting. */
  static async connect(port: number): Promise<RawClient> {
    const socket = net.connect(port, '127.0.0.1');
    const client = new RawClient(socket);
    await once(socket, 'connect');
    await client.reply();
    return client;
  }

  /** One reply, all its lines, without the last CRLF. '' when the server closed instead. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#text);
      if (match) {
        this.#text = this.#text.slice(match[0].length);
        return match[0].slice(0, -2);
      }
      if (this.#ended) return this.#text;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async replies(count: number): Promise<string[]> {
    const all: string[] = [];
    for (let n = 0; n < count; n++) all.push(await this.reply());
    return all;
  }

  write(octets: string | Uint8Array): void {
    this.socket.write(typeof octets === 'string' ? Buffer.from(octets, 'utf8') : octets);
  }

  /** Sends a line and answers its reply. */
  async command(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** Sends octets in pieces, each in a packet of its own as far as TCP lets us. */
  async pieces(octets: Uint8Array, sizes: () => number): Promise<void> {
    for (let at = 0; at < octets.length; ) {
      const size = Math.max(1, sizes());
      await new Promise<void>((resolve) => this.socket.write(octets.subarray(at, at + size), () => resolve()));
      await new Promise<void>((resolve) => setImmediate(resolve));
      at += size;
    }
  }

  async closed(): Promise<void> {
    while (!this.#ended)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  close(): void {
    this.socket.destroy();
  }
}

/** RFC 5321 §4.5.2: a dot before every line, in the sense of CRLF, that begins with one; the end after it. */
export function stuffed(message: Uint8Array): Buffer {
  const text = Buffer.from(message).toString('latin1');
  return Buffer.from(`${`\r\n${text}`.replaceAll('\r\n.', '\r\n..').slice(2)}.\r\n`, 'latin1');
}
