/** Hands messages over as a filter does: LMTP, one connection, the envelope pipelined. */
import { once } from 'node:events';
import net from 'node:net';

export class LmtpClient {
  readonly #socket: net.Socket;
  #received = '';
  #wake: (() => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (data) => {
      this.#received += data.toString('latin1');
      this.#wake?.();
    });
    socket.on('error', () => {}); // shows as closed
    socket.on('close', () => this.#wake?.());
  }

  static async connect(port: number): Promise<LmtpClient> {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const client = new LmtpClient(socket);
    await client.#replies(1);
    socket.write('LHLO filter.example\r\n');
    await client.#replies(1);
    return client;
  }

  /** The final reply lines of the message, one per recipient. @throws when the connection is lost before */
  async send(sender: string, recipients: readonly string[], message: string | Buffer): Promise<readonly string[]> {
    const envelope = recipients.map((address) => `RCPT TO:<${address}>\r\n`).join('');
    this.#socket.write(`MAIL FROM:<${sender}>\r\n${envelope}DATA\r\n`);
    await this.#replies(recipients.length + 2);
    const text = typeof message === 'string' ? message : message.toString('latin1');
    this.#socket.write(
      Buffer.from(`${text.replace(/\r\n\./g, '\r\n..')}${text.endsWith('\r\n') ? '' : '\r\n'}.\r\n`, 'latin1'),
    );
    return this.#replies(recipients.length);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #replies(count: number): Promise<readonly string[]> {
    for (;;) {
      const lines = this.#received.split('\r\n').filter((line) => /^\d{3} /.test(line));
      if (lines.length >= count && this.#received.endsWith('\r\n')) {
        this.#received = '';
        return lines;
      }
      if (this.#socket.destroyed) throw new Error(`the connection was closed after "${this.#received.slice(-200)}"`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
