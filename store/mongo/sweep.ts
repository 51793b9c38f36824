/**
 * Octets that were written and never became anybody's: a connection was lost, a process ended, a transaction failed. They go
 * after a day. Large ones are known by their document of `uploads`; of the others each message is looked at once, by
 * ascending id, when it is a day old.
 */
import type { Connection } from './connect.ts';
import type { SweptDoc } from './documents.ts';
import { translated } from './fault.ts';
import { discardUpload, removeMessages } from './messages.ts';

const dayMs = 86_400_000;
const uploadsAtOnce = 20;
const messagesAtOnce = 1000;

/** Answers whether there is more to do. Several processes may do it at once. */
export const sweep = (connection: Connection): Promise<boolean> =>
  translated(async () => (await sweepUploads(connection)) || (await sweepMessages(connection)));

async function sweepUploads(connection: Connection): Promise<boolean> {
  const old = await connection
    .collection('uploads')
    .find({ beganAt: { $lt: connection.clock.now - dayMs } })
    .limit(uploadsAtOnce + 1)
    .toArray();
  for (const { _id } of old.slice(0, uploadsAtOnce)) await discardUpload(connection, _id);
  return old.length > uploadsAtOnce;
}

/** Ids are given out in blocks that are used for an hour: none below that of a message of yesterday is to come. */
async function sweepMessages(connection: Connection): Promise<boolean> {
  const swept = connection.db.collection<SweptDoc>('numbers');
  const upTo = (await swept.findOne({ _id: 'swept' }))?.upTo ?? 0;
  const next = await connection
    .collection('messages')
    .find({ _id: { $gt: upTo } }, { projection: { receivedAt: 1 } })
    .sort({ _id: 1 })
    .limit(messagesAtOnce)
    .toArray();
  const young = next.findIndex(({ receivedAt }) => receivedAt > connection.clock.now - dayMs);
  const ids = (young < 0 ? next : next.slice(0, young)).map(({ _id }) => _id);
  if (ids.length === 0) return false;
  const of = { messageId: { $in: ids } };
  const projection = { _id: 0, messageId: 1 };
  const named = new Set<number>();
  for (const name of ['entries', 'jobs', 'uploads'] as const)
    for await (const doc of connection.collection(name).find(of as never, { projection }))
      named.add((doc as unknown as { messageId: number }).messageId);
  const orphans = ids.filter((id) => !named.has(id));
  if (orphans.length > 0) await removeMessages(connection, orphans);
  await swept.updateOne({ _id: 'swept' }, { $max: { upTo: ids.at(-1)! } }, { upsert: true });
  return young < 0 && next.length === messagesAtOnce;
}
