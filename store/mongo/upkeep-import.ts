/**
 * Filling a store with the records of another one. The mark in `settings` stands from the first step to the last, so that
 * nobody opens the store in between. A message's document is written after all its octets, so it says that they are there;
 * everything else is written anew by each try.
 */
import { isDeepStrictEqual } from 'node:util';
import { Binary, ObjectId } from 'mongodb';
import { StoreRefused } from '../errors.ts';
import type { MessageId } from '../model.ts';
import type { Import } from '../port.ts';
import type { FactRecord, MessageRecord, NumbersRecord } from '../records.ts';
import type { Connection } from './connect.ts';
import type { Documents, DropDoc, MessageDoc, MessageIdsDoc } from './documents.ts';
import { translated } from './fault.ts';
import { awaitInventory } from './inventories.ts';
import { chunkSize, largeChunks } from './messages.ts';
import type { Queue } from './queue.ts';
import { documentOf, importMark, type PlainKind, recordOf } from './upkeep-records.ts';

/** Emptied by each try. */
const facts = [
  ...['drops', 'jobs', 'entries', 'trainings', 'changes', 'tops', 'repeats', 'accounts', 'notices', 'settings'],
  ...['helpTexts', 'trainingLines', 'inventories', 'uninventoried'],
] as const;
const octets = ['messages', 'bytes', 'uploads', 'large.files', 'large.chunks'];

/** @throws StoreRefused  it is neither empty nor an import that was begun */
export async function beginImport(connection: Connection, queue: Queue): Promise<Import> {
  const { db } = connection;
  const isMarked = (await connection.collection('settings').findOne({ _id: importMark })) !== null;
  if (!isMarked) {
    for (const name of [...octets, ...facts])
      if ((await db.collection(name).findOne({}, { projection: { _id: 1 } })) !== null)
        throw new StoreRefused('This store is not empty; only a new one can be filled, give it another place');
    await connection.collection('settings').insertOne({ _id: importMark, value: new Binary() });
  }
  const keepMark = { _id: { $ne: importMark as never } };
  for (const name of [...facts, 'uploads']) await db.collection(name).deleteMany(name === 'settings' ? keepMark : {});
  await connection
    .collection('numbers')
    .updateOne({ _id: 'numbers' }, { $set: { uid: 0, modSeq: 0, job: 0, trimmed: 0 } });
  return new MongoImport(connection, queue, await lastOf(connection));
}

/** The highest id of which an earlier try left something. */
async function lastOf(connection: Connection): Promise<number> {
  const [message] = await connection.collection('messages').find({}).sort({ _id: -1 }).limit(1).toArray();
  const [bytes] = await connection
    .collection('bytes')
    .find({}, { projection: { _id: 1 } })
    .sort({ _id: -1 })
    .limit(1)
    .toArray();
  const [chunk] = await largeChunks(connection)
    .find({}, { projection: { files_id: 1 } })
    .sort({ files_id: -1, n: -1 })
    .limit(1)
    .toArray();
  return Math.max(message?._id ?? 0, bytes?._id ?? 0, chunk?.files_id ?? 0);
}

class MongoImport implements Import {
  readonly #connection: Connection;
  readonly #queue: Queue;
  readonly #lastLeft: number;
  #last = 0;

  constructor(connection: Connection, queue: Queue, lastLeft: number) {
    this.#connection = connection;
    this.#queue = queue;
    this.#lastLeft = lastLeft;
  }

