/** Export, import, check and optimize as the main thread has them: long readings on threads of their own, piece by piece. */
import { StoreRefused, StoreUnavailable } from '../errors.ts';
import type { MessageId } from '../model.ts';
import type { Import, Upkeep } from '../port.ts';
import type { Finding, MessageRecord, RecordKind, StoreRecord } from '../records.ts';
import type { ThreadOptions } from './connect.ts';
import { chunkSize } from './messages.ts';
import type { AnswerOf, ArgsOf } from './protocol.ts';
import type { ReaderMethods } from './reader-methods.ts';
import { Thread } from './thread.ts';
import type { Found } from './upkeep-check.ts';
import type { WriterMethods } from './writer-methods.ts';

export interface Calls {
  write<M extends keyof WriterMethods>(
    method: M,
    ...args: ArgsOf<WriterMethods[M]>
  ): Promise<AnswerOf<WriterMethods[M]>>;
  read<M extends keyof ReaderMethods>(
    method: M,
    ...args: ArgsOf<ReaderMethods[M]>
  ): Promise<AnswerOf<ReaderMethods[M]>>;
}

export class SqliteUpkeep implements Upkeep {
  readonly #options: ThreadOptions;
  readonly #calls: Calls;
  readonly #threads = new Set<Thread>();
  #closed = false;

  constructor(options: ThreadOptions, calls: Calls) {
    this.#options = options;
    this.#calls = calls;
  }

  count(): ReturnType<Upkeep['count']> {
    return this.#calls.read('upkeep.count');
  }

  export(kinds?: readonly RecordKind[]): AsyncIterable<StoreRecord> {
    return this.#pieces<StoreRecord>('export', kinds);
  }

  async beginImport(): Promise<Import> {
    await this.#calls.write('upkeep.beginImport');
    return new SqliteImport(this.#calls);
  }

  async *check({ repair }: { readonly repair: boolean }): AsyncIterable<Finding> {
    for await (const found of this.#pieces<Found>('check'))
      yield { ...found.flaw, mended: repair && (await this.#calls.write('upkeep.mend', found)) };
  }

  async optimize(options: { readonly alone: boolean }): Promise<readonly string[]> {
    return this.#onThread((thread) => thread.call<readonly string[]>('optimize', [options.alone]));
  }

  /** Those that are reading find the store closed at their next piece. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#threads].map((thread) => thread.close()));
  }

  async *#pieces<T>(method: string, ...args: readonly unknown[]): AsyncGenerator<T> {
    const thread = this.#begin();
    try {
      for (let done = false; !done; ) {
        const piece = await thread.call<{ readonly items: readonly T[]; readonly done: boolean }>(method, args);
        yield* piece.items;
        done = piece.done;
      }
    } finally {
      await this.#end(thread);
    }
  }

  async #onThread<T>(use: (thread: Thread) => Promise<T>): Promise<T> {
    const thread = this.#begin();
    try {
      return await use(thread);
    } finally {
      await this.#end(thread);
    }
  }

  #begin(): Thread {
    if (this.#closed) throw new StoreUnavailable('The store is closed');
    const thread = new Thread('#store/sqlite/upkeep-thread', this.#options, () => undefined);
    this.#threads.add(thread);
    return thread;
  }

  async #end(thread: Thread): Promise<void> {
    await thread.close();
    this.#threads.delete(thread);
  }
}

class SqliteImport implements Import {
  readonly #calls: Calls;
  #last = 0;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  async message(record: MessageRecord, octets: () => AsyncIterable<Uint8Array>): Promise<'kept' | 'there'> {
    const { envelope: _, bodyStructure: __, body: ___, commonFields: ____, parts: _____, ...known } = record;
    const { id } = record;
    const before = this.#last;
    if (id <= before) throw new StoreRefused(`Message ${id} came after message ${before}`);
    this.#last = id;
    if (id - before > 1) await this.#calls.write('upkeep.prune', before, id);
    if (await this.#calls.read('upkeep.isThere', known)) return 'there';
    await this.#calls.write('upkeep.importMessage', record, await this.#chunks(id, octets()));
    return 'kept';
  }

  /** Writes the octets in chunks as they come; answers how many chunks. */
  async #chunks(id: MessageId, octets: AsyncIterable<Uint8Array>): Promise<number> {
    let pieces: Uint8Array[] = [];
    let filled = 0;
    let written = 0;
    const write = async (): Promise<void> => {
      await this.#calls.write('upkeep.importChunk', id, written, Buffer.concat(pieces, filled));
      written += 1;
      pieces = [];
      filled = 0;
    };
    for await (const piece of octets)
      for (let from = 0; from < piece.length; ) {
        const part = piece.subarray(from, from + chunkSize - filled);
        pieces.push(part);
        filled += part.length;
        from += part.length;
        if (filled === chunkSize) await write();
      }
    if (filled > 0) await write();
    return written;
  }

  write(records: Parameters<Import['write']>[0]): Promise<void> {
    return this.#calls.write('upkeep.write', records);
  }

  async finish(options: { readonly uidValidity?: number } = {}): Promise<void> {
    await this.#calls.write('upkeep.prune', this.#last, Number.MAX_SAFE_INTEGER);
    await this.#calls.write('upkeep.finish', options.uidValidity);
  }
}
