/**
 * Where the tests of the whole product keep their mail: in a file of SQLite, or with STORE=mongodb in a database of the test
 * run's MongoDB, so that the same stories are told on both.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Database, type DatabaseHandle } from '#store/sqlite/sqlite';
import { freshDatabase, withClient } from './mongod.ts';

const kind = process.env.STORE ?? 'sqlite';
if (!['sqlite', 'mongodb'].includes(kind)) throw new Error(`STORE=${kind}: write sqlite or mongodb`);

export const onMongo = kind === 'mongodb';

/** The URL of an empty store. Its database is removed when the test ends; the folder is the caller's. */
export async function freshStore(t: { teardown(end: () => Promise<void>): void }, folder: string): Promise<string> {
  return onMongo ? freshDatabase(t) : `sqlite:${join(folder, 'lazaret.db')}`;
}

const inFile = <T>(url: string, what: (db: DatabaseHandle) => T): T => {
  const db = new Database(url.slice('sqlite:'.length), { timeout: 5000 });
  try {
    return what(db);
  } finally {
    db.close();
  }
};

/** What the database has to say against itself, and bytes and records that stand alone; nothing when all is well. */
export function faultsOf(url: string): Promise<readonly string[]> | readonly string[] {
  if (url.startsWith('mongodb')) return faultsInMongo(url);
  return inFile(url, (db) => {
    const all = (sql: string): string[] =>
      db
        .prepare(sql)
        .all()
        .map((row: object) => JSON.stringify(row));
    return [
      ...all('PRAGMA integrity_check').filter((line) => line !== '{"integrity_check":"ok"}'),
      ...all('PRAGMA foreign_key_check'),
      ...all(`SELECT DISTINCT c.id >> 16 AS bytesOfNothing FROM chunks c WHERE c.id >> 16 NOT IN (SELECT id FROM messages)
        AND c.id >> 16 NOT IN (SELECT message_id FROM uploads)`),
      ...all(
        'SELECT m.id AS noBytes FROM messages m WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.id = m.id << 16)',
      ),
      ...all(`SELECT id AS unsealed FROM drops WHERE sealed_at IS NULL AND rolled_back_at IS NULL`),
      ...all('SELECT last_uid AS behind FROM counters WHERE last_uid < (SELECT max(uid) FROM stays)'),
      ...all('SELECT last_mod_seq AS behind FROM counters WHERE last_mod_seq < (SELECT max(mod_seq) FROM changes)'),
    ];
  });
}

interface Numbered {
  _id: number;
}

/** Bytes without an entry are no fault there: they are written before it, and swept when it never comes. */
function faultsInMongo(url: string): Promise<readonly string[]> {
  return withClient(url, async (client) => {
    const db = client.db();
    const [numbers, entries, unsealed, noBytes, last] = await Promise.all([
      db.collection<{ _id: string; uid: number; modSeq: number }>('numbers').findOne({ _id: 'numbers' }),
      db
        .collection('entries')
        .aggregate([{ $unwind: '$stays' }, { $group: { _id: null, highest: { $max: '$stays.uid' } } }])
        .toArray(),
      db
        .collection('drops')
        .find({ sealedAt: { $exists: false }, rolledBackAt: { $exists: false } })
        .toArray(),
      db
        .collection('entries')
        .aggregate([
          { $lookup: { from: 'bytes', localField: 'messageId', foreignField: '_id', pipeline: idOnly, as: 'small' } },
          {
            $lookup: {
              from: 'large.files',
              localField: 'messageId',
              foreignField: '_id',
              pipeline: idOnly,
              as: 'large',
            },
          },
          { $match: { small: [], large: [] } },
          { $project: { messageId: 1 } },
        ])
        .toArray(),
      db.collection<Numbered>('changes').find().sort({ _id: -1 }).limit(1).toArray(),
    ]);
    return [
      ...unsealed.map(({ _id }) => JSON.stringify({ unsealed: _id })),
      ...noBytes.map(({ messageId }) => JSON.stringify({ noBytes: messageId })),
      ...((numbers?.uid ?? 0) < (entries[0]?.highest ?? 0) ? [`the highest UID is ${entries[0]!.highest}`] : []),
      ...((numbers?.modSeq ?? 0) < (last[0]?._id ?? 0) ? [`the last mod-sequence is ${last[0]!._id}`] : []),
    ];
  });
}
const idOnly = [{ $project: { _id: 1 } }];

/** How many jobs on these bytes were done. */
export async function jobsDoneOn(url: string, bytes: Buffer): Promise<number> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (!url.startsWith('mongodb'))
    return inFile(
      url,
      (db) =>
        db
          .prepare(
            `SELECT j.key FROM jobs j JOIN messages m ON m.id = j.message_id WHERE m.sha256 = ? AND j.state = 'done'`,
          )
          .all(sha256).length,
    );
  return withClient(url, async (client) => {
    const messages = await client.db().collection<Numbered>('messages').find({ sha256 }).toArray();
    const ids = messages.map(({ _id }) => _id);
    return client
      .db()
      .collection('jobs')
      .countDocuments({ messageId: { $in: ids }, state: 'done' });
  });
}

/** Fields that say when something ends or is to be looked at. */
const times: Readonly<Record<string, readonly string[]>> = {
  jobs: ['dueAt', 'leaseUntil', 'createdAt', 'endedAt'],
  drops: ['createdAt', 'leaseUntil', 'ripeAt', 'nextAt'],
  entries: ['leaveAt'],
  uploads: ['beganAt'],
};

/**
 * Lets time pass for a MongoDB in which nobody works: its clock is its own and cannot be moved, so what it keeps becomes
 * that much older.
 */
export function letPass(url: string, ms: number): Promise<void> {
  return withClient(url, async (client) => {
    for (const [collection, fields] of Object.entries(times))
      await client
        .db()
        .collection(collection)
        .updateMany({}, [
          {
            $set: Object.fromEntries(
              fields.map((field) => [
                field,
                { $cond: [{ $isNumber: `$${field}` }, { $subtract: [`$${field}`, ms] }, '$$REMOVE'] },
              ]),
            ),
          },
        ]);
  });
}
