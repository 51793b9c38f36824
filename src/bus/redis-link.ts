/**
 * The one connection of this process to Redis, over which rings and limits go. Redis is a convenience: while it is away
 * everything is served without it, so nothing here throws at whoever asks, waits for long, or says the same thing twice.
 *
 * - `up` is true from when Redis has answered and what `onConnect` asks for is done, until the first sign that it is away:
 *   a closed connection, or a command without an answer in time (a stopped Redis keeps its connections).
 * - One warning when it goes, one more if it then refuses the login, one line when it is back.
 * - It comes back by itself, trying at growing distances.
 */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Log } from '#app/observe/log';

export interface RedisLinkOptions {
  /** redis:// or rediss://, checked by the configuration. */
  readonly url: string;
  /** Tells this installation from others that use the same Redis. */
  readonly installation: string;
  readonly log: Log;
  readonly timing?: Partial<LinkTiming>;
}

export interface LinkTiming {
  /** How often an idle connection is tried. */
  readonly beatMs: number;
  /** No answer for so long: away. */
  readonly answerMs: number;
  /** From the first of these to the second between tries to connect. */
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
}

const usual: LinkTiming = { beatMs: 5_000, answerMs: 1_000, firstRetryMs: 100, lastRetryMs: 10_000 };
const connectMs = 2_000;
/** From a new connection to its being of use; a start waits for it. */
const greetingMs = 2_000;

export class RedisLink {
  /** This process, for as long as it runs. */
  readonly node = randomUUID();
  readonly prefix: string;
  readonly timing: LinkTiming;
  readonly #redis: Redis;
  readonly #log: Log;
  readonly #where: string;
  readonly #preparations: ((redis: Redis) => Promise<void>)[] = [];
  readonly #upHooks: (() => void)[] = [];
  readonly #downHooks: (() => void)[] = [];
  #up = false;
  /** Tries to connect since an idle connection was last found well: one that breaks at once is no success. */
  #tries = 0;
  #closed = false;
  /** What was said since it was last up. */
  readonly #told = new Set<string>();
  #why = 'it was not tried yet';
  #settled: () => void = () => {};
  #beat: NodeJS.Timeout | undefined;
  #greeting: NodeJS.Timeout | undefined;

  constructor({ url, installation, log, timing }: RedisLinkOptions) {
    this.#log = log;
    this.timing = { ...usual, ...timing };
    this.prefix = `lazaret:${installation}:`;
    const { protocol, host } = new URL(url);
    this.#where = `${protocol}//${host}`;
    const { firstRetryMs, lastRetryMs } = this.timing;
    this.#redis = new Redis(url, {
      lazyConnect: true,
      connectTimeout: connectMs,
      commandTimeout: greetingMs,
      // What cannot be asked now is not asked later: by then the answer is of no use.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      retryStrategy: () =>
        Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(this.#tries++, 20)) * (0.75 + Math.random() / 2),
    });
    this.#redis.on('connect', () => {
      // ioredis would wait for ever for a Redis that takes a connection and says nothing.
      this.#greeting = setTimeout(() => this.#giveUp(new Error(late)), greetingMs);
    });
    this.#redis.on('ready', () => void this.#came());
    this.#redis.on('error', (error: Error) => this.#went(reasonOf(error)));
    this.#redis.on('close', () => {
      clearTimeout(this.#greeting);
      this.#went('the connection was closed');
    });
  }

  get up(): boolean {
    return this.#up;
  }

  /** Done on each new connection, before `up`; what fails here makes the connection useless. */
  onConnect(prepare: (redis: Redis) => Promise<void>): void {
    this.#preparations.push(prepare);
  }

  onUp(hook: () => void): void {
    this.#upHooks.push(hook);
  }

  onDown(hook: () => void): void {
    this.#downHooks.push(hook);
  }

  onMessage(channel: string, hear: (message: string) => void): void {
    this.#redis.on('message', (from: string, message: string) => {
      if (from === channel) hear(message);
    });
  }

  /** Resolves when Redis is there, or when it is known not to be; it is then tried again and again. */
  async start(): Promise<void> {
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
    this.#redis.connect().catch(() => {}); // told by the events
    this.#beat = setInterval(() => {
      void this.ask((redis) => redis.ping()).then((answer) => {
        if (answer !== undefined) this.#tries = 0;
      });
    }, this.timing.beatMs).unref();
    await settled;
  }

  /** The answer, or undefined while Redis is away. Never rejects; takes no longer than `withinMs`. */
  async ask<T>(
    question: (redis: Redis) => Promise<T>,
    withinMs: number = this.timing.answerMs,
  ): Promise<T | undefined> {
    if (!this.#up) return undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([
        question(this.#redis),
        new Promise<never>((_, reject) => {
          // If this process was what was slow, the answer lies in the socket: that is read before the rejection.
          const late = () => reject(new Error(`it did not answer within ${withinMs} ms`));
          timer = setTimeout(() => setImmediate(late), withinMs).unref();
        }),
      ]);
    } catch (error) {
      this.#giveUp(error as Error);
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws Error with a sentence, while Redis is away */
  async probe(): Promise<void> {
    if ((await this.ask((redis) => redis.ping())) === undefined)
      throw new Error(`Redis at ${this.#where} cannot be used: ${this.#why}`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#up = false;
    clearInterval(this.#beat);
    clearTimeout(this.#greeting);
    this.#settled();
    this.#redis.disconnect();
  }

  async #came(): Promise<void> {
    try {
      for (const prepare of this.#preparations) await prepare(this.#redis);
    } catch (error) {
      this.#giveUp(error as Error);
      return;
    }
    if (this.#closed || this.#redis.status !== 'ready') return;
    clearTimeout(this.#greeting);
    this.#up = true;
    if (this.#told.size > 0) this.#log.info({ bus: this.#where }, 'Redis is back');
    this.#told.clear();
    for (const hook of this.#upHooks) hook();
    this.#settled();
  }

  /** A new connection, in its turn: who does not answer on this one, or answers nonsense, is as good as away. */
  #giveUp(error: Error): void {
    if (this.#closed) return;
    this.#went(reasonOf(error));
    if (this.#redis.status === 'ready' || this.#redis.status === 'connect') this.#redis.disconnect(true);
  }

  #went(why: { readonly kind: string; readonly said: string } | string): void {
    if (this.#closed) return;
    const { kind, said } = typeof why === 'string' ? { kind: 'away', said: why } : why;
    // A close behind an error says nothing new.
    if (typeof why !== 'string' || this.#up) this.#why = said;
    if (!this.#told.has(kind) && !(typeof why === 'string' && this.#told.size > 0)) {
      this.#told.add(kind);
      this.#log.warn({ bus: this.#where }, `${sentences[kind] ?? sentences.away}: ${said}`);
    }
    const wasUp = this.#up;
    this.#up = false;
    if (wasUp) for (const hook of this.#downHooks) hook();
    this.#settled();
  }
}

const late = 'it did not answer in time';
const sentences: Readonly<Record<string, string>> = {
  away: 'Redis cannot be reached; served without it, limits are per node',
  refused: 'Redis refuses the login; look at user and password in the setting `bus`; served without it',
};

function reasonOf(error: Error): { readonly kind: string; readonly said: string } {
  // ECONNREFUSED of a name with several addresses has no text of its own.
  const inner = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  const said = inner.message === 'Command timed out' ? late : inner.message;
  return { kind: /^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password)/.test(said) ? 'refused' : 'away', said };
}
