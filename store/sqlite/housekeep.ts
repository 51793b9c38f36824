/**
 * Work that nobody asks for. Bounded per call, safe for several processes at once: each step is guarded by the state it
 * starts from, inside the writing transaction.
 */
import { channel } from 'node:diagnostics_channel';
import { pieceSize } from '../standing.ts';
import * as rules from '../transitions.ts';
import { trimChanges } from './changes.ts';
import { type DropStanding, rollBackSome } from './drops.ts';
import { sweepUploads } from './messages.ts';
import { load, write } from './standing.ts';
import type { Snapshot, Tx } from './tx.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = { abandoned: channel('lazaret:store.abandoned'), leaving: channel('lazaret:store.leaving') };

/** Bytes that nobody admitted go after a day. */
const uploadsMs = 86_400_000;
/** The log is kept for a fortnight: a client that was away for longer loads its folders anew. */
const changesMs = 14 * 86_400_000;

const text = {
  abandoned: `SELECT id, account, action, mode, undo_ms, lease, sealed_at, rolled_back_at FROM drops
    WHERE sealed_at IS NULL AND rolled_back_at IS NULL AND lease_until <= ? ORDER BY lease_until LIMIT 1`,
  takeOver: "UPDATE drops SET lease = '' WHERE id = ?",
  seal: "UPDATE drops SET sealed_at = ?, lease = '' WHERE id = ?",
  unripe: `SELECT id, sealed_at + undo_ms AS due FROM drops
    WHERE sealed_at IS NOT NULL AND ripe_at IS NULL AND sealed_at + undo_ms <= ? ORDER BY sealed_at LIMIT 1`,
  ripen: `UPDATE jobs SET due_at = ?2 WHERE rowid IN (SELECT rowid FROM jobs INDEXED BY jobs_unripe
    WHERE key > ?1 || '/' AND key < ?1 || '0' AND due_at IS NULL AND state = 'ready' LIMIT ?3)`,
  ripe: 'UPDATE drops SET ripe_at = ? WHERE id = ?',
  leaving: 'SELECT id FROM entries WHERE leave_at <= ? ORDER BY leave_at LIMIT ?',
  expiring: "SELECT id FROM entries WHERE state = 'held' AND expires_at <= ? ORDER BY expires_at LIMIT ?",
  next: `SELECT min(at) AS at FROM (
    SELECT min(lease_until) AS at FROM drops WHERE sealed_at IS NULL AND rolled_back_at IS NULL UNION ALL
    SELECT min(sealed_at + undo_ms) FROM drops WHERE sealed_at IS NOT NULL AND ripe_at IS NULL UNION ALL
    SELECT min(leave_at) FROM entries WHERE leave_at IS NOT NULL UNION ALL
    SELECT min(expires_at) FROM entries WHERE expires_at IS NOT NULL AND state = 'held' UNION ALL
    SELECT min(due_at) FROM jobs WHERE state = 'ready' AND step = 'deliver' AND due_at > ?1 UNION ALL
    SELECT min(due_at) FROM jobs WHERE state = 'ready' AND step = 'train-ham' AND due_at > ?1 UNION ALL
    SELECT min(due_at) FROM jobs WHERE state = 'ready' AND step = 'train-spam' AND due_at > ?1 UNION ALL
    SELECT min(lease_until) FROM jobs WHERE state = 'leased' AND lease_until > ?1)`,
};

export function housekeep(tx: Tx): { readonly more: boolean; readonly nextDueAt?: Date } {
  // In turn, so that one call does about one unit of work: the next step waits for the caller to come back.
  const more =
    endAbandoned(tx) ||
    ripen(tx) ||
    endLeaving(tx) ||
    endExpired(tx) ||
    sweepUploads(tx, uploadsMs, 20) ||
    trimChanges(tx, changesMs, pieceSize);
  const next = nextDue(tx);
  return next === undefined ? { more } : { more, nextDueAt: next };
}

/** DESIGN §7.5: when the lease of a drop has run out, a MOVE is sealed with what it has, a COPY is rolled back. */
function endAbandoned(tx: Tx): boolean {
  const drop: DropStanding | undefined = tx.sql(text.abandoned).get(tx.now);
  if (!drop) return false;
  steps.abandoned.publish(drop);
  if (drop.mode === 'move') tx.sql(text.seal).run(tx.now, drop.id);
  else {
    tx.sql(text.takeOver).run(drop.id);
    rollBackSome(tx, drop, pieceSize);
  }
  return true;
}

/** The undo window of a sealed drop has passed: its jobs can be claimed, some at a time. */
function ripen(tx: Tx): boolean {
  const drop: { id: string; due: number } | undefined = tx.sql(text.unripe).get(tx.now);
  if (!drop) return false;
  const { changes } = tx.sql(text.ripen).run(drop.id, drop.due, pieceSize);
  if (Number(changes) < pieceSize) tx.sql(text.ripe).run(tx.now, drop.id);
  return true;
}

/** Released copies whose time in view is over. */
function endLeaving(tx: Tx): boolean {
  const ids: number[] = tx
    .sql(text.leaving)
    .all(tx.now, pieceSize)
    .map((row: { id: number }) => row.id);
  if (ids.length > 0) steps.leaving.publish(ids);
  for (const row of load(tx, ids).values()) write(tx, row, rules.leavesView(row));
  return ids.length === pieceSize;
}

/** Entries in Training Requested that nobody took in their time. */
function endExpired(tx: Tx): boolean {
  const ids: number[] = tx
    .sql(text.expiring)
    .all(tx.now, pieceSize)
    .map((row: { id: number }) => row.id);
  for (const row of load(tx, ids).values()) write(tx, row, rules.timeIsUp(row));
  return ids.length === pieceSize;
}

function nextDue(snapshot: Snapshot): Date | undefined {
  const row: { at: number | null } = snapshot.sql(text.next).get(snapshot.now);
  return row.at === null ? undefined : new Date(row.at);
}
