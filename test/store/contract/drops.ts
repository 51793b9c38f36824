/** Drops: what is taken, what is told, sealing and chunks (DESIGN §7.3, §7.5). */
import type { Test } from 'tap';
import { LeaseLost } from '#store/errors';
import type { Uid } from '#store/model';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import { domain, everything, held, type OpenHarness, recipient } from './harness.ts';

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);
  await test('a MOVE onto Release leaves every view, tells everybody and queues a delivery', async (t, { store }) => {
    const a = await held(store, ada);
    const b = await held(store, ada, { text: 'Another.' });
    const before = await store.changes.end();
    const taken = await d.drop(store, 'release', [a.uid, b.uid]);
    t.strictSame(d.from(taken), [a.uid, b.uid]);
    t.strictSame(taken.left, [a.uid, b.uid]);
    t.ok(d.to(taken)[0]! > b.uid && d.to(taken)[1]! > d.to(taken)[0]!, 'new UIDs, in the order of their sources');
    t.strictSame([taken.refused, taken.unknown], [[], []]);
    t.equal(taken.modSeq, await store.changes.end());
    for (const scope of d.scopes) t.strictSame(await d.view(store, 'caught', scope), [], scope.level);
    t.equal(await d.stands(store, a.id), 'dropped none -');
    t.strictSame(await d.jobsOf(store, a.id), ['deliver ready']);
    const lines = await d.log(store, before);
    t.strictSame(lines.slice(0, 2), [`leave caught ${a.uid}`, `leave caught ${b.uid}`]);
    t.ok(lines.includes(`drop release ${d.to(taken)[1]}`));
    const [line] = (await store.changes.since(before, 100)).changes.filter((change) => change.kind === 'drop');
    t.equal(line?.account, ada);
    for (const scope of d.scopes)
      t.equal(
        (await store.views.top(scope, 'release')).uidNext,
        d.to(taken)[1]! + 1,
        `UIDNEXT of Release: ${scope.level}`,
      );
    t.equal((await store.entries.byUid(d.to(taken)[0]!))?.id, a.id, 'the UID in the action folder names the entry');
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`, `deliver ${b.id}`]);
    t.equal(await d.stands(store, a.id), 'released none -');
    const history = await store.entries.history(a.id);
    t.match(history, { drops: [{ action: 'release', mode: 'move', actor: { account: ada, via: 'test' } }] });
    t.match(history?.stays, [
      { folder: 'caught', endedAt: Date },
      { folder: 'release', endedAt: Date },
    ]);
  });

  await test('what was released is delivered once more only when that is asked for', async (t, { store }) => {
    const a = await held(store, ada);
    const first = await d.drop(store, 'release', [a.uid]);
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`]);
    t.strictSame(d.to(await d.drop(store, 'release', [a.uid])), d.to(first), 'the same drop again: the same pair');
    t.strictSame(await d.run(store, d.done()), [], 'and nothing to do');
    const again = await d.drop(store, 'release', [a.uid], { again: true });
    t.ok(d.to(again)[0]! > d.to(first)[0]!, 'a drop of its own');
    t.equal(await d.stands(store, a.id), 'dropped none -');
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`]);
    t.equal(await d.stands(store, a.id), 'released none -');
    const stranger = await d.drop(store, 'release', [a.uid], { again: true, account: ben });
    t.strictSame(stranger.unknown, [a.uid], 'nobody else can');
    const held2 = await held(store, ada, { text: 'Held.' });
    await d.drop(store, 'release', [held2.uid], { again: true });
    t.strictSame(await d.run(store, d.done()), [`deliver ${held2.id}`], 'what is held goes as ever');
  });

  await test('Release & Train queues both steps, Spam and Not Spam one, and these lie in Trash afterwards', async (t, {
    store,
  }) => {
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    await d.drop(store, 'release-train', [a.uid]);
    const spam = await d.drop(store, 'spam', [b.uid]);
    await d.drop(store, 'not-spam', [c.uid]);
    t.strictSame(await d.jobsOf(store, a.id), ['deliver ready', 'train-ham ready']);
    t.strictSame(await d.jobsOf(store, b.id), ['train-spam ready']);
    t.strictSame(await d.jobsOf(store, c.id), ['train-ham ready']);
    t.equal(await d.stands(store, b.id), 'trained trash trash');
    t.not((await store.entries.get(b.id))?.uid, d.to(spam)[0], 'the UID in Spam and the one in Trash are two');
    t.equal((await d.view(store, 'trash')).length, 2);
    t.strictSame(await d.view(store), []);
  });

  await test('a COPY stays, says so at all levels, and leaves some time after the delivery', async (t, {
    store,
    advance,
    now,
  }) => {
    const a = await held(store, ada, { flags: ['\\Seen'] });
    const before = await store.changes.end();
    const taken = await d.drop(store, 'release', [a.uid], { mode: 'copy' });
    t.strictSame([d.from(taken), taken.left], [[a.uid], []]);
    for (const scope of d.scopes) {
      t.strictSame(await d.view(store, 'caught', scope), [`${a.uid} \\Seen $Releasing`], scope.level);
      t.equal((await store.views.load(scope, 'caught')).modSeqs[0], taken.modSeq, 'with a new mod-sequence');
    }
    t.equal((await d.log(store, before))[0], `flags caught ${a.uid}`);
    t.equal(await d.stands(store, a.id), 'dropped caught caught');
    await d.run(store, d.done(60_000));
    t.equal(await d.stands(store, a.id), 'released caught caught');
    const due = await d.housekeep(store);
    t.ok(due && due.getTime() > now(), 'known to be due');
    t.equal((await d.view(store)).length, 1, 'not yet');
    advance(60_001);
    await d.housekeep(store);
    t.strictSame(await d.view(store), []);
    t.equal(await d.stands(store, a.id), 'released none -');
    t.equal((await d.log(store, before)).at(-1), `leave caught ${a.uid}`);
  });

  await test('a COPY onto Spam stays as trained; EXPUNGE then does what the MOVE would have done', async (t, {
    store,
  }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    const taken = await d.drop(store, 'spam', [a.uid, b.uid], { mode: 'copy' });
    t.strictSame(await d.view(store), [`${a.uid} $Trained`, `${b.uid} $Trained`]);
    t.equal(await d.stands(store, a.id), 'held caught caught');
    await store.entries.expunge({ scope: recipient(ada), folder: 'caught', uids: [a.uid] }, d.by());
    t.equal(await d.stands(store, a.id), 'trained trash trash');
    const moved = await d.drop(store, 'spam', [a.uid, b.uid]);
    t.strictSame(moved.pairs, taken.pairs, 'the same pairs, gone or not');
    t.strictSame(moved.left, [b.uid]);
    t.equal(await d.stands(store, b.id), 'trained trash trash');
    t.strictSame(await d.jobsOf(store, b.id), ['train-spam ready'], 'trained once');
  });

  await test('COPY, \\Deleted, EXPUNGE: the deletion only takes the source out of view', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid], { mode: 'copy' });
    const stays = { scope: recipient(ada), folder: 'caught', uids: [a.uid] } as const;
    await store.entries.setFlags(stays, { op: 'add', flags: ['\\Deleted'] });
    t.strictSame((await store.entries.expunge(stays, d.by())).left, [a.uid]);
    t.equal(await d.stands(store, a.id), 'dropped none -');
    t.strictSame(await d.view(store, 'trash'), []);
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`]);
    t.equal(await d.stands(store, a.id), 'released none -');
    t.strictSame((await store.entries.expunge(stays, d.by())).left, [], 'once more: nothing');

    // It fails, or is undone, before the client gets to its EXPUNGE: what came back is another UID, and not deleted.
    for (const ends of ['failed', 'undone'] as const) {
      const b = await held(store, ada);
      const copied = await d.drop(store, 'release', [b.uid], { mode: 'copy' });
      const old = { ...stays, uids: [b.uid] };
      await store.entries.setFlags(old, { op: 'add', flags: ['\\Deleted', '$x'] });
      if (ends === 'failed') await d.run(store, d.failed);
      else await d.undo(store, 'release', d.to(copied));
      t.strictSame((await store.entries.expunge(old, d.by())).left, [], ends);
      t.equal(await d.stands(store, b.id), 'held caught caught', `${ends}: nothing is discarded`);
      t.notMatch((await d.view(store)).join(), /Deleted/);
    }
  });

  await test('a repeated drop answers the same pairs and queues nothing twice', async (t, { store, again }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    for (const mode of ['move', 'copy'] as const) {
      const entry = mode === 'move' ? a : b;
      const open1 = d.begin(store, 'release', { mode });
      const first = await store.drops.take(open1, [entry.uid], { last: true });
      const same = await store.drops.take(open1, [entry.uid], { last: true });
      t.strictSame(same.pairs, first.pairs, `${mode}: the same chunk again`);
      const other = await d.drop(await again(), 'release', [entry.uid], { mode });
      t.strictSame(other.pairs, first.pairs, `${mode}: by another connection and process`);
      t.strictSame(other.refused, []);
      t.strictSame(await d.jobsOf(store, entry.id), ['deliver ready'], mode);
    }
    t.equal((await d.run(store, d.done())).length, 2);
    t.equal((await d.drop(store, 'release', [a.uid])).pairs.length, 1, 'also when it is done');
    t.equal((await d.drop(store, 'release', [b.uid])).left.length, 1, 'a MOVE of the copy then takes it out of view');
    t.strictSame(await d.run(store, d.done()), []);
  });

  await test('half of a set is gone: a MOVE does the rest and says why', async (t, { store }) => {
    const [a, b, c, e] = [
      await held(store, ada),
      await held(store, ada),
      await held(store, ada),
      await held(store, ada),
    ];
    await d.drop(store, 'discard', [a.uid]);
    await d.drop(store, 'spam', [b.uid], { account: 'global', scope: everything });
    await d.drop(store, 'release-train', [c.uid]);
    const never = (e.uid + 1000) as Uid;
    const taken = await d.drop(store, 'release', [a.uid, b.uid, c.uid, e.uid, never]);
    t.strictSame(taken.refused, [
      { uid: a.uid, reason: 'discarded' },
      { uid: b.uid, reason: 'trained' },
      { uid: c.uid, reason: 'released' },
    ]);
    t.strictSame([d.from(taken), taken.left, taken.unknown], [[e.uid], [e.uid], [never]]);
  });

  await test('a COPY is all or nothing', async (t, { store }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    await d.drop(store, 'discard', [a.uid]);
    const before = await store.changes.end();
    for (const action of ['release', 'spam'] as const) {
      const taken = await d.drop(store, action, [a.uid, b.uid], { mode: 'copy' });
      t.strictSame([taken.pairs, taken.left, taken.modSeq], [[], [], 0], action);
      t.strictSame(taken.refused, [{ uid: a.uid, reason: 'discarded' }]);
      const unknown = await d.drop(store, action, [b.uid, 999_999 as Uid], { mode: 'copy' });
      t.strictSame([unknown.pairs, unknown.refused, unknown.unknown], [[], [], [999_999]]);
    }
    t.equal(await store.changes.end(), before, 'nothing changed');
    t.equal(await d.stands(store, b.id), 'held caught caught');
    t.equal((await store.jobs.counts()).ready, 0);
    t.equal((await store.entries.history(b.id))?.drops.length, 0, 'a drop that took nothing left nothing');
  });

  await test('another scope’s UID is as if it had never existed', async (t, { store }) => {
    const a = await held(store, ada);
    const none = await held(store, '', { recipient: ada });
    const strangers = [recipient(ben), domain('quay.example')];
    for (const scope of strangers)
      for (const mode of ['move', 'copy'] as const) {
        const taken = await d.drop(store, 'release', [a.uid, none.uid], { scope, mode });
        t.strictSame([taken.pairs, taken.left, taken.refused, taken.unknown], [[], [], [], [a.uid, none.uid]]);
      }
    await d.drop(store, 'release', [a.uid]);
    for (const scope of strangers)
      t.strictSame((await d.drop(store, 'spam', [a.uid], { scope })).unknown, [a.uid], 'also when it is gone');
    t.strictSame(
      (await d.drop(store, 'spam', [a.uid], { folder: 'training' })).unknown,
      [a.uid],
      'or in another folder',
    );
    t.equal((await d.drop(store, 'release', [none.uid], { scope: everything })).pairs.length, 1);
  });

  await test('policy: requests are not released, and mail for nobody is not delivered', async (t, { store }) => {
    const request = await held(store, ada, { class: 'training' });
    const nobody = await held(store, '', { recipient: '' });
    const asked = await d.drop(store, 'release', [request.uid], { folder: 'training' });
    t.strictSame(asked.refused, [{ uid: request.uid, reason: 'not-allowed' }]);
    const blind = await d.drop(store, 'release', [nobody.uid], { account: 'global' });
    t.strictSame(blind.refused, [{ uid: nobody.uid, reason: 'no-recipient' }]);
    t.equal((await d.drop(store, 'spam', [request.uid], { folder: 'training' })).pairs.length, 1);
    t.equal((await d.drop(store, 'spam', [nobody.uid], { account: 'global' })).pairs.length, 1);
  });

  await test('a copy on its way: only the same action, and out of view', async (t, { store }) => {
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const uids = [a.uid, b.uid, c.uid];
    const copied = await d.drop(store, 'release', uids, { mode: 'copy' });
    for (const action of ['spam', 'not-spam', 'release-train'] as const)
      t.strictSame((await d.drop(store, action, [a.uid])).refused, [{ uid: a.uid, reason: 'released' }], action);
    const moved = await d.drop(store, 'release', [a.uid]);
    t.strictSame([moved.pairs, moved.left], [copied.pairs.slice(0, 1), [a.uid]]);
    const trash = await d.drop(store, 'discard', [b.uid]);
    t.strictSame([trash.pairs, trash.left, trash.refused], [[], [b.uid], []]);
    t.strictSame(await d.view(store, 'trash'), [], 'it is not discarded');
    t.equal((await d.run(store, d.done())).length, 3, 'and all are delivered');
    t.strictSame((await d.drop(store, 'discard', [c.uid], { mode: 'copy' })).left, [c.uid], 'delivered: the same');
    t.strictSame(await d.view(store), []);
  });

  await test('two clients drop the same mail at once: each entry goes one way, the other is told', async (t, {
    store,
    again,
  }) => {
    const other = await again();
    const entries = [];
    for (let i = 0; i < 30; i += 1) entries.push(await held(store, ada, { text: `Number ${i}.` }));
    const uids = entries.map((entry) => entry.uid);
    const halves = [uids.slice(0, 10), uids.slice(10, 20), uids.slice(20)];
    const [released, spam] = await Promise.all([
      Promise.all(halves.map((half) => d.drop(store, 'release', half))),
      Promise.all(halves.map((half) => d.drop(other, 'spam', half, { account: 'global' }))),
    ]);
    const one = released.flatMap(d.from);
    const two = spam.flatMap(d.from);
    t.strictSame(
      [...one, ...two].sort((x, y) => x - y),
      uids,
      'each of them once',
    );
    t.strictSame(
      released.flatMap((taken) => taken.refused),
      two.sort((x, y) => x - y).map((uid) => ({ uid, reason: 'trained' })),
    );
    t.equal(spam.flatMap((taken) => taken.refused).length, one.length);
    const jobs = await d.claim(store);
    t.equal(jobs.filter((job) => job.step === 'deliver').length, one.length);
    t.equal(jobs.length, uids.length);
  });

  await test('the undo window holds for all jobs, by the store’s clock', async (t, { store, advance, now }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    await d.drop(store, 'release-train', [a.uid], { undoMs: 10_000 });
    await d.drop(store, 'spam', [b.uid], { undoMs: 10_000 });
    t.strictSame(await d.claim(store), []);
    const due = await d.housekeep(store);
    t.ok(due && due.getTime() > now() + 5_000 && due.getTime() <= now() + 10_000);
    advance(10_001);
    t.equal((await d.claim(store)).length, 3);
  });

  await test('a drop in chunks can be claimed when it is sealed and its window has passed', async (t, {
    store,
    advance,
  }) => {
    const entries = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const open1 = d.begin(store, 'release', { undoMs: 5_000 });
    for (const entry of entries) await store.drops.take(open1, [entry.uid], { last: false });
    advance(6_000);
    await d.housekeep(store);
    t.strictSame(await d.claim(store), [], 'not sealed');
    await store.drops.seal(open1);
    await store.drops.seal(open1);
    await d.housekeep(store);
    t.strictSame(await d.claim(store), [], 'sealed just now');
    advance(5_001);
    await d.housekeep(store);
    t.equal((await d.claim(store)).length, 3);
    t.match((await store.entries.history(entries[0]!.id))?.drops[0], { sealedAt: Date });

    const more = [await held(store, ada), await held(store, ada)];
    const open2 = d.begin(store, 'release');
    await store.drops.take(open2, [more[0]!.uid], { last: false });
    await store.drops.take(open2, [more[1]!.uid], { last: true });
    await d.housekeep(store);
    t.equal((await d.claim(store)).length, 2, 'sealed with its last chunk');
    await t.rejects(store.drops.take(open2, [(await held(store, ada)).uid], { last: true }), LeaseLost);
    await store.drops.seal(d.begin(store, 'release'));
  });

  await test('crash between the chunks of a MOVE: sealed with what it has, never before its lease ends', async (t, {
    store,
    advance,
    again,
  }) => {
    const entries = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const lost = d.begin(store, 'release');
    await store.drops.take(lost, [entries[0]!.uid], { last: false });
    advance(20_000);
    await store.drops.take(lost, [entries[1]!.uid], { last: false });
    advance(20_000);
    const other = await again();
    await d.housekeep(other);
    t.strictSame(await d.claim(other), [], 'each chunk renews the lease');
    advance(10_001);
    await d.housekeep(other);
    t.equal((await d.claim(other)).length, 2);
    await t.rejects(
      store.drops.take(lost, [entries[2]!.uid], { last: true }),
      LeaseLost,
      'the first one comes too late',
    );
    await t.rejects(store.drops.seal(lost), LeaseLost);
    await t.rejects(store.drops.rollBack(lost), LeaseLost);
    t.equal(await d.stands(store, entries[2]!.id), 'held caught caught');
  });

  await test('crash between the chunks of a COPY: rolled back', async (t, { store, advance, again }) => {
    const entries = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const [a, b, c] = entries as [(typeof entries)[0], (typeof entries)[0], (typeof entries)[0]];
    const lost = d.begin(store, 'release', { mode: 'copy' });
    await store.drops.take(lost, [a.uid, b.uid], { last: false });
    await store.entries.expunge({ scope: recipient(ada), folder: 'caught', uids: [b.uid] }, d.by());
    const other = await again();
    await d.housekeep(other);
    t.strictSame(await d.view(store), [`${a.uid} $Releasing`, `${c.uid}`], 'not before its lease ends');
    advance(30_001);
    await d.housekeep(other);
    const back = await store.entries.get(b.id);
    t.ok(back!.uid! > c.uid, 'the expunged one came back under a new UID');
    t.strictSame(await d.view(store), [`${a.uid}`, `${c.uid}`, `${back!.uid}`]);
    t.strictSame(await d.jobsOf(store, a.id), ['deliver cancelled']);
    await t.rejects(store.drops.take(lost, [c.uid], { last: true }), LeaseLost);
    t.match((await store.entries.history(a.id))?.drops[0], { rolledBackAt: Date });
  });

  await test('a refused later chunk: the caller rolls the COPY back', async (t, { store }) => {
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    await d.drop(store, 'discard', [c.uid]);
    for (const action of ['release-train', 'spam', 'discard'] as const) {
      const copy = d.begin(store, action, { mode: 'copy' });
      const uids = [a, b].map(async (entry) => (await store.entries.get(entry.id))!.uid!);
      await store.drops.take(copy, await Promise.all(uids), { last: false });
      await store.drops.take(copy, [c.uid, 999_999 as Uid], { last: true });
      await store.drops.rollBack(copy);
      await store.drops.rollBack(copy);
      t.equal(await d.stands(store, a.id), 'held caught caught', action);
      t.equal((await store.jobs.counts()).ready, 0);
      t.equal((await d.view(store)).length, 2, 'nothing is marked');
      t.notOk((await d.view(store)).some((line) => line.includes('$')));
    }
    await store.drops.rollBack(d.begin(store, 'release', { mode: 'copy' }));
  });

  await test('a later training takes the place of an unfinished one, whoever made it', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'spam', [a.uid], { mode: 'copy' });
    const spam = await d.drop(store, 'not-spam', [a.uid], { mode: 'copy' });
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-ham ready']);
    t.strictSame((await d.drop(store, 'not-spam', [a.uid], { mode: 'copy' })).pairs, spam.pairs);
    await d.drop(store, 'release', [a.uid]);
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-ham ready', 'deliver ready']);
  });

  await test('a thousand entries go in one chunk', async (t, { store }) => {
    const entries = await Promise.all(
      Array.from({ length: 1000 }, (_, i) => held(store, ada, { text: `Number ${i}.` })),
    );
    const uids = entries.map((entry) => entry.uid).sort((a, b) => a - b);
    const taken = await d.drop(store, 'release', uids);
    t.strictSame(d.from(taken), uids);
    t.strictSame(
      [...d.to(taken)].sort((a, b) => a - b),
      d.to(taken),
      'destinations in the order of their sources',
    );
    t.equal((await store.jobs.counts()).ready, 1000);
    const undone = await store.drops.undo(d.by(), recipient(ada), 'release', [{ first: 1, last: 2 ** 32 - 1 }]);
    t.equal(undone.pairs.length, 1000);
    t.equal((await d.view(store)).length, 1000);

    const copy = d.begin(store, 'spam', { mode: 'copy' });
    const back = undone.pairs.map((pair) => pair.to).sort((a, b) => a - b);
    await store.drops.take(copy, back, { last: false });
    const before = await store.changes.end();
    await store.drops.rollBack(copy);
    t.strictSame(await d.view(store), back.map(String), 'all as they were');
    t.equal((await store.jobs.counts()).ready, 0);
    t.ok((await store.changes.end()) > before + 1, 'in pieces, or other writers would wait for all of it');
  });
}
