/**
 * The writing transaction that several commands share (group commit), as one attempt at it: UIDs and mod-sequences are taken
 * here, after the first write to `numbers` gave this transaction its turn, which is why no reader sees a number before
 * every smaller one (DESIGN §3). Numbers, `tops` and the change log are kept in memory and written once, before the commit.
 */
import type { AnyBulkWriteOperation, ClientSession, Document, Filter, FindOptions } from 'mongodb';
import { StoreBusy, StoreError, StoreUnavailable } from '../errors.ts';
import type { Change, Level, ModSeq, Uid } from '../model.ts';
import type { Connection } from './connect.ts';
import type { CollectionName, Documents, LineDoc, NumbersDoc } from './documents.ts';
import { rewritten } from './rewrite.ts';
import { domainOf, type Tx } from './tx.ts';

/** RFC 3501 §2.3.1.1: 32 bits. */
const maxUid = 0xffffffff;
/** What is written beside the transaction may keep it from its commit for so long. */
const writtenMs = 3000;
/** After an election most nodes may for a while not follow; who asked is told that nobody knows. */
const confirmMs = 3000;

interface Numbers {
  uid: number;
  modSeq: number;
  job: number;
}

type Turn = NumbersDoc & { readonly now: Date; readonly turn: number };

export class Batch implements Tx {
  readonly now: number;
  /** Counts the writing transactions of the installation, as far as they were committed. */
  readonly turn: number;
  readonly #connection: Connection;
  readonly #session: ClientSession;
  readonly #before: Readonly<Numbers>;
  readonly #numbers: Numbers;
  readonly #pending = new Map<CollectionName, AnyBulkWriteOperation<Document>[]>();
  readonly #tops = new Map<string, { uid: number; modSeq: number }>();
  readonly #needed: Promise<void>[] = [];
  #lines: LineDoc[] = [];
  #taken: ModSeq | 0 = 0;
  /** Writes so far: a command that fails before its first one fails alone. */
  #writes = 0;

  private constructor(connection: Connection, session: ClientSession, turn: Turn) {
    this.#connection = connection;
    this.#session = session;
    this.now = connection.clock.heard(turn.now);
    this.turn = turn.turn;
    this.#before = { uid: turn.uid, modSeq: turn.modSeq, job: turn.job };
    this.#numbers = { ...this.#before };
  }

  /** Begins the transaction with the write for which all writers wait. @throws a transient error: another one was faster */
  static async begin(connection: Connection, session: ClientSession): Promise<Batch> {
    session.startTransaction({
      readConcern: { level: 'snapshot' },
      // Others may go on from it at once; that most nodes have it on their disks is waited for behind it (queue.ts).
      writeConcern: { w: 1, wtimeoutMS: confirmMs },
      readPreference: 'primary',
    });
    const turn = await connection.collection('numbers').findOneAndUpdate(
      { _id: 'numbers' },
      // The server's time alone may be the same twice, and an update that changes nothing makes nobody wait.
      [{ $set: { now: '$$NOW', turn: { $add: [{ $ifNull: ['$turn', 0] }, 1] } } }],
      { session, returnDocument: 'after' },
    );
    if (!turn) throw new StoreUnavailable('The store was removed while it was in use; start anew, or restore a backup');
    return new Batch(connection, session, turn as unknown as Turn);
  }

