/**
 * Jobs: claimed by lease, ended (finish.ts) only by showing it (DESIGN §4.3).
 *
 * A lease is void when `lease` is absent; `leaseUntil` then still says how long whoever had it may not have noticed.
 *
 * Queries (filter / sort): jobs `_id`; `state, leaseUntil` / leaseUntil; `state, step, dueAt` / dueAt, order; `entryId`;
 * `state, step`; drops `_id`; messages `_id`.
 */
import { randomUUID } from 'node:crypto';
import type { Filter } from 'mongodb';
import { LeaseLost } from '../errors.ts';
import type { ClaimedJob, EntryId, Job, JobState, Step } from '../model.ts';
import type { Backlog, JobClaim } from '../port.ts';
import { restoredOutcome } from '../records.ts';
import { noTrainer, resentMessageId } from '../standing.ts';
import type { DropDoc, JobDoc } from './documents.ts';
import { jobOf } from './nouns.ts';
import type { Snapshot, Tx } from './tx.ts';

// ------------------------------------------------------------------------------------------------------------- claim

/** Whether there is something to claim, as far as a reader sees. */
export async function isAnyDue(snapshot: Snapshot, { steps }: JobClaim): Promise<boolean> {
  const { now } = snapshot;
  const step = { $in: [...steps] };
  const lostOrReady = [
    { state: 'leased' as const, step, leaseUntil: { $lte: now } },
    { state: 'ready' as const, step, dueAt: { $lte: now } },
  ];
  return (await snapshot.findOne('jobs', { $or: lostOrReady }, { projection: { _id: 1 } })) !== undefined;
}

export async function claim(tx: Tx, { steps, limit, leaseMs }: JobClaim): Promise<readonly ClaimedJob[]> {
  const lost = await claimable(
    tx,
    { state: 'leased', step: { $in: [...steps] }, leaseUntil: { $lte: tx.now } },
    { leaseUntil: 1 },
    limit,
  );
  const most = limit - lost.length;
  const due: JobDoc[] = [];
  // One step at a time: a backlog of trainings is not walked over to find a delivery.
  for (const step of steps)
    due.push(...(await claimable(tx, { state: 'ready', step, dueAt: { $lte: tx.now } }, { dueAt: 1, order: 1 }, most)));
  due.sort((a, b) => a.dueAt! - b.dueAt!);
  const jobs = onePerEntryAndStep([...lost, ...due.slice(0, Math.max(0, most))]);
  if (jobs.length === 0) return [];
  const lease = randomUUID();
  const leaseUntil = tx.now + leaseMs;
  const taken = jobs.map((job): JobDoc => ({ ...job, state: 'leased', lease, leaseUntil, attempts: job.attempts + 1 }));
  for (const job of taken) tx.write('jobs', { replaceOne: { filter: { _id: job._id }, replacement: job } });
  const dropIds = [...new Set(jobs.map((job) => job.dropId))];
  const drops = new Map((await tx.find('drops', { _id: { $in: dropIds } })).map((drop) => [drop._id, drop]));
  return taken.flatMap((job) => {
    const drop = drops.get(job.dropId);
    return drop ? [claimed(job, drop, lease, leaseUntil)] : [];
  });
}

function claimed(job: JobDoc, drop: DropDoc, lease: string, leaseUntil: number): ClaimedJob {
  return {
    ...jobOf(job),
    lease,
    leaseUntil: new Date(leaseUntil),
    actor: { account: drop.account, via: drop.via, ...(drop.person === undefined ? {} : { person: drop.person }) },
    resentMessageId: resentMessageId(drop._id, job.entryId as EntryId | undefined, drop.hostname),
    droppedAt: new Date(drop.createdAt),
  };
}

/** Jobs that nobody may still be running for their entry and step, in the order of the index. */
async function claimable(
  tx: Tx,
  filter: Filter<JobDoc>,
  sort: Readonly<Record<string, 1>>,
  limit: number,
): Promise<JobDoc[]> {
  const free: JobDoc[] = [];
  for (let skip = 0; free.length < limit; skip += limit) {
    const page = await tx.find('jobs', filter, { sort, skip, limit });
    const running = await runningBeside(tx, page);
    free.push(...page.filter((job) => !running.has(job._id)));
    if (page.length < limit) break;
  }
  return free.slice(0, limit);
}

/** Keys of those jobs whose entry has another job of the same kind with a lease that its owner may believe in. */
async function runningBeside(tx: Tx, jobs: readonly JobDoc[]): Promise<ReadonlySet<string>> {
  const entryIds = [...new Set(jobs.flatMap((job) => job.entryId ?? []))];
  if (entryIds.length === 0) return new Set();
  const others = await tx.find('jobs', {
    entryId: { $in: entryIds },
    leaseUntil: { $gt: tx.now },
    state: { $in: ['leased', 'cancelled'] },
  });
  const running = new Map<string, JobDoc[]>();
  for (const other of others) {
    const beside = running.get(entryAndStep(other));
    if (beside) beside.push(other);
    else running.set(entryAndStep(other), [other]);
  }
  const isBeside = (job: JobDoc): boolean =>
    running.get(entryAndStep(job))?.some((other) => other._id !== job._id) === true;
  return new Set(jobs.filter(isBeside).map((job) => job._id));
}

/** Of one entry neither two deliveries nor two trainings: what is learned last has to be what was meant last. */
const entryAndStep = (job: JobDoc): string =>
  job.entryId === undefined ? job._id : `${job.entryId} ${job.step === 'deliver'}`;

