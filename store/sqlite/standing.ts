/**
 * Between rows and the pure rules of ../transitions.ts: loads how entries stand, and writes what they become. `write` is
 * the one place where a transition reaches the tables; it keeps entry, stays, jobs and change log together.
 */
import type { Direction, EntryClass, EntryId, Folder, MessageId, Place, ReadableFolder, State, Uid } from '../model.ts';
import { lineOf, type StandingRow, shownWith, type Written } from '../standing.ts';
import type { JobStanding, Next, Target } from '../transitions.ts';
import { sameFlags } from '../transitions.ts';
import type { Snapshot, Tx } from './tx.ts';

interface EntryColumns {
  readonly id: EntryId;
  readonly message_id: MessageId;
  readonly owner: string;
  readonly recipient: string;
  readonly direction: Direction;
  readonly class: EntryClass;
  readonly place: Place;
  readonly state: State;
  readonly uid: Uid | null;
  readonly folder: ReadableFolder | null;
  readonly hidden: number;
  readonly prefix: string;
  readonly size: number;
  readonly internal_date: number;
  readonly drop_id: string | null;
  readonly copied_by: string | null;
  readonly waiting: number;
  readonly leave_at: number | null;
  readonly flags_r: string;
  readonly flags_d: string;
  readonly flags_g: string;
}

