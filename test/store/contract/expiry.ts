/** Copies of delivered mail in Training Requested: they leave after their own time, if nobody took them. */
import type { Test } from 'tap';
import * as d from '../dropping.ts';
import { ada } from '../dropping.ts';
import { held, type OpenHarness } from './harness.ts';

const hour = 3_600_000;
const request = { class: 'training', leaveAfterMs: hour } as const;
const folder = 'training' as const;

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);

  await test('when its time is over it is expired, and in no folder', async (t, { store, advance, now }) => {
    const a = await held(store, ada, request);
    const stays = await held(store, ada, { class: 'training' });
    const ordinary = await held(store, ada, { leaveAfterMs: hour });
    t.ok(Math.abs(a.expiresAt!.getTime() - now() - hour) < 60_000);
    t.equal(stays.expiresAt, undefined);
    t.equal(ordinary.expiresAt, undefined, 'only of class training');
    const due = await d.housekeep(store);
    t.ok(due !== undefined && due <= a.expiresAt!, 'known to be due');
    t.equal(await d.stands(store, a.id), 'held training training');
    advance(hour + 1000);
    const before = await store.changes.end();
    await d.housekeep(store);
    t.strictSame(await d.log(store, before), [`leave training ${a.uid}`]);
    t.equal(await d.stands(store, a.id), 'expired none -');
    for (const scope of d.scopes) t.strictSame(await d.view(store, folder, scope), [`${stays.uid}`]);
    t.strictSame((await d.drop(store, 'spam', [a.uid], { folder })).unknown, [a.uid], 'it is over');
    t.equal(await d.stands(store, ordinary.id), 'held caught caught');
  });

  await test('what somebody took in time does not expire', async (t, { store, advance }) => {
    const spam = await held(store, ada, { ...request, text: 'Spam.' });
    const gone = await held(store, ada, { ...request, text: 'Gone.' });
    await d.drop(store, 'spam', [spam.uid], { folder });
    await d.drop(store, 'discard', [gone.uid], { folder });
    advance(2 * hour);
    await d.housekeep(store);
    t.equal(await d.stands(store, spam.id), 'trained trash trash');
    t.equal(await d.stands(store, gone.id), 'discarded trash trash');
    t.strictSame(await d.run(store, d.done()), [`train-spam ${spam.id}`]);
    const { uid } = (await store.entries.get(gone.id))!;
    await d.drop(store, 'restore', [uid!], { folder: 'trash', restoreTo: folder });
    await d.housekeep(store);
    t.equal(await d.stands(store, gone.id), 'held training training', 'brought back after its time, it stays');
    t.equal((await store.entries.get(gone.id))!.expiresAt, undefined);
  });

  await test('brought back before its time it still has it', async (t, { store, advance }) => {
    const a = await held(store, ada, request);
    const taken = await d.drop(store, 'not-spam', [a.uid], { folder, undoMs: 60_000 });
    await d.undo(store, 'not-spam', d.to(taken));
    t.equal(await d.stands(store, a.id), 'held training training');
    advance(2 * hour);
    await d.housekeep(store);
    t.equal(await d.stands(store, a.id), 'expired none -');
  });

  await test('a copy on Spam was its judgement: it ends as trained, and is learned', async (t, { store, advance }) => {
    const a = await held(store, ada, request);
    const taken = await d.drop(store, 'spam', [a.uid], { folder, mode: 'copy', undoMs: 3 * hour });
    advance(2 * hour);
    await d.housekeep(store);
    t.equal(await d.stands(store, a.id), 'trained none -');
    t.strictSame(await d.view(store, folder), []);
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam ready']);
    t.strictSame((await d.undo(store, 'spam', d.to(taken))).left, d.to(taken), 'and can be undone');
    t.equal(await d.stands(store, a.id), 'held training training');
    t.strictSame(await d.jobsOf(store, a.id), ['train-spam cancelled']);
  });
}
