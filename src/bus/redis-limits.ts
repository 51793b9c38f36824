/**
 * Wrong passwords and connections, counted for all nodes together in Redis.
 *
 * Each node counts for itself as well, and that count is what holds while Redis is away or too slow: a login never waits
 * for Redis longer than a moment. Redis holds only what can be lost: failures are forgotten in time anyway, and each node
 * writes its own numbers of connections again when they are gone.
 *
 * Every number that belongs to a node is written as it is, never as a difference, so that a write that was lost or came
 * twice does no harm that lasts. They count while the node's lease does, which it renews; a killed node's end with it.
 * Time is Redis's clock.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import {
  type Attempt,
  type Connections,
  type Delays,
  type Failures,
  type Full,
  forgiveMs,
  LocalConnections,
  type LocalFailures,
  type OneMore,
  pair,
  type Standing,
} from '#app/accounts/limits';
import type { RedisLink } from './redis-link.ts';

/** A login waits no longer for what other nodes know. */
const patienceMs = 300;
const knownForMs = 30 * 24 * 3600_000;

const clock = `local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)`;
/** KEYS: pair, user, known. ARGV[1]: whether this node knows the pair. Which of the two count is Failures' rule. */
const counted = `${clock}
local known = ARGV[1] == '1' or redis.call('EXISTS', KEYS[3]) == 1
local counted = known and { KEYS[1] } or { KEYS[1], KEYS[2] }`;

const standingText = `${counted}
local wait = 0
for _, key in ipairs(counted) do wait = math.max(wait, (tonumber(redis.call('HGET', key, 'until')) or 0) - now) end
return { known and 1 or 0, wait }`;

/**
 * ARGV: known, first delay, longest delay, when forgotten at the latest. Short delays are forgotten sooner: strangers who
 * try ever new names shall not fill Redis, and one who comes back so late has gained nothing.
 */
const failedText = `${counted}
local longest = 0
for _, key in ipairs(counted) do
  local count = redis.call('HINCRBY', key, 'count', 1)
  local delay = math.min(tonumber(ARGV[3]), ARGV[2] * 2 ^ math.min(count - 1, 30))
  redis.call('HSET', key, 'until', string.format('%.0f', now + delay))
  redis.call('PEXPIRE', key, string.format('%.0f', math.max(60000, math.min(tonumber(ARGV[4]), delay * 240))))
  longest = math.max(longest, delay)
end
return longest`;

/** ARGV: known, how long to know it. */
const forgiveText = `${counted}
redis.call('DEL', unpack(counted))
redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
return 1`;

export class RedisFailures implements Failures {
  readonly #link: RedisLink;
  readonly #local: LocalFailures;
  readonly #delays: Delays;

  constructor(link: RedisLink, local: LocalFailures, delays: Delays) {
    this.#link = link;
    this.#local = local;
    this.#delays = delays;
  }

  get size(): number {
    return this.#local.size;
  }

  async standing(attempt: Attempt): Promise<Standing> {
    const local = await this.#local.standing(attempt);
    const shared = await this.#ask(attempt, standingText);
    if (!Array.isArray(shared)) return local;
    return { known: shared[0] === 1, waitMs: Number(shared[1]) };
  }

  async failed(attempt: Attempt): Promise<number> {
    const { delayMs, maxDelayMs } = this.#delays;
    const shared = this.#ask(attempt, failedText, delayMs, maxDelayMs, forgiveMs);
    const local = await this.#local.failed(attempt);
    return Number((await shared) ?? local);
  }

  async forgive(attempt: Attempt): Promise<void> {
    const shared = this.#ask(attempt, forgiveText, knownForMs);
    await this.#local.forgive(attempt);
    await shared;
  }

  async #ask(attempt: Attempt, script: string, ...args: number[]): Promise<unknown> {
    if (this.#delays.delayMs === 0) return undefined; // nobody waits, here or there
    const key = (kind: string, name: string) => `${this.#link.prefix}${kind}:${digest(name)}`;
    const here = pair(attempt);
    const keys = [key('failures', here), key('failures-anywhere', attempt.user), key('known', here)];
    const known = this.#local.known(attempt) ? 1 : 0;
    return this.#link.ask((redis) => redis.eval(script, keys.length, ...keys, known, ...args), patienceMs);
  }
}

/** Names are of any length and hold anything. */
const digest = (name: string): string => createHash('sha256').update(name).digest('base64url');

