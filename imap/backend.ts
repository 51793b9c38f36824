/**
 * The port: what a product has to answer so that imap/ can serve it. Names of folders are Unicode here; modified UTF-7
 * is the wire's business. Whatever is refused is thrown as `No` (errors.ts) with a sentence for people; any other error
 * becomes `NO [UNAVAILABLE]` or `NO [SERVERBUG]` and goes to the log.
 *
 * No method writes to a socket, none is called while an answer is half written.
 */
import type { No } from './errors.ts';

export interface Peer {
  readonly address: string;
  readonly port: number;
  /** TLS is on. */
  readonly secure: boolean;
  /** Names the connection in logs. */
  readonly id: string;
}

export interface Credentials {
  /** As typed. */
  readonly user: string;
  readonly password: string;
  /** SASL authorization identity, where it differs. */
  readonly authzid?: string;
}

export interface Backend {
  /** @throws No AUTHENTICATIONFAILED (same words and time for unknown users and wrong passwords), LIMIT, UNAVAILABLE */
  login(credentials: Credentials, peer: Peer): Promise<Session>;
}

export interface FolderListing {
  readonly name: string;
  /** E.g. ['\\HasNoChildren', '\\Trash']. Special-use attributes are shown where RFC 6154 says. */
  readonly attributes: readonly string[];
  readonly subscribed: boolean;
}

export interface FolderStatus {
  readonly messages: number;
  readonly unseen: number;
  readonly uidNext: number;
  readonly uidValidity: number;
  readonly highestModSeq: number;
  /** Octets of all messages (STATUS=SIZE). */
  readonly size: number;
}

export interface Appending {
  readonly folder: string;
  readonly size: number;
  readonly flags: readonly string[];
  readonly internalDate?: Date;
}

export interface Appended {
  /** For APPENDUID, where the message has a UID now. */
  readonly uid?: { readonly uidValidity: number; readonly uid: number };
}

