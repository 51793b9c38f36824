/** A process that admits messages for an owner as fast as it can, five at a time. Arguments: store URL, owner, how many. */
import { openStore } from '#store/open';
import { admit, aSpamFor } from '../contract/harness.ts';

const [url, owner, count] = process.argv.slice(2);
const store = await openStore(url!, { durable: false });
for (let left = Number(count); left > 0; left -= 5)
  await Promise.all(
    Array.from({ length: Math.min(5, left) }, (_, n) =>
      admit(store, aSpamFor(owner!, { text: `${process.pid} ${left} ${n}` })),
    ),
  );
await store.close();
