/**
 * Mail as it lies on disk: single files, mbox files, Maildirs, and folders of them. Finds the files first, so that progress
 * can be told, then gives their messages one after the other, oldest names first.
 */
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMbox, readMbox } from './mbox.ts';

export interface MailFile {
  readonly path: string;
  readonly size: number;
  readonly modified: Date;
  readonly form: 'message' | 'mbox' | 'maildir';
}

export interface FoundMail {
  /** For messages to people: the file, of an mbox with the number in it. */
  readonly name: string;
  readonly sender: string;
  readonly date: Date;
  readonly flags: readonly string[];
  /** Line ends as in the file. */
  readonly source: AsyncIterable<Uint8Array>;
}

export interface Findings {
  readonly files: readonly MailFile[];
  /** What lay in a folder and is no mail. */
  readonly skipped: readonly string[];
}

/** A path that somebody named is taken for mail whatever it looks like; in a folder only what looks like it. @throws as stat */
export async function findMail(paths: readonly string[]): Promise<Findings> {
  const files: MailFile[] = [];
  const skipped: string[] = [];
  const addFile = async (path: string, asked: boolean, maildir: boolean) => {
    const { size, mtime: modified } = await stat(path);
    if (maildir) return files.push({ path, size, modified, form: 'maildir' });
    const form = formOf(await head(path, 4096));
    if (form === 'other' && !asked) return skipped.push(path);
    return files.push({ path, size, modified, form: form === 'mbox' ? 'mbox' : 'message' });
  };
  const walk = async (path: string, asked: boolean): Promise<void> => {
    const about = await stat(path);
    if (about.isFile()) return void (await addFile(path, asked, false));
    if (!about.isDirectory()) {
      skipped.push(path);
      return;
    }
    const names = (await readdir(path)).sort();
    const maildir = names.includes('cur') && names.includes('new');
    for (const name of names) {
      const inner = join(path, name);
      if (maildir && (name === 'cur' || name === 'new')) {
        for (const file of (await readdir(inner)).sort())
          if (!file.startsWith('.')) await addFile(join(inner, file), true, true);
      } else if (maildir && name === 'tmp') {
      } else if (maildir || name.startsWith('.')) {
        // Beside cur and new: folders of Maildir++, and what a server writes down for itself.
        if (name !== '.' && (await isMaildir(inner))) await walk(inner, false);
      } else await walk(inner, false);
    }
  };
  for (const path of paths) await walk(path, true);
  return { files, skipped };
}

async function isMaildir(path: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  return names.includes('cur') && names.includes('new');
}

async function head(path: string, length: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** By its first line: a `From ` line, a header field (RFC 5322 §2.2), or something else. */
function formOf(start: Buffer): 'mbox' | 'message' | 'other' {
  if (isMbox(start)) return 'mbox';
  return /^[!-9;-~]+[ \t]*:/.test(start.toString('latin1')) ? 'message' : 'other';
}

/** The messages of a file. `read` is told how many octets went by. */
export async function* messagesOf(file: MailFile, read: (octets: number) => void): AsyncGenerator<FoundMail> {
  const chunks = counted(createReadStream(file.path, { highWaterMark: 64 * 1024 }), read);
  if (file.form === 'mbox') {
    let number = 0;
    for await (const { sender, date, source } of readMbox(chunks))
      yield { name: `${file.path} #${++number}`, sender, date: date ?? file.modified, flags: [], source };
    return;
  }
  yield {
    name: file.path,
    sender: returnPath(await head(file.path, 16 * 1024)),
    date: file.modified,
    flags: file.form === 'maildir' ? flagsOf(file.path) : [],
    source: chunks,
  };
}

async function* counted(source: AsyncIterable<Buffer>, read: (octets: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    read(chunk.length);
    yield chunk;
  }
}

/** The envelope sender that the last MTA wrote down (RFC 5321 §4.4); '' for none. */
function returnPath(start: Buffer): string {
  const header = start.toString('utf8').split(/\r?\n\r?\n/, 1)[0] as string;
  return /^Return-Path:[ \t]*<([^>\r\n]*)>/im.exec(header)?.[1] ?? '';
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
