/**
 * What messages bring along: made later, so each message waits in `uninventoried` from its arrival on. No transaction is
 * needed: each step may be done again.
 *
 * Queries (filter): uninventoried `_id`; inventories `_id`; messages `_id`.
 */
import type { Inventory, MessageId } from '../model.ts';
import type { Connection } from './connect.ts';
import { codeOf, duplicateKey } from './fault.ts';
import type { Snapshot } from './tx.ts';

/** The message's inventory is to be made; said once or more. */
export async function awaitInventory(connection: Connection, id: MessageId): Promise<void> {
  try {
    await connection.collection('uninventoried').insertOne({ _id: id });
  } catch (error) {
    if (codeOf(error) !== duplicateKey) throw error;
  }
}

export async function withoutInventory(snapshot: Snapshot, limit: number): Promise<readonly MessageId[]> {
  if (limit < 1) return []; // to MongoDB 0 is no limit
  const docs = await snapshot.find('uninventoried', {}, { sort: { _id: 1 }, hint: { _id: 1 }, limit });
  return docs.map((doc) => doc._id as MessageId);
}

/** Kept first, with the removal behind it that waits for the disks: what a node loses is made again. */
export async function putInventory(connection: Connection, _id: MessageId, inventory: Inventory): Promise<void> {
  const inventories = connection.collection('inventories');
  await inventories.replaceOne({ _id }, { inventory }, { upsert: true, writeConcern: { w: 1 } });
  await connection.collection('uninventoried').deleteOne({ _id });
  // A message that was removed at the same time took it along, or is found to be gone.
  if (!(await connection.collection('messages').findOne({ _id }, { projection: { _id: 1 } })))
    await inventories.deleteOne({ _id });
}

export async function getInventory(snapshot: Snapshot, id: MessageId): Promise<Inventory | undefined> {
  return (await snapshot.findOne('inventories', { _id: id }))?.inventory;
}
