/**
 * Rows as records and records as rows (../records.ts): which column each field is, in one list for both ways. Entries,
 * messages and changes are made of more than one row and have code of their own below.
 */
import type { Change, Level } from '../model.ts';
import { levels } from '../model.ts';
import type { ChangeRecord, EntryRecord, FactRecord, StayRecord } from '../records.ts';
import { changeOf } from './changes.ts';
import { letterOf } from './entries.ts';
import { domainOf } from './tx.ts';

type As = 'json' | 'yes-no';
/** Field, column (the field's name in small letters if absent), and how the value is written. */
type Column = readonly [field: string, column?: string, as?: As];

export interface Table {
  readonly name: string;
  readonly columns: readonly Column[];
  /** What its rows are ordered by; unique. */
  readonly key: string;
}

const column = ([field, name]: Column): string =>
  name ?? field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const plain = (...fields: readonly (string | Column)[]): Column[] =>
  fields.map((field) => (typeof field === 'string' ? [field] : field));

export const tables = {
  drops: {
    name: 'drops',
    key: 'id',
    columns: plain(
      ...['id', 'account', 'person', 'via', 'scope', 'folder', 'action', 'mode', 'undoMs', 'hostname', 'createdAt'],
      ...['lease', 'leaseUntil', 'chunks', 'sealedAt', 'ripeAt', 'rolledBackAt'],
    ),
  },
  jobs: {
    name: 'jobs',
    key: 'rowid',
    columns: plain(
      ...['key', ['order', 'rowid'] as const, 'dropId', 'step', 'entryId', 'messageId', 'state', 'attempts', 'dueAt'],
      ...['lease', 'leaseUntil', 'createdAt', 'endedAt', 'outcome', 'cancelledBy'],
    ),
  },
  trainings: { name: 'trainings', key: 'account, sha256', columns: plain('account', 'sha256', 'class') },
  trainingLines: {
    name: 'training_lines',
    key: 'id',
    columns: plain(
      ...['id', 'jobKey', 'messageId', 'entryId', 'at', 'account', 'trainer', 'class', 'outcome', 'said'],
      ['user', 'user_'],
    ),
  },
  inventories: {
    name: 'inventories',
    key: 'message_id',
    columns: plain('messageId', ['inventory', 'inventory', 'json']),
  },
  tops: { name: 'tops', key: 'scope, folder', columns: plain('scope', 'folder', 'uid', 'modSeq') },
  repeats: { name: 'repeats', key: 'key', columns: plain('key', 'entryId', 'heldAt') },
  accounts: {
    name: 'accounts',
    key: 'name',
    columns: plain('name', 'scope', 'person', 'passwordHash', 'createdAt', 'passwordChangedAt'),
  },
  notices: { name: 'notices', key: 'id', columns: plain('id', 'account', 'text', 'at') },
  settings: { name: 'settings', key: 'name', columns: plain('name', 'value') },
  helpTexts: { name: 'help_texts', key: 'account', columns: plain('account', 'textHash', 'uid') },
} as const satisfies Partial<Record<FactRecord['kind'], Table>>;
export type PlainKind = keyof typeof tables;

export const messages: Table = {
  name: 'messages',
  key: 'id',
  columns: plain(
    ...['id', 'size', 'sha256', 'bodySha256', 'headerSize', 'sender', ['params', 'params', 'json'] as const],
    ...['filterBlock', 'subject', ['from', 'from_'] as const, 'receivedAt'],
  ),
};
export const sections: Table = {
  name: 'summaries',
  key: 'message_id',
  columns: plain('commonFields', 'envelope', 'bodyStructure', 'body', 'parts'),
};
export const stays: Table = {
  name: 'stays',
  key: 'uid',
  columns: plain(
    ...['uid', 'folder', 'beganAt', 'endedAt', 'endedModSeq', 'dropId', ['from', 'from_uid'] as const],
    ...['wasState', 'wasDropId', 'wasCopiedBy', 'prefix'],
  ),
};
const entries: Table = {
  name: 'entries',
  key: 'id',
  columns: plain(
    ...['id', 'messageId', 'owner', 'recipient', 'orcpt', 'direction', 'class', 'place', 'state', 'uid', 'folder'],
    ...['hidden', 'prefix', 'size', ['verdict', 'verdict', 'json'] as const, 'internalDate', 'heldAt', 'linkedTo'],
    ...['dropId', 'copiedBy', ['waiting', 'waiting', 'yes-no'] as const, 'leaveAt', 'expiresAt'],
  ),
};