  message(record: MessageRecord, source: () => AsyncIterable<Uint8Array>): Promise<'kept' | 'there'> {
    return translated(() => this.#message(record, source));
  }

  async #message(record: MessageRecord, source: () => AsyncIterable<Uint8Array>): Promise<'kept' | 'there'> {
    const { id } = record;
    const before = this.#last;
    if (id <= before) throw new StoreRefused(`Message ${id} came after message ${before}`);
    this.#last = id;
    await this.#prune(before, id);
    const document = documentOf(record, new Map()) as unknown as MessageDoc;
    if (id <= this.#lastLeft) {
      const left = await this.#connection.collection('messages').findOne({ _id: id });
      if (left && isDeepStrictEqual(recordOf('messages', left), recordOf('messages', document))) {
        await awaitInventory(this.#connection, id);
        return 'there';
      }
      await this.#prune(id - 1, id + 1);
    }
    await this.#octets(record, source());
    await this.#connection.collection('messages').insertOne(document);
    await awaitInventory(this.#connection, id);
    return 'kept';
  }

  /** Removes what an earlier try left between two ids. */
  async #prune(after: number, before: number): Promise<void> {
    if (after >= this.#lastLeft || before - after < 2) return;
    const between = { $gt: after, $lt: before };
    const { db } = this.#connection;
    await this.#connection.collection('messages').deleteMany({ _id: between });
    await this.#connection.collection('bytes').deleteMany({ _id: between });
    await largeChunks(this.#connection).deleteMany({ files_id: between });
    await db.collection<{ _id: number }>('large.files').deleteMany({ _id: between });
  }

  /** As put.ts writes them: small ones in one document, large ones in pieces as they come. */
  async #octets({ id, size }: MessageRecord, source: AsyncIterable<Uint8Array>): Promise<void> {
    const isLarge = size > chunkSize;
    let chunk = Buffer.alloc(Math.min(size, chunkSize));
    let filled = 0;
    let found = 0;
    let n = 0;
    const write = async (): Promise<void> => {
      const data = new Binary(chunk.subarray(0, filled));
      await largeChunks(this.#connection).insertOne({ _id: new ObjectId(), files_id: id, n, data });
      n += 1;
      filled = 0;
      chunk = Buffer.alloc(chunkSize);
    };
    for await (const piece of source) {
      found += piece.length;
      if (found > size) break;
      for (let from = 0; from < piece.length; ) {
        const part = piece.subarray(from, from + chunk.length - filled);
        chunk.set(part, filled);
        filled += part.length;
        from += part.length;
        if (isLarge && filled === chunkSize) await write();
      }
    }
    if (found !== size) throw notWhole(id, size, found);
    if (!isLarge) {
      await this.#connection.collection('bytes').insertOne({ _id: id, bytes: new Binary(chunk) });
      return;
    }
    if (filled > 0) await write();
    const file = { _id: id as number, length: size, chunkSize, uploadDate: new Date(), filename: String(id) };
    await this.#connection.db.collection<{ _id: number }>('large.files').insertOne(file);
  }

  write(records: readonly FactRecord[]): Promise<void> {
    return translated(async () => {
      for (let at = 0; at < records.length; ) {
        const { kind } = records[at]!;
        let end = at + 1;
        while (records[end]?.kind === kind) end += 1;
        const same = records.slice(at, end);
        if (kind === 'numbers') await this.#numbers(same[0] as NumbersRecord);
        else await this.#facts(kind, same as readonly Exclude<FactRecord, NumbersRecord>[]);
        at = end;
      }
    });
  }

  async #facts(kind: PlainKind, records: readonly Exclude<FactRecord, NumbersRecord>[]): Promise<void> {
    const named = new Set<string>();
    for (const record of records)
      if (record.kind === 'entries') for (const { dropId } of record.stays) if (dropId !== undefined) named.add(dropId);
    const drops = new Map<string, DropDoc>();
    if (named.size > 0)
      for await (const drop of this.#connection.collection('drops').find({ _id: { $in: [...named] } }))
        drops.set(drop._id, drop);
    const documents = records.map((record) => documentOf(record, drops)) as unknown as Documents[PlainKind][];
    await this.#connection.db.collection<{ _id: number }>(kind).insertMany(documents as never);
    if (kind === 'inventories')
      await this.#connection
        .collection('uninventoried')
        .deleteMany({ _id: { $in: documents.map((document) => document._id as number) } });
  }

  async #numbers(record: NumbersRecord): Promise<void> {
    const { uidValidity, lastUid: uid, lastModSeq: modSeq, lastMessageId, trimmedModSeq: trimmed } = record;
    const [last] = await this.#connection.collection('jobs').find({}).sort({ order: -1 }).limit(1).toArray();
    const [line] = await this.#connection.collection('trainingLines').find({}).sort({ _id: -1 }).limit(1).toArray();
    await this.#connection.db
      .collection<MessageIdsDoc>('numbers')
      .updateOne({ _id: 'messageIds' }, { $set: { last: lastMessageId, imported: lastMessageId } }, { upsert: true });
    await this.#connection
      .collection('numbers')
      .updateOne(
        { _id: 'numbers' },
        { $set: { uidValidity, uid, modSeq, trimmed, job: Math.max(last?.order ?? 0, line?._id ?? 0) } },
      );
  }

  async finish({ uidValidity }: { readonly uidValidity?: number } = {}): Promise<void> {
    await translated(() => this.#prune(this.#last, Number.MAX_SAFE_INTEGER));
    await this.#queue.run('upkeep.finish', async (tx) => {
      const mark = await tx.findOne('settings', { _id: importMark });
      const numbers = await tx.findOne('numbers', { _id: 'numbers' });
      if (!mark || !numbers || numbers.modSeq === 0)
        throw new StoreRefused('Nothing was written that could be finished');
      if (uidValidity !== undefined)
        tx.write('numbers', { updateOne: { filter: { _id: 'numbers' }, update: { $set: { uidValidity } } } });
      tx.write('settings', { deleteOne: { filter: { _id: importMark } } });
    });
  }
}

const notWhole = (id: MessageId, size: number, found: number): StoreRefused =>
  new StoreRefused(
    `Message ${id} was to have ${size} octets, and there are ${found} of it; "store check" on where it comes from says more`,
  );
