/**
 * A backend in memory for tests of the engine: folders with messages, one account, and a way to refuse or to wait. What one session
 * does, the others see, as the port promises it. Not the product's folders: here COPY copies and MOVE moves.
 */
import type {
  Appended,
  Appending,
  Backend,
  Credentials,
  Fetched,
  FolderListing,
  FolderStatus,
  Mailbox,
  Peer,
  Session,
  StoreChange,
  Stored,
  Targets,
  Transferred,
  View,
  Want,
} from '#imap/backend';
import { No } from '#imap/errors';
import { Summarizer } from '#imap/mime/summary';

const systemFlags = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft'];

class FakeView implements View {
  uids = new Uint32Array(8);
  sizes = new Uint32Array(8);
  internalDates = new Float64Array(8);
  modSeqs = new Float64Array(8);
  flagSet = new Uint32Array(8);
  flagSets: string[] = [''];
  count = 0;
  uidNext = 1;
  highestModSeq = 1;
  /** UIDs in the order they left. */
  left: number[] = [];
  /** leftSince no longer knows, as after a restart of the list. */
  forgets = false;

  get departures(): number {
    return this.left.length;
  }

  leftSince(departures: number): readonly number[] | undefined {
    return this.forgets ? undefined : this.left.slice(departures);
  }

  changedSince(modSeq: number): readonly number[] {
    const changed: number[] = [];
    for (let i = 0; i < this.count; i++) if (this.modSeqs[i]! > modSeq) changed.push(this.uids[i]!);
    return changed;
  }

  indexOf(uid: number): number {
    return this.uids.subarray(0, this.count).indexOf(uid);
  }

  add(message: { size: number; date: number; flags: readonly string[] }, modSeq: number, uid = this.uidNext): number {
    if (this.count === this.uids.length) this.#grow();
    const at = this.count;
    this.uids[at] = uid;
    this.sizes[at] = message.size;
    this.internalDates[at] = message.date;
    this.modSeqs[at] = modSeq;
    this.flagSet[at] = this.flagsIndex(message.flags);
    this.count++;
    this.uidNext = uid + 1;
    this.highestModSeq = modSeq;
    return uid;
  }

  /** New arrays, as the port wants it. */
  remove(uids: ReadonlySet<number>, modSeq: number): void {
    const stay = (_: number, i: number) => i >= this.count || !uids.has(this.uids[i]!);
    const gone = [...this.uids.subarray(0, this.count)].filter((uid) => uids.has(uid));
    if (gone.length === 0) return;
    const before = this.uids;
    const keep = [...before.keys()].filter((i) => stay(0, i));
    const pick = <A extends Uint32Array | Float64Array>(from: A, to: A) => {
      keep.forEach((i, k) => {
        to[k] = from[i]!;
      });
      return to;
    };
    this.uids = pick(before, new Uint32Array(before.length));
    this.sizes = pick(this.sizes, new Uint32Array(before.length));
    this.internalDates = pick(this.internalDates, new Float64Array(before.length));
    this.modSeqs = pick(this.modSeqs, new Float64Array(before.length));
    this.flagSet = pick(this.flagSet, new Uint32Array(before.length));
    this.count -= gone.length;
    this.left.push(...gone);
    this.highestModSeq = modSeq;
  }

  flagsOf(index: number): string[] {
    return this.flagSets[this.flagSet[index]!]!.split(' ').filter(Boolean);
  }

  flagsIndex(flags: readonly string[]): number {
    const text = [...new Set(flags)].sort().join(' ');
    const known = this.flagSets.indexOf(text);
    return known >= 0 ? known : this.flagSets.push(text) - 1;
  }

  #grow(): void {
    const size = this.uids.length * 2;
    const grow = <A extends Uint32Array | Float64Array>(from: A, to: A) => {
      to.set(from);
      return to;
    };
    this.uids = grow(this.uids, new Uint32Array(size));
    this.sizes = grow(this.sizes, new Uint32Array(size));
    this.internalDates = grow(this.internalDates, new Float64Array(size));
    this.modSeqs = grow(this.modSeqs, new Float64Array(size));
    this.flagSet = grow(this.flagSet, new Uint32Array(size));
  }
}

