/**
 * All that the store keeps, record by record, from one snapshot: documents are walked over in batches, never collected.
 *
 * The server keeps a snapshot for so long as `minSnapshotHistoryWindowInSeconds` says, five minutes by default. Octets are not
 * read in it, they never change; but whoever takes records and octets in turn may need longer for a large store. Then an
 * operator lets the server keep more history while the export runs; the sentence below says how.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SortDirection } from 'mongodb';
import { StoreRefused } from '../errors.ts';
import type { RecordKind, StoreRecord } from '../records.ts';
import { recordKinds } from '../records.ts';
import type { Connection } from './connect.ts';
import type { CollectionName } from './documents.ts';
import { asStoreError, codeOf } from './fault.ts';
import { SessionSnapshot } from './snapshot.ts';
import type { ScanSnapshot } from './tx.ts';
import { importMark, type PlainKind, recordOf } from './upkeep-records.ts';

/** https://github.com/mongodb/mongo/blob/r6.0.5/src/mongo/base/error_codes.yml */
const snapshotTooOld = 239;
/** A collection was made just before. */
const snapshotUnavailable = 246;
const tooLong =
  'MongoDB keeps a snapshot for five minutes unless told otherwise, and this took longer; ' +
  'run db.adminCommand({ setParameter: 1, minSnapshotHistoryWindowInSeconds: 7200 }) on its nodes, and try again';

/** Besides, the server ends a batch at 16 MiB. */
const batchSize = 500;

/** Something that reads for long in one snapshot. @throws StoreRefused  longer than the server keeps it */
export async function* inLongSnapshot<T>(
  { client, db, clock }: Connection,
  read: (snapshot: ScanSnapshot) => AsyncIterable<T>,
): AsyncGenerator<T> {
  for (let tries = 50; ; tries -= 1) {
    const session = client.startSession({ snapshot: true });
    let began = false;
    try {
      for await (const each of read(new SessionSnapshot(db, session, clock.now))) {
        began = true;
        yield each;
      }
      return;
    } catch (error) {
      const code = codeOf(error);
      if (code === snapshotTooOld) throw new StoreRefused(tooLong, { cause: error });
      if (code !== snapshotUnavailable || began || tries === 0) throw asStoreError(error);
    } finally {
      await session.endSession();
    }
    await pause(20);
  }
}

export async function* exportRecords(snapshot: ScanSnapshot, kinds = recordKinds): AsyncGenerator<StoreRecord> {
  for (const kind of recordKinds.filter((each) => kinds.includes(each)))
    if (kind === 'messages') yield* messageRecords(snapshot);
    else if (kind === 'numbers') yield await numbersRecord(snapshot);
    else yield* plainRecords(snapshot, kind);
}

async function* plainRecords(snapshot: ScanSnapshot, kind: PlainKind): AsyncGenerator<StoreRecord> {
  const sort: Record<string, SortDirection> = kind === 'jobs' ? { order: 1 } : { _id: 1 };
  for await (const docs of snapshot.scan(kind, {}, { sort, hint: sort, batchSize }))
    for (const doc of docs) if (kind !== 'settings' || doc._id !== importMark) yield recordOf(kind, doc);
}

/** Messages that are nobody's are left out: they were written, and their admission is under way, or was given up. */
async function* messageRecords(snapshot: ScanSnapshot): AsyncGenerator<StoreRecord> {
  for await (const docs of snapshot.scan('messages', {}, { sort: { _id: 1 }, hint: { _id: 1 }, batchSize })) {
    const named = await namedOf(
      snapshot,
      docs.map(({ _id }) => _id),
    );
    for (const doc of docs) if (named.has(doc._id)) yield recordOf('messages', doc);
  }
}

/** Which of these messages entries name, or jobs of appended messages. */
export async function namedOf(snapshot: ScanSnapshot, ids: readonly number[]): Promise<Set<number>> {
  const named = new Set<number>();
  const options = { projection: { _id: 0, messageId: 1 }, batchSize };
  for await (const docs of snapshot.scan('entries', { messageId: { $in: [...ids] } }, options))
    for (const { messageId } of docs) named.add(messageId);
  const rest = ids.filter((id) => !named.has(id));
  if (rest.length === 0) return named;
  const appended = { messageId: { $in: rest }, entryId: { $exists: false } };
  for await (const docs of snapshot.scan('jobs', appended, options))
    for (const { messageId } of docs) named.add(messageId);
  return named;
}

async function numbersRecord(snapshot: ScanSnapshot): Promise<StoreRecord> {
  const numbers = await snapshot.findOne('numbers', { _id: 'numbers' });
  if (!numbers) throw new StoreRefused('The store has no numbers any more; restore a backup');
  const { uidValidity, uid, modSeq, trimmed } = numbers;
  const lastMessageId = await lastMessageIdOf(snapshot);
  return { kind: 'numbers', uidValidity, lastUid: uid, lastModSeq: modSeq, lastMessageId, trimmedModSeq: trimmed };
}

/** The highest id that something has, or had where it was imported from. (Ids are given in blocks, not all are used.) */
export async function lastMessageIdOf(snapshot: ScanSnapshot): Promise<number> {
  const highest = async (name: 'messages' | 'uploads' | 'entries' | 'jobs', field: string): Promise<number> => {
    const options = { projection: { [field]: 1 }, sort: { [field]: -1 as const }, limit: 1 };
    const [doc] = (await snapshot.find(name, {}, options)) as unknown as Record<string, number>[];
    return doc?.[field] ?? 0;
  };
  return Math.max(
    await highest('messages', '_id'),
    await highest('uploads', 'messageId'),
    await highest('entries', 'messageId'),
    await highest('jobs', 'messageId'),
    (await messageIdsOf(snapshot))?.imported ?? 0,
  );
}

/** `imported`: the highest id that was given in the store whose records these are. */
interface IdsDoc {
  readonly last: number;
  readonly imported?: number;
}

export async function messageIdsOf(snapshot: ScanSnapshot): Promise<IdsDoc | undefined> {
  return (await snapshot.findOne('numbers', { _id: 'messageIds' as 'numbers' })) as unknown as IdsDoc | undefined;
}

export async function countRecords({ db }: Connection) {
  const of = async (kind: RecordKind): Promise<number> => {
    if (kind === 'numbers') return 1;
    // What the server knows of a collection, without reading it.
    const count = await db.collection(kind satisfies CollectionName).estimatedDocumentCount();
    if (kind !== 'settings') return count;
    return count - (await db.collection<{ _id: string }>(kind).countDocuments({ _id: importMark }));
  };
  const counts = await Promise.all(recordKinds.map(async (kind) => [kind, await of(kind)] as const));
  const [sum] = await db
    .collection('messages')
    .aggregate<{ octets: number }>([{ $group: { _id: null, octets: { $sum: '$size' } } }])
    .toArray();
  return { records: Object.fromEntries(counts) as Record<RecordKind, number>, octets: sum?.octets ?? 0 };
}
