/**
 * The documents as they were at one moment, whatever is written meanwhile: a session with read concern "snapshot", which
 * takes no transaction and no lock. The server keeps such a moment for `minSnapshotHistoryWindowInSeconds` (300 by default);
 * later readings fail with SnapshotTooOld.
 */
import type { ClientSession, Db, Document, Filter, FindOptions, MongoClient } from 'mongodb';
import type { CollectionName, Documents } from './documents.ts';
import type { ScanSnapshot } from './tx.ts';

export class SessionSnapshot implements ScanSnapshot {
  readonly now: number;
  readonly #db: Db;
  readonly #session: { readonly session?: ClientSession; readonly readConcern?: { readonly level: 'snapshot' } };

  /** Without a session each reading has a moment of its own. */
  constructor(db: Db, session: ClientSession | undefined, now: number) {
    this.#db = db;
    // The client's own read concern would go before the session's.
    this.#session = session ? { session, readConcern: { level: 'snapshot' } } : {};
    this.now = now;
  }

  async find<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options: FindOptions = {},
  ): Promise<Documents[C][]> {
    return this.#found<C>(collection, filter, options).toArray();
  }

  async findOne<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options: FindOptions = {},
  ): Promise<Documents[C] | undefined> {
    const [first] = await this.find(collection, filter, { ...options, limit: 1 });
    return first;
  }

  async aggregate<T extends Document>(collection: CollectionName, pipeline: readonly Document[]): Promise<T[]> {
    return this.#db
      .collection(collection)
      .aggregate<T>([...pipeline], { ...this.#session })
      .toArray();
  }

  async *scan<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options: FindOptions = {},
  ): AsyncGenerator<readonly Documents[C][]> {
    const cursor = this.#found<C>(collection, filter, options);
    try {
      while (await cursor.hasNext()) yield cursor.readBufferedDocuments();
    } finally {
      await cursor.close();
    }
  }

  async *scanBytes<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options: FindOptions = {},
  ): AsyncGenerator<readonly Uint8Array[]> {
    for await (const batch of this.scan(collection, filter, { ...options, raw: true }))
      yield batch as unknown as readonly Uint8Array[];
  }

  #found<C extends CollectionName>(collection: C, filter: Filter<Documents[C]>, options: FindOptions) {
    return this.#db.collection<Documents[C]>(collection).find<Documents[C]>(filter, { ...options, ...this.#session });
  }
}

/** Reads in a snapshot of its own, which ends with `read`. */
export async function inSnapshot<T>(
  client: MongoClient,
  db: Db,
  now: number,
  read: (snapshot: ScanSnapshot) => Promise<T>,
): Promise<T> {
  const session = client.startSession({ snapshot: true });
  try {
    return await read(new SessionSnapshot(db, session, now));
  } finally {
    await session.endSession();
  }
}
