/**
 * Filling a store with the records of another one, on the writer thread. A message's row is written after all its octets,
 * so a row says that they are there; everything else is written anew by each try.
 */
import { isDeepStrictEqual } from 'node:util';
import { StoreRefused } from '../errors.ts';
import type { MessageId, SummarySection } from '../model.ts';
import type { FactRecord, MessageRecord, NumbersRecord } from '../records.ts';
import type { Snapshot, Tx } from './tx.ts';
import { importMark } from './upkeep-export.ts';
import {
  entryInsert,
  insertOf,
  lineInsert,
  messages,
  type Row,
  recordOf,
  sections,
  selected,
  stays,
  tables,
} from './upkeep-tables.ts';

const chunkIds = 65536;
/** Emptied by each try, what names others before what is named. */
const facts = [
  ...['jobs', 'stays', 'entries', 'drops', 'trainings', 'changes', 'tops', 'repeats', 'accounts', 'notices'],
  ...['settings', 'help_texts', 'training_lines', 'inventories', 'uninventoried'],
];

const isMarked = (snapshot: Snapshot): boolean =>
  snapshot.sql('SELECT 1 FROM settings WHERE name = ?').get(importMark) !== undefined;

export function beginImport(tx: Tx): void {
  if (!isMarked(tx))
    for (const table of ['messages', 'chunks', 'uploads', ...facts])
      if (tx.sql(`SELECT 1 FROM ${table} LIMIT 1`).get() !== undefined)
        throw new StoreRefused('This store is not empty; only a new one can be filled, give it another place');
  for (const table of facts) tx.sql(`DELETE FROM ${table}`).run();
  tx.sql('INSERT INTO settings (name, value) VALUES (?, ?)').run(importMark, new Uint8Array());
  tx.sql('UPDATE counters SET last_uid = 0, last_mod_seq = 0, last_message_id = 0, trimmed_mod_seq = 0').run();
}

/** Whether this very message is there whole. */
export function isThere(snapshot: Snapshot, record: Omit<MessageRecord, SummarySection>): boolean {
  const row: Row | undefined = snapshot
    .sql(`SELECT ${selected(messages, 'm')} FROM messages m WHERE id = ?`)
    .get(record.id);
  if (!row) return false;
  const { kind: _, ...wanted } = record;
  return isDeepStrictEqual(recordOf(messages, row), wanted);
}

/** Removes the messages between two ids, and octets that were written and got no row. */
export function prune(tx: Tx, after: number, before: number): void {
  const last = Math.min(before * chunkIds, Number.MAX_SAFE_INTEGER);
  tx.sql('DELETE FROM chunks WHERE id >= ? AND id < ?').run((after + 1) * chunkIds, last);
  tx.sql('DELETE FROM summaries WHERE message_id > ? AND message_id < ?').run(after, before);
  for (const name of ['training_lines', 'inventories', 'uninventoried'])
    tx.sql(`DELETE FROM ${name} WHERE message_id > ? AND message_id < ?`).run(after, before);
  tx.sql('DELETE FROM messages WHERE id > ? AND id < ?').run(after, before);
}

export function importChunk(tx: Tx, id: MessageId, number: number, bytes: Uint8Array): Uint8Array {
  if (number === 0) prune(tx, id - 1, id + 1);
  tx.sql('INSERT INTO chunks (id, bytes) VALUES (?, ?)').run(id * chunkIds + number, bytes);
  return bytes;
}

/** After its chunks, if it has any. */
export function importMessage(tx: Tx, record: MessageRecord, chunks: number): void {
  const { id, size } = record;
  if (chunks === 0) prune(tx, id - 1, id + 1);
  const found: { octets: number } = tx
    .sql('SELECT coalesce(sum(length(bytes)), 0) AS octets FROM chunks WHERE id BETWEEN ? AND ?')
    .get(id * chunkIds, id * chunkIds + chunkIds - 1);
  if (found.octets !== size)
    throw new StoreRefused(
      `Message ${id} was to have ${size} octets, and there are ${found.octets} of it; "store check" on where it comes from says more`,
    );
  for (const { sql, values } of [insertOf(messages, record), insertOf(sections, record, { message_id: id })])
    tx.sql(sql).run(...values);
}

export function writeRecords(tx: Tx, records: readonly FactRecord[]): void {
  const insert = ({ sql, values }: ReturnType<typeof insertOf>): void => {
    tx.sql(sql).run(...values);
  };
  for (const record of records)
    switch (record.kind) {
      case 'entries':
        insert(entryInsert(record));
        for (const stay of record.stays) insert(insertOf(stays, stay, { entry_id: record.id, owner: record.owner }));
        break;
      case 'changes':
        for (const line of record.lines) insert(lineInsert(record, line));
        break;
      case 'numbers':
        setNumbers(tx, record);
        break;
      default:
        insert(insertOf(tables[record.kind], record));
    }
}

function setNumbers(tx: Tx, numbers: NumbersRecord): void {
  tx.sql(
    `UPDATE counters SET uid_validity = ?, last_uid = ?, last_mod_seq = ?, last_message_id = ?, trimmed_mod_seq = ?
      WHERE id = 1`,
  ).run(numbers.uidValidity, numbers.lastUid, numbers.lastModSeq, numbers.lastMessageId, numbers.trimmedModSeq);
}

export function finishImport(tx: Tx, uidValidity: number | undefined): void {
  const numbers: { last_mod_seq: number } = tx.sql('SELECT last_mod_seq FROM counters WHERE id = 1').get();
  if (!isMarked(tx) || numbers.last_mod_seq === 0) throw new StoreRefused('Nothing was written that could be finished');
  if (uidValidity !== undefined) tx.sql('UPDATE counters SET uid_validity = ?').run(uidValidity);
  tx.sql(
    `INSERT OR IGNORE INTO uninventoried SELECT id FROM messages m
      WHERE NOT EXISTS (SELECT 1 FROM inventories i WHERE i.message_id = m.id)`,
  ).run();
  tx.sql('DELETE FROM settings WHERE name = ?').run(importMark);
}
