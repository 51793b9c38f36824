/**
 * A real PostgreSQL and a real MariaDB for a test, with nothing in them: in a folder of their own, on a port of loopback
 * and a socket, started as the users that Debian has for them, which needs root.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import pg from 'pg';
import { generate } from 'selfsigned';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';
import { Daemon, programOrSkip } from './programs.ts';

export interface DatabaseServer {
  readonly kind: 'postgres' | 'mysql';
  readonly port: number;
  /** PostgreSQL's folder with the socket, MariaDB's socket. */
  readonly socket: string;
  /** The file of its certificate, which is for the name localhost. Connections without TLS are taken as well. */
  readonly certificate: string;
  /** As its administrator, statements one after the other; the rows of the last one. */
  run(database: string, sql: string): Promise<Record<string, unknown>[]>;
}

const postgresBin = (program: string): string => {
  const root = '/usr/lib/postgresql';
  const version = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a))[0] : undefined;
  return `${root}/${version ?? 'VERSION'}/bin/${program}`;
};

export const postgresOrSkip = (t: Test): boolean => programOrSkip(t, postgresBin('postgres'), 'postgresql');
export const mariadbOrSkip = (t: Test): boolean => programOrSkip(t, 'mariadbd', 'mariadb-server');

export async function startPostgres(t: Test, tls = true): Promise<DatabaseServer> {
  const folder = await folderOf(t, 'postgres');
  const port = await freePort();
  const data = join(folder, 'data');
  as(
    'postgres',
    postgresBin('initdb'),
    '-D',
    data,
    '-U',
    'postgres',
    '-N',
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
    '-A',
    'trust',
  );
  // The administrator comes by the socket and without a password, all others by TCP and with one.
  writeFileSync(
    join(data, 'pg_hba.conf'),
    'local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n',
  );
  const settings = {
    listen_addresses: '127.0.0.1',
    ssl: tls ? 'on' : 'off',
    ssl_cert_file: `${folder}/cert.pem`,
    ssl_key_file: `${folder}/key.pem`,
  };
  const daemon = daemonOf(t, folder, 'postgres', postgresBin('postgres'), [
    ...['-D', data, '-k', folder, '-p', String(port), '-F'],
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  await daemon.says(/ready to accept connections/);
  return {
    kind: 'postgres',
    port,
    socket: folder,
    certificate: join(folder, 'cert.pem'),
    async run(database, sql) {
      const client = new pg.Client({ host: folder, port, user: 'postgres', database });
      await client.connect();
      try {
        const result = await client.query(sql);
        return [result].flat().at(-1)?.rows ?? [];
      } finally {
        await client.end();
      }
    },
  };
}

export async function startMariadb(t: Test, tls = true): Promise<DatabaseServer> {
  const folder = await folderOf(t, 'mysql');
  const port = await freePort();
  const data = join(folder, 'data');
  const socket = join(folder, 'socket');
  as(
    'mysql',
    'mariadb-install-db',
    '--no-defaults',
    `--datadir=${data}`,
    '--skip-test-db',
    '--auth-root-authentication-method=normal',
  );
  const daemon = daemonOf(t, folder, 'mysql', 'mariadbd', [
    ...['--no-defaults', `--datadir=${data}`, `--socket=${socket}`, `--pid-file=${folder}/pid`, `--tmpdir=${folder}`],
    ...[`--port=${port}`, '--bind-address=127.0.0.1'],
    ...(tls ? [`--ssl-cert=${folder}/cert.pem`, `--ssl-key=${folder}/key.pem`] : []),
  ]);
  await daemon.listens(port);
  return {
    kind: 'mysql',
    port,
    socket,
    certificate: join(folder, 'cert.pem'),
    async run(database, sql) {
      const connection = await createConnection({
        socketPath: socket,
        user: 'root',
        database,
        multipleStatements: true,
      });
      try {
        const [result] = await connection.query<RowDataPacket[]>(sql);
        return Array.isArray(result) ? result : [];
      } finally {
        await connection.end();
      }
    },
  };
}

/** With a certificate for localhost. */
async function folderOf(t: Test, user: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-db-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  });
  writeFileSync(join(folder, 'cert.pem'), cert);
  writeFileSync(join(folder, 'key.pem'), key);
  chmodSync(join(folder, 'key.pem'), 0o600);
  spawnSync('chown', ['-R', `${user}:`, folder]);
  chmodSync(folder, 0o755);
  return folder;
}

const changed = (user: string) => [`--reuid=${user}`, `--regid=${user}`, '--init-groups'];

function as(user: string, program: string, ...args: string[]): void {
  const { status, stdout, stderr, error } = spawnSync('setpriv', [...changed(user), program, ...args], {
    cwd: '/',
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program}: ${error ?? stdout + stderr}`);
}

function daemonOf(t: Test, folder: string, user: string, program: string, args: readonly string[]): Daemon {
  const daemon = new Daemon('setpriv', [...changed(user), program, ...args], folder);
  t.teardown(() => daemon.end());
  return daemon;
}
