/** A store in a folder of its own, with a clock that the test moves. */
import { join } from 'node:path';
import type { Test } from 'tap';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import type { Harness } from './contract/harness.ts';

export async function openHarness(t: Test): Promise<Harness> {
  const clock = new SharedArrayBuffer(8);
  const url = `sqlite:${join(t.testdir(), 'lazaret.db')}`;
  const opened: Store[] = [];
  const again = async (): Promise<Store> => {
    const store = await openStore(url, { clock, durable: false });
    opened.push(store);
    return store;
  };
  t.teardown(() => Promise.all(opened.map((store) => store.close())));
  return {
    store: await again(),
    advance: (ms) => {
      new Float64Array(clock)[0]! += ms;
    },
    again,
  };
}
