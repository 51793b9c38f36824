/**
 * Octets on their way in and out. Never more than two pieces of a message are in memory: the source is asked for more only
 * when the piece before the last was written, and the consumer has one while the next is fetched.
 */
import { createHash, randomUUID } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import { Binary, ObjectId } from 'mongodb';
import { NotFound } from '../errors.ts';
import type { MessageId } from '../model.ts';
import type { Connection } from './connect.ts';
import { translated } from './fault.ts';
import { type BytesHandle, chunkSize, discardUpload, largeChunks, type MessageIds, octetsOf } from './messages.ts';

/** Named step: a piece of a large message is about to be written, or (`file`) what makes them one. */
const pieces = channel('lazaret:store.piece');

export async function putBytes(
  connection: Connection,
  ids: MessageIds,
  source: AsyncIterable<Uint8Array>,
): Promise<BytesHandle> {
  const token = randomUUID();
  const hash = createHash('sha256');
  let size = 0;
  let chunk = new Uint8Array(16 * 1024);
  let filled = 0;
  let large: LargeUpload | undefined;
  try {
    for await (const piece of source) {
      hash.update(piece);
      size += piece.length;
      for (let from = 0; from < piece.length; ) {
        if (filled === chunkSize) {
          // Only now it is known that there is more than this piece.
          large ??= await translated(() => LargeUpload.begin(connection, ids, token));
          await large.write(chunk);
          chunk = new Uint8Array(chunkSize);
          filled = 0;
        }
        const take = Math.min(piece.length - from, chunkSize - filled);
        if (filled + take > chunk.length) chunk = grown(chunk, filled, filled + take);
        chunk.set(piece.subarray(from, from + take), filled);
        filled += take;
        from += take;
      }
    }
    const sha256 = hash.digest('hex');
    const rest = chunk.subarray(0, filled);
    if (!large) return { token, size, sha256, inline: rest };
    await large.write(rest);
    await large.end(size);
    return { token, size, sha256 };
  } catch (error) {
    // Swept after a day if it stays.
    if (large) await large.settled().then(() => discardUpload(connection, token).catch(() => undefined));
    throw error;
  }
}

function grown(chunk: Uint8Array, filled: number, needed: number): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(Math.min(chunkSize, Math.max(needed, chunk.length * 2)));
  next.set(chunk.subarray(0, filled));
  return next;
}

/** A file of GridFS, piece by piece. */
class LargeUpload {
  readonly #connection: Connection;
  readonly #id: MessageId;
  #written = 0;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(connection: Connection, id: MessageId) {
    this.#connection = connection;
    this.#id = id;
  }

  /** The document of `uploads` comes first, so that nothing stays behind of which nobody knows. */
  static async begin(connection: Connection, ids: MessageIds, token: string): Promise<LargeUpload> {
    const messageId = await ids.take();
    await connection.collection('uploads').insertOne({ _id: token, messageId, beganAt: connection.clock.now });
    return new LargeUpload(connection, messageId);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writing;
    pieces.publish({ name: 'chunk' });
    const chunk = { _id: new ObjectId(), files_id: this.#id, n: this.#written, data: new Binary(bytes) };
    this.#written += 1;
    this.#writing = translated(() => largeChunks(this.#connection).insertOne(chunk));
    this.#writing.catch(() => undefined); // awaited before the next piece, or at the end
  }

  async end(length: number): Promise<void> {
    await this.#writing;
    pieces.publish({ name: 'file' });
    const file = { length, chunkSize, uploadDate: new Date(), filename: String(this.#id) };
    await translated(() =>
      this.#connection.db.collection<{ _id: number }>('large.files').insertOne({ _id: this.#id, ...file }),
    );
  }

  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }
}

export async function* readBytes(
  connection: Connection,
  id: MessageId,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  const gone = () => new NotFound(`The bytes of message ${id} are gone`);
  const known = await translated(() =>
    connection.collection('messages').findOne({ _id: id }, { projection: { size: 1 } }),
  );
  if (!known) throw gone();
  const end = Math.min(known.size, offset + length);
  const fetch = (at: number): Promise<Uint8Array | undefined> => {
    const piece = translated(() => readPiece(connection, id, known.size, Math.floor(at / chunkSize)));
    piece.catch(() => undefined); // awaited below, unless the consumer stops before
    return piece;
  };
  let next: Promise<Uint8Array | undefined> | undefined = offset < end ? fetch(offset) : undefined;
  for (let at = offset; next; ) {
    const piece: Uint8Array | undefined = await next;
    const from = at % chunkSize;
    if (!piece || piece.length <= from) throw gone();
    const octets = piece.subarray(from, Math.min(piece.length, from + end - at));
    at += octets.length;
    next = at < end ? fetch(at) : undefined;
    yield octets;
  }
}

async function readPiece(
  connection: Connection,
  id: MessageId,
  size: number,
  n: number,
): Promise<Uint8Array | undefined> {
  if (size <= chunkSize) {
    const found = await connection.collection('bytes').findOne({ _id: id });
    return found ? octetsOf(found.bytes) : undefined;
  }
  const found = await largeChunks(connection).findOne({ files_id: id, n });
  return found ? octetsOf(found.data) : undefined;
}
