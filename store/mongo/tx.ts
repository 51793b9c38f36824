/**
 * One command's view of the writing transaction, which it shares with the commands that wait together with it (batch.ts).
 *
 * Reads go to the server inside the transaction; writes are kept in memory and sent in bulk, a collection at a time, at
 * the latest before the commit. A read of a collection that has writes waiting sends these first, so that a command sees
 * what it and those before it wrote.
 *
 * What must stay true: a command throws a StoreError only before its first write (then only it fails; anything else ends
 * the batch, and its commands run again one by one); nothing happens in a command but reads and writes of this Tx, since
 * a batch is run again when its transaction met another one.
 */
import type { AnyBulkWriteOperation, Document, Filter, FindOptions } from 'mongodb';
import type { Change, ModSeq, Uid } from '../model.ts';
import type { CollectionName, Documents } from './documents.ts';

export { domainOf, scopeKey, scopeOf } from '../scope.ts';

/** What reads take: the documents in one snapshot (views, lists) or in the writing transaction. */
export interface Snapshot {
  /** The store's clock, milliseconds since 1970. */
  readonly now: number;
  find<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options?: FindOptions,
  ): Promise<Documents[C][]>;
  findOne<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options?: FindOptions,
  ): Promise<Documents[C] | undefined>;
  aggregate<T extends Document>(collection: CollectionName, pipeline: readonly Document[]): Promise<T[]>;
}

/** A snapshot (snapshot.ts) that also reads more than memory has room for, batch by batch. */
export interface ScanSnapshot extends Snapshot {
  scan<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options?: FindOptions,
  ): AsyncIterable<readonly Documents[C][]>;
  /** The same as BSON, for readers of many small documents. */
  scanBytes<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options?: FindOptions,
  ): AsyncIterable<readonly Uint8Array[]>;
}

export interface Tx extends Snapshot {
  /** Queues a write; sent in the order of the calls within a collection. */
  write<C extends CollectionName>(collection: C, operation: AnyBulkWriteOperation<Documents[C]>): void;
  /** The next UID of the installation. @throws StoreUnavailable  all are given out */
  nextUid(): Uid;
  /** The next order number of a job. */
  nextJob(): number;
  /** This command's mod-sequence, taken at the first call, the same at later ones. */
  modSeq(): ModSeq;
  /** Whether modSeq() was called: 0 or the number. */
  readonly takenModSeq: ModSeq | 0;
  /** The log's last mod-sequence before or by this command. */
  readonly lastModSeq: ModSeq;
  /**
   * Adds a line to this command's document of the change log and keeps `tops` current: an `enter` or `drop` raises the
   * folder's highest UID in all three scopes of the owner; `enter`, `leave`, `flags`, `drop` raise the folder's last
   * mod-sequence, in all three scopes or that of `level`.
   */
  log(change: Omit<Change, 'modSeq'>): void;
}
