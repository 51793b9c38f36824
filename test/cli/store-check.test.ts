/** `lazaret store check` and `store optimize`. */
import { DatabaseSync } from '@photostructure/sqlite';
import t from 'tap';
import { startHeartbeat } from '#app/lib/heartbeat';
import { openStore } from '#store/open';
import { fill } from './store-world.ts';
import { world } from './world.ts';

t.test('a check says what is wrong in sentences, mends it when it is told to, and tells what is left', async (t) => {
  const w = world(t);
  t.match(await w.run('store', 'check'), { code: 1, err: /no store/ });
  await fill(w.store);
  t.match(await w.run('store', 'check'), { code: 0, out: '', err: 'All is in order\n' });
  const db = new DatabaseSync(w.store, { enableForeignKeyConstraints: false });
  db.exec('DELETE FROM chunks WHERE id / 65536 = 5');
  db.exec("UPDATE chunks SET bytes = cast('x' || substr(bytes, 2) AS BLOB) WHERE id / 65536 = 4");
  db.exec('UPDATE counters SET last_uid = 1');
  db.close();
  const told = await w.run('store', 'check');
  t.match(told, { code: 1, err: /3 left; --repair/ });
  t.match(told.out, /^Entry 5: the octets of its message 5 are gone\.$/m);
  t.match(told.out, /^Entry 4: message 4 has another hash/m);
  t.match(told.out, /^The counter "lastUid" is 1, and \d+ was given\.$/m);
  t.match(JSON.parse((await w.run('store', 'check', '--json')).out), { unmended: 3, findings: [{ mended: false }] });
  t.match(await w.run('store', 'check', '--repair'), { code: 0, out: /it is expired now/ });
  t.match(await w.run('store', 'check'), { code: 0 });
  t.match(await w.run('list', '--state', 'expired', '--ids'), { out: '5\n' });
});

t.test('optimize says what it did', async (t) => {
  const w = world(t);
  await fill(w.store);
  const db = new DatabaseSync(w.store);
  db.exec('CREATE TABLE waste (bytes BLOB); INSERT INTO waste VALUES (zeroblob(4000000)); DROP TABLE waste');
  db.close();
  const store = await openStore(`sqlite:${w.store}`);
  const stop = await startHeartbeat(store.settings);
  t.match(await w.run('store', 'optimize'), { code: 0, out: /with the server stopped/ });
  await stop();
  await store.close();
  t.match(await w.run('store', 'optimize'), { code: 0, out: /Wrote the file anew.*Freed \d+\.\d MiB/s });
  t.match(await w.run('store', 'check'), { code: 0 });
});
