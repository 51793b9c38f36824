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
import { isLogOld, trimChanges } from './changes.ts';
import type { DropDoc } from './documents.ts';
import { rollBackSome, sealFor } from './drops.ts';
import { standingsOf, write } from './standing.ts';
import type { Snapshot, Tx } from './tx.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const steps = { abandoned: channel('lazaret:store.abandoned'), leaving: channel('lazaret:store.leaving') };

/** The log is kept for a fortnight: a client that was away for longer loads its folders anew. */
const changesMs = 14 * 86_400_000;

/** Whether there is something to do now, and when there will be: read by the way, for a turn of the writers is dear. */
export async function look(snapshot: Snapshot): Promise<{ readonly due: boolean; readonly nextDueAt?: Date }> {
  const [own, jobs, logIsOld] = await Promise.all([
    ownTimes(snapshot),
    jobTimes(snapshot),
    isLogOld(snapshot, changesMs),
  ]);
  const times = [...own, ...jobs].filter((time) => time !== undefined);
  return {
    due: logIsOld || own.some((time) => time !== undefined && time <= snapshot.now),
    ...(times.length > 0 && { nextDueAt: new Date(Math.min(...times)) }),
  };
}

/** Answers whether there is more to do. In turn, so that one call does about one unit of work. */
export async function housekeep(tx: Tx): Promise<boolean> {
  return (
    (await tendDrop(tx)) ||
    (await endLeaving(tx)) ||
    (await endExpired(tx)) ||
    (await trimChanges(tx, changesMs, pieceSize))
  );
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

/** When the next drop, copy, expiry is due: it may be past. */
async function ownTimes(snapshot: Snapshot): Promise<(number | undefined)[]> {
  const [drop, copy, expiring] = await Promise.all([
    snapshot.findOne('drops', { nextAt: { $gt: 0 } }, { sort: { nextAt: 1 } }),
    snapshot.findOne('entries', { leaveAt: { $gt: 0 } }, { sort: { leaveAt: 1 } }),
    snapshot.findOne('entries', { state: 'held', expiresAt: { $gt: 0 } }, { sort: { expiresAt: 1 } }),
  ]);
  return [drop?.nextAt, copy?.leaveAt, expiring?.expiresAt];
}

/** When the next lease runs out, and the next job that is put off is due: for workers. */
async function jobTimes(snapshot: Snapshot): Promise<(number | undefined)[]> {
  const { now } = snapshot;
  const leased = { state: 'leased', leaseUntil: { $gt: now } } as const;
  const [lease, ...ready] = await Promise.all([
    snapshot.findOne('jobs', leased, { sort: { leaseUntil: 1 } }),
    ...everyStep.map((step) =>
      snapshot.findOne('jobs', { state: 'ready', step, dueAt: { $gt: now } }, { sort: { dueAt: 1, order: 1 } }),
    ),
  ]);
  return [lease?.leaseUntil, ...ready.map((job) => job?.dueAt)];
}
