/**
 * An HTTP listener for machines that bring something: with TLS or without, behind a balancer that says who the client is, or
 * not, with limits for slow and talkative ones, and with an end that lets what is under way come to its answer. What is asked
 * of it are the routes of whoever opens it.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Log } from '#app/observe/log';
import { BadRequest } from './bad-request.ts';

export interface DoorListen {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** What the log calls it. */
  readonly name: string;
}

/** The client's address: the socket's other end, or what a balancer there says. */
export interface Origin {
  readonly address: string;
  readonly port: number;
}

export interface DoorOptions {
  readonly listen: DoorListen;
  /** Who a connection is from, if not the socket's other end. Rejects after it closed the socket: then that was all. */
  readonly originOf: (socket: Socket) => Origin | Promise<Origin>;
  /** Of the certificate that is shown now; only asked where `listen.tls`. */
  readonly secureContext?: (() => SecureContext) | undefined;
  readonly log: Log;
  /** Octets of a request's header. Node's own default is 16 KiB. */
  readonly maxHeaderOctets: number;
  /** Nothing said by the client for so long, and it is cut. */
  readonly idleMs?: number;
  /** For a header to come in, and for a handshake. */
  readonly headerMs?: number;
  /** For a whole request to come in. */
  readonly requestMs?: number;
}

/** Connections to one listener; more are closed at once. */
const maxConnections = 1000;
/** How much of a request that was refused is still read, so that its client gets to read the answer. */
const maxLingerOctets = 16 * 1024 * 1024;
const lingerMs = 10_000;

