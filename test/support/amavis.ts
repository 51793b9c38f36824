/**
 * A real amavisd-new for a test: Debian's defaults, below them what makes it run in a folder of its own, below that the files
 * of a page. SpamAssassin runs without the network; a stand-in for a virus scanner finds the word STAND-IN-VIRUS. Takes
 * about six seconds to start, and needs root.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';
import { Daemon, programOrSkip } from './programs.ts';

export const amavisOrSkip = (t: Test): boolean => programOrSkip(t, 'amavisd', 'amavisd-new');

/** Not 05-*, 15-av_scanners, 25-* and 50-user: they are about one machine. */
const debianFiles = ['01-debian', '15-content_filter_mode', '20-debian_defaults'].map(
  (name) => `/etc/amavis/conf.d/${name}`,
);

export interface AmavisOptions {
  /** Name → text, read in the order of their names, as Debian does with /etc/amavis/conf.d. */
  readonly files: Readonly<Record<string, string>>;
  /** Perl, read before them. */
  readonly more?: string;
}

export class Amavis {
  readonly port: number;
  readonly folder: string;
  readonly #daemon: Daemon;

  private constructor(port: number, folder: string, daemon: Daemon) {
    this.port = port;
    this.folder = folder;
    this.#daemon = daemon;
  }

  static async start(t: Test, { files, more = '' }: AmavisOptions): Promise<Amavis> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-amavis-'));
    chmodSync(folder, 0o755); // the daemon must get through, and may not write here
    const configs = [...debianFiles.filter((file) => existsSync(file))];
    const addFile = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      configs.push(join(folder, name));
    };
    const home = join(folder, 'home');
    for (const name of ['', 'tmp', 'db', 'virusmails']) own(join(home, name));
    writeFileSync(join(folder, 'scan'), scanner, { mode: 0o755 });
    addFile('50-test', `${itsOwn(port, folder, home)}${more}\n1;\n`);
    for (const [name, text] of Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))) addFile(name, text);
    const daemon = new Daemon('amavisd', [...configs.flatMap((file) => ['-c', file]), 'foreground'], folder);
    const amavis = new Amavis(port, folder, daemon);
    t.teardown(async () => {
      await daemon.end();
      rmSync(folder, { recursive: true, force: true });
    });
    await daemon.listens(port).catch((error: Error) => {
      throw new Error(`amavisd did not start: ${error.message}\n${amavis.log.slice(-4000)}`);
    });
    return amavis;
  }

  /** An SQLite file with these tables, which the daemon may write. */
  static async database(t: Test, schema: string): Promise<string> {
    const file = join(Amavis.writable(t), 'log.db');
    const database = new DatabaseSync(file);
    database.exec(schema);
    database.close();
    chownSync(file, ...ids());
    return file;
  }

  /** A folder that the daemon may write to, and whoever is in its group. */
  static writable(t: Test): string {
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-amavis-own-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    own(folder);
    chmodSync(folder, 0o2770);
    return folder;
  }

  /** Where `local:` puts its files. */
  get quarantine(): string {
    return join(this.folder, 'home/virusmails');
  }

  get log(): string {
    const file = join(this.folder, 'home/amavis.log');
    return this.#daemon.said + (existsSync(file) ? readFileSync(file, 'utf8') : '');
  }
}

function own(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chownSync(folder, ...ids());
}

/** Of the user the daemon runs as. */
function ids(): [number, number] {
  const id = (flag: string) => Number(spawnSync('id', [flag, 'amavis'], { encoding: 'utf8' }).stdout);
  return [id('-u'), id('-g')];
}

const scanner = `#!/bin/sh
if grep -rq STAND-IN-VIRUS "$@"; then echo "FOUND Stand-In.Virus"; exit 1; fi
exit 0
`;

const itsOwn = (port: number, folder: string, home: string) => `use strict;
$daemon_user = 'amavis';
$daemon_group = 'amavis';
$myhostname = 'mx.example.com';
$mydomain = 'example.com';
@local_domains_maps = (1);
$MYHOME = '${home}';
$TEMPBASE = "$MYHOME/tmp";
$db_home = "$MYHOME/db";
$helpers_home = $MYHOME;
$QUARANTINEDIR = "$MYHOME/virusmails";
$quarantine_subdir_levels = 0;
$pid_file = "$MYHOME/amavisd.pid";
$lock_file = "$MYHOME/amavisd.lock";
$unix_socketname = undef;
$inet_socket_port = ${port};
$inet_socket_bind = '127.0.0.1';
$enable_db = 0;
$enable_global_cache = 0;
$max_servers = 2;
$DO_SYSLOG = 0;
$LOGFILE = "$MYHOME/amavis.log";
$log_level = 1;
$sa_local_tests_only = 1;
$enable_dkim_verification = 0;
@av_scanners = (['stand-in', '${folder}/scan', '{}', [0], [1], qr/FOUND (\\S+)/]);
@av_scanners_backup = ();
`;
