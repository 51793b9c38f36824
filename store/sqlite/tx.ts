/**
 * One command's view of the writing transaction. The writer thread opens a transaction for a batch of commands and a
 * savepoint for each; a command sees only this. Everything here is synchronous: the writer thread may block.
 */

import type { Change, MessageId, ModSeq, Uid } from '../model.ts';
import type { Statement } from './sqlite.ts';

export { domainOf, scopeKey, scopeOf } from '../scope.ts';

/** What a command may do that only reads: all of it in one snapshot. */
export interface Snapshot {
  /** The store's clock, milliseconds since 1970, the same for the whole batch. */
  readonly now: number;
  /** Prepared once a text, kept for the life of the thread; rows are objects by column name. */
  sql(text: string): Statement;
}

export interface Tx extends Snapshot {
  /** The next UID of the installation. */
  nextUid(): Uid;
  /** The next identity of a stored message. */
  nextMessageId(): MessageId;
  /** This command's mod-sequence, taken at the first call, the same at later ones. */
  modSeq(): ModSeq;
  /** Whether modSeq() was called: 0 or the number. */
  readonly takenModSeq: ModSeq | 0;
  /**
   * Appends a line to the change log at this command's mod-sequence and keeps `tops` current: an `enter` or `drop` raises
   * the folder's highest UID in all three scopes of the owner; `enter`, `leave`, `flags`, `drop` raise the folder's last
   * mod-sequence, in all three scopes or that of `level`.
   */
  log(change: Omit<Change, 'modSeq'>): void;
  /** The numbers given so far are at least these (a repair). */
  raise(numbers: { readonly uid?: number; readonly modSeq?: number; readonly messageId?: number }): void;
}
