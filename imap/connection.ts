/**
 * One client's connection: the read loop, IDLE, timeouts, TLS. Gives one item of input after the other to command-reader.ts, however
 * many came at once, and is itself what a running command has to do with (Context).
 *
 * What must stay true: commands run in the order they came; nothing read before the TLS handshake is run after it; input and output
 * waiting here are bounded; no error of one connection reaches another or the process. An idle connection holds no buffer and no
 * timer (server.ts sweeps).
 */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { Backend, Credentials, Peer, Session } from './backend.ts';
import { capabilityList } from './capability.ts';
import { CommandReader, type Line } from './command-reader.ts';
import type { Incoming } from './commands/command.ts';
import type { Outcome } from './dispatch.ts';
import { Bad, Bye } from './errors.ts';
import type { Limits } from './limits.ts';
import type { Selected } from './selected.ts';
import { type Answer, type Log, oneLine, type State } from './types.ts';
import { Lexer } from './wire/lexer.ts';
import { Gone, Writer } from './wire/writer.ts';

/** The client's address: the socket's other end, or what a balancer there says. */
export interface Origin {
  readonly address: string;
  readonly port: number;
}

/** What the server gives its connections. */
export interface Host {
  readonly backend: Backend;
  readonly limits: Limits;
  readonly log: Log;
  readonly hostname: string;
  readonly product: { readonly name: string; readonly version: string };
  readonly allowCleartextLogin: boolean;
  secureContext(): SecureContext;
  commandEnded(name: string | undefined, ms: number, outcome: Outcome | undefined): void;
  loggedIn(connection: Connection): void;
  left(connection: Connection): void;
}

/** Octets of an answer to `+`: base64 of a user name and a password. */
const answerOctets = 16 * 1024;
/** Sentences kept for a client that sends no command. */
const noticesKept = 20;
/** Milliseconds a peer has to close after we did. */
const lingerMs = 5_000;

export class Connection implements Line {
  readonly id: string;
  readonly out: Writer;
  readonly address: string;
  tag = '*';
  uid = false;
  condstore = false;

  readonly #host: Host;
  readonly #port: number;
  readonly #lexer: Lexer;
  readonly #commands: CommandReader;
  readonly #startedAt = performance.now();
  #socket: Socket;
  #secure: boolean;
  #session: Session | undefined;
  #selected: Selected | undefined;
  #stopNotices: (() => void) | undefined;
  #notices: string[] = [];
  /** The read loop is at work: a command runs, or waits for input. */
  #busy = false;
  #idling = false;
  /** Somebody waits for input. */
  #wanted: { resolve: () => void; reject: (error: Gone) => void } | undefined;
  #paused = false;
  /** The peer will send no more. */
  #ended = false;
  #closed = false;
  /** When we said the last word. */
  #endedAt: number | undefined;
  #stopping: string | undefined;
  #upgrading = false;
  #syncing: Promise<void> | undefined;
  #changed = false;
  #heardAt = this.#startedAt;
  #saidAt = this.#startedAt;

