/** The clients that measure: as little of their own as possible between the bytes and the clock. */
import { once } from 'node:events';
import net from 'node:net';

/** One IMAP connection in clear on loopback. */
export class Imap {
  #socket: net.Socket;
  #tail = '';
  #tags = 0;
  #waiting: ((data: Buffer) => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (data) => this.#waiting?.(data));
    socket.on('error', () => undefined); // whoever waits hears of the close
  }

  static async connect(port: number): Promise<Imap> {
    const socket = net.connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    const client = new Imap(socket);
    const greeting = client.until(/\r\n$/);
    await once(socket, 'connect');
    await greeting;
    return client;
  }

  /** Resolves when what was received last ends like that. Keeps only the end of what arrives. */
  until(end: RegExp): Promise<{ bytes: number; tail: string }> {
    return new Promise((resolve, reject) => {
      let bytes = 0;
      this.#tail = '';
      const closed = () => reject(new Error('the connection was closed'));
      this.#socket.once('close', closed);
      this.#waiting = (data) => {
        bytes += data.length;
        const last = data.length > 512 ? data.subarray(data.length - 512).toString('latin1') : data.toString('latin1');
        this.#tail = (this.#tail + last).slice(-512);
        if (!end.test(this.#tail)) return;
        this.#waiting = undefined;
        this.#socket.off('close', closed);
        resolve({ bytes, tail: this.#tail });
      };
    });
  }

  /** Sends a command; answers when its tagged OK is there. Time in milliseconds. */
  async command(text: string): Promise<{ ms: number; bytes: number; tail: string }> {
    const tag = `b${++this.#tags}`;
    const done = this.until(new RegExp(`(^|\\n)${tag} [^\\r\\n]*\\r\\n$`));
    const start = process.hrtime.bigint();
    this.#socket.write(`${tag} ${text}\r\n`);
    const { bytes, tail } = await done;
    const ms = Number(process.hrtime.bigint() - start) / 1e6;
    if (!new RegExp(`(^|\\n)${tag} OK`).test(tail)) throw new Error(`${text.slice(0, 60)}: ${tail.slice(-200)}`);
    return { ms, bytes, tail };
  }

  async login(user: string, password: string): Promise<void> {
    await this.command(`LOGIN ${user} ${password}`);
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** One LMTP connection that pipelines the envelope, as Postfix does. */
/** Hands mail over by HTTP, on a connection that stays: as a filter with a pool does. */
export class HttpIntake {
  readonly #socket: net.Socket;
  readonly #token: string;
  #data = '';
  #wake: (() => void) | undefined;

  private constructor(socket: net.Socket, token: string) {
    this.#socket = socket;
    this.#token = token;
    socket.on('data', (data) => {
      this.#data += data.toString('latin1');
      this.#wake?.();
    });
    socket.on('close', () => this.#wake?.());
  }

  static async connect(port: number, token: string): Promise<HttpIntake> {
    const socket = net.connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    await once(socket, 'connect');
    return new HttpIntake(socket, token);
  }

  async send(recipient: string, message: Buffer): Promise<void> {
    this.#socket.cork();
    this.#socket.write(
      `POST /intake HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${this.#token}\r\nContent-Type: message/rfc822\r\n` +
        `X-Lazaret-From: sender@bench.example\r\nX-Lazaret-Rcpt: ${recipient}\r\nContent-Length: ${message.length}\r\n\r\n`,
    );
    this.#socket.write(message);
    this.#socket.uncork();
    for (;;) {
      const [, length] = /^content-length: (\d+)\r\n/im.exec(this.#data) ?? [];
      const body = this.#data.indexOf('\r\n\r\n') + 4;
      if (length !== undefined && body > 3 && this.#data.length >= body + Number(length)) break;
      if (this.#socket.destroyed) throw new Error(`HTTP: closed after ${this.#data}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (!this.#data.startsWith('HTTP/1.1 200 ')) throw new Error(`HTTP: ${this.#data}`);
    this.#data = '';
  }

  end(): void {
    this.#socket.destroy();
  }
}

export class Lmtp {
  #socket: net.Socket;
  #data = '';
  #wake: (() => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (data) => {
      this.#data += data.toString('latin1');
      this.#wake?.();
    });
    socket.on('close', () => this.#wake?.());
  }

  static async connect(port: number): Promise<Lmtp> {
    const socket = net.connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    const client = new Lmtp(socket);
    await once(socket, 'connect');
    await client.#replies(1);
    socket.write('LHLO bench.example\r\n');
    await client.#replies(1);
    return client;
  }

  /** Waits for that many final reply lines; all must be 2xx or 3xx. */
  async #replies(count: number): Promise<void> {
    for (;;) {
      const lines = this.#data.split('\r\n');
      const finals = lines.slice(0, -1).filter((line) => /^\d{3} /.test(line));
      if (finals.length >= count) {
        const bad = finals.find((line) => !/^[23]/.test(line));
        if (bad) throw new Error(`LMTP: ${bad}`);
        this.#data = '';
        return;
      }
      if (this.#socket.destroyed) throw new Error(`LMTP: closed after ${this.#data}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async send(recipient: string, message: Buffer): Promise<void> {
    this.#socket.write(`MAIL FROM:<sender@bench.example>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`);
    await this.#replies(3);
    this.#socket.write(message);
    this.#socket.write('.\r\n');
    await this.#replies(1);
  }

  end(): void {
    this.#socket.destroy();
  }
}
