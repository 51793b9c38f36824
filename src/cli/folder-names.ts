/** Folders as people name them, in any case: `Caught (Outgoing)`, or in one word, `outgoing`. */
import { folders } from '#app/quarantine/folders';
import type { ReadableFolder } from '#store/model';
import { UsageError } from './verb.ts';

export function folderNamed(name: string | undefined): ReadableFolder | undefined {
  if (name === undefined) return undefined;
  const typed = name.trim().toLowerCase();
  const readable = folders.filter(({ kind }) => kind === 'readable');
  const folder = readable.find((one) => one.name.toLowerCase() === typed || one.role === typed);
  if (folder) return folder.role as ReadableFolder;
  throw new UsageError(`--folder: expected ${readable.map((one) => one.name).join(', ')}, found "${name}"`);
}
