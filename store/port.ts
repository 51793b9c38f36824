/**
 * What a store promises. Every driver keeps all of it; test/store/contract plays it against each of them.
 *
 * True of every method:
 * - A method that changes something is one transaction, all of it or nothing, and durable when its promise resolves.
 * - Numbers (UIDs, mod-sequences) are taken inside the writing transaction: no reader, in any process, ever sees a UID
 *   or a mod-sequence before every smaller one (DESIGN §3).
 * - Nothing blocks the event loop: no query and no disk access runs on the caller's thread.
 * - Time is the store's clock. A caller never passes "now".
 * - Throws StoreBusy (no write lock in time), StoreFull (no space), StoreUnavailable (gone, damaged, read-only): all of
 *   them temporary for whoever holds mail. See errors.ts.
 */
import type {
  Account,
  ActionName,
  Actor,
  Change,
  ClaimedJob,
  Direction,
  Drop,
  DropMode,
  Entry,
  EntryClass,
  EntryId,
  EnvelopeParams,
  Folder,
  Inventory,
  Job,
  Level,
  Message,
  MessageId,
  ModSeq,
  ReadableFolder,
  Scope,
  Step,
  Summary,
  SummarySection,
  TrainingKind,
  TrainingLine,
  Uid,
  Verdict,
} from './model.ts';
import type { FactRecord, Finding, MessageRecord, RecordKind, StoreRecord } from './records.ts';

