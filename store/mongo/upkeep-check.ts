/**
 * What is not as it should be. `flaws` reads beside everybody: what names what in one snapshot, the octets of one message
 * after the other (upkeep-octets.ts). What is found can be mended (upkeep-mend.ts); no octets go that anything names.
 *
 * Messages are written before the transaction that makes them somebody's, so one that nobody names may be on its way. It is
 * nobody's for certain when it is older than a day (what sweep.ts goes by as well), or when the log says that an entry with
 * it was there. The same holds for octets without a message.
 */
import type { EntryId, Folder, MessageId } from '../model.ts';
import type { Flaw } from '../records.ts';
import type { Connection } from './connect.ts';
import type { JobDoc } from './documents.ts';
import { domainOf, type ScanSnapshot, scopeKey } from './tx.ts';
import { inLongSnapshot, lastMessageIdOf, messageIdsOf, namedOf } from './upkeep-export.ts';
import { type Found, unfinished } from './upkeep-found.ts';
import { damagedOctets, withoutMessage } from './upkeep-octets.ts';
import { topKey } from './upkeep-records.ts';

const batchSize = 1000;
const dayMs = 86_400_000;

export async function* flaws(connection: Connection): AsyncGenerator<Found> {
  yield* inLongSnapshot(connection, facts);
  yield* withoutMessage(connection);
  yield* damagedOctets(connection);
}

async function* facts(snapshot: ScanSnapshot): AsyncGenerator<Found> {
  yield* unnamed(snapshot);
  yield* jobs(snapshot);
  yield* counters(snapshot);
}

// -------------------------------------------------------------------------------------------------- messages, entries

/** Ids of both sides ascending: one walk finds messages without an entry and entries without a message. */
async function* unnamed(snapshot: ScanSnapshot): AsyncGenerator<Found> {
  const entries = ids(snapshot, 'entries', 'messageId');
  const messages = ids(snapshot, 'messages', '_id');
  let wanted = await entries.next();
  let there = await messages.next();
  let alone: number[] = [];
  while (!wanted.done || !there.done) {
    const a = wanted.done ? Number.POSITIVE_INFINITY : wanted.value;
    const b = there.done ? Number.POSITIVE_INFINITY : there.value;
    if (b < a) alone.push(b);
    if (alone.length === batchSize) {
      yield* orphans(snapshot, alone);
      alone = [];
    }
    if (a < b)
      for (const { _id } of await snapshot.find('entries', { messageId: a, state: { $ne: 'expired' } }))
        yield {
          flaw: { kind: 'entry-without-message', entryId: _id as EntryId, messageId: a as MessageId },
        };
    if (a <= b) wanted = await entries.next();
    if (b <= a) there = await messages.next();
  }
  if (alone.length > 0) yield* orphans(snapshot, alone);
}

/** Each value once, ascending, by an index alone. */
async function* ids(
  snapshot: ScanSnapshot,
  collection: 'entries' | 'messages',
  field: '_id' | 'messageId',
): AsyncGenerator<number> {
  const projection = field === '_id' ? { _id: 1 } : { _id: 0, messageId: 1 };
  let last = 0;
  const by = { [field]: 1 as const };
  for await (const docs of snapshot.scan(collection, {}, { projection, sort: by, hint: by, batchSize: 5000 }))
    for (const doc of docs as unknown as Record<string, number>[]) {
      const id = doc[field]!;
      if (id !== last) yield id;
      last = id;
    }
}

async function* orphans(snapshot: ScanSnapshot, alone: readonly number[]): AsyncGenerator<Found> {
  const named = await namedOf(snapshot, alone);
  const found = await snapshot.find(
    'messages',
    { _id: { $in: alone.filter((id) => !named.has(id)) } },
    { projection: { size: 1, receivedAt: 1 } },
  );
  const since = snapshot.now - dayMs;
  const young = new Set(found.filter(({ receivedAt }) => receivedAt > since).map(({ _id }) => _id));
  const had = young.size > 0 ? await logged(snapshot, young, since) : new Set<number>();
  for (const { _id, size } of found)
    if (!young.has(_id) || had.has(_id)) yield { flaw: { kind: 'orphan-message', messageId: _id as MessageId, size } };
}

/** Those of the messages that lines of the log name which are not older. */
async function logged(snapshot: ScanSnapshot, messages: ReadonlySet<number>, since: number): Promise<Set<number>> {
  const had = new Set<number>();
  const options = { sort: { _id: -1 as const }, projection: { at: 1, 'lines.messageId': 1 }, batchSize };
  for await (const docs of snapshot.scan('changes', {}, options)) {
    for (const { lines } of docs) for (const { messageId } of lines) if (messages.has(messageId)) had.add(messageId);
    if (docs.at(-1)!.at < since) break;
  }
  return had;
}

// -------------------------------------------------------------------------------------------------------------- jobs

async function* jobs(snapshot: ScanSnapshot): AsyncGenerator<Found> {
  const options = { sort: { _id: 1 as const }, hint: { _id: 1 }, batchSize };
  for await (const docs of snapshot.scan('jobs', {}, options)) {
    const open = docs.filter(({ state }) => unfinished.some((each) => each === state));
    const entries = await there(
      snapshot,
      'entries',
      open.flatMap(({ entryId }) => entryId ?? []),
    );
    const appended = open.flatMap((job) => (job.entryId === undefined ? [job.messageId] : []));
    const messages = await there(snapshot, 'messages', appended);
    for (const { _id, entryId, messageId } of open)
      if (entryId === undefined ? !messages.has(messageId) : !entries.has(entryId))
        yield { flaw: { kind: 'job-without-entry', key: _id } };
    const drops = await there(snapshot, 'drops', [...new Set(docs.map(({ dropId }) => dropId))]);
    for (const job of docs) if (!drops.has(job.dropId)) yield { flaw: withoutDrop(job) };
  }
}

