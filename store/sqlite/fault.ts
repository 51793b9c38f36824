/**
 * Errors on their way between threads. What SQLite says becomes one of store/errors.ts where a caller can act on it;
 * everything else is a mistake of ours and crosses as it is, with the stack of the thread that made it.
 */
import {
  Conflict,
  LeaseLost,
  NotFound,
  StoreBusy,
  StoreError,
  StoreFull,
  StoreRefused,
  StoreUnavailable,
} from '../errors.ts';

/** An error as it crosses threads. */
export interface Fault {
  /** Name of the class in store/errors.ts; absent for an error of no such class. */
  readonly name?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: string;
}

const classes = { StoreBusy, StoreFull, StoreUnavailable, StoreRefused, NotFound, Conflict, LeaseLost };

/** Primary result codes (https://sqlite.org/rescode.html). */
const code = { busy: 5, locked: 6, nomem: 7, readonly: 8, ioerr: 10, corrupt: 11, full: 13, cantopen: 14, notadb: 26 };

/** SQLite's primary result code; 0 for any other error. */
export function sqliteCode(error: unknown): number {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return 0;
  return error.errcode & 0xff;
}

/** Whether another connection has a lock that this one needs. */
export function isBusy(error: unknown): boolean {
  const found = sqliteCode(error);
  return found === code.busy || found === code.locked;
}

/** Whether the connection may be of no use any more, so that the next call should open a new one. */
export function breaksConnection(error: unknown): boolean {
  const found = sqliteCode(error);
  return ([code.readonly, code.ioerr, code.corrupt, code.cantopen, code.notadb, code.nomem] as number[]).includes(
    found,
  );
}

/** The error of store/errors.ts that stands for what SQLite said; any other error as it is. */
export function asStoreError(error: unknown): unknown {
  const cause = { cause: error };
  switch (sqliteCode(error)) {
    case code.busy:
    case code.locked:
      return new StoreBusy(undefined, cause);
    case code.full:
      return new StoreFull(undefined, cause);
    case code.readonly:
      return new StoreUnavailable('The store cannot be written: it is read-only', cause);
    case code.corrupt:
    case code.notadb:
      return new StoreUnavailable('The store is damaged', cause);
    case code.cantopen:
      return new StoreUnavailable('The store cannot be opened', cause);
    case code.ioerr:
      return new StoreUnavailable('The store cannot be read or written', cause);
    case code.nomem:
      return new StoreUnavailable('The store is out of memory', cause);
    default:
      return error;
  }
}

export function toFault(thrown: unknown): Fault {
  const error = asStoreError(thrown);
  if (!(error instanceof Error)) return { message: String(error) };
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  if (error instanceof StoreError) return { name: error.name, message: error.message, ...cause };
  return { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }), ...cause };
}

export function fromFault(fault: Fault): Error {
  const options = fault.cause === undefined ? {} : { cause: new Error(fault.cause) };
  const known = Object.entries(classes).find(([name]) => name === fault.name);
  if (known) return new known[1](fault.message, options);
  const error = new Error(fault.message, options);
  if (fault.stack !== undefined) error.stack = fault.stack;
  return error;
}
