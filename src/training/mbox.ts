/**
 * A trainer that appends messages to two mbox files, for a learner that reads them from time to time. Lines that begin with
 * `From ` are quoted as mboxrd has it (any number of `>` in front gets one more), and CRLF becomes LF, as in every mbox.
 *
 * While it writes it holds `FILE.lock`, which other programs know (procmail, mutt, Dovecot). What is about to be written is
 * said before in `FILE.lazaret`, a line each, `offset length sha256 beginning`: by that a try after a crash finds what was
 * left half, takes it off again, and knows what is there already. Nothing is taken off, or taken for known, that does not
 * begin as it was said: learners that empty the file, and others that write to it, are welcome.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathFor } from './file-name.ts';
import { writeAll } from './maildir.ts';
import type { Lesson, Trainer } from './trainer.ts';

export interface MboxTrainerOptions {
  readonly name: string;
  /** Files; made when they are missing. `{user}` stands for the lesson's user. */
  readonly spam: string;
  readonly ham: string;
  /** A lock that is older was left behind by a crash. */
  readonly staleLockMs?: number;
  /** For tests. */
  now?(): number;
}

/** Said by `FILE.lazaret`; older ones are forgotten. */
const remembered = 500;
const lockPauseMs = 100;

export function createMboxTrainer(options: MboxTrainerOptions): Trainer {
  const { name, spam, ham, staleLockMs = 600_000, now = Date.now } = options;
  return {
    name,
    async train(lesson, signal) {
      const path = pathFor(lesson.class === 'spam' ? spam : ham, lesson.user);
      try {
        const unlock = await lock(path, staleLockMs, signal);
        try {
          return (await append(path, lesson, now(), signal))
            ? { kind: 'learned', said: `appended to ${path}` }
            : { kind: 'known', said: `it is in ${path} already` };
        } finally {
          await unlock();
        }
      } catch (error) {
        if (signal.aborted) return { kind: 'later', said: String(signal.reason?.message ?? 'the try was given up') };
        const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
        return { kind: 'later', said: `nothing can be appended to ${path}${code}` };
      }
    },
  };
}

/** Waits for whoever has it. @throws the signal's reason */
async function lock(path: string, staleLockMs: number, signal: AbortSignal): Promise<() => Promise<void>> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = `${path}.lock`;
  for (;;) {
    signal.throwIfAborted();
    try {
      const handle = await open(file, 'wx', 0o600);
      await handle.write(`${process.pid}\n`);
      await handle.close();
      return () => unlink(file).catch(() => undefined);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const since = await stat(file).catch(() => undefined);
    // By the file system's clock on both sides it would be better; ten minutes leave room for a wrong one.
    if (since && Date.now() - since.mtimeMs > staleLockMs) {
      // By way of another name: of two that find it stale only one takes it away, and never a new one.
      const aside = `${file}.${process.pid}.${Date.now()}`;
      const moved = await rename(file, aside).then(
        () => true,
        () => false,
      );
      if (moved) await unlink(aside).catch(() => undefined);
      continue;
    }
    await sleep(lockPauseMs, undefined, { signal }).catch(() => undefined);
  }
}

/** One line of `FILE.lazaret`. */
interface Said {
  readonly offset: number;
  readonly length: number;
  readonly sha256: string;
  /** The empty line in front, if one was needed, and the `From ` line. */
  readonly beginning: string;
}

/** False if it is there already. */
async function append(path: string, lesson: Lesson, at: number, signal: AbortSignal): Promise<boolean> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of lesson.message()) hash.update(chunk);
  const sha256 = hash.digest('hex');
  const from = fromLine(lesson.sender, at);
  for await (const chunk of mboxForm(from, lesson.message())) length += chunk.length;

  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const said = await readSaid(path);
    let { size } = await handle.stat();
    const last = said.at(-1);
    if (last && size > last.offset && size < last.offset + last.length && (await begins(handle, last, size))) {
      // Left half by a crash: nobody has appended since, or it would be longer.
      await handle.truncate(last.offset);
      size = last.offset;
    }
    const there = said.filter((line) => line.offset + line.length <= size);
    for (const line of there) if (line.sha256 === sha256 && (await begins(handle, line, size))) return false;
    const gap = await gapBefore(handle, size);
    const next = { offset: size, length: gap.length + length, sha256, beginning: gap.toString('latin1') + from };
    await writeSaid(path, [...there, next].slice(-remembered));
    try {
      let offset = size;
      const write = async (chunk: Uint8Array): Promise<void> => {
        signal.throwIfAborted();
        for (let done = 0; done < chunk.length; ) {
          const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, offset);
          done += bytesWritten;
          offset += bytesWritten;
        }
      };
      await write(gap);
      for await (const chunk of mboxForm(from, lesson.message())) await write(chunk);
      if (offset !== next.offset + next.length) throw new Error('the message was not the same when it was read again');
      await handle.sync();
      return true;
    } catch (error) {
      // A full disk gives room back by this.
      await handle.truncate(size);
      throw error;
    }
  } finally {
    await handle.close();
  }
}