function withoutDrop({ _id, entryId }: JobDoc): Flaw {
  return {
    kind: 'job-without-drop',
    key: _id,
    ...(entryId === undefined ? {} : { entryId: entryId as EntryId }),
  };
}

async function there(
  snapshot: ScanSnapshot,
  collection: 'entries' | 'messages' | 'drops',
  wanted: readonly (number | string)[],
): Promise<ReadonlySet<number | string>> {
  if (wanted.length === 0) return new Set();
  const found = await snapshot.find(collection, { _id: { $in: wanted as never } }, { projection: { _id: 1 } });
  return new Set(found.map(({ _id }) => _id));
}

// ---------------------------------------------------------------------------------------------------------- counters

async function* counters(snapshot: ScanSnapshot): AsyncGenerator<Found> {
  const given = await givenBy(snapshot);
  const numbers = await snapshot.findOne('numbers', { _id: 'numbers' });
  const messageIds = await messageIdsOf(snapshot);
  const is = { lastUid: numbers?.uid ?? 0, lastModSeq: numbers?.modSeq ?? 0, lastMessageId: messageIds?.last ?? 0 };
  const needed = {
    lastUid: given.uid,
    lastModSeq: given.modSeq,
    lastMessageId: await lastMessageIdOf(snapshot),
  };
  for (const name of ['lastUid', 'lastModSeq', 'lastMessageId'] as const)
    if (is[name] < needed[name]) yield { flaw: { kind: 'counter-behind', name, is: is[name], needed: needed[name] } };
  for (const [_id, wanted] of given.tops) {
    const { uid, modSeq } = given.known.get(_id) ?? { uid: 0, modSeq: 0 };
    if (uid >= wanted.uid && modSeq >= wanted.modSeq) continue;
    const [is, needed] = uid < wanted.uid ? [uid, wanted.uid] : [modSeq, wanted.modSeq];
    const name = `${wanted.scope} ${wanted.folder}`;
    yield {
      flaw: { kind: 'counter-behind', name, is, needed },
      top: { _id, uid: wanted.uid, modSeq: wanted.modSeq },
    };
  }
}

interface Top {
  readonly scope: string;
  readonly folder: Folder;
  uid: number;
  modSeq: number;
}

/** The highest numbers that anything has, and for each folder of a scope that stays and entries want. */
async function givenBy(snapshot: ScanSnapshot) {
  const given = {
    uid: 0,
    modSeq: 0,
    tops: new Map<string, Top>(),
    known: new Map<string, { readonly uid: number; readonly modSeq: number }>(),
  };
  const note = (uid: number, modSeq: number): void => {
    given.uid = Math.max(given.uid, uid);
    given.modSeq = Math.max(given.modSeq, modSeq);
  };
  const raise = (scope: string, folder: Folder, uid: number, modSeq: number): void => {
    const key = topKey(folder, scope);
    const top = given.tops.get(key);
    if (!top) given.tops.set(key, { scope, folder, uid, modSeq });
    else {
      top.uid = Math.max(top.uid, uid);
      top.modSeq = Math.max(top.modSeq, modSeq);
    }
  };
  const projection = {
    ...{ owner: 1, folder: 1, uid: 1, mod: 1 },
    ...{ 'stays.uid': 1, 'stays.folder': 1, 'stays.endedModSeq': 1 },
  };
  const byId = { sort: { _id: 1 as const }, hint: { _id: 1 }, batchSize };
  for await (const docs of snapshot.scan('entries', {}, { ...byId, projection }))
    for (const { _id, owner, folder, uid, mod, stays } of docs) {
      const domain = domainOf(owner);
      const scopes =
        owner === ''
          ? (['global'] as const).map((level) => [scopeKey({ level }), mod.global] as const)
          : [
              [scopeKey({ level: 'global' }), mod.global] as const,
              [scopeKey({ level: 'domain', domain }), mod.domain] as const,
              [scopeKey({ level: 'recipient', address: owner }), mod.recipient] as const,
            ];
      note(_id, Math.max(mod.global, mod.domain, mod.recipient));
      for (const stay of stays) {
        note(stay.uid, stay.endedModSeq ?? 0);
        for (const [scope] of scopes) raise(scope, stay.folder, stay.uid, 0);
      }
      if (uid !== undefined && folder !== undefined)
        for (const [scope, modSeq] of scopes) raise(scope, folder, 0, modSeq);
    }
  for await (const docs of snapshot.scan('tops', {}, byId))
    for (const { _id, uid, modSeq } of docs) {
      note(uid, modSeq);
      if (given.tops.has(_id)) given.known.set(_id, { uid, modSeq });
    }
  for await (const docs of snapshot.scan('helpTexts', {}, byId)) for (const { uid } of docs) note(uid, 0);
  const last = await snapshot.findOne('changes', {}, { sort: { _id: -1 }, projection: { _id: 1 } });
  note(0, last?._id ?? 0);
  return given;
}
