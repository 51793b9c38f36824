/** Documents, and the nouns made of them. Times are milliseconds in documents, Dates in nouns. */
import type { Drop, Entry, EntryId, Job, Message, MessageId, Uid } from '../model.ts';
import type { DropDoc, EntryDoc, JobDoc, MessageDoc } from './documents.ts';
import { scopeOf } from './tx.ts';

export function entryOf(doc: EntryDoc): Entry {
  return {
    id: doc._id as EntryId,
    messageId: doc.messageId as MessageId,
    owner: doc.owner,
    recipient: doc.recipient,
    ...(doc.orcpt === undefined ? {} : { orcpt: doc.orcpt }),
    direction: doc.direction,
    class: doc.class,
    place: doc.place,
    state: doc.state,
    ...(doc.uid === undefined || doc.folder === undefined ? {} : { uid: doc.uid as Uid, folder: doc.folder }),
    prefix: doc.prefix,
    verdict: doc.verdict,
    internalDate: new Date(doc.internalDate),
    heldAt: new Date(doc.heldAt),
    ...(doc.linkedTo === undefined ? {} : { linkedTo: doc.linkedTo as EntryId }),
    ...(doc.dropId === undefined ? {} : { dropId: doc.dropId }),
    ...(doc.expiresAt === undefined ? {} : { expiresAt: new Date(doc.expiresAt) }),
  };
}

export function dropOf(doc: DropDoc): Drop {
  return {
    id: doc._id,
    actor: { account: doc.account, via: doc.via, ...(doc.person === undefined ? {} : { person: doc.person }) },
    scope: scopeOf(doc.scope),
    action: doc.action,
    mode: doc.mode,
    createdAt: new Date(doc.createdAt),
    ...(doc.sealedAt === undefined ? {} : { sealedAt: new Date(doc.sealedAt) }),
    ...(doc.rolledBackAt === undefined ? {} : { rolledBackAt: new Date(doc.rolledBackAt) }),
  };
}

export function jobOf(doc: JobDoc): Job {
  return {
    key: doc._id,
    dropId: doc.dropId,
    step: doc.step,
    ...(doc.entryId === undefined ? {} : { entryId: doc.entryId as EntryId }),
    messageId: doc.messageId as MessageId,
    state: doc.state,
    attempts: doc.attempts,
    ...(doc.dueAt === undefined ? {} : { dueAt: new Date(doc.dueAt) }),
    createdAt: new Date(doc.createdAt),
    ...(doc.endedAt === undefined ? {} : { endedAt: new Date(doc.endedAt) }),
    ...(doc.outcome === undefined ? {} : { outcome: doc.outcome }),
  };
}

/** What messageOf reads of a document: its summary and the filter's block need not be fetched for it. */
export const messageFields = {
  size: 1,
  sha256: 1,
  bodySha256: 1,
  headerSize: 1,
  sender: 1,
  params: 1,
  subject: 1,
  from: 1,
  receivedAt: 1,
} as const;

export function messageOf(doc: Pick<MessageDoc, '_id' | keyof typeof messageFields>): Message {
  return {
    id: doc._id as MessageId,
    size: doc.size,
    sha256: doc.sha256,
    bodySha256: doc.bodySha256,
    headerSize: doc.headerSize,
    sender: doc.sender,
    params: doc.params,
    subject: doc.subject,
    from: doc.from,
    receivedAt: new Date(doc.receivedAt),
  };
}
