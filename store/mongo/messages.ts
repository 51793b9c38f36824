/**
 * Messages as MongoDB keeps them: what is known of one in `messages`; small octets in `bytes`, large ones in GridFS. Both are
 * written before the transaction that makes them somebody's: what none names in the end is swept. Ids come in blocks, so
 * that no transaction waits for them; those that a process does not need are never used.
 */
import { Binary, type Collection } from 'mongodb';
import { NotFound } from '../errors.ts';
import type { Message, MessageId, SummarySection } from '../model.ts';
import type { NewMessage, PackedSections, StoredBytes } from '../port.ts';
import type { Connection } from './connect.ts';
import type { MessageDoc, MessageIdsDoc } from './documents.ts';
import { translated } from './fault.ts';
import { awaitInventory } from './inventories.ts';
import { messageFields, messageOf } from './nouns.ts';
import type { Snapshot, Tx } from './tx.ts';

/** Octets up to this many are one document; larger ones are pieces of this size in GridFS. */
export const chunkSize = 256 * 1024;

/** What `put` answers: small octets stay in it until they are admitted. */
export interface BytesHandle extends StoredBytes {
  readonly inline?: Uint8Array;
}

/** A message that lies in the store, but is nobody's yet. */
export interface KeptMessage {
  readonly id: MessageId;
  readonly size: number;
  readonly sha256: string;
  /** Of large octets: the document of `uploads` that the transaction has to remove. */
  readonly upload?: string;
}

export const octetsOf = (binary: Binary): Uint8Array => binary.buffer.subarray(0, binary.position);

// --------------------------------------------------------------------------------------------------------------- ids

const blockSize = 1000;
/** A sweep goes by ids, and may believe that those below a message of yesterday are from yesterday, too. */
const blockMs = 3_600_000;

export class MessageIds {
  readonly #connection: Connection;
  #next = 1;
  #last = 0;
  #until = 0;
  #fetching: Promise<void> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async take(): Promise<MessageId> {
    while (this.#next > this.#last || performance.now() > this.#until) {
      this.#fetching ??= this.#fetch().finally(() => {
        this.#fetching = undefined;
      });
      await this.#fetching;
    }
    this.#next += 1;
    return (this.#next - 1) as MessageId;
  }

  async #fetch(): Promise<void> {
    const until = performance.now() + blockMs;
    const given = await this.#connection.db
      .collection<MessageIdsDoc>('numbers')
      .findOneAndUpdate(
        { _id: 'messageIds' },
        { $inc: { last: blockSize } },
        { upsert: true, returnDocument: 'after' },
      );
    this.#last = given!.last;
    this.#next = this.#last - blockSize + 1;
    this.#until = until;
  }
}

// ----------------------------------------------------------------------------------------------------------- writing

/** More in one insert would keep the first of them waiting. */
const maxTogether = 128;
const maxBytes = 8 * 1024 * 1024;
/** Where a write takes longer, as after an election, nobody takes a turn at the transactions before it is done. */
const slowMs = 500;

/** A message on its way into the store, under the id that it has there. */
export interface Arriving {
  readonly message: KeptMessage;
  /** Resolves when it is on the disks: no transaction may name it before. */
  readonly written: Promise<void>;
}

interface Waiting {
  readonly id: MessageId;
  readonly message: NewMessage;
  readonly octets: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes what arrives, many at once, beside the transactions. */
export class Arrivals {
  readonly #connection: Connection;
  readonly #ids: MessageIds;
  readonly #waiting: Waiting[] = [];
  #running = false;
  #writingSince: number | undefined;
  #lastMs = 0;

  constructor(connection: Connection, ids: MessageIds) {
    this.#connection = connection;
    this.#ids = ids;
  }

  /** @throws NotFound  the octets were given up, or admitted already */
  async keep(message: NewMessage & { readonly bytes: BytesHandle }): Promise<Arriving> {
    const { token, size, sha256, inline } = message.bytes;
    if (!inline) {
      const id = await translated(() => this.#keepLarge(token, message));
      return { message: { id, size, sha256, upload: token }, written: Promise.resolve() };
    }
    const id = await translated(() => this.#ids.take());
    const written = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ id, message, octets: inline, resolve, reject });
      if (!this.#running) void this.#runAll();
    });
    written.catch(() => undefined); // awaited before the commit, if it comes to one
    if (this.#isSlow) await written;
    return { message: { id, size, sha256 }, written };
  }

  get #isSlow(): boolean {
    const ms = this.#writingSince === undefined ? 0 : performance.now() - this.#writingSince;
    return Math.max(ms, this.#lastMs) > slowMs;
  }

  async #keepLarge(token: string, message: NewMessage): Promise<MessageId> {
    const upload = await this.#connection.collection('uploads').findOne({ _id: token });
    if (!upload) throw new NotFound(gone);
    const id = upload.messageId as MessageId;
    // Perhaps not for the first time: an earlier admission may have failed.
    await this.#connection
      .collection('messages')
      .replaceOne({ _id: id }, documentOf(id, message, this.#connection.clock.now), { upsert: true });
    await awaitInventory(this.#connection, id);
    return id;
  }

  async #runAll(): Promise<void> {
    this.#running = true;
    await Promise.resolve(); // whoever calls in the same turn comes along
    while (this.#waiting.length > 0) {
      let bytes = 0;
      let count = 0;
      while (count < this.#waiting.length && count < maxTogether && bytes < maxBytes) {
        bytes += this.#waiting[count]!.octets.length;
        count += 1;
      }
      const taken = this.#waiting.splice(0, count);
      const began = performance.now();
      this.#writingSince = began;
      try {
        await translated(() => this.#write(taken));
        for (const { resolve } of taken) resolve();
      } catch (error) {
        for (const { reject } of taken) reject(error);
      }
      this.#lastMs = performance.now() - began;
      this.#writingSince = undefined;
    }
    this.#running = false;
  }

  async #write(taken: readonly Waiting[]): Promise<void> {
    const { now } = this.#connection.clock;
    const options = { ordered: false };
    await Promise.all([
      this.#connection.collection('messages').insertMany(
        taken.map(({ id, message }) => documentOf(id, message, now)),
        options,
      ),
      this.#connection.collection('bytes').insertMany(
        taken.map(({ id, octets }) => ({ _id: id, bytes: new Binary(octets) })),
        options,
      ),
      this.#connection.collection('uninventoried').insertMany(
        taken.map(({ id }) => ({ _id: id })),
        options,
      ),
    ]);
  }
}

