/** Ways to damage a store on MongoDB behind its back (contract/upkeep.ts). */
import { Binary, type Db } from 'mongodb';
import { withClient } from '../support/mongod.ts';
import type { Damage } from './contract/harness.ts';

export function damageTo(url: string): Damage {
  const run = (what: (db: Db) => Promise<unknown>): Promise<void> =>
    withClient(url, async (client) => void (await what(client.db())));
  const remove = (db: Db, name: string, _id: unknown) => db.collection(name).deleteOne({ _id: _id as never });
  const octets = async (db: Db, id: number): Promise<void> => {
    await remove(db, 'bytes', id);
    await remove(db, 'large.files', id);
    await db.collection('large.chunks').deleteMany({ files_id: id });
  };
  return {
    removeOctets: (id) => run((db) => octets(db, id)),
    changeOctet: (id, offset) =>
      run(async (db) => {
        const bytes = db.collection<{ _id: number; bytes: Binary }>('bytes');
        const found = await bytes.findOne({ _id: id });
        const changed = Uint8Array.from(found!.bytes.buffer.subarray(0, found!.bytes.position));
        changed[offset] = 1;
        await bytes.updateOne({ _id: id }, { $set: { bytes: new Binary(changed) } });
      }),
    changeHash: (id) =>
      run((db) => db.collection('messages').updateOne({ _id: id as never }, { $set: { sha256: 'another' } })),
    removeMessage: (id) =>
      run(async (db) => {
        await octets(db, id);
        await remove(db, 'messages', id);
      }),
    removeEntry: (id) => run((db) => remove(db, 'entries', id)),
    removeDrop: (id) => run((db) => remove(db, 'drops', id)),
    resetCounters: () =>
      run(async (db) => {
        const numbers = db.collection<{ _id: string }>('numbers');
        await numbers.updateOne({ _id: 'numbers' }, { $set: { uid: 0, modSeq: 1 } });
        await numbers.updateOne({ _id: 'messageIds' }, { $set: { last: 0 } });
        await db.collection('tops').deleteMany({});
      }),
  };
}
