/**
 * Jobs: claimed by lease, ended only by showing it (DESIGN §4.3). What the end of a delivery means for its entry is
 * decided in ../transitions.ts.
 *
 * A lease is void when `lease` is null; `lease_until` then still says how long whoever had it may not have noticed.
 */
import { randomUUID } from 'node:crypto';
import { LeaseLost } from '../errors.ts';
import type { ClaimedJob, EntryId, Job, JobState, Step } from '../model.ts';
import type { Backlog, JobClaim, Outcome } from '../port.ts';
import { restoredOutcome } from '../records.ts';
import { lineOf, noTrainer, resentMessageId } from '../standing.ts';
import * as rules from '../transitions.ts';
import { type JobRow, rowToJob } from './rows.ts';
import { loadOne, write } from './standing.ts';
import type { Snapshot, Tx } from './tx.ts';

/** Of one entry neither two deliveries nor two trainings: what is learned last has to be what was meant last. */
const nobodyRunsIt = `NOT EXISTS (SELECT 1 FROM jobs o WHERE o.entry_id = j.entry_id
    AND (o.step = 'deliver') = (j.step = 'deliver') AND o.key <> j.key AND +o.lease_until > ?1 AND +o.state IN ('leased', 'cancelled'))`;

const text = {
  lost: `SELECT j.key FROM jobs j INDEXED BY jobs_leased WHERE j.state = 'leased' AND j.lease_until <= ?1
    AND +j.step IN (SELECT value FROM json_each(?2)) AND ${nobodyRunsIt} ORDER BY j.lease_until LIMIT ?3`,
  // One step at a time: a backlog of trainings is not walked over to find a delivery.
  due: `SELECT j.key, j.due_at AS dueAt FROM jobs j INDEXED BY jobs_due WHERE j.state = 'ready' AND j.step = ?2
    AND j.due_at <= ?1 AND ${nobodyRunsIt} ORDER BY j.due_at, j.rowid LIMIT ?3`,
  lease: `UPDATE jobs SET state = 'leased', lease = ?, lease_until = ?, attempts = attempts + 1
    WHERE key IN (SELECT value FROM json_each(?))`,
  claimed: `SELECT j.*, d.account, d.person, d.via, d.hostname, d.created_at AS dropped_at
    FROM json_each(?) i CROSS JOIN jobs j ON j.key = i.value CROSS JOIN drops d ON d.id = j.drop_id`,
  held: `SELECT j.*, d.account FROM jobs j JOIN drops d ON d.id = j.drop_id
    WHERE j.key = ? AND j.lease = ? AND j.state = 'leased'`,
  renew: "UPDATE jobs SET lease_until = ? WHERE key = ? AND lease = ? AND state = 'leased'",
  release: `UPDATE jobs SET state = 'ready', due_at = ?, attempts = attempts - 1, lease = NULL, lease_until = NULL
    WHERE key = ? AND lease = ? AND state = 'leased'`,
  end: `UPDATE jobs SET state = ?, ended_at = ?, outcome = ?, due_at = NULL, lease = NULL, lease_until = NULL
    WHERE key = ?`,
  later: `UPDATE jobs SET state = 'ready', due_at = ?, outcome = ?, attempts = attempts - ?, lease = NULL, lease_until = NULL WHERE key = ?`,
  // Nothing in view changes by it, so it takes no mod-sequence of its own.
  endAction: `UPDATE stays SET ended_at = ?, ended_mod_seq = (SELECT last_mod_seq FROM counters)
    WHERE entry_id = ? AND +drop_id = ? AND ended_at IS NULL AND folder IN ('release', 'release-train', 'spam', 'not-spam')`,
  notice: 'INSERT INTO notices (account, text, at) VALUES (?, ?, ?)',
  get: 'SELECT * FROM jobs WHERE key = ?',
  ofDrop: "SELECT * FROM jobs WHERE key > ?1 || '/' AND key < ?1 || '0' ORDER BY created_at, rowid",
  // Only the last training of an entry: what it took the place of is not learned after it.
  retry: (
    failed: boolean,
  ) => `UPDATE jobs AS j SET state = 'ready', due_at = ?1, created_at = ?1, ended_at = NULL, outcome = NULL,
    attempts = 0
    WHERE j.step IN ('train-ham', 'train-spam') AND (j.state = 'done' AND j.outcome = '${noTrainer}'
      OR j.state = 'cancelled' AND j.outcome = '${restoredOutcome}'${failed ? " OR j.state = 'failed'" : ''})
    AND EXISTS (SELECT 1 FROM messages m WHERE m.id = j.message_id)
    AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.entry_id = j.entry_id AND o.step <> 'deliver'
      AND (o.state <> 'cancelled' OR o.outcome = '${restoredOutcome}') AND o.rowid > j.rowid)`,
  counts: 'SELECT state, count(*) AS count FROM jobs GROUP BY state',
  // By the index alone. No due time: within the undo window.
  backlog: `SELECT step, count(*) FILTER (WHERE state = 'ready' AND due_at <= ?1) AS due,
    count(*) FILTER (WHERE state = 'leased') AS leased, count(*) AS unfinished,
    min(due_at) FILTER (WHERE state = 'ready' AND due_at <= ?1) AS oldest
    FROM jobs INDEXED BY jobs_due WHERE state IN ('ready', 'leased') GROUP BY step`,
};

