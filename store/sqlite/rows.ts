/** Rows of the tables that hold nouns, and the nouns made of them. Times are milliseconds in rows, Dates in nouns. */
import type { Drop, Entry, EntryId, Job, Message, MessageId, ReadableFolder, Step, Uid } from '../model.ts';
import { scopeOf } from './tx.ts';

/** A row of `entries`. */
export interface EntryRow {
  readonly id: EntryId;
  readonly message_id: MessageId;
  readonly owner: string;
  readonly owner_domain: string;
  readonly recipient: string;
  readonly orcpt: string | null;
  readonly direction: Entry['direction'];
  readonly class: Entry['class'];
  readonly place: Entry['place'];
  readonly state: Entry['state'];
  readonly uid: Uid | null;
  readonly folder: ReadableFolder | null;
  readonly hidden: number;
  readonly prefix: string;
  readonly size: number;
  readonly verdict: string;
  readonly internal_date: number;
  readonly held_at: number;
  readonly linked_to: EntryId | null;
  readonly drop_id: string | null;
  readonly copied_by: string | null;
  readonly waiting: number;
  readonly leave_at: number | null;
  readonly expires_at: number | null;
  readonly flags_r: string;
  readonly flags_d: string;
  readonly flags_g: string;
  readonly mod_r: number;
  readonly mod_d: number;
  readonly mod_g: number;
}

export function rowToEntry(row: EntryRow): Entry {
  return {
    id: row.id,
    messageId: row.message_id,
    owner: row.owner,
    recipient: row.recipient,
    ...(row.orcpt === null ? {} : { orcpt: row.orcpt }),
    direction: row.direction,
    class: row.class,
    place: row.place,
    state: row.state,
    ...(row.uid === null || row.folder === null ? {} : { uid: row.uid, folder: row.folder }),
    prefix: row.prefix,
    verdict: JSON.parse(row.verdict),
    internalDate: new Date(row.internal_date),
    heldAt: new Date(row.held_at),
    ...(row.linked_to === null ? {} : { linkedTo: row.linked_to }),
    ...(row.drop_id === null ? {} : { dropId: row.drop_id }),
    ...(row.expires_at === null ? {} : { expiresAt: new Date(row.expires_at) }),
  };
}

export interface DropRow {
  readonly id: string;
  readonly account: string;
  readonly person: string | null;
  readonly via: string;
  readonly scope: string;
  readonly action: Drop['action'];
  readonly mode: Drop['mode'];
  readonly created_at: number;
  readonly sealed_at: number | null;
  readonly rolled_back_at: number | null;
}

export function rowToDrop(row: DropRow): Drop {
  return {
    id: row.id,
    actor: { account: row.account, via: row.via, ...(row.person === null ? {} : { person: row.person }) },
    scope: scopeOf(row.scope),
    action: row.action,
    mode: row.mode,
    createdAt: new Date(row.created_at),
    ...(row.sealed_at === null ? {} : { sealedAt: new Date(row.sealed_at) }),
    ...(row.rolled_back_at === null ? {} : { rolledBackAt: new Date(row.rolled_back_at) }),
  };
}

export interface JobRow {
  readonly key: string;
  readonly drop_id: string;
  readonly step: Step;
  readonly entry_id: EntryId | null;
  readonly message_id: MessageId;
  readonly state: Job['state'];
  readonly attempts: number;
  readonly due_at: number | null;
  readonly lease: string | null;
  readonly lease_until: number | null;
  readonly created_at: number;
  readonly ended_at: number | null;
  readonly outcome: string | null;
}

export function rowToJob(row: JobRow): Job {
  return {
    key: row.key,
    dropId: row.drop_id,
    step: row.step,
    ...(row.entry_id === null ? {} : { entryId: row.entry_id }),
    messageId: row.message_id,
    state: row.state,
    attempts: row.attempts,
    ...(row.due_at === null ? {} : { dueAt: new Date(row.due_at) }),
    createdAt: new Date(row.created_at),
    ...(row.ended_at === null ? {} : { endedAt: new Date(row.ended_at) }),
    ...(row.outcome === null ? {} : { outcome: row.outcome }),
  };
}

/** Columns of `messages` under names that do not meet those of `entries`. */
export interface MessageRow {
  readonly m_id: MessageId;
  readonly m_size: number;
  readonly m_sha256: string;
  readonly m_body_sha256: string;
  readonly m_header_size: number;
  readonly m_sender: string;
  readonly m_params: string;
  readonly m_subject: string;
  readonly m_from_: string;
  readonly m_received_at: number;
}

/** The columns of a MessageRow, for a SELECT in which `messages` goes by `alias`. */
export function messageColumns(alias: string): string {
  const names = ['id', 'size', 'sha256', 'body_sha256', 'header_size', 'sender', 'params', 'subject', 'from_'];
  return [...names, 'received_at'].map((name) => `${alias}.${name} AS m_${name}`).join(', ');
}

export function rowToMessage(row: MessageRow): Message {
  return {
    id: row.m_id,
    size: row.m_size,
    sha256: row.m_sha256,
    bodySha256: row.m_body_sha256,
    headerSize: row.m_header_size,
    sender: row.m_sender,
    params: JSON.parse(row.m_params),
    subject: row.m_subject,
    from: row.m_from_,
    receivedAt: new Date(row.m_received_at),
  };
}
