/** `lazaret store backup` and `store restore`. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { admit, aSpamFor, collect, everything, held, recipient } from '../store/contract/harness.ts';
import * as d from '../store/dropping.ts';
import { ada } from '../store/dropping.ts';
import { fill, inStore, places } from './store-world.ts';
import { run as runVerb, world } from './world.ts';

t.test('a backup is restored: the same mail, another UIDVALIDITY, and nothing is done twice', async (t) => {
  const w = world(t);
  const { from, to } = places(w);
  await fill(w.store);
  const file = join(w.folder, 'backup');
  t.match(await w.run('store', 'backup', file), { code: 0, out: /6 messages, 6 entries/ });
  t.equal(statSync(file).mode & 0o777, 0o600, 'for its owner only');
  t.strictSame(
    readdirSync(w.folder).filter((name) => name.includes('unfinished')),
    [],
  );
  t.match(await w.run('store', 'backup', file), { code: 1, err: /there already/ });
  t.match(await w.run('store', 'restore', file), { code: 1, err: /not empty/ }, 'never onto something');

  const before = await openStore(from);
  t.teardown(() => before.close());
  const restore = () => runVerb('store', 'restore', file, '--config', w.config);
  writeFileSync(w.config, `${readFileSync(w.config, 'utf8')}store: "${to}"\n`);
  const restored = await restore();
  t.match(restored, { code: 0, out: /^restored/, err: /2 that were being released are held again/ });
  t.match(restored.err, /2 were to be learned from; "lazaret training retry"/);
  t.match(await restore(), { code: 1, err: /not empty/ });

  const store = await openStore(to);
  t.teardown(() => store.close());
  t.ok(store.uidValidity > before.uidValidity);
  t.strictSame(await store.accounts.list(), await before.accounts.list());
  const states = async (each: Store) =>
    (await each.entries.list({ scope: everything, limit: 100 })).map(({ id, state }) => `${id} ${state}`).reverse();
  t.strictSame(await states(before), ['1 released', '2 dropped', '3 dropped', '4 trained', '5 held', '6 held']);
  t.strictSame(await states(store), ['1 released', '2 held', '3 held', '4 trained', '5 held', '6 held']);
  const lastUid = Math.max(...(await before.views.load(everything, 'trash')).uids);
  t.strictSame(await d.view(store), ['5', '6 \\Seen $x', ...[1, 2].map((n) => `${lastUid + n} $ReleaseFailed`)]);
  const again = await store.entries.get(2 as never);
  t.match(
    again!.prefix.replace(/\r\n /g, ' '),
    /X-Lazaret-Id: 2\r\n.*X-Lazaret-Status: .*may have been delivered already/s,
  );
  const sizes = await store.views.load(recipient(ada), 'caught');
  const at = [...sizes.uids].indexOf(again!.uid!);
  t.equal(sizes.sizes[at], (await store.messages.get(again!.messageId))!.size + Buffer.byteLength(again!.prefix));
  t.match(await store.jobs.counts(), { ready: 0, leased: 0 });
  const jobs = (await store.entries.history(2 as never))!.jobs;
  t.match(jobs, [{ state: 'cancelled', outcome: 'restored from a backup' }, { state: 'cancelled' }]);
  t.equal(await store.jobs.retryUntrained(), 2);
  t.strictSame((await d.run(store, d.done())).sort(), ['train-ham 2', 'train-spam 4']);
  for await (const finding of store.upkeep.check({ repair: false })) t.fail(JSON.stringify(finding));
  t.ok((await held(store, ada, { text: 'New.' })).uid > again!.uid!);
  const [drop] = (await d.drop(store, 'release', [again!.uid!])).pairs;
  t.ok(drop, 'and what came back can be released');
});

t.test(
  'a backup that is not whole, was changed, or is of a newer program is refused before anything is written',
  async (t) => {
    const w = world(t);
    await fill(w.store);
    const file = join(w.folder, 'backup');
    await w.run('store', 'backup', file);
    writeFileSync(w.config, `${readFileSync(w.config, 'utf8')}store: "sqlite:${join(w.folder, 'new.db')}"\n`);
    const whole = readFileSync(file);
    const bad = join(w.folder, 'bad');
    const refuses = async (bytes: Uint8Array, err: RegExp, what: string) => {
      writeFileSync(bad, bytes);
      t.match(await w.run('store', 'restore', bad), { code: 1, err }, what);
      t.notOk(existsSync(join(w.folder, 'new.db')), 'nothing was written');
    };
    const changed = Buffer.from(whole);
    changed[whole.indexOf('Number 3.')]! ^= 1;
    await refuses(changed, /not whole/, 'one octet');
    for (const length of [40, 3000, whole.length >> 1, whole.length - 80, whole.length - 1])
      await refuses(whole.subarray(0, length), /not whole/, `${length} octets of it`);
    await refuses(Buffer.concat([whole, Buffer.from('x')]), /not whole/, 'more than it');
    await refuses(Buffer.from('lazaret-backup 3\n'), /newer program/, 'version 3');
    await refuses(Buffer.from('From me\n'), /no backup/, 'something else');
    await refuses(Buffer.from(''), /not whole/, 'nothing');
    t.match(await w.run('store', 'restore', join(w.folder, 'none')), { code: 1, err: /no file/ });
    t.match(await w.run('store', 'restore', file), { code: 0 }, 'and the whole one is taken');
  },
);

t.test('a backup of the first version is restored: nothing is known of trainings and inventories', async (t) => {
  const w = world(t);
  await fill(w.store);
  const file = join(w.folder, 'backup');
  await w.run('store', 'backup', file);
  // As that version wrote it: without the records of these kinds, their counts, and with a hash of its own.
  const text = readFileSync(file, 'latin1')
    .replace('lazaret-backup 2\n', 'lazaret-backup 1\n')
    .replace(/^\{"kind":"(trainingLines|inventories)".*\n/gm, '')
    .replace(/,"(trainingLines|inventories)":\d+/g, '')
    .replace(/sha256 [0-9a-f]{64}\n$/, '');
  const hash = createHash('sha256').update(text, 'latin1').digest('hex');
  writeFileSync(file, `${text}sha256 ${hash}\n`, 'latin1');
  t.notMatch(text, 'trainingLines');
  writeFileSync(w.config, `${readFileSync(w.config, 'utf8')}store: "sqlite:${join(w.folder, 'new.db')}"\n`);
  t.match(await w.run('store', 'restore', file), { code: 0 });
  await inStore(join(w.folder, 'new.db'), async (store) => {
    const { records } = await store.upkeep.count();
    t.match(records, { trainingLines: 0, inventories: 0, messages: 6 });
    t.equal((await store.messages.withoutInventory(10)).length, 6, 'they are to be made');
  });
});

t.test('a backup that is made while mail comes in is one moment of it', async (t) => {
  const w = world(t);
  await fill(w.store);
  const store = await openStore(`sqlite:${w.store}`, { durable: false });
  t.teardown(() => store.close());
  let going = true;
  let admitted = 0;
  const load = Array.from({ length: 4 }, async (_, n) => {
    for (let i = 0; going; i += 1) {
      await admit(store, aSpamFor(ada, { text: `${n} ${i} ${'x'.repeat(i % 50 === 0 ? 300_000 : 10)}` }));
      admitted += 1;
    }
  });
  const file = join(w.folder, 'backup');
  const backed = await w.run('store', 'backup', file);
  going = false;
  await Promise.all(load);
  t.match(backed, { code: 0 });
  t.ok(admitted > 0);
  const place = join(w.folder, 'new.db');
  writeFileSync(w.config, `${readFileSync(w.config, 'utf8')}store: "sqlite:${place}"\n`);
  t.match(await w.run('store', 'restore', file), { code: 0 });
  t.match(await w.run('store', 'check'), { code: 0 }, 'everything is whole');
  await inStore(place, async (restored) => {
    const entries = await restored.entries.list({ scope: everything, limit: 100_000 });
    t.ok(entries.length >= 6 && entries.length <= 6 + admitted);
    for (const { id, messageId, message } of entries) {
      const octets = await collect(restored.messages.read(messageId));
      if (octets.length !== message.size) t.fail(`entry ${id} has ${octets.length} octets instead of ${message.size}`);
    }
    const ids = entries.map(({ id }) => id).reverse();
    const all = (await store.entries.list({ scope: everything, limit: 100_000 })).map(({ id }) => id).reverse();
    t.strictSame(ids, all.slice(0, ids.length), 'no entry is missing before the last one');
    const { changes, end } = await restored.changes.since(0 as never, 1_000_000);
    t.equal(changes.at(-1)!.modSeq, end, 'the log goes up to the last number');
  });
});
