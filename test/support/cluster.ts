/**
 * Several processes of the built program on one store, each with roles of its own, on free ports of loopback: what an
 * operator runs on several machines. Every process ends with the test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildIfOld, plain } from './server-process.ts';

const root = join(import.meta.dirname, '../..');

export interface Node {
  readonly roles: string;
  /** Undefined where it has no such role. */
  readonly imap: number | undefined;
  readonly lmtp: number | undefined;
  readonly http: number | undefined;
  /** Standard error so far, one JSON object a line. */
  readonly log: readonly string[];
  /** Sends a signal; SIGKILL and SIGTERM: resolves when it is gone. */
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

export interface ClusterOptions {
  readonly store: string;
  readonly hopPort: number;
  /** YAML lines on top of the configuration. */
  readonly settings?: string;
}

export class Cluster {
  readonly #folder: string;
  readonly #nodes: ChildProcess[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static prepare(t: { teardown(end: () => Promise<void>): void }, options: ClusterOptions): Cluster {
    buildIfOld();
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-cluster-'));
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(folder, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(
      join(folder, 'lazaret.yaml'),
      `hostname: quarantine.example
store: "${options.store}"
imap: { listen: ["127.0.0.1:0"], allowCleartextLogin: true, loginFailures: { delayMs: 0 }, maxConnectionsPerUser: 100 }
intake: { lmtp: ["127.0.0.1:0"], smtp: [], handOverDomains: [quarantine.example] }
http: { listen: ["127.0.0.1:0"] }
delivery: { nextHop: "smtp://127.0.0.1:${options.hopPort}?tls=none" }
release: { undoSeconds: 0 }
log: { level: info, format: json }
${options.settings ?? ''}
`,
    );
    const cluster = new Cluster(folder);
    t.teardown(async () => {
      // A process that is killed in a transaction would keep its database from being removed for a minute.
      for (const child of cluster.#nodes) child.kill('SIGTERM');
      await Promise.all(cluster.#nodes.map(gone));
      rmSync(folder, { recursive: true, force: true });
    });
    return cluster;
  }

  /** Starts a process with these roles and waits until it listens. `env`: settings of its own. */
  async start(roles: string, env: Readonly<Record<string, string>> = {}): Promise<Node> {
    const program = join(this.#folder, 'dist/src/main.js');
    const child = spawn(...plain(program, 'serve', '--roles', roles, '--config', join(this.#folder, 'lazaret.yaml')), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    });
    this.#nodes.push(child);
    const log: string[] = [];
    const listening = new Promise<Record<string, string[] | undefined>>((resolve, reject) => {
      createInterface({ input: child.stderr! }).on('line', (line) => {
        log.push(line);
        const facts = parsed(line);
        if (facts?.msg === 'listening') resolve(facts as Record<string, string[]>);
      });
      child.once('close', () => reject(new Error(`the process ended: ${log.slice(-5).join('\n')}`)));
    });
    const at = await listening;
    const port = (addresses: string[] | undefined): number | undefined => {
      const found = addresses?.[0]?.match(/:(\d+)/);
      return found ? Number(found[1]) : undefined;
    };
    return {
      roles,
      imap: port(at.imap),
      lmtp: port(at.lmtp),
      http: port(at.http),
      log,
      async kill(signal) {
        child.kill(signal);
        await gone(child);
      },
    };
  }
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
}

function parsed(line: string): { readonly msg?: string } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
