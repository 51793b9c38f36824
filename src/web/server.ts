/**
 * The HTTP listeners. So far they serve what watches a server: /healthz (the event loop turns), /readyz (fit to be sent clients
 * and mail) and /metrics. Pages and an API will be routes of their own beside these.
 *
 * What must stay true: nobody is told what went wrong inside, only a reference that stands in the log, too; requests are small,
 * and slow ones are cut; nothing here is needed by mail, so no error of these listeners ends anything else.
 */
import { randomBytes } from 'node:crypto';
import { type FastifyError, type FastifyInstance, fastify } from 'fastify';
import type { Readiness } from '#app/observe/health';
import type { Log } from '#app/observe/log';
import type { Metrics } from '#app/observe/metrics';

export interface HttpListen {
  readonly host: string;
  readonly port: number;
}

export interface WebOptions {
  readonly listen: readonly HttpListen[];
  readonly readiness: Pick<Readiness, 'check'>;
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>;
  readonly log: Log;
}

/** Whoever asks here is a few machines. */
const maxConnections = 200;
const maxHeaderOctets = 8 * 1024;
const maxBodyOctets = 1024;
/** For a whole request to come in. */
const requestMs = 10_000;
/** Prometheus asks every 15 to 60 seconds, on one connection. */
const keepAliveMs = 65_000;

export class WebServer {
  readonly #options: WebOptions;
  #servers: FastifyInstance[] = [];

  constructor(options: WebOptions) {
    this.#options = options;
  }

  /** Opens all listeners, or none. Answers where they are, in the order of the options. */
  async listen(): Promise<HttpListen[]> {
    const opened: HttpListen[] = [];
    try {
      for (const { host, port } of this.#options.listen) {
        const server = this.#make();
        this.#servers.push(server);
        await server.listen({ host, port });
        const address = server.server.address();
        opened.push({ host, port: typeof address === 'object' && address ? address.port : port });
      }
    } catch (error) {
      await this.close();
      throw error;
    }
    return opened;
  }

  /** Cuts what is under way: whoever watches asks again. */
  async close(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.close()));
  }

  #make(): FastifyInstance {
    const { log } = this.#options;
    const server = fastify({
      logger: false,
      bodyLimit: maxBodyOctets,
      requestTimeout: requestMs,
      connectionTimeout: keepAliveMs + requestMs,
      keepAliveTimeout: keepAliveMs,
      forceCloseConnections: true,
      http: { maxHeaderSize: maxHeaderOctets, headersTimeout: requestMs },
      clientErrorHandler: (_error, socket) => {
        if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
        else socket.destroy();
      },
      frameworkErrors: (_error, _request, reply) => {
        reply.hijack();
        reply.raw.writeHead(400, { connection: 'close', 'content-type': 'text/plain' }).end('Bad request\n');
      },
    });
    server.server.maxConnections = maxConnections;
    server.server.on('error', (error) => log.error({ err: error }, 'An HTTP listener is in trouble'));
    server.addHook('onSend', async (_request, reply) => {
      reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    });
    server.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('Not found\n'));
    server.setErrorHandler((error: FastifyError, _request, reply) => {
      const status = error.statusCode ?? 500;
      if (status < 500) return reply.code(status).type('text/plain').send('Bad request\n');
      const reference = randomBytes(4).toString('hex');
      log.error({ err: error, reference }, 'An HTTP request failed');
      return reply.code(500).type('text/plain').send(`Internal error, reference ${reference}\n`);
    });
    this.#watching(server);
    return server;
  }

  /** The routes for whatever watches. */
  #watching(server: FastifyInstance): void {
    const { readiness, metrics } = this.#options;
    server.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok\n'));
    server.get('/readyz', async (_request, reply) => {
      const fitness = await readiness.check();
      return reply.code(fitness.status === 'ready' ? 200 : 503).send(fitness);
    });
    server.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  }
}
