/**
 * Everything that a store keeps, as records that no driver's tables shine through: what `export` yields and `import` takes
 * (upkeep in port.ts). Two stores that export the same records are the same store.
 *
 * Times are milliseconds since 1970. Absent fields are absent, never null or undefined. Records are plain data: they can be
 * cloned to another thread, and written as JSON but for their byte strings.
 */
import type {
  ActionName,
  Change,
  Direction,
  DropMode,
  EntryClass,
  EntryId,
  EnvelopeParams,
  Folder,
  Inventory,
  JobState,
  Level,
  MessageId,
  ModSeq,
  Place,
  ReadableFolder,
  State,
  Step,
  SummarySection,
  TrainingKind,
  Uid,
  Verdict,
} from './model.ts';

export interface NumbersRecord {
  readonly kind: 'numbers';
  readonly uidValidity: number;
  readonly lastUid: number;
  readonly lastModSeq: number;
  /** The highest message id given. Ids are below 2^37 in every driver: SQLite numbers chunks with 16 bits more. */
  readonly lastMessageId: number;
  /** Changes up to here are no longer in the log. */
  readonly trimmedModSeq: number;
}

/** A UIDVALIDITY that no client has seen: the second of `now`, or behind the one before (RFC 3501 §2.3.1.1). */
export const uidValidityAfter = (before: number, now: number): number => Math.max(Math.trunc(now / 1000), before + 1);

/** Its octets are not in it: read them with `messages.read`, they never change. */
export interface MessageRecord extends Readonly<Record<SummarySection, Uint8Array>> {
  readonly kind: 'messages';
  readonly id: MessageId;
  readonly size: number;
  readonly sha256: string;
  readonly bodySha256: string;
  readonly headerSize: number;
  readonly sender: string;
  readonly params: EnvelopeParams;
  readonly filterBlock: Uint8Array;
  readonly subject: string;
  readonly from: string;
  readonly receivedAt: number;
}

export interface DropRecord {
  readonly kind: 'drops';
  readonly id: string;
  readonly account: string;
  readonly person?: string;
  readonly via: string;
  /** 'g', 'd:<domain>', 'r:<address>'. */
  readonly scope: string;
  /** Where the stays came from; absent for an appended message. */
  readonly folder?: ReadableFolder;
  readonly action: ActionName;
  readonly mode: DropMode;
  readonly undoMs: number;
  readonly hostname: string;
  readonly createdAt: number;
  /** Empty when nobody owns it any more. */
  readonly lease: string;
  readonly leaseUntil: number;
  readonly chunks: number;
  readonly sealedAt?: number;
  /** Its jobs have due times; absent while they have not. */
  readonly ripeAt?: number;
  readonly rolledBackAt?: number;
}

export interface JobRecord {
  readonly kind: 'jobs';
  readonly key: string;
  /** Ascending as the jobs were queued; unique in a store. New jobs get larger ones than all that are there. */
  readonly order: number;
  readonly dropId: string;
  readonly step: Step;
  /** Absent for an appended message. */
  readonly entryId?: EntryId;
  readonly messageId: MessageId;
  readonly state: JobState;
  readonly attempts: number;
  readonly dueAt?: number;
  readonly lease?: string;
  readonly leaseUntil?: number;
  readonly createdAt: number;
  readonly endedAt?: number;
  readonly outcome?: string;
  /** The drop that took its place. */
  readonly cancelledBy?: string;
}

export interface StayRecord {
  readonly uid: Uid;
  readonly folder: Folder;
  readonly beganAt: number;
  readonly endedAt?: number;
  readonly endedModSeq?: number;
  /** Of a stay that a drop began: that drop, and the stay it was taken from. */
  readonly dropId?: string;
  readonly from?: Uid;
  /** What the entry was when the drop took it; absent for held. */
  readonly wasState?: State;
  readonly wasDropId?: string;
  readonly wasCopiedBy?: string;
  /** What an ended stay showed, where the entry has another prefix by now. */
  readonly prefix?: string;
}

export interface EntryRecord {
  readonly kind: 'entries';
  readonly id: EntryId;
  readonly messageId: MessageId;
  readonly owner: string;
  readonly recipient: string;
  readonly orcpt?: string;
  readonly direction: Direction;
  readonly class: EntryClass;
  readonly place: Place;
  readonly state: State;
  /** The open stay in a readable folder: both or neither. */
  readonly uid?: Uid;
  readonly folder?: ReadableFolder;
  /** Levels that expunged the open stay in Trash, as bits (hiddenBit in transitions.ts). */
  readonly hidden: number;
  readonly prefix: string;
  /** Octets of the shown message: prefix and stored bytes. */
  readonly size: number;
  readonly verdict: Verdict;
  readonly internalDate: number;
  readonly heldAt: number;
  readonly linkedTo?: EntryId;
  readonly dropId?: string;
  readonly copiedBy?: string;
  readonly waiting: boolean;
  readonly leaveAt?: number;
  readonly expiresAt?: number;
  readonly flags: Readonly<Record<Level, string>>;
  readonly mod: Readonly<Record<Level, number>>;
  /** Ascending by UID; those that ended before the log begins may be gone. */
  readonly stays: readonly StayRecord[];
}

