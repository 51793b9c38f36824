/**
 * Drops: putting entries on an action, chunk by chunk, and taking them back (DESIGN §7.5). What each entry becomes is
 * decided in ../transitions.ts.
 *
 * Sealing. The row of a drop is written by the first chunk that takes something. Until `sealed_at` or `rolled_back_at`
 * stands in it, it belongs to whoever knows its lease; whoever seals or rolls back for somebody else (housekeep.ts)
 * empties `lease` in the same transaction, which is the compare-and-set that the owner's next chunk runs into.
 */
import { randomUUID } from 'node:crypto';
import { LeaseLost } from '../errors.ts';
import type {
  ActionFolder,
  ActionName,
  Actor,
  DropMode,
  Entry,
  EntryId,
  Folder,
  MessageId,
  ModSeq,
  ReadableFolder,
  Scope,
  Uid,
} from '../model.ts';
import { stepsOf } from '../model.ts';
import type { DropRequest, OpenDrop, Pair, Refusal, Taken, UidRange } from '../port.ts';
import { owns, scopeKey } from '../scope.ts';
import {
  classOf,
  dropLeaseMs,
  lineOf,
  noteCalledOff,
  pieceSize,
  type StandingRow,
  stepsOfDrop,
  trainedBy,
  trainingStep,
  type Untaught,
} from '../standing.ts';
import type { Answer, Onto } from '../transitions.ts';
import * as rules from '../transitions.ts';
import { type ArrivedMessage, giveUp, keepMessage } from './messages.ts';
import { type EntryRow, rowToEntry } from './rows.ts';
import { load, type Taker, write } from './standing.ts';
import type { Snapshot, Tx } from './tx.ts';

/** What the transitions need of a row of `drops`. */
export interface DropStanding {
  readonly id: string;
  readonly account: string;
  readonly action: ActionName;
  readonly mode: DropMode;
  readonly undo_ms: number;
  readonly lease: string;
  readonly sealed_at: number | null;
  readonly rolled_back_at: number | null;
}

const text = {
  drop: `SELECT id, account, action, mode, undo_ms, lease, sealed_at, rolled_back_at FROM drops WHERE id = ?`,
  insert: `INSERT INTO drops (id, account, person, via, scope, folder, action, mode, undo_ms, hostname, created_at, lease,
    lease_until, chunks, sealed_at, ripe_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)`,
  renew: 'UPDATE drops SET lease_until = ?, chunks = chunks + 1, sealed_at = ? WHERE id = ?',
  seal: 'UPDATE drops SET sealed_at = ? WHERE id = ?',
  takeOver: "UPDATE drops SET lease = '' WHERE id = ?",
  rolledBack: "UPDATE drops SET rolled_back_at = ?, lease = '' WHERE id = ?",
  asked: `SELECT s.uid, s.entry_id AS entryId, s.folder, s.owner
    FROM json_each(?) i CROSS JOIN stays s ON s.uid = i.value`,
  ofDrop:
    'SELECT entry_id AS entryId FROM stays WHERE drop_id = ? AND +from_uid IS NOT NULL AND +ended_at IS NULL LIMIT ?',
  endOfDrop: `UPDATE stays SET ended_at = ?, ended_mod_seq = ? WHERE +drop_id = ? AND entry_id = ? AND ended_at IS NULL
    AND folder IN ('release', 'release-train', 'spam', 'not-spam')`,
  addAppended: `INSERT INTO jobs (key, drop_id, step, message_id, state, due_at, created_at)
    VALUES (?, ?, ?, ?, 'ready', ?, ?)`,
  taught: 'SELECT class FROM trainings WHERE account = ? AND sha256 = ?',
  teach: `INSERT INTO trainings (account, sha256, class)
    SELECT ?, m.sha256, ? FROM json_each(?) i CROSS JOIN messages m ON m.id = i.value WHERE TRUE
    ON CONFLICT (account, sha256) DO UPDATE SET class = excluded.class`,
  unteach: `DELETE FROM trainings WHERE account = ?1 AND sha256 IN
    (SELECT m.sha256 FROM json_each(?2) i CROSS JOIN messages m ON m.id = i.value)`,
  // The bare columns beside max() are those of its row: the last training that was not called off.
  teachAgain: `WITH same AS (SELECT a.id, a.sha256 FROM
      (SELECT DISTINCT m.sha256 FROM json_each(?2) i CROSS JOIN messages m ON m.id = i.value) x
      CROSS JOIN messages a ON a.sha256 = x.sha256),
    trained AS (
      SELECT same.sha256, j.step, j.state, j.drop_id, j.rowid AS number FROM same
        CROSS JOIN entries e ON e.message_id = same.id CROSS JOIN jobs j ON j.entry_id = e.id
      UNION ALL
      SELECT same.sha256, j.step, j.state, j.drop_id, j.rowid FROM same
        CROSS JOIN jobs j ON j.message_id = same.id AND j.entry_id IS NULL)
    INSERT INTO trainings (account, sha256, class)
    SELECT ?1, sha256, substr(step, 7) FROM (
      SELECT t.sha256, t.step, max(t.number) FROM trained t CROSS JOIN drops d ON d.id = t.drop_id
      WHERE d.account = ?1 AND t.step <> 'deliver' AND t.state <> 'cancelled' GROUP BY t.sha256)`,
  held: `SELECT e.* FROM messages m CROSS JOIN entries e ON e.message_id = m.id
    WHERE m.sha256 = ? AND e.state = 'held' AND e.class = 'held' AND e.uid IS NOT NULL ORDER BY e.id`,
};

