/**
 * The nouns, types only. What each means is DESIGN's vocabulary: a *message* is exact bytes with their envelope, stored
 * once; an *entry* is that message held for one envelope recipient; a *stay* is an entry's time in one folder and has a
 * UID of its own; a *drop* is one act of putting entries on an action; a *job* is one step for one entry; a *change* is
 * one line of the log.
 */

/** IMAP unique identifier, 1 … 2^32-1. One ascending sequence for the whole installation. */
export type Uid = number & { readonly _uid: unique symbol };
/** Modification sequence (RFC 7162), 1 … 2^53-1. One ascending sequence for the whole installation. */
export type ModSeq = number & { readonly _modSeq: unique symbol };
/** An entry's identity for ever: the UID of its first stay. */
export type EntryId = number & { readonly _entryId: unique symbol };
/** Identity of a stored message inside its store. Never shown to anybody. */
export type MessageId = number & { readonly _messageId: unique symbol };

export type Level = 'recipient' | 'domain' | 'global';
export const levels: readonly Level[] = ['recipient', 'domain', 'global'];

/** Which entries exist for an account. Addresses and domains are in normal form (DESIGN §7.2). */
export type Scope =
  | { readonly level: 'global' }
  | { readonly level: 'domain'; readonly domain: string }
  | { readonly level: 'recipient'; readonly address: string };

export type Direction = 'incoming' | 'outgoing';

/** Fixed at arrival: mail that is held, or a copy of delivered mail that a person is asked to judge. */
export type EntryClass = 'held' | 'training';

/** Where an entry stands; `none` when it is in no readable folder. */
export type Place = 'caught' | 'training' | 'trash' | 'none';

/** held ⇄ dropped, held ⇄ discarded; released, trained; expired is final (DESIGN §7.3). */
export type State = 'held' | 'dropped' | 'discarded' | 'released' | 'trained' | 'expired';

/** Folders in which stays exist, by role. Their names towards people are the mailbox's business. */
export type ReadableFolder = 'caught' | 'outgoing' | 'training' | 'trash';
export type ActionFolder = 'release' | 'release-train' | 'spam' | 'not-spam';
export type Folder = ReadableFolder | ActionFolder;

/** One step of an action that is done by a job. */
export type Step = 'deliver' | 'train-ham' | 'train-spam';

/** What a drop asks for. `discard` is the drop on Trash, `restore` the way back out of it; neither has steps of its own. */
export type ActionName = ActionFolder | 'discard' | 'restore';

/** The steps each action stands for. */
export const stepsOf: Readonly<Record<ActionName, readonly Step[]>> = {
  release: ['deliver'],
  'release-train': ['deliver', 'train-ham'],
  spam: ['train-spam'],
  'not-spam': ['train-ham'],
  discard: [],
  restore: [],
};

/** Why a message is held. Read once, at arrival, from what the filter wrote. */
export type Reason =
  | 'spam'
  | 'virus'
  | 'banned'
  | 'bad-header'
  | 'attachment'
  | 'rule'
  | 'policy'
  | 'geoip'
  | 'auth'
  | 'phish'
  | 'bulk'
  | 'unsure'
  | 'manual'
  | 'unknown';

export interface RuleHit {
  readonly name: string;
  /** Points, where the filter gives them. */
  readonly score?: number;
  /** What the filter says about the rule, or what it found. */
  readonly words?: string;
}

/** What a score counts: points (any number), a probability 0–1, per cent 0–100, or Microsoft's SCL −1…9. */
export type ScoreScale = 'points' | 'probability' | 'percent' | 'scl';

/** What one engine found. */
export interface Finding {
  /** amavis, spamassassin, rspamd, … or `none`. */
  readonly source: string;
  /** On the engine's own scale, `points` where none is named. */
  readonly score?: number;
  readonly scale?: ScoreScale;
  /** The score at which that engine acts. */
  readonly required?: number;
  /** Where it tags, quarantines and rejects, if it says so. */
  readonly bands?: { readonly tag?: number; readonly quarantine?: number; readonly reject?: number };
  readonly rules: readonly RuleHit[];
  /** The engine's own word for what it asks to be done: reject, add header, quarantine … */
  readonly action?: string;
  /** The engine's own class: spam, unsure, PHSH … */
  readonly class?: string;
}

/** What the filter told the sender of this message. Mail that was only put off (4xx) is never admitted. */
export interface Disposition {
  readonly kind: 'rejected' | 'accepted' | 'discarded' | 'delivered';
  /** Its reply to the sender, e.g. `554 5.7.1 Spam message rejected`; control characters removed. */
  readonly said?: string;
}

/** The verdict of SPF, DKIM, DMARC and ARC, from servers that we trust (RFC 8601): `pass`, `fail`, `none` … */
export type Authentication = Readonly<Partial<Record<'spf' | 'dkim' | 'dmarc' | 'arc', string>>>;

