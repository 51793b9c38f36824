/** What only the MongoDB driver has to look after: octets lie beside the documents, and a snapshot does not last forever. */
import { Binary, type Db, MongoServerError } from 'mongodb';
import t, { type Test } from 'tap';
import { connect } from '#store/mongo/connect';
import { inLongSnapshot } from '#store/mongo/upkeep-export';
import type { Store } from '#store/port';
import type { Finding } from '#store/records';
import { mongoOrSkip, withClient } from '../support/mongod.ts';
import { collect, type Harness, held } from './contract/harness.ts';
import * as d from './dropping.ts';
import { ada } from './dropping.ts';
import { openHarness } from './mongo-harness.ts';

const dayMs = 86_400_000;

async function found(store: Store, repair: boolean): Promise<Finding[]> {
  const all: Finding[] = [];
  for await (const finding of store.upkeep.check({ repair })) all.push(finding);
  return all;
}

const withDb = ({ url }: { readonly url: string }, what: (db: Db) => Promise<unknown>): Promise<void> =>
  withClient(url, async (client) => void (await what(client.db())));

/** A message as it lies there between its being written and its admission. */
async function onItsWay(t: Test): Promise<Harness & { readonly url: string; readonly id: number }> {
  const harness = await openHarness(t);
  const entry = await held(harness.store, ada, { text: 'One.' });
  const id = entry.messageId + 500;
  await withDb(harness, async (db) => {
    const messages = db.collection<{ _id: number }>('messages');
    const { _id, ...like } = (await messages.findOne({ _id: entry.messageId }))!;
    await messages.insertOne({ ...like, _id: id });
    await db.collection<{ _id: number }>('bytes').insertOne({ _id: id, bytes: new Binary(Buffer.from('x')) } as never);
  });
  return { ...harness, id };
}

if (mongoOrSkip(t)) {
  t.test('a message that may be on its way is no flaw, and is in no export; a day later it is nobody’s', async (t) => {
    const { store, advance, id } = await onItsWay(t);
    t.strictSame(
      (await found(store, true)).filter(({ kind }) => kind === 'orphan-message'),
      [],
    );
    for await (const record of store.upkeep.export()) if (record.kind === 'messages') t.not(record.id, id);
    advance(dayMs + 1);
    t.match(
      (await found(store, true)).filter(({ kind }) => kind === 'orphan-message'),
      [{ messageId: id, mended: true }],
    );
    t.equal(await store.messages.get(id as never), undefined);
  });

  t.test('octets without a message are removed once the sweep has passed them, and no others', async (t) => {
    const harness = await openHarness(t);
    const { store, advance } = harness;
    const first = await held(store, ada, { text: 'One.' });
    const large = await held(store, ada, { text: 'Line.\r\n'.repeat(60_000) });
    const last = await held(store, ada, { text: 'Three.' });
    await withDb(harness, async (db) => {
      await db.collection<{ _id: number }>('messages').deleteMany({ _id: { $in: [first.messageId, large.messageId] } });
      await db.collection<{ _id: number }>('entries').deleteMany({ _id: { $in: [first.id, large.id] } });
    });
    t.strictSame(await found(store, true), []);
    advance(dayMs + 1);
    await d.housekeep(store);
    const removed = await found(store, true);
    t.match(removed, [
      { kind: 'orphan-message', messageId: first.messageId, size: /^[1-9]/, mended: true },
      { kind: 'orphan-message', messageId: large.messageId, mended: true },
    ]);
    t.ok((removed[1] as { size: number }).size > 400_000);
    await withDb(harness, async (db) => {
      t.equal(await db.collection('bytes').countDocuments(), 1);
      t.equal(await db.collection('large.chunks').countDocuments(), 0);
    });
    t.ok((await collect(store.messages.read(last.messageId))).length > 0);
    t.strictSame(await found(store, true), []);
  });

  t.test('an export that takes longer than the server keeps a snapshot says what to do', async (t) => {
    const { url } = await openHarness(t);
    const connection = await connect({ url });
    t.teardown(() => connection.client.close());
    const tooOld = inLongSnapshot(connection, async function* () {
      yield 1;
      throw new MongoServerError({ code: 239, message: 'snapshot too old' });
    });
    t.equal((await tooOld.next()).value, 1);
    await t.rejects(tooOld.next(), { name: 'StoreRefused', message: /minSnapshotHistoryWindowInSeconds/ });
  });
}