// -------------------------------------------------------------------------------------------------------------- take

export function take(
  tx: Tx,
  drop: OpenDrop,
  uids: readonly Uid[],
  options: { readonly last: boolean; readonly restoreTo?: ReadableFolder },
): Taken {
  const known = ownDrop(tx, drop);
  const { answers, unknown } = answersFor(tx, drop, uids, options.restoreTo);
  const refused: Refusal[] = [];
  for (const { asked, answer } of answers) {
    if (answer.kind === 'refused') refused.push({ uid: asked, reason: answer.reason });
    else if (answer.kind === 'unknown') unknown.push(asked);
  }
  const taking = answers.some(({ answer }) => answer.kind === 'taken');
  // Sealed by this owner before: the chunk can only be a repeated one, and has nothing left to take.
  if (taking && known?.sealed_at != null) throw new LeaseLost('This drop is sealed already');
  const nothing = drop.mode !== 'move' && (refused.length > 0 || unknown.length > 0);
  if (!nothing) keepDrop(tx, drop, known, taking, options.last);
  const done = nothing ? { pairs: [], left: [] } : carryOut(tx, drop, answers, options.last && !known);
  return { ...done, refused, unknown: unknown.sort((a, b) => a - b), modSeq: tx.takenModSeq as ModSeq };
}

interface Answered {
  readonly asked: Uid;
  readonly row: StandingRow;
  readonly answer: Answer;
}

/** What the rules say of each UID; those with no stay in that folder and scope are not even looked at. */
function answersFor(
  tx: Snapshot,
  drop: OpenDrop,
  uids: readonly Uid[],
  restoreTo: ReadableFolder | undefined,
): { answers: readonly Answered[]; unknown: Uid[] } {
  const asked = [...new Set(uids)].sort((a, b) => a - b);
  const stays = new Map<Uid, number>();
  const rows: { uid: Uid; entryId: number; folder: Folder; owner: string }[] = tx
    .sql(text.asked)
    .all(JSON.stringify(asked));
  for (const stay of rows)
    if (stay.folder === drop.folder && owns(drop.scope, stay.owner)) stays.set(stay.uid, stay.entryId);
  const standings = load(tx, [...new Set(stays.values())]);
  const { action, mode, folder } = drop;
  const onto: Onto = {
    action,
    steps: stepsOfDrop(drop),
    mode,
    folder,
    dropId: drop.id,
    level: drop.scope.level,
    restoreTo,
    again: drop.again === true,
  };
  const answers: Answered[] = [];
  const unknown: Uid[] = [];
  for (const uid of asked) {
    const row = standings.get(stays.get(uid) ?? 0);
    if (row) answers.push({ asked: uid, row, answer: rules.take(row, uid, onto) });
    else unknown.push(uid);
  }
  return { answers, unknown };
}

