/** Lazaret as it is installed: the built program in a process of its own, its store durable. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { end, freePort, listening, type Peer, pssKilobytes } from './peer.ts';

const program = join(import.meta.dirname, '../dist/src/main.js');

export interface LazaretPeer extends Peer {
  /** Where mail is handed over by HTTP, and with which token. */
  readonly intakeHttp: { readonly port: number; readonly token: string };
  readonly store: string;
  /** Gauges of this process, by their names. */
  gauges(): Promise<ReadonlyMap<string, number>>;
  /** Another process on the same store, with these roles; its ports, as far as it has them. */
  another(
    roles: string,
    env?: Readonly<Record<string, string>>,
  ): Promise<Pick<LazaretPeer, 'imapPort' | 'lmtpPort' | 'intakeHttp'> & { end(): Promise<void> }>;
}

/** @param store  where it keeps everything; by default a file of its own */
export async function makeLazaret(store?: string): Promise<LazaretPeer> {
  if (!existsSync(program)) throw new Error('dist/ is missing: npm run build');
  const root = mkdtempSync(join(tmpdir(), 'bench-lazaret-'));
  const [imapPort, lmtpPort, httpPort] = [await freePort(), await freePort(), await freePort()];
  const intakeHttp = { port: await freePort(), token: 'a-token-for-the-benchmark' };
  const config = join(root, 'lazaret.yaml');
  const url = store ?? `sqlite:${root}/lazaret.db`;
  const password = 'bench-secret';
  writeFileSync(
    config,
    `hostname: bench.example
store: "${url}"
imap: { listen: ["127.0.0.1:${imapPort}"], allowCleartextLogin: true, maxConnectionsPerUser: 5000 }
intake: { lmtp: ["127.0.0.1:${lmtpPort}"], smtp: [], http: ["127.0.0.1:${intakeHttp.port}"], tokens: [${intakeHttp.token}], handOverDomains: [bench.example] }
release: { undoSeconds: 3600 }
http: { listen: ["127.0.0.1:${httpPort}"] }
# What was filled in behind the server would have its attachments listed while something else is measured.
jobs: { inventory: false }
log: { level: warn }
`,
  );
  // For a profiler, e.g. --cpu-prof: options of Node for the server alone.
  const nodeOptions = process.env.BENCH_NODE_OPTIONS?.split(' ') ?? [];
  let child: ChildProcess | undefined;
  return {
    name: 'lazaret',
    store: url,
    imapPort,
    lmtpPort,
    intakeHttp,
    password,
    folder: 'Caught',
    addUser(address) {
      execFileSync(process.execPath, [program, 'account', 'add', address, '--password-stdin', '--config', config], {
        input: `${password}\n`,
        stdio: ['pipe', 'ignore', 'inherit'],
      });
    },
    async start() {
      child = spawn(process.execPath, [...nodeOptions, program, 'serve', '--config', config], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      await listening(imapPort);
    },
    async stop() {
      if (child) await end(child);
    },
    async gauges() {
      const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
      return new Map(
        [...text.matchAll(/^(lazaret_\w+) (\S+)$/gm)].map(([, name = '', value]) => [name, Number(value)] as const),
      );
    },
    async another(roles, env = {}) {
      const [ownImap, ownLmtp] = [await freePort(), await freePort()];
      const ownHttp = { ...intakeHttp, port: await freePort() };
      const other = spawn(process.execPath, [program, 'serve', '--roles', roles, '--config', config], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: {
          ...process.env,
          LAZARET_IMAP_LISTEN: `["127.0.0.1:${ownImap}"]`,
          LAZARET_INTAKE_LMTP: `["127.0.0.1:${ownLmtp}"]`,
          LAZARET_INTAKE_HTTP: `["127.0.0.1:${ownHttp.port}"]`,
          LAZARET_HTTP_LISTEN: '[]',
          ...env,
        },
      });
      await listening(roles.includes('imap') ? ownImap : ownLmtp);
      return { imapPort: ownImap, lmtpPort: ownLmtp, intakeHttp: ownHttp, end: () => end(other) };
    },
    memoryKilobytes: () => (child?.pid ? pssKilobytes(child.pid) : Number.NaN),
    remove() {
      rmSync(root, { recursive: true, force: true });
    },
  };
}
