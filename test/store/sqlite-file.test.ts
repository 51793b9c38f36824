/** What the SQLite driver promises beyond the contract: about its file, its threads, its queries, and trouble with a disk. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { StoreBusy, StoreFull, StoreRefused, StoreUnavailable } from '#store/errors';
import type { EntryId, MessageId } from '#store/model';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { changesText } from '#store/sqlite/changes';
import { listText } from '#store/sqlite/entries';
import { openMigrated } from '#store/sqlite/migrate';
import { Database } from '#store/sqlite/sqlite';
import { openSqlite } from '#store/sqlite/store';
import { Thread } from '#store/sqlite/thread';
import { trainingsText } from '#store/sqlite/trainings';
import { viewText } from '#store/sqlite/views';
import { admit, aSpamFor, domain, everything, held, put, recipient } from './contract/harness.ts';

const run = promisify(execFile);
const child = (name: string): string => fileURLToPath(new URL(`./children/${name}`, import.meta.url));

/** Opens, and closes when the test ends. */
async function open(t: Test, file: string, busyTimeoutMs = 5000): Promise<Store> {
  const store = await openStore(`sqlite:${file}`, { durable: false, busyTimeoutMs });
  t.teardown(() => store.close());
  return store;
}

const modeOf = (file: string): string => (statSync(file).mode & 0o777).toString(8);

t.test('makes folder and file for its owner alone', async (t) => {
  const file = join(t.testdir(), 'a', 'b', 'lazaret.db');
  await held(await open(t, file), 'ada@harbour.example');
  t.same([modeOf(join(file, '..')), modeOf(file), modeOf(`${file}-wal`)], ['700', '600', '600']);
});

t.test('a connection waits for the disk, and for its turn (DESIGN §7.13)', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  for (const durable of [true, false]) {
    const { db } = openMigrated({ file, busyTimeoutMs: 4321, durable });
    const pragma = (name: string) => Object.values(db.prepare(`PRAGMA ${name}`).get())[0];
    t.equal(pragma('synchronous'), durable ? 2 : 0, 'FULL, but where a test says otherwise');
    t.equal(pragma('journal_mode'), 'wal');
    t.equal(pragma('busy_timeout'), 4321);
    t.equal(pragma('foreign_keys'), 1);
    db.close();
  }
});

t.test('several programs that make one store at once make one', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  const stores = await Promise.all([open(t, file), open(t, file), open(t, file)]);
  t.equal(new Set(stores.map(({ uidValidity }) => uidValidity)).size, 1);
  const uids = await Promise.all(stores.map(async (store) => (await held(store, 'ada@harbour.example')).uid));
  t.same(
    uids.sort((a, b) => a - b),
    [1, 2, 3],
  );
});

t.test('numbers go on where they stopped', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  const first = await openStore(`sqlite:${file}`, { durable: false });
  const before = await held(first, 'ada@harbour.example');
  const scope = recipient('ada@harbour.example');
  const actor = { account: 'ada@harbour.example', via: 'imap' };
  await first.entries.expunge({ scope, folder: 'caught', uids: [before.uid] }, actor);
  const tops = [await first.views.top(scope, 'caught'), await first.views.top(scope, 'trash')];
  t.strictSame(
    tops.map(({ uidNext }) => uidNext),
    [before.uid + 1, before.uid + 2],
    'UIDNEXT does not fall with what leaves (DESIGN §7.4)',
  );
  const end = await first.changes.end();
  await first.close();
  const second = await open(t, file);
  t.strictSame([await second.views.top(scope, 'caught'), await second.views.top(scope, 'trash')], tops);
  t.equal(second.uidValidity, first.uidValidity);
  t.equal(await second.changes.end(), end);
  t.equal((await held(second, 'ada@harbour.example')).uid, before.uid + 2);
});

