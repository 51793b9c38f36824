/**
 * `lazaret demo`: the whole product on loopback, with mail to play with. Everything in it is the real thing; only the mail
 * and the next hop are made up.
 *
 * What a folder of a demo holds is made once: a second run hands the same bytes over again, and the store folds them.
 */
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { generatePassword } from '#app/accounts/generate';
import { parseAccountName } from '#app/accounts/names';
import { hashPassword } from '#app/accounts/passwords';
import { type App, type AssembleOptions, assemble } from '#app/assemble';
import { configFrom } from '#app/config/load';
import type { Log } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { DeliveryClient, parseNextHop } from '#smtp/client';
import type { Store } from '#store/port';
import { handOver, handOverAddress } from './filters.ts';
import { again, type DemoMail, demoMails, rfc5322 } from './mail.ts';
import { type Login, line, screen } from './screen.ts';
import { openSink } from './sink.ts';

export interface DemoOptions {
  /** Kept and used again; absent: a fresh temporary folder. */
  readonly data?: string;
  readonly version: string;
  readonly log: Log;
  readonly print: (text: string) => void;
  /** What is printed is one JSON object a line, for programs. */
  readonly json?: boolean;
  /** Milliseconds between two later messages. */
  readonly everyMs: number;
}

export interface Demo {
  readonly logins: readonly Login[];
  readonly ports: { readonly imap: number; readonly imaps: number; readonly lmtp: number; readonly smtp: number };
  stop(): Promise<void>;
}

type Started = Pick<Demo, 'logins' | 'ports'> & { readonly app: App };

const whoIs: readonly (readonly [name: string, sees: string])[] = [
  ['global', 'everything'],
  ['harbour.example', 'that domain'],
  ['ada@harbour.example', 'her own mail'],
  ['ben@quay.example', 'his own mail'],
];

export async function startDemo({ data, version, log, print, json, everyMs }: DemoOptions): Promise<Demo> {
  const folder = data ? resolve(data) : await mkdtemp(join(tmpdir(), 'lazaret-demo-'));
  const delivered = join(folder, 'delivered');
  const sink = await openSink(delivered);
  let ready = false;
  const { app, logins, ports } = await startApp(folder, sink.port, {
    log,
    version,
    onEvent(event) {
      const text = json ? JSON.stringify(event) : line(event);
      if (ready && text) print(text);
    },
  }).catch(async (error: unknown) => {
    await sink.close();
    throw error;
  });
  const { imap, imaps, lmtp, smtp } = ports;
  const filter = new Filter(`lmtp://127.0.0.1:${lmtp}`);
  const mails = demoMails(await beganAt(app.store));
  for (const mail of mails) if (!mail.inject) await filter.handOver(mail);
  await injectOnce(app.store, mails, async (mail) => {
    const { block } = handOver(mail, quarantineId(mail), rfc5322(mail.date));
    await app.admit({
      source: bytes(Buffer.concat([Buffer.from(block), mail.raw])),
      sender: mail.sender,
      recipients: mail.recipients.map((address) => ({ address })),
      params: {},
      direction: 'incoming',
      filter: mail.filter,
      folder: 'training',
      internalDate: mail.date,
      flags: mail.inject?.flags ?? [],
      repeat: false,
    });
  });
  const waiting = await app.store.entries.list({ scope: { level: 'global' }, states: ['held'], limit: 10_000 });
  const place = { imap, imaps, lmtp, smtp, folder, delivered, learned: join(folder, 'learned') };
  print(json ? JSON.stringify({ ...place, logins, waiting: waiting.length }) : screen(place, logins, waiting.length));
  ready = true;

  const later = mails.filter((mail) => !mail.inject);
  let round = 0;
  const timer = setInterval(() => {
    const mail = again(later[round++ % later.length]!, round);
    filter.handOver(mail).catch((error) => log.warn({ error }, 'the demo could not hand a message over'));
  }, everyMs);
  return {
    logins,
    ports,
    async stop() {
      clearInterval(timer);
      filter.close();
      await app.stop(3000);
      await sink.close();
    },
  };
}

