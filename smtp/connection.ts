/**
 * One client that hands mail over: smtp-server's connection with what it lacks for this work (TOOLCHAIN of the project,
 * measured at 3.21.6, to which the dependency is pinned; test/smtp/server.test.ts keeps every point):
 *
 * - it greets at once, not after 100 ms;
 * - paths are read by address.ts: quoted local parts, addresses kept as written;
 * - a recipient named twice in LMTP gets two replies (RFC 2033 §4.2);
 * - XFORWARD and XCLIENT are offered to whoever the receiver admits, not to a list of addresses;
 * - all recipients get one and the same reply, whose enhanced code is ours to choose;
 * - messages end at CRLF . CRLF and nowhere else (data-parser.ts), and replies to pipelined commands leave in one packet.
 */
import type net from 'node:net';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { commandText, parsePathCommand } from './address.ts';
import { ByteQueue } from './byte-queue.ts';
import { DataParser } from './data-parser.ts';
import type { HandOverClient, Receiver, Recipient, Reply, Transaction } from './receiver.ts';
import { replies } from './reply.ts';
import { parseAttributes } from './xforward.ts';

/** As much of a log as is needed here. */
export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export interface ConnectionSetting {
  readonly receiver: Receiver;
  readonly protocol: 'lmtp' | 'smtp';
  /** Name of the listener. */
  readonly listener: string;
  readonly maxMessageBytes: number;
  readonly log: Log;
  /** Told of every reply that ends a message or refuses a client before it, for whoever counts. */
  readonly onReply?: (reply: Reply) => void;
  /** Told of every message that is being received, so that a stop can wait for it. */
  readonly track: (receiving: Promise<unknown>) => void;
}

const paramsOf = ({ args }: { args: false | Record<string, string | true> }) => args || {};

export class HandOverConnection extends SMTPConnection {
  readonly #setting: ConnectionSetting;
  #greeted = false;
  #corked = false;
  #stopping = false;
  /** The message that is being received or was not yet answered. */
  #queue: ByteQueue | undefined;
  #xclient: Readonly<Record<string, string>> = {};
  #xforward: Readonly<Record<string, string>> = {};

  constructor(
    server: SMTPServer,
    socket: net.Socket,
    options: SMTPConnectionOptions | null | undefined,
    setting: ConnectionSetting,
  ) {
    super(server, socket, options);
    this.#setting = setting;
  }

