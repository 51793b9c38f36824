/**
 * A backup's file. Version 2; version 1 is the same without trainingLines and inventories:
 *
 *     lazaret-backup 2 LF
 *     {"kind":"messages","id":1,"size":4711,…} LF     one line of JSON a record, in the order of an export
 *     4711 octets LF                                  of a message its octets follow
 *     …
 *     {"kind":"end","records":{"messages":1,…}} LF
 *     sha256 <hex> LF                                 of everything above
 *
 * Byte strings in JSON are base64. A file without its last line, or with another hash, is not whole and is never restored.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { MessageRecord, RecordKind, StoreRecord } from '#store/records';
import { Failure } from './verb.ts';

const magic = 'lazaret-backup ';
const version = 2;
const known: ReadonlySet<string> = new Set([`${magic}1`, `${magic}${version}`]);
/** Fields that are byte strings. */
const byteFields: Partial<Record<RecordKind, readonly string[]>> = {
  messages: ['filterBlock', 'envelope', 'bodyStructure', 'body', 'commonFields', 'parts'],
  settings: ['value'],
};

export type Counts = Partial<Record<RecordKind, number>>;

// ----------------------------------------------------------------------------------------------------------- writing

/** Written beside its place under another name, and there only when it is whole and on the disk. */
export class BackupWriter {
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  readonly counts: Counts = {};
  #waiting: Uint8Array[] = [];
  #octets = 0;

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  static async create(file: string): Promise<BackupWriter> {
    const handle = await open(temporary(file), 'w', 0o600).catch((error: NodeJS.ErrnoException) => {
      throw new Failure(`${file} cannot be written: ${error.code}`, { cause: error });
    });
    const writer = new BackupWriter(file, handle);
    await writer.#write(Buffer.from(`${magic}${version}\n`));
    return writer;
  }

  async record(record: StoreRecord, octets?: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#line(record, byteFields[record.kind] ?? []);
    this.counts[record.kind] = (this.counts[record.kind] ?? 0) + 1;
    if (record.kind !== 'messages' || !octets) return;
    let size = 0;
    for await (const piece of octets) {
      size += piece.length;
      await this.#write(piece);
    }
    if (size !== record.size)
      throw new Failure(`Message ${record.id} has ${size} octets instead of ${record.size}; "store check" says more`);
    await this.#write(Buffer.from('\n'));
  }

