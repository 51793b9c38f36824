/**
 * The indexes of the MongoDB driver, each with what it serves. Every one of them costs the intake a write, so there is none
 * that no query needs; test/store/mongo-plans.test.ts looks at the plan of every query that the driver sends.
 *
 * What `_id` does, needs no other: a drop's jobs are a range of keys, the change log is read and trimmed in its order (later
 * mod-sequences are never older), an account's training of some bytes is one key, lists of everything go newest first by it.
 *
 * A partial index serves only queries that imply its condition: `uid: { $gt: 0 }` implies that the field is there,
 * `_id: …` alone does not. For the sparse ones on stays an `$elemMatch` is enough.
 */
import type { IndexDescription } from 'mongodb';
import type { CollectionName } from './documents.ts';

export interface Index extends IndexDescription {
  readonly name: string;
}

/** What a view shows at one level, besides the UID: the scan reads the index and no entry. */
const shown = (level: 'global' | 'domain') =>
  ({
    _id: 1,
    messageId: 1,
    size: 1,
    internalDate: 1,
    [`mod.${level}`]: 1,
    [`flags.${level}`]: 1,
    hidden: 1,
  }) as const;

const inView = { uid: { $exists: true } };

export const indexes: Readonly<Record<CollectionName, readonly Index[]>> = {
  entries: [
    // views.load of everything: by far the most stays, so all that it shows is in the index.
    { name: 'entries_by_folder', key: { folder: 1, uid: 1, ...shown('global') }, partialFilterExpression: inView },
    // views.load of a domain: many stays as well.
    {
      name: 'entries_by_domain',
      key: { domain: 1, folder: 1, uid: 1, ...shown('domain') },
      partialFilterExpression: inView,
    },
    // views.load of a person: few stays, whose entries are read; not worth a wide index.
    { name: 'entries_by_owner', key: { owner: 1, folder: 1, uid: 1 }, partialFilterExpression: inView },
    // entries.list of a person and of a domain, newest first, entries in no folder included.
    { name: 'entries_of_owner', key: { owner: 1, _id: -1 } },
    { name: 'entries_of_domain', key: { domain: 1, _id: -1 } },
    // heldByHash, unteach, and check: the entries of a message.
    { name: 'entries_by_message', key: { messageId: 1 } },
    // byUid, prefixes, take, undo, setFlags, expunge: whose stay a UID is, in any folder, ended ones included.
    { name: 'stays_by_uid', key: { 'stays.uid': 1 } },
    // earlierPairs: what drops made of a stay.
    { name: 'stays_by_source', key: { 'stays.from': 1 }, sparse: true },
    // rollBack, undo of wide ranges: the stays that a drop began.
    { name: 'stays_by_drop', key: { 'stays.dropId': 1 }, sparse: true },
    // Trimming of the log takes along the stays that ended no later.
    { name: 'stays_by_end', key: { 'stays.endedModSeq': 1 }, sparse: true },
    // housekeep: released copies that are due to leave.
    { name: 'entries_due_to_leave', key: { leaveAt: 1 }, partialFilterExpression: { leaveAt: { $exists: true } } },
    // housekeep: entries in Training Requested whose time is over.
    {
      name: 'entries_to_expire',
      key: { expiresAt: 1 },
      partialFilterExpression: { state: 'held', expiresAt: { $exists: true } },
    },
  ],
  messages: [
    // heldByHash, unteach: messages with the same octets.
    { name: 'messages_by_hash', key: { sha256: 1 } },
  ],
  uploads: [
    // housekeep: octets that were never admitted, oldest first.
    { name: 'uploads_by_age', key: { beganAt: 1 } },
    // The sweep: whether a message is still to be admitted. Export: the highest id.
    { name: 'uploads_by_message', key: { messageId: 1 } },
  ],
  drops: [
    // undo and earlierPairs of wide ranges: an account's drops.
    { name: 'drops_by_account', key: { account: 1 } },
    // housekeep: drops to seal, roll back or ripen.
    { name: 'drops_next', key: { nextAt: 1 }, partialFilterExpression: { nextAt: { $exists: true } } },
  ],
  jobs: [
    // claim: the oldest due of one step; retryUntrained; counts and backlog, by the index alone.
    { name: 'jobs_due', key: { state: 1, step: 1, dueAt: 1, order: 1 } },
    // claim, housekeep: leases that ran out.
    { name: 'jobs_leased', key: { leaseUntil: 1 }, partialFilterExpression: { state: 'leased' } },
    // housekeep: a drop's jobs that wait for the end of its undo window (`dueAt` null in the index), some at a time.
    { name: 'jobs_unripe', key: { dropId: 1, dueAt: 1 }, partialFilterExpression: { state: 'ready' } },
    // Loading of dropped entries, claim (nobody else runs it), history.
    { name: 'jobs_by_entry', key: { entryId: 1 }, partialFilterExpression: { entryId: { $exists: true } } },
    // unteach, check: trainings of appended messages. (A condition cannot say that there is no entry.)
    { name: 'jobs_by_message', key: { messageId: 1 } },
    // Export: jobs as they were queued.
    { name: 'jobs_by_order', key: { order: 1 } },
  ],
  trainingLines: [
    // noteTraining, trainingsOf, history: the lines of a message, in their order.
    { name: 'lines_by_message', key: { messageId: 1, _id: 1 } },
    // trainings, newest first, by the one, the other, or both; trainingStats, by the last one alone.
    { name: 'lines_by_trainer', key: { trainer: 1, _id: -1 } },
    { name: 'lines_by_outcome', key: { outcome: 1, _id: -1 } },
    { name: 'lines_by_both', key: { trainer: 1, outcome: 1, _id: -1, class: 1 } },
  ],
  notices: [
    // notices.take: an account's notices, oldest first.
    { name: 'notices_by_account', key: { account: 1, _id: 1 } },
  ],
  numbers: [],
  bytes: [],
  repeats: [],
  trainings: [],
  inventories: [],
  uninventoried: [],
  changes: [],
  tops: [],
  accounts: [],
  settings: [],
  helpTexts: [],
};