interface Kept {
  readonly bytes: Buffer;
  readonly summary: ReturnType<Summarizer['end']>;
}

export class FakeFolder {
  readonly name: string;
  readonly attributes: string[];
  readonly view = new FakeView();
  readonly messages = new Map<number, Kept>();
  readonly uidValidity = 7;
  readonly watchers = new Set<() => void>();
  nudges = 0;

  constructor(name: string, attributes: string[]) {
    this.name = name;
    this.attributes = attributes;
  }

  changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}

export const mail = (subject: string, body = 'Hello.\r\n'): string =>
  `From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: ${subject}\r\n` +
  `Date: Sun, 1 Feb 2026 10:00:00 +0000\r\nMessage-ID: <${subject.replace(/\W/g, '')}@example.org>\r\n\r\n${body}`;

export class FakeBackend implements Backend {
  readonly folders = new Map<string, FakeFolder>();
  readonly subscribed = new Set<string>();
  /** Folders that cannot be deleted. */
  readonly keeps = new Set(['INBOX']);
  /** What is thrown by `login`, `open NAME`, `append NAME`, `copy NAME`, `move NAME`, `status NAME`, `refresh`. */
  readonly refuses = new Map<string, Error>();
  /** Waited for before a step of the same names. */
  readonly waits = new Map<string, Promise<void>>();
  /** The tagged refusal of a transfer that did the rest. */
  partly: No | undefined;
  /** Messages copied onto this folder leave the source, as the product's Trash does it. */
  copyLeaves: string | undefined;
  readonly logins: Credentials[] = [];
  readonly appended: Appending[] = [];
  readonly sessions = new Set<FakeSession>();
  progress: string | undefined;
  #modSeq = 1;

  constructor(names: readonly string[] = ['INBOX', 'Caught', 'Release & Train', 'Grüße', 'Trash']) {
    for (const name of names) {
      this.folders.set(name, new FakeFolder(name, ['\\HasNoChildren', ...(name === 'Trash' ? ['\\Trash'] : [])]));
      this.subscribed.add(name);
    }
  }

  /** The next mod-sequence. */
  next(): number {
    return ++this.#modSeq;
  }

  folder(name: string): FakeFolder {
    const folder = this.folders.get(name);
    if (!folder) throw new No('NONEXISTENT', 'There is no such folder');
    return folder;
  }

  /** Puts a message in, as another process might; answers its UID. */
  put(name: string, text: string | Buffer, o: { uid?: number; flags?: string[]; date?: Date } = {}): number {
    const folder = this.folder(name);
    const bytes = Buffer.from(text);
    const summarizer = new Summarizer();
    summarizer.push(bytes);
    const kept = { bytes, summary: summarizer.end() };
    const date = (o.date ?? new Date('2026-02-01T10:00:00Z')).getTime();
    const message = { size: bytes.length, date, flags: o.flags ?? [] };
    const uid = folder.view.add(message, this.next(), o.uid);
    folder.messages.set(uid, kept);
    folder.changed();
    return uid;
  }

  /** Takes messages out, as another session might. */
  remove(name: string, uids: readonly number[]): void {
    const folder = this.folder(name);
    folder.view.remove(new Set(uids), this.next());
    folder.changed();
  }

  setFlags(name: string, uid: number, flags: readonly string[]): void {
    const { view } = this.folder(name);
    const at = view.indexOf(uid);
    view.flagSet[at] = view.flagsIndex(flags);
    view.modSeqs[at] = view.highestModSeq = this.next();
    this.folder(name).changed();
  }

