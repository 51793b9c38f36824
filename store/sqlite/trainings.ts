/** What came of trainings: noted for good, read by message, as a list and as counts. */
import { LeaseLost } from '../errors.ts';
import type { ClaimedJob, EntryId, MessageId, TrainingKind, TrainingLine } from '../model.ts';
import type { TrainingCount, TrainingQuery } from '../port.ts';
import { trainingLinesKept } from '../standing.ts';
import type { Snapshot, Tx } from './tx.ts';

interface LineRow {
  readonly id: number;
  readonly job_key: string;
  readonly message_id: MessageId;
  readonly entry_id: EntryId | null;
  readonly at: number;
  readonly account: string;
  readonly trainer: string;
  readonly class: TrainingLine['class'];
  readonly outcome: TrainingKind;
  readonly said: string;
  readonly user_: string | null;
}

const text = {
  // Cancelled while its lease was good: whoever ran it did not notice in time, and it was learned all the same.
  mayNote: `SELECT 1 FROM jobs WHERE key = ?1 AND (state = 'leased' AND lease = ?2
    OR state = 'cancelled' AND lease_until > ?3)`,
  replaces: `DELETE FROM training_lines WHERE message_id = ? AND +job_key = ? AND +trainer = ? AND user_ IS ?
    AND +outcome = 'later'`,
  insert: `INSERT INTO training_lines (job_key, message_id, entry_id, at, account, trainer, class, outcome, said, user_)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  bound: `DELETE FROM training_lines WHERE message_id = ?1 AND id <=
    (SELECT id FROM training_lines WHERE message_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ${trainingLinesKept})`,
  ofMessage: 'SELECT * FROM training_lines WHERE message_id = ? ORDER BY id',
  ofEntry: 'SELECT * FROM training_lines WHERE message_id = ? AND entry_id = ? ORDER BY id',
  stats: `SELECT trainer, class, outcome AS kind, count(*) AS count FROM training_lines INDEXED BY training_lines_by_both
    GROUP BY trainer, class, outcome ORDER BY trainer, class, outcome`,
};

export function noteTraining(
  tx: Tx,
  job: ClaimedJob,
  line: Pick<TrainingLine, 'trainer' | 'class' | 'kind' | 'said' | 'user'>,
): void {
  if (!tx.sql(text.mayNote).get(job.key, job.lease, tx.now)) throw new LeaseLost();
  const { trainer, kind, said } = line;
  const user = line.user ?? null;
  tx.sql(text.replaces).run(job.messageId, job.key, trainer, user);
  tx.sql(text.insert).run(
    job.key,
    job.messageId,
    job.entryId ?? null,
    tx.now,
    job.actor.account,
    trainer,
    line.class,
    kind,
    said,
    user,
  );
  tx.sql(text.bound).run(job.messageId);
}

export function trainingsOf(snapshot: Snapshot, messageId: MessageId): readonly TrainingLine[] {
  const rows: LineRow[] = snapshot.sql(text.ofMessage).all(messageId);
  return rows.map(rowToLine);
}

export function trainingsOfEntry(snapshot: Snapshot, messageId: MessageId, id: EntryId): readonly TrainingLine[] {
  const rows: LineRow[] = snapshot.sql(text.ofEntry).all(messageId, id);
  return rows.map(rowToLine);
}

/** Each way to ask walks an index that ends with the id, newest first, and stops at the limit. */
export function trainingsText({ before, trainer, kind }: TrainingQuery): string {
  const index =
    trainer !== undefined && kind !== undefined
      ? 'INDEXED BY training_lines_by_both'
      : trainer !== undefined
        ? 'INDEXED BY training_lines_by_trainer'
        : kind !== undefined
          ? 'INDEXED BY training_lines_by_outcome'
          : 'NOT INDEXED';
  const conditions = ['TRUE'];
  if (trainer !== undefined) conditions.push('trainer = ?');
  if (kind !== undefined) conditions.push('outcome = ?');
  if (before !== undefined) conditions.push('id < ?');
  return `SELECT * FROM training_lines ${index} WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ?`;
}

export function trainings(snapshot: Snapshot, query: TrainingQuery): readonly TrainingLine[] {
  const { before, trainer, kind, limit } = query;
  const values = [trainer, kind, before].filter((value) => value !== undefined);
  const rows: LineRow[] = snapshot.sql(trainingsText(query)).all(...values, Math.max(0, limit));
  return rows.map(rowToLine);
}

export function trainingStats(snapshot: Snapshot): readonly TrainingCount[] {
  return snapshot.sql(text.stats).all();
}

function rowToLine(row: LineRow): TrainingLine {
  return {
    id: row.id,
    jobKey: row.job_key,
    messageId: row.message_id,
    ...(row.entry_id === null ? {} : { entryId: row.entry_id }),
    at: new Date(row.at),
    account: row.account,
    trainer: row.trainer,
    class: row.class,
    kind: row.outcome,
    said: row.said,
    ...(row.user_ === null ? {} : { user: row.user_ }),
  };
}
