/**
 * Random sequences of everything that can happen to entries: drops by two accounts, in chunks too, undo, roll-back, EXPUNGE,
 * workers that succeed, fail, put off or lose their lease, releases and discards that are learned, time that passes. After each step what must hold of any entry
 * (DESIGN §7.3, §7.5, §7.6) is looked at; at the end nothing may be left that nobody will ever do. SEED repeats a run.
 */
import t, { type Test } from 'tap';
import { LeaseLost } from '#store/errors';
import type { ActionName, ClaimedJob, EntryId, ReadableFolder, Scope, Step, Uid } from '#store/model';
import type { OpenDrop, Outcome } from '#store/port';
import { mongoOrSkip } from '../support/mongod.ts';
import { everything, held, type OpenHarness, recipient } from './contract/harness.ts';
import * as d from './dropping.ts';
import { ada } from './dropping.ts';
import * as mongo from './mongo-harness.ts';
import * as sqlite from './sqlite-harness.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const folders: readonly ReadableFolder[] = ['caught', 'training', 'trash'];
const actions: readonly ActionName[] = ['release', 'release-train', 'spam', 'not-spam', 'discard', 'restore'];
/** Steps of drops that train besides what their action says. */
const lessons: Readonly<Partial<Record<ActionName, readonly Step[]>>> = {
  release: ['deliver', 'train-ham'],
  discard: ['train-spam'],
};
const accounts: readonly (readonly [string, Scope])[] = [
  [ada, recipient(ada)],
  ['global', everything],
];

t.test(`whatever happens, each entry goes one way (SEED=${seed})`, (t) => play(t, sqlite.openHarness, 400));

t.test(`as much on MongoDB (SEED=${seed})`, { timeout: 240_000 }, async (t) => {
  if (mongoOrSkip(t)) await play(t, mongo.openHarness, 150);
});

