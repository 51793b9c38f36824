/** What messages bring along: made later, so each message waits in `uninventoried` from its arrival on. */
import type { Inventory, MessageId } from '../model.ts';
import type { Snapshot, Tx } from './tx.ts';

export function withoutInventory(snapshot: Snapshot, limit: number): readonly MessageId[] {
  const rows: { message_id: MessageId }[] = snapshot
    .sql('SELECT message_id FROM uninventoried ORDER BY message_id LIMIT ?')
    .all(Math.max(0, limit));
  return rows.map((row) => row.message_id);
}

export function putInventory(tx: Tx, id: MessageId, inventory: Inventory): void {
  tx.sql('DELETE FROM uninventoried WHERE message_id = ?').run(id);
  tx.sql(
    `INSERT INTO inventories (message_id, inventory) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM messages WHERE id = ?1)
      ON CONFLICT (message_id) DO UPDATE SET inventory = excluded.inventory`,
  ).run(id, JSON.stringify(inventory));
}

export function getInventory(snapshot: Snapshot, id: MessageId): Inventory | undefined {
  const row: { inventory: string } | undefined = snapshot
    .sql('SELECT inventory FROM inventories WHERE message_id = ?')
    .get(id);
  return row && JSON.parse(row.inventory);
}