export type Row = Readonly<Record<string, unknown>>;

/** A SELECT list under the names of fields. */
export const selected = ({ columns }: Table, alias: string): string =>
  columns.map((each) => `${alias}.${column(each)} AS "${each[0]}"`).join(', ');

/** The record of a row of `selected`, without what is null. */
export function recordOf({ columns }: Table, row: Row): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const [field, , as] of columns) {
    const value = row[field];
    if (value === null || value === undefined) continue;
    record[field] = as === 'json' ? JSON.parse(value as string) : as === 'yes-no' ? value === 1 : value;
  }
  return record;
}

/** An INSERT with the values of a record, and of `more`, which are named by column. */
export function insertOf(
  { name, columns }: Table,
  record: object,
  more: Readonly<Record<string, unknown>> = {},
): { readonly sql: string; readonly values: readonly never[] } {
  const names = [...columns.map(column), ...Object.keys(more)];
  const values = columns.map(([field, , as]) => {
    const value = (record as Row)[field];
    if (value === undefined) return null;
    return as === 'json' ? JSON.stringify(value) : as === 'yes-no' ? (value ? 1 : 0) : value;
  });
  return {
    sql: `INSERT INTO ${name} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
    values: [...values, ...Object.values(more).map((value) => value ?? null)] as never[],
  };
}

// ----------------------------------------------------------------------------------------------------------- entries

const levelColumns = levels.flatMap((level) => [`flags_${letterOf[level]}`, `mod_${letterOf[level]}`]);

export const entriesText = `SELECT ${selected(entries, 'e')}, ${levelColumns.map((name) => `e.${name}`).join(', ')}
  FROM entries e ORDER BY e.id`;
export const staysText = `SELECT ${selected(stays, 's')} FROM stays s WHERE s.entry_id = ? ORDER BY s.uid`;

export function entryRecord(row: Row, stayRows: readonly Row[]): EntryRecord {
  const each = (what: string) => Object.fromEntries(levels.map((level) => [level, row[`${what}_${letterOf[level]}`]]));
  return {
    kind: 'entries',
    ...recordOf(entries, row),
    flags: each('flags'),
    mod: each('mod'),
    stays: stayRows.map((stay) => recordOf(stays, stay) as unknown as StayRecord),
  } as unknown as EntryRecord;
}

export function entryInsert(record: EntryRecord): ReturnType<typeof insertOf> {
  const byLevel = levels.flatMap((level: Level) => [
    [`flags_${letterOf[level]}`, record.flags[level]],
    [`mod_${letterOf[level]}`, record.mod[level]],
  ]);
  return insertOf(entries, record, { owner_domain: domainOf(record.owner), ...Object.fromEntries(byLevel) });
}

// ----------------------------------------------------------------------------------------------------------- changes

/** Rows of one mod-sequence. */
export function changeRecord(
  rows: readonly (Parameters<typeof changeOf>[0] & { readonly at: number })[],
): ChangeRecord {
  const first = rows[0]!;
  return {
    kind: 'changes',
    modSeq: first.mod_seq,
    at: first.at,
    lines: rows.map((row) => {
      const { modSeq: _, ...line } = changeOf(row);
      return line;
    }),
  };
}

const lineTable: Table = {
  name: 'changes',
  key: 'id',
  columns: plain(
    ...['kind', 'uid', 'folder', 'entryId', 'messageId', 'owner', 'level', 'account', 'size', 'internalDate'],
  ),
};

export function lineInsert(record: ChangeRecord, line: Omit<Change, 'modSeq'>): ReturnType<typeof insertOf> {
  return insertOf(lineTable, line, {
    mod_seq: record.modSeq,
    at: record.at,
    flags_r: line.flags?.recipient,
    flags_d: line.flags?.domain,
    flags_g: line.flags?.global,
  });
}
