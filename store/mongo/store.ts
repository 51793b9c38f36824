/**
 * The Store of the MongoDB driver: commands go through one queue into shared transactions, reads ask the server at once. No
 * thread is needed: the driver waits for sockets, and what is computed here is little.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { StoreRefused, StoreUnavailable } from '../errors.ts';
import type { ReadableFolder, Scope } from '../model.ts';
import { undoInPieces } from '../pieces.ts';
import type {
  Accounts,
  Admitted,
  Changes,
  Drops,
  Entries,
  Jobs,
  Messages,
  NewEntry,
  NewMessage,
  Notices,
  Settings,
  Store,
  ViewSnapshot,
  Views,
} from '../port.ts';
import { begin } from '../standing.ts';
import * as accounts from './accounts.ts';
import { type Admission, type AdmissionAnswer, admitTogether } from './admit.ts';
import { changesEnd, changesSince, Watchers } from './changes.ts';
import { type Connection, connect, type MongoOptions } from './connect.ts';
import type { NumbersDoc } from './documents.ts';
import * as drops from './drops.ts';
import * as entries from './entries.ts';
import { expunge } from './expunge.ts';
import { translated } from './fault.ts';
import { finishTogether } from './finish.ts';
import { setFlags } from './flags.ts';
import { housekeep, look } from './housekeep.ts';
import { getInventory, putInventory, withoutInventory } from './inventories.ts';
import * as jobs from './jobs.ts';
import * as messages from './messages.ts';
import { migrate } from './migrate.ts';
import { putBytes, readBytes } from './put.ts';
import { Queue } from './queue.ts';
import { readOne, readTogether } from './reading.ts';
import { sweep } from './sweep.ts';
import { noteTraining, trainingStats, trainings, trainingsOf } from './training-lines.ts';
import { MongoUpkeep } from './upkeep.ts';
import { importMark } from './upkeep-records.ts';
import { loadView, prefixes, top } from './views.ts';

/** How long a reader waits for a new primary. */
const catchUpMs = 5000;
/** What is swept is a day old: so seldom is it asked whether there is any. */
const sweepMs = 60_000;

/** @throws StoreRefused, StoreUnavailable with a sentence that says what an operator can do */
export async function openMongo(options: MongoOptions): Promise<Store> {
  const connection = await connect(options);
  try {
    const numbers = await translated(() => migrate(connection));
    const mark = await readOne(connection, (snapshot) => accounts.getSetting(snapshot, importMark));
    if (mark && !options.unfinished)
      throw new StoreRefused(
        `The store ${connection.db.databaseName} is being filled by "store copy" or "store restore", or that was interrupted: run it again to its end, or remove the database`,
      );
    return new MongoStore(connection, numbers);
  } catch (error) {
    await connection.client.close();
    throw error;
  }
}

class MongoStore implements Store {
  readonly uidValidity: number;
  readonly upkeep: MongoUpkeep;
  readonly #connection: Connection;
  readonly #queue: Queue;
  readonly #watchers: Watchers;
  readonly #ids: messages.MessageIds;
  readonly #arrivals: messages.Arrivals;
  /** Messages that nobody needs are being removed; who admitted them has been answered. */
  readonly #removals = new Set<Promise<void>>();
  /** When there was nothing more to sweep. */
  #sweptAt = 0;
  /** The log was read up to here. */
  #toldUpTo = 0;

