/**
 * Entries and their stays as rows, and how they are read. Whoever moves an entry does it with openStay and endStay, which
 * keep entry, stays and change log together; place and state are the caller's to set.
 */
import {
  type Entry,
  type EntryId,
  type Folder,
  type Level,
  levels,
  type ReadableFolder,
  type Scope,
  type Uid,
} from '../model.ts';
import type { History, ListedEntry, ListQuery } from '../port.ts';
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
import type { Snapshot, Tx } from './tx.ts';

export { type EntryRow, rowToEntry } from './rows.ts';

/** Flags of each level, as they stand in the columns: blank-separated. */
export type LevelFlags = Readonly<Record<Level, string>>;
export const flagsOf = (row: Pick<EntryRow, 'flags_r' | 'flags_d' | 'flags_g'>): LevelFlags => ({
  recipient: row.flags_r,
  domain: row.flags_d,
  global: row.flags_g,
});

/** A level's letter in column names: flags_r, mod_r. */
export const letterOf = { recipient: 'r', domain: 'd', global: 'g' } as const satisfies Record<Level, string>;
/** A level's bit in `hidden`. */
export const hiddenBit = { recipient: 1, domain: 2, global: 4 } as const satisfies Record<Level, number>;

/** The folder an entry belongs to when it is held. */
export function homeFolder(entry: Pick<EntryRow, 'class' | 'direction'>): ReadableFolder {
  if (entry.class === 'training') return 'training';
  return entry.direction === 'outgoing' ? 'outgoing' : 'caught';
}

export function isInScope(row: Pick<EntryRow, 'owner' | 'owner_domain'>, scope: Scope): boolean {
  if (scope.level === 'global') return true;
  return scope.level === 'domain' ? row.owner_domain === scope.domain : row.owner === scope.address;
}

/** The condition that an entry belongs to a scope, on a column that an index begins with; its parameter. */
export function scopeTest(scope: Scope): { readonly where: string; readonly values: readonly string[] } {
  if (scope.level === 'global') return { where: 'TRUE', values: [] };
  return scope.level === 'domain'
    ? { where: 'owner_domain = ?', values: [scope.domain] }
    : { where: 'owner = ?', values: [scope.address] };
}