  /** Ends the connection as soon as it is between two transactions: at once, or after the reply to the one that runs. */
  stop(): void {
    this.#stopping = true;
    if (!this.#queue && !this.session.envelope.mailFrom) this.#sayGoodbye();
  }

  /** Ends it now. A message on its way is given up, and its client has no reply: it will send it again. */
  abort(): void {
    this.#queue?.fail(new Error('The server is stopping'));
    this._socket.destroy();
  }

  override init(): void {
    super.init();
    this.connectionReady();
  }

  /** Also called by the timer that super.init started. */
  override connectionReady(next?: () => void): void {
    if (this.#greeted) return;
    this.#greeted = true;
    super.connectionReady(next);
  }

  /** Called by the constructor of the base class, before any field of this one exists. */
  override _createParser(): DataParser {
    const parser = new DataParser({ maxCommandLength: this._server.options.maxCommandLength });
    parser.oncommand = (command, callback) => this._onCommand(command, callback);
    parser.on('error', (error) => this.send(421, `Error: ${error.message}`));
    return parser;
  }

  /** All that is written in one tick leaves as one packet. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const socket = this._socket;
    if (!this.#corked && !socket.destroyed) {
      this.#corked = true;
      socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    super.send(code, data, context);
  }

  override _parseAddressCommand(rawName: string, rawCommand: Buffer | string) {
    const command = typeof rawCommand === 'string' ? rawCommand : commandText(rawCommand);
    const path = parsePathCommand(rawName.toUpperCase(), command);
    if (!path) return false;
    return { address: path.address, args: { ...path.params }, duplicate: path.duplicate };
  }

  override _resetSession(): void {
    // As Postfix does: what XFORWARD said is about one message.
    this.#xforward = {};
    super._resetSession();
  }

  override _proxyCommandAllowed(): boolean {
    return this.#refusal() === undefined;
  }

  override handler_MAIL(command: Buffer, callback: () => void): void {
    const refusal = this.#refusal();
    if (refusal) {
      const { address, listener } = this.#client();
      this.#setting.log.info({ client: address, listener, said: refusal.text }, 'A client was not let in');
      this.#setting.onReply?.(refusal);
      this.#reply(refusal);
      callback();
    } else super.handler_MAIL(command, callback);
  }

  override handler_RCPT(command: Buffer, callback: () => void): void {
    // smtp-server would fold a repeated recipient and then answer once where RFC 2033 §4.2 wants two replies.
    this._rcptIndex.clear();
    super.handler_RCPT(command, callback);
  }

  override handler_RSET(command: Buffer, callback: () => void): void {
    super.handler_RSET(command, callback);
    if (this.#stopping) this.#sayGoodbye();
  }

  override handler_XFORWARD(command: Buffer, callback: () => void): void {
    const found = this.#attributes(command);
    if (found) {
      this.#xforward = { ...this.#xforward, ...found };
      this.#reply({ code: 250, enhanced: '2.0.0', text: 'Ok' });
    }
    callback();
  }

  override handler_XCLIENT(command: Buffer, callback: () => void): void {
    const found = this.#attributes(command);
    if (found) {
      this.#xclient = { ...this.#xclient, ...found };
      // The session starts over with a new greeting (XCLIENT_README).
      this.hostNameAppearsAs = false;
      this._resetSession();
      this._sendGreeting();
    }
    callback();
  }

  override handler_DATA(command: Buffer, callback: () => void): void {
    const parser = this._parser;
    const count = this.session.envelope.rcptTo.length;
    if (count === 0 || !(parser instanceof DataParser)) {
      super.handler_DATA(command, callback); // says what is missing
      return;
    }

    const queue = new ByteQueue();
    this.#queue = queue;
    let tooLarge = false;
    const ended = new Promise<void>((resolve) => {
      parser.startData({
        queue,
        limit: this.#setting.maxMessageBytes,
        onTooLarge: () => {
          tooLarge = true;
          queue.fail(new Error('The message is larger than allowed'));
        },
        onEnd: () => {
          queue.end();
          resolve();
        },
      });
    });
    const received = this.#receive(this.#transaction(), queue);
    this.#setting.track(received);
    void Promise.all([received, ended]).then(([reply]) =>
      this.#answer(tooLarge ? replies.tooLarge : reply, this.#setting.protocol === 'lmtp' ? count : 1),
    );
    this.send(354, 'End data with <CR><LF>.<CR><LF>');
    callback();
  }

  override _onClose(): void {
    super._onClose();
    this.#queue?.fail(new Error('The client left before its message was complete'));
  }

  override _onTimeout(): void {
    // While the client waits for us its silence is no fault (RFC 5321 §4.5.3.2.6 lets it wait 10 minutes).
    const waitsForUs =
      this.#queue && !(this._parser instanceof DataParser && this._parser.inData && !this.#queue.isFull);
    if (waitsForUs && !this._closing) this._armTimeout();
    else super._onTimeout();
  }

  /** Never rejects: what the receiver throws is a reply. */
  async #receive(transaction: Transaction, queue: ByteQueue): Promise<Reply> {
    const { receiver, log } = this.#setting;
    try {
      return await receiver.receive(transaction, queue);
    } catch (error) {
      const { id, address, listener } = transaction.client;
      log.warn({ connection: id, client: address, listener, err: error }, 'A message was not kept');
      return replies.tryLater;
    } finally {
      queue.abandon();
    }
  }

  #answer(reply: Reply, times: number): void {
    this.#queue = undefined;
    if (this._closed) return;
    this.#setting.onReply?.(reply);
    for (let n = 0; n < times; n++) this.#reply(reply);
    this._transactionCounter++;
    this._unrecognizedCommands = 0;
    this._resetSession();
    if (this.#stopping) this.#sayGoodbye();
    else if (this._parser instanceof DataParser) this._parser.finishData();
  }

  #sayGoodbye(): void {
    this.#reply({ code: 421, enhanced: '4.3.2', text: 'The server is stopping' });
  }

  #reply(reply: Reply): void {
    this.send(reply.code, `${reply.enhanced} ${reply.text}`, false);
  }

  #refusal(): Reply | undefined {
    return this.#setting.receiver.admit(this.#client());
  }

  #client(): HandOverClient {
    return {
      protocol: this.#setting.protocol,
      address: this._originalRemoteAddress,
      port: this.remotePort,
      helo: this.hostNameAppearsAs || '',
      listener: this.#setting.listener,
      forwarded: Object.fromEntries(
        Object.entries({ ...this.#xclient, ...this.#xforward }).filter(([, value]) => value !== ''),
      ),
      id: this.id,
    };
  }

  #transaction(): Transaction {
    const { mailFrom, rcptTo } = this.session.envelope;
    return {
      client: this.#client(),
      sender: mailFrom ? mailFrom.address : '',
      params: mailFrom ? paramsOf(mailFrom) : {},
      recipients: rcptTo.map((to): Recipient => ({ address: to.address, params: paramsOf(to) })),
    };
  }

  /** Checked attributes of an XFORWARD or XCLIENT command; undefined when it was refused, and the reply is written. */
  #attributes(command: Buffer): Readonly<Record<string, string>> | undefined {
    if (!this._proxyCommandAllowed()) this.#reply({ code: 550, enhanced: '5.7.0', text: 'Not allowed' });
    else if (this.session.envelope.mailFrom)
      this.#reply({ code: 503, enhanced: '5.5.1', text: 'A mail transaction is in progress' });
    else {
      const found = parseAttributes(commandText(command));
      if (found) return found;
      this.#reply({ code: 501, enhanced: '5.5.4', text: 'Bad attributes' });
    }
    return undefined;
  }
}
