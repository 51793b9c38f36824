/**
 * How jobs end. What the end of a delivery means for its entry is decided in ../transitions.ts. All that end together are
 * looked up together; one by one a burst of releases would be some hundred questions.
 *
 * Queries (filter): jobs `_id`, `entryId`; entries `_id`; drops `_id`.
 */
import { LeaseLost } from '../errors.ts';
import type { ClaimedJob } from '../model.ts';
import type { Outcome } from '../port.ts';
import { lineOf } from '../standing.ts';
import * as rules from '../transitions.ts';
import type { Batch } from './batch.ts';
import type { JobDoc } from './documents.ts';
import { isLeased } from './jobs.ts';
import { type Outcome as Answer, outcomeOf } from './queue.ts';
import { endAction, type LoadedRow, load, save, write } from './standing.ts';
import type { Tx } from './tx.ts';

export interface End {
  readonly job: ClaimedJob;
  readonly outcome: Outcome;
}

/** What was looked up before any of these ends was written: so no entry is in it twice. */
interface Known {
  readonly jobs: ReadonlyMap<string, JobDoc>;
  readonly rows: ReadonlyMap<number, LoadedRow>;
  /** Keys of the deliveries beside trainings. */
  readonly deliveries: ReadonlySet<string>;
}

export async function finishTogether(batch: Batch, ends: readonly End[]): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  for (const group of apart(ends)) {
    const known = await lookUp(batch, group);
    for (const end of group) answers.push(await outcomeOf(() => batch.run((tx) => finish(tx, end, known))));
  }
  return answers;
}

/** In their order, and no entry twice in a group: what the first writes the second has to see. */
function apart(ends: readonly End[]): readonly (readonly End[])[] {
  const groups: End[][] = [];
  let seen = new Set<number | string>();
  for (const end of ends) {
    const whose = end.job.entryId ?? end.job.key;
    if (groups.length === 0 || seen.has(whose)) {
      groups.push([]);
      seen = new Set();
    }
    groups.at(-1)!.push(end);
    seen.add(whose);
  }
  return groups;
}

async function lookUp(tx: Tx, ends: readonly End[]): Promise<Known> {
  const found = await tx.find('jobs', { _id: { $in: ends.map(({ job }) => job.key) } });
  const rows = await load(
    tx,
    found.flatMap(({ entryId }) => entryId ?? []),
  );
  const keys = found.flatMap((job) => (isTraining(job) ? deliveryBeside(job) : []));
  const deliveries = keys.length === 0 ? [] : await tx.find('jobs', { _id: { $in: keys } }, { projection: { _id: 1 } });
  return {
    jobs: new Map(found.map((job) => [job._id, job])),
    rows,
    deliveries: new Set(deliveries.map(({ _id }) => _id)),
  };
}

const isTraining = ({ step, entryId }: JobDoc): boolean => step !== 'deliver' && entryId !== undefined;
const deliveryBeside = ({ dropId, entryId }: JobDoc): string => `${dropId}/${entryId}/deliver`;

/** @throws LeaseLost */
async function finish(tx: Tx, { job, outcome }: End, known: Known): Promise<void> {
  const doc = known.jobs.get(job.key);
  if (!isLeased(doc, job)) throw new LeaseLost();
  const { _id, entryId, dropId } = doc;
  const { said } = outcome;
  const { lease: _lease, leaseUntil: _until, dueAt: _due, ...rest } = doc;
  const replacement: JobDoc =
    outcome.kind === 'later'
      ? {
          ...rest,
          state: 'ready',
          dueAt: tx.now + outcome.afterMs,
          outcome: said,
          attempts: doc.attempts - (outcome.untried ? 1 : 0),
        }
      : { ...rest, state: outcome.kind, endedAt: tx.now, outcome: said };
  tx.write('jobs', { replaceOne: { filter: { _id }, replacement } });
  const entry = entryId === undefined ? undefined : known.rows.get(entryId);
  if (!entry) return;
  if (!isTraining(doc)) await finishDelivery(tx, doc, entry, outcome);
  // What decides whether the drop can be undone has ended: its stay need not outlive the log. (A release is decided by
  // its delivery; the training beside it by itself would be too early.)
  else if (outcome.kind !== 'later' && !known.deliveries.has(deliveryBeside(doc)))
    if (endAction(tx, entry, dropId, tx.lastModSeq)) save(tx, entry);
}

async function finishDelivery(tx: Tx, job: JobDoc, entry: LoadedRow, outcome: Outcome): Promise<void> {
  // Nobody but the drop that this delivery belongs to has a claim on the entry while its lease is good.
  if (entry.state !== 'dropped' || entry.dropId !== job.dropId) return;
  switch (outcome.kind) {
    case 'done':
      // Nothing in view changes by it, so it takes no mod-sequence of its own.
      endAction(tx, entry, job.dropId, tx.lastModSeq);
      write(tx, entry, rules.delivered(entry, outcome.leaveAfterMs > 0 ? tx.now + outcome.leaveAfterMs : undefined));
      return;
    case 'failed': {
      const { stay } = write(tx, entry, rules.comesBack(entry, outcome.prefix));
      if (outcome.notice === undefined || stay === undefined) return;
      const drop = await tx.findOne('drops', { _id: job.dropId });
      if (!drop) return;
      const { account } = drop;
      const document = { _id: tx.modSeq() * 1000, account, text: outcome.notice, at: tx.now };
      tx.write('notices', { insertOne: { document } });
      tx.log({ kind: 'notice', ...lineOf(entry, stay, rules.homeOf(entry)), account });
      return;
    }
    case 'later':
      if (outcome.show) write(tx, entry, rules.shown(entry, outcome.show.prefix));
  }
}
