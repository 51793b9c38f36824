/** What the verbs on whole stores share: opening one by its URL, and noticing a Ctrl-C. */
import { existsSync } from 'node:fs';
import type { Store } from '#store/port';
import { Failure } from './verb.ts';

/** A store that is there: opening a file that is not would make an empty one. */
export async function withStore<T>(url: string, use: (store: Store) => Promise<T>): Promise<T> {
  const [, file] = /^sqlite:(.+)$/.exec(url) ?? [];
  if (file !== undefined && !existsSync(file)) throw new Failure(`There is no store at ${file}`);
  return opened(url, {}, use);
}

/** A store to be filled: a new one, or one whose filling was interrupted. */
export function withNewStore<T>(url: string, use: (store: Store) => Promise<T>): Promise<T> {
  return opened(url, { unfinished: true }, use);
}

async function opened<T>(url: string, options: { unfinished?: true }, use: (store: Store) => Promise<T>): Promise<T> {
  const { openStore } = await import('#app/assemble');
  const store = await openStore(url, options);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Until `use` ends, the first SIGINT or SIGTERM makes `check` throw; a second one ends the program as ever. */
export async function interruptible<T>(hint: string, use: (check: () => void) => Promise<T>): Promise<T> {
  let signal: NodeJS.Signals | undefined;
  const hear = (which: NodeJS.Signals): void => {
    signal = which;
  };
  process.once('SIGINT', hear);
  process.once('SIGTERM', hear);
  try {
    return await use(() => {
      if (signal) throw new Failure(`Interrupted; ${hint}`);
    });
  } finally {
    process.off('SIGINT', hear);
    process.off('SIGTERM', hear);
  }
}
