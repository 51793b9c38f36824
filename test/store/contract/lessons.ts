/** Drops that train besides what their action says (DropRequest.steps). */
import type { Test } from 'tap';
import type { Step } from '#store/model';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import { aSpamFor, held, type OpenHarness, put, recipient } from './harness.ts';

const asHam = { steps: ['deliver', 'train-ham'] } as const;
const asSpam = { steps: ['train-spam'] } as const;

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);

  await test('steps that such a drop cannot have are refused before anything is written', async (t, { store }) => {
    const wrong: readonly (readonly ['release' | 'discard' | 'spam' | 'restore' | 'release-train', readonly Step[]])[] =
      [
        ['release', []],
        ['release', ['train-ham']],
        ['release', ['train-ham', 'deliver']],
        ['release', ['deliver', 'train-ham', 'train-spam']],
        ['release-train', ['deliver']],
        ['release-train', ['deliver', 'train-ham', 'train-ham']],
        ['discard', ['deliver']],
        ['spam', ['train-ham']],
        ['spam', ['train-spam', 'train-ham']],
        ['restore', ['train-ham']],
      ];
    for (const [action, steps] of wrong)
      t.throws(() => d.begin(store, action, { steps }), TypeError, `${action} ${steps.join(' ')}`);
    for (const action of ['release', 'discard', 'spam'] as const) d.begin(store, action);
  });

  await test('a release that is learned: both are queued, the delivery decides', async (t, { store, advance }) => {
    const a = await held(store, ada);
    const taken = await d.drop(store, 'release', [a.uid], { ...asHam, undoMs: 60_000 });
    t.strictSame(await d.jobsOf(store, a.id), ['deliver ready', 'train-ham ready']);
    t.strictSame(await d.claim(store), [], 'the window holds for both');
    await d.undo(store, 'release', d.to(taken));
    t.equal(await d.stands(store, a.id), 'held caught caught');
    t.strictSame(await d.jobsOf(store, a.id), ['deliver cancelled', 'train-ham cancelled']);

    const { uid } = (await store.entries.get(a.id))!;
    const second = await d.drop(store, 'release', [uid!], { ...asHam, undoMs: 60_000 });
    advance(61_000);
    t.strictSame(await d.run(store, d.done(), ['train-ham']), [`train-ham ${a.id}`]);
    t.strictSame((await d.undo(store, 'release', d.to(second))).left, d.to(second), 'learned, not yet on its way');
    t.equal(await d.stands(store, a.id), 'held caught caught');
  });

  await test('a delivery that fails brings it back; the training goes on', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid], asHam);
    await d.run(store, d.failed, ['deliver']);
    t.equal(await d.stands(store, a.id), 'held caught caught');
    t.strictSame(await d.run(store, d.done()), [`train-ham ${a.id}`]);
  });

  await test('by COPY it stays in view, and a roll-back takes both back', async (t, { store }) => {
    const a = await held(store, ada);
    const drop = d.begin(store, 'release', { ...asHam, mode: 'copy' });
    await store.drops.take(drop, [a.uid], { last: false });
    t.strictSame(await d.view(store), [`${a.uid} $Releasing`]);
    await store.drops.rollBack(drop);
    t.strictSame(await d.view(store), [`${a.uid}`]);
    t.strictSame(await d.jobsOf(store, a.id), ['deliver cancelled', 'train-ham cancelled']);
  });

  for (const mode of ['move', 'copy'] as const)
    await test(`a discard that is learned, by ${mode}; a restore calls it off`, async (t, { store, advance }) => {
      const a = await held(store, ada);
      const trash = await d.drop(store, 'discard', [a.uid], { ...asSpam, mode, undoMs: 60_000 });
      t.equal(await d.stands(store, a.id), 'discarded trash trash');
      t.strictSame(await d.claim(store), [], 'the window holds for it');
      t.strictSame((await d.drop(store, 'discard', [a.uid], { ...asSpam, mode })).pairs, trash.pairs, 'repeated');
      t.strictSame(await d.jobsOf(store, a.id), ['train-spam ready'], 'and queued once');
      await d.drop(store, 'restore', d.to(trash), { folder: 'trash', restoreTo: 'caught', mode });
      t.equal(await d.stands(store, a.id), 'held caught caught');
      t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled']);
      advance(61_000);
      t.strictSame(await d.claim(store), []);

      const { uid } = (await store.entries.get(a.id))!;
      const again = await d.drop(store, 'discard', [uid!], asSpam);
      t.strictSame(await d.run(store, d.done()), [`train-spam ${a.id}`]);
      await d.drop(store, 'restore', d.to(again), { folder: 'trash', restoreTo: 'caught' });
      t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-spam done'], 'learned is learned');
    });

  await test('a roll-back of a restore has it learned after all', async (t, { store }) => {
    const a = await held(store, ada);
    const trash = await d.drop(store, 'discard', [a.uid], asSpam);
    const back = d.begin(store, 'restore', { folder: 'trash', mode: 'copy' });
    await store.drops.take(back, d.to(trash), { last: false, restoreTo: 'caught' });
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled']);
    await store.drops.rollBack(back);
    t.equal(await d.stands(store, a.id), 'discarded trash trash');
    t.strictSame(await d.run(store, d.done()), [`train-spam ${a.id}`]);
  });

  await test('a training that it took the place of is learned when it is called off', async (t, { store }) => {
    const a = await held(store, ada);
    // Trained and restored from Trash, before that was learned.
    await d.drop(store, 'not-spam', [a.uid]);
    const trained = (await store.entries.get(a.id))!;
    const [home] = d.to(await d.drop(store, 'restore', [trained.uid!], { folder: 'trash', restoreTo: 'caught' }));
    const trash = await d.drop(store, 'discard', [home!], asSpam);
    t.strictSame(await d.jobsOf(store, a.id), ['train-ham cancelled', 'train-spam ready']);
    await d.drop(store, 'restore', d.to(trash), { folder: 'trash', restoreTo: 'caught' });
    t.strictSame(await d.jobsOf(store, a.id), ['train-ham ready', 'train-spam cancelled']);
    t.strictSame(await d.run(store, d.done()), [`train-ham ${a.id}`]);
  });

  await test('what was called off was not taught: the same may be appended', async (t, { store }) => {
    const a = await held(store, ada, { text: 'Called off.' });
    const append = async (action: 'spam' | 'not-spam') => {
      const mail = aSpamFor(ada, { text: 'Called off.' });
      const drop = { actor: d.by(), scope: recipient(ada), action, undoMs: 0, hostname: 'mx.example' };
      return (await store.drops.appendForTraining({ ...mail.message, bytes: await put(store, mail.raw) }, drop)).queued;
    };
    const trash = await d.drop(store, 'discard', [a.uid], asSpam);
    t.equal(await append('spam'), false, 'taught by the discard');
    await d.drop(store, 'restore', d.to(trash), { folder: 'trash', restoreTo: 'caught', account: 'global' });
    t.equal(await append('spam'), true);
    t.equal(await append('spam'), false);
    const taken = await d.drop(store, 'release', [(await store.entries.get(a.id))!.uid!], { ...asHam, undoMs: 60_000 });
    t.equal(await append('not-spam'), false, 'taught by the release');
    await d.undo(store, 'release', d.to(taken));
    t.equal(await append('not-spam'), true);
  });

  await test('a discard of what was copied onto Not Spam teaches nothing else', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'not-spam', [a.uid], { mode: 'copy' });
    await d.drop(store, 'discard', [a.uid], asSpam);
    t.equal(await d.stands(store, a.id), 'trained trash trash');
    t.strictSame(await d.run(store, d.done()), [`train-ham ${a.id}`]);
  });

  await test('put onto Not Spam out of Trash: that is learned instead', async (t, { store }) => {
    const a = await held(store, ada);
    const trash = await d.drop(store, 'discard', [a.uid], asSpam);
    const later = await d.drop(store, 'not-spam', d.to(trash), { folder: 'trash', undoMs: 60_000 });
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-ham ready']);
    await d.undo(store, 'not-spam', d.to(later));
    t.equal(await d.stands(store, a.id), 'discarded trash trash');
    t.strictSame(await d.run(store, d.done()), [`train-spam ${a.id}`]);
  });

  await test('a waiting delivery is cancelled by a discard that is learned', async (t, { store, advance }) => {
    const a = await held(store, ben);
    await d.drop(store, 'release', [a.uid], { account: ben });
    await d.run(store, d.later(60_000, true));
    const shown = (await store.entries.get(a.id))!;
    await d.drop(store, 'discard', [shown.uid!], { ...asSpam, account: ben });
    advance(120_000);
    t.strictSame(await d.run(store, d.done()), [`train-spam ${a.id}`]);
    t.equal(await d.stands(store, a.id), 'discarded trash trash');
  });
}
