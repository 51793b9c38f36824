/** All that the store keeps, record by record, from one read transaction: rows are walked over, never collected. */
import type { RecordKind, StoreRecord } from '../records.ts';
import { recordKinds } from '../records.ts';
import type { ChangeRow } from './changes.ts';
import type { Snapshot } from './tx.ts';
import {
  changeRecord,
  entriesText,
  entryRecord,
  messages,
  type PlainKind,
  type Row,
  recordOf,
  sections,
  selected,
  staysText,
  tables,
} from './upkeep-tables.ts';

/** The setting that says that an import was begun and not finished; no record of the store. */
export const importMark = 'store.import';

const messagesText = `SELECT ${selected(messages, 'm')}, ${selected(sections, 's')}
  FROM messages m LEFT JOIN summaries s ON s.message_id = m.id ORDER BY m.id`;
const numbersText = `SELECT uid_validity AS uidValidity, last_uid AS lastUid, last_mod_seq AS lastModSeq,
  last_message_id AS lastMessageId, trimmed_mod_seq AS trimmedModSeq FROM counters WHERE id = 1`;

export function* exportRecords(snapshot: Snapshot, kinds = recordKinds): Generator<StoreRecord> {
  for (const kind of recordKinds.filter((each) => kinds.includes(each))) yield* recordsOf(snapshot, kind);
}

function* recordsOf(snapshot: Snapshot, kind: RecordKind): Generator<StoreRecord> {
  switch (kind) {
    case 'messages': {
      const none = Object.fromEntries(sections.columns.map(([field]) => [field, new Uint8Array()]));
      for (const row of snapshot.sql(messagesText).iterate() as Iterable<Row>)
        yield { kind, ...none, ...recordOf(messages, row), ...recordOf(sections, row) } as unknown as StoreRecord;
      return;
    }
    case 'entries': {
      const stays = snapshot.sql(staysText);
      for (const row of snapshot.sql(entriesText).iterate() as Iterable<Row>)
        yield entryRecord(row, stays.all(row.id as number));
      return;
    }
    case 'changes':
      yield* changes(snapshot);
      return;
    case 'numbers':
      yield { kind, ...(snapshot.sql(numbersText).get() as object) } as StoreRecord;
      return;
    default:
      yield* plainRecords(snapshot, kind);
  }
}

function* plainRecords(snapshot: Snapshot, kind: PlainKind): Generator<StoreRecord> {
  const table = tables[kind];
  const rows = snapshot.sql(`SELECT ${selected(table, 't')} FROM ${table.name} t ORDER BY ${table.key}`).iterate();
  for (const row of rows as Iterable<Row>)
    if (kind !== 'settings' || row.name !== importMark)
      yield { kind, ...recordOf(table, row) } as unknown as StoreRecord;
}

function* changes(snapshot: Snapshot): Generator<StoreRecord> {
  let rows: (ChangeRow & { readonly at: number })[] = [];
  for (const row of snapshot.sql('SELECT * FROM changes ORDER BY mod_seq, id').iterate() as Iterable<
    (typeof rows)[number]
  >) {
    if (rows.length > 0 && rows[0]!.mod_seq !== row.mod_seq) {
      yield changeRecord(rows);
      rows = [];
    }
    rows.push(row);
  }
  if (rows.length > 0) yield changeRecord(rows);
}

export interface Counted {
  readonly records: Readonly<Record<RecordKind, number>>;
  readonly octets: number;
}

export function count(snapshot: Snapshot): Counted {
  const of = (kind: RecordKind): number => {
    if (kind === 'numbers') return 1;
    if (kind === 'changes') return number('SELECT count(DISTINCT mod_seq) FROM changes');
    if (kind === 'messages' || kind === 'entries') return number(`SELECT count(*) FROM ${kind}`);
    const where = kind === 'settings' ? ` WHERE name <> '${importMark}'` : '';
    return number(`SELECT count(*) FROM ${tables[kind].name}${where}`);
  };
  const number = (text: string): number => Number(Object.values(snapshot.sql(text).get() as object)[0]);
  return {
    records: Object.fromEntries(recordKinds.map((kind) => [kind, of(kind)])) as Record<RecordKind, number>,
    octets: number('SELECT coalesce(sum(size), 0) FROM messages'),
  };
}
