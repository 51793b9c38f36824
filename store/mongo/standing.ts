/**
 * Between documents and the pure rules of ../transitions.ts: makes Standings of entries, and writes what they become. `write`
 * is the one place where a transition reaches the documents; it keeps entry, stays, jobs and change log together.
 *
 * Queries (filter): entries `_id`; jobs `entryId`; drops `_id`. None for a single entry: a thousand of them are one each.
 */
import type { EntryId, Folder, MessageId, ReadableFolder, Uid } from '../model.ts';
import { lineOf, type StandingRow, shownWith, type Written } from '../standing.ts';
import { isAction, type JobStanding, type Next, sameFlags, type Target } from '../transitions.ts';
import type { DropDoc, EntryDoc, JobDoc, StayDoc } from './documents.ts';
import type { Snapshot, Tx } from './tx.ts';

/** How an entry stands, with the documents that a transition of it writes. */
export interface LoadedRow extends StandingRow {
  /** The entry as it is to be: a command may write it more than once. */
  doc: EntryDoc;
  /** What is needed to revive or cancel its jobs, by key. */
  readonly jobDocs: ReadonlyMap<string, JobDoc>;
  /** When jobs that have no due time became due by their drop, by drop; absent while it is not ripe. */
  readonly ripe: ReadonlyMap<string, number>;
}

/** The drop a transition belongs to: stays that begin on a target name it, and its jobs are due then. */
export interface Taker extends Pick<DropDoc, 'action' | 'account'> {
  readonly dropId: string;
  readonly dueAt: number | undefined;
  readonly cameFrom: ReadableFolder;
}

/** Loads entries by id; those that are not there are left out. */
export async function load(snapshot: Snapshot, ids: readonly number[]): Promise<Map<number, LoadedRow>> {
  if (ids.length === 0) return new Map();
  return standingsOf(snapshot, await snapshot.find('entries', { _id: { $in: [...ids] } }));
}

export async function loadOne(snapshot: Snapshot, id: number): Promise<LoadedRow | undefined> {
  return (await load(snapshot, [id])).get(id);
}

/** How entries stand whose documents were read already. */
export async function standingsOf(snapshot: Snapshot, docs: readonly EntryDoc[]): Promise<Map<number, LoadedRow>> {
  // An entry that no drop ever took has neither jobs nor targets, and most entries are like that.
  const dropped = docs.filter((doc) => doc.dropId !== undefined || doc.copiedBy !== undefined).map((doc) => doc._id);
  const jobs = dropped.length === 0 ? [] : await snapshot.find('jobs', { entryId: { $in: dropped } });
  const ripe = await ripeDrops(snapshot, jobs);
  const byEntry = new Map<number | undefined, JobDoc[]>(dropped.map((id) => [id, []]));
  for (const job of jobs) byEntry.get(job.entryId)?.push(job);
  return new Map(docs.map((doc) => [doc._id, rowOf(doc, byEntry.get(doc._id) ?? [], ripe)]));
}

/** Of drops that have cancelled jobs without a due time. */
async function ripeDrops(snapshot: Snapshot, jobs: readonly JobDoc[]): Promise<ReadonlyMap<string, number>> {
  const asked = jobs.filter((job) => job.state === 'cancelled' && job.dueAt === undefined).map((job) => job.dropId);
  if (asked.length === 0) return new Map();
  const drops = await snapshot.find('drops', { _id: { $in: [...new Set(asked)] } });
  const ripe = new Map<string, number>();
  for (const drop of drops)
    if (drop.ripeAt !== undefined && drop.sealedAt !== undefined) ripe.set(drop._id, drop.sealedAt + drop.undoMs);
  return ripe;
}

function rowOf(doc: EntryDoc, jobs: readonly JobDoc[], ripe: ReadonlyMap<string, number>): LoadedRow {
  return {
    id: doc._id as EntryId,
    messageId: doc.messageId as MessageId,
    owner: doc.owner,
    recipient: doc.recipient,
    direction: doc.direction,
    class: doc.class,
    place: doc.place,
    state: doc.state,
    uid: doc.uid as Uid | undefined,
    folder: doc.folder,
    hidden: doc.hidden,
    prefix: doc.prefix,
    size: doc.size,
    internalDate: doc.internalDate,
    dropId: doc.dropId,
    copiedBy: doc.copiedBy,
    waiting: doc.waiting,
    leaveAt: doc.leaveAt,
    flags: doc.flags,
    jobs: jobs.map(jobStanding),
    targets: doc.stays.flatMap(targetOf),
    doc,
    jobDocs: new Map(jobs.map((job) => [job._id, job])),
    ripe,
  };
}

