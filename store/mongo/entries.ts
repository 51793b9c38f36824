/** Entries as they are read outside of views: one, lists, a history. And which entries a scope has. */
import type { Filter } from 'mongodb';
import type { Entry, EntryId, Scope, Uid } from '../model.ts';
import type { History, ListedEntry, ListQuery } from '../port.ts';
import { hiddenBit } from '../transitions.ts';
import type { EntryDoc } from './documents.ts';
import { dropOf, entryOf, jobOf, messageFields, messageOf } from './nouns.ts';
import { trainingsOfEntry } from './training-lines.ts';
import type { Snapshot } from './tx.ts';

/** The condition that an entry belongs to a scope, on a field that an index begins with. */
export function scopeTest(scope: Scope): Filter<EntryDoc> {
  if (scope.level === 'global') return {};
  return scope.level === 'domain' ? { domain: scope.domain } : { owner: scope.address };
}

/** In Trash a level does not see what it expunged there (DESIGN §7.8). The values one by one: an index can tell by them. */
export function seenTest(scope: Scope): Filter<EntryDoc> {
  const bit = hiddenBit(scope.level);
  return { hidden: { $in: [0, 1, 2, 3, 4, 5, 6, 7].filter((hidden) => (hidden & bit) === 0) } };
}

export async function getEntry(snapshot: Snapshot, id: EntryId): Promise<Entry | undefined> {
  const doc = await snapshot.findOne('entries', { _id: id });
  return doc && entryOf(doc);
}

export async function entryByUid(snapshot: Snapshot, uid: Uid): Promise<Entry | undefined> {
  const doc = await snapshot.findOne('entries', { 'stays.uid': uid });
  return doc ? entryOf(doc) : getEntry(snapshot, Number(uid) as EntryId);
}

const listIndex = { global: { _id: 1 }, domain: 'entries_of_domain', recipient: 'entries_of_owner' } as const;

/** Walks an index that ends with the id (or the ids themselves), newest first, and stops at the limit. */
export async function listEntries(snapshot: Snapshot, query: ListQuery): Promise<readonly ListedEntry[]> {
  // To MongoDB 0 is no limit.
  if (query.limit < 1) return [];
  const { scope } = query;
  const filter: Filter<EntryDoc> = {
    ...scopeTest(scope),
    ...(query.before === undefined ? {} : { _id: { $lt: query.before } }),
    ...(query.folder === undefined ? {} : { folder: query.folder }),
    ...(query.folder === 'trash' ? seenTest(scope) : {}),
    ...(query.states === undefined ? {} : { state: { $in: query.states } }),
  };
  const docs = await snapshot.find('entries', filter, {
    sort: { _id: -1 },
    limit: query.limit,
    hint: listIndex[scope.level],
  });
  const ids = [...new Set(docs.map((doc) => doc.messageId))];
  const messages = await snapshot.find('messages', { _id: { $in: ids } }, { projection: messageFields });
  const byId = new Map(messages.map((message) => [message._id, messageOf(message)]));
  return docs.flatMap((doc) => {
    const message = byId.get(doc.messageId);
    return message ? [{ ...entryOf(doc), message }] : [];
  });
}

export async function history(snapshot: Snapshot, id: EntryId): Promise<History | undefined> {
  const entry = await snapshot.findOne('entries', { _id: id });
  const message =
    entry && (await snapshot.findOne('messages', { _id: entry.messageId }, { projection: messageFields }));
  if (!message) return undefined;
  const jobs = await snapshot.find('jobs', { entryId: id });
  const trainings = await trainingsOfEntry(snapshot, entry.messageId, id);
  const dropIds = [...entry.stays, ...jobs, entry].flatMap(({ dropId }) => (dropId === undefined ? [] : [dropId]));
  const drops = await snapshot.find('drops', { _id: { $in: [...new Set(dropIds)] } });
  return {
    entry: entryOf(entry),
    message: messageOf(message),
    stays: [...entry.stays]
      .sort((a, b) => a.uid - b.uid)
      .map((stay) => ({
        uid: stay.uid as Uid,
        folder: stay.folder,
        beganAt: new Date(stay.beganAt),
        ...(stay.endedAt === undefined ? {} : { endedAt: new Date(stay.endedAt) }),
      })),
    drops: drops.sort((a, b) => a.createdAt - b.createdAt || (a._id < b._id ? -1 : 1)).map(dropOf),
    jobs: jobs.sort((a, b) => a.createdAt - b.createdAt || a.order - b.order).map(jobOf),
    trainings,
  };
}
