/**
 * SMTP and LMTP listeners for mail that a filter or an MTA hands over. What a message means is the receiver's business
 * (receiver.ts); here it is octets, an envelope, and one reply for all its recipients (INTEGRATIONS §0.5: a filter that
 * is told different things for different recipients sends the message again).
 *
 * No TLS and no login: these listeners stand on loopback or between trusted machines.
 */
import { once } from 'node:events';
import type net from 'node:net';
import { SMTPServer } from 'smtp-server';
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { type ConnectionSetting, HandOverConnection, type Log } from './connection.ts';
import type { Receiver, Reply } from './receiver.ts';

export interface ListenSetting {
  readonly protocol: 'lmtp' | 'smtp';
  readonly host: string;
  readonly port: number;
  /** What the receiver and the log call it. */
  readonly name: string;
}

/** The client's address: the socket's other end, or what a balancer there says. */
export interface Origin {
  readonly address: string;
  readonly port: number;
}

export interface HandOverOptions {
  readonly receiver: Receiver;
  /**
   * Who a new connection is from, if not the socket's other end: a balancer may say it. May read what was sent ahead of the
   * greeting, and has to leave in the socket what follows. Rejects after it closed the socket: then that was all.
   *
   * smtp-server's own `useProxy` knows version 1 and single addresses only, and tells strangers what it expected.
   */
  readonly originOf?: (socket: net.Socket) => Origin | Promise<Origin>;
  readonly hostname: string;
  readonly listen: readonly ListenSetting[];
  readonly maxMessageBytes: number;
  readonly log: Log;
  /** Told of every reply that ends a message or refuses a client before it, once, for whoever counts. */
  onReply?(reply: Reply): void;
}

/** Connections to one listener; more get 421. An idle one costs about 30 KB, a busy one at most half a megabyte. */
const maxConnections = 1000;
/** Recipients of one message; more get 452 each and come in a second transaction. Postfix sends 50, amavis all it has. */
const maxRecipients = 10_000;
/** RFC 5321 §4.5.3.1.4 asks for 512 octets and more for extensions; ORCPT and long VERP senders need room. */
const maxCommandOctets = 16 * 1024;
/** RFC 5321 §4.5.3.2.7. */
const idleMs = 5 * 60_000;
const noCommands = ['AUTH', 'STARTTLS', 'WIZ', 'SHELL', 'KILL'];

export class HandOverServer {
  readonly #options: HandOverOptions;
  #listeners: Listener[] = [];
  readonly #receiving = new Set<Promise<unknown>>();

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  /** Answers where each listener listens, in the order they were given. Throws if one cannot, and then none does. */
  async listen(): Promise<{ name: string; host: string; port: number }[]> {
    const { receiver, log, hostname, maxMessageBytes, originOf } = this.#options;
    const onReply = (reply: Reply) => this.#options.onReply?.(reply);
    const track = (receiving: Promise<unknown>) => {
      this.#receiving.add(receiving);
      void receiving.finally(() => this.#receiving.delete(receiving));
    };
    try {
      const open: { name: string; host: string; port: number }[] = [];
      for (const { protocol, host, port, name } of this.#options.listen) {
        const setting = { receiver, protocol, listener: name, maxMessageBytes, log, track, onReply };
        const listener = new Listener(hostname, setting, originOf);
        this.#listeners.push(listener);
        listener.server.listen({ host, port });
        await once(listener.server, 'listening');
        const bound = listener.server.address();
        open.push({ name, host, port: bound && typeof bound === 'object' ? bound.port : port });
      }
      return open;
    } catch (error) {
      await this.close(0);
      throw error;
    }
  }

  /**
   * Stops listening, lets messages that are being received come to their reply for `graceMs`, then gives them up. When it
   * resolves no connection is left and the receiver has nothing more to do.
   */
  async close(graceMs: number): Promise<void> {
    const listeners = this.#listeners;
    this.#listeners = [];
    const closed = Promise.all(listeners.map((listener) => listener.stop()));
    const grace = setTimeout(() => {
      for (const listener of listeners) listener.abort();
    }, graceMs);
    await closed;
    clearTimeout(grace);
    await Promise.all(this.#receiving);
  }
}

class Listener extends SMTPServer {
  readonly #setting: ConnectionSetting;
  readonly #originOf: HandOverOptions['originOf'];
  readonly #open = new Set<HandOverConnection>();
  /** Those of whom originOf is still finding out. */
  readonly #entering = new Set<net.Socket>();
  #stopping = false;

  constructor(hostname: string, setting: ConnectionSetting, originOf: HandOverOptions['originOf']) {
    super({
      name: hostname,
      lmtp: setting.protocol === 'lmtp',
      heloResponse: '%s',
      size: setting.maxMessageBytes,
      maxRecipients,
      maxClients: maxConnections,
      maxCommandLength: maxCommandOctets,
      socketTimeout: idleMs,
      disabledCommands: noCommands,
      disableReverseLookup: true,
      hideENHANCEDSTATUSCODES: false,
      hideDSN: false,
      hideSMTPUTF8: false,
      useXForward: true,
      useXClient: true,
      logger: false,
      onConnect: (_session, callback) => callback(),
      onMailFrom: (_address, _session, callback) => callback(),
      onRcptTo: (_address, _session, callback) => callback(),
    });
    this.#setting = setting;
    this.#originOf = originOf;
    // smtp-server gives a socket away some moments after it came, and until then nobody would hear of its end.
    this.server.on('connection', (socket) => socket.on('error', () => {}));
    // Errors of single connections come here too: clients that reset theirs. Nothing is lost by them.
    this.on('error', (err) => setting.log.debug({ err, listener: setting.listener }, 'A hand-over connection broke'));
  }

  override connect(socket: net.Socket, options?: SMTPConnectionOptions | null): void {
    if (socket.destroyed) return;
    const origin = this.#originOf?.(socket);
    if (!(origin instanceof Promise)) {
      this.#accept(socket, options, origin);
      return;
    }
    if (this.#stopping || this.#entering.size >= maxConnections) {
      socket.destroy();
      return;
    }
    this.#entering.add(socket);
    origin.then(
      (found) => {
        this.#entering.delete(socket);
        if (!socket.destroyed) this.#accept(socket, options, found);
      },
      () => this.#entering.delete(socket),
    );
  }

  #accept(socket: net.Socket, options: SMTPConnectionOptions | null | undefined, origin: Origin | undefined): void {
    const from = origin && { remoteAddress: origin.address, remotePort: origin.port };
    const connection = new HandOverConnection(this, socket, { ...options, ...from }, this.#setting);
    this.connections.add(connection);
    this.#open.add(connection);
    socket.once('close', () => this.#open.delete(connection));
    connection.on('error', (error) => this._onError(error));
    connection.init();
    if (this.#stopping) connection.stop();
  }

  /** Resolves when the last connection is gone. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.#entering) socket.destroy();
    for (const connection of this.#open) connection.stop();
    await closed;
  }

  abort(): void {
    for (const connection of this.#open) connection.abort();
  }
}