t.test('says what is wrong with a place', async (t) => {
  const folder = t.testdir({ file: 'x', damaged: 'not a database, and no empty file either\n'.repeat(100) });
  const other = new Database(join(folder, 'other.db'));
  other.exec('CREATE TABLE notes (text TEXT)');
  other.close();
  const newer = join(folder, 'newer.db');
  await (await openStore(`sqlite:${newer}`, { durable: false })).close();
  const raised = new Database(newer);
  raised.exec('PRAGMA user_version = 99');
  raised.close();

  for (const [url, error, words] of [
    [
      'postgres://u:secret@host/x',
      StoreRefused,
      /^The store "postgres:\/\/…@host\/x" is of no known kind; write sqlite:/,
    ],
    ['lazaret.db', StoreRefused, /write sqlite: and the path of a file/],
    ['sqlite:', StoreRefused, /names no file/],
    ['sqlite::memory:', StoreRefused, /names no file/],
    [`sqlite:${folder}`, StoreRefused, /is a folder, and has to be a file/],
    [`sqlite:${folder}/file/lazaret.db`, StoreRefused, /is a file, and has to be a folder/],
    [`sqlite:${folder}/damaged`, StoreUnavailable, /is damaged: .* restore a backup, or move it away/],
    [`sqlite:${folder}/other.db`, StoreRefused, /is the database of another program; give the store another place/],
    [
      `sqlite:${newer}`,
      StoreRefused,
      /newer version of this program \(its schema is 99, .*\); run that version, or restore/,
    ],
  ] as const)
    await t.rejects(openStore(url), { name: error.name, message: words }, url);
});

t.test('a store of the first schema is brought up to date, by one of those that open it', async (t) => {
  const file = join(t.testdir(), 'old.db');
  const old = new Database(file);
  old.exec(readFileSync(new URL('../../store/sqlite/migrations/0001-first.sql', import.meta.url), 'utf8'));
  old.exec(`PRAGMA application_id = ${0x4c5a5254};
    PRAGMA user_version = 1;
    INSERT INTO counters VALUES (1, 7, 1, 2, 2, 0);
    INSERT INTO messages VALUES (1, 0, 'a', 'b', 0, '', '{}', x'', 'Old', 'Ann', 1), (2, 0, 'a', 'b', 0, '', '{}', x'', 'Old', 'Ann', 1);
    INSERT INTO entries (id, message_id, owner, owner_domain, recipient, direction, class, place, state, uid, folder, prefix, size,
      verdict, internal_date, held_at, mod_r, mod_d, mod_g)
      VALUES (1, 1, 'ada@harbour.example', 'harbour.example', 'ada@harbour.example', 'incoming', 'training', 'training', 'held', 1,
        'training', '', 0, '{"reason":"spam","source":"none","rules":[]}', 1, 1, 1, 1, 1);`);
  old.close();
  const stores = await Promise.all([1, 2, 3].map(() => openStore(`sqlite:${file}`, { durable: false })));
  t.teardown(() => Promise.all(stores.map((store) => store.close())));
  t.equal(stores[0]!.uidValidity, 7);
  t.strictSame(await stores[0]!.messages.withoutInventory(10), [1, 2], 'all that was there is to be listed');
  await stores[1]!.messages.putInventory(1 as MessageId, { attachments: [], links: [] });
  t.strictSame(await stores[2]!.messages.withoutInventory(10), [2]);
  const entry = await stores[0]!.entries.get(1 as EntryId);
  t.equal(entry?.expiresAt, undefined);
  t.match((await stores[0]!.entries.history(1 as EntryId))?.trainings, []);
  while ((await stores[0]!.housekeep()).more);
  t.match(await stores[0]!.entries.get(1 as EntryId), { state: 'held', place: 'training' }, 'and has no end');
});

t.test('says that a folder is read-only', async (t) => {
  const folder = t.testdir({ store: {} });
  chmodSync(join(folder, 'store'), 0o555);
  const root = process.getuid?.() === 0; // to whom no folder is read-only
  if (root) chmodSync(folder, 0o755);
  const { stdout } = await run(process.execPath, [
    ...process.execArgv,
    child('refused.ts'),
    `sqlite:${join(folder, 'store', 'lazaret.db')}`,
    ...(root ? ['65534'] : []),
  ]);
  t.match(
    stdout,
    /^StoreUnavailable: The store cannot be written: this user may not write .*lazaret\.db and its folder/,
  );
});

