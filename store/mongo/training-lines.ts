/**
 * What came of trainings: noted for good, read by message, as a list and as counts.
 *
 * Queries (filter / sort): jobs `_id`; trainingLines `messageId` / _id; `_id`, `trainer`, `outcome`, both / _id descending; counts
 * by `trainer, outcome` and class.
 */
import type { Filter } from 'mongodb';
import { LeaseLost } from '../errors.ts';
import type { ClaimedJob, EntryId, MessageId, TrainingLine } from '../model.ts';
import type { TrainingCount, TrainingQuery } from '../port.ts';
import { trainingLinesKept } from '../standing.ts';
import type { TrainingLineDoc } from './documents.ts';
import type { Snapshot, Tx } from './tx.ts';

export async function noteTraining(
  tx: Tx,
  job: ClaimedJob,
  line: Pick<TrainingLine, 'trainer' | 'class' | 'kind' | 'said' | 'user'>,
): Promise<void> {
  const doc = await tx.findOne('jobs', { _id: job.key });
  // Cancelled while its lease was good: whoever ran it did not notice in time, and it was learned all the same.
  const isOurs =
    (doc?.state === 'leased' && doc.lease === job.lease) ||
    (doc?.state === 'cancelled' && (doc.leaseUntil ?? 0) > tx.now);
  if (!isOurs) throw new LeaseLost();
  const { trainer, kind, said, user } = line;
  const { messageId, entryId } = job;
  const known = await linesOf(tx, { messageId });
  const isReplaced = (each: TrainingLineDoc): boolean =>
    each.jobKey === job.key && each.trainer === trainer && each.user === user && each.outcome === 'later';
  const kept = known.filter((each) => !isReplaced(each));
  const gone = [...known.filter(isReplaced), ...kept.slice(0, Math.max(0, kept.length + 1 - trainingLinesKept))];
  if (gone.length > 0)
    tx.write('trainingLines', { deleteMany: { filter: { _id: { $in: gone.map(({ _id }) => _id) } } } });
  const document: TrainingLineDoc = {
    _id: tx.nextJob(),
    jobKey: job.key,
    messageId,
    ...(entryId === undefined ? {} : { entryId }),
    at: tx.now,
    account: job.actor.account,
    trainer,
    class: line.class,
    outcome: kind,
    said,
    ...(user === undefined ? {} : { user }),
  };
  tx.write('trainingLines', { insertOne: { document } });
}

function linesOf(snapshot: Snapshot, filter: Filter<TrainingLineDoc>): Promise<TrainingLineDoc[]> {
  return snapshot.find('trainingLines', filter, { sort: { _id: 1 }, hint: 'lines_by_message' });
}

export async function trainingsOf(snapshot: Snapshot, messageId: MessageId): Promise<readonly TrainingLine[]> {
  return (await linesOf(snapshot, { messageId })).map(lineOf);
}

export async function trainingsOfEntry(
  snapshot: Snapshot,
  messageId: number,
  entryId: EntryId,
): Promise<readonly TrainingLine[]> {
  return (await linesOf(snapshot, { messageId, entryId })).map(lineOf);
}

/** Each way to ask walks an index that ends with the id, newest first, and stops at the limit. */
export async function trainings(snapshot: Snapshot, query: TrainingQuery): Promise<readonly TrainingLine[]> {
  const { limit, before, trainer, kind } = query;
  if (limit < 1) return []; // to MongoDB 0 is no limit
  const filter: Filter<TrainingLineDoc> = {
    ...(trainer === undefined ? {} : { trainer }),
    ...(kind === undefined ? {} : { outcome: kind }),
    ...(before === undefined ? {} : { _id: { $lt: before } }),
  };
  const hint =
    trainer === undefined ? (kind === undefined ? { _id: 1 as const } : 'lines_by_outcome') : byTrainer(kind);
  return (await snapshot.find('trainingLines', filter, { sort: { _id: -1 }, limit, hint })).map(lineOf);
}

const byTrainer = (kind: string | undefined): string => (kind === undefined ? 'lines_by_trainer' : 'lines_by_both');

export async function trainingStats(snapshot: Snapshot): Promise<readonly TrainingCount[]> {
  type Key = Pick<TrainingLineDoc, 'trainer' | 'class' | 'outcome'>;
  const groups = await snapshot.aggregate<{ readonly _id: Key; readonly count: number }>('trainingLines', [
    // Names them all, so that the index is enough.
    { $match: { trainer: { $gte: '' }, outcome: { $in: ['learned', 'known', 'refused', 'later'] } } },
    { $group: { _id: { trainer: '$trainer', class: '$class', outcome: '$outcome' }, count: { $sum: 1 } } },
  ]);
  const order = ({ _id }: { readonly _id: Key }): string => `${_id.trainer}\0${_id.class}\0${_id.outcome}`;
  groups.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  return groups.map(({ _id, count }) => ({ trainer: _id.trainer, class: _id.class, kind: _id.outcome, count }));
}

function lineOf(doc: TrainingLineDoc): TrainingLine {
  return {
    id: doc._id,
    jobKey: doc.jobKey,
    messageId: doc.messageId as MessageId,
    ...(doc.entryId === undefined ? {} : { entryId: doc.entryId as EntryId }),
    at: new Date(doc.at),
    account: doc.account,
    trainer: doc.trainer,
    class: doc.class,
    kind: doc.outcome,
    said: doc.said,
    ...(doc.user === undefined ? {} : { user: doc.user }),
  };
}
