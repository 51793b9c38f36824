/**
 * Everything the writer thread can be asked for. Each function takes the command's transaction first and then what the
 * port's method takes; the names are the port's. What a function throws undoes its command alone.
 *
 * Transitions plug in here: drops.take, drops.seal, drops.rollBack, drops.earlierPairs, drops.undo,
 * drops.appendForTraining (its NewMessage arrives as ArrivedMessage of messages.ts: keepMessage stores it), drops.heldByHash,
 * jobs.*, entries.expunge, housekeep.
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
import { admit, setFlags } from './entries.ts';
import { discardUpload, uploadChunk } from './messages.ts';

export const writerMethods = {
  'messages.upload': uploadChunk,
  'messages.discard': discardUpload,
  'entries.admit': admit,
  'entries.setFlags': setFlags,
  'accounts.add': addAccount,
  'accounts.setPassword': setPassword,
  'accounts.remove': removeAccount,
  'notices.take': takeNotices,
  'settings.put': putSetting,
  'settings.putIfAbsent': putSettingIfAbsent,
  'settings.helpUid': helpUid,
};

export type WriterMethods = typeof writerMethods;
export type WriterMethod = keyof WriterMethods;