/** Why a message is held: the reason, and what the engine found that decided. */
export interface Verdict extends Finding {
  readonly reason: Reason;
  /** What other engines found about the same message. */
  readonly others?: readonly Finding[];
  readonly authentication?: Authentication;
  readonly disposition?: Disposition;
  /** The filter's own words, e.g. a virus name or an X-Amavis-Alert; control characters removed. */
  readonly detail?: string;
  /** In which language it is told to people above the message; English where none is named. */
  readonly language?: 'nl';
  /** What the filter calls this message (X-Quarantine-ID and the like). */
  readonly filterId?: string;
}

/** Something that hangs on a message, or lies in it besides its text. */
export interface Attachment {
  /** As the message declares it, decoded, control characters removed; '' for none. */
  readonly name: string;
  /** The declared media type, in lower case. */
  readonly type: string;
  /** Decoded octets, and their SHA-256 in hex. */
  readonly size: number;
  readonly sha256: string;
  /** What lies in it, if it is an archive; the first of them, if there are many. */
  readonly names?: readonly string[];
  /** What has to be known besides, in words: encrypted, cut, not a zip after all … */
  readonly note?: string;
}

export interface LinkDomain {
  /** In lower case, internationalised ones in their ASCII form. */
  readonly domain: string;
  /** Links that lead there. */
  readonly count: number;
  /** Where it leads in the end cannot be seen: a service that shortens addresses. */
  readonly shortener?: true;
}

/**
 * What a message brings along, made some time after its arrival by whoever runs workers (src/inventory). Bounded: at most
 * 64 KiB as JSON.
 */
export interface Inventory {
  readonly attachments: readonly Attachment[];
  /** By count, the largest first. */
  readonly links: readonly LinkDomain[];
  /** Why it is not whole, in words. */
  readonly problem?: string;
}

/** Envelope parameters worth keeping for the release (RFC 1870, 3461, 6152, 6531). */
export interface EnvelopeParams {
  readonly body?: '7BIT' | '8BITMIME';
  readonly smtputf8?: boolean;
  readonly ret?: 'FULL' | 'HDRS';
  readonly envid?: string;
  /** From XFORWARD or XCLIENT of a trusted client: name, addr, helo, proto, ident. */
  readonly client?: Readonly<Record<string, string>>;
  /** Imported from amavis, which keeps it as well: by this it can be asked to release it itself. */
  readonly amavis?: KeptByAmavis;
}

/** What amavis calls a message in its quarantine (columns of its `msgs`, AM.PDP's request=release). */
export interface KeptByAmavis {
  readonly mailId: string;
  /** Whoever knows it may release the message. */
  readonly secretId?: string;
  /** F file, Z compressed file, B BSMTP, Q SQL. */
  readonly quarType: 'F' | 'Z' | 'B' | 'Q';
  /** For files: the path below amavis' quarantine folder. */
  readonly mailFile?: string;
  readonly partitionTag?: string;
}

/**
 * What a client may ask about a message that is not its body, rendered once at intake (imap/mime makes it, imap/ reads
 * it; to the store each section is opaque bytes). All about the message without any prefix.
 */
export interface Summary {
  /** ENVELOPE, ready to send: `("Mon, …" "Subject" ((…)) …)`. */
  readonly envelope: Uint8Array;
  /** BODYSTRUCTURE (with extension data), ready to send. */
  readonly bodyStructure: Uint8Array;
  /** BODY (without extension data), ready to send. */
  readonly body: Uint8Array;
  /** The header fields that clients ask for in lists, raw and in their order (imap/mime/common-fields.ts). */
  readonly commonFields: Uint8Array;
  /** Offsets and sizes of every part (imap/mime/part-table.ts). */
  readonly parts: Uint8Array;
  /** For lists in words (CLI, drop notices): decoded, control characters removed, at most 500 characters each. */
  readonly subject: string;
  readonly from: string;
}
export type SummarySection = 'envelope' | 'bodyStructure' | 'body' | 'commonFields' | 'parts';

export interface Message {
  readonly id: MessageId;
  /** Octets of the message as shown and released: without the filter's block. */
  readonly size: number;
  /** SHA-256 of those octets, hex. */
  readonly sha256: string;
  /** SHA-256 of the octets below the header, hex: what the signed release header vouches for. */
  readonly bodySha256: string;
  /** Octets of its header, the empty line included. */
  readonly headerSize: number;
  /** Envelope sender as received; '' is the null sender. */
  readonly sender: string;
  readonly params: EnvelopeParams;
  readonly subject: string;
  readonly from: string;
  readonly receivedAt: Date;
}