/** `due`: the drop has this one chunk only, so its jobs get their time at once. */
function carryOut(
  tx: Tx,
  drop: OpenDrop,
  answers: readonly Answered[],
  due: boolean,
): { pairs: readonly Pair[]; left: readonly Uid[] } {
  const taker: Taker = { dropId: drop.id, dueAt: due ? tx.now + drop.undoMs : null };
  const pairs: Pair[] = [];
  const left: Uid[] = [];
  const taught: number[] = [];
  const untaught: Untaught = new Map();
  const onto = new Map<string, { uid: Uid; row: StandingRow }>();
  for (const { asked, row, answer } of answers) {
    if (answer.kind !== 'taken' && answer.kind !== 'known') continue;
    let to = answer.kind === 'known' ? answer.to : undefined;
    if (answer.next) {
      const written = write(tx, row, answer.next, answer.kind === 'taken' ? taker : undefined);
      if (answer.kind === 'taken') to = answer.to === 'action' ? written.action : written.stay;
      if (written.left !== undefined) left.push(written.left);
      if (written.action !== undefined) onto.set(row.owner, { uid: written.action, row });
      if (answer.next.add.length > 0) taught.push(row.messageId);
      noteCalledOff(untaught, row, answer.next);
    }
    if (to !== undefined) pairs.push({ from: asked, to });
  }
  // One line an owner, with the highest UID: all that UIDNEXT and an idling client need.
  for (const { uid, row } of onto.values())
    tx.log({ kind: 'drop', ...lineOf(row, uid, drop.action as ActionFolder), account: drop.actor.account });
  for (const [account, messageIds] of untaught) unteach(tx, account, messageIds);
  const training = trainingStep(drop);
  if (training && taught.length > 0)
    tx.sql(text.teach).run(drop.actor.account, classOf(training), JSON.stringify(taught));
  return { pairs, left };
}

// ----------------------------------------------------------------------------------------------------------- sealing

export function dropRow(tx: Snapshot, id: string): DropStanding | undefined {
  return tx.sql(text.drop).get(id);
}

/** The drop's row, if it has one yet. @throws LeaseLost  somebody else sealed it or rolled it back */
function ownDrop(tx: Snapshot, drop: OpenDrop): DropStanding | undefined {
  const row = dropRow(tx, drop.id);
  if (row && (row.lease !== drop.lease || row.rolled_back_at !== null)) throw new LeaseLost('The drop was taken over');
  return row;
}

function keepDrop(tx: Tx, drop: OpenDrop, known: DropStanding | undefined, taking: boolean, last: boolean): void {
  if (known) {
    if (known.sealed_at === null) tx.sql(text.renew).run(tx.now + dropLeaseMs, last ? tx.now : null, drop.id);
  } else if (taking) insertDrop(tx, drop, { sealed: last, ripe: last });
}

export function insertDrop(
  tx: Tx,
  drop: Omit<OpenDrop, 'folder'> & { readonly folder?: ReadableFolder },
  as: { readonly sealed: boolean; readonly ripe: boolean },
): void {
  tx.sql(text.insert).run(
    drop.id,
    drop.actor.account,
    drop.actor.person ?? null,
    drop.actor.via,
    scopeKey(drop.scope),
    drop.folder ?? null,
    drop.action,
    drop.mode,
    drop.undoMs,
    drop.hostname,
    tx.now,
    drop.lease,
    tx.now + dropLeaseMs,
    as.sealed ? tx.now : null,
    as.ripe ? tx.now : null,
  );
}

export function seal(tx: Tx, drop: OpenDrop): void {
  const row = ownDrop(tx, drop);
  // Without a row it took nothing, and there is nothing to seal.
  if (row && row.sealed_at === null) tx.sql(text.seal).run(tx.now, drop.id);
}

/** One piece of it, so that no other writer waits long; answers whether there are more. */
export function rollBack(tx: Tx, drop: OpenDrop): boolean {
  const row = dropRow(tx, drop.id);
  if (!row || row.rolled_back_at !== null) return false;
  if (row.sealed_at !== null) throw new LeaseLost('The drop was sealed');
  // Without a lease it is being rolled back already, by this caller or by housekeeping, which goes on if we do not.
  if (row.lease !== drop.lease && row.lease !== '') throw new LeaseLost('The drop was taken over');
  tx.sql(text.takeOver).run(drop.id);
  return rollBackSome(tx, row, pieceSize);
}

