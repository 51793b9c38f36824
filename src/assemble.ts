/**
 * The one place where a process is put together: the store, and on it the roles that `roles` names (src/roles/, where the
 * concrete parts are handed to each other, STYLE §2). Everything else knows only ports.
 *
 * Order of a start: store, keys, then whoever works on them, and the listeners last: nobody is answered by half a server.
 * Order of a stop: all roles at once, since they share one deadline; the store is closed when nothing can use it any more.
 */
import { type BusOptions, openBus } from '#app/bus/open';
import { showsHttps } from '#app/config/load';
import type { Config } from '#app/config/schema';
import { admitMessage, type IncomingMail } from '#app/ingest/admit';
import type { Runner } from '#app/jobs/runner';
import type { Listener } from '#app/observe/events';
import { type Log, silent } from '#app/observe/log';
import type { AddressBook } from '#app/policy/addresses';
import type { TrainingRequested } from '#app/policy/training-requested';
import { layGround } from '#app/roles/ground';
import { buildImap } from '#app/roles/imap';
import { buildIntake } from '#app/roles/intake';
import { buildWorker } from '#app/roles/worker';
import { openCertificate } from '#app/tls';
import { ApiServer } from '#app/web/api';
import { createWatched } from '#app/web/watched';
import { openStore } from '#store/open';
import type { Admitted, Store } from '#store/port';

/** For verbs on whole stores, which must neither find nor make keys in them. */
export { openStore };

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where a started server listens, in the order of the configuration; nowhere for roles it does not have. */
export interface Addresses {
  readonly imap: readonly (Address & { readonly tls: boolean })[];
  readonly lmtp: readonly Address[];
  readonly smtp: readonly Address[];
  readonly intakeHttp: readonly Address[];
  readonly api: readonly Address[];
  /** Health and metrics, whatever the roles. */
  readonly http: readonly Address[];
}

export interface App {
  readonly store: Store;
  /** Of the role `worker`; in a process without it one that never has anything to do. */
  readonly runner: Pick<Runner, 'poke' | 'idle'>;
  /** The one way by which mail gets in, also for the demo's injected messages. */
  admit(mail: IncomingMail): Promise<readonly Admitted[]>;
  /** Begins to listen and to work on jobs. On an error everything that was begun is ended. */
  start(): Promise<Addresses>;
  /** Takes certificate and key from their files again; sessions go on. */
  reloadTls(): void;
  /** Ends everything cleanly: running commands and deliveries get that long, all together. */
  stop(graceMs: number): Promise<void>;
}

export interface AssembleOptions {
  readonly log: Log;
  readonly onEvent: Listener;
  readonly version: string;
  /** For tests: see openStore. */
  readonly store?: Parameters<typeof openStore>[1];
  /** For tests: how soon a bus notices that Redis is gone, or back. */
  readonly busTiming?: BusOptions['timing'];
}

/** What a verb of the command line needs to work on a store beside a running server. */
export interface Tools {
  readonly store: Store;
  readonly book: AddressBook;
  /** Who wants copies of delivered mail. */
  readonly trainingRequested: TrainingRequested;
  /** What releases are signed with. */
  readonly releaseKey: Uint8Array;
  /** The one way by which mail gets in. */
  admit(mail: IncomingMail): Promise<readonly Admitted[]>;
  close(): Promise<void>;
}

export async function openTools(config: Config, log: Log = silent): Promise<Tools> {
  const store = await openStore(config.store);
  // The bus too: what a verb commits shall reach the servers at once.
  const shared = await openBus({ url: config.bus, store, loginFailures: config.imap.loginFailures, log });
  const { book, admission, trainingRequested } = await layGround(config, store, { shared, log, onEvent: () => {} });
  const close = async () => {
    await shared.bus.close();
    await store.close();
  };
  const { releaseKey } = admission;
  return { store, book, trainingRequested, releaseKey, admit: (mail) => admitMessage(admission, mail), close };
}

/** What mail clients are shown may be behind the store for so long. */
const viewsMs = 5_000;

const noRunner: App['runner'] = { poke() {}, async idle() {} };

export async function assemble(
  config: Config,
  { log, onEvent, version, store: storeOptions = {}, busTiming }: AssembleOptions,
): Promise<App> {
  const store = await openStore(config.store, storeOptions);
  const { loginFailures } = config.imap;
  const shared = await openBus({ url: config.bus, store, loginFailures, log, timing: busTiming });
  const { listen } = config.http;
  const watched = listen.length > 0 ? createWatched({ listen, store, version, log }) : undefined;
  try {
    const has = (role: Config['roles'][number]) => config.roles.includes(role);
    const tell: Listener = (event) => {
      watched?.metrics.event(event);
      onEvent(event);
    };
    const ground = await layGround(config, store, { shared, log, onEvent: tell, metrics: watched?.metrics });
    // Ages of jobs are told by the store's clock, which a test may have moved.
    const offset = storeOptions.clock && new Float64Array(storeOptions.clock);
    const now = () => Date.now() + (offset?.[0] ?? 0);
    const imap = has('imap') ? await buildImap(ground, version) : undefined;
    const certificate = showsHttps(config) ? await openCertificate(config) : undefined;
    const intake = has('intake') ? buildIntake(ground, certificate) : undefined;
    const api = new ApiServer({
      listen: config.api.listen.map((at, index) => ({ ...at, name: `api-${index}` })),
      tokens: config.api.tokens,
      trainingRequested: ground.trainingRequested,
      originOf: ground.originOf,
      secureContext: certificate?.context,
      log,
    });
    const worker = has('worker') ? buildWorker(ground, version, now) : undefined;
    // All nodes lose Redis at once and serve without it: a balancer that then sent nobody to any of them would be the outage.
    if (config.bus !== undefined) watched?.add({ name: 'bus', spare: true, probe: () => shared.bus.probe() });
    if (imap) watched?.add({ name: 'views', withinMs: viewsMs, probe: () => imap.backend.caughtUp() });

    const stop = async (graceMs: number) => {
      watched?.stopping();
      const ended = await Promise.allSettled([
        ...[imap, intake, worker].map((role) => role?.stop(graceMs)),
        api.close(graceMs),
      ]);
      await watched?.close();
      await shared.bus.close();
      await store.close();
      for (const end of ended) if (end.status === 'rejected') throw end.reason;
    };
    return {
      store,
      runner: worker?.runner ?? noRunner,
      admit: (mail) => admitMessage(ground.admission, mail),
      async start() {
        try {
          const [atImap = [], atIntake] = await Promise.all([imap?.listen(), intake?.listen()]);
          await worker?.start();
          const [atApi, http = []] = [await api.listen(), await watched?.start()];
          const { lmtp = [], smtp = [], http: intakeHttp = [] } = atIntake ?? {};
          return { imap: atImap, lmtp, smtp, intakeHttp, api: atApi, http };
        } catch (error) {
          await stop(0);
          throw error;
        }
      },
      reloadTls() {
        certificate?.reload();
        imap?.reloadTls();
      },
      stop,
    };
  } catch (error) {
    await watched?.close();
    await shared.bus.close();
    await store.close();
    throw error;
  }
}
