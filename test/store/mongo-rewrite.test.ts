/** Operations as they are told to MongoDB, and as they were meant: the documents come out alike. */
import type { AnyBulkWriteOperation, Document } from 'mongodb';
import t from 'tap';
import { rewritten } from '#store/mongo/rewrite';
import { freshDatabase, mongoOrSkip, withClient } from '../support/mongod.ts';

const replaceOne = (_id: number, replacement: Document, upsert = false) =>
  ({ replaceOne: { filter: { _id }, replacement, upsert } }) as unknown as AnyBulkWriteOperation<Document>;
const one = (_id: number, update: Document) =>
  ({ updateOne: { filter: { _id }, update } }) as unknown as AnyBulkWriteOperation<Document>;

const operations = [
  replaceOne(1, { _id: 1, a: 'first' }),
  replaceOne(2, { a: 'without its id' }),
  replaceOne(1, { _id: 1, a: 'second' }),
  one(1, { $set: { b: 1 } }),
  replaceOne(3, { a: 'alone' }),
  one(3, { $set: { b: 2 } }),
  replaceOne(4, { a: 'before its update' }),
  replaceOne(5, { a: 'with it' }),
  one(4, { $set: { b: 3 } }),
  replaceOne(7, { a: 'new' }, true),
  replaceOne(5, { a: 'at the end' }),
  replaceOne(6, { a: 'at the end too' }),
];

if (mongoOrSkip(t))
  t.test('replacements told as one removal and one insertion', async (t) => {
    const url = await freshDatabase(t);
    await withClient(url, async (client) => {
      const after = async (name: string, told: readonly AnyBulkWriteOperation<Document>[]) => {
        const documents = client.db().collection<Document>(name);
        await documents.insertMany([1, 2, 3, 4, 5, 6].map((_id) => ({ _id, old: true })) as Document[]);
        await documents.bulkWrite([...told], { ordered: true });
        return documents.find().sort({ _id: 1 }).toArray();
      };
      const meant = await after('meant', operations);
      t.equal(meant.length, 7);
      t.strictSame(await after('told', rewritten(operations)), meant);
      t.equal(rewritten(operations).filter((each) => 'insertOne' in each).length, 6, 'where there are two of them');
    });
  });
