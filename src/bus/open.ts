/** Which bus: Redis where the setting `bus` names one, else the store's own means. With it, who counts for the limits. */
import { type Connections, type Delays, type Failures, LocalConnections, LocalFailures } from '#app/accounts/limits';
import type { Log } from '#app/observe/log';
import type { Store } from '#store/port';
import type { Bus } from './bus.ts';
import type { LinkTiming } from './redis-link.ts';
import { createStoreBus } from './store-bus.ts';

export interface BusOptions {
  /** redis:// or rediss://; absent: each node for itself. */
  readonly url?: string | undefined;
  readonly store: Pick<Store, 'changes' | 'uidValidity'>;
  readonly loginFailures: Delays;
  readonly log: Log;
  /** Tests are in a hurry. */
  readonly timing?: Partial<LinkTiming> | undefined;
}

export interface SharedByNodes {
  readonly bus: Bus;
  readonly failures: Failures;
  readonly connections: Connections;
}

export async function openBus({ url, store, loginFailures, log, timing = {} }: BusOptions): Promise<SharedByNodes> {
  const failures = new LocalFailures(loginFailures);
  if (url === undefined) return { bus: createStoreBus(store.changes), failures, connections: new LocalConnections() };
  // Only who wants it pays for loading it.
  const [{ RedisLink }, { createRedisBus }, { RedisConnections, RedisFailures }] = await Promise.all([
    import('./redis-link.ts'),
    import('./redis-bus.ts'),
    import('./redis-limits.ts'),
  ]);
  const link = new RedisLink({ url, installation: String(store.uidValidity), log, timing });
  const bus = createRedisBus(link, store.changes);
  const connections = new RedisConnections(link);
  await link.start();
  return {
    bus: {
      listen: (ring) => bus.listen(ring),
      probe: () => bus.probe(),
      async close() {
        await connections.close();
        await bus.close();
      },
    },
    failures: new RedisFailures(link, failures, loginFailures),
    connections,
  };
}