  async login(credentials: Credentials, _peer: Peer): Promise<Session> {
    await this.step('login');
    this.logins.push(credentials);
    if (credentials.user !== 'bob' || credentials.password !== 'secret')
      throw new No('AUTHENTICATIONFAILED', 'Name or password is wrong');
    const session = new FakeSession(this);
    this.sessions.add(session);
    return session;
  }

  async step(name: string): Promise<void> {
    await this.waits.get(name);
    const error = this.refuses.get(name);
    if (error) throw error;
  }
}

export class FakeSession implements Session {
  readonly user = 'bob';
  readonly #backend: FakeBackend;
  /** Says something to this session's person. */
  tell: (sentence: string) => void = () => {};

  constructor(backend: FakeBackend) {
    this.#backend = backend;
  }

  async folders(): Promise<readonly FolderListing[]> {
    const { folders, subscribed } = this.#backend;
    const unknown = [...subscribed].filter((name) => !folders.has(name));
    return [
      ...[...folders.values()].map(({ name, attributes }) => ({ name, attributes, subscribed: subscribed.has(name) })),
      ...unknown.map((name) => ({ name, attributes: ['\\NonExistent'], subscribed: true })),
    ];
  }

  async setSubscribed(folder: string, subscribed: boolean): Promise<void> {
    if (subscribed) this.#backend.subscribed.add(folder);
    else this.#backend.subscribed.delete(folder);
  }

  async status(folder: string): Promise<FolderStatus> {
    await this.#backend.step(`status ${folder}`);
    const { view, uidValidity } = this.#backend.folder(folder);
    const indexes = Array.from({ length: view.count }, (_, i) => i);
    return {
      messages: view.count,
      unseen: indexes.filter((i) => !view.flagsOf(i).includes('\\Seen')).length,
      uidNext: view.uidNext,
      uidValidity,
      highestModSeq: view.highestModSeq,
      size: indexes.reduce((sum, i) => sum + view.sizes[i]!, 0),
    };
  }