const text = {
  entries: `SELECT e.id, e.message_id, e.owner, e.recipient, e.direction, e.class, e.place, e.state, e.uid, e.folder,
    e.hidden, e.prefix, e.size, e.internal_date, e.drop_id, e.copied_by, e.waiting, e.leave_at, e.flags_r, e.flags_d,
    e.flags_g FROM json_each(?) i CROSS JOIN entries e ON e.id = i.value`,
  jobs: `SELECT j.entry_id AS entryId, j.key, j.drop_id AS dropId, j.step, j.state, j.cancelled_by AS cancelledBy
    FROM json_each(?) i CROSS JOIN jobs j ON j.entry_id = i.value`,
  targets: `SELECT s.entry_id AS entryId, s.uid, s.folder, s.drop_id AS dropId, d.action, d.account,
    d.folder AS cameFrom, s.from_uid AS "from", s.was_state AS wasState, s.was_drop_id AS wasDropId,
    s.was_copied_by AS wasCopiedBy
    FROM json_each(?) i CROSS JOIN stays s ON s.entry_id = i.value JOIN drops d ON d.id = s.drop_id
    WHERE s.from_uid IS NOT NULL`,
  goesOn: `UPDATE entries SET state = ?, place = ?, waiting = ?, hidden = ?, drop_id = ?, copied_by = ?, leave_at = ?,
    flags_r = ?, flags_d = ?, flags_g = ? WHERE id = ?`,
  touch: 'UPDATE entries SET mod_r = ?1, mod_d = ?1, mod_g = ?1 WHERE id = ?2',
  moves: `UPDATE entries SET state = ?, place = ?, waiting = ?, hidden = ?, drop_id = ?, copied_by = ?, leave_at = ?,
    flags_r = ?, flags_d = ?, flags_g = ?, uid = ?, folder = ?, prefix = ?, size = ?, mod_r = ?15, mod_d = ?15,
    mod_g = ?15 WHERE id = ?16`,
  // Brought back after its time: somebody wants it.
  stays: 'UPDATE entries SET expires_at = NULL WHERE id = ? AND expires_at <= ?',
  endStay: 'UPDATE stays SET ended_at = ?, ended_mod_seq = ? WHERE uid = ? AND ended_at IS NULL',
  keepOldPrefix: 'UPDATE stays SET prefix = ? WHERE entry_id = ? AND prefix IS NULL AND ended_at IS NOT NULL',
  beginStay: `INSERT INTO stays (uid, entry_id, folder, owner, began_at, drop_id, from_uid, was_state, was_drop_id, was_copied_by)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  addJob: `INSERT INTO jobs (key, drop_id, step, entry_id, message_id, state, due_at, created_at)
    VALUES (?, ?, ?, ?, ?, 'ready', ?, ?)`,
  // lease_until stays: whoever runs it may not have noticed yet (see `claim`).
  cancelJob: `UPDATE jobs SET state = 'cancelled', lease = NULL, ended_at = ?, cancelled_by = ?
    WHERE key = ? AND state IN ('ready', 'leased')`,
  // Not before the lease that may have been on it has run out; and unripe where its drop still is.
  reviveJob: `UPDATE jobs SET state = 'ready', ended_at = NULL, cancelled_by = NULL, lease_until = NULL,
    due_at = max(coalesce(due_at, (SELECT d.sealed_at + d.undo_ms FROM drops d WHERE d.id = drop_id AND d.ripe_at > 0)),
      coalesce(lease_until, 0)) WHERE key = ? AND state = 'cancelled'`,
  reopenStay: 'UPDATE stays SET ended_at = NULL, ended_mod_seq = NULL WHERE uid = ?',
  jobNow: "UPDATE jobs SET due_at = ? WHERE key = ? AND state = 'ready' AND due_at > ?1",
};

/** Loads entries by id; those that are not there are left out. */
export function load(snapshot: Snapshot, ids: readonly number[]): Map<number, StandingRow> {
  const columns: EntryColumns[] = snapshot.sql(text.entries).all(JSON.stringify(ids));
  // An entry that no drop ever took has neither jobs nor targets, and most entries are like that.
  const dropped = columns.filter((row) => row.drop_id !== null || row.copied_by !== null).map((row) => row.id);
  const jobs = new Map<number, JobStanding[]>();
  const targets = new Map<number, Target[]>();
  if (dropped.length > 0) {
    const list = JSON.stringify(dropped);
    collect<JobStanding>(jobs, snapshot.sql(text.jobs).all(list));
    collect<Target>(targets, snapshot.sql(text.targets).all(list));
  }
  const rows = new Map<number, StandingRow>();
  for (const row of columns)
    rows.set(row.id, {
      id: row.id,
      messageId: row.message_id,
      owner: row.owner,
      recipient: row.recipient,
      direction: row.direction,
      class: row.class,
      place: row.place,
      state: row.state,
      uid: row.uid ?? undefined,
      folder: row.folder ?? undefined,
      hidden: row.hidden,
      prefix: row.prefix,
      size: row.size,
      internalDate: row.internal_date,
      dropId: row.drop_id ?? undefined,
      copiedBy: row.copied_by ?? undefined,
      waiting: row.waiting === 1,
      leaveAt: row.leave_at ?? undefined,
      flags: { recipient: row.flags_r, domain: row.flags_d, global: row.flags_g },
      jobs: jobs.get(row.id) ?? [],
      targets: targets.get(row.id) ?? [],
    });
  return rows;
}

function collect<T>(into: Map<number, T[]>, rows: readonly (T & { readonly entryId: number })[]): void {
  for (const row of rows) {
    const list = into.get(row.entryId);
    if (list) list.push(row);
    else into.set(row.entryId, [row]);
  }
}

export function loadOne(snapshot: Snapshot, id: number): StandingRow | undefined {
  return load(snapshot, [id]).get(id);
}

/** The drop a transition belongs to: stays that begin on a target name it, and its jobs are due then. */
export interface Taker {
  readonly dropId: string;
  readonly dueAt: number | null;
}

/** Writes what an entry becomes, and logs what views show of it. */
export function write(tx: Tx, row: StandingRow, next: Next, taker?: Taker): Written {
  const written: { action?: Uid; stay?: Uid; left?: Uid } = {};
  const begins = typeof next.stay === 'object' ? next.stay : undefined;

  if (next.onto && taker) {
    written.action = tx.nextUid();
    beginStay(tx, row, written.action, next.onto, taker);
  }
  if (next.stay === 'goes-on') writeFields(tx, row, next);
  else {
    if (row.uid !== undefined && row.folder !== undefined) {
      written.left = row.uid;
      tx.sql(text.endStay).run(tx.now, tx.modSeq(), row.uid);
      tx.log({ kind: 'leave', ...lineOf(row, row.uid, row.folder) });
    }
    if (begins) written.stay = tx.nextUid();
    const { prefix, size } = shownWith(row, begins?.prefix);
    if (prefix !== row.prefix) tx.sql(text.keepOldPrefix).run(row.prefix, row.id);
    tx.sql(text.moves).run(
      next.state,
      next.place,
      next.waiting ? 1 : 0,
      next.hidden,
      next.dropId ?? null,
      next.copiedBy ?? null,
      next.leaveAt ?? null,
      next.flags.recipient,
      next.flags.domain,
      next.flags.global,
      written.stay ?? null,
      begins?.folder ?? null,
      prefix,
      size,
      tx.modSeq(),
      row.id,
    );
    if (begins?.folder === 'training') tx.sql(text.stays).run(row.id, tx.now);
    if (begins && written.stay !== undefined) {
      // A discard and a restore have no action folder: the stay in the readable one is what the drop stands for.
      beginStay(tx, row, written.stay, begins.folder, next.onto ? undefined : taker);
      tx.log({
        kind: 'enter',
        ...lineOf(row, written.stay, begins.folder),
        flags: next.flags,
        size,
        internalDate: row.internalDate,
      });
    }
  }
  if (taker)
    for (const step of next.add)
      tx.sql(text.addJob).run(
        `${taker.dropId}/${row.id}/${step}`,
        taker.dropId,
        step,
        row.id,
        row.messageId,
        taker.dueAt,
        tx.now,
      );
  for (const key of next.cancel) tx.sql(text.cancelJob).run(tx.now, taker?.dropId ?? null, key);
  for (const key of next.revive) tx.sql(text.reviveJob).run(key);
  for (const key of next.dueNow) tx.sql(text.jobNow).run(tx.now, key);
  for (const uid of next.over) tx.sql(text.endStay).run(tx.now, tx.modSeq(), uid);
  for (const uid of next.reopen) tx.sql(text.reopenStay).run(uid);
  return written;
}

/** The open stay, if any, goes on. */
function writeFields(tx: Tx, row: StandingRow, next: Next): void {
  const { flags } = next;
  tx.sql(text.goesOn).run(
    next.state,
    next.place,
    next.waiting ? 1 : 0,
    next.hidden,
    next.dropId ?? null,
    next.copiedBy ?? null,
    next.leaveAt ?? null,
    flags.recipient,
    flags.domain,
    flags.global,
    row.id,
  );
  if (row.uid === undefined || row.folder === undefined || sameFlags(row.flags, flags)) return;
  tx.sql(text.touch).run(tx.modSeq(), row.id);
  tx.log({ kind: 'flags', ...lineOf(row, row.uid, row.folder), flags });
}

function beginStay(tx: Tx, row: StandingRow, uid: Uid, folder: Folder, taker: Taker | undefined): void {
  tx.sql(text.beginStay).run(
    uid,
    row.id,
    folder,
    row.owner,
    tx.now,
    taker?.dropId ?? null,
    // Without a stay in view (a return from nowhere) there is no drop that could have taken it from one.
    taker ? (row.uid ?? null) : null,
    taker && row.state !== 'held' ? row.state : null,
    (taker && row.dropId) ?? null,
    (taker && row.copiedBy) ?? null,
  );
}
