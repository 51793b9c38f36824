/**
 * A trainer that puts messages into two Maildirs, for a learner that looks there from time to time. A message is durable and
 * whole before it is seen: written into `tmp`, on disk, then renamed into `new`. Its name is made of its bytes, so a try that
 * is made again puts it there once; a change of mind takes it out of the other Maildir, if it is still there.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, opendir, rename, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pathFor } from './file-name.ts';
import type { Lesson, Trainer } from './trainer.ts';

export interface MaildirTrainerOptions {
  readonly name: string;
  /** Maildirs; they are made when they are missing. `{user}` stands for the lesson's user. */
  readonly spam: string;
  readonly ham: string;
}

export function createMaildirTrainer({ name, spam, ham }: MaildirTrainerOptions): Trainer {
  return {
    name,
    async train(lesson, signal) {
      const [here, other] = (lesson.class === 'spam' ? [spam, ham] : [ham, spam]).map((path) =>
        pathFor(path, lesson.user),
      ) as [string, string];
      try {
        const { file, known } = await put(here, lesson, signal);
        // Written first: a crash between leaves it in both, never in none, and the next try takes it out.
        const taken = lesson.before !== undefined && lesson.before !== lesson.class && (await takeOut(other, file));
        if (known && !taken) return { kind: 'known', said: `it is in ${here} already` };
        return { kind: 'learned', said: `put into ${here}${taken ? `, taken out of ${other}` : ''}` };
      } catch (error) {
        if (signal.aborted) return { kind: 'later', said: String(signal.reason?.message ?? 'the try was given up') };
        const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
        return { kind: 'later', said: `nothing can be put into ${here}${code}` };
      }
    },
  };
}

async function put(folder: string, lesson: Lesson, signal: AbortSignal): Promise<{ file: string; known: boolean }> {
  for (const part of ['tmp', 'new', 'cur']) await mkdir(join(folder, part), { recursive: true, mode: 0o700 });
  // Another process may be at the same message.
  const temporary = join(folder, 'tmp', `${Date.now()}.${process.pid}_${randomBytes(8).toString('hex')}.${safeHost()}`);
  const hash = createHash('sha256');
  let handle: FileHandle | undefined;
  try {
    handle = await open(temporary, 'wx', 0o600);
    for await (const chunk of lesson.message()) {
      signal.throwIfAborted();
      hash.update(chunk);
      await writeAll(handle, chunk);
    }
    const file = `${hash.digest('hex')}.lazaret`;
    if (await find(folder, file)) return { file, known: true };
    await handle.sync();
    await rename(temporary, join(folder, 'new', file));
    await syncFolder(join(folder, 'new'));
    return { file, known: false };
  } finally {
    await handle?.close();
    // After the rename there is nothing of that name.
    await unlink(temporary).catch(() => undefined);
  }
}

/** Whether there was something to take out. */
async function takeOut(folder: string, file: string): Promise<boolean> {
  const at = await find(folder, file);
  if (at === undefined) return false;
  await unlink(at).catch((error: NodeJS.ErrnoException) => {
    // The learner was faster.
    if (error.code !== 'ENOENT') throw error;
  });
  return true;
}

/** A reader moves files from `new` to `cur` and puts flags behind their names. */
async function find(folder: string, file: string): Promise<string | undefined> {
  for (const part of ['new', 'cur']) {
    const inside = join(folder, part);
    let entries: Awaited<ReturnType<typeof opendir>>;
    try {
      entries = await opendir(inside);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    for await (const { name } of entries) if (name === file || name.startsWith(`${file}:`)) return join(inside, name);
  }
  return undefined;
}

export async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const safeHost = (): string => hostname().replace(/[^\w.-]/g, '_');
