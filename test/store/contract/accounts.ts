/** Accounts, settings, help texts, and what closing means. */
import type { Test } from 'tap';
import { Conflict, NotFound, StoreUnavailable } from '#store/errors';
import { bytesOf, domain, everything, held, type OpenHarness, recipient, textOf } from './harness.ts';

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const { store, advance, again } = await open(t);

  await t.test('keeps accounts by name', async (t) => {
    const { accounts } = store;
    await accounts.add({ name: 'global', scope: everything, passwordHash: 'h1' });
    await accounts.add({
      name: 'ann*harbour.example',
      scope: domain('harbour.example'),
      person: 'ann',
      passwordHash: 'h2',
    });
    await accounts.add({ name: 'ada@harbour.example', scope: recipient('ada@harbour.example'), passwordHash: 'h3' });
    await t.rejects(accounts.add({ name: 'global', scope: everything, passwordHash: 'h4' }), Conflict);
    t.same(
      (await accounts.list()).map(({ name }) => name),
      ['ada@harbour.example', 'ann*harbour.example', 'global'],
    );
    t.notOk('passwordHash' in (await accounts.list())[0]!);
    const ann = await accounts.get('ann*harbour.example');
    t.match(ann, { scope: { level: 'domain', domain: 'harbour.example' }, person: 'ann', passwordHash: 'h2' });
    t.same(ann!.createdAt, ann!.passwordChangedAt);

    advance(60_000);
    await accounts.setPassword('ann*harbour.example', 'h5');
    const changed = await (await again()).accounts.get('ann*harbour.example');
    t.equal(changed?.passwordHash, 'h5');
    t.ok(changed!.passwordChangedAt.getTime() - ann!.passwordChangedAt.getTime() >= 60_000, 'by the store’s clock');
    await t.rejects(accounts.setPassword('nobody', 'h'), NotFound);

    t.equal(await accounts.remove('global'), true);
    t.equal(await accounts.remove('global'), false);
    t.equal(await accounts.get('global'), undefined);
  });

  await t.test('keeps settings', async (t) => {
    const { settings } = store;
    t.equal(await settings.get('key'), undefined);
    t.equal(textOf(await settings.putIfAbsent('key', bytesOf('one'))), 'one');
    t.equal(textOf(await settings.putIfAbsent('key', bytesOf('two'))), 'one', 'who comes second gets what is there');
    await settings.put('key', bytesOf('three'));
    t.equal(textOf((await (await again()).settings.get('key'))!), 'three');
    await settings.put('empty', new Uint8Array());
    t.equal((await settings.get('empty'))?.length, 0);
  });

  await t.test('a new help text is a new UID, the same one the same', async (t) => {
    const first = await store.settings.helpUid('ada@harbour.example', 'hash 1');
    t.equal(await store.settings.helpUid('ada@harbour.example', 'hash 1'), first);
    const other = await store.settings.helpUid('ben@quay.example', 'hash 1');
    const second = await store.settings.helpUid('ada@harbour.example', 'hash 2');
    t.ok(first < other && other < second);
    t.ok((await held(store, 'ada@harbour.example')).uid > second, 'out of the one sequence');
  });

  await t.test('nobody has to be told anything at first', async (t) => {
    t.same(await store.notices.take('ada@harbour.example'), []);
  });

  await t.test('closing finishes accepted work and refuses more', async (t) => {
    const other = await again();
    const accepted = other.settings.put('last', bytesOf('words'));
    const read = other.settings.get('key');
    await Promise.all([other.close(), other.close()]);
    await accepted;
    t.equal(textOf((await read)!), 'three');
    await t.rejects(other.settings.get('key'), StoreUnavailable);
    await t.rejects(other.settings.put('more', bytesOf('')), StoreUnavailable);
    await t.rejects(held(other, 'ada@harbour.example'), StoreUnavailable);
    t.equal(textOf((await store.settings.get('last'))!), 'words');
  });
}