function onePerEntryAndStep(jobs: readonly JobDoc[]): readonly JobDoc[] {
  const seen = new Set<string>();
  return jobs.filter((job) => {
    const key = entryAndStep(job);
    const isFirst = !seen.has(key);
    seen.add(key);
    return isFirst;
  });
}

// ------------------------------------------------------------------------------------------------------------ leases

/** Whether the lease that `job` was claimed with is still good. */
export const isLeased = (doc: JobDoc | undefined, job: ClaimedJob): doc is JobDoc =>
  doc?.state === 'leased' && doc.lease === job.lease;

export async function renew(tx: Tx, job: ClaimedJob, leaseMs: number): Promise<void> {
  const doc = await tx.findOne('jobs', { _id: job.key });
  if (!isLeased(doc, job)) throw new LeaseLost();
  tx.write('jobs', { updateOne: { filter: { _id: doc._id }, update: { $set: { leaseUntil: tx.now + leaseMs } } } });
}

export function release(tx: Tx, job: ClaimedJob): void {
  tx.write('jobs', {
    updateOne: {
      filter: { _id: job.key, lease: job.lease, state: 'leased' },
      update: {
        $set: { state: 'ready', dueAt: tx.now },
        $inc: { attempts: -1 },
        $unset: { lease: 1, leaseUntil: 1 },
      },
    },
  });
}

// ----------------------------------------------------------------------------------------------------------- reading

export async function get(snapshot: Snapshot, key: string): Promise<Job | undefined> {
  const doc = await snapshot.findOne('jobs', { _id: key });
  return doc && jobOf(doc);
}

export async function ofDrop(snapshot: Snapshot, dropId: string): Promise<readonly Job[]> {
  const docs = await snapshot.find('jobs', { _id: { $gt: `${dropId}/`, $lt: `${dropId}0` } });
  return docs.sort(byAge).map(jobOf);
}

const byAge = (a: JobDoc, b: JobDoc): number => a.createdAt - b.createdAt || a.order - b.order;

export async function counts(snapshot: Snapshot): Promise<{ readonly [state in JobState]: number }> {
  const all: Record<JobState, number> = { ready: 0, leased: 0, done: 0, failed: 0, cancelled: 0 };
  const groups = await snapshot.aggregate<{ _id: JobState; count: number }>('jobs', [
    // Names all there are, so that the index is enough.
    { $match: { state: { $in: Object.keys(all) } } },
    { $group: { _id: '$state', count: { $sum: 1 } } },
  ]);
  for (const { _id, count } of groups) all[_id] = count;
  return all;
}

export async function backlog(snapshot: Snapshot): Promise<readonly Backlog[]> {
  // No due time: within the undo window. (It would compare as less than any number.)
  const isDue = {
    $and: [{ $eq: ['$state', 'ready'] }, { $gt: ['$dueAt', 0] }, { $lte: ['$dueAt', snapshot.now] }],
  };
  const groups = await snapshot.aggregate<{
    _id: Step;
    due: number;
    leased: number;
    unfinished: number;
    oldest: number | null;
  }>('jobs', [
    { $match: { state: { $in: ['ready', 'leased'] } } },
    {
      $group: {
        _id: '$step',
        due: { $sum: { $cond: [isDue, 1, 0] } },
        leased: { $sum: { $cond: [{ $eq: ['$state', 'leased'] }, 1, 0] } },
        unfinished: { $sum: 1 },
        oldest: { $min: { $cond: [isDue, '$dueAt', null] } },
      },
    },
  ]);
  groups.sort((a, b) => (a._id < b._id ? -1 : 1));
  return groups.map(({ _id, due, leased, unfinished, oldest }) => ({
    step: _id,
    due,
    oldestDueMs: oldest === null ? 0 : Math.max(0, snapshot.now - oldest),
    later: unfinished - due - leased,
    leased,
  }));
}

// ------------------------------------------------------------------------------------------------------------- retry

const trainings: readonly Step[] = ['train-ham', 'train-spam'];

/** Only the last training of an entry: what it took the place of is not learned after it. */
export async function retryUntrained(tx: Tx, { failed = false }: { readonly failed?: boolean } = {}): Promise<number> {
  const untrained = await tx.find('jobs', {
    step: { $in: [...trainings] },
    $or: [
      { state: 'done', outcome: noTrainer },
      { state: 'cancelled', outcome: restoredOutcome },
      ...(failed ? [{ state: 'failed' as const }] : []),
    ],
  });
  if (untrained.length === 0) return 0;
  const entryIds = [...new Set(untrained.flatMap((job) => job.entryId ?? []))];
  const all = await tx.find('jobs', { entryId: { $in: entryIds }, step: { $in: [...trainings] } });
  const last = new Map<number, number>();
  for (const { entryId, order, state, outcome } of all)
    if (entryId !== undefined && (state !== 'cancelled' || outcome === restoredOutcome))
      last.set(entryId, Math.max(order, last.get(entryId) ?? 0));
  const messageIds = [...new Set(untrained.map((job) => job.messageId))];
  const messages = await tx.find('messages', { _id: { $in: messageIds } }, { projection: { sha256: 1 } });
  const there = new Set(messages.map((message) => message._id));
  const keys = untrained
    .filter((job) => there.has(job.messageId) && (job.entryId === undefined || last.get(job.entryId) === job.order))
    .map((job) => job._id);
  if (keys.length > 0)
    tx.write('jobs', {
      updateMany: {
        filter: { _id: { $in: keys } },
        update: {
          $set: { state: 'ready', dueAt: tx.now, createdAt: tx.now, attempts: 0 },
          $unset: { endedAt: 1, outcome: 1 },
        },
      },
    });
  return keys.length;
}