/** Takes entries of an unsealed drop back; answers whether there are more. At the end the drop is marked as rolled back. */
export function rollBackSome(tx: Tx, drop: DropStanding, limit: number): boolean {
  const ids: number[] = tx
    .sql(text.ofDrop)
    .all(drop.id, limit)
    .map((row: { entryId: number }) => row.entryId);
  const untaught: number[] = [];
  for (const row of load(tx, ids).values()) {
    const target = row.targets.find((each) => each.dropId === drop.id);
    const next = target && rules.rollBack(row, target);
    if (next) {
      write(tx, row, next);
      if (trainedBy(row, drop.id)) untaught.push(row.messageId);
    }
    // Whatever became of the entry otherwise: its stay on the action folder stands for nothing now.
    tx.sql(text.endOfDrop).run(tx.now, tx.modSeq(), drop.id, row.id);
  }
  unteach(tx, drop.account, untaught);
  if (ids.length === limit) return true;
  tx.sql(text.rolledBack).run(tx.now, drop.id);
  return false;
}

/** What the account taught last about these messages is what it taught before. */
function unteach(tx: Tx, account: string, messageIds: readonly number[]): void {
  if (messageIds.length === 0) return;
  const list = JSON.stringify(messageIds);
  tx.sql(text.unteach).run(account, list);
  tx.sql(text.teachAgain).run(account, list);
}

// -------------------------------------------------------------------------------------------------------------- undo

/** Those UIDs that stand for something an undo could take back or be too late for. All others of `1:*` are long over. */
export function undoable(
  snapshot: Snapshot,
  actor: Actor,
  scope: Scope,
  folder: Folder,
  ranges: readonly UidRange[],
  backTo?: ReadableFolder,
): readonly Uid[] {
  const found = stepsOf[folder as ActionFolder] ? staysIn(snapshot, 'uid', actor, scope, folder, ranges) : [];
  const rows = load(snapshot, [...new Set(found.map((stay) => stay.entryId))]);
  return found
    .filter(({ uid, entryId }) => {
      const row = rows.get(entryId);
      const target = row?.targets.find((each) => each.uid === uid);
      return row && target && rules.undo(row, target, { account: actor.account, backTo }).kind !== 'ignored';
    })
    .map(({ uid }) => uid);
}

export function undo(
  tx: Tx,
  actor: Actor,
  scope: Scope,
  folder: Folder,
  uids: readonly Uid[],
  backTo?: ReadableFolder,
): Taken {
  const ranges = uids.map((uid) => ({ first: uid, last: uid }));
  const found = staysIn(tx, 'uid', actor, scope, folder, ranges);
  const rows = load(tx, [...new Set(found.map((stay) => stay.entryId))]);
  const pairs: Pair[] = [];
  const left: Uid[] = [];
  const refused: Refusal[] = [];
  const untaught: number[] = [];
  for (const { uid, entryId } of found) {
    const row = rows.get(entryId);
    const target = row?.targets.find((each) => each.uid === uid);
    if (!row || !target) continue;
    const undone = rules.undo(row, target, { account: actor.account, backTo });
    if (undone.kind === 'refused') refused.push({ uid, reason: undone.reason });
    if (undone.kind !== 'undone') continue;
    const { stay } = write(tx, row, undone.next);
    if (stay !== undefined) pairs.push({ from: uid, to: stay });
    left.push(uid);
    if (trainedBy(row, target.dropId)) untaught.push(row.messageId);
  }
  unteach(tx, actor.account, untaught);
  return { pairs, left, refused, unknown: [], modSeq: tx.takenModSeq as ModSeq };
}

