/**
 * Everything a reader thread can be asked for: each call is one read transaction, over before the answer goes out. Each
 * function takes the snapshot first and then what the port's method takes; the names are the port's.
 */
import { getAccount, getSetting, hasNotices, listAccounts } from './accounts.ts';
import { changesEnd, changesSince } from './changes.ts';
import { earlierPairs, heldByHash, undoable } from './drops.ts';
import { entryByUid, getEntry, history, listEntries } from './entries.ts';
import { getInventory, withoutInventory } from './inventories.ts';
import { backlog, counts, get as getJob, ofDrop } from './jobs.ts';
import { filterBlock, getMessage, readPiece, summaries } from './messages.ts';
import { trainingStats, trainings, trainingsOf } from './trainings.ts';
import { count as countRecords } from './upkeep-export.ts';
import { isThere } from './upkeep-import.ts';
import { loadView, prefixes, top } from './views.ts';

export const readerMethods = {
  'messages.piece': readPiece,
  'messages.get': getMessage,
  'messages.filterBlock': filterBlock,
  'messages.summaries': summaries,
  'messages.withoutInventory': withoutInventory,
  'messages.inventory': getInventory,
  'entries.get': getEntry,
  'entries.byUid': entryByUid,
  'entries.list': listEntries,
  'entries.history': history,
  'drops.earlierPairs': earlierPairs,
  'drops.heldByHash': heldByHash,
  'drops.undoable': undoable,
  'jobs.get': getJob,
  'jobs.ofDrop': ofDrop,
  'jobs.counts': counts,
  'jobs.backlog': backlog,
  'jobs.trainingsOf': trainingsOf,
  'jobs.trainings': trainings,
  'jobs.trainingStats': trainingStats,
  'changes.since': changesSince,
  'changes.end': changesEnd,
  'views.load': loadView,
  'views.top': top,
  'views.prefixes': prefixes,
  'accounts.get': getAccount,
  'accounts.list': listAccounts,
  'notices.any': hasNotices,
  'settings.get': getSetting,
  'upkeep.count': countRecords,
  'upkeep.isThere': isThere,
};

export type ReaderMethods = typeof readerMethods;
