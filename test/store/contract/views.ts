/** Folders as columns, UIDNEXT and HIGHESTMODSEQ (DESIGN §7.4). */
import type { Test } from 'tap';
import type { Folder, Uid } from '#store/model';
import type { ViewSnapshot } from '#store/port';
import { domain, everything, held, type OpenHarness, recipient } from './harness.ts';

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const { store, again } = await open(t);

  await t.test('an empty folder begins at one', async (t) => {
    const view = await store.views.load(everything, 'caught');
    t.match(view, { uidNext: 1, highestModSeq: 1, asOf: await store.changes.end() });
    t.equal(view.uids.length + view.flagSets.length, 0);
    for (const folder of ['caught', 'trash', 'release', 'spam'] as Folder[])
      t.match(await store.views.top(recipient('nobody@quay.example'), folder), { uidNext: 1, highestModSeq: 1 });
    t.ok(store.uidValidity > 0 && store.uidValidity < 2 ** 32);
    t.equal((await again()).uidValidity, store.uidValidity);
  });

  await t.test('columns say of each stay what the entry says', async (t) => {
    const a = await held(store, 'ada@harbour.example', { flags: ['\\Seen'] });
    const b = await held(store, 'ben@quay.example', { text: 'Longer than the other.' });
    const c = await held(store, 'cyd@harbour.example', { flags: ['\\Seen'] });
    const check = (view: ViewSnapshot, entries: readonly (typeof a)[]): void => {
      t.same(
        [...view.uids],
        entries.map(({ uid }) => uid),
      );
      t.same(
        [...view.entryIds],
        entries.map(({ id }) => id),
      );
      t.same(
        [...view.messageIds],
        entries.map(({ messageId }) => messageId),
      );
      t.same(
        [...view.internalDates],
        entries.map(({ internalDate }) => internalDate.getTime()),
      );
    };
    const all = await store.views.load(everything, 'caught');
    check(all, [a, b, c]);
    t.ok(all.sizes[1]! > all.sizes[0]!);
    t.same(all.flagSets, ['\\Seen', '']);
    t.same([...all.flagSet], [0, 1, 0]);
    t.equal(all.uidNext, c.uid + 1);
    t.equal(all.asOf, await store.changes.end());
    t.equal(all.modSeqs[2], all.highestModSeq);
    check(await store.views.load(domain('harbour.example'), 'caught'), [a, c]);
    check(await store.views.load(recipient('ben@quay.example'), 'caught'), [b]);
    check(await store.views.load(recipient('ben@quay.example'), 'outgoing'), []);
  });

  await t.test('UIDNEXT moves only when something came into that folder of that scope', async (t) => {
    const ben = recipient('ben@quay.example');
    const before = await store.views.top(ben, 'caught');
    const other = await held(store, 'ada@harbour.example');
    const outgoing = await held(store, 'ben@quay.example', { direction: 'outgoing' });
    t.same(await store.views.top(ben, 'caught'), before);
    t.equal((await store.views.top(everything, 'caught')).uidNext, other.uid + 1);
    t.equal((await store.views.top(ben, 'outgoing')).uidNext, outgoing.uid + 1);
    t.equal((await store.views.top(domain('quay.example'), 'outgoing')).uidNext, outgoing.uid + 1);
    await store.entries.setFlags(
      { scope: ben, folder: 'outgoing', uids: [outgoing.uid] },
      { op: 'add', flags: ['$x'] },
    );
    t.equal((await store.views.top(ben, 'outgoing')).uidNext, outgoing.uid + 1);
    t.equal((await store.views.load(ben, 'outgoing')).highestModSeq, await store.changes.end());
  });

  await t.test('what was expunged from Trash at one level is hidden there alone', async (t) => {
    const hid = await held(store, 'hal@quay.example');
    const actor = { account: 'hal@quay.example', via: 'imap' };
    const scope = recipient('hal@quay.example');
    await store.entries.expunge({ scope, folder: 'caught', uids: [hid.uid] }, actor);
    const inTrash = await store.entries.get(hid.id);
    t.match(inTrash, { place: 'trash', folder: 'trash' });
    const uid = inTrash!.uid as Uid;
    t.same([...(await store.views.load(scope, 'trash')).uids], [uid]);
    const { uidNext } = await store.views.top(scope, 'trash');
    await store.entries.expunge({ scope, folder: 'trash', uids: [uid] }, actor);
    t.same([...(await store.views.load(scope, 'trash')).uids], []);
    t.same([...(await store.views.load(domain('quay.example'), 'trash')).uids], [uid]);
    t.equal((await store.views.top(scope, 'trash')).uidNext, uidNext, 'UIDNEXT does not fall');
    t.same(await store.entries.list({ scope, folder: 'trash', limit: 5 }), []);
    t.equal((await store.entries.list({ scope: everything, folder: 'trash', limit: 5 })).length, 1);
    const set = await store.entries.setFlags({ scope, folder: 'trash', uids: [uid] }, { op: 'add', flags: ['$x'] });
    t.same(set.changed, [], 'and cannot be marked there');
  });
}