export function earlierPairs(
  tx: Snapshot,
  actor: Actor,
  scope: Scope,
  folder: ReadableFolder,
  action: ActionName,
  ranges: readonly UidRange[],
): readonly Pair[] {
  const onto: Folder | undefined = action === 'discard' ? 'trash' : action === 'restore' ? undefined : action;
  const found = staysIn(tx, 'from_uid', actor, scope, onto, ranges);
  const rows = load(tx, [...new Set(found.map((stay) => stay.entryId))]);
  const pairs = new Map<Uid, Uid>();
  for (const { uid, entryId } of found) {
    const row = rows.get(entryId);
    const target = row?.targets.find((each) => each.uid === uid);
    if (!row || !target || target.action !== action || target.cameFrom !== folder) continue;
    if (target.account === actor.account && rules.canBeTakenBack(row, target)) pairs.set(target.from, target.uid);
  }
  return [...pairs].map(([from, to]) => ({ from, to })).sort((a, b) => a.from - b.from);
}

/** Up to so many UIDs are looked up one by one; more of them (1:*, or many thousand sparse ones) go through the account's drops. */
const narrow = 5000;

/** Stays that drops of this account began, by their UID or the UID they were taken from; ascending by it. */
function staysIn(
  snapshot: Snapshot,
  by: 'uid' | 'from_uid',
  actor: Actor,
  scope: Scope,
  folder: Folder | undefined,
  ranges: readonly UidRange[],
): readonly { readonly uid: Uid; readonly entryId: number }[] {
  const isNarrow = ranges.reduce((sum, range) => sum + range.last - range.first + 1, 0) <= narrow;
  const source = isNarrow
    ? `json_each(?1) r CROSS JOIN stays s ON s.${by} BETWEEN r.value ->> 0 AND r.value ->> 1
        CROSS JOIN drops d ON d.id = s.drop_id AND d.account = ?2`
    : 'drops d CROSS JOIN stays s ON s.drop_id = d.id AND s.from_uid IS NOT NULL';
  const rows: { uid: Uid; entryId: number; owner: string; asked: number }[] = snapshot
    .sql(
      `SELECT DISTINCT s.uid, s.entry_id AS entryId, s.owner, s.${by} AS asked FROM ${source}
        WHERE d.account = ?2 ${folder === undefined ? '' : 'AND s.folder = ?3'} ORDER BY s.${by}`,
    )
    .all(
      isNarrow ? JSON.stringify(ranges.map((range) => [range.first, range.last])) : null,
      actor.account,
      ...(folder === undefined ? [] : [folder]),
    );
  // Stays times ranges in SQL took 80 s for 20,000 sparse UIDs; both ascend, so one walk does.
  const sorted = [...ranges].sort((a, b) => a.first - b.first);
  let at = 0;
  return rows.filter(({ asked, owner }) => {
    while (at < sorted.length && sorted[at]!.last < asked) at++;
    return at < sorted.length && sorted[at]!.first <= asked && owns(scope, owner);
  });
}

// ------------------------------------------------------------------------------------------------------------ append

export function appendForTraining(
  tx: Tx,
  message: ArrivedMessage,
  drop: Omit<DropRequest, 'folder' | 'mode'>,
): { readonly queued: boolean } {
  const step = trainingStep(drop);
  if (step === undefined) throw new TypeError(`${drop.action} trains nothing`);
  const { account } = drop.actor;
  // For whoever has the folder open; nothing of it is in any view, so the line is about no message.
  tx.log({
    kind: 'drop',
    uid: 0 as Uid,
    folder: drop.action as ActionFolder,
    entryId: 0 as EntryId,
    messageId: 0 as MessageId,
    owner: '',
    account,
  });
  const before: { class: string } | undefined = tx.sql(text.taught).get(account, message.bytes.sha256);
  if (before?.class === classOf(step)) {
    giveUp(tx, message);
    return { queued: false };
  }
  const messageId = keepMessage(tx, message);
  const id = randomUUID();
  insertDrop(tx, { ...drop, mode: 'append', id, lease: '' }, { sealed: true, ripe: true });
  tx.sql(text.addAppended).run(`${id}/-/${step}`, id, step, messageId, tx.now + drop.undoMs, tx.now);
  tx.sql(text.teach).run(account, classOf(step), JSON.stringify([messageId]));
  return { queued: true };
}

export function heldByHash(snapshot: Snapshot, scope: Scope, sha256: string): readonly Entry[] {
  const rows: EntryRow[] = snapshot.sql(text.held).all(sha256);
  return rows.filter((row) => owns(scope, row.owner)).map(rowToEntry);
}
