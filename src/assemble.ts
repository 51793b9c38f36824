/**
 * The one place that names the concrete parts and hands them to each other (STYLE §2). Everything else knows only ports.
 *
 * Order of a start: store, keys, then whoever works on them, and the listeners last: nobody is answered by half a server.
 * Order of a stop: the reverse; the store is closed when nothing can use it any more.
 */
import { randomBytes } from 'node:crypto';
import { Authenticator } from '#app/accounts/authenticate';
import type { Config } from '#app/config/schema';
import { createDeliverHandler } from '#app/delivery/deliver';
import { createRouter } from '#app/delivery/route';
import { type AdmitOptions, admitMessage, type IncomingMail } from '#app/ingest/admit';
import { createReceiver } from '#app/ingest/receive';
import { createRunner, type Runner } from '#app/jobs/runner';
import { startHeartbeat } from '#app/lib/heartbeat';
import { createBackend } from '#app/mailbox/backend';
import type { Listener } from '#app/observe/events';
import { type Log, silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { TlsFiles } from '#app/tls';
import { createCommandTrainer } from '#app/training/command';
import { createTrainHandler } from '#app/training/train';
import { ImapServer } from '#imap/server';
import { DeliveryClient } from '#smtp/client';
import { HandOverServer } from '#smtp/server';
import { openStore } from '#store/open';
import type { Admitted, Store } from '#store/port';

const dayMs = 24 * 3600_000;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where a started server listens, in the order of the configuration. */
export interface Addresses {
  readonly imap: readonly (Address & { readonly tls: boolean })[];
  readonly lmtp: readonly Address[];
  readonly smtp: readonly Address[];
}

export interface App {
  readonly store: Store;
  readonly runner: Runner;
  /** The one way by which mail gets in, also for the demo's injected messages. */
  admit(mail: IncomingMail): Promise<readonly Admitted[]>;
  /** Begins to listen and to work on jobs. On an error everything that was begun is ended. */
  start(): Promise<Addresses>;
  /** Takes certificate and key from their files again; sessions go on. */
  reloadTls(): void;
  /** Ends everything cleanly: running commands and deliveries get that long. */
  stop(graceMs: number): Promise<void>;
}

export interface AssembleOptions {
  readonly log: Log;
  readonly onEvent: Listener;
  readonly version: string;
  /** For tests: see openStore. */
  readonly store?: Parameters<typeof openStore>[1];
}

/** What a verb of the command line needs to work on a store beside a running server. */
export interface Tools {
  readonly store: Store;
  readonly book: AddressBook;
  /** The one way by which mail gets in. */
  admit(mail: IncomingMail): Promise<readonly Admitted[]>;
  close(): Promise<void>;
}

export async function openTools(config: Config, log: Log = silent): Promise<Tools> {
  const store = await openStore(config.store);
  const book = new AddressBook(config);
  const options = await admission(config, store, book, { log, onEvent: () => {} });
  return { store, book, admit: (mail) => admitMessage(options, mail), close: () => store.close() };
}

export async function assemble(
  config: Config,
  { log, onEvent, version, store: storeOptions = {} }: AssembleOptions,
): Promise<App> {
  const store = await openStore(config.store, storeOptions);
  try {
    const book = new AddressBook(config);
    const ingest = await admission(config, store, book, { log, onEvent });
    const tls = await TlsFiles.open(config);

    const listeners = (['lmtp', 'smtp'] as const).flatMap((protocol) =>
      config.intake[protocol].map((listener, at) => ({ ...listener, protocol, name: `${protocol}-${at}` })),
    );
    const intake = new HandOverServer({
      receiver: createReceiver({
        ...ingest,
        trusted: config.intake.trusted,
        listeners: Object.fromEntries(listeners.map(({ name, direction, filter }) => [name, { direction, filter }])),
        maxMessageBytes: config.intake.maxMessageBytes,
      }),
      hostname: config.hostname,
      listen: listeners.map(({ protocol, host, port, name }) => ({ protocol, host, port, name })),
      maxMessageBytes: config.intake.maxMessageBytes,
      log,
    });

    const authenticator = new Authenticator({
      store,
      book,
      globalName: config.accounts.global,
      loginFailures: config.imap.loginFailures,
    });
    const backend = createBackend({
      store,
      authenticator,
      book,
      hostname: config.hostname,
      undoMs: config.release.undoSeconds * 1000,
      actionFolders: config.actionFolders,
      outgoingFolder: config.imap.outgoingFolder,
      maxConnectionsPerUser: config.imap.maxConnectionsPerUser,
      onEvent,
      log,
    });
    const imap = new ImapServer({
      backend,
      hostname: config.hostname,
      listen: config.imap.listen,
      secureContext: () => tls.context(),
      allowCleartextLogin: config.imap.allowCleartextLogin,
      maxConnections: config.imap.maxConnections,
      log,
      version,
    });

    const client = new DeliveryClient({ hostname: config.hostname });
    const retryForMs = config.delivery.retryForDays * dayMs;
    // Ages of jobs are told by the store's clock, which a test may have moved.
    const offset = storeOptions.clock && new Float64Array(storeOptions.clock);
    const now = () => Date.now() + (offset?.[0] ?? 0);
    const train = createTrainHandler({
      store,
      ...(config.training
        ? { trainer: createCommandTrainer({ ...config.training, timeoutMs: config.training.timeout }) }
        : {}),
      retryForMs,
      onEvent,
      now,
    });
    const runner = createRunner({
      store,
      handlers: {
        deliver: createDeliverHandler({
          store,
          client,
          routeOf: createRouter(config, book),
          hostname: config.hostname,
          releaseKey: ingest.releaseKey,
          retryForMs,
          showAfterMs: config.release.showAfter,
          onEvent,
          log,
          now,
        }),
        'train-ham': train,
        'train-spam': train,
      },
      concurrency: config.jobs.concurrency,
      leaseMs: 60_000,
      log,
    });

    let endHeartbeat = async () => {};
    const stop = async (graceMs: number) => {
      await endHeartbeat();
      await Promise.all([imap.close(graceMs), intake.close(graceMs)]);
      backend.close();
      await runner.stop(graceMs);
      client.close();
      await store.close();
    };
    return {
      store,
      runner,
      admit: (mail) => admitMessage(ingest, mail),
      async start() {
        try {
          const [imapAddresses, intakeAddresses] = await Promise.all([imap.listen(), intake.listen()]);
          runner.start();
          endHeartbeat = await startHeartbeat(store.settings);
          const of = (protocol: string) => intakeAddresses.filter(({ name }) => name.startsWith(protocol));
          return { imap: imapAddresses, lmtp: of('lmtp'), smtp: of('smtp') };
        } catch (error) {
          await stop(0);
          throw error;
        }
      },
      reloadTls() {
        tls.reload();
        imap.reloadTls();
      },
      stop,
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** What every way in shares. */
async function admission(
  config: Config,
  store: Store,
  book: AddressBook,
  { log, onEvent }: { log: Log; onEvent: Listener },
): Promise<AdmitOptions & { releaseKey: Uint8Array }> {
  return {
    store,
    book,
    handOverDomains: config.intake.handOverDomains,
    releaseKey: await store.settings.putIfAbsent('releaseKey', randomBytes(32)),
    onEvent,
    log,
  };
}
