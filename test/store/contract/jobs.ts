/** Jobs by lease, and what the end of a delivery means (DESIGN §4.3, §7.6, §7.11). */
import type { Test } from 'tap';
import { LeaseLost } from '#store/errors';
import * as d from '../dropping.ts';
import { ada } from '../dropping.ts';
import { domain, everything, held, type OpenHarness, recipient } from './harness.ts';

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);
  await test('each job is claimed by one caller, oldest first, with all it needs', async (t, {
    store,
    again,
    advance,
    now,
  }) => {
    const other = await again();
    const entries = [];
    for (let i = 0; i < 20; i += 1) {
      entries.push(await held(store, ada, { text: `Number ${i}.` }));
      await d.drop(store, 'release', [entries[i]!.uid]);
      advance(5);
    }
    const [first] = await d.claim(store, ['deliver'], 1);
    t.equal(first!.entryId, entries[0]!.id);
    t.match(first, {
      step: 'deliver',
      state: 'leased',
      attempts: 1,
      messageId: entries[0]!.messageId,
      actor: { account: ada, via: 'test' },
      resentMessageId: /^<[^@<>\s]+@mx\.harbour\.example>$/,
    });
    t.ok(first!.leaseUntil.getTime() > now() && first!.droppedAt.getTime() <= now());
    t.strictSame(await d.claim(store, ['train-spam', 'train-ham']), [], 'only the steps that are asked for');
    const claims = await Promise.all([store, other, store, other].map((each) => d.claim(each, ['deliver'], 6)));
    const keys = claims.flat().map((job) => job.key);
    t.equal(keys.length, 19);
    t.equal(new Set(keys).size, 19, 'none twice');
    t.match(await store.jobs.counts(), { ready: 0, leased: 20 });
  });

  await test('what is to be done is told step by step, with the age of the oldest', async (t, { store, advance }) => {
    const before = await store.jobs.backlog();
    const seen = async (step: string) => {
      const old = before.find((each) => each.step === step) ?? { due: 0, later: 0, leased: 0 };
      const now = (await store.jobs.backlog()).find((each) => each.step === step);
      return now && [now.due - old.due, now.later - old.later, now.leased - old.leased];
    };
    const [a, b, c] = [await held(store, ada), await held(store, ada), await held(store, ada)];
    await d.drop(store, 'release', [a.uid]);
    advance(60_000);
    await d.drop(store, 'release-train', [b.uid]);
    await d.drop(store, 'release', [c.uid], { undoMs: 10_000 });
    t.strictSame(await seen('deliver'), [2, 1, 0]);
    t.strictSame(await seen('train-ham'), [1, 0, 0]);
    const oldest = (await store.jobs.backlog()).find(({ step }) => step === 'deliver')!.oldestDueMs;
    t.ok(oldest >= 60_000, `${oldest} ms`);
    const [claimed] = await d.claim(store, ['deliver'], 1);
    t.strictSame(await seen('deliver'), [1, 1, 1]);
    await store.jobs.finish(claimed!, d.done());
    t.strictSame(await seen('deliver'), [1, 1, 0], 'an ended one is no work any more');
  });

  await test('a lease that ran out is claimed again; the first holder is refused, the message id is the same', async (t, {
    store,
    advance,
  }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid]);
    const [first] = await d.claim(store, ['deliver'], 1, 10_000);
    advance(8_000);
    await store.jobs.renew(first!, 10_000);
    advance(8_000);
    t.strictSame(await d.claim(store), [], 'renewed');
    advance(3_000);
    const [second] = await d.claim(store, ['deliver'], 1, 10_000);
    t.match(second, { key: first!.key, attempts: 2, resentMessageId: first!.resentMessageId });
    t.strictSame(second!.droppedAt, first!.droppedAt);
    await t.rejects(store.jobs.renew(first!, 10_000), LeaseLost);
    await t.rejects(store.jobs.finish(first!, d.done()), LeaseLost);
    await store.jobs.release(first!);
    t.equal(await d.stands(store, a.id), 'dropped none -', 'nothing was recorded');
    await store.jobs.finish(second!, d.done());
    await t.rejects(store.jobs.finish(second!, d.failed), LeaseLost, 'it ends once');
    t.match(await store.jobs.get(first!.key), { state: 'done', outcome: '250 2.0.0 Ok', attempts: 2, endedAt: Date });
  });

  await test('jobs that end side by side end as one by one, two of the same entry and a lost lease among them', async (t, {
    store,
  }) => {
    const entries = await Promise.all(Array.from({ length: 12 }, (_, at) => held(store, ada, { text: `Side ${at}.` })));
    await d.drop(
      store,
      'release-train',
      entries.map(({ uid }) => uid),
    );
    const spam = await held(store, ada);
    await d.drop(store, 'spam', [spam.uid]);
    const jobs = await d.claim(store, ['deliver', 'train-ham', 'train-spam'], 50);
    // One at a time for an entry: its training is claimed while its delivery runs.
    t.equal(jobs.length, 25);
    const outcomes = [d.done(), d.failed, d.later(1000)];
    const ends = jobs.map((job) => {
      const at = entries.findIndex(({ id }) => id === job.entryId);
      return store.jobs.finish(job, job.step === 'deliver' ? outcomes[at % 3]! : d.done());
    });
    const again = store.jobs.finish(jobs[0]!, d.done());
    await Promise.all([...ends, t.rejects(again, LeaseLost, 'it ended before')]);
    for (const [at, { id }] of entries.entries()) {
      const found = await d.stands(store, id);
      t.equal(found, ['released none -', 'held caught caught', 'dropped none -'][at % 3], `${at}`);
      const [deliver, train] = ['deliver', 'train-ham'].map((step) =>
        jobs.find((job) => job.entryId === id && job.step === step),
      );
      t.equal((await store.jobs.get(deliver!.key))?.state, ['done', 'failed', 'ready'][at % 3]);
      t.equal((await store.jobs.get(train!.key))?.state, 'done');
    }
    t.equal(await d.stands(store, spam.id), 'trained trash trash');
    t.equal((await store.notices.take(ada)).length, 4);
  });

  await test('given back untried: due at once, not counted', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid]);
    const [job] = await d.claim(store);
    await store.jobs.release(job!);
    t.match(await store.jobs.get(job!.key), { state: 'ready', attempts: 0 });
    const [again] = await d.claim(store);
    t.equal(again!.attempts, 1);
    await store.jobs.finish(again!, { kind: 'later', said: 'all connections are in use', afterMs: 0, untried: true });
    t.match(await store.jobs.get(job!.key), { state: 'ready', attempts: 0, outcome: 'all connections are in use' });
    t.match(await d.claim(store), [{ attempts: 1 }]);
  });

  await test('a delivery that fails for good comes back with a notice; its training goes on', async (t, {
    store,
    again,
  }) => {
    const a = await held(store, ada, { flags: ['\\Seen', '$x'] });
    for (const mode of ['move', 'copy'] as const) {
      const { uid } = (await store.entries.get(a.id))!;
      await d.drop(store, 'release-train', [uid!], { mode });
      const before = await store.changes.end();
      const [job] = await d.claim(store, ['deliver']);
      await store.jobs.finish(job!, d.failed);
      const back = (await store.entries.get(a.id))!;
      t.equal(await d.stands(store, a.id), 'held caught caught', mode);
      t.ok(back.uid! > uid!);
      t.equal(back.prefix, `X-Lazaret-Id: ${a.id}\r\nX-Lazaret-Status: 550 5.1.1 No such user\r\n`);
      for (const scope of d.scopes)
        t.strictSame(await d.view(store, 'caught', scope), [`${back.uid} $x $ReleaseFailed`]);
      t.strictSame(await d.log(store, before), [
        ...(mode === 'copy' ? [`leave caught ${uid}`] : []),
        `enter caught ${back.uid}`,
        `notice caught ${back.uid}`,
      ]);
      const entered = (await store.changes.since(before, 10)).changes.find((change) => change.kind === 'enter');
      const view = await store.views.load(everything, 'caught');
      const { size } = (await store.messages.get(a.messageId))!;
      t.equal(view.sizes[0], size + back.prefix.length, 'the size of what is shown');
      t.equal(entered?.size, view.sizes[0]);
      const other = await again();
      t.strictSame(await other.notices.take('ben@harbour.example'), []);
      t.strictSame(await other.notices.take(ada), ['A release failed: 550 5.1.1 No such user']);
      t.strictSame(await store.notices.take(ada), [], 'once');
      t.strictSame(await d.run(store, d.done()), [`train-ham ${a.id}`]);
    }
    t.match(await d.jobsOf(store, a.id), ['deliver failed', 'train-ham done']);
  });

  await test('a training that fails is only recorded', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release-train', [a.uid]);
    await d.run(store, { kind: 'failed', said: 'refused' }, ['train-ham']);
    t.equal(await d.stands(store, a.id), 'dropped none -');
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`]);
    t.equal(await d.stands(store, a.id), 'released none -');
    t.strictSame(await d.jobsOf(store, a.id), ['deliver done', 'train-ham failed']);
    t.strictSame(await store.notices.take(ada), []);
  });

  await test('put off: later again, and after long shown as waiting', async (t, { store, advance, now }) => {
    const a = await held(store, ada, { flags: ['\\Seen'] });
    await d.drop(store, 'release', [a.uid]);
    await d.run(store, d.later(300_000));
    t.strictSame(await d.claim(store), []);
    const due = await d.housekeep(store);
    t.ok(due && due.getTime() > now() + 200_000, 'known to be due');
    advance(300_001);
    await d.run(store, d.later(300_000, true));
    const shown = (await store.entries.get(a.id))!;
    t.equal(await d.stands(store, a.id), 'dropped caught caught');
    t.match(shown.prefix, /waiting: 451/);
    for (const scope of d.scopes) t.strictSame(await d.view(store, 'caught', scope), [`${shown.uid} $Releasing`]);
    advance(300_001);
    await d.run(store, d.later(300_000, true));
    const again = (await store.entries.get(a.id))!;
    t.strictSame(await d.view(store), [`${again.uid} $Releasing`], 'shown anew: the stay before ends');
    t.ok(again.uid! > shown.uid!);
    advance(300_001);
    await d.run(store, d.done(60_000));
    t.strictSame(await d.view(store), [], 'success takes it out at once');
    t.equal(await d.stands(store, a.id), 'released none -');
  });

  await test('what waits: MOVE and COPY onto Release try it now, EXPUNGE hides it', async (t, { store }) => {
    const entries = [await held(store, ada), await held(store, ada), await held(store, ada)];
    const first = await d.drop(
      store,
      'release',
      entries.map((entry) => entry.uid),
    );
    await d.run(store, d.later(3_600_000, true));
    const [a, b, c] = await Promise.all(entries.map(async (entry) => (await store.entries.get(entry.id))!.uid!));
    const moved = await d.drop(store, 'release', [a!]);
    t.strictSame([moved.pairs, moved.left], [[{ from: a, to: d.to(first)[0] }], [a]]);
    const copied = await d.drop(store, 'release', [b!], { mode: 'copy' });
    t.strictSame([copied.pairs, copied.left], [[{ from: b, to: d.to(first)[1] }], []]);
    await store.entries.expunge({ scope: recipient(ada), folder: 'caught', uids: [c!] }, d.by());
    t.strictSame(await d.view(store), [`${b} $Releasing`]);
    t.equal(await d.stands(store, entries[2]!.id), 'dropped none -', 'the delivery goes on');
    t.strictSame((await d.drop(store, 'release', [a!])).pairs, moved.pairs, 'repeated: the same pair');
    t.strictSame(await d.run(store, d.later(3_600_000, true)), [
      `deliver ${entries[0]!.id}`,
      `deliver ${entries[1]!.id}`,
    ]);
    t.equal((await d.view(store)).length, 2, 'and it returns');
  });

  await test('what waits: Trash, Spam and Not Spam cancel the delivery, unless it runs just now', async (t, {
    store,
    advance,
  }) => {
    for (const [action, mode, expected] of [
      ['discard', 'move', 'discarded trash trash'],
      ['spam', 'move', 'trained trash trash'],
      ['not-spam', 'copy', 'held caught caught'],
    ] as const) {
      const a = await held(store, ada);
      await d.drop(store, 'release', [a.uid]);
      await d.run(store, d.later(1000, true));
      const { uid } = (await store.entries.get(a.id))!;
      advance(1001);
      const [job] = await d.claim(store, ['deliver']);
      const busy = await d.drop(store, action, [uid!], { mode });
      t.strictSame(busy.refused, [{ uid, reason: 'being-delivered' }], action);
      await store.jobs.finish(job!, d.later(1000));
      t.equal((await d.drop(store, action, [uid!], { mode })).pairs.length, 1);
      t.equal(await d.stands(store, a.id), expected);
      t.equal((await d.jobsOf(store, a.id))[0], 'deliver cancelled');
      advance(1001);
      t.strictSame(await d.claim(store, ['deliver']), [], 'nothing is delivered');
    }
    t.ok((await d.view(store)).at(-1)?.endsWith(' $Trained'), 'and does not say that it is on its way');
  });

  await test('a COPY that waits: its old UID ends, and success takes the new one out at once', async (t, {
    store,
    advance,
  }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid], { mode: 'copy' });
    const before = await store.changes.end();
    await d.run(store, d.later(1000, true));
    const { uid } = (await store.entries.get(a.id))!;
    t.strictSame(await d.log(store, before), [`leave caught ${a.uid}`, `enter caught ${uid}`]);
    advance(1001);
    await d.run(store, d.done(60_000));
    t.strictSame(await d.view(store), []);
  });

  await test('a training that a later one takes the place of is void while it runs', async (t, { store, advance }) => {
    const a = await held(store, ada);
    await d.drop(store, 'spam', [a.uid], { mode: 'copy' });
    const [job] = await d.claim(store, ['train-spam']);
    await d.drop(store, 'not-spam', [a.uid], { mode: 'copy' });
    await d.drop(store, 'spam', [a.uid], { mode: 'copy' });
    await t.rejects(store.jobs.finish(job!, d.done()), LeaseLost);
    t.strictSame(await d.claim(store), [], 'one entry and step never run twice at once');
    advance(60_001);
    t.strictSame(await d.run(store, d.done()), [`train-spam ${a.id}`]);
  });

  await test('no trainer: done for now, and queued anew when asked, the last training of each entry only', async (t, {
    store,
    advance,
  }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    const untrained = { kind: 'done', said: 'no trainer', leaveAfterMs: 0 } as const;
    await d.drop(store, 'spam', [a.uid], { mode: 'copy' });
    await d.drop(store, 'release-train', [b.uid]);
    await d.run(store, untrained, ['train-spam', 'train-ham']);
    await d.drop(store, 'not-spam', [a.uid], { mode: 'copy' });
    await d.run(store, untrained, ['train-spam', 'train-ham']);
    advance(30 * 24 * 3600_000);
    t.equal(await store.jobs.retryUntrained(), 2);
    const [again] = (await store.entries.history(b.id))!.jobs.filter(({ step }) => step === 'train-ham');
    t.match(again, { state: 'ready', attempts: 0 });
    t.ok(again!.createdAt > (await store.entries.get(b.id))!.heldAt, 'its time for tries begins anew');
    t.strictSame(await d.run(store, d.done(), ['train-spam', 'train-ham']), [`train-ham ${b.id}`, `train-ham ${a.id}`]);
    t.equal(await store.jobs.retryUntrained(), 0);
  });

  await test('lists: by key, by drop, counts', async (t, { store }) => {
    const [a, b] = [await held(store, ada), await held(store, ada)];
    const drop = d.begin(store, 'release-train');
    await store.drops.take(drop, [a.uid, b.uid], { last: true });
    await d.drop(store, 'spam', [(await held(store, ada)).uid]);
    const jobs = await store.jobs.ofDrop(drop.id);
    t.strictSame(
      jobs.map((job) => job.key),
      [a, b].flatMap((entry) => [`${drop.id}/${entry.id}/deliver`, `${drop.id}/${entry.id}/train-ham`]),
    );
    t.strictSame(await store.jobs.get(jobs[0]!.key), jobs[0]);
    t.equal(await store.jobs.get('no such key'), undefined);
    t.equal((await store.jobs.counts()).ready, 5);
  });

  await test('an outgoing mail comes back into its own folder', async (t, { store }) => {
    const a = await held(store, ada, { direction: 'outgoing', recipient: 'someone@elsewhere.example' });
    await d.drop(store, 'release', [a.uid], { folder: 'outgoing' });
    await d.run(store, d.failed);
    t.equal(await d.stands(store, a.id), 'held caught outgoing');
    t.equal((await d.view(store, 'outgoing', domain('harbour.example'))).length, 1);
  });
}
