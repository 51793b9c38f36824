/**
 * What the tests of folders stand on: a store of their own, the mailbox side on top of it without any socket, and mail
 * that is held. Everything is closed and removed when the test ends.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type BackendOptions, createBackend } from '#app/mailbox/backend';
import type { ProductEvent } from '#app/observe/events';
import { silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import type { Fetched, Mailbox, Session, Targets, Transferred } from '#imap/backend';
import { No } from '#imap/errors';
import { Summarizer } from '#imap/mime/summary';
import type { ClaimedJob, Entry, EntryId, Scope, Step, Uid } from '#store/model';
import { openStore } from '#store/open';
import type { NewEntry, NewMessage, Outcome, Store } from '#store/port';
import { freshStore } from '../support/store.ts';

export const ada = 'ada@harbour.example';
export const ben = 'ben@quay.example';
/** The three accounts that see what is held for ada. */
export const adasScopes = ['global', 'harbour.example', ada] as const;

const scopes: Readonly<Record<string, Scope>> = {
  global: { level: 'global' },
  'harbour.example': { level: 'domain', domain: 'harbour.example' },
  'quay.example': { level: 'domain', domain: 'quay.example' },
  [ada]: { level: 'recipient', address: ada },
  [ben]: { level: 'recipient', address: ben },
};

export type Held = Entry & { readonly uid: Uid };

export interface House {
  readonly store: Store;
  readonly events: ProductEvent[];
  /** Logs in; `person*account` too. Closed when the test ends. */
  login(user: string): Promise<Session>;
  /** Opens a folder of an account, in a session of its own. */
  open(user: string, folder: string, readOnly?: boolean): Promise<Mailbox>;
  /** A message held for ada, unless it says otherwise. */
  hold(overrides?: Partial<NewEntry> & { readonly raw?: Uint8Array }): Promise<Held>;
  entry(id: EntryId): Promise<Entry>;
  /** Jobs of an entry as `step state`, sorted. */
  jobs(id: EntryId): Promise<readonly string[]>;
  /** Claims the due jobs of these steps and ends them so. */
  work(steps: readonly Step[], outcome: (job: ClaimedJob) => Outcome): Promise<number>;
  advance(ms: number): void;
}

export async function buildHouse(t: Test, options: Partial<BackendOptions> = {}): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-mailbox-'));
  const clock = new SharedArrayBuffer(8);
  const store = await openStore(await freshStore(t, folder), { clock, durable: false });
  const events: ProductEvent[] = [];
  const backend = createBackend({
    store,
    authenticator: {
      async verify(user, password) {
        const [person, account] = user.includes('*') ? user.split('*') : [undefined, user];
        const scope = scopes[account ?? ''];
        if (!scope || password !== 'right') return undefined;
        const when = new Date();
        return { name: user, scope, createdAt: when, passwordChangedAt: when, ...(person !== undefined && { person }) };
      },
    },
    book: new AddressBook({ domains: { 'harbour.example': {}, 'quay.example': {} } }),
    hostname: 'quarantine.example',
    undoMs: 10_000,
    actionFolders: 'empty',
    outgoingFolder: true,
    maxConnectionsPerUser: 10_000,
    onEvent: (event) => events.push(event),
    log: silent,
    noticeTiming: { gatherMs: 20, apartMs: 0 },
    ...options,
  });
  const sessions: Session[] = [];
  // There are no sockets here that would keep the process waiting for what is to come.
  const awake = setInterval(() => {}, 1_000);
  t.teardown(async () => {
    clearInterval(awake);
    for (const session of sessions) session.close();
    backend.close();
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });

  let made = 0;
  const house: House = {
    store,
    events,
    async login(user) {
      const peer = { address: '127.0.0.1', port: 1, secure: true, id: 'test' };
      const session = await backend.login({ user, password: 'right' }, peer);
      sessions.push(session);
      return session;
    },
    async open(user, name, readOnly = false) {
      return (await house.login(user)).open(name, readOnly);
    },
    async hold({ raw = aMessage(++made), ...overrides } = {}) {
      const bytes = await store.messages.put(inPieces(raw));
      const owner = overrides.owner ?? ada;
      const [admitted] = await store.entries.admit({ bytes, ...described(raw) }, [
        {
          owner,
          recipient: owner,
          direction: 'incoming',
          class: 'held',
          verdict: { reason: 'spam', source: 'none', rules: [] },
          prefix: 'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: spam\r\n',
          ...overrides,
        },
      ]);
      return (await store.entries.get(admitted!.entryId)) as Held;
    },
    async entry(id) {
      return (await store.entries.get(id))!;
    },
    async jobs(id) {
      const { jobs } = (await store.entries.history(id))!;
      return jobs.map(({ step, state }) => `${step} ${state}`).sort();
    },
    async work(steps, outcome) {
      let done = 0;
      while ((await store.housekeep()).more);
      for (;;) {
        const claimed = await store.jobs.claim({ steps, limit: 500, leaseMs: 60_000 });
        for (const job of claimed) await store.jobs.finish(job, outcome(job));
        done += claimed.length;
        if (claimed.length === 0) return done;
      }
    },
    advance(ms) {
      new Float64Array(clock)[0]! += ms;
    },
  };
  return house;
}

