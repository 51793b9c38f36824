/**
 * The writing transaction that several commands share (group commit). Each command runs in a savepoint of its own, so
 * that it can fail alone; UIDs, mod-sequences and message ids are taken here, inside the transaction, which is why no
 * reader sees a number before every smaller one (DESIGN §3). A command that fails gives its numbers back.
 *
 * Counters and `tops` are kept in memory during the batch and written once, before the commit.
 */
import { StoreUnavailable } from '../errors.ts';
import type { Change, Folder, Level, MessageId, ModSeq, Uid } from '../model.ts';
import type { Connection } from './connect.ts';
import { isBusy } from './fault.ts';
import type { Statement } from './sqlite.ts';
import { domainOf, type Tx } from './tx.ts';

interface Top {
  readonly scope: string;
  readonly folder: Folder;
  uid: number;
  modSeq: number;
}

/** RFC 3501 §2.3.1.1: 32 bits. */
const maxUid = 0xffffffff;

const sql = {
  counters: 'SELECT last_uid, last_mod_seq, last_message_id FROM counters WHERE id = 1',
  setCounters: 'UPDATE counters SET last_uid = ?, last_mod_seq = ?, last_message_id = ? WHERE id = 1',
  top: `INSERT INTO tops (scope, folder, uid, mod_seq) VALUES (?, ?, ?, ?) ON CONFLICT (scope, folder)
    DO UPDATE SET uid = max(uid, excluded.uid), mod_seq = max(mod_seq, excluded.mod_seq)`,
  change: `INSERT INTO changes (mod_seq, at, kind, uid, folder, entry_id, message_id, owner, level, account,
    flags_r, flags_d, flags_g, size, internal_date) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
};

export class Batch implements Tx {
  readonly now: number;
  readonly #connection: Connection;
  readonly #tops = new Map<string, Top>();
  #commandTops: Top[] = [];
  #uid: number;
  #modSeq: number;
  #messageId: number;
  #written: string;
  #taken: ModSeq | 0 = 0;

  /** Begins the transaction, waiting for other processes for so long. */
  constructor(connection: Connection, now: number, busyTimeoutMs: number) {
    this.#connection = connection;
    this.now = now;
    begin(connection, busyTimeoutMs);
    const counters = connection.sql(sql.counters).get();
    this.#uid = counters.last_uid;
    this.#modSeq = counters.last_mod_seq;
    this.#messageId = counters.last_message_id;
    this.#written = this.#numbers();
  }

  /** Runs one command; what it throws undoes the command, and comes out. */
  run<T>(command: (tx: Tx) => T): T {
    const uid = this.#uid;
    const modSeq = this.#modSeq;
    const messageId = this.#messageId;
    this.#taken = 0;
    this.#commandTops = [];
    this.sql('SAVEPOINT command').run();
    try {
      const result = command(this);
      this.sql('RELEASE command').run();
      this.#keepTops();
      return result;
    } catch (error) {
      this.#uid = uid;
      this.#modSeq = modSeq;
      this.#messageId = messageId;
      // SQLite itself gives up the whole transaction after some errors, e.g. a full disk.
      if (this.isOpen) {
        this.sql('ROLLBACK TO command').run();
        this.sql('RELEASE command').run();
      }
      throw error;
    }
  }

  /** Whether the transaction is still there. */
  get isOpen(): boolean {
    return this.#connection.db.isTransaction;
  }

  /** The log's end as it is after commit. */
  get end(): ModSeq {
    return this.#modSeq as ModSeq;
  }

  commit(): void {
    for (const top of this.#tops.values()) this.sql(sql.top).run(top.scope, top.folder, top.uid, top.modSeq);
    if (this.#numbers() !== this.#written) this.sql(sql.setCounters).run(this.#uid, this.#modSeq, this.#messageId);
    this.sql('COMMIT').run();
  }

  rollBack(): void {
    if (this.isOpen) this.sql('ROLLBACK').run();
  }

  sql(text: string): Statement {
    return this.#connection.sql(text);
  }

  nextUid(): Uid {
    if (this.#uid >= maxUid)
      throw new StoreUnavailable('The store has given out all UIDs; `lazaret store copy --renumber` gives them anew');
    this.#uid += 1;
    return this.#uid as Uid;
  }

  nextMessageId(): MessageId {
    this.#messageId += 1;
    return this.#messageId as MessageId;
  }

  modSeq(): ModSeq {
    if (this.#taken === 0) {
      this.#modSeq += 1;
      this.#taken = this.#modSeq as ModSeq;
    }
    return this.#taken;
  }

  get takenModSeq(): ModSeq | 0 {
    return this.#taken;
  }

  log(change: Omit<Change, 'modSeq'>): void {
    const modSeq = this.modSeq();
    this.sql(sql.change).run(
      modSeq,
      this.now,
      change.kind,
      change.uid,
      change.folder,
      change.entryId,
      change.messageId,
      change.owner,
      change.level ?? null,
      change.account ?? null,
      change.flags?.recipient ?? null,
      change.flags?.domain ?? null,
      change.flags?.global ?? null,
      change.size ?? null,
      change.internalDate ?? null,
    );
    if (change.kind === 'notice') return;
    const uid = change.kind === 'enter' || change.kind === 'drop' ? change.uid : 0;
    const raise = (level: Level, scope: string): void => {
      if (change.level === undefined || change.level === level)
        this.#commandTops.push({ scope, folder: change.folder, uid, modSeq });
    };
    raise('global', 'g');
    if (change.owner === '') return; // seen by `global` only
    raise('domain', `d:${domainOf(change.owner)}`);
    raise('recipient', `r:${change.owner}`);
  }

  raise({ uid = 0, modSeq = 0, messageId = 0 }: Parameters<Tx['raise']>[0]): void {
    this.#uid = Math.max(this.#uid, uid);
    this.#modSeq = Math.max(this.#modSeq, modSeq);
    this.#messageId = Math.max(this.#messageId, messageId);
  }

  #keepTops(): void {
    for (const top of this.#commandTops) {
      const key = `${top.folder} ${top.scope}`;
      const known = this.#tops.get(key);
      if (!known) this.#tops.set(key, top);
      else {
        known.uid = Math.max(known.uid, top.uid);
        known.modSeq = Math.max(known.modSeq, top.modSeq);
      }
    }
    this.#commandTops = [];
  }

  #numbers(): string {
    return `${this.#uid} ${this.#modSeq} ${this.#messageId}`;
  }
}

/** Nobody ever wakes this: a way to sleep in a thread that may block. */
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/**
 * SQLite's own way to wait sleeps ever longer, up to 100 ms, and a process that writes without a pause gets in between
 * every time: of four, the slowest command took 1.2 s. Asking again every millisecond gives each its turn (0.1 s). The
 * connection's own busy timeout has to be 0.
 */
function begin(connection: Connection, busyTimeoutMs: number): void {
  const until = performance.now() + busyTimeoutMs;
  for (;;) {
    try {
      connection.sql('BEGIN IMMEDIATE').run();
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > until) throw error;
    }
    Atomics.wait(sleeper, 0, 0, 1);
  }
}
