/** Several real processes on one store (DESIGN §3). */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { LoadedView } from '#app/mailbox/loaded-view';
import type { ModSeq } from '#store/model';
import { openStore } from '#store/open';
import { everything, recipient } from '../store/contract/harness.ts';
import { freshStore } from '../support/store.ts';

const run = promisify(execFile);
const ingest = fileURLToPath(new URL('../store/children/ingest.ts', import.meta.url));

t.test('four processes ingest: no UID and no mod-sequence is seen before every smaller one', async (t) => {
  const url = await freshStore(t, t.testdir());
  const store = await openStore(url, { durable: false });
  t.teardown(() => store.close());
  const owners = ['ada@harbour.example', 'ben@quay.example'];
  const each = 500;
  let writing = 4;
  const writers = Array.from({ length: writing }, async (_, n) => {
    await run(process.execPath, [...process.execArgv, ingest, url, owners[n % 2]!, `${each}`]);
    writing--;
  });

  // One reader follows the log from the start; another loads folders anew all the time.
  const followed = new LoadedView(await store.views.load(everything, 'caught'), 'global');
  let at = (await store.changes.end()) as ModSeq;
  let highest = 0;
  let outOfOrder = 0;
  const follow = async (): Promise<void> => {
    const { changes, end } = await store.changes.since(at, 1000);
    for (const { uid } of changes) {
      if (uid <= highest) outOfOrder++;
      highest = uid;
    }
    followed.apply(changes);
    at = end;
  };
  const prefixOf = async (scope: typeof everything | ReturnType<typeof recipient>): Promise<Uint32Array> =>
    (await store.views.load(scope, 'caught')).uids;
  const sightings: Uint32Array[] = [];
  while (writing > 0) {
    await follow();
    sightings.push(await prefixOf(recipient(owners[0]!)));
  }
  await Promise.all(writers);
  await follow();

  const all = await prefixOf(everything);
  t.equal(all.length, 4 * each, 'nothing is lost, nothing is there twice');
  t.strictSame([...followed.uids.subarray(0, followed.count)], [...all], 'who follows the log sees the same');
  t.equal(outOfOrder, 0);
  t.equal(followed.highestModSeq, (await store.views.top(everything, 'caught')).highestModSeq);
  const final = await prefixOf(recipient(owners[0]!));
  t.equal(final.length, 2 * each);
  for (const seen of sightings)
    if (seen.some((uid, index) => uid !== final[index]))
      t.fail(`saw ${seen.length} that were not the first of the final`);
  t.ok(new Set(sightings.map(({ length }) => length)).size > 5, `it grew in ${sightings.length} sightings`);
});