t.test('a full disk refuses what comes, keeps what is there, and is no trouble when it has space again', async (t) => {
  const pageLimit = new SharedArrayBuffer(4);
  const options = { file: join(t.testdir(), 'lazaret.db'), busyTimeoutMs: 5000, durable: false, pageLimit };
  const store = await openSqlite(options);
  t.teardown(() => store.close());
  const before = await held(store, 'ada@harbour.example');
  const end = await store.changes.end();

  new Int32Array(pageLimit)[0] = 1; // less than there is: not a page more
  const big = aSpamFor('ada@harbour.example', { text: 'x'.repeat(100_000) });
  const ended = await Promise.allSettled([admit(store, big), admit(store, big), admit(store, big)]);
  for (const one of ended) t.ok(one.status === 'rejected' && one.reason instanceof StoreFull);
  await t.rejects(put(store, new Uint8Array(600_000)), StoreFull, 'a large one while it comes');
  t.equal(await store.changes.end(), end);
  t.equal((await store.entries.get(before.id))?.uid, before.uid, 'reading goes on');

  new Int32Array(pageLimit)[0] = 0;
  const [after] = await admit(store, big);
  t.equal(after?.uid, before.uid + 1, 'and no number was lost');
  const bytes = await put(store, new Uint8Array(600_000));
  t.equal((await store.entries.admit({ ...big.message, bytes }, big.entries))[0]?.how, 'new');
});

t.test('a locked file is busy for writers, open to readers, and free when it is free', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  const store = await open(t, file, 50);
  const before = await held(store, 'ada@harbour.example');
  const lock = new Database(file);
  lock.exec('BEGIN IMMEDIATE');
  await t.rejects(admit(store, aSpamFor('ada@harbour.example')), StoreBusy);
  t.equal((await store.entries.get(before.id))?.uid, before.uid);
  lock.exec('ROLLBACK');
  lock.close();
  t.equal((await held(store, 'ada@harbour.example')).uid, before.uid + 1);
});

t.test('a file that is gone gets no mail, and the service goes on when it is back', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'lazaret.db');
  const store = await open(t, file);
  const before = await held(store, 'ada@harbour.example');
  mkdirSync(join(folder, 'away'));
  const move = (a: string, b: string): void => {
    for (const name of ['lazaret.db', 'lazaret.db-wal', 'lazaret.db-shm'])
      if (statSync(join(a, name), { throwIfNoEntry: false })) renameSync(join(a, name), join(b, name));
  };
  move(folder, join(folder, 'away'));
  await t.rejects(admit(store, aSpamFor('ada@harbour.example')), StoreUnavailable);
  await t.rejects(store.entries.get(before.id), StoreUnavailable);
  t.notOk(statSync(file, { throwIfNoEntry: false }), 'nor does an empty store come in its place');
  move(join(folder, 'away'), folder);
  t.equal((await store.entries.get(before.id))?.uid, before.uid);
  t.equal((await held(store, 'ada@harbour.example')).uid, before.uid + 1);
});

t.test('a thread that had nothing to do before knows too which file is the store', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'lazaret.db');
  const store = await open(t, file);
  renameSync(file, join(folder, 'away.db'));
  const gone = { name: 'StoreUnavailable', message: /put it back/ };
  await t.rejects(store.changes.end(), gone);
  await t.rejects(store.upkeep.optimize({ alone: false }), gone);
  t.notOk(statSync(file, { throwIfNoEntry: false }), 'no reader makes an empty file');
  renameSync(join(folder, 'away.db'), file);
  await t.resolves(store.changes.end());
});

t.test('another store in its place is refused: its numbers are others', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'lazaret.db');
  await (await openStore(`sqlite:${join(folder, 'other.db')}`, { durable: false })).close();
  const store = await open(t, file);
  await held(store, 'ada@harbour.example');
  for (const name of ['lazaret.db', 'lazaret.db-wal', 'lazaret.db-shm'])
    renameSync(join(folder, name), join(folder, `away-${name}`));
  renameSync(join(folder, 'other.db'), file);
  await t.rejects(admit(store, aSpamFor('ada@harbour.example')), { name: 'StoreUnavailable', message: /restart/ });
  await t.rejects(store.views.load(everything, 'caught'), StoreUnavailable);
});

