/** `lazaret store copy`: the same store elsewhere, whatever happens on the way. */
import { existsSync, rmSync } from 'node:fs';
import t from 'tap';
import { startHeartbeat } from '#app/lib/heartbeat';
import { openStore } from '#store/open';
import { held } from '../store/contract/harness.ts';
import { ada } from '../store/dropping.ts';
import { fill, places, same, withClient } from './store-world.ts';
import { world } from './world.ts';

t.test('a copy is the same store at another place, and says so', async (t) => {
  const w = world(t);
  const { from, other, to } = places(w);
  t.match(await w.run('store', 'copy', from, to), { code: 1, err: /There is no store at/ });
  t.notOk(existsSync(w.store), 'and none was made');
  await fill(w.store);
  const copied = await w.run('store', 'copy', from, to);
  t.match(copied, { code: 0, err: '' });
  t.match(copied.out, /^KIND +FROM +TO +HASH/);
  t.match(copied.out, /messages +6 +6 +[0-9a-f]{16} +the same/);
  t.notMatch(copied.out, /differs/);
  await same(t, w.store, other);
  t.match(await w.run('store', 'copy', from, to), { code: 1, err: /not empty/ }, 'never onto something');
  rmSync(other);
  const json = await w.run('store', 'copy', from, `${to}2`, '--json');
  t.match(JSON.parse(json.out), { same: true, kinds: { entries: { from: { count: 6 }, to: { count: 6 } } } });
  t.match(await w.run('store', 'copy', 'nonsense:x', to), { code: 1, err: /no known kind/ });
  t.match(await w.run('store', 'copy', from), { code: 2 });
});

t.test('a copy beside a running server is not finished, and goes on when it is stopped', async (t) => {
  const w = world(t);
  const { from, to, other } = places(w);
  await fill(w.store);
  const store = await openStore(from, { durable: false });
  const stop = await startHeartbeat(store.settings);
  const first = await w.run('store', 'copy', from, to);
  t.match(first, { code: 1, err: /A server is working.*not finished.*run the same again/ });
  t.match(first.out, /messages +6 +6 /, 'though all was compared');
  await t.rejects(openStore(to), { name: 'StoreRefused' }, 'no server starts on it');
  await held(store, ada, { text: 'Came in between.' });
  await stop();
  await store.close();
  t.match(await w.run('store', 'copy', from, to), { code: 0, out: /messages +7 +7 / });
  await same(t, w.store, other);
});

t.test('a mail client that knows the folder sees no difference after a copy', async (t) => {
  const w = world(t);
  const { from, to } = places(w);
  await fill(w.store);
  const seen = (url: string) =>
    withClient(t, w, url, async (client) => {
      const lines: string[] = [];
      for (const folder of ['Caught', 'Trash', 'Release']) {
        lines.push(...(await client.ok(`SELECT ${folder} (CONDSTORE)`)));
        if (folder !== 'Release') lines.push(...(await client.ok('UID FETCH 1:* (FLAGS MODSEQ RFC822.SIZE ENVELOPE)')));
      }
      return lines;
    });
  const before = await seen(from);
  t.ok(before.some((line) => /UIDVALIDITY/.test(line)) && before.some((line) => /MODSEQ \(/.test(line)));
  t.match(await w.run('store', 'copy', from, to), { code: 0 });
  t.strictSame(await seen(to), before);
});
