/** What only the driver for MongoDB promises: what it says when it cannot open, what it sweeps, and what a lost server costs. */
import { createServer } from 'node:net';
import t from 'tap';
import { StoreRefused, StoreUnavailable } from '#store/errors';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { freshDatabase, mongoOrSkip, ReplicaSet, withClient } from '../support/mongod.ts';
import { admit, aMessage, aSpamFor, collect, everything, from, put } from './contract/harness.ts';
import { openHarness } from './mongo-harness.ts';

const ada = 'ada@harbour.example';

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { readonly port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const countsOf = (url: string): Promise<Record<string, number>> =>
  withClient(url, async (client) => {
    const names = ['messages', 'bytes', 'uploads', 'large.files', 'large.chunks'];
    const counts = names.map(async (name) => [name, await client.db().collection(name).countDocuments()] as const);
    return Object.fromEntries(await Promise.all(counts));
  });

async function* octets(size: number): AsyncGenerator<Uint8Array> {
  for (let left = size; left > 0; left -= 65_536) yield Buffer.alloc(Math.min(65_536, left), 'x');
}

t.test('says what is wrong with a URL, without its password', async (t) => {
  const port = await closedPort();
  const tries = [
    ['mongodb://ann:secret@127.0.0.1', StoreRefused, /names no database; write mongodb:/],
    ['mongodb://ann:secret@127.0.0.1/x?nonsense=1', StoreRefused, /makes no sense to the MongoDB driver/],
    [
      `mongodb://ann:secret@127.0.0.1:${port}/x`,
      StoreUnavailable,
      /^The MongoDB at 127\.0\.0\.1:\d+ cannot be reached; /,
    ],
  ] as const;
  await Promise.all(
    tries.map(async ([url, kind, words]) => {
      const error = await openStore(url).catch((thrown) => thrown);
      t.match(error, { name: kind.name, message: words }, url);
      t.notMatch(String(error), 'secret');
    }),
  );
});

if (mongoOrSkip(t)) {
  t.test('two that open an empty database at once have one store', async (t) => {
    const url = await freshDatabase(t);
    const stores = await Promise.all([openStore(url), openStore(url), openStore(url)]);
    t.teardown(() => Promise.all(stores.map((store) => store.close())));
    t.equal(new Set(stores.map(({ uidValidity }) => uidValidity)).size, 1);
    t.not(stores[0]!.uidValidity, 0);
    await Promise.all(stores.map((store) => admit(store, aSpamFor(ada))));
    t.equal((await stores[0]!.views.load(everything, 'caught')).uids.length, 3);
  });

  t.test('a store of a newer program is refused', async (t) => {
    const url = await freshDatabase(t);
    await (await openStore(url)).close();
    await withClient(url, async (client) => {
      const numbers = client.db().collection<{ _id: string }>('numbers');
      await numbers.updateOne({ _id: 'numbers' }, { $set: { schema: 99 } });
    });
    const words = /newer version of this program \(its schema is 99, .*\); run that version, or restore/;
    await t.rejects(openStore(url), { name: 'StoreRefused', message: words });
  });

  t.test('a store of the first schema is brought up to date, by one of those that open it', async (t) => {
    const url = await freshDatabase(t);
    const first = await openStore(url);
    await admit(first, aSpamFor(ada, { text: 'Small.' }));
    await admit(first, aSpamFor(ada, { text: 'x'.repeat(300_000) }));
    await first.close();
    // As the first schema had it.
    await withClient(url, async (client) => {
      const db = client.db();
      for (const name of ['trainingLines', 'inventories', 'uninventoried']) await db.collection(name).drop();
      await db.collection('entries').dropIndex('entries_to_expire');
      await db.collection<{ _id: string }>('numbers').updateOne({ _id: 'numbers' }, { $set: { schema: 1 } });
    });
    const stores = await Promise.all([openStore(url), openStore(url), openStore(url)]);
    t.teardown(() => Promise.all(stores.map((store) => store.close())));
    const ids = await stores[0]!.messages.withoutInventory(10);
    t.equal(ids.length, 2, 'all that was there is to be listed');
    await stores[1]!.messages.putInventory(ids[0]!, { attachments: [], links: [] });
    t.strictSame(await stores[2]!.messages.withoutInventory(10), ids.slice(1));
    await admit(stores[2]!, aSpamFor(ada, { class: 'training', leaveAfterMs: 1000 }));
    await withClient(url, async (client) => {
      const numbers = client.db().collection<{ _id: string; schema: number }>('numbers');
      t.equal((await numbers.findOne({ _id: 'numbers' }))?.schema, 2);
      const names = (await client.db().collection('entries').indexes()).map(({ name }) => name);
      t.ok(names.includes('entries_to_expire'));
    });
    t.equal((await stores[0]!.views.load(everything, 'caught')).uids.length, 2, 'and nothing else is changed');
  });

  t.test('octets that nobody admits are swept after a day, and no others', async (t) => {
    const { url, store, advance } = await openHarness(t);
    const [kept] = await admit(store, aSpamFor(ada));
    await store.messages.put(octets(600_000));
    await store.messages.discard(await store.messages.put(octets(300_000)));
    const given = await store.messages.put(octets(300_000));
    await store.entries.admit({ ...aSpamFor(ada).message, bytes: given }, aSpamFor(ada).entries);
    // As a process leaves it that ends between the octets and the transaction.
    await withClient(url, async (client) => {
      for (const name of ['messages', 'bytes']) {
        const collection = client.db().collection<{ _id: number }>(name);
        const one = await collection.findOne({});
        await collection.insertOne({ ...one, _id: 900 });
      }
    });
    const before = { messages: 3, bytes: 2, uploads: 1, 'large.files': 2, 'large.chunks': 5 };
    t.strictSame(await countsOf(url), before);
    advance(23 * 3_600_000);
    await swept(store);
    t.strictSame(await countsOf(url), before);
    advance(2 * 3_600_000);
    await swept(store);
    t.strictSame(await countsOf(url), { messages: 2, bytes: 1, uploads: 0, 'large.files': 1, 'large.chunks': 2 });
    const entry = await store.entries.get(kept!.entryId);
    t.strictSame(Buffer.from(await collect(store.messages.read(entry!.messageId))), Buffer.from(aMessage()));
  });

  t.test('octets can be admitted once', async (t) => {
    const { store, url } = await openHarness(t);
    const { message, entries } = aSpamFor(ada);
    const bytes = await store.messages.put(octets(300_000));
    await store.entries.admit({ ...message, bytes }, entries);
    await t.rejects(store.entries.admit({ ...message, bytes }, entries), { name: 'NotFound' });
    const given = await store.messages.put(octets(300_000));
    await store.messages.discard(given);
    await t.rejects(store.entries.admit({ ...message, bytes: given }, entries), { name: 'NotFound' });
    t.match(await countsOf(url), { messages: 1, uploads: 0, 'large.files': 1 });
  });

  t.test('a source that fails leaves nothing', async (t) => {
    const { store, url } = await openHarness(t);
    const failing = async function* () {
      yield* octets(600_000);
      throw new Error('the connection was lost');
    };
    await t.rejects(store.messages.put(failing()), { message: 'the connection was lost' });
    t.match(await countsOf(url), { messages: 0, uploads: 0, 'large.files': 0, 'large.chunks': 0 });
  });

  t.test('a repeat leaves no octets', async (t) => {
    const { store, url } = await openHarness(t);
    const mail = aSpamFor(ada, { repeat: { key: 'k' } });
    await admit(store, mail);
    await admit(store, mail);
    await store.close();
    t.match(await countsOf(url), { messages: 1, bytes: 1 });
  });

  t.test('a server that is killed: what was answered is there, what was not is refused for now', async (t) => {
    const set = await ReplicaSet.start(t);
    const store = await openStore(set.url);
    t.teardown(() => store.close());
    const answered = (await admit(store, aSpamFor(ada)))[0]!;
    await set.nodes[0]!.kill();
    const bytes = await put(store, aMessage('Later.'));
    await t.rejects(store.entries.admit({ ...aSpamFor(ada).message, bytes }, aSpamFor(ada).entries), {
      name: 'StoreUnavailable',
      temporary: true,
    });
    await t.rejects(store.entries.get(answered.entryId), { name: 'StoreUnavailable' });
    await set.nodes[0]!.start();
    await set.primary();
    const later = (await admit(store, aSpamFor(ada)))[0]!;
    t.strictSame([...(await store.views.load(everything, 'caught')).uids], [answered.uid, later.uid]);
    t.strictSame(
      Buffer.from(await collect(store.messages.read((await store.entries.get(later.entryId))!.messageId))),
      Buffer.from(aMessage()),
    );
  });

  t.test('a replica set that confirms what is on no disk is refused', async (t) => {
    const set = await ReplicaSet.start(t);
    await withClient(set.url, async (client) => {
      const admin = client.db('admin');
      const { config } = await admin.command({ replSetGetConfig: 1 });
      config.version += 1;
      config.writeConcernMajorityJournalDefault = false;
      await admin.command({ replSetReconfig: config });
    });
    await t.rejects(openStore(set.url), { name: 'StoreRefused', message: /on no disk; set writeConcern/ });
  });

  t.test('a store that is closed says so, after what was begun is done', async (t) => {
    const url = await freshDatabase(t);
    const store = await openStore(url);
    const bytes = await store.messages.put(from(aMessage()));
    const begun = store.settings.put('a', Uint8Array.of(1));
    await store.close();
    await begun;
    await t.rejects(store.settings.put('b', Uint8Array.of(1)), { name: 'StoreUnavailable' });
    await t.rejects(store.entries.admit({ ...aSpamFor(ada).message, bytes }, aSpamFor(ada).entries), {
      name: 'StoreUnavailable',
    });
  });
}

async function swept(store: Store): Promise<void> {
  while ((await store.housekeep()).more);
}