export function aMessage(n: number): Uint8Array {
  return Buffer.from(
    `Received: from somewhere\r\nFrom: Mallory <m@elsewhere.example>\r\nSubject: Offer ${n}\r\n\r\nBuy ${n} now.\r\n`,
  );
}

/** What intake would have found out. */
function described(raw: Uint8Array): Omit<NewMessage, 'bytes'> {
  const summarizer = new Summarizer();
  summarizer.push(raw);
  const { headerSize, size: _, ...summary } = summarizer.end();
  return {
    bodySha256: createHash('sha256').update(raw.subarray(headerSize)).digest('hex'),
    headerSize,
    sender: 'm@elsewhere.example',
    params: {},
    filterBlock: new Uint8Array(),
    summary,
  };
}

/** Cut where it hurts: within lines, octet by octet at the start. */
export async function* inPieces(raw: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < raw.length; ) {
    const size = at < 5 ? 1 : 17;
    yield raw.subarray(at, at + size);
    at += size;
  }
}

export const bySequence = (...uids: readonly number[]): Targets => ({ uids: [...uids].sort((a, b) => a - b) });

/** As the engine has it for a UID command: the UIDs that are in view, and the set as written. */
export function byUid(mailbox: Mailbox, ...uids: readonly number[]): Targets {
  const sorted = [...uids].sort((a, b) => a - b);
  return {
    uids: sorted.filter((uid) => uidsOf(mailbox).includes(uid)),
    ranges: sorted.map((uid) => ({ first: uid, last: uid })),
  };
}

export function uidsOf({ view }: Mailbox): number[] {
  return [...view.uids.subarray(0, view.count)];
}

/** Flags of a message as the view has them; undefined if it is not there. */
export function flagsOf({ view }: Mailbox, uid: number): string | undefined {
  const at = view.uids.subarray(0, view.count).indexOf(uid);
  return at < 0 ? undefined : view.flagSets[view.flagSet[at]!];
}

export const quiet = (): void => {};

/** The answer of a command: what it transferred, or the No it was refused with. */
export async function answerOf<T>(command: Promise<T>): Promise<T | No> {
  try {
    return await command;
  } catch (error) {
    if (error instanceof No) return error;
    throw error;
  }
}

export function pairsOf(answer: Transferred | No): string {
  if (answer instanceof No || !answer.copyUid) return '';
  const { from, to } = answer.copyUid;
  return from.map((uid, i) => `${uid}>${to[i]}`).join(' ');
}

export async function allOf(batches: AsyncIterable<readonly Fetched[]>): Promise<Fetched[]> {
  const all: Fetched[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

export async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces).toString('latin1');
}

/** The whole shown message. */
export async function shownText(mailbox: Mailbox, uid: number): Promise<string> {
  const [fetched] = await allOf(mailbox.fetch([uid], {}));
  return textOf(fetched!.read(0, fetched!.size));
}
