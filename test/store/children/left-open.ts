/** A process that writes, watches, and forgets to close its store. It has to end all the same. Argument: store URL. */
import { openStore } from '#store/open';
import { admit, aSpamFor } from '../contract/harness.ts';

const store = await openStore(process.argv[2]!);
store.changes.watch(() => undefined);
const [admitted] = await admit(store, aSpamFor('ada@harbour.example'));
console.log(admitted!.uid);
