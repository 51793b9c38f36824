/**
 * Mail as it lies on disk: single files, mbox files, Maildirs, Postfix's queue files, each gzipped or not, and folders of
 * them, also the dated ones that filters keep (layouts.ts). Finds the files first, so that progress can be told, then gives
 * their messages one after the other, oldest names first.
 */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { BadMail } from '#app/lib/bad-mail';
import type { EnvelopeParams, Verdict } from '#store/model';
import { isOneMessage, layoutOf } from './layouts.ts';
import { isMbox, readMbox } from './mbox.ts';
import { isQueueFile, readQueueFile } from './queue-file.ts';

export interface MailFile {
  readonly path: string;
  readonly size: number;
  readonly modified: Date;
  readonly form: 'message' | 'mbox' | 'maildir' | 'queue-file';
  readonly gzip: boolean;
}

export interface FoundMail {
  /** For messages to people: the file, of an mbox with the number in it. */
  readonly name: string;
  readonly sender: string;
  /** Where the file says whom it was sent to. */
  readonly recipients?: readonly { readonly address: string; readonly orcpt?: string }[];
  readonly params: EnvelopeParams;
  readonly date: Date;
  readonly flags: readonly string[];
  /** What its place in the folder tells. */
  readonly verdict?: Partial<Verdict>;
  /** The beginning of the message, for what its header says: up to 64 KiB, line ends as in the file. */
  readonly head: Uint8Array;
  /** Line ends as in the file. */
  readonly source: AsyncIterable<Uint8Array>;
}

export interface Findings {
  readonly files: readonly MailFile[];
  /** What lay in a folder and is no mail. */
  readonly skipped: readonly string[];
  /** What could not be looked at, e.g. because it went away meanwhile. */
  readonly unread: readonly { readonly path: string; readonly error: Error }[];
}

export interface FindOptions {
  /** Folders that are not looked into. */
  readonly except?: readonly string[];
  /** Files that need no look: their paths are not opened and not answered. */
  readonly known?: (path: string, stats: { readonly size: number; readonly mtimeMs: number }) => boolean;
  /** Is told of each folder before it is read. */
  readonly entering?: (folder: string) => void;
}

const headOctets = 64 * 1024;

/**
 * A path that somebody named is taken for mail whatever it looks like; in a folder only what looks like it.
 * @throws as stat, for a path that was named
 */
export async function findMail(
  paths: readonly string[],
  { except = [], known, entering }: FindOptions = {},
): Promise<Findings> {
  const files: MailFile[] = [];
  const skipped: string[] = [];
  const unread: { path: string; error: Error }[] = [];
  const addFile = async (path: string, asked: boolean, maildir: boolean) => {
    const { size, mtime: modified, mtimeMs } = await stat(path);
    if (known?.(path, { size, mtimeMs })) return;
    const { start, gzip } = await beginning(path, 4096);
    if (maildir) return files.push({ path, size, modified, form: 'maildir', gzip });
    const form = formOf(start);
    if (form === 'other' && !asked) return skipped.push(path);
    return files.push({ path, size, modified, form: form === 'other' ? 'message' : form, gzip });
  };
  /** In a folder that many programs use, files go away while it is read. */
  const unless = async (path: string, asked: boolean, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      if (asked || typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') unread.push({ path, error: error as Error });
    }
  };
  const walk = async (path: string, asked: boolean): Promise<void> => {
    const about = await stat(path);
    if (about.isFile()) return void (await addFile(path, asked, false));
    if (!about.isDirectory()) {
      skipped.push(path);
      return;
    }
    if (except.includes(path)) return;
    entering?.(path);
    const names = (await readdir(path)).sort();
    const maildir = names.includes('cur') && names.includes('new');
    // The message, and beside it what a scanner took out of it.
    if (isOneMessage(path, names)) return unless(path, false, () => walk(join(path, 'message'), false));
    for (const name of names) {
      const inner = join(path, name);
      if (maildir && (name === 'cur' || name === 'new')) {
        entering?.(inner);
        for (const file of (await readdir(inner)).sort())
          if (!file.startsWith('.'))
            await unless(join(inner, file), false, () => addFile(join(inner, file), true, true));
      } else if (maildir && name === 'tmp') {
      } else if (maildir || name.startsWith('.')) {
        // Beside cur and new: folders of Maildir++, and what a server writes down for itself.
        if (name !== '.' && (await isMaildir(inner))) await unless(inner, false, () => walk(inner, false));
      } else await unless(inner, false, () => walk(inner, false));
    }
  };
  for (const path of paths) await walk(path, true);
  return { files, skipped, unread };
}

async function isMaildir(path: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  return names.includes('cur') && names.includes('new');
}

/** The first octets, out of the gzip where it is one. */
async function beginning(path: string, length: number): Promise<{ readonly start: Buffer; readonly gzip: boolean }> {
  const raw = await firstOctets(createReadStream(path, { end: length - 1 }), length);
  if (raw[0] !== 0x1f || raw[1] !== 0x8b) return { start: raw, gzip: false };
  const file = createReadStream(path, { highWaterMark: 16 * 1024 });
  const gunzip = createGunzip();
  file.once('error', (error) => gunzip.destroy(error));
  try {
    // What can be unpacked of a damaged one says what it was; the damage is told when it is read.
    return { start: await firstOctets(file.pipe(gunzip), length, () => {}), gzip: true };
  } finally {
    file.destroy();
    gunzip.destroy();
  }
}

async function firstOctets(
  stream: Readable,
  length: number,
  failed = (error: unknown): void => {
    throw error;
  },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of stream) {
      parts.push(part);
      size += part.length;
      if (size >= length) break;
    }
  } catch (error) {
    failed(error);
  }
  return Buffer.concat(parts).subarray(0, length);
}

