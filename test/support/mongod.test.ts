/** The MongoDB that other tests lean on: shared by a run, of its own where it is killed, and gone afterwards. */
import t from 'tap';
import { freshDatabase, mongoOrSkip, ReplicaSet, serverUrl, withClient, withDatabase } from './mongod.ts';

t.test('a URL with another database', async (t) => {
  t.equal(withDatabase('mongodb://h:1', 'x'), 'mongodb://h:1/x');
  t.equal(withDatabase('mongodb://h:1,h:2/?replicaSet=rs0', 'x'), 'mongodb://h:1,h:2/x?replicaSet=rs0');
  t.equal(withDatabase('mongodb://u:p@h/old?w=1', 'x'), 'mongodb://u:p@h/x?w=1&authSource=old');
  t.equal(withDatabase('mongodb://u:p@h', 'x'), 'mongodb://u:p@h/x?authSource=admin');
});

if (mongoOrSkip(t)) {
  t.test('databases of one server, in transactions, gone when their test is over', async (t) => {
    const names: string[] = [];
    await t.test('two of them', async (t) => {
      const urls = await Promise.all([freshDatabase(t), freshDatabase(t)]);
      for (const url of urls)
        await withClient(url, async (client) => {
          const session = client.startSession();
          await session.withTransaction(async () => {
            await client.db().collection('things').insertOne({ one: 1 }, { session });
          });
          await session.endSession();
          names.push(client.db().databaseName);
        });
    });
    t.equal(new Set(names).size, 2);
    const left = await withClient(await serverUrl(), (client) => client.db().admin().listDatabases());
    for (const name of names) t.notOk(left.databases.some((database) => database.name === name));
  });

  t.test('three nodes of which one is killed, and comes back with its data', async (t) => {
    const set = await ReplicaSet.start(t, { nodes: 3 });
    const first = await set.primary();
    await withClient(set.url, async (client) => {
      const things = client.db().collection('things', { writeConcern: { w: 'majority' } });
      await things.insertOne({ before: true });
      await first.kill();
      const second = await set.primary();
      t.not(second.port, first.port, 'another one was elected');
      await things.insertOne({ after: true });
      await first.start();
      second.pause();
      t.not((await set.primary()).port, second.port);
      second.resume();
      t.equal(await things.countDocuments(), 2);
    });
  });
}
