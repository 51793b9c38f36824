/** A store in a database of its own on the test run's MongoDB, with a clock that the test moves. */
import { Binary } from 'mongodb';
import type { Test } from 'tap';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { freshDatabase, withClient } from '../support/mongod.ts';
import type { Damage, Harness } from './contract/harness.ts';

export async function openHarness(t: Test): Promise<Harness & { readonly url: string }> {
  const clock = new SharedArrayBuffer(8);
  const url = await freshDatabase(t);
  const opened: Store[] = [];
  const again = async (options: { readonly unfinished?: boolean } = {}): Promise<Store> => {
    const store = await openStore(url, { clock, ...options });
    opened.push(store);
    return store;
  };
  t.teardown(() => Promise.all(opened.map((store) => store.close())));
  return {
    url,
    store: await again(),
    advance: (ms) => {
      new Float64Array(clock)[0]! += ms;
    },
    again,
    damage: damageTo(url),
  };
}

interface Bytes {
  readonly _id: number;
  readonly bytes: Binary;
}

function damageTo(url: string): Damage {
  const remove = (...deletions: readonly (readonly [collection: string, filter: object])[]) =>
    withClient(url, async (client) => {
      for (const [collection, filter] of deletions) await client.db().collection(collection).deleteMany(filter);
    });
  const octets = (id: number) =>
    [
      ['bytes', { _id: id }],
      ['large.files', { _id: id }],
      ['large.chunks', { files_id: id }],
    ] as const;
  return {
    removeOctets: (id) => remove(...octets(id)),
    changeOctet: (id, offset) =>
      withClient(url, async (client) => {
        const small = client.db().collection<Bytes>('bytes');
        const found = await small.findOne({ _id: id });
        if (!found) throw new Error(`message ${id} is none of the small ones`);
        const bytes = Buffer.from(found.bytes.buffer);
        bytes[offset] = 1;
        await small.updateOne({ _id: id }, { $set: { bytes: new Binary(bytes) } });
      }),
    changeHash: (id) =>
      withClient(url, async (client) => {
        await client
          .db()
          .collection<{ _id: number }>('messages')
          .updateOne({ _id: id }, { $set: { sha256: 'another' } });
      }),
    removeMessage: (id) => remove(...octets(id), ['messages', { _id: id }]),
    removeEntry: (id) => remove(['entries', { _id: id }]),
    removeDrop: (id) => remove(['drops', { _id: id }]),
    resetCounters: () =>
      withClient(url, async (client) => {
        const numbers = client.db().collection<{ _id: string }>('numbers');
        await numbers.updateOne({ _id: 'numbers' }, { $set: { uid: 0, modSeq: 1 } });
        await numbers.updateOne({ _id: 'messageIds' }, { $set: { last: 0 } });
        await client.db().collection('tops').deleteMany({});
      }),
  };
}
