/**
 * The documents of the MongoDB driver, collection by collection. Times are milliseconds since 1970, by the store's clock.
 * Scope keys as in ../sqlite: 'g', 'd:<domain>', 'r:<address>'.
 *
 * An entry is one document with all its stays in it, so that a transition of an entry is one write; the lines of one
 * command are one document of the change log, so that a reader has a mod-sequence whole or not at all.
 */
import type { Binary } from 'mongodb';
import type {
  ActionName,
  ChangeKind,
  Direction,
  DropMode,
  EntryClass,
  EnvelopeParams,
  Folder,
  Inventory,
  JobState,
  Level,
  Place,
  ReadableFolder,
  State,
  Step,
  TrainingKind,
  Verdict,
} from '../model.ts';

/** The one document of `numbers`: every writing transaction writes it first, and so waits for its turn. */
export interface NumbersDoc {
  readonly _id: 'numbers';
  readonly schema: number;
  readonly uidValidity: number;
  readonly uid: number;
  readonly modSeq: number;
  /** Orders jobs that were queued in the same millisecond. */
  readonly job: number;
  /** Changes up to here are no longer in the log. */
  readonly trimmed: number;
  /** Counts writers that wait for their turn by writing here (queue.ts); says nothing else. */
  readonly asked?: number;
}

/** Also in `numbers`, and not written in transactions: how many message ids were given out, a block of them at a time. */
export interface MessageIdsDoc {
  readonly _id: 'messageIds';
  readonly last: number;
}

/** Also in `numbers`: messages up to here were looked at by the sweep (messages.ts). */
export interface SweptDoc {
  readonly _id: 'swept';
  readonly upTo: number;
}

/** `messages`: what is known of a message, and what clients ask about it. Written before the transaction that names it. */
export interface MessageDoc {
  readonly _id: number;
  readonly size: number;
  readonly sha256: string;
  readonly bodySha256: string;
  readonly headerSize: number;
  readonly sender: string;
  readonly params: EnvelopeParams;
  readonly filterBlock: Binary;
  readonly subject: string;
  readonly from: string;
  readonly receivedAt: number;
  readonly envelope: Binary;
  readonly bodyStructure: Binary;
  readonly body: Binary;
  readonly commonFields: Binary;
  readonly parts: Binary;
}

/** `bytes`: the octets of a small message (≤ 256 KiB); larger ones lie in GridFS, bucket `large`, under the message's id. */
export interface BytesDoc {
  readonly _id: number;
  readonly bytes: Binary;
}

/** `uploads`: a large message whose octets are being written, or were and nobody admitted them. */
export interface UploadDoc {
  readonly _id: string; // the token
  readonly messageId: number;
  readonly beganAt: number;
}

/** A stay inside its entry. Absent fields are absent, never null. */
export interface StayDoc {
  readonly uid: number;
  readonly folder: Folder;
  readonly beganAt: number;
  readonly endedAt?: number;
  readonly endedModSeq?: number;
  /** Of a stay that a drop began: that drop with what the rules need of it, and the stay it was taken from. */
  readonly dropId?: string;
  readonly action?: ActionName;
  readonly account?: string;
  readonly cameFrom?: ReadableFolder;
  readonly from?: number;
  /** What the entry was when the drop took it; absent for held. */
  readonly wasState?: State;
  readonly wasDropId?: string;
  readonly wasCopiedBy?: string;
  /** What an ended stay showed, where the entry has another prefix by now. */
  readonly prefix?: string;
}

/** `entries`. `uid` and `folder` are the open stay in a readable folder, absent when there is none. */
export interface EntryDoc {
  readonly _id: number;
  readonly messageId: number;
  readonly owner: string;
  readonly domain: string;
  readonly recipient: string;
  readonly orcpt?: string;
  readonly direction: Direction;
  readonly class: EntryClass;
  readonly place: Place;
  readonly state: State;
  readonly uid?: number;
  readonly folder?: ReadableFolder;
  /** Levels that expunged the open stay in Trash, as bits. */
  readonly hidden: number;
  readonly prefix: string;
  /** Octets of the shown message: prefix and stored bytes. */
  readonly size: number;
  readonly verdict: Verdict;
  readonly internalDate: number;
  readonly heldAt: number;
  readonly linkedTo?: number;
  readonly dropId?: string;
  readonly copiedBy?: string;
  readonly waiting: boolean;
  readonly leaveAt?: number;
  /** In Training Requested: it ends then, if it is still held. */
  readonly expiresAt?: number;
  /** Flags and mod-sequences of each level. */
  readonly flags: Readonly<Record<Level, string>>;
  readonly mod: Readonly<Record<Level, number>>;
  readonly stays: readonly StayDoc[];
}