  async open(folder: string, readOnly: boolean): Promise<Mailbox> {
    await this.#backend.step(`open ${folder}`);
    return new FakeMailbox(this.#backend, this.#backend.folder(folder), readOnly);
  }

  async create(folder: string): Promise<void> {
    if (this.#backend.folders.has(folder)) throw new No('ALREADYEXISTS', 'There is one already');
    this.#backend.folders.set(folder, new FakeFolder(folder, ['\\HasNoChildren']));
  }

  async delete(folder: string): Promise<void> {
    if (this.#backend.keeps.has(folder)) throw new No('CANNOT', 'This folder stays');
    this.#backend.folder(folder);
    this.#backend.folders.delete(folder);
  }

  async rename(from: string, to: string): Promise<void> {
    this.#backend.folder(from);
    await this.create(to);
    await this.delete(from);
  }

  async append(message: Appending): Promise<(source: AsyncIterable<Uint8Array>) => Promise<Appended>> {
    await this.#backend.step(`append ${message.folder}`);
    if (!this.#backend.folders.has(message.folder)) throw new No('TRYCREATE', 'There is no such folder');
    return async (source) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) {
        chunks.push(chunk);
        await this.#backend.step(`reading ${message.folder}`);
      }
      const flags = [...message.flags];
      const date = message.internalDate;
      const bytes = Buffer.concat(chunks);
      const uid = this.#backend.put(message.folder, bytes, date ? { flags, date } : { flags });
      this.#backend.appended.push(message);
      return { uid: { uidValidity: 7, uid } };
    };
  }

  onNotice(tell: (sentence: string) => void): () => void {
    this.tell = tell;
    return () => {
      this.tell = () => {};
    };
  }

  close(): void {
    this.#backend.sessions.delete(this);
  }
}

class FakeMailbox implements Mailbox {
  readonly name: string;
  readonly readOnly: boolean;
  readonly uidValidity: number;
  readonly flags = systemFlags;
  readonly permanentFlags = [...systemFlags, '\\*'];
  readonly view: FakeView;
  readonly #backend: FakeBackend;
  readonly #folder: FakeFolder;

  constructor(backend: FakeBackend, folder: FakeFolder, readOnly: boolean) {
    this.name = folder.name;
    this.readOnly = readOnly;
    this.uidValidity = folder.uidValidity;
    this.view = folder.view;
    this.#backend = backend;
    this.#folder = folder;
  }

  refresh(): Promise<void> {
    return this.#backend.step('refresh');
  }

  onChange(changed: () => void): () => void {
    this.#folder.watchers.add(changed);
    return () => this.#folder.watchers.delete(changed);
  }

  takeNudge(): boolean {
    if (this.#folder.nudges === 0) return false;
    this.#folder.nudges--;
    return true;
  }

  async *fetch(uids: readonly number[] | Uint32Array, _want: Want): AsyncIterable<readonly Fetched[]> {
    for (const uid of uids) {
      const kept = this.view.indexOf(uid) >= 0 ? this.#folder.messages.get(uid) : undefined;
      if (!kept) continue;
      const { bytes, summary } = kept;
      const { envelope, bodyStructure, body, commonFields, parts } = summary;
      async function* read(offset: number, length: number) {
        for (let at = offset; at < offset + length; at += 16384)
          yield bytes.subarray(at, Math.min(at + 16384, offset + length));
      }
      yield [{ uid, size: bytes.length, prefixSize: 0, envelope, bodyStructure, body, commonFields, parts, read }];
    }
  }

  async store({ uids }: Targets, { op, flags, unchangedSince }: StoreChange): Promise<Stored> {
    const modified: number[] = [];
    const modSeq = this.#backend.next();
    for (const uid of uids) {
      const at = this.view.indexOf(uid);
      if (at < 0) continue;
      if (unchangedSince !== undefined && this.view.modSeqs[at]! > unchangedSince) {
        modified.push(uid);
        continue;
      }
      const before = this.view.flagsOf(at);
      const after = {
        add: [...before, ...flags],
        remove: before.filter((flag) => !flags.includes(flag)),
        replace: flags,
      }[op];
      this.view.flagSet[at] = this.view.flagsIndex(after);
      this.view.modSeqs[at] = modSeq;
      this.view.highestModSeq = modSeq;
    }
    this.#folder.changed();
    return { modified };
  }

  async copy({ uids }: Targets, to: string, progress: (sentence: string) => void): Promise<Transferred> {
    const transferred = await this.#transfer('copy', uids, to, progress);
    if (this.#backend.copyLeaves === to) this.#backend.remove(this.name, uids);
    return { ...transferred, left: [] };
  }

  async move({ uids }: Targets, to: string, progress: (sentence: string) => void): Promise<Transferred> {
    const transferred = await this.#transfer('move', uids, to, progress);
    this.#backend.remove(this.name, transferred.left);
    return transferred;
  }

  async #transfer(
    how: string,
    uids: readonly number[],
    to: string,
    progress: (sentence: string) => void,
  ): Promise<Transferred> {
    await this.#backend.step(`${how} ${to}`);
    if (!this.#backend.folders.has(to)) throw new No('TRYCREATE', 'There is no such folder');
    if (this.#backend.progress) progress(this.#backend.progress);
    const here = uids.filter((uid) => this.view.indexOf(uid) >= 0);
    const from = this.#backend.partly ? here.slice(0, -1) : here;
    const arrived = from.map((uid) => {
      const flags = this.view.flagsOf(this.view.indexOf(uid));
      return this.#backend.put(to, this.#folder.messages.get(uid)!.bytes, { flags });
    });
    const { partly } = this.#backend;
    return {
      left: from,
      ...(from.length > 0 && { copyUid: { uidValidity: 7, from, to: arrived } }),
      ...(partly && { refusal: partly }),
    };
  }

  async expunge(uids: readonly number[]): Promise<void> {
    this.#backend.remove(this.name, uids);
  }

  close(): void {}
}
