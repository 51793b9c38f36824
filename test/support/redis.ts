/**
 * A real Redis for a test: a server of its own on a free port of loopback, which keeps nothing and ends with the test. It can
 * be killed, started again on the same port, stopped in mid-run and flushed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';

const program = process.env.REDIS_SERVER ?? 'redis-server';
const howToHaveIt =
  'no redis-server here: `apt-get install redis-server` has one, or REDIS_SERVER names one (version 6 or later)';

/** For the top of a test file: false when there is none. The run then says so; with CI set it fails. */
export function redisOrSkip(t: Test): boolean {
  if (spawnSync(program, ['--version']).status === 0) return true;
  if (process.env.CI) t.fail(howToHaveIt);
  else t.test('with Redis', { skip: howToHaveIt }, () => {});
  return false;
}

export class TestRedis {
  readonly port: number;
  readonly #folder: string;
  readonly #arguments: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, folder: string, more: readonly string[]) {
    this.port = port;
    this.#folder = folder;
    this.#arguments = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder, ...more];
  }

  static async start(t: Test, more: readonly string[] = []): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'lazaret-redis-'));
    const redis = new TestRedis(await freePort(), folder, more);
    t.teardown(async () => {
      await redis.kill();
      await rm(folder, { recursive: true, force: true });
    });
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** After `kill`; on the same port, empty. Resolves when it answers. */
  async start(): Promise<void> {
    const child = spawn(program, this.#arguments, { cwd: this.#folder, stdio: ['ignore', 'pipe', 'ignore'] });
    this.#process = child;
    await new Promise<void>((resolve, reject) => {
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => {
        said += chunk;
        if (said.includes('Ready to accept connections')) resolve();
      });
      child.once('exit', () => reject(new Error(`redis-server ended: ${said}`)));
      child.once('error', reject);
    });
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Holds it: connections stay, nothing is answered. */
  hold(): void {
    this.#process?.kill('SIGSTOP');
  }

  letGo(): void {
    this.#process?.kill('SIGCONT');
  }

  async flush(): Promise<void> {
    await this.ask((client) => client.flushall());
  }

  async ask<T>(question: (client: Redis) => Promise<T>): Promise<T> {
    const client = new Redis(this.url, { lazyConnect: true });
    try {
      return await question(client);
    } finally {
      client.disconnect();
    }
  }

  /** Hears every message of every channel. */
  async listen(t: Test): Promise<{ channel: string; message: string }[]> {
    const heard: { channel: string; message: string }[] = [];
    const client = new Redis(this.url);
    t.teardown(() => client.disconnect());
    client.on('pmessage', (_, channel: string, message: string) => heard.push({ channel, message }));
    await client.psubscribe('*');
    return heard;
  }
}
