/**
 * The Store of the SQLite driver as the main thread has it: no query runs here, every method is a call to the writer thread
 * or to a reader (docs/decisions/0002-sqlite-threads.md).
 */
import { StoreRefused, StoreUnavailable } from '../errors.ts';
import type { ModSeq } from '../model.ts';
import { undoInPieces } from '../pieces.ts';
import type {
  Accounts,
  Changes,
  Drops,
  Entries,
  Jobs,
  Messages,
  NewMessage,
  Notices,
  Settings,
  Store,
  Views,
  WatchOptions,
} from '../port.ts';
import { begin } from '../standing.ts';
import type { ThreadOptions } from './connect.ts';
import type { ArrivedMessage } from './messages.ts';
import type { AnswerOf, ArgsOf, Opened } from './protocol.ts';
import { putBytes, readBytes } from './put.ts';
import type { ReaderMethods } from './reader-methods.ts';
import { Readers, Thread } from './thread.ts';
import { SqliteUpkeep } from './upkeep.ts';
import type { WriterMethods } from './writer-methods.ts';

/** Two: one may load a large view while the other answers. Each costs memory, and SQLite's speed is that of one core each. */
const readerThreads = 2;

/** `unfinished`: also a store whose import was begun and not finished. */
export async function openSqlite(options: ThreadOptions & { readonly unfinished?: boolean }): Promise<Store> {
  const watchers = new Watchers();
  const threads: ThreadOptions & { place?: string } = { ...options };
  const writer = new Thread('#store/sqlite/writer', threads, (end) => watchers.grown(end));
  const readers = new Readers(
    readerThreads,
    () => new Thread('#store/sqlite/reader', threads, (end) => watchers.seen(end)),
  );
  watchers.onWatched = (on) => readers.poll(on);
  try {
    const opened = await writer.call<Opened>('open', []);
    if (opened.unfinished && !options.unfinished)
      throw new StoreRefused(
        `The store ${options.file} is being filled by "store copy" or "store restore", or that was interrupted: run it again to its end, or remove the file`,
      );
    threads.place = opened.place;
    watchers.grown(opened.end);
    return new SqliteStore(writer, readers, watchers, opened.uidValidity, threads);
  } catch (error) {
    await writer.close();
    throw error;
  }
}

/** Who wants to know that the log has grown. */
class Watchers {
  /** Of whoever wants own commits only, and of whoever wants those of others too. */
  readonly #ownRings = new Set<() => void>();
  readonly #allRings = new Set<() => void>();
  /** The log's end as of the last own commit, and as of the last commit that was heard of. */
  #ownEnd = 0;
  #end = 0;
  #closed = false;
  /** Hears whether anybody watches what others commit. */
  onWatched: (on: boolean) => void = () => undefined;

