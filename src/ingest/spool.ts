/**
 * A message that has to be read more than once before it can be answered for: in a temporary file that has no name, so that
 * nothing is left of it whatever happens. Not durable, and need not be: nobody was told yet that it is kept.
 */
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Spool {
  readonly #file: FileHandle;
  size = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Takes all of it. `seen` is shown every piece. @throws what the source throws */
  static async of(source: AsyncIterable<Uint8Array>, seen: (piece: Uint8Array) => void): Promise<Spool> {
    const folder = await mkdtemp(join(tmpdir(), 'lazaret-'));
    let file: FileHandle;
    try {
      file = await open(join(folder, 'message'), 'wx+', 0o600);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const spool = new Spool(file);
    try {
      for await (const piece of source) {
        seen(piece);
        for (let at = 0; at < piece.length; )
          at += (await file.write(piece, at, piece.length - at, spool.size + at)).bytesWritten;
        spool.size += piece.length;
      }
      return spool;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async *read(from = 0, to = this.size): AsyncGenerator<Uint8Array, void> {
    for (let at = from; at < to; ) {
      const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(Math.min(64 * 1024, to - at)), 0, undefined, at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
