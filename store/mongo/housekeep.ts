/**
 * Work that nobody asks for. Bounded per call, safe for several processes at once: each step is guarded by the state it
 * starts from, inside the writing transaction.
 *
 * Queries (filter / sort): drops `nextAt` / nextAt; jobs `dropId, state: ready, dueAt` absent; entries `leaveAt` / leaveAt;
 * entries `state: held, expiresAt` / expiresAt;
 * jobs `state, step, dueAt` / dueAt; jobs `state, leaseUntil` / leaseUntil.
 */
import { channel } from 'node:diagnostics_channel';
import type { Step } from '../model.ts';
import { pieceSize } from '../standing.ts';
import * as rules from '../transitions.ts';
import { trimChanges } from './changes.ts';
import type { DropDoc } from './documents.ts';
import { rollBackSome, sealFor } from './drops.ts';
import { standingsOf, write } from './standing.ts';
import type { Snapshot, Tx } from './tx.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = { abandoned: channel('lazaret:store.abandoned'), leaving: channel('lazaret:store.leaving') };

/** The log is kept for a fortnight: a client that was away for longer loads its folders anew. */
const changesMs = 14 * 86_400_000;

export async function housekeep(tx: Tx): Promise<{ readonly more: boolean; readonly nextDueAt?: Date }> {
  // In turn, so that one call does about one unit of work: the next step waits for the caller to come back.
  const more =
    (await tendDrop(tx)) ||
    (await endLeaving(tx)) ||
    (await endExpired(tx)) ||
    (await trimChanges(tx, changesMs, pieceSize));
  const next = await nextDue(tx);
  return next === undefined ? { more } : { more, nextDueAt: new Date(next) };
}

/** The drop that has waited longest to be ended or to become ripe. */
async function tendDrop(tx: Tx): Promise<boolean> {
  const drop = await tx.findOne('drops', { nextAt: { $lte: tx.now } }, { sort: { nextAt: 1 } });
  if (!drop) return false;
  if (drop.sealedAt === undefined) await endAbandoned(tx, drop);
  else await ripen(tx, drop, drop.sealedAt + drop.undoMs);
  return true;
}

/** DESIGN §7.5: when the lease of a drop has run out, a MOVE is sealed with what it has, a COPY is rolled back. */
async function endAbandoned(tx: Tx, drop: DropDoc): Promise<void> {
  steps.abandoned.publish(drop);
  if (drop.mode === 'move') sealFor(tx, drop);
  else await rollBackSome(tx, drop, pieceSize);
}

/** The undo window of a sealed drop has passed: its jobs can be claimed, some at a time. */
async function ripen(tx: Tx, drop: DropDoc, due: number): Promise<void> {
  const unripe = await tx.find(
    'jobs',
    { dropId: drop._id, state: 'ready', dueAt: { $exists: false } },
    { limit: pieceSize, projection: { _id: 1 } },
  );
  if (unripe.length > 0)
    tx.write('jobs', {
      updateMany: { filter: { _id: { $in: unripe.map((job) => job._id) } }, update: { $set: { dueAt: due } } },
    });
  if (unripe.length < pieceSize)
    tx.write('drops', {
      updateOne: { filter: { _id: drop._id }, update: { $set: { ripeAt: tx.now }, $unset: { nextAt: 1 } } },
    });
}

/** Released copies whose time in view is over. */
async function endLeaving(tx: Tx): Promise<boolean> {
  const docs = await tx.find('entries', { leaveAt: { $lte: tx.now } }, { sort: { leaveAt: 1 }, limit: pieceSize });
  if (docs.length === 0) return false;
  steps.leaving.publish(docs.map((doc) => doc._id));
  for (const row of (await standingsOf(tx, docs)).values()) write(tx, row, rules.leavesView(row));
  return docs.length === pieceSize;
}

/** Entries in Training Requested that nobody took in their time. */
async function endExpired(tx: Tx): Promise<boolean> {
  const filter = { state: 'held', expiresAt: { $lte: tx.now } } as const;
  const docs = await tx.find('entries', filter, { sort: { expiresAt: 1 }, limit: pieceSize });
  for (const row of (await standingsOf(tx, docs)).values()) write(tx, row, rules.timeIsUp(row));
  return docs.length === pieceSize;
}

const everyStep: readonly Step[] = ['deliver', 'train-ham', 'train-spam'];

/** When there is something to do next, here or for workers; the past where it is due already. */
async function nextDue(snapshot: Snapshot): Promise<number | undefined> {
  const { now } = snapshot;
  const times = [
    (await snapshot.findOne('drops', { nextAt: { $gt: 0 } }, { sort: { nextAt: 1 } }))?.nextAt,
    (await snapshot.findOne('entries', { leaveAt: { $gt: 0 } }, { sort: { leaveAt: 1 } }))?.leaveAt,
    (await snapshot.findOne('entries', { state: 'held', expiresAt: { $gt: 0 } }, { sort: { expiresAt: 1 } }))
      ?.expiresAt,
    (await snapshot.findOne('jobs', { state: 'leased', leaseUntil: { $gt: now } }, { sort: { leaseUntil: 1 } }))
      ?.leaseUntil,
  ];
  for (const step of everyStep) {
    const filter = { state: 'ready', step, dueAt: { $gt: now } } as const;
    times.push((await snapshot.findOne('jobs', filter, { sort: { dueAt: 1, order: 1 } }))?.dueAt);
  }
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
