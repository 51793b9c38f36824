/**
 * The built program as a process of its own, for tests that kill it. Ports and store stay the same over its restarts, as on
 * a real machine.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'dist/src/main.js');
const killAt = join(root, 'test/support/kill-at.mjs');

export interface Ports {
  readonly imap: number;
  readonly lmtp: number;
}

export class ServerProcess {
  readonly ports: Ports;
  readonly folder: string;
  readonly config: string;
  readonly storeUrl: string;
  #child: ChildProcess | undefined;
  /** What it wrote to standard error since it was started. */
  log = '';

  private constructor(folder: string, ports: Ports) {
    this.folder = folder;
    this.ports = ports;
    this.config = join(folder, 'lazaret.yaml');
    this.storeUrl = `sqlite:${join(folder, 'lazaret.db')}`;
  }

  /** Writes a configuration that delivers to that port; builds the program if it was not built. */
  static async prepare(
    t: { teardown(end: () => Promise<void>): void },
    hopPort: number,
    settings = '',
  ): Promise<ServerProcess> {
    if (!existsSync(program)) execFileSync(process.execPath, [join(root, 'tools/build.mjs')]);
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-process-'));
    const server = new ServerProcess(folder, { imap: await freePort(), lmtp: await freePort() });
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

  /** Runs a verb of the command line on the same configuration; answers what it printed. */
  run(args: readonly string[], input = ''): string {
    return execFileSync(process.execPath, [program, ...args, '--config', this.config], { input, encoding: 'utf8' });
  }

  /** Starts it and waits until it listens. With a step: it will end there by itself. */
  async start(step?: string): Promise<void> {
    this.log = '';
    const child = spawn(
      process.execPath,
      [...(step ? [`--import=${killAt}`] : []), program, 'serve', '--config', this.config],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, ...(step ? { KILL_AT: step } : {}) },
      },
    );
    this.#child = child;
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.log += text;
    });
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the server ended while it started: ${child.exitCode ?? child.signalCode}\n${this.log}`);
      if ((await answers(this.ports.lmtp)) && (await answers(this.ports.imap))) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.ended();
  }

  async ended(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
