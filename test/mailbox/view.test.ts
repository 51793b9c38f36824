/** Views against a naive model, with random histories (the seed is printed), and the feed that keeps them up to date. */
import t from 'tap';
import { Feed } from '#app/mailbox/feed';
import { LoadedView } from '#app/mailbox/loaded-view';
import { Views } from '#app/mailbox/views';
import { silent } from '#app/observe/log';
import type { Change, Level, ModSeq, Scope, Uid } from '#store/model';
import type { Changes, ViewSnapshot } from '#store/port';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
t.comment(`SEED=${seed}`);

function random(from: number): (below: number) => number {
  let state = from >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Row {
  uid: number;
  modSeq: number;
  flags: string;
  size: number;
}

function snapshotOf(rows: readonly Row[], top: { uidNext: number; highestModSeq: number; asOf: number }): ViewSnapshot {
  const flagSets = [...new Set(rows.map(({ flags }) => flags))];
  return {
    uids: Uint32Array.from(rows, ({ uid }) => uid),
    entryIds: Uint32Array.from(rows, ({ uid }) => uid + 7),
    messageIds: Float64Array.from(rows, ({ uid }) => uid + 9),
    sizes: Uint32Array.from(rows, ({ size }) => size),
    internalDates: Float64Array.from(rows, ({ uid }) => uid * 1000),
    modSeqs: Float64Array.from(rows, ({ modSeq }) => modSeq),
    flagSet: Uint32Array.from(rows, ({ flags }) => flagSets.indexOf(flags)),
    flagSets,
    uidNext: top.uidNext as Uid,
    highestModSeq: top.highestModSeq as ModSeq,
    asOf: top.asOf as ModSeq,
  };
}

const line = (kind: Change['kind'], modSeq: number, uid: number, more: Partial<Change> = {}): Change => ({
  kind,
  modSeq: modSeq as ModSeq,
  uid: uid as Uid,
  folder: 'caught',
  entryId: (uid + 7) as Change['entryId'],
  messageId: (uid + 9) as Change['messageId'],
  owner: 'ada@harbour.example',
  ...more,
});

const arrival = (modSeq: number, uid: number, flags: string, size: number, level: Level): Change =>
  line('enter', modSeq, uid, { flags: { [level]: flags }, size, internalDate: uid * 1000 });

const rowsOf = (view: LoadedView): Row[] =>
  [...view.uids.subarray(0, view.count)].map((uid, i) => ({
    uid,
    modSeq: view.modSeqs[i]!,
    flags: view.flagSets[view.flagSet[i]!]!,
    size: view.sizes[i]!,
  }));

t.test('a view equals a naive model after any history', async (t) => {
  for (let round = 0; round < 12; round++) {
    const next = random(seed + round);
    const level: Level = (['recipient', 'domain', 'global'] as const)[next(3)]!;
    const other: Level = level === 'global' ? 'domain' : 'global';
    let uid = 0;
    let modSeq = 1;
    const model: Row[] = [];
    const flags = ['', '\\Seen', '\\Seen \\Deleted', '$Releasing', '\\Flagged $x'];
    const enter = (): Row => ({ uid: ++uid, modSeq, flags: flags[next(flags.length)]!, size: next(5000) });
    for (let i = next(600); i > 0; i--) {
      uid += next(3);
      modSeq++;
      model.push(enter());
    }
    const view = new LoadedView(snapshotOf(model, { uidNext: uid + 1, highestModSeq: modSeq, asOf: modSeq }), level);
    let uidNext = uid + 1;
    let highest = modSeq;
    let told = 0;
    view.listeners.add(() => told++);
    const checkpoints: { modSeq: number; departures: number; uids: Uint32Array; count: number; copy: number[] }[] = [];

    for (let step = 0; step < 60; step++) {
      const { uids, count, departures } = view;
      checkpoints.push({ modSeq: highest, departures, uids, count, copy: [...uids.subarray(0, count)] });
      const batch: Change[] = [];
      for (let command = next(4); command >= 0; command--) {
        modSeq++;
        switch (next(5)) {
          case 0:
          case 1:
            for (let i = next(next(10) === 0 ? 300 : 4); i >= 0; i--) {
              const row = enter();
              model.push(row);
              batch.push(arrival(modSeq, row.uid, row.flags, row.size, level));
              uidNext = uid + 1;
              highest = modSeq;
            }
            break;
          case 2:
            for (let i = next(6); i >= 0 && model.length > 0; i--) {
              const [row] = model.splice(next(model.length), 1);
              batch.push(line('leave', modSeq, row!.uid, next(2) ? { level } : {}));
              highest = modSeq;
            }
            break;
          case 3:
            for (let i = next(6); i >= 0 && model.length > 0; i--) {
              const row = model[next(model.length)]!;
              row.flags = flags[next(flags.length)]!;
              row.modSeq = modSeq;
              batch.push(line('flags', modSeq, row.uid, { flags: { [level]: row.flags } }));
              highest = modSeq;
            }
            break;
          case 4: // another level's affairs
            if (model.length > 0) {
              const row = model[next(model.length)]!;
              batch.push(line('flags', modSeq, row.uid, { flags: { [other]: 'nonsense' }, level: other }));
              batch.push(line('leave', modSeq, row.uid, { level: other }));
            }
        }
      }
      view.apply(batch);
      if (next(20) === 0) view.apply(batch); // read twice: changes nothing
    }

    t.strictSame(rowsOf(view), model, `round ${round}`);
    t.equal(view.uidNext, uidNext);
    t.equal(view.highestModSeq, highest);
    t.equal(
      view.octets,
      model.reduce((sum, { size }) => sum + size, 0),
    );
    t.equal(view.unseen, model.filter((row) => !row.flags.includes('\\Seen')).length);
    t.ok(told > 0);
    const there = new Set(model.map((row) => row.uid));
    for (const point of checkpoints) {
      t.strictSame([...point.uids.subarray(0, point.count)], point.copy, 'an array once read keeps its contents');
      const left = point.copy.filter((each) => !there.has(each));
      const said = view.leftSince(point.departures)!;
      t.strictSame(
        said.filter((each) => point.copy.includes(each)).sort((a, b) => a - b),
        left,
      );
      t.strictSame(
        view.changedSince(point.modSeq),
        model.filter((row) => row.modSeq > point.modSeq).map((row) => row.uid),
      );
    }
    for (const row of model) t.equal(view.entryIds[view.indexOf(row.uid)], row.uid + 7);
    t.equal(view.indexOf(uidNext), -1);
  }
});

t.test('arrivals within one mod-sequence may come in any order', async (t) => {
  const view = new LoadedView(snapshotOf([], { uidNext: 1, highestModSeq: 1, asOf: 1 }), 'global');
  view.apply([5, 2, 9, 3].map((uid) => arrival(2, uid, '', 10, 'global')));
  t.strictSame([...view.uids.subarray(0, view.count)], [2, 3, 5, 9]);
  t.equal(view.uidNext, 10);
  t.strictSame(view.changedSince(1), [2, 3, 5, 9]);
});

t.test('what is no longer remembered is said to be, or found by looking', async (t) => {
  const rows = Array.from({ length: 70_000 }, (_, i) => ({ uid: i + 1, modSeq: 1, flags: '', size: 1 }));
  const view = new LoadedView(snapshotOf(rows, { uidNext: 70_001, highestModSeq: 1, asOf: 1 }), 'global');
  for (let modSeq = 2; modSeq < 9; modSeq++)
    view.apply(
      rows.slice(0, 10_000).map(({ uid }) => line('flags', modSeq, uid, { flags: { global: `$f${modSeq}` } })),
    );
  t.equal(view.changedSince(1).length, 10_000, 'by looking');
  t.equal(view.changedSince(7).length, 10_000, 'from memory');
  view.apply(rows.map(({ uid }) => line('leave', 9, uid)));
  t.equal(view.count, 0);
  t.equal(view.departures, 70_000);
  t.equal(view.leftSince(0), undefined);
  t.strictSame(view.leftSince(69_998), [69_999, 70_000]);
});

t.test('an arrival costs the same in a large view as in a small one', async (t) => {
  // Counted, not timed: new arrays are made once in many arrivals.
  const rows = Array.from({ length: 100_000 }, (_, i) => ({ uid: i + 1, modSeq: 1, flags: '', size: 1 }));
  const view = new LoadedView(snapshotOf(rows, { uidNext: 100_001, highestModSeq: 1, asOf: 1 }), 'global');
  let made = 0;
  let last = view.uids;
  for (let uid = 100_001; uid <= 120_000; uid++) {
    view.apply([arrival(uid, uid, '', 1, 'global')]);
    if (view.uids !== last) made++;
    last = view.uids;
  }
  t.equal(view.count, 120_000);
  t.ok(made <= 1, `${made} times`);
});

// ------------------------------------------------------------------------------------------------------- feed, views

/** A change log that a test writes, with views that are loaded from what was written. */
function fakeStore() {
  const log: Change[] = [];
  let trimmedTo = 0;
  let reads = 0;
  let loads = 0;
  let ring: () => void = () => {};
  let gate: Promise<void> = Promise.resolve();
  let failing = false;
  const end = () => (log.at(-1)?.modSeq ?? 1) as ModSeq;
  const changes: Changes = {
    async since(since, limit) {
      reads++;
      if (failing) throw new Error('the store is away');
      await gate;
      if (since < trimmedTo) return { changes: [], end: end(), more: false, lost: true };
      const all = log.filter((each) => each.modSeq > since);
      const some = all.slice(0, limit);
      return { changes: some, end: some.at(-1)?.modSeq ?? end(), more: all.length > some.length, lost: false };
    },
    async end() {
      return end();
    },
    watch(callback) {
      ring = callback;
      return () => {
        ring = () => {};
      };
    },
  };
  const load = async (scope: Scope): Promise<ViewSnapshot> => {
    loads++;
    const rows = new Map<number, Row>();
    for (const change of log) {
      if (scope.level === 'recipient' && change.owner !== scope.address) continue;
      if (scope.level === 'domain' && !change.owner.endsWith(`@${scope.domain}`)) continue;
      const { uid, modSeq } = change;
      if (change.kind === 'leave') rows.delete(uid);
      if (change.kind === 'enter') rows.set(uid, { uid, modSeq, flags: change.flags?.[scope.level] ?? '', size: 1 });
    }
    const highest = Math.max(0, ...log.map(({ uid }) => uid));
    const snapshot = snapshotOf([...rows.values()], { uidNext: highest + 1, highestModSeq: end(), asOf: end() });
    await gate; // the answer travels, and others write meanwhile
    return snapshot;
  };
  return {
    changes,
    views: { load, top: async () => ({ uidNext: 1 as Uid, highestModSeq: 1 as ModSeq }), prefixes: async () => [] },
    write: (...lines: Change[]) => log.push(...lines),
    ring: () => ring(),
    trim: () => {
      trimmedTo = end();
    },
    fail: (now: boolean) => {
      failing = now;
    },
    get counts() {
      return { reads, loads };
    },
    hold() {
      let open = () => {};
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return open;
    },
  };
}

const ada = 'ada@harbour.example';
const everything: Scope = { level: 'global' };
const enter = (n: number, owner = ada) => line('enter', n, n, { owner, size: 1, internalDate: n, flags: {} });
const leave = (n: number, uid: number, owner = ada) => line('leave', n, uid, { owner });
const uidsOf = (view: LoadedView) => [...view.uids.subarray(0, view.count)];

t.test('a view is loaded once for everybody, and shows what its scope sees', async (t) => {
  const store = fakeStore();
  store.write(enter(2), enter(3, 'ben@quay.example'), enter(4, ''), enter(5));
  const feed = new Feed(store.changes, silent);
  const views = new Views(store.views, feed);
  t.teardown(() => feed.close());
  const scopes: Scope[] = [
    everything,
    { level: 'domain', domain: 'harbour.example' },
    { level: 'recipient', address: ada },
  ];
  const [all, domain, own] = await Promise.all(scopes.map((scope) => views.acquire(scope, 'caught')));
  const [again] = await Promise.all([views.acquire(everything, 'caught'), views.acquire(everything, 'caught')]);
  t.equal(again, all);
  t.equal(store.counts.loads, 3);
  t.strictSame(
    [all, domain, own].map((view) => uidsOf(view!)),
    [
      [2, 3, 4, 5],
      [2, 5],
      [2, 5],
    ],
  );
  store.write(enter(6, 'eve@harbour.example'), enter(7, ''), enter(8, 'ben@quay.example'), leave(9, 2));
  await feed.refresh();
  t.strictSame(
    [all, domain, own].map((view) => uidsOf(view!)),
    [[3, 4, 5, 6, 7, 8], [5, 6], [5]],
  );
  t.equal(store.counts.loads, 3);
});

t.test('what comes while a view is being loaded is neither missed nor shown twice', async (t) => {
  const store = fakeStore();
  store.write(enter(2));
  const feed = new Feed(store.changes, silent);
  const views = new Views(store.views, feed);
  t.teardown(() => feed.close());
  await feed.start();
  const open = store.hold();
  const loading = views.acquire(everything, 'caught');
  await new Promise(setImmediate); // the snapshot is taken, its answer held
  store.write(enter(3), leave(4, 2));
  const refreshed = feed.refresh();
  open();
  const view = await loading;
  await refreshed;
  t.strictSame(uidsOf(view), [3]);
  t.strictSame([view.uidNext, view.highestModSeq], [4, 4]);

  const later = store.hold();
  const trash = views.acquire(everything, 'trash');
  await new Promise(setImmediate);
  store.write({ ...enter(5), folder: 'trash' }); // after that snapshot, and nobody rings
  const joined = views.acquire(everything, 'trash').then((shared) => uidsOf(shared));
  later();
  await trash;
  t.ok((await joined).includes(5), 'who comes while it is being loaded sees what was there when they came');
});

t.test('however many ask at once, the log is read once for those that came before and once for the rest', async (t) => {
  const store = fakeStore();
  const feed = new Feed(store.changes, silent);
  const views = new Views(store.views, feed);
  t.teardown(() => feed.close());
  const view = await views.acquire(everything, 'caught');
  const before = store.counts.reads;
  const open = store.hold();
  const first = feed.refresh();
  store.write(enter(2));
  const others = Array.from({ length: 100 }, () => feed.refresh());
  open();
  await first;
  await Promise.all(others);
  t.equal(store.counts.reads - before, 2);
  t.strictSame(uidsOf(view), [2]);
  await feed.upTo(2);
  t.equal(store.counts.reads - before, 2, 'nothing to read for what was read');
});

t.test('a ring brings the view up to date; a lost log, too', async (t) => {
  const store = fakeStore();
  store.write(enter(2), enter(3));
  const feed = new Feed(store.changes, silent);
  const views = new Views(store.views, feed);
  t.teardown(() => feed.close());
  const view = await views.acquire(everything, 'caught');
  const told = () =>
    new Promise<void>((resolve) => {
      const listener = () => {
        view.listeners.delete(listener);
        resolve();
      };
      view.listeners.add(listener);
    });
  let changed = told();
  store.write(enter(4));
  store.ring();
  await changed;
  t.strictSame(uidsOf(view), [2, 3, 4]);

  const { departures, uids } = view;
  changed = told();
  store.write(leave(5, 3), enter(6));
  store.trim();
  store.write(enter(7));
  store.ring();
  await changed;
  t.strictSame(uidsOf(view), [2, 4, 6, 7]);
  t.strictSame(view.leftSince(departures), [3]);
  t.strictSame([...uids.subarray(0, 3)], [2, 3, 4], 'who holds the old array sees the old messages');
  store.write(enter(8));
  await feed.refresh();
  t.strictSame(uidsOf(view), [2, 4, 6, 7, 8]);
});

t.test('a failed read is an error for whoever waits, and is made good by the next', async (t) => {
  const store = fakeStore();
  const feed = new Feed(store.changes, silent);
  const views = new Views(store.views, feed);
  t.teardown(() => feed.close());
  const view = await views.acquire(everything, 'caught');
  store.write(enter(2));
  store.fail(true);
  store.ring();
  await t.rejects(feed.refresh(), { message: 'the store is away' });
  store.fail(false);
  await feed.refresh();
  t.strictSame(uidsOf(view), [2]);
});

t.test('views that nobody has open are kept for a while, and not too many', async (t) => {
  const store = fakeStore();
  const feed = new Feed(store.changes, silent);
  const views = new Views(store.views, feed);
  t.teardown(() => {
    feed.close();
    views.close();
  });
  const scope = (n: number): Scope => ({ level: 'recipient', address: `user${n}@harbour.example` });
  const used = await views.acquire(scope(0), 'caught');
  for (let n = 1; n <= 600; n++) {
    await views.acquire(scope(n), 'caught');
    views.release(scope(n), 'caught');
  }
  t.ok(views.size <= 501, `${views.size}`);
  const { loads } = store.counts;
  await views.acquire(scope(600), 'caught');
  t.equal(await views.acquire(scope(0), 'caught'), used);
  t.equal(store.counts.loads, loads);
  await views.acquire(scope(1), 'caught');
  t.equal(store.counts.loads, loads + 1, 'a forgotten one is loaded again');
});