export interface Session {
  /** The account's name, for logs. */
  readonly user: string;
  /** All folders, in the order to list them. Delimiter is '/'. */
  folders(): Promise<readonly FolderListing[]>;
  /** Remembers the subscription; unknown names are remembered too (RFC 3501 §6.3.6). */
  setSubscribed(folder: string, subscribed: boolean): Promise<void>;
  /** @throws No NONEXISTENT */
  status(folder: string): Promise<FolderStatus>;
  /** SELECT, EXAMINE. @throws No NONEXISTENT, NOPERM */
  open(folder: string, readOnly: boolean): Promise<Mailbox>;
  create(folder: string): Promise<void>;
  delete(folder: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /**
   * Asked before the literal is invited, so that a refusal costs nothing. Answers what takes the bytes; it must not keep
   * them whole in memory. OK to the client only after its promise resolves. @throws No TRYCREATE, CANNOT, NOPERM, TOOBIG
   */
  append(message: Appending): Promise<(source: AsyncIterable<Uint8Array>) => Promise<Appended>>;
  /** Calls back with sentences for `* OK [ALERT]`, now or while the session lives. Answers the way to stop. */
  onNotice(tell: (sentence: string) => void): () => void;
  close(): void;
}

/**
 * A folder as columns, index by index one message, ascending by UID. Shared by all sessions that have it open.
 * - Arrivals are appended in place: what lies below a `count` read earlier never changes its UID.
 * - When messages leave, `uids` (and the other arrays) are *replaced*; an array once read keeps its contents. So
 *   `(uids, count)` read together is a stable snapshot for as long as somebody holds it.
 * - `flagSet`, `modSeqs` change in place with their message.
 */
export interface View {
  readonly uids: Uint32Array;
  readonly count: number;
  readonly sizes: Uint32Array;
  readonly internalDates: Float64Array;
  readonly modSeqs: Float64Array;
  /** Index into flagSets. */
  readonly flagSet: Uint32Array;
  /** Each different set of flags once, blank-separated: ['', '\\Seen', '\\Seen $x']. Only grows. */
  readonly flagSets: readonly string[];
  readonly uidNext: number;
  readonly highestModSeq: number;
  /** How many messages have left so far: the length of the list that `leftSince` reads. */
  readonly departures: number;
  /** UIDs that left after that many departures, in the order they left; undefined if no longer known (compare arrays). */
  leftSince(departures: number): readonly number[] | undefined;
  /** UIDs, ascending, whose mod-sequence is above this one. Costs what changed, where the mailbox remembers it. */
  changedSince(modSeq: number): readonly number[];
}

/** Messages a command names. */
export interface Targets {
  /** Those of them this client knows to be there, ascending. */
  readonly uids: readonly number[];
  /** For UID commands: the set as written, `*` resolved, both ends included; else absent. */
  readonly ranges?: readonly { readonly first: number; readonly last: number }[];
}

export interface Transferred {
  /** Source and target UIDs, index by index, ascending by source; absent if there are none. */
  readonly copyUid?: { readonly uidValidity: number; readonly from: readonly number[]; readonly to: readonly number[] };
  /** UIDs that left this mailbox by it and that the client may be told of at once (MOVE). */
  readonly left: readonly number[];
  /** Some were left out: the rest is done, the tagged answer is this one. */
  readonly refusal?: No;
}

export interface StoreChange {
  readonly op: 'add' | 'remove' | 'replace';
  readonly flags: readonly string[];
  /** RFC 7162 §3.1.3. */
  readonly unchangedSince?: number;
}

export interface Stored {
  /** UIDs left alone because of UNCHANGEDSINCE. */
  readonly modified: readonly number[];
  /** The tagged answer is this one; what could be done is done. */
  readonly refusal?: No;
  /** Answer as for a transfer (undo by \Deleted in an action folder). */
  readonly copyUid?: NonNullable<Transferred['copyUid']>;
}

export interface Want {
  readonly envelope?: boolean;
  readonly bodyStructure?: boolean;
  readonly body?: boolean;
  readonly commonFields?: boolean;
  readonly parts?: boolean;
}

/** One message for FETCH or SEARCH. The shown message is `prefixSize` octets of our own header lines, then the stored ones. */
export interface Fetched {
  readonly uid: number;
  readonly size: number;
  /** Known where `parts`, or no section at all, was wanted. */
  readonly prefixSize: number;
  /** Rendered, ready to send. */
  readonly envelope?: Uint8Array;
  readonly bodyStructure?: Uint8Array;
  readonly body?: Uint8Array;
  /** Raw header fields of mime/common-fields.ts, the prefix's own fields first; no empty line at the end. */
  readonly commonFields?: Uint8Array;
  /** mime/part-table.ts; offsets count from the end of the prefix. */
  readonly parts?: Uint8Array;
  /** Octets of the shown message, streaming. @throws No if they are gone */
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}

export interface Mailbox {
  readonly name: string;
  /** Nothing can be changed here, whatever the client asked for. */
  readonly readOnly: boolean;
  readonly uidValidity: number;
  /** For FLAGS and PERMANENTFLAGS; '\\*' where new keywords can be made. */
  readonly flags: readonly string[];
  readonly permanentFlags: readonly string[];
  readonly view: View;
  /** Brings the view up to the last commit of anybody. */
  refresh(): Promise<void>;
  /** Calls back when the view changed or a nudge waits. Answers the way to stop. */
  onChange(changed: () => void): () => void;
  /**
   * True once after something was dropped on this always-empty folder: the client is told `* 0 EXISTS` although nothing
   * changed for it (Thunderbird 153 then clears the badge of its ghost message).
   */
  takeNudge(): boolean;
  /** Batches, in the order of `uids`; messages that are gone are left out. */
  fetch(uids: readonly number[] | Uint32Array, want: Want): AsyncIterable<readonly Fetched[]>;
  /** STORE. The view has the result before the promise resolves. */
  store(targets: Targets, change: StoreChange): Promise<Stored>;
  /** COPY, UID COPY. `progress` may be called with a sentence for an untagged OK while it works. @throws No */
  copy(targets: Targets, to: string, progress: (sentence: string) => void): Promise<Transferred>;
  /** MOVE, UID MOVE. The view has the result before the promise resolves. @throws No */
  move(targets: Targets, to: string, progress: (sentence: string) => void): Promise<Transferred>;
  /** Takes messages out (EXPUNGE, CLOSE; the engine has chosen those with \Deleted). The view has the result. */
  expunge(uids: readonly number[]): Promise<void>;
  close(): void;
}
