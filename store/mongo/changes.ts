/**
 * The change log: lines by mod-sequence, whole mod-sequences only; trimmed by age together with the stays that ended then.
 * And who wants to hear that it has grown.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ChangeStream } from 'mongodb';
import { StoreUnavailable } from '../errors.ts';
import type { Change, ModSeq } from '../model.ts';
import type { WatchOptions } from '../port.ts';
import type { Connection } from './connect.ts';
import type { ChangeDoc } from './documents.ts';
import type { ScanSnapshot, Snapshot, Tx } from './tx.ts';

export interface ChangesAnswer {
  readonly changes: readonly Change[];
  readonly end: ModSeq;
  readonly more: boolean;
  readonly lost: boolean;
}

export async function changesSince(snapshot: ScanSnapshot, since: ModSeq, limit: number): Promise<ChangesAnswer> {
  const log = await snapshot.findOne('numbers', { _id: 'numbers' });
  if (!log) throw new StoreUnavailable('The store was removed while it was in use');
  const last = log.modSeq as ModSeq;
  if (since < log.trimmed) return { changes: [], end: last, more: false, lost: true };
  // A primary that was just elected may for a moment not know all that most nodes have; nobody is led back.
  if (since >= last) return { changes: [], end: since, more: false, lost: false };
  const changes: Change[] = [];
  let end = since;
  const options = { sort: { _id: 1 }, limit: limit + 1 } as const;
  for await (const docs of snapshot.scan('changes', { _id: { $gt: since } }, options))
    for (const doc of docs) {
      // A mod-sequence that does not fit is left for the next answer, or is all of this one if there is no other.
      if (changes.length > 0 && changes.length + doc.lines.length > limit)
        return { changes, end, more: true, lost: false };
      changes.push(...linesOf(doc));
      end = doc._id as ModSeq;
    }
  return { changes, end: last, more: false, lost: false };
}

function linesOf({ _id, lines }: ChangeDoc): Change[] {
  return lines.map((line) => ({ modSeq: _id, ...line }) as Change);
}

export async function changesEnd(snapshot: Snapshot): Promise<ModSeq> {
  const log = await snapshot.findOne('numbers', { _id: 'numbers' }, { projection: { modSeq: 1 } });
  if (!log) throw new StoreUnavailable('The store was removed while it was in use');
  return log.modSeq as ModSeq;
}

/** Whether there are lines to trim: of the first one's age. */
export async function isLogOld(snapshot: Snapshot, olderThanMs: number): Promise<boolean> {
  const [first] = await snapshot.find('changes', {}, { sort: { _id: 1 }, limit: 1, projection: { at: 1 } });
  return first !== undefined && first.at < snapshot.now - olderThanMs;
}

/**
 * Takes lines older than `olderThanMs` off the log, at most `limit` mod-sequences, and the stays that ended no later.
 * Answers whether there are more.
 */
export async function trimChanges(tx: Tx, olderThanMs: number, limit: number): Promise<boolean> {
  // The log's beginning, whatever its age: a search for old lines would walk over all that are not.
  const first = await tx.find('changes', {}, { sort: { _id: 1 }, limit: limit + 1, projection: { at: 1 } });
  const young = first.findIndex(({ at }) => at >= tx.now - olderThanMs);
  const old = young < 0 ? first : first.slice(0, young);
  const last = old.at(Math.min(old.length, limit) - 1)?._id;
  if (last === undefined) return false;
  tx.write('changes', { deleteMany: { filter: { _id: { $lte: last } } } });
  tx.write('entries', {
    updateMany: {
      filter: { 'stays.endedModSeq': { $lte: last } },
      update: { $pull: { stays: { endedModSeq: { $lte: last } } } },
    },
  });
  tx.write('numbers', { updateOne: { filter: { _id: 'numbers' }, update: { $max: { trimmed: last } } } });
  return old.length > limit;
}

// ---------------------------------------------------------------------------------------------------------- watching

/** How long after an error the change stream is opened again: at first, and at most. */
const againMs = { first: 100, most: 1000 };

/** Who wants to know that the log has grown: by own commits, and by those of others, which a change stream tells of. */
export class Watchers {
  readonly #connection: Connection;
  /** Of whoever wants own commits only, and of whoever wants those of others too. */
  readonly #ownRings = new Set<() => void>();
  readonly #allRings = new Set<() => void>();
  /** The log's end as of the last own commit, and as of the last commit that was heard of. */
  #ownEnd: number;
  #end: number;
  #closed = false;
  #stream: Stream | undefined;

  constructor(connection: Connection, end: number) {
    this.#connection = connection;
    this.#ownEnd = end;
    this.#end = end;
  }

  /** This process committed. */
  committed(end: number): void {
    if (end > this.#ownEnd) {
      this.#ownEnd = end;
      ring(this.#ownRings);
    }
    this.#seen(end);
  }

  /** Somebody committed: own commits come this way twice, and only once do they ring. */
  #seen(end: number): void {
    if (end <= this.#end) return;
    this.#end = end;
    ring(this.#allRings);
  }

  watch(bell: () => void, { others = true }: WatchOptions = {}): () => void {
    if (this.#closed) throw new StoreUnavailable('The store is closed');
    const own = (): void => bell();
    const rings = others ? this.#allRings : this.#ownRings;
    rings.add(own);
    if (others) this.#stream ??= new Stream(this.#connection, (end) => this.#seen(end));
    return () => {
      rings.delete(own);
      if (this.#allRings.size === 0) void this.#stopStream();
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ownRings.clear();
    this.#allRings.clear();
    await this.#stopStream();
  }

  async #stopStream(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.close();
  }
}

/** What one of them throws is not the others' affair. */
function ring(rings: ReadonlySet<() => void>): void {
  for (const each of rings) queueMicrotask(each);
}

interface Inserted {
  readonly documentKey: { readonly _id: number };
}

/** The change stream on the log, opened anew whenever it breaks. */
class Stream {
  readonly #connection: Connection;
  readonly #ended = new AbortController();
  #stream: ChangeStream | undefined;
  readonly #running: Promise<void>;

  constructor(connection: Connection, seen: (end: number) => void) {
    this.#connection = connection;
    this.#running = this.#run(seen);
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await this.#stream?.close().catch(() => undefined);
    await this.#running;
  }

  async #run(seen: (end: number) => void): Promise<void> {
    const { signal } = this.#ended;
    for (let wait = againMs.first; !signal.aborted; wait = Math.min(againMs.most, wait * 2)) {
      try {
        // From a time before the look at the log's end, so that nothing lies between the two.
        const { operationTime } = await this.#connection.db.command({ ping: 1 });
        const log = await this.#connection.collection('numbers').findOne({ _id: 'numbers' });
        if (log) seen(log.modSeq);
        if (signal.aborted) return;
        const stream = this.#connection
          .collection('changes')
          .watch([{ $match: { operationType: 'insert' } }, { $project: { documentKey: 1 } }], {
            startAtOperationTime: operationTime,
          });
        this.#stream = stream;
        for (;;) {
          const { documentKey } = (await stream.next()) as unknown as Inserted;
          wait = againMs.first;
          seen(documentKey._id);
        }
      } catch {
        await this.#stream?.close().catch(() => undefined); // whoever reads hears of it; a bell may be silent
      }
      if (signal.aborted) return;
      await pause(wait, undefined, { signal }).catch(() => undefined);
    }
  }
}