  constructor(connection: Connection, numbers: NumbersDoc) {
    this.#connection = connection;
    this.uidValidity = numbers.uidValidity;
    const watchers = new Watchers(connection, numbers.modSeq);
    this.#watchers = watchers;
    this.#queue = new Queue(connection, (end) => watchers.committed(end));
    this.#ids = new messages.MessageIds(connection);
    this.#arrivals = new messages.Arrivals(connection, this.#ids);
    this.upkeep = new MongoUpkeep(connection, this.#queue);
  }

  readonly messages: Messages = {
    put: (source) => putBytes(this.#connection, this.#ids, source),
    discard: async (bytes) => {
      if (!('inline' in bytes)) await translated(() => messages.discardUpload(this.#connection, bytes.token));
    },
    read: (id, offset = 0, length = Number.MAX_SAFE_INTEGER - offset) =>
      readBytes(this.#connection, id, offset, length),
    get: (id) => readOne(this.#connection, (snapshot) => messages.getMessage(snapshot, id)),
    filterBlock: (id) => readOne(this.#connection, (snapshot) => messages.filterBlock(snapshot, id)),
    summaries: (ids, sections) => readOne(this.#connection, (snapshot) => messages.summaries(snapshot, ids, sections)),
    withoutInventory: (limit) => readOne(this.#connection, (snapshot) => withoutInventory(snapshot, limit)),
    putInventory: (id, inventory) => translated(() => putInventory(this.#connection, id, inventory)),
    inventory: (id) => readOne(this.#connection, (snapshot) => getInventory(snapshot, id)),
  };

  readonly entries: Entries = {
    admit: (message, list) => this.#admit(message, list),
    get: (id) => readOne(this.#connection, (snapshot) => entries.getEntry(snapshot, id)),
    byUid: (uid) => readOne(this.#connection, (snapshot) => entries.entryByUid(snapshot, uid)),
    list: (query) => readTogether(this.#connection, (snapshot) => entries.listEntries(snapshot, query)),
    history: (id) => readTogether(this.#connection, (snapshot) => entries.history(snapshot, id)),
    setFlags: (stays, change) => this.#queue.run('entries.setFlags', (tx) => setFlags(tx, stays, change)),
    expunge: (stays, actor) => this.#queue.run('entries.expunge', (tx) => expunge(tx, stays, actor)),
  };

  readonly drops: Drops = {
    begin,
    take: (drop, uids, options) => this.#queue.run('drops.take', (tx) => drops.take(tx, drop, uids, options)),
    seal: (drop) => this.#queue.run('drops.seal', (tx) => drops.seal(tx, drop)),
    rollBack: async (drop) => {
      while (await this.#queue.run('drops.rollBack', (tx) => drops.rollBack(tx, drop)));
    },
    earlierPairs: (...args) => readTogether(this.#connection, (snapshot) => drops.earlierPairs(snapshot, ...args)),
    undo: async (actor, scope, folder, ranges, backTo) => {
      // Found by a reader: of a thousand UIDs that 1:* names, one may still be undone.
      const uids = await readTogether(this.#connection, (snapshot) =>
        drops.undoable(snapshot, actor, scope, folder, ranges, backTo),
      );
      return undoInPieces(uids, (some) =>
        this.#queue.run('drops.undo', (tx) => drops.undo(tx, actor, scope, folder, some, backTo)),
      );
    },
    appendForTraining: async (message, drop) => {
      const { message: kept, written } = await this.#arrivals.keep(message);
      await written;
      const answer = await this.#queue.run('drops.appendForTraining', async (tx) => {
        messages.checkUpload(await messages.openUploads(tx, [kept]), kept);
        const appended = await drops.appendForTraining(tx, kept, drop);
        if (appended.queued) messages.endUpload(tx, kept);
        return appended;
      });
      if (!answer.queued) this.#giveUp(kept);
      return answer;
    },
    heldByHash: (scope, sha256) =>
      readTogether(this.#connection, (snapshot) => drops.heldByHash(snapshot, scope, sha256)),
  };

  readonly jobs: Jobs = {
    // Asked at every ring: mostly there is nothing, and no transaction is needed.
    claim: async (claim) =>
      (await readOne(this.#connection, (snapshot) => jobs.isAnyDue(snapshot, claim)))
        ? this.#queue.run('jobs.claim', (tx) => jobs.claim(tx, claim))
        : [],
    renew: (job, leaseMs) => this.#queue.run('jobs.renew', (tx) => jobs.renew(tx, job, leaseMs)),
    finish: async (job, outcome) => {
      await this.#queue.runTogether('jobs.finish', finishTogether, { job, outcome }, 0);
    },
    release: (job) => this.#queue.run('jobs.release', (tx) => jobs.release(tx, job)),
    get: (key) => readOne(this.#connection, (snapshot) => jobs.get(snapshot, key)),
    ofDrop: (dropId) => readOne(this.#connection, (snapshot) => jobs.ofDrop(snapshot, dropId)),
    retryUntrained: (options) => this.#queue.run('jobs.retryUntrained', (tx) => jobs.retryUntrained(tx, options)),
    noteTraining: (job, line) => this.#queue.run('jobs.noteTraining', (tx) => noteTraining(tx, job, line)),
    trainingsOf: (messageId) => readOne(this.#connection, (snapshot) => trainingsOf(snapshot, messageId)),
    trainings: (query) => readOne(this.#connection, (snapshot) => trainings(snapshot, query)),
    trainingStats: () => readOne(this.#connection, (snapshot) => trainingStats(snapshot)),
    counts: () => readTogether(this.#connection, (snapshot) => jobs.counts(snapshot)),
    backlog: () => readTogether(this.#connection, (snapshot) => jobs.backlog(snapshot)),
  };

  readonly changes: Changes = {
    since: async (since, limit) => {
      const answer = await readTogether(this.#connection, (snapshot) => changesSince(snapshot, since, limit));
      this.#toldUpTo = Math.max(this.#toldUpTo, answer.end);
      return answer;
    },
    end: () => readOne(this.#connection, (snapshot) => changesEnd(snapshot)),
    watch: (ring, options) => this.#watchers.watch(ring, options),
  };

  readonly views: Views = {
    load: (scope, folder) => this.#loadView(scope, folder),
    top: (scope, folder) => readOne(this.#connection, (snapshot) => top(snapshot, scope, folder)),
    prefixes: (uids) => readOne(this.#connection, (snapshot) => prefixes(snapshot, uids)),
  };

  readonly accounts: Accounts = {
    add: (account) => this.#queue.run('accounts.add', (tx) => accounts.addAccount(tx, account)),
    setPassword: (name, hash) => this.#queue.run('accounts.setPassword', (tx) => accounts.setPassword(tx, name, hash)),
    remove: (name) => this.#queue.run('accounts.remove', (tx) => accounts.removeAccount(tx, name)),
    get: (name) => readOne(this.#connection, (snapshot) => accounts.getAccount(snapshot, name)),
    list: () => readOne(this.#connection, (snapshot) => accounts.listAccounts(snapshot)),
  };

  readonly notices: Notices = {
    // Mostly there is none, and no transaction is needed.
    take: async (account) =>
      (await readOne(this.#connection, (snapshot) => accounts.hasNotices(snapshot, account)))
        ? this.#queue.run('notices.take', (tx) => accounts.takeNotices(tx, account))
        : [],
  };

  readonly settings: Settings = {
    get: (name) => readOne(this.#connection, (snapshot) => accounts.getSetting(snapshot, name)),
    put: (name, value) => this.#queue.run('settings.put', (tx) => accounts.putSetting(tx, name, value)),
    putIfAbsent: (name, value) =>
      this.#queue.run('settings.putIfAbsent', (tx) => accounts.putSettingIfAbsent(tx, name, value)),
    helpUid: (account, textHash) =>
      this.#queue.run('settings.helpUid', (tx) => accounts.helpUid(tx, account, textHash)),
  };

  async housekeep(): Promise<{ readonly more: boolean; readonly nextDueAt?: Date }> {
    let { due, ...rest } = await readOne(this.#connection, look);
    if (due) {
      if (await this.#queue.run('housekeep', (tx) => housekeep(tx))) return { more: true };
      ({ due, ...rest } = await readOne(this.#connection, look));
    }
    return { more: due || (await this.#sweep()), ...rest };
  }

  async #sweep(): Promise<boolean> {
    const { clock } = this.#connection;
    if (clock.now < this.#sweptAt + sweepMs) return false;
    const more = await sweep(this.#connection);
    if (!more) this.#sweptAt = clock.now;
    return more;
  }

  async close(): Promise<void> {
    await this.#watchers.close();
    await this.#queue.close();
    await Promise.all(this.#removals);
    await this.#connection.client.close();
  }

  /**
   * A primary that was just elected may for a moment not know all that most nodes have. A view that is older than what was
   * read of the log would never hear of what lies between.
   */
  async #loadView(scope: Scope, folder: ReadableFolder): Promise<ViewSnapshot> {
    const toldUpTo = this.#toldUpTo;
    for (const deadline = performance.now() + catchUpMs; ; await pause(50)) {
      const view = await readTogether(this.#connection, (snapshot) => loadView(snapshot, scope, folder));
      if (view.asOf >= toldUpTo) return view;
      if (performance.now() > deadline)
        throw new StoreUnavailable('The store does not yet know all that was in it before');
    }
  }

  async #admit(message: NewMessage, list: readonly NewEntry[]): Promise<readonly Admitted[]> {
    const arriving = await this.#arrivals.keep(message);
    const { message: kept } = arriving;
    const admission: Admission = { ...arriving, entries: list };
    const answer = await this.#queue.runTogether('entries.admit', admitTogether, admission, kept.size);
    const { admitted, needed } = answer as AdmissionAnswer;
    if (!needed) this.#giveUp(kept);
    return admitted;
  }

  #giveUp(kept: messages.KeptMessage): void {
    const removal = messages
      .giveUp(this.#connection, kept)
      .catch(() => undefined) // swept after a day
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}
