/** From a folder's name as a client wrote it to the folder, or the same refusal for all that do not exist. */
import { type FolderRecord, findFolder } from '#app/quarantine/folders';
import type { Sentence } from '#app/quarantine/refusals';
import { No } from '#imap/errors';
import type { World } from './account.ts';

export function offers(world: World, folder: FolderRecord): boolean {
  return folder.optional !== true || world.outgoingFolder;
}

/** @throws No  with the same words whatever the name: it may be somebody else's */
export function named(world: World, name: string, code: 'NONEXISTENT' | 'TRYCREATE'): FolderRecord {
  const folder = findFolder(name, (each) => offers(world, each));
  if (!folder) throw new No(code, 'There is no such folder here');
  return folder;
}

export function refusal(sentence: Sentence): No {
  return new No(sentence.code, sentence.text);
}
