/**
 * A folder of a scope as columns. One ordered scan over a partial index, never a sort (test/store/sqlite.test.ts looks at
 * the query plan), in the snapshot that also gives the folder's tops and the log's end.
 */
import { Columns } from '../columns.ts';
import type { Folder, ModSeq, ReadableFolder, Scope, Uid } from '../model.ts';
import type { ViewSnapshot } from '../port.ts';
import { hiddenBit } from '../transitions.ts';
import { changesEnd } from './changes.ts';
import { letterOf, scopeTest } from './entries.ts';
import type { Statement } from './sqlite.ts';
import { type Snapshot, scopeKey } from './tx.ts';

/** A snapshot that also prepares statements whose rows are arrays: twice as fast for many rows. */
export interface ColumnSnapshot extends Snapshot {
  arrays(text: string): Statement;
}

type ViewRow = [
  uid: number,
  id: number,
  messageId: number,
  size: number,
  internalDate: number,
  modSeq: number,
  flags: string,
];

export function viewText(scope: Scope, folder: ReadableFolder): string {
  const letter = letterOf[scope.level];
  const index = { recipient: 'entries_by_owner', domain: 'entries_by_domain', global: 'entries_by_folder' };
  // In Trash a level does not see what it expunged there (DESIGN §7.8).
  const seen = folder === 'trash' ? ` AND hidden & ${hiddenBit(scope.level)} = 0` : '';
  return `SELECT uid, id, message_id, size, internal_date, mod_${letter}, flags_${letter} FROM entries
    INDEXED BY ${index[scope.level]} WHERE ${scopeTest(scope).where} AND folder = ? AND uid IS NOT NULL${seen}
    ORDER BY uid`;
}

export function loadView(snapshot: ColumnSnapshot, scope: Scope, folder: ReadableFolder): ViewSnapshot {
  const columns = new Columns();
  const rows: IterableIterator<ViewRow> = snapshot
    .arrays(viewText(scope, folder))
    .iterate(...scopeTest(scope).values, folder);
  for (const row of rows) columns.add(...row);
  return { ...columns.done(), ...top(snapshot, scope, folder), asOf: changesEnd(snapshot) };
}

export function top(
  snapshot: Snapshot,
  scope: Scope,
  folder: Folder,
): { readonly uidNext: Uid; readonly highestModSeq: ModSeq } {
  const row: { uid: number; mod_seq: number } | undefined = snapshot
    .sql('SELECT uid, mod_seq FROM tops WHERE scope = ? AND folder = ?')
    .get(scopeKey(scope), folder);
  return { uidNext: ((row?.uid ?? 0) + 1) as Uid, highestModSeq: Math.max(1, row?.mod_seq ?? 1) as ModSeq };
}

/** Of an ended stay, too: a client may ask for a message whose EXPUNGE it has not been told yet. */
export function prefixes(snapshot: Snapshot, uids: readonly Uid[]): readonly string[] {
  const statement = snapshot.sql(
    `SELECT coalesce(s.prefix, e.prefix) AS prefix FROM stays s JOIN entries e ON e.id = s.entry_id
      WHERE s.uid = ? AND s.folder IN ('caught', 'outgoing', 'training', 'trash')`,
  );
  return uids.map((uid) => {
    const row: { prefix: string } | undefined = statement.get(uid);
    return row?.prefix ?? '';
  });
}