const gone = 'The bytes of this message were given up, or admitted already';

function documentOf(_id: MessageId, message: NewMessage, receivedAt: number): MessageDoc {
  const { bytes, summary, filterBlock, bodySha256, headerSize, sender, params } = message;
  const { subject, from, envelope, bodyStructure, body, commonFields, parts } = summary;
  return {
    _id,
    size: bytes.size,
    sha256: bytes.sha256,
    ...{ bodySha256, headerSize, sender, params },
    filterBlock: new Binary(filterBlock),
    ...{ subject, from, receivedAt },
    envelope: new Binary(envelope),
    bodyStructure: new Binary(bodyStructure),
    body: new Binary(body),
    commonFields: new Binary(commonFields),
    parts: new Binary(parts),
  };
}

/** Those of the messages whose large octets are still to be had; in the transaction that makes them somebody's. */
export async function openUploads(tx: Tx, messages: readonly KeptMessage[]): Promise<ReadonlySet<string>> {
  const tokens = messages.flatMap(({ upload }) => (upload === undefined ? [] : [upload]));
  if (tokens.length === 0) return new Set();
  return new Set((await tx.find('uploads', { _id: { $in: tokens } })).map(({ _id }) => _id));
}

/** The first step of a command that names this message. @throws NotFound */
export function checkUpload(open: ReadonlySet<string>, { upload }: KeptMessage): void {
  if (upload !== undefined && !open.has(upload)) throw new NotFound(gone);
}

/** The message is somebody's from now on. */
export function endUpload(tx: Tx, { upload }: KeptMessage): void {
  if (upload !== undefined) tx.write('uploads', { deleteOne: { filter: { _id: upload } } });
}

/** Removes octets that are nobody's and will not be. Whoever takes the document of `uploads` away may do it. */
export async function discardUpload(connection: Connection, token: string): Promise<void> {
  const upload = await connection.collection('uploads').findOneAndDelete({ _id: token });
  if (upload) await removeMessages(connection, [upload.messageId]);
}

/** A message that turned out not to be needed. */
export async function giveUp(connection: Connection, { id, upload }: KeptMessage): Promise<void> {
  if (upload === undefined) await removeMessages(connection, [id]);
  else await discardUpload(connection, upload);
}

/** Octets first: what is known of a message leads to them. */
export async function removeMessages(connection: Connection, ids: readonly number[]): Promise<void> {
  const filter = { _id: { $in: [...ids] } };
  await Promise.all([
    connection.collection('bytes').deleteMany(filter),
    connection.collection('uninventoried').deleteMany(filter),
    connection.collection('inventories').deleteMany(filter),
    connection.collection('trainingLines').deleteMany({ messageId: { $in: [...ids] } }),
    largeChunks(connection).deleteMany({ files_id: { $in: [...ids] } }),
    connection.db.collection<{ _id: number }>('large.files').deleteMany(filter),
  ]);
  await connection.collection('messages').deleteMany(filter);
}

/** https://github.com/mongodb/specifications/blob/master/source/gridfs/gridfs-spec.md */
export interface ChunkDoc {
  readonly files_id: number;
  readonly n: number;
  readonly data: Binary;
}
export const largeChunks = (connection: Connection): Collection<ChunkDoc> =>
  connection.db.collection<ChunkDoc>('large.chunks');

// ----------------------------------------------------------------------------------------------------------- reading

export async function getMessage(snapshot: Snapshot, id: MessageId): Promise<Message | undefined> {
  const found = await snapshot.findOne('messages', { _id: id }, { projection: messageFields });
  return found && messageOf(found);
}

export async function filterBlock(snapshot: Snapshot, id: MessageId): Promise<Uint8Array> {
  const found = await snapshot.findOne('messages', { _id: id }, { projection: { filterBlock: 1 } });
  return found ? octetsOf(found.filterBlock) : new Uint8Array();
}

export async function summaries(
  snapshot: Snapshot,
  ids: readonly MessageId[],
  sections: readonly SummarySection[],
): Promise<PackedSections> {
  const projection = Object.fromEntries(sections.map((section) => [section, 1]));
  const found = await snapshot.find('messages', { _id: { $in: [...ids] } }, { projection: { _id: 1, ...projection } });
  const byId = new Map(found.map((doc) => [doc._id, doc]));
  const ends = new Uint32Array(ids.length * sections.length);
  const pieces: Uint8Array[] = [];
  let end = 0;
  let at = 0;
  for (const id of ids) {
    const doc = byId.get(id);
    for (const section of sections) {
      const piece = doc?.[section] && octetsOf(doc[section]);
      if (piece) pieces.push(piece);
      end += piece?.length ?? 0;
      ends[at] = end;
      at += 1;
    }
  }
  return { bytes: Buffer.concat(pieces, end), ends };
}