  constructor(host: Host, socket: Socket, id: string, tls: boolean, { address, port }: Origin) {
    this.#host = host;
    this.id = id;
    this.address = address;
    this.#port = port;
    this.#secure = tls;
    this.#lexer = new Lexer({ ...host.limits, setOctets: host.limits.lineOctets });
    this.#commands = new CommandReader(this, this.#lexer, host);
    this.#socket = tls ? this.#wrap(socket) : socket;
    this.out = new Writer(this.#socket, host.limits.outputOctets);
    this.#listen();
    const { hostname, product } = host;
    this.out.text(`* OK [CAPABILITY ${this.capabilities}] ${oneLine(`${hostname} ${product.name} ready`)}\r\n`);
    this.out.flush();
  }

  // What commands see (Context).

  get state(): State {
    return this.#selected ? 'selected' : this.#session ? 'authenticated' : 'not authenticated';
  }

  get session(): Session {
    if (!this.#session) throw new Bad('Log in first');
    return this.#session;
  }

  get selected(): Selected {
    if (!this.#selected) throw new Bad('No mailbox is selected');
    return this.#selected;
  }

  get incoming(): Incoming {
    const { incoming } = this.#commands;
    if (!incoming) throw new Bad('A literal was expected');
    return incoming;
  }

  get secure(): boolean {
    return this.#secure;
  }

  get mayLogin(): boolean {
    return this.#secure || this.#host.allowCleartextLogin;
  }

  get limits(): Limits {
    return this.#host.limits;
  }

  get product(): Host['product'] {
    return this.#host.product;
  }

  get capabilities(): string {
    return capabilityList({
      secure: this.#secure,
      mayLogin: this.mayLogin,
      authenticated: this.#session !== undefined,
      appendOctets: this.limits.appendOctets,
    });
  }

  ok(text: string, code?: string): Answer {
    return code === undefined ? { text } : { text, code };
  }

  notices(): void {
    for (const sentence of this.#notices) this.out.text(`* OK [ALERT] ${oneLine(sentence)}\r\n`);
    this.#notices = [];
  }

  progress(sentence: string): void {
    this.out.text(`* OK ${oneLine(sentence)}\r\n`);
    this.out.flush();
  }

  async ask(text: string): Promise<Buffer> {
    this.out.text(`+ ${text}\r\n`);
    this.out.flush();
    return this.#line();
  }

  async idle(): Promise<Buffer> {
    const mailbox = this.#selected?.mailbox;
    this.out.text('+ idling\r\n');
    this.#saidAt = performance.now();
    this.#idling = true;
    const stop = mailbox?.onChange(() => this.#wake());
    try {
      await mailbox?.refresh();
      await this.#tell(); // also without a mailbox: somebody may have something to say since the last answer
      this.out.flush();
      return await this.#line();
    } finally {
      this.#idling = false;
      stop?.();
      await this.#syncing;
    }
  }

  async login(credentials: Credentials): Promise<void> {
    const peer: Peer = { address: this.address, port: this.#port, secure: this.#secure, id: this.id };
    const session = await this.#host.backend.login(credentials, peer);
    if (this.#closed) {
      session.close();
      throw new Gone();
    }
    this.#session = session;
    this.#lexer.limits = this.limits;
    this.#stopNotices = session.onNotice((sentence) => {
      if (this.#notices.length < noticesKept) this.#notices.push(sentence);
      if (this.#idling) this.#wake();
    });
    this.#host.loggedIn(this);
  }

  select(selected: Selected | undefined): void {
    const left = this.#selected;
    this.#selected = selected;
    left?.mailbox.close();
  }

  startTls(): void {
    // CVE-2011-0411: whatever came behind STARTTLS in plaintext is never read as a command.
    this.#upgrading = true;
    this.#mute();
    this.#socket.pause();
    this.#lexer.clear();
  }

  logout(): void {
    this.#stopping = '';
  }

  // What the server sees.

  /** Called at each sweep. */
  tick(now: number): void {
    const { limits } = this;
    if (this.#closed) return;
    if (this.#endedAt !== undefined) {
      if (now - this.#endedAt > lingerMs) this.#socket.destroy();
      return;
    }
    if (this.out.waiting > 0 && now - this.out.movedAt > limits.stalledMs) {
      this.#host.log.info(this.#facts(), 'A client does not read; cut');
      this.#socket.destroy();
      return;
    }
    if (this.#busy && !this.#wanted) return; // at work
    if (!this.#session) {
      if (now - this.#startedAt > limits.loginTimeoutMs) this.#bye('No login within the time for it');
    } else if (now - this.#heardAt > limits.idleTimeoutMs) {
      this.#bye('Nothing was heard for too long');
    } else if (this.#idling && !this.#syncing && now - this.#saidAt > limits.stillHereMs && this.out.waiting === 0) {
      this.#saidAt = now;
      this.progress('Still here');
    }
  }

  /** No new commands; what runs is finished. */
  stop(): void {
    this.#stopping = 'The server is stopping';
    // Whoever only waits for its client's next line has nothing to finish; a message on its way has.
    if (!this.#busy || (this.#wanted && !this.#commands.incoming && !this.#syncing)) this.#bye(this.#stopping);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // The read loop.

  #wrap(socket: Socket): TLSSocket {
    socket.on('error', () => {}); // the TLS socket tells of it, too
    return new TLSSocket(socket, { isServer: true, secureContext: this.#host.secureContext() });
  }

  #listen(): void {
    this.#socket.setNoDelay(true);
    this.#socket.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose);
  }

  #mute(): void {
    this.#socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#endedAt !== undefined) return;
    this.#heardAt = performance.now();
    this.#lexer.push(chunk);
    if (this.#wanted) {
      this.#wanted.resolve();
      this.#wanted = undefined;
    } else if (!this.#busy) {
      void this.#pump();
    }
    if (this.#busy && this.#lexer.pending > this.limits.inputOctets && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    }
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wanted?.reject(new Gone());
    this.#wanted = undefined;
    if (!this.#busy) this.#end();
  };

  readonly #onError = (error: Error): void => {
    this.#host.log.debug({ ...this.#facts(), err: error }, 'A connection broke');
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#endedAt ??= performance.now();
    this.out.close();
    this.#lexer.clear();
    this.#wanted?.reject(new Gone());
    this.#wanted = undefined;
    this.#host.left(this);
    if (!this.#busy) this.#leave();
  };

  async #pump(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#endedAt === undefined) {
        const item = this.#lexer.next();
        if (!item) break;
        await this.#commands.take(item);
        if (this.#upgrading) await this.#upgrade();
        if (this.#stopping !== undefined) this.#bye(this.#stopping);
        await this.out.ready();
      }
    } catch (error) {
      if (error instanceof Bye) this.#bye(error.message, error.code);
      else if (error instanceof Gone) this.#end();
      else {
        this.#host.log.error({ ...this.#facts(), err: error }, 'A connection failed');
        this.#bye('Internal error', 'UNAVAILABLE');
      }
    }
    this.#busy = false;
    this.#resume();
    if (this.#closed) this.#leave();
    else if (this.#ended) this.#end();
  }

  async #line(): Promise<Buffer> {
    for (;;) {
      const line = this.#lexer.line(answerOctets);
      if (line === 'too long') throw new Bye('This line is too long');
      if (line) return line;
      await this.more();
    }
  }

  /** Resolves when there is more input. @throws Gone */
  more(): Promise<void> {
    if (this.#ended || this.#endedAt !== undefined) return Promise.reject(new Gone());
    this.#resume();
    return new Promise((resolve, reject) => {
      this.#wanted = { resolve, reject };
    });
  }

  #resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** In IDLE: something changed. Many changes of one moment are told together. */
  #wake(): void {
    if (this.#changed) return;
    this.#changed = true;
    setImmediate(() => {
      if (!this.#idling || this.#closed) this.#changed = false;
      else void this.#tell();
    });
  }

  /** Never two at once, and none of its errors is lost. */
  #tell(): Promise<void> {
    this.#syncing ??= this.#tellChanges()
      .catch((error: unknown) => {
        if (error instanceof Gone) return;
        this.#host.log.error({ ...this.#facts(), err: error }, 'Changes could not be told');
        this.#bye('Internal error', 'UNAVAILABLE');
      })
      .finally(() => {
        this.#syncing = undefined;
        if (this.#changed && this.#idling && !this.#closed) void this.#tell();
        else if (this.#stopping && this.#idling) this.#bye(this.#stopping);
      });
    return this.#syncing;
  }

  async #tellChanges(): Promise<void> {
    await this.out.ready();
    this.#changed = false;
    this.notices();
    await this.#selected?.sync(this.out, true, this.condstore);
    this.#saidAt = performance.now();
    this.out.flush();
  }

  async #upgrade(): Promise<void> {
    const plain = this.#socket;
    await new Promise<void>((resolve) => plain.write('', () => resolve()));
    if (plain.destroyed) {
      this.#onClose();
      return;
    }
    this.#upgrading = false;
    this.#secure = true;
    this.condstore = false;
    this.#lexer.clear();
    this.#paused = false;
    this.#socket = this.#wrap(plain);
    this.out.socket = this.#socket;
    this.#listen();
  }

  #bye(text: string, code?: string): void {
    if (this.#endedAt !== undefined) return;
    if (text) this.out.text(`* BYE ${code ? `[${code}] ` : ''}${oneLine(text)}\r\n`);
    this.#end();
  }

  /** No more from us. What the peer still sends is not looked at. */
  #end(): void {
    if (this.#endedAt !== undefined) return;
    this.#endedAt = performance.now();
    this.out.flush();
    this.#socket.end();
    this.#wanted?.reject(new Gone());
    this.#wanted = undefined;
    this.#lexer.clear();
    this.#paused = false;
    this.#socket.resume();
  }

  /** The last thing that happens here; exactly once, when nothing runs any more. */
  #leave(): void {
    const [session, selected, stop] = [this.#session, this.#selected, this.#stopNotices];
    this.#session = this.#selected = this.#stopNotices = undefined;
    try {
      stop?.();
      selected?.mailbox.close();
      session?.close();
    } catch (error) {
      this.#host.log.error({ ...this.#facts(), err: error }, 'A session could not be closed');
    }
  }

  #facts(): object {
    return { connection: this.id, address: this.address, user: this.#session?.user };
  }
}