  async finish(): Promise<void> {
    await this.#write(Buffer.from(`${JSON.stringify({ kind: 'end', records: this.counts })}\n`));
    await this.#write(Buffer.from(`sha256 ${this.#hash.copy().digest('hex')}\n`));
    await this.#flush();
    await this.#handle.sync();
    await this.#handle.close();
    await rename(temporary(this.#file), this.#file);
    const folder = await open(dirname(this.#file), 'r');
    await folder.sync().finally(() => folder.close());
  }

  /** Nothing is left of it. */
  async giveUp(): Promise<void> {
    await this.#handle.close().catch(() => {}); // closed already, if it was the rename that failed
    await rm(temporary(this.#file), { force: true });
  }

  async #line(record: object, bytes: readonly string[]): Promise<void> {
    const text = JSON.stringify(record, (name, value: unknown) =>
      value instanceof Uint8Array && bytes.includes(name) ? Buffer.from(value).toString('base64') : value,
    );
    await this.#write(Buffer.from(`${text}\n`));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#waiting.push(bytes);
    this.#octets += bytes.length;
    if (this.#octets >= 1024 * 1024) await this.#flush();
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting, this.#octets);
    this.#waiting = [];
    this.#octets = 0;
    for (let at = 0; at < bytes.length; ) at += (await this.#handle.write(bytes, at)).bytesWritten;
  }
}

const temporary = (file: string): string => `${file}.unfinished`;

// ----------------------------------------------------------------------------------------------------------- reading

/** A record of the file; of a message, its octets have to be read before the next one is asked for, or they are skipped. */
export interface BackupItem {
  readonly record: StoreRecord;
  readonly octets: AsyncIterable<Uint8Array>;
}

/**
 * Reads it from beginning to end. What it yields is only to be trusted after a first time through that threw nothing.
 * @throws Failure  not a backup, of a newer program, or not whole
 */
export async function* readBackup(file: string): AsyncGenerator<BackupItem> {
  const source = new Source(file);
  try {
    const first = await source.line(64);
    if (!first.startsWith(magic)) throw new Failure(`${file} is no backup of Lazaret`);
    if (!known.has(first)) throw new Failure(`${file} was written by a newer program (${first}); restore it with that`);
    const counts: Counts = {};
    for (;;) {
      const value = parsed(await source.line(), file);
      if (value.kind === 'end') {
        await source.end(value as unknown as { records: Counts }, counts);
        return;
      }
      const record = value as unknown as StoreRecord;
      counts[record.kind] = (counts[record.kind] ?? 0) + 1;
      if (record.kind !== 'messages') yield { record, octets: none() };
      else {
        const octets = source.octets((record as MessageRecord).size);
        yield { record, octets };
        for await (const _ of octets); // what was not read
        if ((await source.line(0)) !== '') throw source.notWhole();
      }
    }
  } finally {
    source.close();
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}

function parsed(line: string, file: string): { kind: string } {
  let value: Record<string, unknown> & { kind: RecordKind };
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new Failure(`${file} is not whole: a line makes no sense; nothing was restored of it`, { cause: error });
  }
  for (const field of byteFields[value.kind] ?? [])
    value[field] = new Uint8Array(Buffer.from(String(value[field]), 'base64'));
  return value;
}

class Source {
  readonly #file: string;
  readonly #stream: AsyncIterator<Buffer> & { return?(): Promise<unknown> };
  readonly #hash: Hash = createHash('sha256');
  #buffer: Buffer = Buffer.alloc(0);

  constructor(file: string) {
    this.#file = file;
    this.#stream = createReadStream(file, { highWaterMark: 256 * 1024 })[Symbol.asyncIterator]();
  }

  notWhole(): Failure {
    return new Failure(`${this.#file} is not whole: it ends too early or was changed; nothing was restored of it`);
  }

  /** Without its end. */
  async line(most = Number.POSITIVE_INFINITY): Promise<string> {
    const bytes = await this.#lineBytes(most);
    this.#hash.update(bytes);
    return bytes.toString('utf8', 0, bytes.length - 1);
  }

  /** So many octets; each piece is there until the next one is asked for. Going on with it after a stop is possible. */
  octets(length: number): AsyncIterableIterator<Uint8Array> {
    let left = length;
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      if (left === 0) return { done: true, value: undefined };
      if (this.#buffer.length === 0 && !(await this.#more())) throw this.notWhole();
      const piece = this.#buffer.subarray(0, left);
      this.#buffer = this.#buffer.subarray(piece.length);
      left -= piece.length;
      this.#hash.update(piece);
      return { done: false, value: piece };
    };
    const iterator: AsyncIterableIterator<Uint8Array> = { next, [Symbol.asyncIterator]: () => iterator };
    return iterator;
  }

  /** The line with the hash, and nothing behind it. */
  async end({ records }: { readonly records: Counts }, counts: Counts): Promise<void> {
    const hash = this.#hash.digest('hex');
    const last = await this.#lineBytes();
    if (last.toString() !== `sha256 ${hash}\n` || this.#buffer.length > 0 || (await this.#more()))
      throw this.notWhole();
    for (const kind of Object.keys({ ...records, ...counts }) as RecordKind[])
      if (records[kind] !== counts[kind]) throw this.notWhole();
  }

  close(): void {
    this.#stream.return?.().catch(() => {});
  }

  async #lineBytes(most = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    for (;;) {
      const end = this.#buffer.indexOf(10);
      const piece = end < 0 ? this.#buffer : this.#buffer.subarray(0, end + 1);
      pieces.push(piece);
      length += piece.length;
      this.#buffer = this.#buffer.subarray(piece.length);
      if (end >= 0) return Buffer.concat(pieces, length);
      if (length > most || !(await this.#more())) throw this.notWhole();
    }
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#stream.next().catch((error: NodeJS.ErrnoException) => {
      throw new Failure(`${this.#file} cannot be read: ${error.code}`, { cause: error });
    });
    if (!done) this.#buffer = value;
    return !done;
  }
}
