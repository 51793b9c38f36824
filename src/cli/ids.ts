/** Ids as people give them: as arguments, or with `-` one a line on standard input. Any UID of an entry names it. */
import { createInterface } from 'node:readline';
import type { Entry, ReadableFolder, Uid } from '#store/model';
import type { History, Store } from '#store/port';
import { type Call, UsageError } from './verb.ts';

export const idArguments = [
  {
    name: 'id',
    help: 'as `lazaret list` prints them, or any UID of the entry; `-`: one a line on standard input',
    many: true,
  },
] as const;

export async function readIds({ arguments: typed, stdin }: Call): Promise<string[]> {
  const ids: string[] = [];
  for (const text of typed) {
    if (text !== '-') ids.push(text);
    else
      for await (const line of createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY }))
        if (line.trim() !== '') ids.push(line.trim());
  }
  if (ids.length === 0 && !typed.includes('-')) throw new UsageError('No id was given');
  return ids;
}

/** Undefined for what is no id. */
export function parseId(text: string): Uid | undefined {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= 0xffff_ffff ? (number as Uid) : undefined;
}

/** An entry, and its stay in a folder that people see: the open one, or else the last. */
export interface Found {
  readonly entry: Entry;
  readonly stay?: { readonly folder: ReadableFolder; readonly uid: Uid; readonly open: boolean };
}

export async function find(store: Store, uid: Uid): Promise<Found | undefined> {
  const entry = await store.entries.byUid(uid);
  if (!entry) return undefined;
  if (entry.folder && entry.uid) return { entry, stay: { folder: entry.folder, uid: entry.uid, open: true } };
  const history = await store.entries.history(entry.id);
  const last = history && lastReadable(history);
  return last ? { entry, stay: { ...last, open: false } } : { entry };
}

function lastReadable({ stays }: History): { folder: ReadableFolder; uid: Uid } | undefined {
  for (const { folder, uid } of stays.toReversed())
    if (folder === 'caught' || folder === 'outgoing' || folder === 'training' || folder === 'trash')
      return { folder, uid };
  return undefined;
}

/** Many look-ups, a few at a time. Answers in the order of what was asked. */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const runner = async () => {
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at] as T);
    }
  };
  await Promise.all(Array.from({ length: 16 }, runner));
  return results;
}
