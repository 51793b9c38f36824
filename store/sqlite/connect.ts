/**
 * A connection to the store's file, with the settings every connection has, and the statements prepared on it. Only the
 * threads call this: everything here blocks.
 */
import { statSync } from 'node:fs';
import { StoreUnavailable } from '../errors.ts';
import { breaksConnection } from './fault.ts';
import { Database, type DatabaseHandle, type Statement } from './sqlite.ts';

/** What a thread is started with. */
export interface ThreadOptions {
  /** Absolute path. */
  readonly file: string;
  readonly busyTimeoutMs: number;
  /** false: a crash of the machine may lose commits (tests). */
  readonly durable: boolean;
  /** A Float64 of milliseconds that is added to the machine's clock. */
  readonly clock?: SharedArrayBuffer;
  /** An Int32: the file may not grow past so many pages, as on a full disk (tests); 0 for no limit. */
  readonly pageLimit?: SharedArrayBuffer;
  /** Which file is the store (device and inode); unknown to the first thread alone, which tells it. */
  readonly place?: string;
}

/** The store's clock in milliseconds since 1970. */
export function clockOf(options: ThreadOptions): () => number {
  if (!options.clock) return Date.now;
  const offset = new Float64Array(options.clock);
  return () => Math.trunc(Date.now() + offset[0]!);
}

/** 8 MB a thread: the upper levels of every index stay in memory at millions of entries. */
const cacheKiB = 8 * 1024;
/** A checkpoint every 16 MB of log: each costs two fsyncs. */
const checkpointPages = 4000;
/** A log that grew larger, e.g. under a long reader, is cut to this when it starts anew. */
const logBytes = 64 * 1024 * 1024;

export class Connection {
  readonly db: DatabaseHandle;
  readonly #statements = new Map<string, Statement>();
  readonly #arrays = new Map<string, Statement>();

  constructor(options: ThreadOptions) {
    this.db = new Database(options.file, { timeout: options.busyTimeoutMs, enableForeignKeyConstraints: true });
    try {
      this.db.exec(`PRAGMA synchronous = ${options.durable ? 'FULL' : 'OFF'}`);
      this.db.exec(`PRAGMA cache_size = -${cacheKiB}`);
      this.db.exec(`PRAGMA wal_autocheckpoint = ${checkpointPages}`);
      this.db.exec(`PRAGMA journal_size_limit = ${logBytes}`);
      this.db.exec('PRAGMA temp_store = MEMORY');
    } catch (error) {
      this.db.close();
      throw error;
    }
  }

  /** Prepared at the first call; rows are objects. */
  readonly sql = (text: string): Statement => {
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = this.db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  };

  /** Prepared at the first call; rows are arrays, which is faster for many rows. */
  readonly arrays = (text: string): Statement => {
    let statement = this.#arrays.get(text);
    if (!statement) {
      statement = this.db.prepare(text);
      statement.setReturnArrays(true);
      this.#arrays.set(text, statement);
    }
    return statement;
  };

  close(): void {
    this.#statements.clear();
    this.#arrays.clear();
    this.db.close();
  }
}

/**
 * Keeps one connection for a thread, and opens a new one when the old one broke, so that service resumes by itself when a
 * cause of trouble is gone. What is written to a removed file is lost, and another file in its place has other numbers:
 * so the file has to be the one that the first thread of this store opened. A connection is not closed because its file was moved away:
 * closing would remove the write-ahead log by its name, which may belong to another store by now.
 */
export class Reconnecting {
  readonly #file: string;
  readonly #open: () => Connection;
  #connection: Connection | undefined;
  #place: string | undefined;

  constructor({ file, place }: ThreadOptions, open: () => Connection) {
    this.#file = file;
    this.#place = place;
    this.#open = open;
  }

  get(): Connection {
    if (this.#place !== undefined) this.#checkPlace();
    this.#connection ??= this.#open();
    this.#place ??= placeOf(this.#file);
    return this.#connection;
  }

  /** Of the file; undefined before the first connection. */
  get place(): string | undefined {
    return this.#place;
  }

  /** To be told of every error that came out of a connection. */
  failed(error: unknown): void {
    if (breaksConnection(error)) this.drop();
  }

  drop(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    try {
      connection?.close();
    } catch {
      // A connection that cannot even be closed is given up; the new one does not depend on it.
    }
  }

  #checkPlace(): void {
    const found = placeOf(this.#file);
    if (found === this.#place) return;
    throw new StoreUnavailable(
      found === undefined
        ? 'The file of the store is gone; put it back'
        : 'The file of the store was replaced by another one; restart the program',
    );
  }
}

function placeOf(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}/${stat.ino}`;
}