/**
 * KEYS: the account's numbers by node, the nodes' leases. ARGV: node, its own number, the most of all together, expiry.
 * Writes the own number unless that is too many. Answers what other nodes have, and takes out numbers of nodes whose lease is over.
 */
const openText = `${clock}
local others = 0
local numbers = redis.call('HGETALL', KEYS[1])
for at = 1, #numbers, 2 do
  local node = numbers[at]
  if node ~= ARGV[1] then
    if (tonumber(redis.call('ZSCORE', KEYS[2], node)) or 0) < now then redis.call('HDEL', KEYS[1], node)
    else others = others + numbers[at + 1] end
  end
end
local own = tonumber(ARGV[2])
if others + own <= tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], ARGV[1], own) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return others`;

/** KEYS: the nodes' leases. ARGV: node, lease. Answers whether it had none: Redis has lost it, and perhaps the numbers. */
const leaseText = `${clock}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))
return redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])`;

const beatsOfLease = 3;
/** Numbers are written again so often, and are gone when nobody has done so for a few times. */
const rewriteMs = 10 * 60_000;
const expiryMs = 3 * rewriteMs;
const writtenAtOnce = 500;

export class RedisConnections implements Connections {
  readonly #link: RedisLink;
  readonly #local = new LocalConnections();
  readonly #leases: string;
  /** Accounts whose number in Redis may be another than here. */
  readonly #untold = new Set<string>();
  readonly #beat: NodeJS.Timeout;
  #rewrittenAt = performance.now();

  constructor(link: RedisLink) {
    this.#link = link;
    this.#leases = `${link.prefix}nodes`;
    link.onConnect(async (redis) => {
      await this.#renew(redis);
      this.#doubt();
      while (this.#untold.size > 0) await this.#tell(redis);
    });
    link.onUp(() => this.#tellSoon());
    this.#beat = setInterval(() => void this.#live(), link.timing.beatMs).unref();
  }

  async open(account: string, max: number): Promise<OneMore | Full> {
    // In one go: of many that come at once each must ask with a number of its own.
    const opened = this.#local.take(account, max);
    if ('full' in opened) return opened;
    const own = this.#local.count(account);
    const args = [this.#link.node, own, max, expiryMs];
    const keys = [this.#numbers(account), this.#leases];
    const others = await this.#link.ask((redis) => redis.eval(openText, keys.length, ...keys, ...args), patienceMs);
    const close = () => {
      opened.close();
      this.#changed(account);
    };
    if (others === undefined) {
      this.#changed(account);
      return { close };
    }
    if (Number(others) + own <= max) return { close };
    close();
    return { full: Number(others) + own - 1 };
  }

  /** Gives this node's numbers up at once. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    await this.#link.ask((redis) => redis.zrem(this.#leases, this.#link.node), patienceMs);
  }

  #numbers(account: string): string {
    return `${this.#link.prefix}connections:${digest(account)}`;
  }

  #changed(account: string): void {
    this.#untold.add(account);
    this.#tellSoon();
  }

  #tellSoon(): void {
    if (this.#link.up && this.#untold.size > 0) void this.#link.ask((redis) => this.#tell(redis));
  }

  async #live(): Promise<void> {
    const lost = await this.#link.ask((redis) => this.#renew(redis));
    if (lost === 1 || performance.now() - this.#rewrittenAt > rewriteMs) this.#doubt();
    this.#tellSoon();
  }

  async #renew(redis: Redis): Promise<unknown> {
    return redis.eval(leaseText, 1, this.#leases, this.#link.node, this.#link.timing.beatMs * beatsOfLease);
  }

  #doubt(): void {
    this.#rewrittenAt = performance.now();
    for (const account of this.#local.accounts()) this.#untold.add(account);
  }

  /** Some of what is untold, as it is now. What does not arrive is untold again. */
  async #tell(redis: Redis): Promise<void> {
    const accounts = [...this.#untold].slice(0, writtenAtOnce);
    const commands = redis.pipeline();
    for (const account of accounts) {
      this.#untold.delete(account);
      const [key, own] = [this.#numbers(account), this.#local.count(account)];
      if (own > 0) commands.hset(key, this.#link.node, own).pexpire(key, expiryMs);
      else commands.hdel(key, this.#link.node);
    }
    try {
      const failed = (await commands.exec())?.find(([error]) => error);
      if (failed?.[0]) throw failed[0];
    } catch (error) {
      for (const account of accounts) this.#untold.add(account);
      throw error;
    }
    if (this.#link.up) this.#tellSoon();
  }
}
