/** A process without rights that opens a store and prints what it is told. Arguments: store URL, user id. */
import { openStore } from '#store/open';

const [url, user] = process.argv.slice(2);
if (user) process.setuid?.(Number(user));
try {
  await openStore(url!);
  console.log('opened');
} catch (error) {
  console.log(error instanceof Error ? `${error.name}: ${error.message}` : error);
}
