/**
 * Drops: putting entries on an action, chunk by chunk, and taking them back (DESIGN §7.5). What each entry becomes is
 * decided in ../transitions.ts.
 *
 * Sealing. The document of a drop is written by the first chunk that takes something. Until `sealedAt` or `rolledBackAt`
 * stands in it, it belongs to whoever knows its lease; whoever seals or rolls back for somebody else (housekeep.ts)
 * empties `lease` in the same transaction, which is the compare-and-set that the owner's next chunk runs into.
 *
 * Queries (filter): drops `_id`; entries `stays.uid` (one for all UIDs of a chunk) and `stays.dropId`; messages `sha256`, then entries
 * `messageId`.
 */
import { randomUUID } from 'node:crypto';
import { LeaseLost } from '../errors.ts';
import type { ActionFolder, Entry, EntryId, MessageId, ModSeq, ReadableFolder, Scope, Uid } from '../model.ts';
import type { DropRequest, OpenDrop, Pair, Refusal, Taken } from '../port.ts';
import { owns, scopeKey } from '../scope.ts';
import {
  classOf,
  dropLeaseMs,
  lineOf,
  noteCalledOff,
  pieceSize,
  stepsOfDrop,
  trainedBy,
  trainingStep,
  type Untaught,
} from '../standing.ts';
import type { Answer, Onto } from '../transitions.ts';
import * as rules from '../transitions.ts';
import type { DropDoc, JobDoc } from './documents.ts';
import type { KeptMessage } from './messages.ts';
import { entryOf } from './nouns.ts';
import { endAction, type LoadedRow, save, standingsOf, type Taker, write } from './standing.ts';
import { lastClass, teach, teachHash, unteach } from './trainings.ts';
import type { Snapshot, Tx } from './tx.ts';

export { earlierPairs, undo, undoable } from './undo.ts';

// -------------------------------------------------------------------------------------------------------------- take

export async function take(
  tx: Tx,
  drop: OpenDrop,
  uids: readonly Uid[],
  options: { readonly last: boolean; readonly restoreTo?: ReadableFolder },
): Promise<Taken> {
  const known = await ownDrop(tx, drop);
  const { answers, unknown } = await answersFor(tx, drop, uids, options.restoreTo);
  const refused: Refusal[] = [];
  for (const { asked, answer } of answers) {
    if (answer.kind === 'refused') refused.push({ uid: asked, reason: answer.reason });
    else if (answer.kind === 'unknown') unknown.push(asked);
  }
  const taking = answers.some(({ answer }) => answer.kind === 'taken');
  // Sealed by this owner before: the chunk can only be a repeated one, and has nothing left to take.
  if (taking && known?.sealedAt !== undefined) throw new LeaseLost('This drop is sealed already');
  const nothing = drop.mode !== 'move' && (refused.length > 0 || unknown.length > 0);
  if (!nothing) keepDrop(tx, drop, known, taking, options.last);
  const done = nothing ? { pairs: [], left: [] } : await carryOut(tx, drop, answers, options.last && !known);
  return { ...done, refused, unknown: unknown.sort((a, b) => a - b), modSeq: tx.takenModSeq as ModSeq };
}

interface Answered {
  readonly asked: Uid;
  readonly row: LoadedRow;
  readonly answer: Answer;
}

/** What the rules say of each UID; those with no stay in that folder and scope are not even looked at. */
async function answersFor(
  tx: Snapshot,
  drop: OpenDrop,
  uids: readonly Uid[],
  restoreTo: ReadableFolder | undefined,
): Promise<{ answers: readonly Answered[]; unknown: Uid[] }> {
  const asked = [...new Set(uids)].sort((a, b) => a - b);
  const docs = await tx.find('entries', { 'stays.uid': { $in: asked } });
  const standings = await standingsOf(
    tx,
    docs.filter((doc) => owns(drop.scope, doc.owner)),
  );
  const rows = new Map<number, LoadedRow>();
  for (const row of standings.values())
    for (const stay of row.doc.stays) if (stay.folder === drop.folder) rows.set(stay.uid, row);
  const { action, mode, folder } = drop;
  const onto: Onto = {
    action,
    steps: stepsOfDrop(drop),
    mode,
    folder,
    dropId: drop.id,
    level: drop.scope.level,
    restoreTo,
    again: drop.again === true,
  };
  const answers: Answered[] = [];
  const unknown: Uid[] = [];
  for (const uid of asked) {
    const row = rows.get(uid);
    if (row) answers.push({ asked: uid, row, answer: rules.take(row, uid, onto) });
    else unknown.push(uid);
  }
  return { answers, unknown };
}

