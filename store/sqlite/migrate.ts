/**
 * Makes the file and brings its schema up to date. The migrations are numbered files; PRAGMA user_version counts those
 * that were applied, each in a transaction of its own, so that of two programs that open an old store at once one
 * migrates and the other finds it done.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { StoreRefused, StoreUnavailable } from '../errors.ts';
import { Connection, clockOf, type ThreadOptions } from './connect.ts';
import { isBusy, sqliteCode } from './fault.ts';

const folder = new URL('./migrations/', import.meta.url);
/** "LZRT": tells our files from those of other programs. */
const applicationId = 0x4c5a5254;

/** Opens the store's file, making folder, file and schema where they are missing. @throws StoreRefused, StoreUnavailable */
export function openMigrated(options: ThreadOptions): Connection {
  makeFile(options.file);
  let connection: Connection | undefined;
  try {
    connection = new Connection(options);
    check(connection, options.file);
    useWriteAheadLog(connection, options);
    migrate(connection, options);
    return connection;
  } catch (error) {
    connection?.close();
    throw explain(error, options.file);
  }
}

/** Only the owner may read quarantined mail: folder 0700, file 0600 (SQLite gives its log the mode of the file). */
function makeFile(file: string): void {
  const parent = dirname(file);
  try {
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory())
      throw new StoreRefused(`The store cannot be opened: ${file} is a folder, and has to be a file`);
    closeSync(openSync(file, 'a', 0o600));
  } catch (error) {
    if (error instanceof StoreRefused || !(error instanceof Error)) throw error;
    const code = 'code' in error ? error.code : undefined;
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      throw new StoreUnavailable(
        `The store cannot be written: this user may not write ${file} and its folder; change their owner or the store's place`,
        { cause: error },
      );
    if (code === 'ENOTDIR' || code === 'EEXIST')
      throw new StoreRefused(`The store cannot be opened: a part of ${parent} is a file, and has to be a folder`, {
        cause: error,
      });
    throw new StoreUnavailable(`The store cannot be opened at ${file}: ${error.message}`, { cause: error });
  }
}

const pragma = (connection: Connection, name: string): number =>
  Number(Object.values(connection.db.prepare(`PRAGMA ${name}`).get())[0]);

function check(connection: Connection, file: string): void {
  const version = pragma(connection, 'user_version');
  const ours = pragma(connection, 'application_id') === applicationId;
  const empty = pragma(connection, 'schema_version') === 0;
  if (!ours && !empty)
    throw new StoreRefused(`${file} is the database of another program; give the store another place`);
  if (ours && version > migrations().length)
    throw new StoreRefused(
      `The store was written by a newer version of this program (its schema is ${version}, this program knows ${migrations().length}); run that version, or restore a backup made before the upgrade`,
    );
}

/** Changing the journal mode needs the file alone and does not wait for it: two programs that make one store may meet. */
function useWriteAheadLog(connection: Connection, options: ThreadOptions): void {
  const until = Date.now() + options.busyTimeoutMs;
  for (;;) {
    try {
      if (connection.db.prepare('PRAGMA journal_mode = WAL').get().journal_mode === 'wal') return;
    } catch (error) {
      if (!isBusy(error) || Date.now() > until) throw error;
    }
    if (Date.now() > until) throw new StoreUnavailable(`${options.file} does not allow a write-ahead log`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

function migrations(): readonly string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort();
}

function migrate(connection: Connection, options: ThreadOptions): void {
  const { db } = connection;
  const names = migrations();
  while (pragma(connection, 'user_version') < names.length) {
    db.exec('BEGIN IMMEDIATE');
    try {
      const done = pragma(connection, 'user_version');
      const name = names[done];
      if (name !== undefined) {
        db.exec(readFileSync(new URL(name, folder), 'utf8'));
        if (done === 0) install(connection, clockOf(options)());
        db.exec(`PRAGMA user_version = ${done + 1}`);
      }
      db.exec('COMMIT');
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }
}

/** UIDVALIDITY is the second of the installation: non-zero, and larger than that of any store before it (RFC 3501 §2.3.1.1). */
function install(connection: Connection, now: number): void {
  connection.db.exec(`PRAGMA application_id = ${applicationId}`);
  connection.db.prepare('INSERT INTO counters VALUES (1, ?, 0, 1, 0, 0)').run(Math.max(1, Math.trunc(now / 1000)));
}

function explain(error: unknown, file: string): unknown {
  const cause = { cause: error };
  switch (sqliteCode(error)) {
    case 8:
      return new StoreUnavailable(`The store cannot be written: ${file} or its folder is read-only`, cause);
    case 11:
    case 26:
      return new StoreUnavailable(
        `The store is damaged: ${file} is not a readable database; restore a backup, or move it away to start anew`,
        cause,
      );
    case 14:
      return new StoreUnavailable(
        `The store cannot be opened at ${file}: is the folder there, and may this user write to it?`,
        cause,
      );
    default:
      return error;
  }
}
