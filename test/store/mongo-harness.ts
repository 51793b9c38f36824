/** A store in a database of its own on the test run's MongoDB, with a clock that the test moves. */
import type { Test } from 'tap';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { freshDatabase } from '../support/mongod.ts';
import type { Harness } from './contract/harness.ts';
import { damageTo } from './mongo-damage.ts';

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