/** `due`: the drop has this one chunk only, so its jobs get their time at once. */
async function carryOut(
  tx: Tx,
  drop: OpenDrop,
  answers: readonly Answered[],
  due: boolean,
): Promise<{ pairs: readonly Pair[]; left: readonly Uid[] }> {
  const taker: Taker = {
    dropId: drop.id,
    dueAt: due ? tx.now + drop.undoMs : undefined,
    action: drop.action,
    account: drop.actor.account,
    cameFrom: drop.folder,
  };
  const pairs: Pair[] = [];
  const left: Uid[] = [];
  const taught: number[] = [];
  const untaught: Untaught = new Map();
  const onto = new Map<string, { uid: Uid; row: LoadedRow }>();
  for (const { asked, row, answer } of answers) {
    if (answer.kind !== 'taken' && answer.kind !== 'known') continue;
    let to = answer.kind === 'known' ? answer.to : undefined;
    if (answer.next) {
      const written = write(tx, row, answer.next, answer.kind === 'taken' ? taker : undefined);
      if (answer.kind === 'taken') to = answer.to === 'action' ? written.action : written.stay;
      if (written.left !== undefined) left.push(written.left);
      if (written.action !== undefined) onto.set(row.owner, { uid: written.action, row });
      if (answer.next.add.length > 0) taught.push(row.messageId);
      noteCalledOff(untaught, row, answer.next);
    }
    if (to !== undefined) pairs.push({ from: asked, to });
  }
  // One line an owner, with the highest UID: all that UIDNEXT and an idling client need.
  for (const { uid, row } of onto.values())
    tx.log({ kind: 'drop', ...lineOf(row, uid, drop.action as ActionFolder), account: drop.actor.account });
  for (const [account, messageIds] of untaught) await unteach(tx, account, messageIds);
  const training = trainingStep(drop);
  if (training && taught.length > 0) await teach(tx, drop.actor.account, classOf(training), taught);
  return { pairs, left };
}

// ----------------------------------------------------------------------------------------------------------- sealing

/** The drop's document, if it has one yet. @throws LeaseLost  somebody else sealed it or rolled it back */
async function ownDrop(tx: Snapshot, drop: OpenDrop): Promise<DropDoc | undefined> {
  const doc = await tx.findOne('drops', { _id: drop.id });
  if (doc && (doc.lease !== drop.lease || doc.rolledBackAt !== undefined))
    throw new LeaseLost('The drop was taken over');
  return doc;
}

function keepDrop(tx: Tx, drop: OpenDrop, known: DropDoc | undefined, taking: boolean, last: boolean): void {
  if (!known) {
    if (taking) insertDrop(tx, drop, { sealed: last, ripe: last });
    return;
  }
  if (known.sealedAt !== undefined) return;
  const leaseUntil = tx.now + dropLeaseMs;
  const fields = last ? { leaseUntil, ...sealedNow(tx, known) } : { leaseUntil, nextAt: leaseUntil };
  tx.write('drops', { updateOne: { filter: { _id: drop.id }, update: { $set: fields, $inc: { chunks: 1 } } } });
}

const sealedNow = (tx: Tx, drop: DropDoc) => ({ sealedAt: tx.now, nextAt: tx.now + drop.undoMs });

export function insertDrop(
  tx: Tx,
  drop: Omit<OpenDrop, 'folder'> & { readonly folder?: ReadableFolder },
  as: { readonly sealed: boolean; readonly ripe: boolean },
): void {
  const leaseUntil = tx.now + dropLeaseMs;
  const document: DropDoc = {
    _id: drop.id,
    account: drop.actor.account,
    ...(drop.actor.person === undefined ? {} : { person: drop.actor.person }),
    via: drop.actor.via,
    scope: scopeKey(drop.scope),
    ...(drop.folder === undefined ? {} : { folder: drop.folder }),
    action: drop.action,
    mode: drop.mode,
    undoMs: drop.undoMs,
    hostname: drop.hostname,
    createdAt: tx.now,
    lease: drop.lease,
    leaseUntil,
    chunks: 1,
    ...(as.sealed ? { sealedAt: tx.now } : { nextAt: leaseUntil }),
    ...(as.ripe ? { ripeAt: tx.now } : {}),
  };
  tx.write('drops', { insertOne: { document } });
}

export async function seal(tx: Tx, drop: OpenDrop): Promise<void> {
  const doc = await ownDrop(tx, drop);
  // Without a document it took nothing, and there is nothing to seal.
  if (!doc || doc.sealedAt !== undefined) return;
  tx.write('drops', { updateOne: { filter: { _id: drop.id }, update: { $set: sealedNow(tx, doc) } } });
}

