/**
 * Makes the database, or brings it up to date. The document of numbers comes last: where it stands with this schema,
 * collections and indexes are all there. Of several processes that find work one does it, under a lease, and the others wait.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Document } from 'mongodb';
import { StoreBusy, StoreRefused } from '../errors.ts';
import type { Connection } from './connect.ts';
import type { NumbersDoc } from './documents.ts';
import { codeOf, duplicateKey } from './fault.ts';
import { indexes } from './indexes.ts';

/**
 * Counts the shapes that the documents have had. Nobody with an older program may use the store while it is brought up to
 * date, or later: what such a one writes has the older shape.
 */
const schema = 2;
const leaseMs = 30_000;
const waitMs = 60_000;
const namespaceExists = 48;

interface LockDoc {
  readonly _id: 'migrating';
  readonly until: number;
}

/** Brings the store's documents, collections and indexes up to date; answers its numbers. @throws StoreRefused */
export async function migrate(connection: Connection): Promise<NumbersDoc> {
  const { clock } = connection;
  const locks = connection.db.collection<LockDoc>('numbers');
  for (const deadline = performance.now() + waitMs; ; await pause(50)) {
    const found = await numbersOf(connection);
    if (found?.schema === schema) return found;
    if (performance.now() > deadline)
      throw new StoreBusy('The store is being brought up to date by another process; try again when that is done');
    if (!(await lock())) continue;
    const renewing = setInterval(() => void renew().catch(() => undefined), leaseMs / 3);
    try {
      await build(connection);
    } finally {
      clearInterval(renewing);
      await locks.deleteOne({ _id: 'migrating' });
    }
  }

  /** Whether this process has it now. Whoever had it and came to no end has lost it. */
  async function lock(): Promise<boolean> {
    await locks.deleteOne({ _id: 'migrating', until: { $lt: clock.now } });
    try {
      await locks.insertOne({ _id: 'migrating', until: clock.now + leaseMs });
      return true;
    } catch (error) {
      if (codeOf(error) === duplicateKey) return false;
      throw error;
    }
  }

  async function renew(): Promise<void> {
    await locks.updateOne({ _id: 'migrating' }, { $set: { until: clock.now + leaseMs } });
  }
}

async function numbersOf(connection: Connection): Promise<NumbersDoc | undefined> {
  const found = await connection.collection('numbers').findOne({ _id: 'numbers' });
  if (found && found.schema > schema)
    throw new StoreRefused(
      `The store was written by a newer version of this program (its schema is ${found.schema}, this program knows ${schema}); run that version, or restore a backup made before the upgrade`,
    );
  return found ?? undefined;
}

/** An entry without these would be seen by nobody, or delivered to nobody. */
const entryShape = {
  ...{ messageId: { $type: 'number' }, owner: { $type: 'string' }, recipient: { $type: 'string' } },
  ...{ place: { $type: 'string' }, state: { $type: 'string' } },
};

/** From the schema before each: what it takes besides collections and indexes. May be run again. */
const upgrades: Readonly<Record<number, (connection: Connection) => Promise<void>>> = { 1: awaitInventories };

const idsAtOnce = 10_000;

/** All messages that are there are without an inventory. */
async function awaitInventories(connection: Connection): Promise<void> {
  for (let after = 0; ; ) {
    const ids = await connection
      .collection('messages')
      .find({ _id: { $gt: after } }, { projection: { _id: 1 } })
      .sort({ _id: 1 })
      .limit(idsAtOnce)
      .toArray();
    if (ids.length === 0) return;
    try {
      await connection.collection('uninventoried').insertMany(
        ids.map(({ _id }) => ({ _id })),
        { ordered: false },
      );
    } catch (error) {
      if (codeOf(error) !== duplicateKey) throw error; // this far somebody came before
    }
    after = ids.at(-1)!._id;
  }
}

/** Each step may have been done before by somebody who did not come to the end. */
async function build(connection: Connection): Promise<void> {
  const { db, clock } = connection;
  const make = async (name: string, validator?: Document): Promise<void> => {
    try {
      await db.createCollection(name, validator && { validator });
    } catch (error) {
      if (codeOf(error) !== namespaceExists) throw error;
    }
  };
  await Promise.all(
    Object.entries(indexes).map(async ([name, list]) => {
      await make(name, name === 'entries' ? entryShape : undefined);
      if (list.length > 0) await db.collection(name).createIndexes([...list]);
    }),
  );
  await make('large.files');
  await make('large.chunks');
  await db.collection('large.files').createIndex({ filename: 1, uploadDate: 1 });
  await db.collection('large.chunks').createIndex({ files_id: 1, n: 1 }, { unique: true });
  const numbers = db.collection<NumbersDoc>('numbers');
  const before = await numbersOf(connection);
  for (let from = before?.schema ?? schema; from < schema; from += 1) {
    await upgrades[from]?.(connection);
    await numbers.updateOne({ _id: 'numbers', schema: from }, { $set: { schema: from + 1 } });
  }
  // The second of the installation: non-zero, and larger than that of any store before it (RFC 3501 §2.3.1.1).
  const uidValidity = Math.max(1, Math.trunc(clock.now / 1000));
  await numbers.updateOne(
    { _id: 'numbers' },
    { $setOnInsert: { schema, uidValidity, uid: 0, modSeq: 1, job: 0, trimmed: 0 } },
    { upsert: true },
  );
}
