/** Entries as they are read outside of views: one, lists, a history. And which entries a scope has. */
import type { Entry, EntryId, Folder, Level, Scope, Uid } from '../model.ts';
import type { History, ListedEntry, ListQuery } from '../port.ts';
import { hiddenBit } from '../transitions.ts';
import {
  type DropRow,
  type EntryRow,
  type JobRow,
  type MessageRow,
  messageColumns,
  rowToDrop,
  rowToEntry,
  rowToJob,
  rowToMessage,
} from './rows.ts';
import { trainingsOfEntry } from './trainings.ts';
import type { Snapshot } from './tx.ts';

export { type EntryRow, rowToEntry } from './rows.ts';

/** A level's letter in column names: flags_r, mod_r. */
export const letterOf = { recipient: 'r', domain: 'd', global: 'g' } as const satisfies Record<Level, string>;

/** The condition that an entry belongs to a scope, on a column that an index begins with; its parameter. */
export function scopeTest(scope: Scope): { readonly where: string; readonly values: readonly string[] } {
  if (scope.level === 'global') return { where: 'TRUE', values: [] };
  return scope.level === 'domain'
    ? { where: 'owner_domain = ?', values: [scope.domain] }
    : { where: 'owner = ?', values: [scope.address] };
}

export function getEntry(snapshot: Snapshot, id: EntryId): Entry | undefined {
  const row: EntryRow | undefined = snapshot.sql('SELECT * FROM entries WHERE id = ?').get(id);
  return row && rowToEntry(row);
}

export function entryByUid(snapshot: Snapshot, uid: Uid): Entry | undefined {
  const row: EntryRow | undefined = snapshot
    .sql('SELECT e.* FROM stays s JOIN entries e ON e.id = s.entry_id WHERE s.uid = ?')
    .get(uid);
  return row ? rowToEntry(row) : getEntry(snapshot, Number(uid) as EntryId);
}

/** Walks an index that ends with the id (or the table itself), newest first, and stops at the limit. */
export function listText(query: ListQuery): string {
  const conditions = [scopeTest(query.scope).where];
  if (query.before !== undefined) conditions.push('e.id < ?');
  if (query.folder !== undefined) conditions.push('folder = ?');
  if (query.folder === 'trash') conditions.push(`hidden & ${hiddenBit(query.scope.level)} = 0`);
  if (query.states !== undefined) conditions.push('state IN (SELECT value FROM json_each(?))');
  return `SELECT e.*, ${messageColumns('m')} FROM entries e
    ${query.scope.level === 'global' ? 'NOT INDEXED' : `INDEXED BY entries_of_${query.scope.level === 'domain' ? 'domain' : 'owner'}`}
    CROSS JOIN messages m ON m.id = e.message_id
    WHERE ${conditions.join(' AND ')} ORDER BY e.id DESC LIMIT ?`;
}

export function listEntries(snapshot: Snapshot, query: ListQuery): readonly ListedEntry[] {
  const values: (string | number)[] = [...scopeTest(query.scope).values];
  if (query.before !== undefined) values.push(query.before);
  if (query.folder !== undefined) values.push(query.folder);
  if (query.states !== undefined) values.push(JSON.stringify(query.states));
  const rows: (EntryRow & MessageRow)[] = snapshot.sql(listText(query)).all(...values, query.limit);
  return rows.map((row) => ({ ...rowToEntry(row), message: rowToMessage(row) }));
}

export function history(snapshot: Snapshot, id: EntryId): History | undefined {
  const row: (EntryRow & MessageRow) | undefined = snapshot
    .sql(`SELECT e.*, ${messageColumns('m')} FROM entries e JOIN messages m ON m.id = e.message_id WHERE e.id = ?`)
    .get(id);
  if (!row) return undefined;
  const stays: { uid: Uid; folder: Folder; began_at: number; ended_at: number | null }[] = snapshot
    .sql('SELECT uid, folder, began_at, ended_at FROM stays WHERE entry_id = ? ORDER BY uid')
    .all(id);
  const drops: DropRow[] = snapshot
    .sql(
      `SELECT * FROM drops WHERE id IN (SELECT drop_id FROM stays WHERE entry_id = :id UNION
        SELECT drop_id FROM jobs WHERE entry_id = :id UNION SELECT drop_id FROM entries WHERE id = :id)
        ORDER BY created_at, id`,
    )
    .all({ id });
  const jobs: JobRow[] = snapshot.sql('SELECT * FROM jobs WHERE entry_id = ? ORDER BY created_at, rowid').all(id);
  return {
    entry: rowToEntry(row),
    message: rowToMessage(row),
    stays: stays.map((stay) => ({
      uid: stay.uid,
      folder: stay.folder,
      beganAt: new Date(stay.began_at),
      ...(stay.ended_at === null ? {} : { endedAt: new Date(stay.ended_at) }),
    })),
    drops: drops.map(rowToDrop),
    jobs: jobs.map(rowToJob),
    trainings: trainingsOfEntry(snapshot, row.message_id, id),
  };
}
