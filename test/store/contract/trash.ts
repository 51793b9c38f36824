/** Trash: discard, restore, EXPUNGE (DESIGN §7.3, §7.8). */
import type { Test } from 'tap';
import type { ReadableFolder, Scope, Uid } from '#store/model';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import { domain, everything, held, type OpenHarness, recipient } from './harness.ts';

const expungeIn = (folder: ReadableFolder, uids: readonly Uid[], scope: Scope = recipient(ada)) =>
  ({ scope, folder, uids }) as const;

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);
  await test('discarding is the entry’s affair: it stands in Trash in all three scopes', async (t, { store }) => {
    const a = await held(store, ada, { flags: ['\\Seen', '\\Deleted'] });
    const before = await store.changes.end();
    const taken = await d.drop(store, 'discard', [a.uid]);
    const [uid] = d.to(taken);
    for (const scope of d.scopes) {
      t.strictSame(await d.view(store, 'caught', scope), []);
      t.strictSame(await d.view(store, 'trash', scope), [`${uid} \\Seen`], 'and is not deleted there already');
    }
    t.strictSame(await d.log(store, before), [`leave caught ${a.uid}`, `enter trash ${uid}`]);
    t.equal(await d.stands(store, a.id), 'discarded trash trash');
    t.equal((await store.jobs.counts()).ready, 0);
    t.strictSame((await d.drop(store, 'discard', [a.uid])).pairs, taken.pairs, 'repeated');
  });

  await test('restore: held, where it came from, under a new UID', async (t, { store }) => {
    const table = [
      ['caught', await held(store, ada)],
      ['outgoing', await held(store, ada, { direction: 'outgoing' })],
      ['training', await held(store, ada, { class: 'training' })],
    ] as const;
    for (const mode of ['move', 'copy'] as const)
      for (const [folder, entry] of table) {
        const { uid } = (await store.entries.get(entry.id))!;
        const trash = await d.drop(store, 'discard', [uid!], { folder, mode });
        const elsewhere = folder === 'caught' ? 'training' : 'caught';
        const wrong = await d.drop(store, 'restore', d.to(trash), { folder: 'trash', mode, restoreTo: elsewhere });
        t.strictSame(wrong.refused, [{ uid: d.to(trash)[0], reason: 'not-allowed' }]);
        const back = await d.drop(store, 'restore', d.to(trash), { folder: 'trash', mode, restoreTo: folder });
        t.strictSame([back.left, back.refused], [d.to(trash), []], `${mode} ${folder}`);
        t.strictSame(await d.view(store, folder), [`${d.to(back)[0]}`]);
        t.strictSame(await d.view(store, 'trash'), []);
        const again = await d.drop(store, 'restore', d.to(trash), { folder: 'trash', mode, restoreTo: folder });
        t.strictSame(again.pairs, back.pairs, 'repeated: the same pair');
      }
  });

  await test('nothing is released out of Trash, but it can be trained', async (t, { store }) => {
    const a = await held(store, ada);
    const trash = await d.drop(store, 'discard', [a.uid]);
    for (const action of ['release', 'release-train'] as const)
      t.strictSame((await d.drop(store, action, d.to(trash), { folder: 'trash' })).refused, [
        { uid: d.to(trash)[0], reason: 'not-allowed' },
      ]);
    const spam = await d.drop(store, 'spam', d.to(trash), { folder: 'trash', mode: 'copy' });
    t.strictSame(spam.left, d.to(trash), 'a COPY out of Trash acts as MOVE');
    const trained = (await store.entries.get(a.id))!;
    t.strictSame(await d.view(store, 'trash'), [`${trained.uid}`]);
    await d.drop(store, 'not-spam', [trained.uid!], { folder: 'trash' });
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled', 'train-ham ready']);
    const last = (await store.entries.get(a.id))!;
    await d.drop(store, 'restore', [last.uid!], { folder: 'trash', restoreTo: 'caught' });
    t.equal(await d.stands(store, a.id), 'held caught caught');
    t.strictSame(await d.run(store, d.done()), [`train-ham ${a.id}`], 'restoring does not untrain');
    t.equal(await d.stands(store, a.id), 'held caught caught');
  });

  await test('EXPUNGE in Caught and in Training Requested discards; what is not there is ignored', async (t, {
    store,
  }) => {
    const a = await held(store, ada);
    const request = await held(store, ada, { class: 'training' });
    const stranger = await held(store, ben);
    const before = await store.changes.end();
    const asked = [a.uid, request.uid, stranger.uid, 999_999 as Uid];
    const { left, modSeq } = await store.entries.expunge(expungeIn('caught', asked), d.by());
    t.strictSame([left, modSeq], [[a.uid], await store.changes.end()]);
    t.strictSame((await store.entries.expunge(expungeIn('training', asked), d.by())).left, [request.uid]);
    t.equal(await d.stands(store, a.id), 'discarded trash trash');
    t.equal(await d.stands(store, request.id), 'discarded trash trash');
    t.equal(await d.stands(store, stranger.id), 'held caught caught');
    t.equal((await d.log(store, before)).length, 4);
    const nothing = await store.entries.expunge(expungeIn('caught', asked), d.by());
    t.strictSame(nothing, { left: [], modSeq: 0 });
    t.match((await store.entries.history(a.id))?.drops, [{ action: 'discard', actor: { account: ada } }], 'who it was');
    t.strictSame((await d.drop(store, 'release', [a.uid])).refused, [{ uid: a.uid, reason: 'discarded' }]);
  });

  await test('EXPUNGE in Trash is for one level; restored and discarded again it stands in all three', async (t, {
    store,
  }) => {
    const a = await held(store, ada);
    const [uid] = d.to(await d.drop(store, 'discard', [a.uid]));
    const before = await store.changes.end();
    const { left } = await store.entries.expunge(expungeIn('trash', [uid!]), d.by());
    t.strictSame(left, [uid]);
    t.strictSame(await d.log(store, before), [`leave trash ${uid} recipient`]);
    t.strictSame(await d.view(store, 'trash'), []);
    t.strictSame(await d.view(store, 'trash', domain('harbour.example')), [`${uid}`]);
    t.strictSame((await store.entries.expunge(expungeIn('trash', [uid!]), d.by())).left, [], 'once');
    const how = { folder: 'trash', restoreTo: 'caught' } as const;
    t.strictSame((await d.drop(store, 'restore', [uid!], how)).unknown, [uid], 'not there any more');
    t.strictSame((await d.drop(store, 'spam', [uid!], how)).unknown, [uid]);
    await store.entries.expunge(expungeIn('trash', [uid!], domain('harbour.example')), d.by('harbour.example'));
    t.strictSame(await d.view(store, 'trash', everything), [`${uid}`]);
    const back = await d.drop(store, 'restore', [uid!], { ...how, account: 'global' });
    t.strictSame(await d.view(store), [`${d.to(back)[0]}`], 'restored by one, back for all');
    const second = await d.drop(store, 'discard', d.to(back));
    for (const scope of d.scopes) t.strictSame(await d.view(store, 'trash', scope), [`${d.to(second)[0]}`]);
  });

  await test('expunged in all three Trashes it is in no view', async (t, { store }) => {
    const a = await held(store, ada);
    const [uid] = d.to(await d.drop(store, 'discard', [a.uid]));
    for (const scope of d.scopes) {
      t.strictSame((await store.entries.expunge(expungeIn('trash', [uid!], scope), d.by('global'))).left, [uid]);
      t.strictSame(await d.view(store, 'trash', scope), []);
    }
    t.equal(await d.stands(store, a.id), 'discarded trash trash', 'its bytes go at purge');
  });
}
