/**
 * A next hop for tests, SMTP or LMTP, that writes down every octet and misbehaves on demand. On node:net and not on a
 * server package, so that nothing stands between a test and what was really sent.
 *
 *     const sink = await Sink.start(t, { behave: (at) => (at.phase === 'rcpt' ? '550 5.1.1 No such user' : undefined) });
 *     await client.deliver(parseNextHop(sink.url), …);
 *     sink.messages[0].bytes
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';

export type Phase =
  | 'connect'
  | 'ehlo'
  | 'starttls'
  | 'auth'
  | 'mail'
  | 'rcpt'
  | 'data'
  | 'body'
  | 'end'
  | 'rset'
  | 'quit';

export interface Moment {
  readonly phase: Phase;
  /** The command line; '' for connect, body, end. */
  readonly line: string;
  /** The recipient, for rcpt, and for end with LMTP. */
  readonly recipient?: string;
  /** Connections so far, this one included; and messages taken so far on all of them. */
  readonly connection: number;
  readonly delivered: number;
}

/** A reply; or to close, to reset, to hang for ever; or a reply after a while or with a close behind it. */
export type Behaviour =
  | string
  | 'close'
  | 'reset'
  | 'hang'
  | {
      readonly reply?: string;
      readonly afterMs?: number;
      /** Not before this has come to pass. */
      readonly after?: Promise<void>;
      readonly ending?: 'close' | 'reset';
    };

export interface SunkMessage {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** Parameters as written, e.g. `SIZE=12 BODY=8BITMIME`. */
  readonly mailParams: string;
  readonly rcptParams: readonly string[];
  /** As on the wire, dots doubled, without the final dot line (for BDAT: the chunks). */
  readonly wire: Buffer;
  /** The message: dots behind CRLF taken off. */
  readonly bytes: Buffer;
  readonly by: 'DATA' | 'BDAT';
  /** The first reply that was given to it. */
  readonly reply: string;
  readonly tls: boolean;
  readonly user?: string;
}

export interface SinkOptions {
  readonly protocol?: 'smtp' | 'lmtp';
  /** EHLO keywords; STARTTLS and AUTH are added by `tls` and `login`. */
  readonly extensions?: readonly string[];
  readonly behave?: (at: Moment) => Behaviour | undefined;
  readonly tls?: { readonly cert: string; readonly key: string; readonly implicit?: boolean };
  readonly login?: { readonly user: string; readonly password: string };
  /** Ends DATA at every form that some server was ever seen to take for its end (SMTP smuggling). */
  readonly lenient?: boolean;
  readonly port?: number;
}