/** By its beginning: a queue file, a `From ` line, a header field (RFC 5322 §2.2), or something else. */
function formOf(start: Buffer): 'mbox' | 'message' | 'queue-file' | 'other' {
  if (isQueueFile(start)) return 'queue-file';
  if (isMbox(start)) return 'mbox';
  return /^[!-9;-~]+[ \t]*:/.test(start.toString('latin1')) ? 'message' : 'other';
}

/**
 * The messages of a file. `read` is told how many octets of the file went by, as well as that can be told.
 * @throws BadMail, what the file system throws
 */
export async function* messagesOf(file: MailFile, read: (octets: number) => void): AsyncGenerator<FoundMail> {
  const layout = layoutOf(file.path);
  const told = layout?.verdict ? { verdict: layout.verdict } : {};
  if (file.form === 'queue-file') {
    if (file.gzip) throw new BadMail('it is a gzipped queue file: unpack it first');
    const { sender, recipients, arrivedAt, params, message } = await readQueueFile(file.path, read);
    yield {
      name: file.path,
      sender,
      recipients,
      params,
      date: arrivedAt ?? file.modified,
      flags: [],
      ...told,
      ...(await peek(message)).mail,
    };
    return;
  }
  if (file.form === 'mbox') {
    yield* mboxMessages(octetsOf(file, read), file.path, file.modified);
    return;
  }
  const peeked = await peek(octetsOf(file, read));
  if (peeked.mail.head.length === 0) throw new BadMail('it is empty');
  try {
    yield {
      name: file.path,
      sender: senderIn(peeked.mail.head),
      params: {},
      date: file.modified,
      flags: file.form === 'maildir' ? flagsOf(file.path) : [],
      ...told,
      ...peeked.mail,
    };
  } finally {
    await peeked.close(); // whoever refused it did not read it
  }
}

async function* mboxMessages(chunks: AsyncIterable<Uint8Array>, name: string, date: Date): AsyncGenerator<FoundMail> {
  let number = 0;
  for await (const found of readMbox(chunks))
    yield {
      name: `${name} #${++number}`,
      sender: found.sender,
      params: {},
      date: found.date ?? date,
      flags: [],
      ...(await peek(found.source)).mail,
    };
}

/** What comes on standard input: an mbox, or else one message. */
export async function* messagesIn(stream: AsyncIterable<Uint8Array>, date: Date): AsyncGenerator<FoundMail> {
  const { head, source } = (await peek(stream)).mail;
  const name = 'standard input';
  if (isMbox(head)) yield* mboxMessages(source, name, date);
  else if (head.length > 0) yield { name, sender: senderIn(head), params: {}, date, flags: [], head, source };
}

/** The beginning of a stream, and the whole of it. */
async function peek(
  stream: AsyncIterable<Uint8Array>,
): Promise<{ readonly mail: Pick<FoundMail, 'head' | 'source'>; close(): Promise<void> }> {
  const reader = stream[Symbol.asyncIterator]();
  const parts: Uint8Array[] = [];
  let size = 0;
  let ended = false;
  while (!ended && size < headOctets) {
    const { value, done } = await reader.next();
    if (done) ended = true;
    else {
      parts.push(value);
      size += value.length;
    }
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      yield* parts;
      while (!ended) {
        const { value, done } = await reader.next();
        if (done) return;
        yield value;
      }
    } finally {
      await reader.return?.();
    }
  }
  return {
    mail: { head: Buffer.concat(parts).subarray(0, headOctets), source: all() },
    close: async () => void (await reader.return?.()),
  };
}

async function* octetsOf(file: MailFile, read: (octets: number) => void): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(file.path, { highWaterMark: 64 * 1024 });
  if (!file.gzip) {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      read(chunk.length);
      yield chunk;
    }
    return;
  }
  const gunzip = createGunzip();
  stream.on('data', (chunk) => read(chunk.length));
  stream.once('error', (error) => gunzip.destroy(error));
  try {
    yield* stream.pipe(gunzip);
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code).startsWith('Z_')) throw error;
    throw new BadMail(`its gzip data are damaged (${(error as Error).message})`, { cause: error });
  } finally {
    stream.destroy();
    gunzip.destroy();
  }
}

/**
 * The envelope sender that the last MTA wrote down (RFC 5321 §4.4), or, where Haraka was that, the one in its Received;
 * '' for none.
 */
function senderIn(start: Uint8Array): string {
  const header = Buffer.from(start)
    .toString('utf8')
    .split(/\r?\n\r?\n/, 1)[0] as string;
  const path = /^Return-Path:[ \t]*<([^>\r\n]*)>/im.exec(header)?.[1];
  if (path !== undefined) return path;
  const received = /^Received:(?:[^\n]*\n[ \t]){0,12}[^\n]*/i.exec(header)?.[0] ?? '';
  return (/\(Haraka[^()\n]{0,100}\)/.test(received) && /\senvelope-from <([^<>\s]*)>/.exec(received)?.[1]) || '';
}

const maildirFlags: Readonly<Record<string, string>> = {
  D: '\\Draft',
  F: '\\Flagged',
  P: '$Forwarded',
  R: '\\Answered',
  S: '\\Seen',
  T: '\\Deleted',
};

/** `…:2,FS` → \Flagged \Seen. Some file systems have `;` or `!` for the colon. */
function flagsOf(path: string): string[] {
  const letters = /[:;!]2,([A-Za-z]*)$/.exec(path)?.[1] ?? '';
  return [...letters].flatMap((letter) => maildirFlags[letter] ?? []);
}

/** A message's name in its Maildir, whatever its flags, in `new` and in `cur`. */
export const maildirName = (path: string): string => basename(path).replace(/[:;!]2,[A-Za-z]*$/, '');