export interface Store {
  readonly messages: Messages;
  readonly entries: Entries;
  readonly drops: Drops;
  readonly jobs: Jobs;
  readonly changes: Changes;
  readonly views: Views;
  readonly accounts: Accounts;
  readonly notices: Notices;
  readonly settings: Settings;
  readonly upkeep: Upkeep;
  /** Non-zero, made at installation (DESIGN §3). */
  readonly uidValidity: number;
  /**
   * Work that nobody asks for, done by whoever runs workers, safe to run by several at once: seals or rolls back drops
   * whose lease ran out, makes the jobs of sealed drops claimable when their undo window has passed, ends the stays of
   * released copies that are due to leave, ends entries in Training Requested whose time is over, sweeps bytes that were
   * never admitted (older than a day), trims the change log. Answers when something is known to be due next. Bounded work per call; `more` says to call again at once.
   */
  housekeep(): Promise<{ readonly more: boolean; readonly nextDueAt?: Date }>;
  /** Ends the threads after all accepted work is durable. Later calls throw StoreUnavailable. */
  close(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------- messages

/** Bytes on their way in: written, hashed and counted, not yet a message. Use once, in `admit` or `appendForTraining`. */
export interface StoredBytes {
  readonly token: string;
  readonly size: number;
  /** SHA-256 of the bytes, hex. */
  readonly sha256: string;
}

export interface Messages {
  /**
   * Takes bytes, streaming; no more than a few hundred kilobytes of them are in memory. They become durable no later than
   * the entry that names them. Bytes that no `admit` ever names are swept after a day. An error of `source` is passed on
   * and leaves nothing behind.
   */
  put(source: AsyncIterable<Uint8Array>): Promise<StoredBytes>;
  /** Gives up bytes that will not be admitted (a duplicate, a connection lost). Never throws for unknown tokens. */
  discard(bytes: StoredBytes): Promise<void>;
  /**
   * Reads `length` octets from `offset` (to the end when left out), streaming, with a bounded read-ahead. Holds no
   * transaction while the consumer is slow. @throws NotFound  the bytes were purged
   */
  read(id: MessageId, offset?: number, length?: number): AsyncIterable<Uint8Array>;
  get(id: MessageId): Promise<Message | undefined>;
  /** The block that the filter wrote above the message, taken off at arrival; empty when there was none. */
  filterBlock(id: MessageId): Promise<Uint8Array>;
  /** Sections of many messages, in the order of `ids`; an unknown id gives empty sections. */
  summaries(ids: readonly MessageId[], sections: readonly SummarySection[]): Promise<PackedSections>;
  /**
   * Messages whose inventory was not made yet, oldest first. Several callers may be answered the same ones: to make one
   * twice does no harm. Reads no more than it answers. One of them may not be anybody's yet, and its bytes not there.
   */
  withoutInventory(limit: number): Promise<readonly MessageId[]>;
  /** Keeps it, in place of an earlier one. Does nothing if the message is gone. */
  putInventory(id: MessageId, inventory: Inventory): Promise<void>;
  /** undefined: not made yet, or no such message. */
  inventory(id: MessageId): Promise<Inventory | undefined>;
}

/** Many small byte strings in one buffer that crosses threads without a copy. */
export interface PackedSections {
  readonly bytes: Uint8Array;
  /** Section s of message m lies from ends[m*k+s-1] (0 for the first) to ends[m*k+s], k being the number of sections. */
  readonly ends: Uint32Array;
}

// ----------------------------------------------------------------------------------------------------------- entries

export interface NewMessage {
  readonly bytes: StoredBytes;
  readonly bodySha256: string;
  readonly headerSize: number;
  readonly sender: string;
  readonly params: EnvelopeParams;
  readonly filterBlock: Uint8Array;
  readonly summary: Summary;
}

export interface NewEntry {
  readonly owner: string;
  readonly recipient: string;
  readonly orcpt?: string;
  readonly direction: Direction;
  readonly class: EntryClass;
  readonly verdict: Verdict;
  readonly internalDate?: Date;
  /** Header lines shown above the message; every `{id}` in it becomes the entry's id. */
  readonly prefix: string;
  /** Flags and keywords at all levels, e.g. ['\\Seen', '$x']; none by default. */
  readonly flags?: readonly string[];
  /** Folds onto an entry that has the same key (DESIGN §7.9). Absent: never folds. */
  readonly repeat?: {
    readonly key: string;
    /** Fold only onto entries held within this time; absent: at least 5 days and as long as the entry exists. */
    readonly withinMs?: number;
  };
  /** The arriving message is a released one that the filter hands back (DESIGN §7.6); see HandBack. */
  readonly handBack?: HandBack;
  /**
   * Only of class 'training': so long after it was held it ends by itself, if it is still held then: state expired, in no
   * folder. (One that was copied onto Spam or Not Spam ends as trained.) Brought back after that time, it stays.
   */
  readonly leaveAfterMs?: number;
  /** An earlier entry to link a new one to: it is about that one without being the same message (DESIGN §7.6, other body). */
  readonly linkTo?: EntryId;
}

/** A returning message whose signed header was found valid, for the same recipient and the same body. */
export interface HandBack {
  readonly entryId: EntryId;
  /** Prefix for the entry's new stay; `{id}` as above. */
  readonly prefix: string;
}

export type Admitted = {
  readonly entryId: EntryId;
  /** UID of the open stay (for a repeat: of the entry as it is, if it has one). */
  readonly uid?: Uid;
} & ({ readonly how: 'new' } | { readonly how: 'repeat' } | { readonly how: 'handed-back' });

/** What selects stays of one folder in one scope. UIDs ascending, without repeats. */
export interface StaySet {
  readonly scope: Scope;
  readonly folder: ReadableFolder;
  readonly uids: readonly Uid[];
}

/** Why an entry was left out of what was asked. */
export type RefusalReason =
  | 'released' //    on its way or done by another release action
  | 'discarded'
  | 'trained'
  | 'being-delivered' // leased just now
  | 'on-its-way' //  undo: too late
  | 'no-recipient' // nobody knows whom to deliver it to
  | 'not-allowed'; // this folder does not take it (wrong class)
export interface Refusal {
  readonly uid: Uid;
  readonly reason: RefusalReason;
}

/** From a UID in the source folder to the UID in the target folder; COPYUID is made of these. Ascending by `from`. */
export interface Pair {
  readonly from: Uid;
  readonly to: Uid;
}

export interface Taken {
  readonly pairs: readonly Pair[];
  /** UIDs whose stay in the source folder ended by this: for a MOVE all but those that an earlier drop explains. */
  readonly left: readonly Uid[];
  readonly refused: readonly Refusal[];
  /** Asked for, but in no stay that is open in that folder and scope, and no earlier drop of this account explains it. */
  readonly unknown: readonly Uid[];
  /** The change log's end after this; 0 if nothing changed. */
  readonly modSeq: ModSeq;
}

export interface Entries {
  /**
   * Keeps a message and one entry per recipient. An entry whose repeat key is known is not made again; if none is left to
   * make, the bytes are given up. Concurrent admits share a transaction; each keeps its own all-or-nothing.
   * @throws StoreFull, StoreBusy, StoreUnavailable: nothing was kept
   */
  admit(message: NewMessage, entries: readonly NewEntry[]): Promise<readonly Admitted[]>;

  get(id: EntryId): Promise<Entry | undefined>;
  /**
   * The entry that has or had this UID in any folder (DESIGN §7.3): its first one, which is its id, for ever, the others as
   * long as the stay is kept.
   */
  byUid(uid: Uid): Promise<Entry | undefined>;
  /** Entries of a scope, newest first, for lists outside IMAP. */
  list(query: ListQuery): Promise<readonly ListedEntry[]>;
  /** Everything known about one entry: its stays, drops, jobs and trainings, oldest first. */
  history(id: EntryId): Promise<History | undefined>;

  /**
   * Adds, removes or replaces flags of open stays at one level. System flags and keywords alike; `$Releasing`,
   * `$ReleaseFailed`, `$Trained` cannot be added (silently kept as they are by replace and add), but can be removed.
   * With `unchangedSince`, a stay whose mod-sequence at this level is larger is left alone and named in `modified`
   * (RFC 7162 §3.1.3). UIDs that are not there are ignored. Nothing that stays the same gets a new mod-sequence.
   */
  setFlags(stays: StaySet, change: FlagChange): Promise<FlagsSet>;

  /**
   * EXPUNGE (DESIGN §7.5, §7.6, §7.8). Caught, Training Requested: a held entry is discarded (trash; state discarded); one
   * trained by COPY goes to trash as trained; one that is dropped or released only leaves the view. Trash: the stay is
   * over for this level only. UIDs that are not there are ignored. Answers the UIDs that left.
   */
  expunge(stays: StaySet, actor: Actor): Promise<{ readonly left: readonly Uid[]; readonly modSeq: ModSeq }>;
}

export interface ListQuery {
  readonly scope: Scope;
  readonly folder?: ReadableFolder;
  readonly states?: readonly Entry['state'][];
  /** Only entries older than this one (paging). */
  readonly before?: EntryId;
  readonly limit: number;
}
export interface ListedEntry extends Entry {
  readonly message: Message;
}
export interface History {
  readonly entry: Entry;
  readonly message: Message;
  readonly stays: readonly {
    readonly uid: Uid;
    readonly folder: Folder;
    readonly beganAt: Date;
    readonly endedAt?: Date;
  }[];
  readonly drops: readonly Drop[];
  readonly jobs: readonly Job[];
  /** What trainers made of its trainings. */
  readonly trainings: readonly TrainingLine[];
}

export interface FlagChange {
  readonly op: 'add' | 'remove' | 'replace';
  readonly flags: readonly string[];
  readonly unchangedSince?: ModSeq;
}
export interface FlagsSet {
  readonly changed: readonly { readonly uid: Uid; readonly flags: string; readonly modSeq: ModSeq }[];
  readonly modified: readonly Uid[];
  readonly modSeq: ModSeq;
}

// ------------------------------------------------------------------------------------------------------------- drops

export interface DropRequest {
  readonly actor: Actor;
  readonly scope: Scope;
  readonly folder: ReadableFolder;
  readonly action: ActionName;
  readonly mode: DropMode;
  /** 0 for none. The jobs can be claimed this long after the drop was sealed. */
  readonly undoMs: number;
  /** What follows the `@` in the Resent-Message-ID that all tries carry. */
  readonly hostname: string;
  /** Only with MOVE onto Release folders: an entry that was released is delivered once more, whatever its stay (AC-13). */
  readonly again?: true;
  /**
   * The steps of this drop where it trains besides what its action says: those of the action, then one training. A release
   * that is learned as ham, a discard that is learned as spam. Undo goes by the delivery; a restore from Trash calls the
   * training off as long as it has not ended, and one that it had taken the place of is learned after all. An entry that
   * was copied onto Spam or Not Spam keeps what that taught when it is discarded.
   */
  readonly steps?: readonly Step[];
}

/** An open drop: chunks are put onto it, then it is sealed. Its lease belongs to the process that began it. */
export interface OpenDrop extends DropRequest {
  readonly id: string;
  readonly lease: string;
}

/** A UID range, both ends included, as a client wrote it. */
export interface UidRange {
  readonly first: number;
  readonly last: number;
}

export interface Drops {
  /**
   * Names a new drop. Writes nothing yet: an interrupted command that took nothing leaves nothing.
   * @throws TypeError  `steps` that such a drop cannot have
   */
  begin(request: DropRequest): OpenDrop;

  /**
   * Puts one chunk (at most 1000) of open stays on the drop's action: the rules of DESIGN §7.3, §7.5 and §7.6 for
   * `mode`. Renews and checks the drop's lease in the same transaction. With `last`, the drop is sealed in it as well.
   * - MOVE: each UID by itself: taken; or explained by an earlier drop of this account onto the same action (its pair
   *   again, and its stay, if still open, ends); or in `refused`; or in `unknown`.
   * - COPY onto Release folders and Spam/Not Spam: the stay goes on, with `$Releasing` or `$Trained` at all levels.
   *   If any UID is refused or unknown the chunk takes nothing; the caller then rolls the drop back.
   * - COPY onto (discard) and out of (restore) Trash: as MOVE, but all or nothing.
   * - `restore` puts back into the folder each entry came from; `to` are UIDs there. `restoreTo` must be that folder
   *   for every entry, others are refused 'not-allowed'.
   * Repeating a chunk takes and queues nothing twice. @throws LeaseLost
   */
  take(
    drop: OpenDrop,
    uids: readonly Uid[],
    options: { readonly last: boolean; readonly restoreTo?: ReadableFolder },
  ): Promise<Taken>;

  /** Seals a drop whose last chunk was taken without `last`. Idempotent. @throws LeaseLost */
  seal(drop: OpenDrop): Promise<void>;

  /**
   * Takes back all chunks of an unsealed drop (RFC 3501 §6.4.7). Entries whose stay has ended come back under a new UID.
   * In pieces, each a transaction: the first takes the lease away, so that nothing can be put onto the drop or seal it,
   * and if the others do not follow, housekeeping does them. Idempotent. @throws LeaseLost  it was sealed
   */
  rollBack(drop: OpenDrop): Promise<void>;

  /**
   * Pairs of earlier drops of this account from `folder` onto `action` that can still be undone, for source UIDs within
   * `ranges` (a client that lost the answer of its MOVE asks again; DESIGN §7.5).
   */
  earlierPairs(
    actor: Actor,
    scope: Scope,
    folder: ReadableFolder,
    action: ActionName,
    ranges: readonly UidRange[],
  ): Promise<readonly Pair[]>;

  /**
   * Undo (DESIGN §7.5): UIDs in an action folder, within `ranges`. For each that stands for a drop of this account whose
   * deliver job (for Spam/Not Spam: train job) is neither leased nor ended: cancels all unfinished jobs of that drop for
   * the entry; the entry is again what it was, in the folder it came from, under a new UID (also after a COPY: the old one
   * ends); a training that this one had taken the place of will be learned after all.
   * With `backTo`, entries that came from another folder are ignored. Too late: in `refused` ('on-its-way').
   * Any other UID is ignored. Pairs are from UIDs of the action folder to UIDs of the folder. Many go in pieces, each a
   * transaction: after an error some may be done, and asking again does the rest.
   */
  undo(
    actor: Actor,
    scope: Scope,
    folder: Folder,
    ranges: readonly UidRange[],
    backTo?: ReadableFolder,
  ): Promise<Taken>;

  /**
   * APPEND onto Spam / Not Spam: keeps message and drop, sealed, with one train job; no entry, no UID. Queues nothing if
   * this account's last training of the same bytes was of the same class; answers whether it did.
   */
  appendForTraining(
    message: NewMessage,
    drop: Omit<DropRequest, 'folder' | 'mode'>,
  ): Promise<{ readonly queued: boolean }>;

  /**
   * Entries of the scope that are held and whose bytes have this SHA-256 (hex), for an APPEND onto a Release folder;
   * with their open stay.
   */
  heldByHash(scope: Scope, sha256: string): Promise<readonly Entry[]>;
}

// -------------------------------------------------------------------------------------------------------------- jobs

export interface JobClaim {
  readonly steps: readonly Step[];
  readonly limit: number;
  readonly leaseMs: number;
}

/** How a try ended. `said`: the other side's own words, control characters removed by the caller, ≤ 1000 characters. */
export type Outcome =
  /** Delivered, or learned. deliver: the entry is released; a COPYed stay leaves after `leaveAfterMs`, a waiting one at once. */
  | { readonly kind: 'done'; readonly said: string; readonly leaveAfterMs: number }
  /**
   * Will not succeed. deliver: the entry is held again in its own folder under a new UID, `$ReleaseFailed`, with `prefix`
   * above it (`{id}` as in NewEntry); an open stay ends in the same transaction; `notice` is left for the account that
   * dropped it. train: only recorded.
   */
  | { readonly kind: 'failed'; readonly said: string; readonly prefix?: string; readonly notice?: string }
  /**
   * Later again. `show`: the entry, still dropped, gets a stay in its own folder under a new UID, `$Releasing`, with that
   * prefix; an open stay ends in the same transaction. Only for deliver.
   */
  | {
      readonly kind: 'later';
      readonly said: string;
      readonly afterMs: number;
      /** Nothing was tried: not counted in `attempts`. */
      readonly untried?: true;
      readonly show?: { readonly prefix: string };
    };

export interface Jobs {
  /**
   * Leases due jobs, oldest first, also those whose lease ran out. Each is claimed by one caller only. `attempts` counts
   * this try. Jobs of one entry never run twice at once: neither two deliveries nor two trainings.
   */
  claim(claim: JobClaim): Promise<readonly ClaimedJob[]>;
  /** Prolongs a lease. @throws LeaseLost */
  renew(job: ClaimedJob, leaseMs: number): Promise<void>;
  /**
   * Records how a try ended and does what that means for the entry, in one transaction. @throws LeaseLost  somebody else
   * has it, or the entry was handed back: nothing is recorded
   */
  finish(job: ClaimedJob, outcome: Outcome): Promise<void>;
  /** Gives a claimed job back untried (shutdown): due at once, the try not counted. Never throws for a lost lease. */
  release(job: ClaimedJob): Promise<void>;
  get(key: string): Promise<Job | undefined>;
  ofDrop(dropId: string): Promise<readonly Job[]>;
  /**
   * Train jobs that ended with the outcome "no trainer", or were cancelled with `restoredOutcome` (records.ts): queued anew,
   * while the bytes exist. With `failed`, those that failed as well. Answers how many.
   */
  retryUntrained(options?: { readonly failed?: boolean }): Promise<number>;
  /**
   * Notes what one trainer made of a training, for good: kept as long as the message, but no more than the last 100 of them.
   * It takes the place of a 'later' of the same job, trainer and user.
   * @throws LeaseLost  somebody else has the job. Not if it was cancelled while it ran: what was learned was learned.
   */
  noteTraining(
    job: ClaimedJob,
    line: Pick<TrainingLine, 'trainer' | 'class' | 'kind' | 'said' | 'user'>,
  ): Promise<void>;
  /** Of all entries of the message, and of an appended one; oldest first. */
  trainingsOf(messageId: MessageId): Promise<readonly TrainingLine[]>;
  /** Newest first, in pages. */
  trainings(query: TrainingQuery): Promise<readonly TrainingLine[]>;
  /** How many lines of each sort are kept: by an index alone, so it costs what there is of them and reads no line. */
  trainingStats(): Promise<readonly TrainingCount[]>;
  counts(): Promise<{ readonly [state in Job['state']]: number }>;
  /** What is to be done, step by step; steps without unfinished jobs are left out. Reads no ended job. */
  backlog(): Promise<readonly Backlog[]>;
}

export interface TrainingQuery {
  readonly limit: number;
  /** Only lines with a smaller `id` than this. */
  readonly before?: number;
  readonly trainer?: string;
  readonly kind?: TrainingKind;
}

/** In the order of trainer, class and kind. */
export interface TrainingCount extends Pick<TrainingLine, 'trainer' | 'class' | 'kind'> {
  readonly count: number;
}

export interface Backlog {
  readonly step: Step;
  /** Could be claimed now; the oldest of them for so long already. */
  readonly due: number;
  readonly oldestDueMs: number;
  /** Not yet: within the undo window, or put off. */
  readonly later: number;
  /** Being done. One whose lease ran out is still counted here until it is claimed again. */
  readonly leased: number;
}

// ----------------------------------------------------------------------------------------------------- changes, views

export interface WatchOptions {
  /** Whether commits of other processes ring too; true by default. */
  readonly others?: boolean;
}

export interface Changes {
  /**
   * Lines after `since`, ascending, whole mod-sequences, about `limit` lines. `end` is the mod-sequence up to which this
   * answer is complete. `lost`: the log was trimmed past `since`; load the view anew.
   */
  since(
    since: ModSeq,
    limit: number,
  ): Promise<{
    readonly changes: readonly Change[];
    readonly end: ModSeq;
    readonly more: boolean;
    readonly lost: boolean;
  }>;
  /** The end of the log as of the last commit. */
  end(): Promise<ModSeq>;
  /**
   * Calls `ring` soon (this process: at once; another on the same store: within 200 ms) after changes were committed. A
   * hint, may be lost or come for nothing. With `others: false` only this process's commits ring: a bus carries those of
   * the other processes, and the driver looks for none while nobody else wants them. Answers the way to stop it.
   */
  watch(ring: () => void, options?: WatchOptions): () => void;
}

/** A folder of a scope as columns, index by index one stay, ascending by UID. */
export interface ViewSnapshot {
  readonly uids: Uint32Array;
  readonly entryIds: Uint32Array;
  readonly messageIds: Float64Array;
  readonly sizes: Uint32Array;
  /** Milliseconds since 1970. */
  readonly internalDates: Float64Array;
  readonly modSeqs: Float64Array;
  /** Index into `flagSets` for each stay: few different sets exist. */
  readonly flagSet: Uint32Array;
  /** E.g. ['', '\\Seen', '\\Seen $Releasing']. */
  readonly flagSets: readonly string[];
  /** Highest UID ever given in this folder and scope, plus one; at least 1 (DESIGN §7.4). */
  readonly uidNext: Uid;
  /** Last mod-sequence of this folder at this level; at least 1. */
  readonly highestModSeq: ModSeq;
  /** The log's end in the same snapshot: apply only later changes. */
  readonly asOf: ModSeq;
}

export interface Views {
  /** One ordered scan, in one read snapshot. */
  load(scope: Scope, folder: ReadableFolder): Promise<ViewSnapshot>;
  /** UIDNEXT and HIGHESTMODSEQ of any folder, action folders included. */
  top(scope: Scope, folder: Folder): Promise<{ readonly uidNext: Uid; readonly highestModSeq: ModSeq }>;
  /** Prefixes of stays, in the order of `uids`; '' for none or unknown. */
  prefixes(uids: readonly Uid[]): Promise<readonly string[]>;
}

// ---------------------------------------------------------------------------------------------------------- accounts

export interface Accounts {
  /** @throws Conflict  there is one of that name */
  add(account: {
    readonly name: string;
    readonly scope: Scope;
    readonly person?: string;
    readonly passwordHash: string;
  }): Promise<void>;
  /** @throws NotFound */
  setPassword(name: string, passwordHash: string): Promise<void>;
  remove(name: string): Promise<boolean>;
  get(name: string): Promise<(Account & { readonly passwordHash: string }) | undefined>;
  list(): Promise<readonly Account[]>;
}

/** What an account has to be told once, in words, whenever one of its sessions is there. */
export interface Notices {
  /** Takes all waiting notices of the account away and answers them, oldest first. Each is given to one caller only. */
  take(account: string): Promise<readonly string[]>;
}

/** Small named values: keys, subscriptions, the help text's UID. */
export interface Settings {
  get(name: string): Promise<Uint8Array | undefined>;
  put(name: string, value: Uint8Array): Promise<void>;
  /** Writes `value` only if the name has none; answers what stands there afterwards. */
  putIfAbsent(name: string, value: Uint8Array): Promise<Uint8Array>;
  /** UID of the help message with this text in this account's INBOX: the same as long as the text is, else a new one. */
  helpUid(account: string, textHash: string): Promise<Uid>;
}

// ------------------------------------------------------------------------------------------------------------ upkeep

/** For whoever keeps a store in order, while it is in use unless said otherwise. Memory is bounded whatever its size. */
export interface Upkeep {
  /** How many records of each kind there are, and the octets of all messages: to say how far an export is. */
  count(): Promise<{ readonly records: Readonly<Record<RecordKind, number>>; readonly octets: number }>;
  /**
   * All records of one snapshot, in the order of `recordKinds` and within a kind by their key (messages by id, jobs by
   * order, changes by mod-sequence). A message's octets are to be read with `messages.read`. Bytes that were not admitted
   * are not in it. Ends its snapshot when the consumer stops. With `kinds`, those only.
   */
  export(kinds?: readonly RecordKind[]): AsyncIterable<StoreRecord>;
  /**
   * Begins to fill this store, or goes on with what was interrupted: messages that are there stay, everything else is
   * removed. From now on until `finish` nobody can open the store but with `unfinished` (open.ts).
   * @throws StoreRefused  it is neither empty (no record but numbers) nor an import that was begun
   */
  beginImport(): Promise<Import>;
  /** What is not as it should be; with `repair`, mended where that loses no mail. findings.ts has the sentences. */
  check(options: { readonly repair: boolean }): AsyncIterable<Finding>;
  /**
   * Gives unused space back and brings what the database knows about itself up to date. Says what it did, in sentences.
   * `alone`: nobody else uses the store, so it may keep others waiting for as long as it takes.
   */
  optimize(options: { readonly alone: boolean }): Promise<readonly string[]>;
}

/** A store that is being filled. Nothing else uses it meanwhile. */
export interface Import {
  /**
   * Keeps a message under its id, unless it is there whole. Called in ascending order of ids; several may be under way at
   * once. A message between two of them that an earlier try left is removed. `octets` is only asked for when needed.
   * @throws StoreRefused  `octets` are not as many as the record says
   */
  message(record: MessageRecord, octets: () => AsyncIterable<Uint8Array>): Promise<'kept' | 'there'>;
  /** Writes records, some hundred at a time; what is named before what names it, as `export` yields them, numbers last. */
  write(records: readonly FactRecord[]): Promise<void>;
  /**
   * Ends it in one transaction: the store can be used. `numbers` were written before. With `uidValidity`, that one instead.
   * `store.uidValidity` of a Store that is open may be the one before: open it anew.
   */
  finish(options?: { readonly uidValidity?: number }): Promise<void>;
}

export type { Folder, Level };