interface ClaimedRow extends JobRow {
  readonly account: string;
  readonly person: string | null;
  readonly via: string;
  readonly hostname: string;
  readonly dropped_at: number;
}

export function claim(tx: Tx, { steps, limit, leaseMs }: JobClaim): readonly ClaimedJob[] {
  const lost: { key: string }[] = tx.sql(text.lost).all(tx.now, JSON.stringify(steps), limit);
  const most = limit - lost.length;
  const due: { key: string; dueAt: number }[] =
    most > 0 ? steps.flatMap((step) => tx.sql(text.due).all(tx.now, step, most)) : [];
  due.sort((a, b) => a.dueAt - b.dueAt);
  const keys = [...lost, ...due.slice(0, most)].map((row) => row.key);
  if (keys.length === 0) return [];
  const lease = randomUUID();
  const list = JSON.stringify(keys);
  tx.sql(text.lease).run(lease, tx.now + leaseMs, list);
  const rows: ClaimedRow[] = tx.sql(text.claimed).all(list);
  return rows.map((row) => ({
    ...rowToJob(row),
    lease,
    leaseUntil: new Date(tx.now + leaseMs),
    actor: { account: row.account, via: row.via, ...(row.person === null ? {} : { person: row.person }) },
    resentMessageId: resentMessageId(row.drop_id, row.entry_id ?? undefined, row.hostname),
    droppedAt: new Date(row.dropped_at),
  }));
}

export function renew(tx: Tx, job: ClaimedJob, leaseMs: number): void {
  const { changes } = tx.sql(text.renew).run(tx.now + leaseMs, job.key, job.lease);
  if (changes === 0) throw new LeaseLost();
}

export function release(tx: Tx, job: ClaimedJob): void {
  tx.sql(text.release).run(tx.now, job.key, job.lease);
}

export function finish(tx: Tx, job: ClaimedJob, outcome: Outcome): void {
  const row: (JobRow & { readonly account: string }) | undefined = tx.sql(text.held).get(job.key, job.lease);
  if (!row) throw new LeaseLost();
  if (outcome.kind === 'later')
    tx.sql(text.later).run(tx.now + outcome.afterMs, outcome.said, outcome.untried ? 1 : 0, row.key);
  else tx.sql(text.end).run(outcome.kind, tx.now, outcome.said, row.key);
  if (row.entry_id === null) return;
  if (row.step === 'deliver') finishDelivery(tx, row, row.entry_id, outcome);
  // What decides whether the drop can be undone has ended: its stay need not outlive the log. (A release is decided by
  // its delivery; the training beside it by itself would be too early.)
  else if (outcome.kind !== 'later' && !tx.sql(text.get).get(`${row.drop_id}/${row.entry_id}/deliver`))
    tx.sql(text.endAction).run(tx.now, row.entry_id, row.drop_id);
}

function finishDelivery(tx: Tx, job: JobRow & { readonly account: string }, entryId: EntryId, outcome: Outcome): void {
  const entry = loadOne(tx, entryId);
  // Nobody but the drop that this delivery belongs to has a claim on the entry while its lease is good.
  if (entry?.state !== 'dropped' || entry.dropId !== job.drop_id) return;
  switch (outcome.kind) {
    case 'done':
      write(tx, entry, rules.delivered(entry, outcome.leaveAfterMs > 0 ? tx.now + outcome.leaveAfterMs : undefined));
      tx.sql(text.endAction).run(tx.now, entryId, job.drop_id);
      return;
    case 'failed': {
      const { stay } = write(tx, entry, rules.comesBack(entry, outcome.prefix));
      if (outcome.notice === undefined || stay === undefined) return;
      tx.sql(text.notice).run(job.account, outcome.notice, tx.now);
      tx.log({ kind: 'notice', ...lineOf(entry, stay, rules.homeOf(entry)), account: job.account });
      return;
    }
    case 'later':
      if (outcome.show) write(tx, entry, rules.shown(entry, outcome.show.prefix));
  }
}

export function get(snapshot: Snapshot, key: string): Job | undefined {
  const row: JobRow | undefined = snapshot.sql(text.get).get(key);
  return row && rowToJob(row);
}

export function ofDrop(snapshot: Snapshot, dropId: string): readonly Job[] {
  const rows: JobRow[] = snapshot.sql(text.ofDrop).all(dropId);
  return rows.map(rowToJob);
}

export function retryUntrained(tx: Tx, { failed = false }: { readonly failed?: boolean } = {}): number {
  return Number(tx.sql(text.retry(failed)).run(tx.now).changes);
}

export function counts(snapshot: Snapshot): { readonly [state in JobState]: number } {
  const all: Record<JobState, number> = { ready: 0, leased: 0, done: 0, failed: 0, cancelled: 0 };
  const rows: { state: JobState; count: number }[] = snapshot.sql(text.counts).all();
  for (const row of rows) all[row.state] = row.count;
  return all;
}

export function backlog(snapshot: Snapshot): readonly Backlog[] {
  const rows: { step: Step; due: number; leased: number; unfinished: number; oldest: number | null }[] = snapshot
    .sql(text.backlog)
    .all(snapshot.now);
  return rows.map(({ step, due, leased, unfinished, oldest }) => ({
    step,
    due,
    oldestDueMs: oldest === null ? 0 : Math.max(0, snapshot.now - oldest),
    later: unfinished - due - leased,
    leased,
  }));
}