function jobStanding(job: JobDoc): JobStanding {
  const { _id: key, dropId, step, state, cancelledBy } = job;
  return { key, dropId, step, state, ...(cancelledBy === undefined ? {} : { cancelledBy }) };
}

function targetOf(stay: StayDoc): readonly Target[] {
  const { uid, folder, dropId, action, account, cameFrom, from, wasState, wasDropId, wasCopiedBy } = stay;
  if (dropId === undefined || action === undefined || account === undefined) return [];
  if (cameFrom === undefined || from === undefined) return [];
  return [
    {
      uid: uid as Uid,
      folder,
      dropId,
      action,
      account,
      cameFrom,
      from: from as Uid,
      ...(wasState === undefined ? {} : { wasState }),
      ...(wasDropId === undefined ? {} : { wasDropId }),
      ...(wasCopiedBy === undefined ? {} : { wasCopiedBy }),
    },
  ];
}

/** Writes what an entry becomes, and logs what views show of it. */
export function write(tx: Tx, row: LoadedRow, next: Next, taker?: Taker): Written {
  const written: { action?: Uid; stay?: Uid; left?: Uid } = {};
  const begins = typeof next.stay === 'object' ? next.stay : undefined;
  let stays = [...row.doc.stays];

  if (next.onto && taker) {
    written.action = tx.nextUid();
    stays.push(newStay(tx, row, written.action, next.onto, taker));
  }
  let doc: EntryDoc = withFields(row.doc, next);
  if (next.stay === 'goes-on') {
    if (row.uid !== undefined && row.folder !== undefined && !sameFlags(row.flags, next.flags)) {
      doc = { ...doc, mod: modOf(tx) };
      tx.log({ kind: 'flags', ...lineOf(row, row.uid, row.folder), flags: next.flags });
    }
  } else {
    if (row.uid !== undefined && row.folder !== undefined) {
      written.left = row.uid;
      stays = ended(tx, stays, [row.uid]);
      tx.log({ kind: 'leave', ...lineOf(row, row.uid, row.folder) });
    }
    if (begins) written.stay = tx.nextUid();
    const { prefix, size } = shownWith(row, begins?.prefix);
    if (prefix !== row.prefix) stays = stays.map((stay) => keepPrefix(stay, row.prefix));
    const { uid: _uid, folder: _folder, ...rest } = doc;
    doc = { ...rest, prefix, size, mod: modOf(tx) };
    if (begins && written.stay !== undefined) {
      doc = { ...doc, uid: written.stay, folder: begins.folder };
      if (begins.folder === 'training') doc = wanted(doc, tx.now);
      // A discard and a restore have no action folder: the stay in the readable one is what the drop stands for.
      stays.push(newStay(tx, row, written.stay, begins.folder, next.onto ? undefined : taker));
      const line = lineOf(row, written.stay, begins.folder);
      tx.log({ kind: 'enter', ...line, flags: next.flags, size, internalDate: row.internalDate });
    }
  }
  if (next.over.length > 0) stays = ended(tx, stays, next.over);
  if (next.reopen.length > 0)
    stays = stays.map((stay) => (next.reopen.includes(stay.uid as Uid) ? reopened(stay) : stay));
  row.doc = { ...doc, stays };
  save(tx, row);
  writeJobs(tx, row, next, taker);
  return written;
}

/** Writes the entry as `row` has it. */
export function save(tx: Tx, { doc }: LoadedRow): void {
  tx.write('entries', { replaceOne: { filter: { _id: doc._id }, replacement: doc } });
}

/**
 * The stay of this drop on its action folder stands for nothing any more: `row` has it so, for `write` or `save` to write.
 * Answers whether there was such a stay.
 */
export function endAction(tx: Tx, row: LoadedRow, dropId: string, endedModSeq: number): boolean {
  const isOpen = (stay: StayDoc): boolean =>
    stay.dropId === dropId && stay.endedAt === undefined && isAction(stay.folder);
  if (!row.doc.stays.some(isOpen)) return false;
  const end = { endedAt: tx.now, endedModSeq };
  row.doc = { ...row.doc, stays: row.doc.stays.map((stay) => (isOpen(stay) ? { ...stay, ...end } : stay)) };
  return true;
}

