/**
 * Everything the writer thread can be asked for. Each function takes the command's transaction first and then what the
 * port's method takes; the names are the port's. What a function throws undoes its command alone.
 */
import {
  addAccount,
  helpUid,
  putSetting,
  putSettingIfAbsent,
  removeAccount,
  setPassword,
  takeNotices,
} from './accounts.ts';
import { admit } from './admit.ts';
import { appendForTraining, rollBack, seal, take, undo } from './drops.ts';
import { expunge } from './expunge.ts';
import { setFlags } from './flags.ts';
import { housekeep } from './housekeep.ts';
import { putInventory } from './inventories.ts';
import { claim, finish, release, renew, retryUntrained } from './jobs.ts';
import { discardUpload, uploadChunk } from './messages.ts';
import { noteTraining } from './trainings.ts';
import { mend } from './upkeep-check.ts';
import { beginImport, finishImport, importChunk, importMessage, prune, writeRecords } from './upkeep-import.ts';

export const writerMethods = {
  'messages.upload': uploadChunk,
  'messages.discard': discardUpload,
  'messages.putInventory': putInventory,
  'entries.admit': admit,
  'entries.setFlags': setFlags,
  'entries.expunge': expunge,
  'drops.take': take,
  'drops.seal': seal,
  'drops.rollBack': rollBack,
  'drops.undo': undo,
  'drops.appendForTraining': appendForTraining,
  'jobs.claim': claim,
  'jobs.renew': renew,
  'jobs.finish': finish,
  'jobs.release': release,
  'jobs.retryUntrained': retryUntrained,
  'jobs.noteTraining': noteTraining,
  'accounts.add': addAccount,
  'accounts.setPassword': setPassword,
  'accounts.remove': removeAccount,
  'notices.take': takeNotices,
  'settings.put': putSetting,
  'settings.putIfAbsent': putSettingIfAbsent,
  'settings.helpUid': helpUid,
  'upkeep.beginImport': beginImport,
  'upkeep.prune': prune,
  'upkeep.importChunk': importChunk,
  'upkeep.importMessage': importMessage,
  'upkeep.write': writeRecords,
  'upkeep.finish': finishImport,
  'upkeep.mend': mend,
  housekeep,
};

export type WriterMethods = typeof writerMethods;
export type WriterMethod = keyof WriterMethods;
