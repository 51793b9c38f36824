/** Drops of many messages: in chunks, in part, at once with others, and broken off between two chunks (DESIGN §7.5). */
import t from 'tap';
import type { Targets } from '#imap/backend';
import { StoreBusy } from '#store/errors';
import type { OpenDrop } from '#store/port';
import { ada, answerOf, buildHouse, bySequence, flagsOf, type Held, quiet, uidsOf } from '../mailbox/house.ts';

t.test('5,000 at once, in one command', async (t) => {
  const house = await buildHouse(t);
  const held: Held[] = [];
  for (let i = 0; i < 10; i++) held.push(...(await Promise.all(Array.from({ length: 500 }, () => house.hold()))));
  const all = held.map(({ uid }) => uid).sort((a, b) => a - b);
  const from = await house.open(ada, 'Caught');
  const watcher = await house.open('global', 'Caught');
  t.equal(from.view.count, 5000);
  const said: string[] = [];
  const began = process.hrtime.bigint();
  const moved = await from.move(byUidOfAll(all), 'Release & Train', (sentence) => said.push(sentence));
  t.comment(`${Number(process.hrtime.bigint() - began) / 1e6} ms`);
  t.strictSame(moved.left, all);
  t.strictSame(moved.copyUid?.from, all);
  t.equal(new Set(moved.copyUid?.to).size, 5000);
  t.strictSame(
    said,
    [1, 2, 3, 4].map((n) => `${n}000 of 5000 messages are done`),
  );
  t.equal(from.view.count, 0);
  await watcher.refresh();
  t.equal(watcher.view.count, 0);
  t.equal((await house.store.jobs.counts()).ready, 10_000);
  t.match(house.events.at(-1), { kind: 'dropped', account: ada, action: 'release-train', count: 5000 });

  const there = await house.open(ada, 'Release & Train');
  const undone = await there.move({ uids: [], ranges: [{ first: 1, last: 4_294_967_295 }] }, 'Caught', quiet);
  t.equal(undone.copyUid?.to.length, 5000, 'and all back');
  t.equal(from.view.count, 5000);

  const copied = await from.copy(bySequence(...uidsOf(from)), 'Spam', quiet);
  t.equal(copied.copyUid?.to.length, 5000, 'copied');
  t.equal(from.view.count, 5000);
});

const byUidOfAll = (uids: readonly number[]): Targets => ({
  uids,
  ranges: [{ first: uids[0]!, last: uids.at(-1)! }],
});

t.test('a store that fails between the chunks of a drop', async (t) => {
  const house = await buildHouse(t);
  const held: Held[] = [];
  for (let i = 0; i < 3; i++) held.push(...(await Promise.all(Array.from({ length: 400 }, () => house.hold()))));
  const all = held.map(({ uid }) => uid).sort((a, b) => a - b);
  const from = await house.open(ada, 'Caught');
  const ready = async () => (await house.store.jobs.counts()).ready;
  /** Before the chunk with this number something happens to the store, or to the drop. */
  const before = (chunk: number, happens: (drop: OpenDrop) => Promise<void>) => {
    const { take } = house.store.drops;
    let taken = 0;
    return t.intercept(house.store.drops, 'take', {
      value: async (...args: Parameters<typeof take>) => {
        if (++taken === chunk) await happens(args[0]);
        return take(...args);
      },
    });
  };
  const fails = async () => {
    throw new StoreBusy('Somebody else writes');
  };

  let broken = before(2, fails);
  const copied = await from.copy(bySequence(...all), 'Release', quiet).catch((error: unknown) => error);
  broken.restore();
  t.match(copied, { name: 'StoreBusy', temporary: true }, 'a COPY is refused');
  t.strictSame(uidsOf(from), all, 'and has done nothing: RFC 3501 §6.4.7');
  t.ok(all.every((uid) => flagsOf(from, uid) === ''));
  t.equal(await ready(), 0);

  broken = before(1, fails);
  t.match(await from.move(byUidOfAll(all), 'Release', quiet).catch((error: unknown) => error), { name: 'StoreBusy' });
  broken.restore();
  t.strictSame(uidsOf(from), all, 'a MOVE that did not begin is refused, too');

  // It took so long that somebody else ended the drop (DESIGN §7.5): a COPY is rolled back, a MOVE sealed with what it has.
  const takenOver = async () => {
    house.advance(31_000);
    while ((await house.store.housekeep()).more);
  };
  broken = before(2, takenOver);
  const late = await answerOf(from.copy(bySequence(...all), 'Spam', quiet));
  broken.restore();
  t.match(late, { code: 'UNAVAILABLE', message: 'It took too long, so nothing was done. Please try again' });
  t.strictSame(uidsOf(from), all);
  t.ok(all.every((uid) => flagsOf(from, uid) === ''));
  t.equal(await ready(), 0);

  broken = before(2, fails);
  const moved = await from.move(byUidOfAll(all.slice(0, 1_100)), 'Release', quiet);
  broken.restore();
  t.match(moved.refusal, {
    code: 'UNAVAILABLE',
    message: 'Only 1000 of 1100 messages are done, please try the others again',
  });
  t.strictSame(moved.left, all.slice(0, 1_000), 'what was done is said');
  t.strictSame(moved.copyUid?.from, moved.left);
  t.strictSame(uidsOf(from), all.slice(1_000));
  house.advance(10_000);
  t.equal(await house.work(['deliver'], () => ({ kind: 'done', said: '250 ok', leaveAfterMs: 0 })), 1_000, 'sealed');
});