/** Somebody else seals a drop whose owner is gone. */
export function sealFor(tx: Tx, drop: DropDoc): void {
  const fields = { ...sealedNow(tx, drop), lease: '' };
  tx.write('drops', { updateOne: { filter: { _id: drop._id }, update: { $set: fields } } });
}

/** One piece of it, so that no other writer waits long; answers whether there are more. */
export async function rollBack(tx: Tx, drop: OpenDrop): Promise<boolean> {
  const doc = await tx.findOne('drops', { _id: drop.id });
  if (!doc || doc.rolledBackAt !== undefined) return false;
  if (doc.sealedAt !== undefined) throw new LeaseLost('The drop was sealed');
  // Without a lease it is being rolled back already, by this caller or by housekeeping, which goes on if we do not.
  if (doc.lease !== drop.lease && doc.lease !== '') throw new LeaseLost('The drop was taken over');
  return rollBackSome(tx, doc, pieceSize);
}

/**
 * Takes the lease of an unsealed drop away, and some of its entries back; answers whether there are more. At the end the
 * drop is marked as rolled back.
 */
export async function rollBackSome(tx: Tx, drop: DropDoc, limit: number): Promise<boolean> {
  const { _id } = drop;
  const docs = await tx.find(
    'entries',
    { stays: { $elemMatch: { dropId: _id, from: { $gt: 0 }, endedAt: { $exists: false } } } },
    { limit, hint: 'stays_by_drop' },
  );
  const untaught: number[] = [];
  for (const row of (await standingsOf(tx, docs)).values()) {
    const target = row.targets.find((each) => each.dropId === _id);
    const next = target && rules.rollBack(row, target);
    // Whatever became of the entry otherwise: its stay on the action folder stands for nothing now.
    const isOver = endAction(tx, row, _id, tx.modSeq());
    if (next) {
      write(tx, row, next);
      if (trainedBy(row, _id)) untaught.push(row.messageId);
    } else if (isOver) save(tx, row);
  }
  await unteach(tx, drop.account, untaught);
  const more = docs.length === limit;
  const update = more
    ? { $set: { lease: '' } }
    : { $set: { lease: '', rolledBackAt: tx.now }, $unset: { nextAt: 1 as const } };
  tx.write('drops', { updateOne: { filter: { _id }, update } });
  return more;
}

// ------------------------------------------------------------------------------------------------------------ append

/** The message lies in the store; when nothing is queued, it is the caller's to give it up. */
export async function appendForTraining(
  tx: Tx,
  message: KeptMessage,
  drop: Omit<DropRequest, 'folder' | 'mode'>,
): Promise<{ readonly queued: boolean }> {
  const step = trainingStep(drop);
  if (step === undefined) throw new TypeError(`${drop.action} trains nothing`);
  const { account } = drop.actor;
  const before = await lastClass(tx, account, message.sha256);
  // For whoever has the folder open; nothing of it is in any view, so the line is about no message.
  tx.log({
    kind: 'drop',
    uid: 0 as Uid,
    folder: drop.action as ActionFolder,
    entryId: 0 as EntryId,
    messageId: 0 as MessageId,
    owner: '',
    account,
  });
  if (before === classOf(step)) return { queued: false };
  const id = randomUUID();
  insertDrop(tx, { ...drop, mode: 'append', id, lease: '' }, { sealed: true, ripe: true });
  const document: JobDoc = {
    _id: `${id}/-/${step}`,
    order: tx.nextJob(),
    dropId: id,
    step,
    messageId: message.id,
    state: 'ready',
    attempts: 0,
    dueAt: tx.now + drop.undoMs,
    createdAt: tx.now,
  };
  tx.write('jobs', { insertOne: { document } });
  teachHash(tx, account, classOf(step), message.sha256);
  return { queued: true };
}

export async function heldByHash(snapshot: Snapshot, scope: Scope, sha256: string): Promise<readonly Entry[]> {
  const messages = await snapshot.find('messages', { sha256 }, { projection: { sha256: 1 } });
  if (messages.length === 0) return [];
  const docs = await snapshot.find(
    'entries',
    { messageId: { $in: messages.map((message) => message._id) }, state: 'held', class: 'held', uid: { $gt: 0 } },
    { hint: 'entries_by_message' },
  );
  docs.sort((a, b) => a._id - b._id);
  return docs.filter((doc) => owns(scope, doc.owner)).map(entryOf);
}
