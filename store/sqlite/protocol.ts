/** What the main thread and the store's threads say to each other. */
import type { ModSeq } from '../model.ts';
import type { Fault } from './fault.ts';

export interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
  /** Octets that it carries, so that a batch can be kept small. */
  readonly bytes: number;
}

/** To a thread. `close`: finish what was asked for before, then end. `poll`: look for commits of others from now on, or not. */
export type ToThread = Call | { readonly close: true } | { readonly poll: boolean };

export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly fault: Fault };

/** From a thread. `end`: the log has grown to there. */
export interface FromThread {
  readonly replies?: readonly Reply[];
  readonly end?: ModSeq;
  /** A batch was committed: so many commands, from its begin to the commit. */
  readonly batch?: { readonly commands: number; readonly ms: number };
}

/** A writer's first answer. */
export interface Opened {
  readonly uidValidity: number;
  readonly end: ModSeq;
  /** An import was begun, and not finished. */
  readonly unfinished: boolean;
  /** For all threads that are started from now on. */
  readonly place: string;
}

/** The arguments of a method after the transaction, and what it answers. */
export type ArgsOf<F> = F extends (tx: never, ...args: infer A) => unknown ? A : never;
export type AnswerOf<F> = F extends (tx: never, ...args: never) => infer R ? R : never;

/** Buffers of an answer that are worth handing over instead of copying: whole ones, in the answer itself or one below. */
export function transferables(value: unknown): ArrayBuffer[] {
  const found: ArrayBuffer[] = [];
  const look = (item: unknown): void => {
    if (!ArrayBuffer.isView(item) || item.byteLength < 4096) return;
    if (item.buffer instanceof ArrayBuffer && item.buffer.byteLength === item.byteLength) found.push(item.buffer);
  };
  look(value);
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !Array.isArray(value))
    Object.values(value).forEach(look);
  return found;
}
