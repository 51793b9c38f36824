/** What the roles of a process stand on: settings, store, address book, log; and what every way in shares. */
import { randomBytes } from 'node:crypto';
import type { SharedByNodes } from '#app/bus/open';
import type { Config } from '#app/config/schema';
import type { AdmitOptions } from '#app/ingest/admit';
import { networks } from '#app/lib/networks';
import { createOriginOf, type OriginOf } from '#app/net/origin';
import type { Listener } from '#app/observe/events';
import type { Log } from '#app/observe/log';
import type { Metrics } from '#app/observe/metrics';
import { AddressBook } from '#app/policy/addresses';
import { TrainingRequested } from '#app/policy/training-requested';
import type { Store } from '#store/port';

const loopback = ['127.0.0.0/8', '::1/128'];

export interface Ground {
  readonly config: Config;
  readonly store: Store;
  readonly book: AddressBook;
  /** How mail gets in, whoever brings it. */
  readonly admission: AdmitOptions & { readonly releaseKey: Uint8Array };
  /** Who wants copies of delivered mail. */
  readonly trainingRequested: TrainingRequested;
  /** Who a new connection is from. */
  readonly originOf: OriginOf;
  /** What the processes on this store have in common besides it. */
  readonly shared: SharedByNodes;
  readonly log: Log;
  readonly onEvent: Listener;
  /** Absent: nobody watches this process. */
  readonly metrics?: Metrics | undefined;
}

/** The first thing asked of a new store: its key is made. */
export async function layGround(
  config: Config,
  store: Store,
  { shared, log, onEvent, metrics }: Pick<Ground, 'shared' | 'log' | 'onEvent' | 'metrics'>,
): Promise<Ground> {
  const book = new AddressBook(config);
  const trainingRequested = new TrainingRequested(config.trainingRequested, book, store.settings);
  const admission = {
    store,
    book,
    handOverDomains: config.intake.handOverDomains,
    releaseKey: await store.settings.putIfAbsent('releaseKey', randomBytes(32)),
    trainingRequested,
    believed: { authservIds: config.intake.authservIds, isOurs: networks([...loopback, ...config.intake.trusted]) },
    ...(config.language === 'nl' ? { language: config.language } : {}),
    onEvent,
    log,
  };
  const originOf = createOriginOf({ trusted: config.proxyProtocol.trusted, log });
  return { config, store, book, admission, trainingRequested, originOf, shared, log, onEvent, metrics };
}
