/**
 * Octets that are not as they should be: of no message, gone, or others than arrived. Not read in one snapshot, which would
 * have to be kept for hours: octets never change.
 */
import { createHash } from 'node:crypto';
import type { EntryId, MessageId } from '../model.ts';
import type { Flaw } from '../records.ts';
import type { Connection } from './connect.ts';
import type { MessageDoc, SweptDoc } from './documents.ts';
import { translated } from './fault.ts';
import { chunkSize, largeChunks, octetsOf } from './messages.ts';
import { type Found, unfinished } from './upkeep-found.ts';

const batchSize = 1000;

/** Octets of which no message and no upload knows; only among ids that the sweep has passed, for others may be in use. */
export async function* withoutMessage(connection: Connection): AsyncGenerator<Found> {
  const numbers = connection.db.collection<SweptDoc>('numbers');
  const last = (await translated(() => numbers.findOne({ _id: 'swept' })))?.upTo ?? 0;
  for (const next of [nextBytes, nextLarge])
    for (let after = 0; ; ) {
      const found = await translated(() => next(connection, after, last));
      if (found.length === 0) break;
      after = found.at(-1)!;
      const known = await translated(() => knownAmong(connection, found));
      for (const id of found) if (!known.has(id)) yield { flaw: await translated(() => orphanOctets(connection, id)) };
    }
}

/** The next ids that have octets of the one kind, and of the other. */
async function nextBytes({ db }: Connection, after: number, last: number): Promise<number[]> {
  const docs = db
    .collection<{ _id: number }>('bytes')
    .find({ _id: { $gt: after, $lte: last } }, { projection: { _id: 1 } })
    .sort({ _id: 1 })
    .limit(batchSize);
  return (await docs.toArray()).map(({ _id }) => _id);
}

async function nextLarge(connection: Connection, after: number, last: number): Promise<number[]> {
  const chunk = await largeChunks(connection)
    .find({ files_id: { $gt: after, $lte: last } }, { projection: { _id: 0, files_id: 1 } })
    .sort({ files_id: 1, n: 1 })
    .limit(1)
    .next();
  return chunk ? [chunk.files_id] : [];
}

async function knownAmong(connection: Connection, ids: readonly number[]): Promise<ReadonlySet<number>> {
  const wanted = { $in: [...ids] };
  const [messages, uploads, entries] = await Promise.all([
    connection
      .collection('messages')
      .find({ _id: wanted }, { projection: { _id: 1 } })
      .toArray(),
    connection.collection('uploads').find({ messageId: wanted }).toArray(),
    connection
      .collection('entries')
      .find({ messageId: wanted }, { projection: { _id: 0, messageId: 1 } })
      .toArray(),
  ]);
  return new Set([...messages.map(({ _id }) => _id), ...[...uploads, ...entries].map(({ messageId }) => messageId)]);
}

async function orphanOctets(connection: Connection, id: number): Promise<Flaw> {
  let size = 0;
  for (const most of [0, chunkSize + 1]) {
    if (size > 0) break;
    for await (const bytes of piecesOf(connection, { _id: id, size: most })) size += bytes.length;
  }
  return { kind: 'orphan-message', messageId: id as MessageId, size };
}

type Kept = Pick<MessageDoc, '_id' | 'size' | 'sha256' | 'bodySha256' | 'headerSize'>;
const keptFields = { size: 1, sha256: 1, bodySha256: 1, headerSize: 1 };

/** Reads and hashes all octets. */
export async function* damagedOctets(connection: Connection): AsyncGenerator<Found> {
  for (let after = 0; ; ) {
    const messages = await translated(() =>
      connection
        .collection('messages')
        .find({ _id: { $gt: after } }, { projection: keptFields })
        .sort({ _id: 1 })
        .limit(batchSize)
        .toArray(),
    );
    for (const message of messages) yield* await flawsOf(connection, message);
    if (messages.length < batchSize) return;
    after = messages.at(-1)!._id;
  }
}

function flawsOf(connection: Connection, message: Kept): Promise<readonly Found[]> {
  return translated(async () => {
    const has = await hashed(connection, message);
    if (has.size === message.size && has.sha256 === message.sha256) return [];
    const messageId = message._id as MessageId;
    const entries = await connection.collection('entries').find({ messageId }).sort({ _id: 1 }).toArray();
    if (has.size === 0 && message.size > 0) {
      const appended = { messageId, entryId: { $exists: false }, state: { $in: [...unfinished] } };
      const open = await connection.collection('jobs').find(appended).toArray();
      return [
        ...entries
          .filter(({ state }) => state !== 'expired')
          .map(
            ({ _id }): Found => ({
              flaw: { kind: 'entry-without-bytes', entryId: _id as EntryId, messageId },
            }),
          ),
        ...open.map(({ _id }): Found => ({ flaw: { kind: 'job-without-entry', key: _id } })),
      ];
    }
    // Nobody's: given up meanwhile, or an orphan, which was told.
    if (
      entries.length === 0 &&
      !(await connection.collection('jobs').findOne({ messageId, entryId: { $exists: false } }))
    )
      return [];
    const what = has.size !== message.size ? 'size' : has.bodySha256 !== message.bodySha256 ? 'body' : 'hash';
    const entryIds = entries.map(({ _id }) => _id as EntryId);
    return [{ flaw: { kind: 'damaged', messageId, entryIds, what }, sha256: has.sha256 }];
  });
}

async function hashed(connection: Connection, message: Kept) {
  const whole = createHash('sha256');
  const body = createHash('sha256');
  let size = 0;
  for await (const bytes of piecesOf(connection, message)) {
    whole.update(bytes);
    body.update(bytes.subarray(Math.max(0, message.headerSize - size)));
    size += bytes.length;
  }
  return { size, sha256: whole.digest('hex'), bodySha256: body.digest('hex') };
}

/** All octets that are there, also those that follow a gap. */
async function* piecesOf(
  connection: Connection,
  { _id, size }: Pick<Kept, '_id' | 'size'>,
): AsyncGenerator<Uint8Array> {
  if (size <= chunkSize) {
    const found = await connection.collection('bytes').findOne({ _id });
    if (found) yield octetsOf(found.bytes);
    return;
  }
  const chunks = largeChunks(connection).find({ files_id: _id }, { batchSize: 16 }).sort({ n: 1 });
  for await (const { data } of chunks) yield octetsOf(data);
}
