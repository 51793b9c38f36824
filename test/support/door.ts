/**
 * A port in front of another, for programs that are told once where to connect: what stands behind it can change, be shut,
 * or lose its answer just after it took a message.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';

export class Door {
  readonly port: number;
  /** What clients have sent, of each connection. */
  readonly said: string[] = [];
  #behind: number | undefined;
  readonly #unlucky: string[] = [];
  /** How many answers were lost. */
  lost = 0;
  readonly #open = new Set<Socket>();

  private constructor(server: Server) {
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (socket) => this.#enter(socket));
  }

  static async open(t: Test, behind?: number): Promise<Door> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const door = new Door(server);
    door.#behind = behind;
    t.teardown(async () => {
      door.shut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    });
    return door;
  }

  leadTo(port: number): void {
    this.shut();
    this.#behind = port;
  }

  /** Whoever comes is hung up on, and whoever is there. */
  shut(): void {
    this.#behind = undefined;
    for (const socket of this.#open) socket.destroy();
  }

  /** The next answer to a message with these words is not passed on; the connection ends in its place. */
  loseAnswerTo(words: string): void {
    this.#unlucky.push(words);
  }

  /** To whatever message it is. */
  loseAnAnswer(): void {
    this.loseAnswerTo('');
  }

  #enter(client: Socket): void {
    if (this.#behind === undefined) {
      client.destroy();
      return;
    }
    const server = connect(this.#behind, '127.0.0.1');
    const at = this.said.push('') - 1;
    let textAt: number | undefined;
    let whole = false;
    let tail = '';
    client.on('data', (octets) => {
      const text = octets.toString('latin1');
      this.said[at] += text;
      // Within a text a dot is doubled; QUIT may stand behind its end.
      if (textAt !== undefined && (tail + text).includes('\r\n.\r\n')) whole = true;
      tail = text.slice(-4);
      server.write(octets);
    });
    server.on('data', (octets) => {
      if (/^354/m.test(octets.toString('latin1'))) textAt = this.said[at]!.length;
      else if (whole) {
        const text = this.said[at]!.slice(textAt);
        textAt = undefined;
        whole = false;
        const unlucky = this.#unlucky.findIndex((words) => text.includes(words));
        if (unlucky >= 0) {
          this.#unlucky.splice(unlucky, 1);
          this.lost++;
          client.destroy();
          server.destroy();
          return;
        }
      }
      client.write(octets);
    });
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(one);
      one.on('error', () => {});
      one.on('end', () => other.end());
      one.on('close', () => {
        this.#open.delete(one);
        other.destroy();
      });
    }
  }
}
