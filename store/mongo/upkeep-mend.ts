/** Mending what a check found. Each looks again: what was put right meanwhile is left alone. */
import type { EntryId, MessageId } from '../model.ts';
import * as rules from '../transitions.ts';
import type { Connection } from './connect.ts';
import type { MessageIdsDoc } from './documents.ts';
import { translated } from './fault.ts';
import { largeChunks, removeMessages } from './messages.ts';
import type { Queue } from './queue.ts';
import { loadOne, write } from './standing.ts';
import type { Tx } from './tx.ts';
import { type Found, unfinished } from './upkeep-found.ts';

/** Message ids are given out in blocks of so many. */
const idsAtOnce = 1000;

/** Answers whether this is right now. */
export async function mend(connection: Connection, queue: Queue, found: Found): Promise<boolean> {
  const { flaw, sha256, top } = found;
  switch (flaw.kind) {
    case 'orphan-message':
      return translated(() => removeOrphan(connection, flaw.messageId));
    case 'entry-without-message':
    case 'entry-without-bytes':
      if (await translated(() => hasOctets(connection, flaw.messageId))) return false;
      return queue.run('upkeep.mend', (tx) => expire(tx, flaw.entryId));
    case 'job-without-entry':
      return queue.run('upkeep.mend', (tx) => cancelJob(tx, flaw.key));
    case 'job-without-drop':
      return queue.run('upkeep.mend', (tx) => removeJob(tx, flaw.key, flaw.entryId));
    case 'counter-behind':
      return translated(() => raiseCounter(connection, flaw.name, flaw.needed, top));
    case 'damaged':
      if (flaw.what !== 'hash' || sha256 === undefined) return false;
      await translated(() =>
        connection.collection('messages').updateOne({ _id: flaw.messageId }, { $set: { sha256 } }),
      );
      return true;
    case 'database':
      return false;
  }
}

/** Nobody will name it any more (see above), so there is nothing to be faster than. */
async function removeOrphan(connection: Connection, messageId: MessageId): Promise<boolean> {
  if ((await connection.collection('entries').findOne({ messageId })) !== null) return true;
  if ((await connection.collection('jobs').findOne({ messageId, entryId: { $exists: false } })) !== null) return true;
  await connection.collection('uploads').deleteMany({ messageId });
  await removeMessages(connection, [messageId]);
  return true;
}

async function hasOctets(connection: Connection, id: MessageId): Promise<boolean> {
  return (
    (await connection.collection('bytes').findOne({ _id: id }, { projection: { _id: 1 } })) !== null ||
    (await largeChunks(connection).findOne({ files_id: id }, { projection: { _id: 1 } })) !== null
  );
}

async function expire(tx: Tx, id: EntryId): Promise<boolean> {
  const entry = await loadOne(tx, id);
  if (entry && entry.state !== 'expired') write(tx, entry, rules.expires(entry));
  return true;
}

function cancelJob(tx: Tx, _id: string): boolean {
  tx.write('jobs', {
    updateOne: {
      filter: { _id, state: { $in: [...unfinished] } },
      update: { $set: { state: 'cancelled', endedAt: tx.now, outcome: 'the mail is gone' }, $unset: { lease: 1 } },
    },
  });
  return true;
}

async function removeJob(tx: Tx, key: string, entryId: EntryId | undefined): Promise<boolean> {
  const job = await tx.findOne('jobs', { _id: key });
  if (!job || (await tx.findOne('drops', { _id: job.dropId }))) return true;
  tx.write('jobs', { deleteOne: { filter: { _id: key } } });
  const entry = entryId === undefined ? undefined : await loadOne(tx, entryId);
  // What was dropped has nobody to deliver it now; it comes back as after a delivery that failed.
  if (job.step === 'deliver' && entry?.state === 'dropped' && entry.dropId === job.dropId)
    write(tx, entry, rules.comesBack(entry, undefined));
  return true;
}

/** Each is one document, and only ever raised: a transaction that is under way runs again. */
async function raiseCounter(connection: Connection, name: string, needed: number, top: Found['top']): Promise<boolean> {
  if (top) {
    const { _id, uid, modSeq } = top;
    await connection.collection('tops').updateOne({ _id }, { $max: { uid, modSeq } }, { upsert: true });
  } else if (name === 'lastMessageId')
    await connection.db
      .collection<MessageIdsDoc>('numbers')
      .updateOne({ _id: 'messageIds' }, { $max: { last: needed + idsAtOnce } }, { upsert: true });
  else
    await connection
      .collection('numbers')
      .updateOne({ _id: 'numbers' }, { $max: name === 'lastUid' ? { uid: needed } : { modSeq: needed } });
  return true;
}