/** Whether there stands what was said, as far as the file goes. */
async function begins(handle: FileHandle, { offset, beginning }: Said, size: number): Promise<boolean> {
  const expected = Buffer.from(beginning, 'latin1').subarray(0, size - offset);
  const found = Buffer.alloc(expected.length);
  const { bytesRead } = await handle.read(found, 0, found.length, offset);
  return bytesRead === expected.length && found.equals(expected);
}

/** What has to stand between the end of the file and a new message: a message begins behind an empty line. */
async function gapBefore(handle: FileHandle, size: number): Promise<Buffer> {
  if (size === 0) return Buffer.alloc(0);
  const end = Buffer.alloc(Math.min(2, size));
  await handle.read(end, 0, end.length, size - end.length);
  if (end.toString('latin1') === '\n\n') return Buffer.alloc(0);
  return Buffer.from(end.at(-1) === 0x0a ? '\n' : '\n\n');
}

async function readSaid(path: string): Promise<readonly Said[]> {
  const text = await readFile(`${path}.lazaret`, 'latin1').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').flatMap((line) => readLine(line) ?? []);
}

/** undefined for what we have not written. */
function readLine(line: string): Said | undefined {
  const [, offset, length, sha256 = '', beginning = ''] =
    /^(\d{1,15}) (\d{1,15}) ([0-9a-f]{64}) (".{1,1000}")$/.exec(line) ?? [];
  if (offset === undefined) return undefined;
  try {
    return { offset: Number(offset), length: Number(length), sha256, beginning: String(JSON.parse(beginning)) };
  } catch {
    return undefined;
  }
}

const writtenLine = ({ offset, length, sha256, beginning }: Said): string =>
  `${offset} ${length} ${sha256} ${JSON.stringify(beginning)}\n`;

async function writeSaid(path: string, said: readonly Said[]): Promise<void> {
  const file = `${path}.lazaret`;
  const handle = await open(`${file}.new`, 'w', 0o600);
  try {
    await writeAll(handle, Buffer.from(said.map(writtenLine).join('')));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
}

/** `From ada@harbour.example Sat Nov 28 13:11:24 2026`: always in UTC and always as long. */
function fromLine(sender: string, at: number): string {
  const who = sender.slice(0, 320).replace(/[^\x21-\x7e]/g, '_') || 'MAILER-DAEMON';
  const [day, date, month, year, time] = new Date(at).toUTCString().replace(',', '').split(' ');
  return `From ${who} ${day} ${month} ${date} ${time} ${year}\n`;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const quote = 0x3e;
const fromWord = Buffer.from('From ');

/**
 * A message in its mbox form. Linear, and holds back no more than the five octets of `From `: in a run of `>` at the
 * beginning of a line it does not matter which of them is the one added, so it is added behind them.
 */
export async function* mboxForm(from: string, message: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  yield Buffer.from(from, 'latin1');
  /** At the beginning of a line, any `>` behind it included; and how much of `From ` was matched since. */
  let beginning = true;
  let matched = 0;
  let pendingReturn = false;
  let last = lineFeed;
  for await (const chunk of message) {
    const out: number[] = [];
    const flushAll: Buffer[] = [];
    const put = (octet: number): void => {
      out.push(octet);
      last = octet;
      if (out.length >= 65_536) flushAll.push(Buffer.from(out.splice(0)));
    };
    for (const octet of chunk) {
      if (pendingReturn) {
        pendingReturn = false;
        if (octet !== lineFeed) {
          // A lone CR is an octet like others.
          put(carriageReturn);
          beginning = false;
        }
      }
      if (beginning && octet === fromWord[matched]) {
        matched++;
        if (matched === fromWord.length) {
          put(quote);
          for (const each of fromWord) put(each);
          matched = 0;
          beginning = false;
        }
        continue;
      }
      if (matched > 0) {
        for (const each of fromWord.subarray(0, matched)) put(each);
        matched = 0;
        beginning = false;
      }
      if (octet === carriageReturn) {
        pendingReturn = true;
        continue;
      }
      put(octet);
      if (octet === lineFeed) beginning = true;
      else if (octet !== quote) beginning = false;
    }
    yield* flushAll;
    if (out.length > 0) yield Buffer.from(out);
  }
  const end: number[] = [];
  if (matched > 0) end.push(...fromWord.subarray(0, matched));
  if (pendingReturn) end.push(carriageReturn);
  if ((end.at(-1) ?? last) !== lineFeed) end.push(lineFeed);
  end.push(lineFeed);
  yield Buffer.from(end);
}
