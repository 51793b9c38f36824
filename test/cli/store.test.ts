/** Verbs on whole stores: copied, backed up and restored, checked, optimized. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import t, { type Test } from 'tap';
import { hashPassword } from '#app/accounts/passwords';
import { assemble } from '#app/assemble';
import { contentsOf } from '#app/cli/store-contents';
import { configFrom } from '#app/config/load';
import { startHeartbeat } from '#app/lib/heartbeat';
import { silent } from '#app/observe/log';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { admit, aSpamFor, collect, everything, held, recipient } from '../store/contract/harness.ts';
import * as d from '../store/dropping.ts';
import { ada } from '../store/dropping.ts';
import { ImapClient } from '../support/imap-client.ts';
import { type Ran, run as runVerb, type World, world } from './world.ts';

const root = join(import.meta.dirname, '../..');

async function inStore<T>(file: string, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(`sqlite:${file}`, { durable: false });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Some mail, one of it large, one released and delivered, one on its way, one to be learned from. */
function fill(file: string): Promise<void> {
  return inStore(file, async (store) => {
    const uids = [];
    for (const n of [1, 2, 3, 4, 5]) uids.push((await held(store, ada, { text: `Number ${n}.` })).uid);
    await held(store, ada, { text: 'A large one.\r\n'.repeat(40_000), flags: ['\\Seen', '$x'] });
    await d.drop(store, 'release', [uids[0]!]);
    await d.run(store, d.done());
    await d.drop(store, 'release-train', [uids[1]!]);
    await d.drop(store, 'release', [uids[2]!], { mode: 'copy', undoMs: 60_000 });
    await d.drop(store, 'spam', [uids[3]!]);
    await store.accounts.add({ name: ada, scope: recipient(ada), passwordHash: await hashPassword('a long password') });
  });
}

const places = (w: World) => ({
  from: `sqlite:${w.store}`,
  other: join(w.folder, 'other.db'),
  to: `sqlite:${join(w.folder, 'other.db')}`,
});

const same = async (t: Test, a: string, b: string): Promise<void> => {
  const [one, other] = [await inStore(a, (store) => contentsOf(store, () => {})), b];
  t.ok(one.isSame(await inStore(other, (store) => contentsOf(store, () => {}))), 'both have the same in them');
};

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

async function processOf(env: NodeJS.ProcessEnv, ...argv: string[]): Promise<Ran & { readonly signal: string | null }> {
  const source = ['--conditions=lazaret-source', '--import=./tools/ts.mjs', '--import=./test/support/kill-at.mjs'];
  const child = spawn(process.execPath, [...source, 'src/main.ts', ...argv], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, out, err };
}

t.test('a copy that is killed at any step goes on when it is run again', async (t) => {
  const w = world(t);
  const { from, to, other } = places(w);
  await fill(w.store);
  const copy = ['store', 'copy', from, to, '--config', w.config];
  for (const step of ['importMessage@3', 'importChunk@2', 'write', 'finish']) {
    const killed = await processOf({ KILL_AT: `store.committing:upkeep.${step}` }, ...copy);
    t.match(killed, { signal: 'SIGKILL' }, step);
    await t.rejects(openStore(to), { name: 'StoreRefused' });
  }
  t.match(await processOf({}, ...copy), { code: 0 });
  await same(t, w.store, other);
});

// ------------------------------------------------------------------------------------------------ backup and restore

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
    await refuses(Buffer.from('lazaret-backup 2\n'), /newer program/, 'version 2');
    await refuses(Buffer.from('From me\n'), /no backup/, 'something else');
    await refuses(Buffer.from(''), /not whole/, 'nothing');
    t.match(await w.run('store', 'restore', join(w.folder, 'none')), { code: 1, err: /no file/ });
    t.match(await w.run('store', 'restore', file), { code: 0 }, 'and the whole one is taken');
  },
);

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

// --------------------------------------------------------------------------------------------------- check, optimize

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

// ---------------------------------------------------------------------------------------------------- a client's view

t.test('a mail client that knows the folder sees no difference after a copy', async (t) => {
  const w = world(t);
  const { from, to } = places(w);
  await fill(w.store);
  const seen = async (url: string) => {
    const config = configFrom(
      {
        hostname: 'quarantine.example',
        store: url,
        imap: { listen: ['127.0.0.1:0'], allowCleartextLogin: true },
        intake: { lmtp: [], smtp: [] },
        domains: { 'harbour.example': {} },
        roles: ['imap'],
      },
      w.folder,
    );
    const app = await assemble(config, { log: silent, version: 'test', onEvent: () => {} });
    try {
      const { imap } = await app.start();
      const client = await ImapClient.connect(t, imap[0]!.port);
      await client.ok(`LOGIN ${ada} "a long password"`);
      const lines: string[] = [];
      for (const folder of ['Caught', 'Trash', 'Release']) {
        lines.push(...(await client.ok(`SELECT ${folder} (CONDSTORE)`)));
        if (folder !== 'Release') lines.push(...(await client.ok('UID FETCH 1:* (FLAGS MODSEQ RFC822.SIZE ENVELOPE)')));
      }
      await client.ok('LOGOUT').catch(() => []);
      return lines;
    } finally {
      await app.stop(1000);
    }
  };
  const before = await seen(from);
  t.ok(before.some((line) => /UIDVALIDITY/.test(line)) && before.some((line) => /MODSEQ \(/.test(line)));
  t.match(await w.run('store', 'copy', from, to), { code: 0 });
  t.strictSame(await seen(to), before);
});