  /** The writer committed. */
  grown(end: ModSeq): void {
    if (end > this.#ownEnd) {
      this.#ownEnd = end;
      call(this.#ownRings);
    }
    this.seen(end);
  }

  /** Somebody committed: own commits come this way twice, and only once do they ring. */
  seen(end: ModSeq): void {
    if (end <= this.#end) return;
    this.#end = end;
    call(this.#allRings);
  }

  watch(ring: () => void, { others = true }: WatchOptions = {}): () => void {
    if (this.#closed) throw new StoreUnavailable('The store is closed');
    const own = (): void => ring();
    const rings = others ? this.#allRings : this.#ownRings;
    rings.add(own);
    if (others && rings.size === 1) this.onWatched(true);
    return () => {
      if (rings.delete(own) && others && rings.size === 0) this.onWatched(false);
    };
  }

  close(): void {
    this.#closed = true;
    this.#ownRings.clear();
    this.#allRings.clear();
    this.onWatched(false);
  }
}

/** What one of them throws is not the others' affair. */
function call(rings: ReadonlySet<() => void>): void {
  for (const ring of rings) queueMicrotask(ring);
}

class SqliteStore implements Store {
  readonly uidValidity: number;
  readonly #writer: Thread;
  readonly #readers: Readers;
  readonly #watchers: Watchers;

  readonly upkeep: SqliteUpkeep;

  constructor(writer: Thread, readers: Readers, watchers: Watchers, uidValidity: number, options: ThreadOptions) {
    this.#writer = writer;
    this.#readers = readers;
    this.#watchers = watchers;
    this.uidValidity = uidValidity;
    this.upkeep = new SqliteUpkeep(options, {
      write: (method, ...args) => this.#write(method, ...args),
      read: (method, ...args) => this.#read(method, ...args),
    });
  }

  readonly messages: Messages = {
    put: (source) =>
      putBytes(source, {
        chunk: (token, number, bytes) => this.#writer.call('messages.upload', [token, number, bytes], [bytes.buffer]),
        discard: (token) => this.#write('messages.discard', token),
      }),
    discard: async (bytes) => {
      if (!('inline' in bytes)) await this.#write('messages.discard', bytes.token);
    },
    read: (id, offset = 0, length = Number.MAX_SAFE_INTEGER - offset) =>
      readBytes((at, most) => this.#read('messages.piece', id, at, most), id, offset, length),
    get: (id) => this.#read('messages.get', id),
    filterBlock: (id) => this.#read('messages.filterBlock', id),
    summaries: (ids, sections) => this.#read('messages.summaries', ids, sections),
    withoutInventory: (limit) => this.#read('messages.withoutInventory', limit),
    putInventory: (id, inventory) => this.#write('messages.putInventory', id, inventory),
    inventory: (id) => this.#read('messages.inventory', id),
  };

  readonly entries: Entries = {
    admit: (message, entries) => {
      const { packed, transfer } = pack(message);
      return this.#writer.call('entries.admit', [packed, entries], transfer);
    },
    get: (id) => this.#read('entries.get', id),
    byUid: (uid) => this.#read('entries.byUid', uid),
    list: (query) => this.#read('entries.list', query),
    history: (id) => this.#read('entries.history', id),
    setFlags: (stays, change) => this.#write('entries.setFlags', stays, change),
    expunge: (stays, actor) => this.#write('entries.expunge', stays, actor),
  };

  readonly drops: Drops = {
    begin,
    take: (drop, uids, options) => this.#write('drops.take', drop, uids, options),
    seal: (drop) => this.#write('drops.seal', drop),
    rollBack: async (drop) => {
      while (await this.#write('drops.rollBack', drop));
    },
    earlierPairs: (actor, scope, folder, action, ranges) =>
      this.#read('drops.earlierPairs', actor, scope, folder, action, ranges),
    undo: async (actor, scope, folder, ranges, backTo) => {
      // Found by a reader: of a thousand UIDs that 1:* names, one may still be undone.
      const uids = await this.#read('drops.undoable', actor, scope, folder, ranges, backTo);
      return undoInPieces(uids, (some) => this.#write('drops.undo', actor, scope, folder, some, backTo));
    },
    appendForTraining: (message, drop) => {
      const { packed, transfer } = pack(message);
      return this.#writer.call('drops.appendForTraining', [packed, drop], transfer);
    },
    heldByHash: (scope, sha256) => this.#read('drops.heldByHash', scope, sha256),
  };

  readonly jobs: Jobs = {
    claim: (claim) => this.#write('jobs.claim', claim),
    renew: (job, leaseMs) => this.#write('jobs.renew', job, leaseMs),
    finish: (job, outcome) => this.#write('jobs.finish', job, outcome),
    release: (job) => this.#write('jobs.release', job),
    get: (key) => this.#read('jobs.get', key),
    ofDrop: (dropId) => this.#read('jobs.ofDrop', dropId),
    retryUntrained: (options) => this.#write('jobs.retryUntrained', options),
    noteTraining: (job, line) => this.#write('jobs.noteTraining', job, line),
    trainingsOf: (messageId) => this.#read('jobs.trainingsOf', messageId),
    trainings: (query) => this.#read('jobs.trainings', query),
    trainingStats: () => this.#read('jobs.trainingStats'),
    counts: () => this.#read('jobs.counts'),
    backlog: () => this.#read('jobs.backlog'),
  };

  readonly changes: Changes = {
    since: (since, limit) => this.#read('changes.since', since, limit),
    end: () => this.#read('changes.end'),
    watch: (ring, options) => this.#watchers.watch(ring, options),
  };

  readonly views: Views = {
    load: (scope, folder) => this.#read('views.load', scope, folder),
    top: (scope, folder) => this.#read('views.top', scope, folder),
    prefixes: (uids) => this.#read('views.prefixes', uids),
  };

  readonly accounts: Accounts = {
    add: (account) => this.#write('accounts.add', account),
    setPassword: (name, passwordHash) => this.#write('accounts.setPassword', name, passwordHash),
    remove: (name) => this.#write('accounts.remove', name),
    get: (name) => this.#read('accounts.get', name),
    list: () => this.#read('accounts.list'),
  };

  readonly notices: Notices = {
    // Mostly there is none, and the writer need not be asked.
    take: async (account) => ((await this.#read('notices.any', account)) ? this.#write('notices.take', account) : []),
  };

  readonly settings: Settings = {
    get: (name) => this.#read('settings.get', name),
    put: (name, value) => this.#write('settings.put', name, value),
    putIfAbsent: (name, value) => this.#write('settings.putIfAbsent', name, value),
    helpUid: (account, textHash) => this.#write('settings.helpUid', account, textHash),
  };

  housekeep(): Promise<{ readonly more: boolean; readonly nextDueAt?: Date }> {
    return this.#write('housekeep');
  }

  async close(): Promise<void> {
    this.#watchers.close();
    await Promise.all([this.#writer.close(), this.#readers.close(), this.upkeep.close()]);
  }

  #write<M extends keyof WriterMethods>(
    method: M,
    ...args: ArgsOf<WriterMethods[M]>
  ): Promise<AnswerOf<WriterMethods[M]>> {
    return this.#writer.call(method, args);
  }

  #read<M extends keyof ReaderMethods>(
    method: M,
    ...args: ArgsOf<ReaderMethods[M]>
  ): Promise<AnswerOf<ReaderMethods[M]>> {
    return this.#readers.call(method, args);
  }
}

/**
 * A message with all its byte strings in one buffer that is handed over. A clone would copy the whole buffer behind each of
 * them, and small Buffers share one of 64 KiB.
 */
function pack(message: NewMessage): { readonly packed: ArrivedMessage; readonly transfer: readonly ArrayBuffer[] } {
  const { bytes, summary, filterBlock } = message as ArrivedMessage;
  const { envelope, bodyStructure, body, commonFields, parts } = summary;
  const all = [envelope, bodyStructure, body, commonFields, parts, filterBlock, bytes.inline ?? new Uint8Array()];
  const buffer = new ArrayBuffer(all.reduce((sum, item) => sum + item.length, 0));
  let at = 0;
  const place = (item: Uint8Array): Uint8Array => {
    const placed = new Uint8Array(buffer, at, item.length);
    placed.set(item);
    at += item.length;
    return placed;
  };
  const packed: ArrivedMessage = {
    ...message,
    bytes: { ...bytes, ...(bytes.inline ? { inline: place(bytes.inline) } : {}) },
    filterBlock: place(filterBlock),
    summary: {
      ...summary,
      envelope: place(envelope),
      bodyStructure: place(bodyStructure),
      body: place(body),
      commonFields: place(commonFields),
      parts: place(parts),
    },
  };
  return { packed, transfer: [buffer] };
}