t.test('a file that is damaged while it is open is unavailable, not an answer', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  const first = await openStore(`sqlite:${file}`, { durable: false });
  for (let n = 0; n < 20; n += 1) await held(first, 'ada@harbour.example', { text: 'x'.repeat(5000) });
  await first.close();
  const { size } = statSync(file);
  const store = await open(t, file);
  writeFileSync(file, Buffer.alloc(size - 4096, 0x5a), { flag: 'r+' });
  await t.rejects(store.views.load(everything, 'caught'), StoreUnavailable);
  await t.rejects(admit(store, aSpamFor('ada@harbour.example')), StoreUnavailable);
});

t.test('a thread that dies fails the calls that wait for it, and the next call has a new one', async (t) => {
  const options = { file: 'none', busyTimeoutMs: 0, durable: false };
  const thread = new Thread(new URL('./children/dying-thread.mjs', import.meta.url).href, options, () => undefined);
  const first = await thread.call<number>('name', []);
  const waiting = [thread.call('exit', []), thread.call('name', [])];
  for (const one of waiting) await t.rejects(one, StoreUnavailable);
  const second = await thread.call<number>('name', []);
  t.ok(second > first);
  await t.rejects(thread.call('throw', []), { name: 'StoreUnavailable', cause: { message: 'out of order' } });
  t.ok((await thread.call<number>('name', [])) > second);
  await t.rejects(thread.call('name', [() => undefined]), { name: 'DataCloneError' });
  await thread.close();
  await thread.close();
  await t.rejects(thread.call('name', []), StoreUnavailable);
});

t.test('a process that forgets to close its store ends, and has kept what it was told is kept', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  const { stdout } = await run(process.execPath, [...process.execArgv, child('left-open.ts'), `sqlite:${file}`]);
  t.equal(stdout, '1\n');
  t.equal((await (await open(t, file)).views.load(everything, 'caught')).uids.length, 1);
});

t.test('a message of 60 MB needs less than 10 MB on its way in and out', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  const args = ['--expose-gc', ...process.execArgv, child('stream.ts'), `sqlite:${file}`, '60'];
  const grown = Number((await run(process.execPath, args)).stdout);
  t.ok(grown < 10, `grew by ${grown} MB`);
});

t.test('views, lists and the log walk an index and never sort', async (t) => {
  const file = join(t.testdir(), 'lazaret.db');
  await (await openStore(`sqlite:${file}`, { durable: false })).close();
  const db = new Database(file);
  t.teardown(() => db.close());
  const planOf = (sql: string): string =>
    db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...Array.from(sql.matchAll(/\?/g), () => 1))
      .map(({ detail }: { detail: string }) => detail)
      .join('\n');
  const scopes = [everything, domain('quay.example'), recipient('ben@quay.example')];
  const plans = scopes.flatMap((scope) => [
    ...(['caught', 'trash'] as const).map((folder) => planOf(viewText(scope, folder))),
    planOf(listText({ scope, limit: 1 })),
    planOf(listText({ scope, limit: 1, folder: 'trash', states: ['held'], before: 9 as EntryId })),
  ]);
  plans.push(planOf(changesText.after), planOf(changesText.of));
  plans.push(planOf(trainingsText({ limit: 1, trainer: 'a' })), planOf(trainingsText({ limit: 1, kind: 'known' })));
  plans.push(planOf(trainingsText({ limit: 1, trainer: 'a', kind: 'known', before: 9 })));
  for (const plan of plans) {
    t.notMatch(plan, /TEMP B-TREE/);
    t.notMatch(plan.split('\n')[0], /^SCAN (?!e$)/, plan);
  }
  t.match(plans[4], /USING INDEX entries_by_domain \(owner_domain=\? AND folder=\? AND uid>\?\)/);
});