export class Door {
  readonly #options: DoorOptions;
  readonly #origins = new WeakMap<Socket, Origin>();
  /** Those of whom one is still finding out, or who shake hands. */
  readonly #entering = new Set<Socket>();
  readonly #open = new Set<Socket>();
  /** Those with a request that has not been answered. */
  readonly #asking = new Set<Socket>();
  #server: http.Server | undefined;
  /** For routes. Their bodies are not read before them: `request.raw` is what comes in. */
  readonly routes: FastifyInstance;
  #stopping = false;
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: DoorOptions) {
    this.#options = options;
    this.routes = this.#make();
  }

  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#options.listen;
    await this.routes.listen({ host, port });
    const address = this.#server?.address();
    return { host, port: typeof address === 'object' && address ? address.port : port };
  }

  /** Whom a request is from. */
  originOf({ raw }: FastifyRequest): Origin {
    return (
      this.#origins.get(raw.socket) ?? { address: raw.socket.remoteAddress ?? '', port: raw.socket.remotePort ?? 0 }
    );
  }

  /** A stop waits for this. */
  track<T>(work: Promise<T>): Promise<T> {
    const settled = work.catch(() => {}).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
    return work;
  }

  /** Nobody new; requests that are under way have so long for their answer. When it resolves nothing of it is left. */
  async close(graceMs: number): Promise<void> {
    this.#stopping = true;
    for (const socket of this.#entering) socket.destroy();
    const server = this.#server;
    if (!server?.listening) {
      await this.routes.close();
      return;
    }
    const closed = once(server, 'close');
    server.close();
    // closeIdleConnections would leave those who never said anything.
    for (const socket of this.#open) if (!this.#asking.has(socket)) socket.destroy();
    const cut = setTimeout(() => server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(cut);
    await Promise.all(this.#running);
    await this.routes.close();
  }

  /**
   * To be waited for before an answer that does not need the rest of the request: it is read on, within bounds, and thrown
   * away. A connection that is closed on unread octets loses the answer; where the bounds are reached it may.
   */
  async drained({ raw }: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (raw.readableEnded || raw.destroyed) return;
    await new Promise<void>((resolve) => {
      let octets = 0;
      const count = (chunk: Uint8Array) => {
        octets += chunk.length;
        if (octets > maxLingerOctets) enough();
      };
      const enough = () => {
        clearTimeout(timer);
        raw.off('data', count).off('end', enough).off('close', enough);
        resolve();
      };
      const timer = setTimeout(enough, lingerMs);
      raw.on('error', () => {});
      raw.on('data', count).on('end', enough).on('close', enough);
      raw.resume();
    });
    if (raw.complete) return;
    raw.pause();
    reply.header('connection', 'close');
  }

  #make(): FastifyInstance {
    const { log, maxHeaderOctets, listen, headerMs = 20_000, requestMs = 10 * 60_000, idleMs = 60_000 } = this.#options;
    const routes = fastify({
      logger: false,
      forceCloseConnections: false,
      return503OnClosing: false,
      serverFactory: (handler) => {
        const server = http.createServer(
          {
            maxHeaderSize: maxHeaderOctets,
            headersTimeout: headerMs,
            requestTimeout: requestMs,
            connectionsCheckingInterval: Math.min(5_000, headerMs),
            keepAliveTimeout: idleMs,
            requireHostHeader: false,
          },
          handler,
        );
        server.timeout = idleMs;
        server.maxConnections = maxConnections;
        server.on('clientError', broken);
        this.#guard(server);
        this.#server ??= server; // for `localhost` fastify makes a second one
        return server;
      },
      frameworkErrors: (_error, _request, reply) => {
        reply.hijack();
        reply.raw.writeHead(400, { connection: 'close', 'content-type': 'text/plain' }).end('Bad request\n');
      },
    });
    // Bodies are streams, whatever they are called.
    routes.removeAllContentTypeParsers();
    routes.addContentTypeParser('*', (_request, _payload, done) => done(null));
    routes.addHook('onRequest', async ({ raw: { socket } }, reply) => {
      this.#asking.add(socket);
      reply.raw.once('close', () => this.#asking.delete(socket));
    });
    routes.addHook('onSend', async (_request, reply) => {
      reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
      if (this.#stopping) reply.header('connection', 'close');
    });
    routes.setNotFoundHandler(async (request, reply) => {
      await this.drained(request, reply);
      return say(reply, 404, 'Not found');
    });
    routes.setErrorHandler(async (error: FastifyError, request, reply) => {
      await this.drained(request, reply);
      if (error instanceof BadRequest) return say(reply, error.status, error.message);
      if (error.statusCode !== undefined && error.statusCode < 500) return say(reply, error.statusCode, 'Bad request');
      const reference = randomBytes(4).toString('hex');
      log.error({ err: error, listener: listen.name, reference }, 'An HTTP request failed');
      reply.header('retry-after', '30');
      return say(reply, 503, `Not done because of a local problem, please try again later; reference ${reference}`);
    });
    return routes;
  }

  /** Puts itself between a new connection and the HTTP server. */
  #guard(server: http.Server): void {
    const handlers = server.listeners('connection') as ((this: http.Server, socket: Socket) => void)[];
    server.removeAllListeners('connection');
    const open = (socket: Socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
      for (const handler of handlers) handler.call(server, socket);
    };
    server.on('error', (error) =>
      this.#options.log.error({ err: error, listener: this.#options.listen.name }, 'An HTTP listener is in trouble'),
    );
    server.on('connection', (socket: Socket) => {
      const origin = this.#options.originOf(socket);
      if (!(origin instanceof Promise)) {
        this.#enter(socket, origin, open);
        return;
      }
      this.#entering.add(socket);
      origin.then(
        (found) => {
          this.#entering.delete(socket);
          if (!socket.destroyed) this.#enter(socket, found, open);
        },
        () => this.#entering.delete(socket),
      );
    });
  }

  #enter(socket: Socket, origin: Origin, open: (socket: Socket) => void): void {
    const { listen, secureContext, headerMs = 20_000, log } = this.#options;
    if (!listen.tls) {
      this.#origins.set(socket, origin);
      open(socket);
      return;
    }
    if (!secureContext) throw new Error(`${listen.name} has no certificate`);
    const secured = new TLSSocket(socket, { isServer: true, secureContext: secureContext() });
    this.#origins.set(secured, origin);
    this.#entering.add(socket);
    const give = (error?: Error) => {
      log.debug({ err: error, listener: listen.name, client: origin.address }, 'A TLS handshake failed');
      socket.destroy();
    };
    const timer = setTimeout(give, headerMs);
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      this.#entering.delete(socket);
    });
    secured.on('error', give);
    secured.once('secure', () => {
      clearTimeout(timer);
      this.#entering.delete(socket);
      secured.off('error', give);
      open(secured);
    });
  }
}

/** One line for a person, or for the log of a program. */
export function say(reply: FastifyReply, status: number, sentence: string): FastifyReply {
  return reply.code(status).type('text/plain; charset=utf-8').send(`${sentence}\n`);
}

function broken(error: Error & { readonly code?: string }, socket: NodeJS.WritableStream & { destroy?(): void }): void {
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const tooSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = tooLarge ? '431 Request Header Fields Too Large' : tooSlow ? '408 Request Timeout' : '400 Bad Request';
  if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy?.();
  else socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Several listeners, opened and closed as one. */
export class Doors {
  #doors: Door[] = [];

  /** Opens all, each with its routes, or none. Answers where they are, in the order of `doors`. */
  async open(doors: readonly Door[]): Promise<{ readonly host: string; readonly port: number }[]> {
    this.#doors.push(...doors);
    const opened = [];
    try {
      for (const door of doors) opened.push(await door.listen());
    } catch (error) {
      await this.close(0);
      throw error;
    }
    return opened;
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all(this.#doors.splice(0).map((door) => door.close(graceMs)));
  }
}
