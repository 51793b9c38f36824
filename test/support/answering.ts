/**
 * A server that reads one request a connection, head and as much as its Content-length says (so HTTP does it, and spamd),
 * writes it down, and answers with exactly these octets; or it answers before the message has come, or not at all.
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Test } from 'tap';

export interface Asked {
  /** Up to the empty line. */
  readonly head: string;
  readonly body: Buffer;
}

export type Answer =
  /** Octets, after which it closes. */
  | string
  | { readonly early: string }
  | { readonly reset: true }
  | { readonly silence: true }
  /** Waits with its answer. */
  | { readonly after: Promise<void>; readonly answer: string };

export class Answering {
  readonly asked: Asked[] = [];
  readonly port: number;
  /** To the n-th request, counted from 0. */
  answer: (asked: Asked, n: number) => Answer;
  readonly #server: net.Server;
  readonly #waiting = new Set<() => void>();

  private constructor(server: net.Server, answer: Answering['answer']) {
    this.#server = server;
    this.port = (server.address() as net.AddressInfo).port;
    this.answer = answer;
  }

  static async start(t: Test, answer: Answering['answer']): Promise<Answering> {
    const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const it = new Answering(server, answer);
    const open = new Set<net.Socket>();
    server.on('connection', (socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      it.#serve(socket);
    });
    t.teardown(async () => {
      for (const socket of open) socket.destroy();
      await it.stop();
    });
    return it;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Resolves when so many requests have come. */
  seen(count: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.asked.length < count) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  #serve(socket: net.Socket): void {
    let input = Buffer.alloc(0);
    let done = false;
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      if (done) return;
      input = Buffer.concat([input, piece]);
      const end = input.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = input.subarray(0, end).toString('latin1');
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      const asked = { head, body: input.subarray(end + 4) };
      const answer = this.answer(asked, this.asked.length);
      const isEarly = typeof answer === 'object' && 'early' in answer;
      if (!isEarly && asked.body.length < length) return;
      done = true;
      this.asked.push(asked);
      for (const look of this.#waiting) look();
      if (typeof answer === 'string') socket.end(answer, 'latin1');
      else if (isEarly) socket.write(answer.early, 'latin1', () => socket.destroy());
      else if ('reset' in answer) socket.resetAndDestroy();
      else if ('after' in answer) void answer.after.then(() => socket.end(answer.answer, 'latin1'));
    });
  }
}
