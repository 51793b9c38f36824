/** What the contract files about drops and jobs share: acts in one line, and readings of a store in short words. */
import type { Test } from 'tap';
import type {
  ActionName,
  Actor,
  ClaimedJob,
  DropMode,
  EntryId,
  Folder,
  ReadableFolder,
  Scope,
  Step,
  Uid,
} from '#store/model';
import type { OpenDrop, Outcome, Store, Taken } from '#store/port';
import { everything, type Harness, type OpenHarness, recipient } from './contract/harness.ts';

export const ada = 'ada@harbour.example';
export const ben = 'ben@harbour.example';
export const scopes: readonly Scope[] = [recipient(ada), { level: 'domain', domain: 'harbour.example' }, everything];

export interface How {
  readonly account?: string;
  readonly scope?: Scope;
  readonly folder?: ReadableFolder;
  readonly mode?: DropMode;
  readonly undoMs?: number;
  readonly restoreTo?: ReadableFolder;
  readonly last?: boolean;
  readonly again?: true;
  readonly steps?: readonly Step[];
}

export const by = (account: string = ada): Actor => ({ account, via: 'test' });

export function begin(store: Store, action: ActionName, how: How = {}): OpenDrop {
  const account = how.account ?? ada;
  return store.drops.begin({
    actor: by(account),
    scope: how.scope ?? (account.includes('@') ? recipient(account) : everything),
    folder: how.folder ?? 'caught',
    action,
    mode: how.mode ?? 'move',
    undoMs: how.undoMs ?? 0,
    hostname: 'mx.harbour.example',
    ...(how.again ? { again: how.again } : {}),
    ...(how.steps ? { steps: how.steps } : {}),
  });
}

/** One drop of one chunk. */
export function drop(store: Store, action: ActionName, uids: readonly Uid[], how: How = {}): Promise<Taken> {
  return store.drops.take(begin(store, action, how), uids, {
    last: how.last ?? true,
    ...(how.restoreTo ? { restoreTo: how.restoreTo } : {}),
  });
}

export const to = (taken: Taken): readonly Uid[] => taken.pairs.map((pair) => pair.to);
export const from = (taken: Taken): readonly Uid[] => taken.pairs.map((pair) => pair.from);

export function undo(
  store: Store,
  folder: Folder,
  uids: readonly number[],
  backTo?: ReadableFolder,
  account: string = ada,
): Promise<Taken> {
  const ranges = uids.map((uid) => ({ first: uid, last: uid }));
  return store.drops.undo(by(account), account.includes('@') ? recipient(account) : everything, folder, ranges, backTo);
}

/** UIDs in a folder, with their flags at that level where there are any: `['12', '13 $Releasing']`. */
export async function view(
  store: Store,
  folder: ReadableFolder = 'caught',
  scope: Scope = recipient(ada),
): Promise<string[]> {
  const snapshot = await store.views.load(scope, folder);
  return [...snapshot.uids].map((uid, index) => `${uid} ${snapshot.flagSets[snapshot.flagSet[index]!]}`.trim());
}

/** `state place folder`, e.g. `dropped none -`. */
export async function stands(store: Store, id: EntryId): Promise<string> {
  const entry = await store.entries.get(id);
  return `${entry?.state} ${entry?.place} ${entry?.folder ?? '-'}`;
}

/** All jobs of an entry in the order they were made: `['deliver ready', 'train-ham done']`. */
export async function jobsOf(store: Store, id: EntryId): Promise<string[]> {
  const history = await store.entries.history(id);
  return history!.jobs.map((job) => `${job.step} ${job.state}`);
}

const every: readonly Step[] = ['deliver', 'train-ham', 'train-spam'];

export function claim(
  store: Store,
  steps: readonly Step[] = every,
  limit = 100,
  leaseMs = 60_000,
): Promise<readonly ClaimedJob[]> {
  return store.jobs.claim({ steps, limit, leaseMs });
}

/** Claims everything that is due and ends it this way; answers what it was, e.g. `['deliver 12']`. */
export async function run(store: Store, outcome: Outcome, steps: readonly Step[] = every): Promise<string[]> {
  const jobs = await claim(store, steps);
  for (const job of jobs) await store.jobs.finish(job, outcome);
  return jobs.map((job) => `${job.step} ${job.entryId ?? '-'}`);
}

export const done = (leaveAfterMs = 60_000): Outcome => ({ kind: 'done', said: '250 2.0.0 Ok', leaveAfterMs });
export const failed: Outcome = {
  kind: 'failed',
  said: '550 5.1.1 No such user',
  prefix: 'X-Lazaret-Id: {id}\r\nX-Lazaret-Status: 550 5.1.1 No such user\r\n',
  notice: 'A release failed: 550 5.1.1 No such user',
};
export const later = (afterMs: number, show = false): Outcome => ({
  kind: 'later',
  said: '451 4.3.0 Try later',
  afterMs,
  ...(show ? { show: { prefix: 'X-Lazaret-Id: {id}\r\nX-Lazaret-Status: waiting: 451 4.3.0\r\n' } } : {}),
});

/** Housekeeping until there is nothing more to do; answers when something is due next. */
export async function housekeep(store: Store): Promise<Date | undefined> {
  for (;;) {
    const { more, nextDueAt } = await store.housekeep();
    if (!more) return nextDueAt;
  }
}

/** The log after `since`, a line each: `leave caught 12`, `flags caught 12 domain`. */
export async function log(store: Store, since: number): Promise<string[]> {
  const { changes } = await store.changes.since(since as never, 10_000);
  return changes.map((change) => [change.kind, change.folder, change.uid, change.level ?? ''].join(' ').trim());
}

/** A harness whose store has been used before: empty as far as views and unfinished jobs go. */
export interface Shared extends Harness {
  /** The store's clock, in milliseconds since 1970. */
  now(): number;
}
type Play = (t: Test, harness: Shared) => Promise<void>;

/**
 * Tests of one file that share a store, because opening one costs more than all that most of them do (three threads, each
 * with its own loader). Before each, what the one before left is taken out of view and its jobs are ended.
 */
export async function inOneStore(t: Test, open: OpenHarness): Promise<(name: string, play: Play) => Promise<void>> {
  const harness = await open(t);
  let other: Promise<Store> | undefined;
  let moved = 0;
  const shared: Shared = {
    store: harness.store,
    advance: (ms) => {
      moved += ms;
      harness.advance(ms);
    },
    again: () => {
      other ??= harness.again();
      return other;
    },
    now: () => Date.now() + moved,
  };
  return async (name, play) => {
    await clear(shared);
    await t.test(name, (t) => play(t, shared));
  };
}

async function clear({ store, advance }: Shared): Promise<void> {
  advance(3 * 3_600_000); // all leases, undo windows and pauses of these tests are shorter
  await housekeep(store);
  while ((await run(store, done(0))).length > 0);
  const owners = [ada, ben].map(recipient);
  const domains = ['harbour.example', 'quay.example'].map((name): Scope => ({ level: 'domain', domain: name }));
  for (const folder of ['caught', 'outgoing', 'training', 'trash'] as const)
    for (const scope of [...owners, ...domains, everything]) {
      const uids = [...(await store.views.load(scope, folder)).uids] as Uid[];
      if (uids.length > 0) await store.entries.expunge({ scope, folder, uids }, by('global'));
    }
}