async function play(t: Test, openHarness: OpenHarness, steps: number): Promise<void> {
  const { store, advance } = await openHarness(t);
  let state = seed * 2654435761 + 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;

  const ids: EntryId[] = [];
  for (let n = 0; n < 6; n++) ids.push((await held(store, ada, { class: n === 0 ? 'training' : 'held' })).id);
  for (let n = 1; n < 4; n++) ids.push((await held(store, ada, { class: 'training', leaveAfterMs: n * 120_000 })).id);
  const open: OpenDrop[] = [];
  const leased: ClaimedJob[] = [];
  const undone = new Set<string>();
  const everGiven: Uid[] = [];
  let told = '';

  const act = async (): Promise<void> => {
    const [account, scope] = pick(accounts);
    const folder = pick(folders);
    const action = pick(actions);
    const mode = pick(['move', 'move', 'copy'] as const);
    const shown = [...(await store.views.load(scope, folder)).uids] as Uid[];
    const some = shown.filter(() => random(2) === 0);
    const restoreTo = folder === 'trash' && action === 'restore' ? pick(['caught', 'training'] as const) : undefined;
    switch (random(9)) {
      case 0:
      case 1:
      case 2: {
        const last = random(4) > 0;
        const steps = random(2) ? lessons[action] : undefined;
        const how = { account, scope, folder, mode, undoMs: pick([0, 5_000]) };
        const drop = d.begin(store, action, steps ? { ...how, steps } : how);
        told = `${mode} ${some} of ${folder} onto ${action}${steps ? ' and learn' : ''} by ${account}${last ? '' : ', unsealed'}`;
        const taken = await store.drops.take(drop, some, { last, ...(restoreTo && { restoreTo }) });
        for (const { to } of taken.pairs) everGiven.push(to);
        if (!last) open.push(drop);
        return;
      }
      case 3: {
        const [drop] = open.splice(random(open.length || 1), 1);
        if (!drop) return;
        told = `${drop.mode === 'move' ? 'seal' : 'roll back'} ${drop.action}`;
        const ended = drop.mode === 'move' ? store.drops.seal(drop) : store.drops.rollBack(drop);
        await ended.catch(unlessLost);
        if (drop.mode !== 'move') undone.add(drop.id);
        return;
      }
      case 4: {
        const target = pick(['release', 'release-train', 'spam', 'not-spam'] as const);
        const uids = everGiven.filter(() => random(2) === 0);
        told = `undo ${uids} in ${target} by ${account}`;
        await d.undo(store, target, uids, random(2) ? folder : undefined, account);
        return;
      }
      case 5:
        told = `expunge ${some} of ${folder} by ${account}`;
        await store.entries.expunge({ scope, folder, uids: some }, d.by(account));
        return;
      case 6:
        told = 'claim';
        leased.push(...(await d.claim(store, undefined, 2, 20_000)));
        return;
      case 7: {
        const [job] = leased.splice(random(leased.length || 1), 1);
        if (!job) return;
        const outcomes: readonly Outcome[] = [d.done(), d.done(0), d.failed, d.later(1000), d.later(1000, true)];
        const outcome = pick(outcomes);
        told = `${job.step} of ${job.entryId}: ${outcome.kind}`;
        if (outcome.kind === 'done' && undone.has(job.dropId)) told += ' of a drop that was taken back';
        const lost = await store.jobs.finish(job, outcome).then(() => false, unlessLost);
        if (!lost && undone.has(job.dropId)) t.fail(told);
        return;
      }
      default:
        told = 'time passes';
        advance(pick([1000, 6_000, 31_000, 61_000]));
        await d.housekeep(store);
    }
  };

  const faults = async (id: EntryId): Promise<string[]> => {
    const { entry, stays, jobs } = (await store.entries.history(id))!;
    const unfinished = jobs.filter((job) => job.state === 'ready' || job.state === 'leased');
    const deliveries = unfinished.filter((job) => job.step === 'deliver').length;
    const home = entry.class === 'training' ? 'training' : 'caught';
    const inView = stays.filter(({ folder, endedAt }) => folders.includes(folder as ReadableFolder) && !endedAt);
    const flags =
      entry.folder && (await d.view(store, entry.folder, everything)).find((line) => line.startsWith(`${entry.uid}`));
    // A copy on Spam or Not Spam whose time in Training Requested was over is in no folder.
    const judged = entry.expiresAt ? ['trash', undefined] : ['trash'];
    const isIn = {
      discarded: ['trash'],
      trained: judged,
      expired: [undefined],
      held: [home],
      dropped: [home, undefined],
    }[entry.state as string] ?? [home, undefined];
    const said: [string, boolean][] = [
      ['one delivery if it is dropped, else none', deliveries === (entry.state === 'dropped' ? 1 : 0)],
      ['one training at most', unfinished.length - deliveries <= 1],
      ['its place', (entry.place === 'none') === (entry.uid === undefined) && isIn.includes(entry.folder)],
      ['one open stay', inView.length === (entry.uid ? 1 : 0) && (!entry.uid || inView[0]?.uid === entry.uid)],
      ['each stay began with a larger UID', stays.every(({ uid }, at) => at === 0 || uid > stays[at - 1]!.uid)],
      ['$Releasing', !flags?.includes('$Releasing') || entry.state === 'dropped' || entry.state === 'released'],
    ];
    return said.filter(([, holds]) => !holds).map(([name]) => name);
  };

  for (let step = 0; step < steps; step++) {
    await act();
    for (const id of ids) {
      const wrong = await faults(id);
      if (wrong.length > 0) {
        t.fail(`step ${step}, ${told}: entry ${id}: ${wrong.join(', ')}`, { history: await store.entries.history(id) });
        return;
      }
    }
  }
  // Everything runs out, and workers do what there is.
  for (let round = 0; round < 6; round++) {
    advance(3_600_000);
    await d.housekeep(store);
    while ((await d.run(store, d.done(0))).length > 0);
  }
  t.match(await store.jobs.counts(), { ready: 0, leased: 0 }, 'nothing is left that nobody will ever do');
  for (const id of ids) t.strictSame(await faults(id), []);
}

function unlessLost(error: unknown): boolean {
  if (error instanceof LeaseLost) return true;
  throw error;
}
