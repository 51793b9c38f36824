/** Documents as records and records as documents (../records.ts): what is named otherwise, and what only this driver has. */
import { Binary } from 'mongodb';
import type { DropRecord, FactRecord, MessageRecord, RecordKind, StoreRecord } from '../records.ts';
import type { Documents, DropDoc, EntryDoc, StayDoc } from './documents.ts';
import { domainOf } from './tx.ts';

/** The setting that says that an import was begun and not finished; no record of the store. */
export const importMark = 'store.import';

export type PlainKind = Exclude<RecordKind, 'numbers'>;
type Fields = Record<string, unknown>;

/** The field that is `_id` in documents. Of trainings and tops two make it. */
const keys = {
  messages: 'id',
  drops: 'id',
  jobs: 'key',
  entries: 'id',
  changes: 'modSeq',
  repeats: 'key',
  accounts: 'name',
  notices: 'id',
  settings: 'name',
  helpTexts: 'account',
  trainingLines: 'id',
  inventories: 'messageId',
} as const;

export const topKey = (folder: string, scope: string): string => `${folder} ${scope}`;
const trainingKey = (sha256: string, account: string): string => `${sha256} ${account}`;

export function recordOf<K extends PlainKind>(kind: K, doc: Documents[K]): StoreRecord {
  const { _id, ...rest } = doc as unknown as { readonly _id: unknown } & Fields;
  const fields: Fields = { kind };
  for (const [name, value] of Object.entries(rest))
    fields[name] = value instanceof Binary ? Uint8Array.from(value.buffer.subarray(0, value.position)) : value;
  if (kind === 'tops') {
    const [folder, scope] = splitOnce(_id as string);
    Object.assign(fields, { folder, scope });
  } else if (kind !== 'trainings') fields[keys[kind as keyof typeof keys]] = _id;
  if (kind === 'entries') {
    delete fields.domain;
    const { stays } = doc as EntryDoc;
    fields.stays = [...stays].sort((a, b) => a.uid - b.uid).map(stayRecord);
  }
  if (kind === 'drops') delete fields.nextAt;
  return fields as unknown as StoreRecord;
}

function splitOnce(text: string): [string, string] {
  const at = text.indexOf(' ');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** What a stay repeats of its drop is in the record of the drop. */
function stayRecord({ action: _, account: __, cameFrom: ___, ...stay }: StayDoc): object {
  return stay;
}

/** `drops` has those that the record's stays name. */
export function documentOf(
  record: Exclude<FactRecord, { kind: 'numbers' }> | MessageRecord,
  drops: ReadonlyMap<string, DropDoc>,
): { readonly _id: string | number } & Fields {
  const { kind, ...rest } = record;
  const fields: Fields = {};
  for (const [name, value] of Object.entries(rest))
    fields[name] = value instanceof Uint8Array ? new Binary(Uint8Array.from(value)) : value;
  switch (record.kind) {
    case 'tops':
      return { _id: topKey(record.folder, record.scope), uid: record.uid, modSeq: record.modSeq };
    case 'trainings':
      return { _id: trainingKey(record.sha256, record.account), ...fields };
    case 'drops':
      Object.assign(fields, nextAt(record));
      break;
    case 'entries':
      fields.domain = domainOf(record.owner);
      fields.stays = record.stays.map((stay) => {
        const drop = stay.dropId === undefined ? undefined : drops.get(stay.dropId);
        if (!drop) return stay;
        const { action, account, folder } = drop;
        return { ...stay, action, account, ...(folder === undefined ? {} : { cameFrom: folder }) };
      });
  }
  const key = keys[kind as keyof typeof keys];
  const { [key]: _id, ...others } = fields;
  return { _id: _id as string | number, ...others };
}

/** As drops.ts has it: the lease's end while unsealed, the undo window's end while unripe. */
function nextAt({ sealedAt, ripeAt, rolledBackAt, leaseUntil, undoMs }: DropRecord): { nextAt?: number } {
  if (rolledBackAt !== undefined || ripeAt !== undefined) return {};
  return { nextAt: sealedAt === undefined ? leaseUntil : sealedAt + undoMs };
}
