/** A process that has its turn at writing, says so, and does nothing more. Argument: store URL. */
import { MongoClient } from 'mongodb';

const client = new MongoClient(process.argv[2]!, { appName: 'lazaret' });
const session = client.startSession();
session.startTransaction();
await client
  .db()
  .collection<{ _id: string }>('numbers')
  .updateOne({ _id: 'numbers' }, { $inc: { turn: 1 } }, { session });
console.log('in turn');
setInterval(() => undefined, 1000);
