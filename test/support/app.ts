/**
 * The whole server for a test: every listener on a free port of loopback, a store of its own (store.ts), a next hop that
 * records what it gets, and four accounts with the same password. Ends when the test ends.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parseAccountName } from '#app/accounts/names';
import { hashPassword } from '#app/accounts/passwords';
import { type Addresses, type App, type AssembleOptions, assemble } from '#app/assemble';
import { configFrom } from '#app/config/load';
import type { ProductEvent } from '#app/observe/events';
import { silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { Sink } from './sink.ts';
import { freshStore } from './store.ts';

export const password = 'a long test password';
export const accounts = ['global', 'harbour.example', 'ada@harbour.example', 'ben@quay.example'] as const;

export interface TestApp {
  readonly app: App;
  readonly addresses: Addresses;
  readonly sink: Sink;
  readonly events: ProductEvent[];
  readonly folder: string;
  readonly storeUrl: string;
  /** Moves the store's clock. */
  advance(ms: number): void;
  /** Resolves when such an event was seen, also one that is past. */
  until(kind: ProductEvent['kind'], count?: number): Promise<void>;
}

/** Settings go on top of the test's own, in the form of the configuration file; so do options of the store. */
export async function startApp(
  t: Test,
  settings: Record<string, unknown> = {},
  store: AssembleOptions['store'] = {},
  log: AssembleOptions['log'] = silent,
): Promise<TestApp> {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-test-'));
  const sink = await Sink.start(t);
  const storeUrl = await freshStore(t, folder);
  const config = configFrom(
    {
      hostname: 'quarantine.example',
      store: storeUrl,
      imap: { listen: ['127.0.0.1:0', '127.0.0.1:0/tls'], allowCleartextLogin: true, loginFailures: { delayMs: 0 } },
      intake: { lmtp: ['127.0.0.1:0'], smtp: ['127.0.0.1:0'], handOverDomains: ['quarantine.example'] },
      domains: { 'harbour.example': { aliases: ['harbor.example'] }, 'quay.example': {} },
      aliases: { 'info@quay.example': 'ben@quay.example' },
      delivery: { nextHop: `smtp://127.0.0.1:${sink.port}?tls=none` },
      release: { undoSeconds: 0 },
      jobs: { inventory: false },
      ...settings,
    },
    folder,
  );
  const clock = new SharedArrayBuffer(8);
  const events: ProductEvent[] = [];
  const waiting = new Set<() => void>();
  const app = await assemble(config, {
    log,
    version: 'test',
    store: { clock, durable: false, ...store },
    onEvent(event) {
      events.push(event);
      for (const look of waiting) look();
    },
  });
  const passwordHash = await sharedHash();
  const book = new AddressBook(config);
  for (const name of accounts)
    await app.store.accounts.add({ name, scope: parseAccountName(name, book, 'global')!.scope, passwordHash });
  const addresses = await app.start();
  t.teardown(async () => {
    await app.stop(1000);
    await rm(folder, { recursive: true, force: true });
  });
  return {
    app,
    addresses,
    sink,
    events,
    folder,
    storeUrl,
    advance(ms) {
      new Float64Array(clock)[0]! += ms;
      app.runner.poke();
    },
    until: (kind, count = 1) =>
      new Promise((resolve) => {
        const look = () => {
          if (events.filter((event) => event.kind === kind).length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

let hashed: Promise<string> | undefined;
/** One hash for all accounts of a process: making one is slow on purpose. */
function sharedHash(): Promise<string> {
  hashed ??= hashPassword(password);
  return hashed;
}
