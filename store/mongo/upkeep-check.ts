/**
 * What is not as it should be. `flaws` reads beside everybody: what names what in one snapshot, the octets of one message
 * after the other. `mend` looks again: what was put right meanwhile is left alone, and no octets go that anything names.
 *
 * Messages are written before the transaction that makes them somebody's, so one that nobody names may be on its way. It is
 * nobody's for certain when it is older than a day (what sweep.ts goes by as well), or when the log says that an entry with
 * it was there. The same holds for octets without a message.
 */
import { createHash } from 'node:crypto';
import type { EntryId, Folder, MessageId } from '../model.ts';
import type { Flaw } from '../records.ts';
import * as rules from '../transitions.ts';
import type { Connection } from './connect.ts';
import type { JobDoc, MessageDoc, MessageIdsDoc } from './documents.ts';
import { translated } from './fault.ts';
import { chunkSize, largeChunks, octetsOf, removeMessages } from './messages.ts';
import type { Queue } from './queue.ts';
import { loadOne, write } from './standing.ts';
import { domainOf, type ScanSnapshot, scopeKey, type Tx } from './tx.ts';
import { inLongSnapshot, lastMessageIdOf, messageIdsOf, namedOf } from './upkeep-export.ts';
import { topKey } from './upkeep-records.ts';

const batchSize = 1000;
const dayMs = 86_400_000;
/** Message ids are given out in blocks of so many. */
const idsAtOnce = 1000;
const unfinished = ['ready', 'leased'] as const;

/** A flaw, with what is needed to mend it. */
export interface Found {
  readonly flaw: Flaw;
  /** The hash that damaged octets have. */
  readonly sha256?: string;
  /** A top as it should be. */
  readonly top?: { readonly _id: string; readonly uid: number; readonly modSeq: number };
}