export interface Entry {
  readonly id: EntryId;
  readonly messageId: MessageId;
  /** Address in normal form, or '' for mail that only `global` sees. */
  readonly owner: string;
  /** Envelope recipient exactly as received; delivery uses it. '' when nobody could tell. */
  readonly recipient: string;
  /** ORCPT as received (RFC 3461), for the release. */
  readonly orcpt?: string;
  readonly direction: Direction;
  readonly class: EntryClass;
  readonly place: Place;
  readonly state: State;
  /** The open stay in a readable folder, if there is one. */
  readonly uid?: Uid;
  readonly folder?: ReadableFolder;
  /** Header lines shown above the message during that stay (CRLF line ends); '' for none. */
  readonly prefix: string;
  readonly verdict: Verdict;
  readonly internalDate: Date;
  readonly heldAt: Date;
  /** An earlier entry that this one repeats. */
  readonly linkedTo?: EntryId;
  /** The drop that took it last. */
  readonly dropId?: string;
  /** When its time in Training Requested is over, unless somebody takes it before. */
  readonly expiresAt?: Date;
}

/** Who did it: the account, and the person behind it where several share one (`ann*global`). */
export interface Actor {
  /** Name of the account in normal form: `global`, a domain, an address. Undo and repeats are per account. */
  readonly account: string;
  readonly person?: string;
  /** imap, cli, … */
  readonly via: string;
}

export type DropMode = 'move' | 'copy' | 'append';

export interface Drop {
  readonly id: string;
  readonly actor: Actor;
  readonly scope: Scope;
  readonly action: ActionName;
  readonly mode: DropMode;
  readonly createdAt: Date;
  readonly sealedAt?: Date;
  readonly rolledBackAt?: Date;
}

export type JobState = 'ready' | 'leased' | 'done' | 'failed' | 'cancelled';

export interface Job {
  /** `dropId/entryId/step`; unique, so that nothing is queued twice. */
  readonly key: string;
  readonly dropId: string;
  readonly step: Step;
  /** Absent for an appended message that was only trained. */
  readonly entryId?: EntryId;
  readonly messageId: MessageId;
  readonly state: JobState;
  /** Tries begun so far. */
  readonly attempts: number;
  /** Absent until its drop is sealed and the undo window has passed. */
  readonly dueAt?: Date;
  readonly createdAt: Date;
  readonly endedAt?: Date;
  /** The last words of the next hop or trainer. */
  readonly outcome?: string;
}

/** A job together with the right to run it until `leaseUntil`. */
export interface ClaimedJob extends Job {
  readonly lease: string;
  readonly leaseUntil: Date;
  readonly actor: Actor;
  /** Fixed when the drop was made, the same in all tries: `<…@hostname>` and the time of the drop. */
  readonly resentMessageId: string;
  readonly droppedAt: Date;
}

/** learned; known: there was nothing to learn; refused: it will not be learned; later: not now, it is tried again. */
export type TrainingKind = 'learned' | 'known' | 'refused' | 'later';

/** What one trainer made of one training. */
export interface TrainingLine {
  /** Ascending as they were noted; unique in a store. */
  readonly id: number;
  readonly jobKey: string;
  readonly messageId: MessageId;
  /** Absent for an appended message. */
  readonly entryId?: EntryId;
  readonly at: Date;
  /** Whose drop it was. */
  readonly account: string;
  readonly trainer: string;
  readonly class: 'spam' | 'ham';
  readonly kind: TrainingKind;
  /** The trainer's own words. */
  readonly said: string;
  /** Whose database it was learned in: a domain or an address; absent for everybody's. */
  readonly user?: string;
}

export type ChangeKind = 'enter' | 'leave' | 'flags' | 'drop';

/**
 * One line of the log. Lines of one command share a mod-sequence; a reader gets all of a mod-sequence or nothing of it.
 * - `enter`: a stay began in a readable folder. Carries what a view shows.
 * - `leave`: a stay ended; with `level`, only for that level (EXPUNGE in Trash).
 * - `flags`: flags of an open stay changed; with `level`, only of that level. `flags` has the new sets of the levels.
 * - `drop`: something was put on an action folder by `account`; `uid` is a stay there, 0 for an appended message, which has
 *   neither stay nor entry.
 * - `notice`: see Notices; `account` has something to be told. (kind 'drop' with folder absent is not used for it.)
 */
export interface Change {
  readonly modSeq: ModSeq;
  readonly kind: ChangeKind | 'notice';
  readonly uid: Uid;
  readonly folder: Folder;
  readonly entryId: EntryId;
  readonly messageId: MessageId;
  readonly owner: string;
  readonly level?: Level;
  readonly account?: string;
  /** For enter and flags: system flags and keywords of each level, blank-separated, e.g. `\Seen $Releasing`. */
  readonly flags?: Readonly<Partial<Record<Level, string>>>;
  /** For enter: octets of the shown message, prefix included. */
  readonly size?: number;
  /** For enter: milliseconds since 1970. */
  readonly internalDate?: number;
}

export interface Account {
  /** Normal form: `global`, a domain, an address; with a person in front where several share it: `ann*global`. */
  readonly name: string;
  readonly scope: Scope;
  readonly person?: string;
  readonly createdAt: Date;
  readonly passwordChangedAt: Date;
}
