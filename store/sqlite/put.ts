/**
 * Bytes on their way in and out, on the main thread. Never more than two chunks of a message are in memory: the source is
 * asked for more only when the chunk before the last was written.
 */
import { createHash, randomUUID } from 'node:crypto';
import { NotFound } from '../errors.ts';
import type { MessageId } from '../model.ts';
import { type BytesHandle, chunkSize, type Piece } from './messages.ts';

export interface Upload {
  /** Writes a chunk; the buffer is handed over, and comes back. Chunks of one token are written in the order of the calls. */
  chunk(token: string, number: number, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  discard(token: string): Promise<void>;
}

export async function putBytes(source: AsyncIterable<Uint8Array>, upload: Upload): Promise<BytesHandle> {
  const token = randomUUID();
  const hash = createHash('sha256');
  let size = 0;
  let written = 0;
  let chunk = new Uint8Array(16 * 1024);
  let filled = 0;
  let writing: Promise<Uint8Array<ArrayBuffer>> | undefined;

  /** Hands the full chunk over and takes back the one before, once it was written. */
  const write = async (): Promise<void> => {
    const next = writing ? await writing : new Uint8Array(chunkSize);
    writing = upload.chunk(token, written, filled === chunkSize ? chunk : chunk.slice(0, filled));
    writing.catch(() => undefined); // awaited before the next chunk, or at the end
    chunk = next;
    written += 1;
    filled = 0;
  };

  try {
    for await (const piece of source) {
      hash.update(piece);
      size += piece.length;
      for (let from = 0; from < piece.length; ) {
        if (filled === chunkSize) await write(); // only now it is known that there is more than this chunk
        const take = Math.min(piece.length - from, chunkSize - filled);
        if (filled + take > chunk.length) chunk = grown(chunk, filled, filled + take);
        chunk.set(piece.subarray(from, from + take), filled);
        filled += take;
        from += take;
      }
    }
    const sha256 = hash.digest('hex');
    if (written === 0) return { token, size, sha256, inline: chunk.subarray(0, filled) };
    await write();
    await writing;
    return { token, size, sha256 };
  } catch (error) {
    if (written > 0) {
      await writing?.catch(() => undefined);
      await upload.discard(token).catch(() => undefined); // swept after a day if it stays
    }
    throw error;
  }
}

function grown(chunk: Uint8Array, filled: number, needed: number): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(Math.min(chunkSize, Math.max(needed, chunk.length * 2)));
  next.set(chunk.subarray(0, filled));
  return next;
}

/** Reads piece by piece, the next one while the consumer has the one before. */
export async function* readBytes(
  piece: (offset: number, length: number) => Promise<Piece | undefined>,
  id: MessageId,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  const fetchAt = (at: number): Promise<Piece | undefined> => {
    const next = piece(at, Math.min(offset + length - at, chunkSize - (at % chunkSize)));
    next.catch(() => undefined); // awaited below, unless the consumer stops before
    return next;
  };
  let at = offset;
  let next: Promise<Piece | undefined> | undefined = fetchAt(at);
  while (next) {
    const found: Piece | undefined = await next;
    if (!found) throw new NotFound(`The bytes of message ${id} are gone`);
    at += found.bytes.length;
    const more: boolean = found.bytes.length > 0 && at < Math.min(found.size, offset + length);
    next = more ? fetchAt(at) : undefined;
    if (found.bytes.length > 0) yield found.bytes;
  }
}