  /** Runs one command. @throws StoreError that is the command's alone when `failedAlone`, else the batch is lost */
  async run<T>(command: (tx: Tx) => T | Promise<T>): Promise<T> {
    const before = { ...this.#numbers };
    const writes = this.#writes;
    this.#taken = 0;
    this.#lines = [];
    try {
      const result = await command(this);
      if (this.#lines.length > 0)
        this.write('changes', { insertOne: { document: { _id: this.modSeq(), at: this.now, lines: this.#lines } } });
      return result;
    } catch (error) {
      if (!(error instanceof StoreError) || this.#writes !== writes) throw error;
      Object.assign(this.#numbers, before);
      throw new CommandFailed(error);
    }
  }

  /** The log's end as it is after commit. */
  get end(): ModSeq {
    return this.#numbers.modSeq as ModSeq;
  }

  /** The commit has to wait for this. */
  needs(written: Promise<void>): void {
    this.#needed.push(written);
  }

  /** Sends everything that waits, for the commit to follow. */
  async flush(): Promise<void> {
    for (const [_id, { uid, modSeq }] of this.#tops)
      this.write('tops', { updateOne: { filter: { _id }, update: { $max: { uid, modSeq } }, upsert: true } });
    this.#tops.clear();
    const { uid, modSeq, job } = this.#numbers;
    const { uid: oldUid, modSeq: oldModSeq, job: oldJob } = this.#before;
    if (uid !== oldUid || modSeq !== oldModSeq || job !== oldJob)
      this.write('numbers', { updateOne: { filter: { _id: 'numbers' }, update: { $max: { uid, modSeq, job } } } });
    for (const name of [...this.#pending.keys()]) await this.#send(name);
    await this.#written();
  }

  /** It is on its way since before the transaction began. Where it takes long, others are not to wait for it, too. */
  async #written(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new StoreBusy('The octets of a message are not written yet')), writtenMs);
    });
    await Promise.race([Promise.all(this.#needed), late]).finally(() => clearTimeout(timer));
  }

  // ------------------------------------------------------------------------------------------------------------ Tx

  async find<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options?: FindOptions,
  ): Promise<Documents[C][]> {
    await this.#send(collection);
    const found = this.#connection.collection(collection).find(filter, { ...options, session: this.#session });
    return (await found.toArray()) as unknown as Documents[C][];
  }

  async findOne<C extends CollectionName>(
    collection: C,
    filter: Filter<Documents[C]>,
    options?: FindOptions,
  ): Promise<Documents[C] | undefined> {
    const [found] = await this.find(collection, filter, { ...options, limit: 1, singleBatch: true });
    return found;
  }

  async aggregate<T extends Document>(collection: CollectionName, pipeline: readonly Document[]): Promise<T[]> {
    for (const name of [...this.#pending.keys()]) await this.#send(name); // it may join others
    return this.#connection
      .collection(collection)
      .aggregate<T>([...pipeline], { session: this.#session })
      .toArray();
  }

  write<C extends CollectionName>(collection: C, operation: AnyBulkWriteOperation<Documents[C]>): void {
    const waiting = this.#pending.get(collection);
    if (waiting) waiting.push(operation as AnyBulkWriteOperation<Document>);
    else this.#pending.set(collection, [operation as AnyBulkWriteOperation<Document>]);
    this.#writes += 1;
  }

  nextUid(): Uid {
    if (this.#numbers.uid >= maxUid)
      throw new StoreUnavailable('The store has given out all UIDs; `lazaret store copy --renumber` gives them anew');
    this.#numbers.uid += 1;
    return this.#numbers.uid as Uid;
  }

  nextJob(): number {
    this.#numbers.job += 1;
    return this.#numbers.job;
  }

  modSeq(): ModSeq {
    if (this.#taken === 0) {
      this.#numbers.modSeq += 1;
      this.#taken = this.#numbers.modSeq as ModSeq;
    }
    return this.#taken;
  }

  get takenModSeq(): ModSeq | 0 {
    return this.#taken;
  }

  get lastModSeq(): ModSeq {
    return this.#numbers.modSeq as ModSeq;
  }

  log(change: Omit<Change, 'modSeq'>): void {
    const modSeq = this.modSeq();
    this.#lines.push({ ...change });
    this.#writes += 1;
    if (change.kind === 'notice') return;
    const uid = change.kind === 'enter' || change.kind === 'drop' ? change.uid : 0;
    const raise = (level: Level, scope: string): void => {
      if (change.level !== undefined && change.level !== level) return;
      const key = `${change.folder} ${scope}`;
      const known = this.#tops.get(key);
      if (!known) this.#tops.set(key, { uid, modSeq });
      else {
        known.uid = Math.max(known.uid, uid);
        known.modSeq = Math.max(known.modSeq, modSeq);
      }
    };
    raise('global', 'g');
    if (change.owner === '') return; // seen by `global` only
    raise('domain', `d:${domainOf(change.owner)}`);
    raise('recipient', `r:${change.owner}`);
  }

  async #send(collection: CollectionName): Promise<void> {
    const operations = this.#pending.get(collection);
    if (!operations) return;
    this.#pending.delete(collection);
    const statements = rewritten(operations);
    await this.#connection.db.collection(collection).bulkWrite(statements, { session: this.#session, ordered: true });
  }
}

/** What a command threw before it wrote anything: it failed, and the batch goes on. */
export class CommandFailed extends Error {
  readonly error: StoreError;
  constructor(error: StoreError) {
    super(error.message, { cause: error });
    this.error = error;
  }
}
