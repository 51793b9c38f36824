/** APPEND onto action folders (DESIGN §7.10). */
import type { Test } from 'tap';
import type { ActionName } from '#store/model';
import type { Store } from '#store/port';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import { aMessage, aSpamFor, collect, held, type OpenHarness, put, recipient, sha256 } from './harness.ts';

async function append(store: Store, action: ActionName, text: string, account = ada): Promise<boolean> {
  const mail = aSpamFor(account, { text });
  const { queued } = await store.drops.appendForTraining(
    { ...mail.message, bytes: await put(store, mail.raw) },
    { actor: d.by(account), scope: recipient(account), action, undoMs: 0, hostname: 'mx.harbour.example' },
  );
  return queued;
}

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);
  await test('onto Spam and Not Spam: message and job, no entry', async (t, { store, again }) => {
    const before = await store.changes.end();
    t.equal(await append(store, 'spam', 'One.'), true);
    const { changes } = await (await again()).changes.since(before, 10);
    t.match(changes, [{ kind: 'drop', folder: 'spam', account: ada, uid: 0 }], 'sessions of any process can be told');
    t.equal((await store.views.top(recipient(ada), 'spam')).uidNext, 1, 'it has no UID');
    t.equal((await store.views.load(recipient(ada), 'trash')).uids.length, 0);
    const [job] = await d.claim(store);
    t.match(job, { step: 'train-spam', entryId: undefined, actor: { account: ada } });
    t.strictSame(await collect(store.messages.read(job!.messageId)), Buffer.from(aMessage('One.')));
    t.match(await store.jobs.ofDrop(job!.dropId), [{ key: job!.key }]);
    await store.jobs.finish(job!, d.done());
    t.match(await store.jobs.get(job!.key), { state: 'done' });
  });

  await test('the same bytes once more: only if the account’s last training of them was of another class', async (t, {
    store,
  }) => {
    t.equal(await append(store, 'spam', 'Three.'), true);
    const before = await store.changes.end();
    t.equal(await append(store, 'spam', 'Three.'), false);
    t.strictSame(await d.log(store, before), ['drop spam 0'], 'told all the same');
    t.equal(await append(store, 'spam', 'Two.'), true, 'other bytes');
    t.equal(await append(store, 'spam', 'Three.', ben), true, 'another account');
    t.equal(await append(store, 'not-spam', 'Three.'), true, 'another class');
    t.equal(await append(store, 'spam', 'Three.'), true, 'and back');
    t.equal((await d.run(store, d.done())).length, 5);
  });

  await test('trainings of held mail count, until they are undone', async (t, { store }) => {
    const text = 'Held.';
    const a = await held(store, ada, { text });
    const spam = await d.drop(store, 'spam', [a.uid], { undoMs: 10_000 });
    t.equal(await append(store, 'spam', text), false);
    await d.undo(store, 'spam', d.to(spam));
    t.equal(await append(store, 'not-spam', text), true);
    const { uid } = (await store.entries.get(a.id))!;
    const again = await d.drop(store, 'spam', [uid!], { mode: 'copy', undoMs: 10_000 });
    await d.undo(store, 'spam', d.to(again));
    t.equal(await append(store, 'not-spam', text), false, 'the training before that is the last one again');
    const copy = d.begin(store, 'spam', { mode: 'copy' });
    await store.drops.take(copy, [(await store.entries.get(a.id))!.uid!], { last: false });
    await store.drops.rollBack(copy);
    t.equal(await append(store, 'not-spam', text), false, 'also when it was rolled back');
    t.equal(await append(store, 'spam', text), true);
  });

  await test('onto a Release folder: the held entries with these bytes, in this scope', async (t, { store }) => {
    const hash = sha256(aMessage('Wanted.'));
    const find = async (account = ada) =>
      (await store.drops.heldByHash(recipient(account), hash)).map((entry) => entry.uid);
    const a = await held(store, ada, { text: 'Wanted.' });
    await held(store, ada, { text: 'Other.' });
    t.strictSame(await find(), [a.uid]);
    t.strictSame(await find(ben), []);
    await held(store, ada, { text: 'Wanted.', class: 'training' });
    t.strictSame(await find(), [a.uid], 'a training request cannot be released');
    const taken = await d.drop(store, 'release', [a.uid], { mode: 'append' });
    t.strictSame([d.from(taken), taken.left], [[a.uid], []], 'acts as COPY');
    t.equal((await d.view(store))[0], `${a.uid} $Releasing`);
    t.strictSame(await find(), [], 'it is not held any more');
    t.match((await store.entries.history(a.id))?.drops, [{ mode: 'append' }]);
  });
}
