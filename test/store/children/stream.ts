/**
 * A process that streams a message of MB megabytes into a store and out again, and prints by how many megabytes its
 * resident set grew meanwhile. To be run with --expose-gc: Node collects buffers that nobody holds only after tens of
 * megabytes of them, and the question is what is held. Arguments: store URL, MB.
 */
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { aSpamFor } from '../contract/harness.ts';

const [url, megabytes] = process.argv.slice(2);
const mib = 1024 * 1024;
const collectGarbage = globalThis.gc!;

let peak = 0;
let passed = 0;
function watch(size: number): void {
  passed += size;
  if (passed < 2 * mib) return;
  passed = 0;
  collectGarbage();
  peak = Math.max(peak, process.memoryUsage.rss());
}

async function* noise(size: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < size; sent += 64 * 1024) {
    yield new Uint8Array(64 * 1024).fill(sent >> 16);
    watch(64 * 1024);
  }
}

async function roundTrip(store: Store, size: number): Promise<void> {
  const mail = aSpamFor('ada@harbour.example');
  const bytes = await store.messages.put(noise(size));
  const [admitted] = await store.entries.admit({ ...mail.message, bytes }, mail.entries);
  const entry = await store.entries.get(admitted!.entryId);
  let read = 0;
  for await (const piece of store.messages.read(entry!.messageId)) {
    read += piece.length;
    await new Promise(setImmediate); // a consumer that takes its time
    watch(piece.length);
  }
  if (read !== size) throw new Error(`${read} of ${size} octets came back`);
}

const store = await openStore(url!, { durable: false });
for (let n = 0; n < 2; n += 1) await roundTrip(store, 8 * mib); // caches and pools have their size after this
peak = 0;
collectGarbage();
const before = process.memoryUsage.rss();
await roundTrip(store, Number(megabytes) * mib);
console.log(((peak - before) / mib).toFixed(1));
await store.close();