/** The server itself. A port that was free may be taken before it is listened on: then again, with the next ones. */
async function startApp(folder: string, sinkPort: number, options: AssembleOptions): Promise<Started> {
  for (;;) {
    const [imap, imaps, lmtp, smtp] = await freePorts([1143, 1993, 2524, 2525]);
    const config = configFrom(
      {
        hostname: 'quarantine.example',
        store: `sqlite:${join(folder, 'lazaret.db')}`,
        imap: { listen: [`127.0.0.1:${imap}`, `127.0.0.1:${imaps}/tls`] },
        intake: {
          lmtp: [`127.0.0.1:${lmtp}`],
          smtp: [`127.0.0.1:${smtp}`],
          handOverDomains: [handOverAddress.slice(handOverAddress.indexOf('@') + 1)],
        },
        domains: { 'harbour.example': { aliases: ['harbor.example'] }, 'quay.example': {} },
        aliases: { 'info@quay.example': 'ben@quay.example' },
        delivery: { nextHop: `smtp://127.0.0.1:${sinkPort}?tls=none` },
        training: { trainers: [{ type: 'command', spam: learner(folder, 'spam'), ham: learner(folder, 'ham') }] },
      },
      folder,
    );
    const app = await assemble(config, options);
    const logins = await setPasswords(app.store, new AddressBook(config), config.accounts.global);
    try {
      await app.start();
      return { app, logins, ports: { imap, imaps, lmtp, smtp } };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

/** Plays a learner: keeps what it is taught in files, and says so. */
function learner(folder: string, klass: string): string[] {
  const script = `
    const { mkdirSync, createWriteStream } = require('node:fs');
    const [folder] = process.argv.slice(1);
    mkdirSync(folder, { recursive: true });
    process.stdin.pipe(createWriteStream(folder + '/' + Date.now() + '-' + process.pid + '.eml'));
    console.log('learned as ${klass}');`;
  return [process.execPath, '-e', script, join(folder, 'learned', klass)];
}

/** Plays the filter: hands messages over by LMTP, as it would. */
class Filter {
  readonly #client: DeliveryClient;
  readonly #hop: ReturnType<typeof parseNextHop>;

  constructor(url: string) {
    this.#client = new DeliveryClient({ hostname: 'mx.harbour.example' });
    this.#hop = parseNextHop(`${url}?tls=none`);
  }

  async handOver(mail: DemoMail): Promise<void> {
    const { sender, recipients, block } = handOver(mail, quarantineId(mail), rfc5322(mail.date));
    const whole = Buffer.concat([Buffer.from(block), mail.raw]);
    const { outcomes } = await this.#client.deliver(
      this.#hop,
      { sender, recipients: recipients.map((address) => ({ address })) },
      () => bytes(whole),
      whole.length,
      new AbortController().signal,
    );
    const refused = outcomes.find(({ kind }) => kind !== 'accepted');
    if (refused) throw new Error(`${mail.name}: ${refused.said}`);
  }

  close(): void {
    this.#client.close();
  }
}

async function* bytes(whole: Buffer): AsyncGenerator<Uint8Array> {
  yield whole;
}

/** The id that amavis would give it: always the same for the same message. */
const quarantineId = (mail: DemoMail) =>
  `Qd${Buffer.from(`${mail.name}${mail.date.getTime()}`).toString('base64url').slice(0, 10)}`;

/** New passwords for all four, at each start: the old ones may be forgotten. */
async function setPasswords(store: Store, book: AddressBook, globalName: string): Promise<Login[]> {
  const logins: Login[] = [];
  for (const [name, sees] of whoIs) {
    const password = generatePassword();
    const passwordHash = await hashPassword(password);
    if (await store.accounts.get(name)) await store.accounts.setPassword(name, passwordHash);
    else await store.accounts.add({ name, scope: parseAccountName(name, book, globalName)!.scope, passwordHash });
    logins.push({ name, password, sees });
  }
  return logins;
}

async function beganAt(store: Store): Promise<Date> {
  const now = new Date(Math.floor(Date.now() / 1000) * 1000);
  const kept = await store.settings.putIfAbsent('demo/began', Buffer.from(now.toISOString()));
  return new Date(Buffer.from(kept).toString());
}

/** `inject` never folds: what was injected is written down, one by one. */
async function injectOnce(
  store: Store,
  mails: readonly DemoMail[],
  inject: (mail: DemoMail) => Promise<void>,
): Promise<void> {
  for (const mail of mails) {
    if (!mail.inject || (await store.settings.get(`demo/injected/${mail.name}`))) continue;
    await inject(mail);
    await store.settings.put(`demo/injected/${mail.name}`, Buffer.from('1'));
  }
}

/** Each wanted port, or the next free one above it. */
async function freePorts<const T extends readonly number[]>(wanted: T): Promise<{ [K in keyof T]: number }> {
  const found: number[] = [];
  for (const first of wanted) {
    let port = first;
    while (found.includes(port) || !(await isFree(port))) port++;
    found.push(port);
  }
  return found as { [K in keyof T]: number };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