const everything = ['PIPELINING', 'SIZE 104857600', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES', 'DSN', 'CHUNKING'];

export class Sink {
  readonly messages: SunkMessage[] = [];
  /** Every command line of every connection, in the order in which they came. */
  readonly commands: string[] = [];
  readonly port: number;
  connections = 0;
  /** Open right now. */
  readonly open = new Set<Socket>();
  options: SinkOptions;
  readonly #server: Server;
  #wake: (() => void)[] = [];

  static async start(t: { teardown(end: () => Promise<void>): void }, options: SinkOptions = {}): Promise<Sink> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const sink = new Sink(server, address.port, options);
    t.teardown(() => sink.close());
    return sink;
  }

  private constructor(server: Server, port: number, options: SinkOptions) {
    this.#server = server;
    this.port = port;
    this.options = options;
    server.on('connection', (socket) => {
      this.connections++;
      this.open.add(socket);
      socket.on('close', () => {
        this.open.delete(socket);
        this.tell();
      });
      new Conversation(this, socket, this.connections).begin();
      this.tell();
    });
  }

  get url(): string {
    const scheme = this.options.protocol === 'lmtp' ? 'lmtp' : this.options.tls?.implicit ? 'smtps' : 'smtp';
    return `${scheme}://127.0.0.1:${this.port}`;
  }

  /** Resolves as soon as this is true; it is looked at whenever something happens here. */
  async sees(what: (sink: Sink) => boolean): Promise<void> {
    while (!what(this)) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Something happened. */
  tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  async close(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

class Conversation {
  readonly #sink: Sink;
  readonly #number: number;
  #socket: Socket;
  #input = Buffer.alloc(0);
  #state: 'command' | 'data' | { readonly bdat: number; readonly last: boolean } | 'user' | 'password' | 'deaf' =
    'command';
  #sender: string | undefined;
  #mailParams = '';
  #recipients: string[] = [];
  #rcptParams: string[] = [];
  #chunks: Buffer[] = [];
  #bodySeen = false;
  #tls = false;
  #user: string | undefined;
  #loginUser = '';
  #busy = false;
  readonly #pieces: Buffer[] = [];
  #tail: Buffer = Buffer.alloc(0);

  constructor(sink: Sink, socket: Socket, number: number) {
    this.#sink = sink;
    this.#socket = socket;
    this.#number = number;
  }

  begin(): void {
    const { tls } = this.#sink.options;
    this.#socket.on('error', () => {});
    if (tls?.implicit) this.#secure(tls);
    else this.#listen();
    void this.#answer('connect', '', '220 sink.example ready');
  }

  #listen(): void {
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => {
      this.#pieces.push(chunk);
      // In a large message, gather without looking at all of it again for each piece.
      const seen = Buffer.concat([this.#tail, chunk]);
      this.#tail = seen.subarray(-4);
      const mayEnd =
        this.#state !== 'data' || !this.#bodySeen || this.#sink.options.lenient || seen.includes('\r\n.\r\n');
      if (!mayEnd) return;
      this.#input = Buffer.concat([this.#input, ...this.#pieces.splice(0)]);
      void this.#work();
    });
    this.#socket.on('error', () => {});
  }

  #secure(tls: { cert: string; key: string }): void {
    this.#socket.removeAllListeners('data');
    this.#input = Buffer.alloc(0);
    const secureContext = createSecureContext({ cert: tls.cert, key: tls.key });
    this.#socket = new TLSSocket(this.#socket, { isServer: true, secureContext });
    this.#tls = true;
    this.#listen();
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (await this.#step());
    this.#busy = false;
  }

  /** One command, or one piece of a message. False when more has to come first. */
  async #step(): Promise<boolean> {
    const state = this.#state;
    if (state === 'deaf') return false;
    if (state === 'data') return this.#data();
    if (typeof state === 'object') return this.#bdat(state);
    const end = this.#input.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.#input.subarray(0, end).toString('utf8');
    this.#input = this.#input.subarray(end + 2);
    if (state === 'user' || state === 'password') await this.#loginLine(state, line);
    else {
      this.#sink.commands.push(line);
      await this.#command(line);
    }
    this.#sink.tell();
    return true;
  }

  async #command(line: string): Promise<void> {
    const verb = (/^\S+/.exec(line)?.[0] ?? '').toUpperCase();
    const lmtp = this.#sink.options.protocol === 'lmtp';
    if (verb === (lmtp ? 'LHLO' : 'EHLO')) return void (await this.#answer('ehlo', line, this.#greeting()));
    if (verb === 'HELO' && !lmtp) return void (await this.#answer('ehlo', line, '250 sink.example'));
    if (verb === 'STARTTLS' && this.#sink.options.tls) {
      const ready = await this.#answer('starttls', line, '220 2.0.0 Go ahead');
      if (ready && this.#state !== 'deaf') this.#secure(this.#sink.options.tls);
      return;
    }
    if (verb === 'AUTH') return this.#auth(line);
    if (verb === 'MAIL') return this.#mail(line);
    if (verb === 'RCPT') return this.#rcpt(line);
    if (verb === 'DATA') {
      if (this.#recipients.length === 0) return this.#send('503 5.5.1 No valid recipients');
      if (await this.#answer('data', line, '354 End with a dot')) this.#begin('data');
      return;
    }
    if (verb === 'BDAT') {
      const [, octets, last] = /^BDAT (\d+)( LAST)?$/i.exec(line) ?? [];
      if (octets === undefined || this.#recipients.length === 0) return this.#send('503 5.5.1 No valid recipients');
      this.#begin({ bdat: Number(octets), last: last !== undefined });
      return;
    }
    if (verb === 'RSET') {
      this.#reset();
      return void (await this.#answer('rset', line, '250 2.0.0 Ok'));
    }
    if (verb === 'NOOP' || verb === 'XFORWARD') return this.#send('250 2.0.0 Ok');
    if (verb === 'QUIT') {
      await this.#answer('quit', line, '221 2.0.0 Bye');
      this.#socket.end();
      return;
    }
    this.#send(`502 5.5.2 What is ${verb}`);
  }

  #greeting(): string {
    const { tls, login, extensions = everything } = this.#sink.options;
    const words = ['sink.example', ...extensions];
    if (tls && !this.#tls) words.push('STARTTLS');
    if (login) words.push('AUTH PLAIN LOGIN');
    return words.map((word, index) => `250${index === words.length - 1 ? ' ' : '-'}${word}`).join('\r\n');
  }

  async #auth(line: string): Promise<void> {
    const { login } = this.#sink.options;
    const [, mechanism = '', initial] = line.split(' ');
    if (mechanism.toUpperCase() === 'LOGIN') {
      this.#state = 'user';
      return this.#send('334 VXNlcm5hbWU6');
    }
    const [, user = '', password = ''] = Buffer.from(initial ?? '', 'base64')
      .toString('utf8')
      .split('\0');
    const right = login && user === login.user && password === login.password;
    if (await this.#answer('auth', line, right ? '235 2.7.0 Ok' : '535 5.7.8 No')) this.#user = user;
  }

  async #loginLine(state: 'user' | 'password', line: string): Promise<void> {
    const text = Buffer.from(line, 'base64').toString('utf8');
    const { login } = this.#sink.options;
    if (state === 'user') {
      this.#loginUser = text;
      this.#state = 'password';
      return this.#send('334 UGFzc3dvcmQ6');
    }
    this.#state = 'command';
    const right = login && this.#loginUser === login.user && text === login.password;
    if (await this.#answer('auth', 'AUTH LOGIN', right ? '235 2.7.0 Ok' : '535 5.7.8 No')) this.#user = this.#loginUser;
  }

  async #mail(line: string): Promise<void> {
    if (this.#sender !== undefined) return this.#send('503 5.5.1 Nested MAIL');
    const [, sender, params] = /^MAIL FROM:<(.*)>(?: (.*))?$/i.exec(line) ?? [];
    if (sender === undefined) return this.#send('501 5.1.7 Bad sender');
    if (await this.#answer('mail', line, '250 2.1.0 Ok')) {
      this.#sender = sender;
      this.#mailParams = params ?? '';
    }
  }

  async #rcpt(line: string): Promise<void> {
    const [, recipient, params] = /^RCPT TO:<(.*)>(?: (.*))?$/i.exec(line) ?? [];
    if (this.#sender === undefined) return this.#send('503 5.5.1 MAIL first');
    if (recipient === undefined) return this.#send('501 5.1.3 Bad recipient');
    if (await this.#answer('rcpt', line, '250 2.1.5 Ok', recipient)) {
      this.#recipients.push(recipient);
      this.#rcptParams.push(params ?? '');
    }
  }

  #begin(state: 'data' | { readonly bdat: number; readonly last: boolean }): void {
    this.#bodySeen = false;
    this.#state = state;
  }

  async #data(): Promise<boolean> {
    if (this.#input.length > 0 && (await this.#misbehavesInBody())) return false;
    // The text begins at the start of a line, so an end may be the very first thing.
    const text = Buffer.concat([Buffer.from('\r\n'), this.#input]);
    const form = this.#sink.options.lenient
      ? /\r\n\.\r\n|\n\.\n|\n\.\r\n|\r\n\.\n|\r\.\r(?!\n)|\r\.\r\n|\n\.\r(?!\n)/
      : /\r\n\.\r\n/;
    const end = form.exec(text.toString('latin1'));
    if (!end) return false;
    const wire = Buffer.from(text.subarray(2, Math.max(2, end.index + (end[0].startsWith('\r\n') ? 2 : 1))));
    this.#input = text.subarray(end.index + end[0].length);
    const bytes = Buffer.from(wire.toString('latin1').replace(/(^|\r\n)\./g, '$1'), 'latin1');
    await this.#finish(wire, bytes, 'DATA');
    return true;
  }

  async #bdat(state: { readonly bdat: number; readonly last: boolean }): Promise<boolean> {
    if (this.#input.length > 0 && (await this.#misbehavesInBody())) return false;
    if (this.#input.length < state.bdat) return false;
    this.#chunks.push(Buffer.from(this.#input.subarray(0, state.bdat)));
    this.#input = this.#input.subarray(state.bdat);
    this.#state = 'command';
    if (!state.last) {
      this.#send('250 2.0.0 Ok');
      return true;
    }
    const bytes = Buffer.concat(this.#chunks);
    await this.#finish(bytes, bytes, 'BDAT');
    return true;
  }

  /** True if the conversation is over for the hop, in the middle of a message. */
  async #misbehavesInBody(): Promise<boolean> {
    if (this.#bodySeen) return false;
    this.#bodySeen = true;
    await this.#answer('body', '', '');
    return this.#state === 'deaf';
  }

  async #finish(wire: Buffer, bytes: Buffer, by: 'DATA' | 'BDAT'): Promise<void> {
    this.#state = 'command';
    const taken = {
      sender: this.#sender ?? '',
      recipients: this.#recipients,
      mailParams: this.#mailParams,
      rcptParams: this.#rcptParams,
      wire,
      bytes,
      by,
      tls: this.#tls,
      ...(this.#user !== undefined && { user: this.#user }),
    };
    this.#reset();
    const replies: string[] = [];
    const record = () => this.#sink.messages.push({ ...taken, reply: replies[0] ?? '' });
    for (const recipient of this.#sink.options.protocol === 'lmtp' ? taken.recipients : [undefined]) {
      const said = await this.#answer('end', '', '250 2.0.0 Ok', recipient, (reply) => {
        replies.push(reply);
        if (replies.length === 1) record(); // in the books before the answer is on the wire
      });
      if (!said && replies.length === 0) record();
    }
    this.#sink.tell();
  }

  #reset(): void {
    this.#sender = undefined;
    this.#recipients = [];
    this.#rcptParams = [];
    this.#chunks = [];
  }

  #send(reply: string): void {
    if (reply !== '') this.#socket.write(`${reply}\r\n`);
  }

  /** Gives this reply or does what the test wants instead. Answers whether the reply was a positive one. */
  async #answer(
    phase: Phase,
    line: string,
    usual: string,
    recipient?: string,
    before?: (reply: string) => void,
  ): Promise<boolean> {
    const moment = {
      phase,
      line,
      ...(recipient !== undefined && { recipient }),
      connection: this.#number,
      delivered: this.#sink.messages.length,
    };
    const behaviour = this.#sink.options.behave?.(moment) ?? usual;
    if (behaviour === 'close' || behaviour === 'reset' || behaviour === 'hang') {
      this.#state = 'deaf';
      if (behaviour === 'close') this.#socket.end();
      if (behaviour === 'reset') this.#socket.resetAndDestroy();
      this.#sink.tell();
      return false;
    }
    const {
      reply = usual,
      afterMs = 0,
      after,
      ending,
    } = typeof behaviour === 'string' ? { reply: behaviour } : behaviour;
    await after;
    if (afterMs > 0) await new Promise((resolve) => setTimeout(resolve, afterMs));
    before?.(reply);
    this.#send(reply);
    if (ending) {
      this.#state = 'deaf';
      if (ending === 'close') this.#socket.end();
      else this.#socket.resetAndDestroy();
    }
    return /^[23]/.test(reply);
  }
}
