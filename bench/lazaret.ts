/** Lazaret as it is installed: the built program in a process of its own, the embedded store, durable. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, listening, type Peer, pssKilobytes } from './peer.ts';

const program = join(import.meta.dirname, '../dist/src/main.js');

export async function startLazaret(): Promise<Peer> {
  if (!existsSync(program)) throw new Error('dist/ is missing: npm run build');
  const root = mkdtempSync(join(tmpdir(), 'bench-lazaret-'));
  const [imapPort, lmtpPort] = [await freePort(), await freePort()];
  const config = join(root, 'lazaret.yaml');
  writeFileSync(
    config,
    `hostname: bench.example
store: sqlite:${root}/lazaret.db
imap: { listen: ["127.0.0.1:${imapPort}"], allowCleartextLogin: true, maxConnectionsPerUser: 5000 }
intake: { lmtp: ["127.0.0.1:${lmtpPort}"], smtp: [], handOverDomains: [bench.example] }
release: { undoSeconds: 3600 }
log: { level: warn }
`,
  );
  execFileSync(
    process.execPath,
    [program, 'account', 'add', 'ada@harbour.example', '--password-stdin', '--config', config],
    {
      input: 'secret\n',
      stdio: ['pipe', 'ignore', 'inherit'],
    },
  );
  const child = spawn(process.execPath, [program, 'serve', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await listening(imapPort);
  return {
    name: 'lazaret',
    imapPort,
    lmtpPort,
    user: 'ada@harbour.example',
    password: 'secret',
    recipient: 'ada@harbour.example',
    folder: 'Caught',
    memoryKilobytes: () => pssKilobytes(child.pid!),
    async stop() {
      child.kill();
      if (child.exitCode === null) await once(child, 'exit');
      rmSync(root, { recursive: true, force: true });
    },
  };
}