/** `repeats`: the newest entry that has this key (DESIGN §7.9). */
export interface RepeatDoc {
  readonly _id: string;
  readonly entryId: number;
  readonly heldAt: number;
}

/** `drops`. */
export interface DropDoc {
  readonly _id: string;
  readonly account: string;
  readonly person?: string;
  readonly via: string;
  readonly scope: string;
  readonly folder?: ReadableFolder;
  readonly action: ActionName;
  readonly mode: DropMode;
  readonly undoMs: number;
  readonly hostname: string;
  readonly createdAt: number;
  readonly lease: string;
  readonly leaseUntil: number;
  readonly chunks: number;
  readonly sealedAt?: number;
  /** Its jobs have due times; absent while they have not. */
  readonly ripeAt?: number;
  readonly rolledBackAt?: number;
  /** Time at which housekeeping has to look at it: the lease's end while unsealed, the undo window's end while unripe. */
  readonly nextAt?: number;
}

/** `jobs`, by key. */
export interface JobDoc {
  readonly _id: string;
  readonly order: number;
  readonly dropId: string;
  readonly step: Step;
  readonly entryId?: number;
  readonly messageId: number;
  readonly state: JobState;
  readonly attempts: number;
  readonly dueAt?: number;
  readonly lease?: string;
  readonly leaseUntil?: number;
  readonly createdAt: number;
  readonly endedAt?: number;
  readonly outcome?: string;
  readonly cancelledBy?: string;
}

/** `trainings`: what an account last taught about some bytes. `_id` is `sha256 account`. */
export interface TrainingDoc {
  readonly _id: string;
  readonly account: string;
  readonly sha256: string;
  readonly class: 'spam' | 'ham';
}

/** `trainingLines`: what came of trainings. `_id` is ascending; absent `entryId`: an appended message. */
export interface TrainingLineDoc {
  readonly _id: number;
  readonly jobKey: string;
  readonly messageId: number;
  readonly entryId?: number;
  readonly at: number;
  readonly account: string;
  readonly trainer: string;
  readonly class: 'spam' | 'ham';
  readonly outcome: TrainingKind;
  readonly said: string;
  readonly user?: string;
}

/** `inventories`: what a message brings along. `_id` is the message's. */
export interface InventoryDoc {
  readonly _id: number;
  readonly inventory: Inventory;
}

/** `uninventoried`: messages whose inventory was not made yet, by their id. Written with the message. */
export interface UninventoriedDoc {
  readonly _id: number;
}

/** One line of a command in the change log; as in model.Change, without the mod-sequence. */
export interface LineDoc {
  readonly kind: ChangeKind | 'notice';
  readonly uid: number;
  readonly folder: Folder;
  readonly entryId: number;
  readonly messageId: number;
  readonly owner: string;
  readonly level?: Level;
  readonly account?: string;
  readonly flags?: Readonly<Partial<Record<Level, string>>>;
  readonly size?: number;
  readonly internalDate?: number;
}

/** `changes`: `_id` is the mod-sequence. */
export interface ChangeDoc {
  readonly _id: number;
  readonly at: number;
  readonly lines: readonly LineDoc[];
}

/** `tops`: `_id` is `folder scopeKey` (DESIGN §7.4). */
export interface TopDoc {
  readonly _id: string;
  readonly uid: number;
  readonly modSeq: number;
}

export interface AccountDoc {
  readonly _id: string; // the name
  readonly scope: string;
  readonly person?: string;
  readonly passwordHash: string;
  readonly createdAt: number;
  readonly passwordChangedAt: number;
}

/** `notices`: `_id` is ascending with the mod-sequence they were left at: `modSeq * 1000 + n`. */
export interface NoticeDoc {
  readonly _id: number;
  readonly account: string;
  readonly text: string;
  readonly at: number;
}

export interface SettingDoc {
  readonly _id: string;
  readonly value: Binary;
}

export interface HelpTextDoc {
  readonly _id: string; // the account
  readonly textHash: string;
  readonly uid: number;
}

/** Collection name → its documents. */
export interface Documents {
  readonly numbers: NumbersDoc;
  readonly messages: MessageDoc;
  readonly bytes: BytesDoc;
  readonly uploads: UploadDoc;
  readonly entries: EntryDoc;
  readonly repeats: RepeatDoc;
  readonly drops: DropDoc;
  readonly jobs: JobDoc;
  readonly trainings: TrainingDoc;
  readonly trainingLines: TrainingLineDoc;
  readonly inventories: InventoryDoc;
  readonly uninventoried: UninventoriedDoc;
  readonly changes: ChangeDoc;
  readonly tops: TopDoc;
  readonly accounts: AccountDoc;
  readonly notices: NoticeDoc;
  readonly settings: SettingDoc;
  readonly helpTexts: HelpTextDoc;
}
export type CollectionName = keyof Documents;
