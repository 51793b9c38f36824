/**
 * What the server and the driver say, as one of store/errors.ts where a caller can act on it; everything else is a mistake
 * of ours and goes on as it is.
 */
import { MongoError, MongoNetworkError, MongoServerError, MongoServerSelectionError } from 'mongodb';
import { Conflict, StoreBusy, StoreFull, StoreUnavailable } from '../errors.ts';

/** https://github.com/mongodb/mongo/blob/r6.0.5/src/mongo/base/error_codes.yml */
const busy = new Set([24, 50, 112, 239, 246, 251, 262]);
const gone = new Set([6, 7, 64, 79, 89, 91, 100, 133, 189, 202, 317, 358, 9001, 10107, 11600, 11602, 13435, 13436]);
const refused = new Set([13, 18, 8000]);
const full = 14031;
export const duplicateKey = 11000;

/** The server's code; 0 for any other error. */
export function codeOf(error: unknown): number {
  return error instanceof MongoServerError && typeof error.code === 'number' ? error.code : 0;
}

/** The system's word on a connection, which the driver sometimes passes on as it is: EPIPE, ECONNRESET. */
const isOfSocket = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code);

/** The connection was lost. Of one that was given up because of another's loss the driver says nothing more. */
const isOfNetwork = (error: unknown): boolean => isOfSocket(error) || error instanceof MongoNetworkError;

/** Before a commit: the transaction is undone, and the same may go well the next time. */
export const isTransient = (error: unknown): boolean =>
  isOfNetwork(error) || (error instanceof MongoError && error.hasErrorLabel('TransientTransactionError'));

/** Of a commit: nobody knows yet whether it is done. */
export const isUnknownCommit = (error: unknown): boolean =>
  isOfNetwork(error) || (error instanceof MongoError && error.hasErrorLabel('UnknownTransactionCommitResult'));

/** The data were not reached, or not long enough. */
export function isGone(error: unknown): boolean {
  return isOfNetwork(error) || error instanceof MongoServerSelectionError || gone.has(codeOf(error));
}

/** The error of store/errors.ts that stands for what MongoDB said; any other error as it is. */
export function asStoreError(error: unknown): unknown {
  const cause = { cause: error };
  if (isOfSocket(error)) return new StoreUnavailable('The store cannot be reached', cause);
  if (!(error instanceof MongoError)) return error;
  const code = codeOf(error);
  if (code === full || /no space left|ENOSPC|over your space quota/i.test(error.message))
    return new StoreFull(undefined, cause);
  if (refused.has(code))
    return new StoreUnavailable('The store refuses the login of its URL, or does not let it read and write', cause);
  if (code === duplicateKey) return new Conflict('Somebody else wrote the same just before', cause);
  if (busy.has(code)) return new StoreBusy(undefined, cause);
  if (isGone(error)) return new StoreUnavailable('The store cannot be reached', cause);
  if (isTransient(error)) return new StoreBusy(undefined, cause);
  if (!(error instanceof MongoServerError)) return new StoreUnavailable('The store cannot be reached', cause);
  return error;
}

/** Does something with the server; what that throws is translated. */
export async function translated<T>(what: () => Promise<T>): Promise<T> {
  try {
    return await what();
  } catch (error) {
    throw asStoreError(error);
  }
}
