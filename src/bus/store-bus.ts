/** The bus where no other is configured: the store's own means, which are a look at the file or a change stream. */
import type { Changes } from '#store/port';
import type { Bus } from './bus.ts';

export function createStoreBus(changes: Pick<Changes, 'watch'>): Bus {
  return {
    listen: (ring) => changes.watch(ring),
    probe: async () => {}, // where the store can be reached, so can the others
    close: async () => {},
  };
}