export async function* flaws(connection: Connection): AsyncGenerator<Found> {
  yield* inLongSnapshot(connection, facts);
  yield* octets(connection);
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

// ------------------------------------------------------------------------------------------------------------ octets

type Kept = Pick<MessageDoc, '_id' | 'size' | 'sha256' | 'bodySha256' | 'headerSize'>;
const keptFields = { size: 1, sha256: 1, bodySha256: 1, headerSize: 1 };

/** Reads and hashes all octets. Not in one snapshot, which would have to be kept for hours: they never change. */
async function* octets(connection: Connection): AsyncGenerator<Found> {
  for (let after = 0; ; ) {
    const messages = await translated(() =>
      connection
        .collection('messages')
        .find({ _id: { $gt: after } }, { projection: keptFields })
        .sort({ _id: 1 })
        .limit(batchSize)
        .toArray(),
    );
    for (const message of messages) yield* await flawsOf(connection, message);
    if (messages.length < batchSize) return;
    after = messages.at(-1)!._id;
  }
}

function flawsOf(connection: Connection, message: Kept): Promise<readonly Found[]> {
  return translated(async () => {
    const has = await hashed(connection, message);
    if (has.size === message.size && has.sha256 === message.sha256) return [];
    const messageId = message._id as MessageId;
    const entries = await connection.collection('entries').find({ messageId }).sort({ _id: 1 }).toArray();
    if (has.size === 0 && message.size > 0) {
      const appended = { messageId, entryId: { $exists: false }, state: { $in: [...unfinished] } };
      const open = await connection.collection('jobs').find(appended).toArray();
      return [
        ...entries
          .filter(({ state }) => state !== 'expired')
          .map(
            ({ _id }): Found => ({
              flaw: { kind: 'entry-without-bytes', entryId: _id as EntryId, messageId },
            }),
          ),
        ...open.map(({ _id }): Found => ({ flaw: { kind: 'job-without-entry', key: _id } })),
      ];
    }
    // Nobody's: given up meanwhile, or an orphan, which was told.
    if (
      entries.length === 0 &&
      !(await connection.collection('jobs').findOne({ messageId, entryId: { $exists: false } }))
    )
      return [];
    const what = has.size !== message.size ? 'size' : has.bodySha256 !== message.bodySha256 ? 'body' : 'hash';
    const entryIds = entries.map(({ _id }) => _id as EntryId);
    return [{ flaw: { kind: 'damaged', messageId, entryIds, what }, sha256: has.sha256 }];
  });
}

async function hashed(connection: Connection, message: Kept) {
  const whole = createHash('sha256');
  const body = createHash('sha256');
  let size = 0;
  for await (const bytes of piecesOf(connection, message)) {
    whole.update(bytes);
    body.update(bytes.subarray(Math.max(0, message.headerSize - size)));
    size += bytes.length;
  }
  return { size, sha256: whole.digest('hex'), bodySha256: body.digest('hex') };
}

/** All octets that are there, also those that follow a gap. */
async function* piecesOf(connection: Connection, { _id, size }: Kept): AsyncGenerator<Uint8Array> {
  if (size <= chunkSize) {
    const found = await connection.collection('bytes').findOne({ _id });
    if (found) yield octetsOf(found.bytes);
    return;
  }
  const chunks = largeChunks(connection).find({ files_id: _id }, { batchSize: 16 }).sort({ n: 1 });
  for await (const { data } of chunks) yield octetsOf(data);
}

// ----------------------------------------------------------------------------------------------------------- mending

/** Answers whether this is right now. */
export async function mend(connection: Connection, queue: Queue, found: Found): Promise<boolean> {
  const { flaw, sha256, top } = found;
  switch (flaw.kind) {
    case 'orphan-message':
      return translated(() => removeOrphan(connection, flaw.messageId));
    case 'entry-without-message':
    case 'entry-without-bytes':
      if (await translated(() => hasOctets(connection, flaw.messageId))) return false;
      return queue.run('upkeep.mend', (tx) => expire(tx, flaw.entryId));
    case 'job-without-entry':
      return queue.run('upkeep.mend', (tx) => cancelJob(tx, flaw.key));
    case 'job-without-drop':
      return queue.run('upkeep.mend', (tx) => removeJob(tx, flaw.key, flaw.entryId));
    case 'counter-behind':
      return translated(() => raiseCounter(connection, flaw.name, flaw.needed, top));
    case 'damaged':
      if (flaw.what !== 'hash' || sha256 === undefined) return false;
      await translated(() =>
        connection.collection('messages').updateOne({ _id: flaw.messageId }, { $set: { sha256 } }),
      );
      return true;
    case 'database':
      return false;
  }
}

/** Nobody will name it any more (see above), so there is nothing to be faster than. */
async function removeOrphan(connection: Connection, messageId: MessageId): Promise<boolean> {
  if ((await connection.collection('entries').findOne({ messageId })) !== null) return true;
  if ((await connection.collection('jobs').findOne({ messageId, entryId: { $exists: false } })) !== null) return true;
  await connection.collection('uploads').deleteMany({ messageId });
  await removeMessages(connection, [messageId]);
  return true;
}

async function hasOctets(connection: Connection, id: MessageId): Promise<boolean> {
  return (
    (await connection.collection('bytes').findOne({ _id: id }, { projection: { _id: 1 } })) !== null ||
    (await largeChunks(connection).findOne({ files_id: id }, { projection: { _id: 1 } })) !== null
  );
}

async function expire(tx: Tx, id: EntryId): Promise<boolean> {
  const entry = await loadOne(tx, id);
  if (entry && entry.state !== 'expired') write(tx, entry, rules.expires(entry));
  return true;
}

function cancelJob(tx: Tx, _id: string): boolean {
  tx.write('jobs', {
    updateOne: {
      filter: { _id, state: { $in: [...unfinished] } },
      update: { $set: { state: 'cancelled', endedAt: tx.now, outcome: 'the mail is gone' }, $unset: { lease: 1 } },
    },
  });
  return true;
}

async function removeJob(tx: Tx, key: string, entryId: EntryId | undefined): Promise<boolean> {
  const job = await tx.findOne('jobs', { _id: key });
  if (!job || (await tx.findOne('drops', { _id: job.dropId }))) return true;
  tx.write('jobs', { deleteOne: { filter: { _id: key } } });
  const entry = entryId === undefined ? undefined : await loadOne(tx, entryId);
  // What was dropped has nobody to deliver it now; it comes back as after a delivery that failed.
  if (job.step === 'deliver' && entry?.state === 'dropped' && entry.dropId === job.dropId)
    write(tx, entry, rules.comesBack(entry, undefined));
  return true;
}

/** Each is one document, and only ever raised: a transaction that is under way runs again. */
async function raiseCounter(connection: Connection, name: string, needed: number, top: Found['top']): Promise<boolean> {
  if (top) {
    const { _id, uid, modSeq } = top;
    await connection.collection('tops').updateOne({ _id }, { $max: { uid, modSeq } }, { upsert: true });
  } else if (name === 'lastMessageId')
    await connection.db
      .collection<MessageIdsDoc>('numbers')
      .updateOne({ _id: 'messageIds' }, { $max: { last: needed + idsAtOnce } }, { upsert: true });
  else
    await connection
      .collection('numbers')
      .updateOne({ _id: 'numbers' }, { $max: name === 'lastUid' ? { uid: needed } : { modSeq: needed } });
  return true;
}
