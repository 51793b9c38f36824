/**
 * The listeners: TLS, limits on connections, the sweep that replaces a timer per connection, and a stop that lets commands finish.
 *
 * What must stay true: a flood costs a refusal each and nobody else's service; a new certificate is for new handshakes and ends no
 * session; close() always ends, at the latest when its grace is over.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Backend } from './backend.ts';
import { Connection, type Host, type Origin } from './connection.ts';
import type { Outcome } from './dispatch.ts';
import { defaultLimits, type Limits } from './limits.ts';
import type { Log } from './types.ts';

export interface Listen {
  readonly host: string;
  readonly port: number;
  /** TLS from the first octet (RFC 8314); else STARTTLS. */
  readonly tls: boolean;
}

export interface ImapServerOptions {
  readonly backend: Backend;
  /**
   * Who a new connection is from, if not the socket's other end: a balancer may say it. May read what was sent ahead of
   * TLS and greeting, and has to leave in the socket what follows. Rejects after it closed the socket: then that was all.
   */
  readonly originOf?: (socket: Socket) => Origin | Promise<Origin>;
  /** For the greeting. */
  readonly hostname: string;
  readonly listen: readonly Listen[];
  /** Asked at the start and at each reloadTls(). */
  secureContext(): SecureContextOptions;
  /** Passwords also without TLS. */
  readonly allowCleartextLogin: boolean;
  readonly maxConnections: number;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
  readonly version: string;
  /** For the greeting and ID. */
  readonly product?: string;
  /**
   * Told of every command that ended: its name as in commands/index.ts (undefined: it was none, or could not be read), from its
   * last octet (APPEND: from its message's first) to its answer; without outcome if the connection ended under it. IDLE lasts as long
   * as the client likes.
   */
  onCommand?(name: string | undefined, ms: number, outcome: Outcome | undefined): void;
}

export class ImapServer implements Host {
  readonly backend: Backend;
  readonly limits: Limits;
  readonly log: Log;
  readonly hostname: string;
  readonly product: Host['product'];
  readonly allowCleartextLogin: boolean;
  readonly #options: ImapServerOptions;
  readonly #connections = new Set<Connection>();
  /** Connections not logged in, by address. */
  readonly #strangers = new Map<string, number>();
  readonly #strange = new Set<Connection>();
  /** Those of whom originOf is still finding out. */
  readonly #entering = new Set<Socket>();
  readonly #servers: Server[] = [];
  #secureContext: SecureContext;
  #sweep: NodeJS.Timeout | undefined;
  /** Those who wait for the last connection to go. */
  readonly #closing: (() => void)[] = [];
  #serial = 0;

  constructor(options: ImapServerOptions) {
    this.#options = options;
    this.backend = options.backend;
    this.limits = { ...defaultLimits, ...options.limits };
    this.log = options.log;
    this.hostname = options.hostname;
    this.product = { name: options.product ?? 'Lazaret', version: options.version };
    this.allowCleartextLogin = options.allowCleartextLogin;
    this.#secureContext = this.#newContext();
  }

  /** Opens all listeners, or none. Answers where they are, in the order of the options. */
  async listen(): Promise<Listen[]> {
    const opened: Listen[] = [];
    try {
      for (const wanted of this.#options.listen) {
        const server = createServer({ allowHalfOpen: true }, (socket) => this.#enter(socket, wanted.tls));
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          server.listen({ host: wanted.host, port: wanted.port, backlog: 1024 }, () => {
            server.off('error', reject);
            resolve();
          });
        });
        server.on('error', (error) => this.log.error({ err: error }, 'A listener is in trouble'));
        this.#servers.push(server);
        const address = server.address();
        const port = typeof address === 'object' && address ? address.port : wanted.port;
        opened.push({ host: wanted.host, port, tls: wanted.tls });
      }
    } catch (error) {
      await this.close(0);
      throw error;
    }
    this.#sweep = setInterval(() => this.#tick(), this.limits.sweepMs);
    this.#sweep.unref();
    return opened;
  }

  /** Connections there are now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Those of them that are logged in. */
  get sessions(): number {
    return this.#connections.size - this.#strange.size;
  }

  /** Reads certificate and key again. @throws if they cannot be used; the old ones stay */
  reloadTls(): void {
    this.#secureContext = this.#newContext();
  }

  /** Says BYE to those at rest, lets running commands finish for so long, then cuts. */
  async close(graceMs: number): Promise<void> {
    const closed = this.#servers
      .splice(0)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    const left = new Promise<void>((resolve) => {
      this.#closing.push(resolve);
    });
    for (const socket of this.#entering) socket.destroy();
    for (const connection of this.#connections) connection.stop();
    if (this.#connections.size > 0) {
      // The sweep also cuts peers that do not answer our end.
      const cut = setTimeout(() => {
        for (const connection of this.#connections) connection.destroy();
      }, graceMs);
      await left;
      clearTimeout(cut);
    }
    clearInterval(this.#sweep);
    await Promise.all(closed);
  }

  // What connections ask for (Host).

  commandEnded(name: string | undefined, ms: number, outcome: Outcome | undefined): void {
    this.#options.onCommand?.(name, ms, outcome);
  }

  secureContext(): SecureContext {
    return this.#secureContext;
  }

  loggedIn(connection: Connection): void {
    this.#knowBetter(connection);
  }

  left(connection: Connection): void {
    this.#knowBetter(connection);
    this.#connections.delete(connection);
    if (this.#connections.size === 0) for (const resolve of this.#closing.splice(0)) resolve();
  }

  #knowBetter(connection: Connection): void {
    if (!this.#strange.delete(connection)) return;
    const strangers = (this.#strangers.get(connection.address) ?? 0) - 1;
    if (strangers > 0) this.#strangers.set(connection.address, strangers);
    else this.#strangers.delete(connection.address);
  }

  #newContext(): SecureContext {
    return createSecureContext({ minVersion: 'TLSv1.2', ...this.#options.secureContext() });
  }

  #enter(socket: Socket, tls: boolean): void {
    if (this.#connections.size + this.#entering.size >= this.#options.maxConnections) {
      this.#refuse(socket, tls);
      return;
    }
    const origin = this.#options.originOf?.(socket);
    if (!(origin instanceof Promise)) {
      this.#accept(socket, tls, origin ?? { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 });
      return;
    }
    this.#entering.add(socket);
    origin.then(
      (found) => {
        this.#entering.delete(socket);
        if (!socket.destroyed) this.#accept(socket, tls, found);
      },
      () => this.#entering.delete(socket),
    );
  }

  #accept(socket: Socket, tls: boolean, origin: Origin): void {
    const { address } = origin;
    const strangers = this.#strangers.get(address) ?? 0;
    if (strangers >= this.limits.strangersPerAddress) {
      this.#refuse(socket, tls);
      return;
    }
    try {
      const connection = new Connection(this, socket, `imap-${(++this.#serial).toString(36)}`, tls, origin);
      this.#connections.add(connection);
      this.#strange.add(connection);
      this.#strangers.set(address, strangers + 1);
    } catch (error) {
      this.log.error({ err: error }, 'A connection could not be set up');
      socket.destroy();
    }
  }

  #refuse(socket: Socket, tls: boolean): void {
    socket.on('error', () => {});
    // No handshake for those who are refused: that would be the dearest part of a connection.
    if (tls) socket.destroy();
    else socket.end('* BYE [UNAVAILABLE] Too many connections, please try again later\r\n', () => socket.destroy());
  }

  #tick(): void {
    const now = performance.now();
    for (const connection of this.#connections) connection.tick(now);
  }
}
