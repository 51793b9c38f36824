/**
 * What an account taught last about some bytes: the same again is not queued again (APPEND onto Spam, Not Spam).
 *
 * Queries (filter): trainings `_id`; messages `_id`, `sha256`; jobs `messageId`; drops `_id`.
 */
import { classOf } from '../standing.ts';
import type { JobDoc } from './documents.ts';
import type { Snapshot, Tx } from './tx.ts';

export async function lastClass(snapshot: Snapshot, account: string, sha256: string): Promise<string | undefined> {
  return (await snapshot.findOne('trainings', { _id: keyOf(sha256, account) }))?.class;
}

const keyOf = (sha256: string, account: string): string => `${sha256} ${account}`;

/** The hash of each message. */
async function hashesOf(snapshot: Snapshot, messageIds: readonly number[]): Promise<readonly string[]> {
  const ids = [...new Set(messageIds)];
  const docs = await snapshot.find('messages', { _id: { $in: ids } }, { projection: { sha256: 1 } });
  return [...new Set(docs.map((doc) => doc.sha256))];
}

export async function teach(
  tx: Tx,
  account: string,
  what: 'spam' | 'ham',
  messageIds: readonly number[],
): Promise<void> {
  for (const sha256 of await hashesOf(tx, messageIds)) teachHash(tx, account, what, sha256);
}

export function teachHash(tx: Tx, account: string, what: 'spam' | 'ham', sha256: string): void {
  const fields = { account, sha256, class: what };
  tx.write('trainings', {
    updateOne: { filter: { _id: keyOf(sha256, account) }, update: { $set: fields }, upsert: true },
  });
}

/** What the account taught last about these messages is what it taught before. */
export async function unteach(tx: Tx, account: string, messageIds: readonly number[]): Promise<void> {
  if (messageIds.length === 0) return;
  const hashes = await hashesOf(tx, messageIds);
  const last = await lastTaught(tx, account, hashes);
  for (const sha256 of hashes) {
    const job = last.get(sha256);
    if (job) teachHash(tx, account, classOf(job.step), sha256);
    else tx.write('trainings', { deleteOne: { filter: { _id: keyOf(sha256, account) } } });
  }
}

/** Of all messages with these octets, the account's last training that was not called off. */
async function lastTaught(
  snapshot: Snapshot,
  account: string,
  hashes: readonly string[],
): Promise<ReadonlyMap<string, JobDoc>> {
  const same = await snapshot.find('messages', { sha256: { $in: [...hashes] } }, { projection: { sha256: 1 } });
  const hashOf = new Map(same.map((message) => [message._id, message.sha256]));
  const jobs = await snapshot.find('jobs', { messageId: { $in: [...hashOf.keys()] } });
  const trainings = jobs.filter((job) => job.step !== 'deliver' && job.state !== 'cancelled');
  const dropIds = [...new Set(trainings.map((job) => job.dropId))];
  const drops = await snapshot.find('drops', { _id: { $in: dropIds }, account }, { projection: { account: 1 } });
  const own = new Set(drops.map((drop) => drop._id));
  const last = new Map<string, JobDoc>();
  for (const job of trainings) {
    const sha256 = hashOf.get(job.messageId)!;
    if (own.has(job.dropId) && job.order > (last.get(sha256)?.order ?? -1)) last.set(sha256, job);
  }
  return last;
}
