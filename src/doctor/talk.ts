/** A conversation line by line with a server, as a person would have it over telnet, with an end to patience. */
import net from 'node:net';
import tls from 'node:tls';

export interface Place {
  readonly host: string;
  readonly port: number;
  /** TLS from the first octet. */
  readonly tls?: boolean;
  /** A socket of this machine, in the place of host and port. */
  readonly path?: string;
}

/** Where to reach what listens at an address: one that means all of them is reached over loopback. */
export function reachable({ host, port, tls }: Place): Place {
  const near = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return { host: near, port, ...(tls === undefined ? {} : { tls }) };
}

export const shown = ({ host, port }: Place): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

const maxInput = 64 * 1024;

export class Talk {
  #socket: net.Socket;
  readonly #patienceMs: number;
  #input = '';
  #error: Error | undefined;
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: net.Socket, patienceMs: number) {
    this.#patienceMs = patienceMs;
    this.#socket = socket;
    this.#listen();
  }

  static async open(place: Place, patienceMs: number): Promise<Talk> {
    const { host, port } = place;
    const raw = place.tls
      ? tls.connect({ host, port, rejectUnauthorized: false, ...(net.isIP(host) ? {} : { servername: host }) })
      : net.connect(place.path === undefined ? { host, port } : { path: place.path });
    const talk = new Talk(raw, patienceMs);
    await talk.#until(() =>
      place.tls ? (raw as tls.TLSSocket).getPeerCertificate().raw !== undefined : !raw.connecting,
    );
    return talk;
  }

  #listen(): void {
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      if (this.#input.length < maxInput) this.#input += text;
      this.#wake();
    });
    this.#socket.on('error', (error) => {
      this.#error ??= error;
      this.#wake();
    });
    for (const event of ['close', 'end'] as const)
      this.#socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    for (const event of ['connect', 'secureConnect']) this.#socket.on(event, () => this.#wake());
  }

  async #until(there: () => boolean): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, this.#patienceMs);
    try {
      while (!there()) {
        if (this.#error) throw this.#error;
        if (this.#ended) throw new Error('it closed the connection');
        if (late) throw new Error(`it did not answer within ${this.#patienceMs / 1000} s`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async line(): Promise<string> {
    await this.#until(() => this.#input.includes('\n'));
    const end = this.#input.indexOf('\n');
    const line = this.#input.slice(0, end).replace(/\r$/, '');
    this.#input = this.#input.slice(end + 1);
    return line;
  }

  /** A reply of SMTP, all its lines. */
  async reply(command?: string): Promise<string> {
    if (command !== undefined) this.send(`${command}\r\n`);
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      lines.push(line);
      if (!/^\d{3}-/.test(line) || lines.length > 100) return lines.join('\n');
    }
  }

  send(text: string): void {
    this.#socket.write(Buffer.from(text, 'utf8'));
  }

  /** Everything until the other side closes. */
  async rest(): Promise<string> {
    this.#socket.end();
    await this.#until(() => this.#ended);
    return this.#input;
  }

  /** After the answer that allows it. */
  async startTls(servername: string): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners();
    const secured = tls.connect({
      socket: plain,
      rejectUnauthorized: false,
      ...(net.isIP(servername) ? {} : { servername }),
    });
    this.#socket = secured;
    this.#input = '';
    this.#listen();
    await this.#until(() => secured.getPeerCertificate().raw !== undefined);
  }

  get certificate(): tls.PeerCertificate | undefined {
    return this.#socket instanceof tls.TLSSocket ? this.#socket.getPeerCertificate() : undefined;
  }

  /** Why the certificate is not good for this name; undefined if it is, or if there is no TLS. */
  get mistrust(): string | undefined {
    if (!(this.#socket instanceof tls.TLSSocket) || this.#socket.authorized) return undefined;
    return String(this.#socket.authorizationError);
  }

  close(): void {
    this.#socket.destroy();
  }
}
