/** Undo, and what a client is told that lost an answer (DESIGN §7.5). */
import type { Test } from 'tap';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import { domain, everything, held, type OpenHarness, recipient } from './harness.ts';

const allOf = [{ first: 1, last: 2 ** 32 - 1 }];

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);
  await test('within the window a MOVE is taken back: held, a new UID, its jobs cancelled', async (t, {
    store,
    advance,
  }) => {
    const a = await held(store, ada, { flags: ['\\Seen', '\\Flagged', '$x'], prefix: 'X-Lazaret-Id: {id}\r\n' });
    const taken = await d.drop(store, 'release-train', [a.uid], { undoMs: 10_000 });
    const before = await store.changes.end();
    const undone = await d.undo(store, 'release-train', d.to(taken), 'caught');
    const back = (await store.entries.get(a.id))!;
    t.strictSame(undone.pairs, [{ from: d.to(taken)[0], to: back.uid }]);
    t.ok(back.uid! > d.to(taken)[0]!);
    t.equal(back.prefix, a.prefix, 'it shows what it showed');
    t.strictSame(await d.view(store), [`${back.uid} \\Flagged $x`], 'unread');
    t.strictSame(await d.log(store, before), [`enter caught ${back.uid}`]);
    const [line] = (await store.changes.since(before, 10)).changes;
    t.match(line, { flags: { domain: '\\Flagged $x' }, internalDate: a.internalDate.getTime() });
    t.ok(line!.size! > a.prefix.length);
    t.strictSame(await d.jobsOf(store, a.id), ['deliver cancelled', 'train-ham cancelled']);
    advance(20_000);
    t.strictSame(await d.claim(store), [], 'nothing is delivered');
    const once = await d.undo(store, 'release-train', d.to(taken), 'caught');
    t.strictSame([once.pairs, once.refused, once.modSeq], [[], [], 0], 'once more: ignored');
  });

  await test('after the window as well, as long as nobody has begun', async (t, { store, advance }) => {
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const taken = await d.drop(store, 'release', [a.uid, b.uid, c.uid], { undoMs: 10_000 });
    advance(60_000);
    const jobs = await d.claim(store, ['deliver'], 2);
    t.strictSame(
      jobs.map((job) => job.entryId),
      [a.id, b.id],
    );
    await store.jobs.finish(jobs[0]!, d.done());
    const undone = await d.undo(store, 'release', d.to(taken));
    t.strictSame(
      undone.refused,
      d
        .to(taken)
        .slice(0, 2)
        .map((uid) => ({ uid, reason: 'on-its-way' })),
      'delivered, and being delivered',
    );
    t.strictSame(undone.left, [d.to(taken)[2]]);
    t.equal(await d.stands(store, c.id), 'held caught caught');
    await store.jobs.finish(jobs[1]!, d.later(1000));
    t.equal((await d.undo(store, 'release', d.to(taken))).pairs.length, 1, 'put off: it can be undone again');
    t.equal(await d.stands(store, b.id), 'held caught caught');
    advance(2000);
    t.strictSame(await d.claim(store), []);
  });

  await test('a COPY: the old UID ends, the entry has a new one', async (t, { store }) => {
    const a = await held(store, ada);
    const taken = await d.drop(store, 'release', [a.uid], { mode: 'copy', undoMs: 10_000 });
    const before = await store.changes.end();
    const undone = await d.undo(store, 'release', d.to(taken));
    const [uid] = d.to(undone);
    t.strictSame(await d.view(store), [`${uid}`]);
    t.strictSame(await d.log(store, before), [`leave caught ${a.uid}`, `enter caught ${uid}`]);
  });

  await test('Spam and Not Spam: out of Trash again, or without $Trained', async (t, { store, advance }) => {
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const moved = await d.drop(store, 'spam', [a.uid], { undoMs: 10_000 });
    const copied = await d.drop(store, 'not-spam', [b.uid], { mode: 'copy', undoMs: 10_000 });
    t.equal((await d.undo(store, 'spam', d.to(moved), 'caught')).pairs.length, 1);
    t.equal((await d.undo(store, 'not-spam', d.to(copied), 'caught')).pairs.length, 1);
    t.strictSame(await d.view(store, 'trash'), []);
    const uids = await Promise.all([a, b].map(async (entry) => (await store.entries.get(entry.id))?.uid));
    t.strictSame(await d.view(store), [`${c.uid}`, ...uids.map(String)], 'unmarked');
    advance(10_001);
    t.strictSame(await d.claim(store), []);
    const late = await d.drop(store, 'spam', [c.uid]);
    await d.run(store, d.done());
    t.strictSame((await d.undo(store, 'spam', d.to(late))).refused, [{ uid: d.to(late)[0], reason: 'on-its-way' }]);
    t.equal(await d.stands(store, c.id), 'trained trash trash');
  });

  await test('a drop of something in Trash goes back into Trash', async (t, { store }) => {
    const a = await held(store, ada);
    const trash = await d.drop(store, 'discard', [a.uid]);
    const spam = await d.drop(store, 'spam', d.to(trash), { folder: 'trash', undoMs: 10_000 });
    t.equal((await d.undo(store, 'spam', d.to(spam), 'caught')).pairs.length, 0, 'it did not come from Caught');
    const undone = await d.undo(store, 'spam', d.to(spam), 'trash');
    t.strictSame(await d.view(store, 'trash'), [`${d.to(undone)[0]}`]);
    t.equal(await d.stands(store, a.id), 'discarded trash trash');
  });

  await test('a training that took the place of another gives it back: what it was, and what is learned', async (t, {
    store,
    advance,
  }) => {
    const how = { undoMs: 10_000 };
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const inTrash = async (entry: typeof a) => [(await store.entries.get(entry.id))!.uid!];
    // Out of Trash onto the other one: its Spam, still waiting to be learned, gives way, and comes back.
    await d.drop(store, 'spam', [a.uid], how);
    const first = await d.drop(store, 'not-spam', await inTrash(a), { ...how, folder: 'trash' });
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-ham ready']);
    await d.undo(store, 'not-spam', d.to(first), 'trash');
    t.equal(await d.stands(store, a.id), 'trained trash trash', 'trained, as it was');
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam ready', 'train-ham cancelled']);
    // The same with a copy.
    const spam = await d.drop(store, 'spam', [b.uid], { ...how, mode: 'copy' });
    const ham = await d.drop(store, 'not-spam', [b.uid], { ...how, mode: 'copy' });
    await d.undo(store, 'not-spam', d.to(ham), 'caught');
    t.match((await d.view(store)).join(), /^\d+,\d+ \$Trained$/, 'a trained copy, as it was');
    t.strictSame(await d.jobsOf(store, b.id), ['train-spam ready', 'train-ham cancelled']);
    // And what came back can itself be taken back.
    t.equal((await d.undo(store, 'spam', d.to(spam), 'caught')).pairs.length, 1);
    t.strictSame(await d.jobsOf(store, b.id), ['train-spam cancelled', 'train-ham cancelled']);
    t.notMatch((await d.view(store)).join(), /Trained/);
    // One that is just being learned: once more, but not before its lease is over.
    await d.drop(store, 'spam', [c.uid]);
    const [leased] = await d.claim(store, ['train-spam'], 1, 60_000);
    t.equal(leased?.entryId, c.id);
    const late = await d.drop(store, 'not-spam', await inTrash(c), { ...how, folder: 'trash' });
    await d.undo(store, 'not-spam', d.to(late));
    await t.rejects(store.jobs.finish(leased!, d.done()), { name: 'LeaseLost' });
    advance(30_000);
    t.strictSame(await d.run(store, d.done()), [`train-spam ${a.id}`]);
    advance(31_000);
    t.strictSame(await d.run(store, d.done()), [`train-spam ${c.id}`]);
  });

  await test('given back to a drop that was sealed, or is rolled back, since', async (t, { store, advance }) => {
    for (const ends of ['sealed', 'rolled back'] as const) {
      const [a, b] = [await held(store, ada), await held(store, ada)];
      const spam = d.begin(store, 'spam', { mode: ends === 'sealed' ? 'move' : 'copy' });
      await store.drops.take(spam, [a.uid], { last: false });
      const folder = ends === 'sealed' ? 'trash' : 'caught';
      const ham = await d.drop(store, 'not-spam', [(await store.entries.get(a.id))!.uid!], {
        folder,
        mode: 'copy',
        undoMs: 10_000,
      });
      if (ends === 'sealed') {
        await store.drops.take(spam, [b.uid], { last: true });
        advance(1);
        await d.housekeep(store); // makes its jobs claimable; the one of `a` is cancelled just now
        await d.undo(store, 'not-spam', d.to(ham));
        t.strictSame((await d.run(store, d.done())).sort(), [`train-spam ${a.id}`, `train-spam ${b.id}`]);
      } else {
        await d.undo(store, 'not-spam', d.to(ham));
        t.match((await d.view(store)).join(), /\$Trained/);
        await store.drops.rollBack(spam);
        t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-ham cancelled']);
        t.notMatch((await d.view(store)).join(), /\$Trained/);
      }
    }
  });

  await test('only the account’s own drops, in the folder they lie in, back to where they came from', async (t, {
    store,
  }) => {
    const a = await held(store, ada);
    const taken = await d.drop(store, 'release', [a.uid], { undoMs: 10_000 });
    const uids = d.to(taken);
    const ignored = [
      await d.undo(store, 'release', uids, 'caught', ben),
      await d.undo(store, 'release', uids, 'caught', 'global'),
      await d.undo(store, 'release', uids, 'outgoing'),
      await d.undo(store, 'spam', uids),
      await d.undo(store, 'release-train', uids),
      await d.undo(store, 'caught', [a.uid]),
      await d.undo(store, 'trash', [a.uid]),
      await d.undo(store, 'release', [a.uid, 999_999]),
      await store.drops.undo(d.by(ada), domain('quay.example'), 'release', allOf),
    ];
    for (const answer of ignored) t.strictSame([answer.pairs, answer.refused, answer.modSeq], [[], [], 0]);
    t.equal(await d.stands(store, a.id), 'dropped none -');
    t.equal((await store.drops.undo(d.by(ada), recipient(ada), 'release', allOf)).pairs.length, 1, '1:*');
  });

  await test('a drop that is not sealed yet can be undone, and is not rolled back over it', async (t, {
    store,
    advance,
  }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    const copy = d.begin(store, 'release', { mode: 'copy' });
    const taken = await store.drops.take(copy, [a.uid, b.uid], { last: false });
    await d.undo(store, 'release', [d.to(taken)[0]!]);
    const again = await d.drop(store, 'release', [(await store.entries.get(a.id))!.uid!]);
    await store.drops.rollBack(copy);
    t.equal(await d.stands(store, a.id), 'dropped none -', 'what was dropped anew stays dropped');
    t.equal(await d.stands(store, b.id), 'held caught caught');
    advance(1);
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`]);
    t.equal(again.pairs.length, 1);
  });

  await test('a MOVE repeated after its undo does nothing', async (t, { store }) => {
    const a = await held(store, ada);
    const first = await d.drop(store, 'release', [a.uid], { undoMs: 10_000 });
    await d.undo(store, 'release', d.to(first));
    const repeated = await d.drop(store, 'release', [a.uid], { undoMs: 10_000 });
    t.strictSame([repeated.pairs, repeated.refused, repeated.unknown], [[], [], [a.uid]]);
    t.equal(await d.stands(store, a.id), 'held caught caught');
    t.strictSame(await store.drops.earlierPairs(d.by(), recipient(ada), 'caught', 'release', allOf), []);
  });

  await test('earlier pairs: for a client that lost the answer of its MOVE', async (t, { store }) => {
    const entries = [];
    for (let i = 0; i < 5; i += 1) entries.push(await held(store, ada));
    const [a, b, c, e, f] = entries.map((entry) => entry.uid) as [never, never, never, never, never];
    const ask = (action: 'release' | 'spam' | 'discard', account = ada, folder: 'caught' | 'trash' = 'caught') =>
      store.drops.earlierPairs(d.by(account), account === 'global' ? everything : recipient(account), folder, action, [
        { first: a, last: f },
      ]);
    const released = await d.drop(store, 'release', [a, b], { undoMs: 10_000 });
    const spam = await d.drop(store, 'spam', [c], { undoMs: 10_000 });
    const trash = await d.drop(store, 'discard', [e]);
    await d.drop(store, 'release', [f]);
    await d.run(store, d.done());
    t.strictSame(await ask('release'), released.pairs, 'what can still be undone: not the delivered one');
    t.strictSame(await ask('spam'), spam.pairs);
    t.strictSame(await ask('discard'), trash.pairs);
    t.strictSame(await ask('release', 'global'), [], 'of this account only');
    t.strictSame(await ask('release', ada, 'trash'), [], 'out of this folder only');
    const wide = await store.drops.earlierPairs(d.by(), recipient(ada), 'caught', 'release', allOf);
    t.strictSame(wide, released.pairs, '1:*');
    await d.drop(store, 'restore', d.to(trash), { folder: 'trash', restoreTo: 'caught' });
    t.strictSame(await ask('discard'), [], 'restored: over');
  });

  await test('undo and a worker meet: one of them wins', async (t, { store, again }) => {
    const other = await again();
    const entries = [];
    for (let i = 0; i < 20; i += 1) entries.push(await held(store, ada, { text: `Number ${i}.` }));
    const taken = await d.drop(
      store,
      'release',
      entries.map((entry) => entry.uid),
    );
    const [jobs, ...undone] = await Promise.all([
      d.claim(other, ['deliver'], 10),
      ...d.to(taken).map((uid) => d.undo(store, 'release', [uid])),
    ]);
    const pairs = undone.flatMap((answer) => answer.pairs).length;
    const refused = undone.flatMap((answer) => answer.refused).length;
    t.equal(pairs + refused, 20);
    t.equal(refused, jobs.length, 'what was claimed goes on');
    for (const job of jobs) await other.jobs.finish(job, d.done());
    t.equal((await d.view(store)).length, pairs);
  });
}
