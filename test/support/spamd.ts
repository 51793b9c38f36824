/**
 * A real spamd for a test: on a free port of loopback, with rules, preferences and a Bayes database of its own, and without
 * the network. Ends with the test.
 */
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';
import { Daemon, programOrSkip } from './programs.ts';

export const spamdOrSkip = (t: Test): boolean =>
  programOrSkip(t, 'spamd', 'spamd spamc spamassassin', false) && programOrSkip(t, 'spamc', 'spamc', false);

export interface SpamdOptions {
  /** local.cf; told the folder, in which `bayes` is writable. */
  readonly localCf?: (folder: string) => string;
  /** What it is started with besides address, folders and limits. */
  readonly arguments?: (folder: string) => readonly string[];
}

const installed = '/etc/spamassassin';
const ownSettings = (folder: string) => `bayes_path ${folder}/bayes/bayes\nbayes_file_mode 0777\n`;

export class TestSpamd {
  readonly port: number;
  /** Holds local.cf and bayes/. */
  readonly folder: string;
  readonly #arguments: readonly string[];
  #daemon: Daemon | undefined;

  private constructor(port: number, folder: string, more: readonly string[]) {
    this.port = port;
    this.folder = folder;
    // biome-ignore format: one option a line would say less
    this.#arguments = [
      '-i', '127.0.0.1', '-p', String(port), '-s', 'stderr', '--local', '--max-children=2', '--min-children=1',
      `--siteconfigpath=${folder}`, `--pidfile=${folder}/pid`, ...more,
    ];
  }

  static async start(t: Test, options: SpamdOptions = {}): Promise<TestSpamd> {
    const { localCf = ownSettings, arguments: more = () => ['--allow-tell', '--nouser-config'] } = options;
    const folder = await mkdtemp(join(tmpdir(), 'lazaret-spamd-'));
    const spamd = new TestSpamd(await freePort(), folder, more(folder));
    t.teardown(async () => {
      await spamd.stop();
      await rm(folder, { recursive: true, force: true });
    });
    // Its children give up root.
    await chmod(folder, 0o755);
    await mkdir(join(folder, 'bayes'));
    await chmod(join(folder, 'bayes'), 0o777);
    // Which plugins there are, Bayes among them.
    for (const name of await readdir(installed))
      if (name.endsWith('.pre')) await copyFile(join(installed, name), join(folder, name));
    await writeFile(join(folder, 'local.cf'), localCf(folder));
    await spamd.start();
    return spamd;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** What it has written to its log since it was started. */
  get log(): string {
    return this.#daemon?.said ?? '';
  }

  /** After `stop` too: on the same port, with the same database. Resolves when it answers. */
  async start(): Promise<void> {
    const daemon = new Daemon('spamd', this.#arguments, this.folder);
    this.#daemon = daemon;
    while (!(await answers(this.port))) {
      if (!daemon.isRunning) throw new Error(`spamd ended: ${daemon.said.slice(-4000)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop(): Promise<void> {
    await this.#daemon?.end();
  }

  /** What a mail server gets back from it: the message with its headers, or wrapped into a report. */
  async process(message: string | Uint8Array): Promise<Buffer> {
    const answer = await exchange(this.port, 'PROCESS', Buffer.from(message));
    return answer.subarray(answer.indexOf('\r\n\r\n') + 4);
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await exchange(port, 'PING', Buffer.alloc(0))).includes('PONG');
  } catch {
    return false;
  }
}

function exchange(port: number, verb: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', reject);
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.on('end', () => socket.destroy());
    socket.on('close', () => resolve(Buffer.concat(pieces)));
    socket.write(`${verb} SPAMC/1.5\r\n${message.length > 0 ? `Content-length: ${message.length}\r\n` : ''}\r\n`);
    socket.end(message);
  });
}