t.test('a MOVE whose drop was ended by somebody else goes on with another', async (t) => {
  const house = await buildHouse(t);
  const held: Held[] = [];
  for (let i = 0; i < 3; i++) held.push(...(await Promise.all(Array.from({ length: 400 }, () => house.hold()))));
  const all = held.map(({ uid }) => uid).sort((a, b) => a - b);
  const from = await house.open(ada, 'Caught');
  const { take } = house.store.drops;
  let chunks = 0;
  t.intercept(house.store.drops, 'take', {
    value: async (...args: Parameters<typeof take>) => {
      if (++chunks === 2) {
        house.advance(31_000);
        while ((await house.store.housekeep()).more);
      }
      return take(...args);
    },
  });
  const moved = await from.move(byUidOfAll(all), 'Release', quiet);
  t.equal(moved.refusal, undefined);
  t.strictSame(moved.left, all);
  house.advance(10_000);
  t.equal(await house.work(['deliver'], () => ({ kind: 'done', said: '250 ok', leaveAfterMs: 0 })), 1_200);
  const drops = new Set(await Promise.all(held.map(async ({ id }) => (await house.entry(id)).dropId)));
  t.equal(drops.size, 2);
});

t.test('half of the set already gone', async (t) => {
  const house = await buildHouse(t);
  const held = await Promise.all(Array.from({ length: 10 }, () => house.hold()));
  const uids = held.map(({ uid }) => uid).sort((a, b) => a - b);
  const mine = await house.open(ada, 'Caught');
  const theirs = await house.open('global', 'Caught');
  await theirs.move(bySequence(...uids.slice(0, 3)), 'Trash', quiet);
  await theirs.move(bySequence(...uids.slice(3, 5)), 'Release', quiet);

  const copied = await answerOf(mine.copy(bySequence(...uids), 'Spam', quiet));
  t.match(copied, {
    code: 'EXPUNGEISSUED',
    message: '2 of 10 were already released elsewhere, 3 of 10 were already discarded elsewhere, so nothing was done',
  });
  for (const { id } of held) t.not((await house.entry(id)).state, 'trained');
  t.equal((await house.store.jobs.counts()).ready, 2, 'a COPY does all or nothing');

  const moved = await mine.move(bySequence(...uids), 'Release', quiet);
  t.match(moved.refusal, { code: 'EXPUNGEISSUED', message: '3 of 10 were already discarded elsewhere' });
  t.strictSame(moved.copyUid?.from, uids.slice(3), 'those on their way by the same action are done, too');
  t.equal((await house.store.jobs.counts()).ready, 7);
  t.strictSame(uidsOf(mine), []);
});

t.test('two sessions drop the same messages at once, on different folders', async (t) => {
  const house = await buildHouse(t);
  const held = await Promise.all(Array.from({ length: 300 }, () => house.hold()));
  const uids = held.map(({ uid }) => uid).sort((a, b) => a - b);
  const one = await house.open(ada, 'Caught');
  const two = await house.open('harbour.example', 'Caught');
  const three = await house.open('global', 'Caught');
  const answers = await Promise.all([
    ...[0, 100, 200].map((at) => one.move(bySequence(...uids.slice(at, at + 100)), 'Release', quiet)),
    ...[100, 0, 200].map((at) => two.move(bySequence(...uids.slice(at, at + 100)), 'Spam', quiet)),
    ...[200, 100, 0].map((at) => three.move(bySequence(...uids.slice(at, at + 100)), 'Trash', quiet)),
  ]);
  const taken = answers.flatMap(({ copyUid }) => copyUid?.from ?? []);
  t.strictSame(
    taken.sort((a, b) => a - b),
    uids,
    'each was taken once',
  );
  for (const answer of answers)
    if ((answer.copyUid?.from.length ?? 0) < 100)
      t.match(answer.refusal, { code: 'EXPUNGEISSUED', message: / of 100 / });
  for (const mailbox of [one, two, three]) {
    await mailbox.refresh();
    t.strictSame(uidsOf(mailbox), []);
  }
  for (const { id } of held) t.ok((await house.jobs(id)).length <= 1);
});