export interface TrainingRecord {
  readonly kind: 'trainings';
  readonly account: string;
  readonly sha256: string;
  readonly class: 'spam' | 'ham';
}

/** Messages that none names have no inventory yet. */
export interface InventoryRecord {
  readonly kind: 'inventories';
  readonly messageId: MessageId;
  readonly inventory: Inventory;
}

/** A TrainingLine; its kind is called outcome here. */
export interface TrainingLineRecord {
  readonly kind: 'trainingLines';
  readonly id: number;
  readonly jobKey: string;
  readonly messageId: MessageId;
  readonly entryId?: EntryId;
  readonly at: number;
  readonly account: string;
  readonly trainer: string;
  readonly class: 'spam' | 'ham';
  readonly outcome: TrainingKind;
  readonly said: string;
  readonly user?: string;
}

/** All lines of one mod-sequence, in their order. */
export interface ChangeRecord {
  readonly kind: 'changes';
  readonly modSeq: ModSeq;
  readonly at: number;
  readonly lines: readonly Omit<Change, 'modSeq'>[];
}

export interface TopRecord {
  readonly kind: 'tops';
  readonly scope: string;
  readonly folder: Folder;
  readonly uid: number;
  readonly modSeq: number;
}

export interface RepeatRecord {
  readonly kind: 'repeats';
  readonly key: string;
  readonly entryId: EntryId;
  readonly heldAt: number;
}

export interface AccountRecord {
  readonly kind: 'accounts';
  readonly name: string;
  readonly scope: string;
  readonly person?: string;
  readonly passwordHash: string;
  readonly createdAt: number;
  readonly passwordChangedAt: number;
}

export interface NoticeRecord {
  readonly kind: 'notices';
  /** Ascending as they were left; unique in a store. */
  readonly id: number;
  readonly account: string;
  readonly text: string;
  readonly at: number;
}

export interface SettingRecord {
  readonly kind: 'settings';
  readonly name: string;
  readonly value: Uint8Array;
}

export interface HelpTextRecord {
  readonly kind: 'helpTexts';
  readonly account: string;
  readonly textHash: string;
  readonly uid: Uid;
}

export type StoreRecord =
  | MessageRecord
  | DropRecord
  | JobRecord
  | EntryRecord
  | TrainingRecord
  | TrainingLineRecord
  | InventoryRecord
  | ChangeRecord
  | TopRecord
  | RepeatRecord
  | AccountRecord
  | NoticeRecord
  | SettingRecord
  | HelpTextRecord
  | NumbersRecord;

export type RecordKind = StoreRecord['kind'];
/** Every record but messages, which `import` takes with their octets. */
export type FactRecord = Exclude<StoreRecord, MessageRecord>;

/** The order in which `export` yields them: what is named comes before what names it, and the numbers last. */
export const recordKinds: readonly RecordKind[] = [
  'messages',
  'drops',
  'jobs',
  'entries',
  'trainings',
  'trainingLines',
  'inventories',
  'changes',
  'tops',
  'repeats',
  'accounts',
  'notices',
  'settings',
  'helpTexts',
  'numbers',
];

/** How a job ended that was unfinished in a backup (restored.ts). A training of these is what `retryUntrained` does, too. */
export const restoredOutcome = 'restored from a backup';

/** What `check` found, as facts. findings.ts has the sentences. */
export type Flaw =
  /** Octets that no entry and no job names. Mended: removed. */
  | { readonly kind: 'orphan-message'; readonly messageId: MessageId; readonly size: number }
  /** The record of its message is gone. Mended, if the octets are gone as well: as in 'entry-without-bytes'. */
  | { readonly kind: 'entry-without-message'; readonly entryId: EntryId; readonly messageId: MessageId }
  /** Its message has no octets. Mended: expired, out of its view, its unfinished jobs cancelled. Not told of expired entries. */
  | { readonly kind: 'entry-without-bytes'; readonly entryId: EntryId; readonly messageId: MessageId }
  /** An unfinished job whose entry is gone, or whose appended message has no octets. Mended: cancelled. */
  | { readonly kind: 'job-without-entry'; readonly key: string }
  /** An unfinished job whose drop is gone: nobody can say who wanted it. Mended: removed, and a dropped entry comes back. */
  | { readonly kind: 'job-without-drop'; readonly key: string; readonly entryId?: EntryId }
  /** A number that is smaller than one that was given. Mended: raised. `name`: as in NumbersRecord, or `scope folder`. */
  | { readonly kind: 'counter-behind'; readonly name: string; readonly is: number; readonly needed: number }
  /**
   * Octets that do not have the size or the hash they arrived with. Mended only if size and hash of the body are right: then
   * the stored hash is set to what the octets have.
   */
  | {
      readonly kind: 'damaged';
      readonly messageId: MessageId;
      readonly entryIds: readonly EntryId[];
      readonly what: 'size' | 'body' | 'hash';
    }
  /** What the database says of itself. Never mended. */
  | { readonly kind: 'database'; readonly says: string };

export type Finding = Flaw & {
  /** `check` was asked to repair, and this is right now. */
  readonly mended: boolean;
};