function withFields(doc: EntryDoc, next: Next): EntryDoc {
  const { dropId: _dropId, copiedBy: _copiedBy, leaveAt: _leaveAt, ...rest } = doc;
  return {
    ...rest,
    state: next.state,
    place: next.place,
    waiting: next.waiting,
    hidden: next.hidden,
    flags: next.flags,
    ...(next.dropId === undefined ? {} : { dropId: next.dropId }),
    ...(next.copiedBy === undefined ? {} : { copiedBy: next.copiedBy }),
    ...(next.leaveAt === undefined ? {} : { leaveAt: next.leaveAt }),
  };
}

/** Brought back after its time: somebody wants it. */
function wanted(doc: EntryDoc, now: number): EntryDoc {
  const { expiresAt, ...rest } = doc;
  return expiresAt !== undefined && expiresAt <= now ? rest : doc;
}

function modOf(tx: Tx): EntryDoc['mod'] {
  const modSeq = tx.modSeq();
  return { recipient: modSeq, domain: modSeq, global: modSeq };
}

function newStay(tx: Tx, row: LoadedRow, uid: Uid, folder: Folder, taker: Taker | undefined): StayDoc {
  const stay = { uid, folder, beganAt: tx.now };
  if (!taker) return stay;
  const { dropId, action, account, cameFrom } = taker;
  return {
    ...stay,
    dropId,
    action,
    account,
    cameFrom,
    // Without a stay in view (a return from nowhere) there is no drop that could have taken it from one.
    ...(row.uid === undefined ? {} : { from: row.uid }),
    ...(row.state === 'held' ? {} : { wasState: row.state }),
    ...(row.dropId === undefined ? {} : { wasDropId: row.dropId }),
    ...(row.copiedBy === undefined ? {} : { wasCopiedBy: row.copiedBy }),
  };
}

function ended(tx: Tx, stays: readonly StayDoc[], uids: readonly number[]): StayDoc[] {
  return stays.map((stay) =>
    stay.endedAt === undefined && uids.includes(stay.uid)
      ? { ...stay, endedAt: tx.now, endedModSeq: tx.modSeq() }
      : stay,
  );
}

function reopened(stay: StayDoc): StayDoc {
  const { endedAt: _at, endedModSeq: _modSeq, ...open } = stay;
  return open;
}

function keepPrefix(stay: StayDoc, prefix: string): StayDoc {
  return stay.endedAt === undefined || stay.prefix !== undefined ? stay : { ...stay, prefix };
}

// -------------------------------------------------------------------------------------------------------------- jobs

function writeJobs(tx: Tx, row: LoadedRow, next: Next, taker: Taker | undefined): void {
  const { dropId, dueAt } = taker ?? {};
  if (dropId !== undefined)
    for (const step of next.add) {
      const document: JobDoc = {
        _id: `${dropId}/${row.id}/${step}`,
        order: tx.nextJob(),
        dropId,
        step,
        entryId: row.id,
        messageId: row.messageId,
        state: 'ready',
        attempts: 0,
        ...(dueAt === undefined ? {} : { dueAt }),
        createdAt: tx.now,
      };
      tx.write('jobs', { insertOne: { document } });
    }
  // `leaseUntil` stays: whoever runs it may not have noticed yet (see `claim`).
  for (const _id of next.cancel)
    tx.write('jobs', {
      updateOne: {
        filter: { _id, state: { $in: ['ready', 'leased'] } },
        update: {
          $set: { state: 'cancelled', endedAt: tx.now, ...(dropId === undefined ? {} : { cancelledBy: dropId }) },
          $unset: { lease: 1, ...(dropId === undefined ? { cancelledBy: 1 } : {}) },
        },
      },
    });
  for (const key of next.revive) revive(tx, row, key);
  for (const _id of next.dueNow)
    tx.write('jobs', {
      updateOne: { filter: { _id, state: 'ready', dueAt: { $gt: tx.now } }, update: { $set: { dueAt: tx.now } } },
    });
}

/** Not before the lease that may have been on it has run out; and unripe where its drop still is. */
function revive(tx: Tx, row: LoadedRow, _id: string): void {
  const job = row.jobDocs.get(_id);
  if (job?.state !== 'cancelled') return;
  const due = job.dueAt ?? row.ripe.get(job.dropId);
  tx.write('jobs', {
    updateOne: {
      filter: { _id },
      update: {
        $set: { state: 'ready', ...(due === undefined ? {} : { dueAt: Math.max(due, job.leaseUntil ?? 0) }) },
        $unset: { endedAt: 1, cancelledBy: 1, leaseUntil: 1 },
      },
    },
  });
}