const text = {
  byId: 'SELECT * FROM entries WHERE id = ?',
  byUid: 'SELECT e.* FROM stays s JOIN entries e ON e.id = s.entry_id WHERE s.uid = ?',
  byStay: 'SELECT * FROM entries WHERE folder = ? AND uid = ?',
  keepOldPrefix: 'UPDATE stays SET prefix = ? WHERE entry_id = ? AND prefix IS NULL AND ended_at IS NOT NULL',
  openEntry: `UPDATE entries SET uid = ?, folder = ?, hidden = 0, leave_at = NULL, prefix = ?, size = ?,
    flags_r = ?, flags_d = ?, flags_g = ?, mod_r = ?, mod_d = ?, mod_g = ? WHERE id = ?`,
  endEntry: `UPDATE entries SET uid = NULL, folder = NULL, hidden = 0, leave_at = NULL, mod_r = ?, mod_d = ?, mod_g = ?
    WHERE id = ?`,
  openStay: `INSERT INTO stays (uid, entry_id, folder, owner, began_at, drop_id, from_uid) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  endStay: 'UPDATE stays SET ended_at = ?, ended_mod_seq = ? WHERE uid = ? AND ended_at IS NULL',
  flags: `UPDATE entries SET flags_r = ?, flags_d = ?, flags_g = ?, mod_r = ?, mod_d = ?, mod_g = ? WHERE id = ?`,
};

export function entryRow(tx: Snapshot, id: EntryId): EntryRow | undefined {
  return tx.sql(text.byId).get(id);
}

/** The entry whose open stay in a readable folder this is. */
export function stayRow(tx: Snapshot, folder: ReadableFolder, uid: number): EntryRow | undefined {
  return tx.sql(text.byStay).get(folder, uid);
}

export interface NewStay {
  readonly folder: ReadableFolder;
  readonly flags: LevelFlags;
  /** A new prefix, `{id}` already replaced; absent: the one before. */
  readonly prefix?: string;
}

/**
 * Begins a stay in a readable folder under a new UID, for an entry that has none open, and logs `enter`. The row is as it
 * was before; reading it again shows the new one.
 */
export function openStay(tx: Tx, row: EntryRow, stay: NewStay): Uid {
  const uid = tx.nextUid();
  const prefix = stay.prefix ?? row.prefix;
  const modSeq = tx.modSeq();
  const size = row.size + Buffer.byteLength(prefix) - Buffer.byteLength(row.prefix);
  if (prefix !== row.prefix) tx.sql(text.keepOldPrefix).run(row.prefix, row.id);
  const { recipient, domain, global } = stay.flags;
  tx.sql(text.openEntry).run(uid, stay.folder, prefix, size, recipient, domain, global, modSeq, modSeq, modSeq, row.id);
  recordStay(tx, { uid, entryId: row.id, folder: stay.folder, owner: row.owner });
  tx.log({
    kind: 'enter',
    uid,
    folder: stay.folder,
    entryId: row.id,
    messageId: row.message_id,
    owner: row.owner,
    flags: stay.flags,
    size,
    internalDate: row.internal_date,
  });
  return uid;
}

/** A row of `stays`, and nothing else. Stays in action folders name their drop and the stay they came from. */
export function recordStay(
  tx: Tx,
  stay: {
    readonly uid: Uid;
    readonly entryId: EntryId;
    readonly folder: Folder;
    readonly owner: string;
    readonly dropId?: string;
    readonly fromUid?: Uid;
  },
): void {
  tx.sql(text.openStay).run(
    stay.uid,
    stay.entryId,
    stay.folder,
    stay.owner,
    tx.now,
    stay.dropId ?? null,
    stay.fromUid ?? null,
  );
}

/** Ends the open stay of an entry in a readable folder and logs `leave`; nothing if there is none. Answers its UID. */
export function endStay(tx: Tx, row: EntryRow): Uid | undefined {
  if (row.uid === null || row.folder === null) return undefined;
  const modSeq = tx.modSeq();
  tx.sql(text.endEntry).run(modSeq, modSeq, modSeq, row.id);
  tx.sql(text.endStay).run(tx.now, modSeq, row.uid);
  tx.log({
    kind: 'leave',
    uid: row.uid,
    folder: row.folder,
    entryId: row.id,
    messageId: row.message_id,
    owner: row.owner,
  });
  return row.uid;
}

/** Sets the flags of all levels, of an open stay with a `flags` line; nothing if they are the same already. */
export function setAllFlags(tx: Tx, row: EntryRow, flags: LevelFlags): void {
  const before = flagsOf(row);
  if (levels.every((level) => before[level] === flags[level])) return;
  const modSeq = tx.modSeq();
  tx.sql(text.flags).run(flags.recipient, flags.domain, flags.global, modSeq, modSeq, modSeq, row.id);
  if (row.uid === null || row.folder === null) return;
  tx.log({
    kind: 'flags',
    uid: row.uid,
    folder: row.folder,
    entryId: row.id,
    messageId: row.message_id,
    owner: row.owner,
    flags,
  });
}

export function getEntry(snapshot: Snapshot, id: EntryId): Entry | undefined {
  const row = entryRow(snapshot, id);
  return row && rowToEntry(row);
}

export function entryByUid(snapshot: Snapshot, uid: Uid): Entry | undefined {
  const row: EntryRow | undefined = snapshot.sql(text.byUid).get(uid);
  return row && rowToEntry(row);
}

/** Walks an index that ends with the id (or the table itself), newest first, and stops at the limit. */
export function listText(query: ListQuery): string {
  const conditions = [scopeTest(query.scope).where];
  if (query.before !== undefined) conditions.push('e.id < ?');
  if (query.folder !== undefined) conditions.push('folder = ?');
  if (query.folder === 'trash') conditions.push(`hidden & ${hiddenBit[query.scope.level]} = 0`);
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
  };
}
