/** What the main thread and the inventory's thread say to each other: a piece, an answer, one at a time. */
import type { Inventory } from '#store/model';

export interface Piece {
  /** With the first piece of a message: the table of its parts. */
  readonly parts?: Uint8Array;
  readonly octets: Uint8Array;
  readonly last: boolean;
}

/** A thread's first word: it is ready. Its number, by which the main thread sees how much it has worked; 0 where nobody can tell. */
export interface Hello {
  readonly thread: number;
}

/** `inventory` after the last piece; `problem`: the message could not be read, and what else comes of it is not wanted. */
export type Answer = { readonly inventory?: Inventory } | { readonly problem: string };
