/**
 * A folder in which others put mail: each file is taken once, when it is complete.
 *
 * - Complete: in a Maildir, where files are moved into place when they are; a Postfix queue file that is executable; else a
 *   file that has not changed for a while, and that nobody, as far as can be seen, has open for writing.
 * - Once: what was taken is moved away, deleted, or remembered in the store, after it is safe in the store. Killed between
 *   the two, it is taken again and found to be there already, since what is imported always folds (DESIGN §7.9).
 * - A file that cannot be read as mail is told once and left where it is. Trouble of the store ends a look; the next one
 *   goes on.
 * - The system tells of changes, and sometimes loses one: the folder is looked through now and then as well.
 */
import { channel } from 'node:diagnostics_channel';
import { type FSWatcher, watch as watchFolder } from 'node:fs';
import { copyFile, link, mkdir, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { isAboutOneFile } from '#app/lib/bad-mail';
import type { Log } from '#app/observe/log';
import { type FoundMail, findMail, type MailFile, messagesOf } from './mail-files.ts';
import { fileId, type Marks, Memory } from './memory.ts';
import { openForWriting } from './open-files.ts';

/** What becomes of a file when its mail is kept. */
export type Afterwards =
  | { readonly kind: 'keep' }
  | { readonly kind: 'delete' }
  | { readonly kind: 'move'; readonly to: string };

export interface WatchOptions {
  readonly folder: string;
  readonly afterwards: Afterwards;
  /** A look every so often, whether the system told of something or not. */
  readonly everyMs: number;
  /** A file that has not changed for so long is complete. */
  readonly settleMs: number;
  readonly marks: Marks;
  /** Keeps it. Answers false where it was there already. @throws BadMail, or what is not about this message */
  readonly take: (mail: FoundMail) => Promise<boolean>;
  readonly log: Log;
}

export interface Look {
  readonly taken: number;
  readonly known: number;
  readonly bad: number;
  /** Not complete yet. */
  readonly waiting: number;
}

/** Named step, for tests that end the process at it (test/support/kill-at.mjs) and for whoever traces. */
const takenStep = channel('lazaret:watch.taken');

const atOnce = 8;
const maxWatchers = 1000;
const gatherMs = 100;

export class FolderWatch {
  readonly #o: WatchOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  /** Files that are not complete yet → since when they have been as they are. */
  #resting = new Map<string, number>();
  /** Told and left. Not kept for ever: other settings may make sense of them after the next start. */
  readonly #bad = new Set<string>();
  #memory: Memory | undefined;
  #root = '';
  #timer: NodeJS.Timeout | undefined;
  #timerAt = 0;
  #running: Promise<unknown> | undefined;
  #again = false;
  #started = false;
  #stopped = false;
  #missing = false;
  #spared: string[] = [];

  constructor(options: WatchOptions) {
    this.#o = options;
  }

  /** Begins; looks at once. */
  start(): void {
    this.#started = true;
    this.#lookIn(0);
  }

  /** What is being taken is taken to its end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.#running;
  }

  /** One look through the folder. @throws what the store throws, and what the file system says about the folder itself */
  async look(): Promise<Look> {
    const { folder, afterwards, marks, log } = this.#o;
    this.#root = await realpath(folder);
    if (afterwards.kind === 'move') {
      await mkdir(afterwards.to, { recursive: true });
      this.#spared = [await realpath(afterwards.to)];
    }
    this.#memory ??= new Memory(marks, this.#root);
    const memory = this.#memory;
    await memory.load();
    const present = new Map<string, string>();
    const since = new Map<string, number>();
    const places = new Set<string>();
    const { files, skipped, unread } = await findMail([this.#root], {
      except: this.#spared,
      known: (path, { size, mtimeMs }) => {
        const id = fileId(this.#root, path, size, mtimeMs);
        present.set(path, id);
        return memory.has(id) || this.#bad.has(id);
      },
      entering: (place) => {
        places.add(place);
        this.#watchPlace(place);
      },
    });
    const now = performance.now();
    const atRest = async (path: string, id: string) => {
      const first = this.#resting.get(id) ?? (await this.#restingSince(path, now));
      since.set(id, first);
      return now - first >= this.#o.settleMs;
    };
    const complete: MailFile[] = [];
    for (const file of files) {
      const id = present.get(file.path) as string;
      const { form, path } = file;
      if (form === 'maildir' || (form === 'queue-file' && (await isExecutable(path)))) complete.push(file);
      else if (form === 'queue-file') since.set(id, now);
      else if (await atRest(path, id)) complete.push(file);
    }
    const counts = { taken: 0, known: 0, bad: 0, waiting: files.length - complete.length };
    for (const path of skipped) {
      const id = present.get(path);
      if (id === undefined) continue; // no file at all: a pipe, a device
      if (!(await atRest(path, id))) counts.waiting++;
      else {
        counts.bad++;
        this.#bad.add(id);
        log.warn({ file: path }, 'a file in a watched folder does not look like mail; it is left there');
      }
    }
    for (const { path, error } of unread) log.warn({ file: path, error: error.message }, 'a file could not be read');
    this.#resting = since;

    const suspects = complete.filter(({ form }) => form !== 'maildir').map(({ path }) => path);
    const open = suspects.length > 0 ? await openForWriting(new Set(suspects)) : new Set<string>();
    const ready = complete.filter(({ path }) => !open.has(path));
    counts.waiting += complete.length - ready.length;
    let next = 0;
    const one = async () => {
      while (next < ready.length && !this.#stopped) {
        const file = ready[next++] as MailFile;
        const fate = await this.#take(file, present.get(file.path) as string, memory);
        if (fate) counts[fate]++;
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: atOnce }, one));
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
    if (!this.#stopped) {
      const ids = new Set(present.values());
      await memory.keepOnly(ids);
      for (const id of this.#bad) if (!ids.has(id)) this.#bad.delete(id);
      for (const [place, watcher] of this.#watchers) if (!places.has(place)) this.#unwatch(place, watcher);
    }
    return counts;
  }

  /** In milliseconds of performance.now(): by the file's own times, unless they lie in the future. */
  async #restingSince(path: string, now: number): Promise<number> {
    const about = await stat(path).catch(() => undefined);
    if (!about) return now;
    return now - Math.max(0, Date.now() - Math.max(about.mtimeMs, about.ctimeMs));
  }

  async #take(file: MailFile, id: string, memory: Memory): Promise<'taken' | 'known' | 'bad' | undefined> {
    const { afterwards, log } = this.#o;
    const { path } = file;
    const bad = (why: string) => {
      this.#bad.add(id);
      log.warn({ file: path, error: why }, 'a file in a watched folder was not taken; it is left there');
      return 'bad' as const;
    };
    if (file.form === 'mbox' && afterwards.kind !== 'keep')
      return bad('an mbox file is not moved or deleted, somebody may be adding to it; import it, or keep the files');
    const before = await stat(path).catch(() => undefined);
    if (!before) return undefined; // somebody else was here
    let messages = 0;
    let isNew = false;
    try {
      for await (const mail of messagesOf(file, () => {})) {
        if (await this.#o.take(mail)) isNew = true;
        messages++;
      }
    } catch (error) {
      if (!isAboutOneFile(error)) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      return bad(error.message);
    }
    takenStep.publish(file);
    if (messages === 0) return bad('there is no message in it');
    const after = await stat(path).catch(() => undefined);
    const same = after?.ino === before.ino && after.size === before.size && after.mtimeMs === before.mtimeMs;
    // It was written to meanwhile: what is there now is a file to be looked at anew.
    if (!same) return undefined;
    try {
      if (afterwards.kind === 'delete') await unlink(path);
      else if (afterwards.kind === 'move') await moveFile(path, join(afterwards.to, relative(this.#root, path)));
      else await memory.add(id);
    } catch (error) {
      if (!isAboutOneFile(error)) throw error;
      await memory.add(id);
      const { message } = error;
      log.warn({ file: path, error: message }, 'a file was taken, but could not be moved or deleted; it is left there');
    }
    return isNew ? 'taken' : 'known';
  }

  #lookIn(ms: number): void {
    if (this.#stopped) return;
    const at = performance.now() + ms;
    if (this.#timer && this.#timerAt <= at) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#run();
    }, ms);
  }

  #run(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    const { folder, everyMs, settleMs, log } = this.#o;
    this.#running = this.look()
      .then(
        ({ taken, known, waiting }) => {
          if (this.#missing) log.info({ folder }, 'a watched folder is there again');
          this.#missing = false;
          if (taken + known > 0) log.info({ folder, taken, known }, 'mail was taken from a watched folder');
          this.#lookIn(waiting > 0 ? Math.min(everyMs, Math.max(settleMs, gatherMs)) : everyMs);
        },
        (error: unknown) => {
          if (!this.#missing) log.warn({ folder, err: error }, 'a watched folder could not be looked through');
          this.#missing = true;
          this.#lookIn(everyMs);
        },
      )
      .finally(() => {
        this.#running = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.#lookIn(gatherMs);
      });
  }

  /** The system is asked to tell of changes in a folder, before the folder is read: nothing comes between the two. */
  #watchPlace(place: string): void {
    if (!this.#started || this.#stopped || this.#watchers.has(place) || this.#watchers.size >= maxWatchers) return;
    try {
      const watcher = watchFolder(place, () => this.#lookIn(gatherMs));
      watcher.on('error', () => this.#unwatch(place, watcher));
      this.#watchers.set(place, watcher);
    } catch {} // gone, or no more watchers to be had: the regular look finds what is there
  }

  #unwatch(place: string, watcher: FSWatcher): void {
    watcher.close();
    this.#watchers.delete(place);
  }
}

async function isExecutable(path: string): Promise<boolean> {
  const about = await stat(path).catch(() => undefined);
  return about !== undefined && (about.mode & 0o100) !== 0;
}

/** Under its own name, or with a number behind it where there is one of that name. Never over another file. */
async function moveFile(from: string, to: string): Promise<void> {
  const target = resolve(to);
  await mkdir(dirname(target), { recursive: true });
  for (let number = 0; ; number++) {
    const place = number === 0 ? target : `${target}.${number}`;
    try {
      await link(from, place);
      await unlink(from);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST' && number < 10_000) {
        // Killed between the two steps of an earlier time.
        if (!(await isSameFile(from, place))) continue;
        await unlink(from);
        return;
      }
      if (code === 'EXDEV' || code === 'EPERM' || code === 'ENOTSUP' || code === 'EMLINK')
        return copyOver(from, target);
      throw error;
    }
  }
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(one), stat(other)]);
  return a.ino === b.ino && a.dev === b.dev;
}

/** To another file system: whole and on disk under another name, then in place, then away here. */
async function copyOver(from: string, target: string): Promise<void> {
  const unfinished = `${target}.lazaret-${process.pid}.part`;
  await copyFile(from, unfinished);
  const file = await open(unfinished, 'r+');
  await file.sync();
  await file.close();
  for (let number = 0; ; number++) {
    const place = number === 0 ? target : `${target}.${number}`;
    if (await stat(place).catch(() => undefined)) continue;
    await rename(unfinished, place);
    break;
  }
  await unlink(from);
}
