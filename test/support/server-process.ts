/**
 * The built program as a process of its own, for tests that kill it. Ports and store stay the same over its restarts, as on
 * a real machine; its clock goes on where the last one's had been set.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { freshStore, letPass, onMongo } from './store.ts';

const root = join(import.meta.dirname, '../..');
const built = 'dist/src/main.js';

export interface Ports {
  readonly imap: number;
  readonly lmtp: number;
}

export interface Start {
  /** It ends by itself there, as by kill -9 (kill-at.mjs). */
  readonly killAt?: string;
  /** Settings on top of the configuration, e.g. LAZARET_RELEASE_UNDO_SECONDS. */
  readonly env?: Readonly<Record<string, string>>;
}

export class ServerProcess {
  readonly ports: Ports;
  readonly folder: string;
  readonly config: string;
  readonly storeUrl: string;
  /** How far its clock is ahead of ours from the next start on. */
  clockOffsetMs = 0;
  /** From each start to the moment when everybody was answered. */
  readonly startTimesMs: number[] = [];
  #child: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();
  /** What it wrote to standard error since it was started. */
  log = '';

  /** So much of it a store with a clock of its own has been told (letPass). */
  #passedMs = 0;

  private constructor(folder: string, ports: Ports, storeUrl: string) {
    this.folder = folder;
    this.ports = ports;
    this.config = join(folder, 'lazaret.yaml');
    this.storeUrl = storeUrl;
  }

  /** Writes a configuration that delivers to that port; builds the program if it is older than its sources. */
  static async prepare(
    t: { teardown(end: () => Promise<void>): void },
    hopPort: number,
    settings = '',
  ): Promise<ServerProcess> {
    buildIfOld();
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-process-'));
    // A copy, so that whoever builds meanwhile changes nothing here.
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(folder, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const server = new ServerProcess(
      folder,
      { imap: await freePort(), lmtp: await freePort() },
      await freshStore(t, folder),
    );
    writeFileSync(
      server.config,
      `hostname: quarantine.example
store: ${server.storeUrl}
imap: { listen: ["127.0.0.1:${server.ports.imap}"], allowCleartextLogin: true, loginFailures: { delayMs: 0 } }
intake: { lmtp: ["127.0.0.1:${server.ports.lmtp}"], smtp: [], handOverDomains: [quarantine.example] }
delivery: { nextHop: "smtp://127.0.0.1:${hopPort}?tls=none" }
log: { level: warn, format: json }
${settings}
`,
    );
    t.teardown(async () => {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    });
    return server;
  }

  /** Starts it and waits until it listens, or until it has ended at the step where it shall. Answers whether it listens. */
  async start({ killAt = '', env = {} }: Start = {}): Promise<boolean> {
    if (this.isRunning) throw new Error('it is running');
    this.log = '';
    if (onMongo && this.clockOffsetMs > this.#passedMs) {
      await letPass(this.storeUrl, this.clockOffsetMs - this.#passedMs);
      this.#passedMs = this.clockOffsetMs;
    }
    const began = performance.now();
    // With ./ the store hands it on to its threads.
    const child = spawn(
      ...plain('--import=./test/support/kill-at.mjs', join(this.folder, built), 'serve', '--config', this.config),
      {
        cwd: root,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: {
          PATH: process.env.PATH,
          KILL_AT: killAt,
          CLOCK_OFFSET_MS: String(onMongo ? 0 : this.clockOffsetMs),
          ...env,
        },
      },
    );
    this.#child = child;
    this.#closed = once(child, 'close');
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.log += text;
    });
    for (;;) {
      if ((await answers(this.ports.lmtp)) && (await answers(this.ports.imap))) {
        this.startTimesMs.push(Math.round(performance.now() - began));
        return true;
      }
      if (!this.isRunning) {
        await this.#closed;
        if (killAt !== '' && this.diedAt(killAt)) return false;
        throw new Error(`the server ended while it started: ${child.exitCode ?? child.signalCode}\n${this.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.ended();
  }

  /** Resolves when it is gone. */
  async ended(): Promise<void> {
    await this.#closed;
  }

  /** Whether it ended, and just at that step. */
  diedAt(step: string): boolean {
    return this.#child?.signalCode === 'SIGKILL' && this.log.includes(`killed at ${step}\n`);
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }
}

/** Node as it is: the test runner would put itself into every child by NODE_OPTIONS, and halve its speed. */
export const plain = (...args: string[]): [string, string[]] => [
  'env',
  ['-u', 'NODE_OPTIONS', process.execPath, ...args],
];

/** The newest source against the program: a test of an old build would prove nothing. */
export function buildIfOld(): void {
  const program = join(root, built);
  const builtAt = existsSync(program) ? statSync(program).mtimeMs : 0;
  const isNewer = (folder: string): boolean =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).some(
      (file) => file.isFile() && statSync(join(file.parentPath, file.name)).mtimeMs > builtAt,
    );
  if (['imap', 'smtp', 'store', 'src'].some(isNewer)) execFileSync(...plain(join(root, 'tools/build.mjs')));
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}
