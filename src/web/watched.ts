/**
 * What the parts of a server hand to whoever watches it: puts metrics, readiness and the HTTP listeners together over the
 * store, so that assemble.ts has one thing to start and to stop.
 */
import { type Probe, Readiness } from '#app/observe/health';
import type { Log } from '#app/observe/log';
import { Metrics, type StoreFacts } from '#app/observe/metrics';
import { stayFolders } from '#app/quarantine/folders';
import type { Store } from '#store/port';
import { type HttpListen, WebServer } from './server.ts';

export interface WatchedOptions {
  readonly listen: readonly HttpListen[];
  readonly store: Pick<Store, 'changes' | 'jobs' | 'views'>;
  readonly version: string;
  readonly log: Log;
}

export interface Watched {
  readonly metrics: Metrics;
  /** What has to be well besides the store. Before the start. */
  add(probe: Probe): void;
  start(): Promise<HttpListen[]>;
  /** A stop has begun: /readyz says so from now on. */
  stopping(): void;
  close(): Promise<void>;
}

export function createWatched({ listen, store, version, log }: WatchedOptions): Watched {
  const metrics = new Metrics({ version, readStore: () => factsOf(store) });
  const probes: Probe[] = [{ name: 'store', probe: async () => void (await store.changes.end()) }];
  const readiness = new Readiness(probes, log);
  const server = new WebServer({ listen, readiness, metrics, log });
  return {
    metrics,
    add: (probe) => void probes.push(probe),
    start: () => server.listen(),
    stopping: () => readiness.stop(),
    async close() {
      await server.close();
      metrics.close();
    },
  };
}

async function factsOf({ jobs, views }: WatchedOptions['store']): Promise<StoreFacts> {
  // All but those of help texts are given in a folder, and the global scope has all of these: eight reads of a key each.
  const tops = Promise.all(stayFolders.map((folder) => views.top({ level: 'global' }, folder)));
  const [backlog, all] = await Promise.all([jobs.backlog(), tops]);
  return { jobs: backlog, uidsUsed: Math.max(0, ...all.map(({ uidNext }) => uidNext - 1)) };
}
