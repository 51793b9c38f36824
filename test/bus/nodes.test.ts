/** Two whole servers on one store, with one Redis: what a client of one learns of what the other did, also in trouble. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { parseAccountName } from '#app/accounts/names';
import { hashPassword } from '#app/accounts/passwords';
import { type App, assemble } from '#app/assemble';
import { configFrom } from '#app/config/load';
import { AddressBook } from '#app/policy/addresses';
import { buildHouse } from '../mailbox/house.ts';
import { ImapClient } from '../support/imap-client.ts';
import { redisOrSkip, TestRedis } from '../support/redis.ts';
import { remember, type Told, timing, until } from './world.ts';

const ada = 'ada@harbour.example';
const password = 'a long test password';

interface Server {
  readonly app: App;
  readonly port: number;
  readonly log: Told;
  login(t: Test, word?: string): Promise<ImapClient>;
}

async function startTwo(t: Test, bus: string, imap: Record<string, unknown> = {}): Promise<readonly [Server, Server]> {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-nodes-'));
  const config = configFrom(
    {
      hostname: 'quarantine.example',
      store: `sqlite:${join(folder, 'lazaret.db')}`,
      bus,
      imap: { listen: ['127.0.0.1:0'], allowCleartextLogin: true, ...imap },
      intake: { lmtp: [], smtp: [] },
      delivery: { nextHop: 'smtp://127.0.0.1:9' },
    },
    folder,
  );
  const passwordHash = await hashPassword(password);
  const servers: Server[] = [];
  t.teardown(async () => {
    await Promise.all(servers.map(({ app }) => app.stop(1000)));
    await rm(folder, { recursive: true, force: true });
  });
  for (const _ of ['one', 'two']) {
    const log = remember();
    const app = await assemble(config, {
      log,
      version: 'test',
      onEvent: () => {},
      store: { durable: false },
      busTiming: timing,
    });
    if (servers.length === 0)
      await app.store.accounts.add({
        name: ada,
        scope: parseAccountName(ada, new AddressBook(config), 'global')!.scope,
        passwordHash,
      });
    const { port } = (await app.start()).imap[0]!;
    const login = async (t: Test, word = password) => {
      const client = await ImapClient.connect(t, port);
      await client.ok(`LOGIN ${ada} "${word}"`);
      return client;
    };
    servers.push({ app, port, log, login });
  }
  return [servers[0]!, servers[1]!];
}

/** Of the only user there is, from anywhere. */
async function failuresOf(redis: Redis): Promise<string | null> {
  const [key] = await redis.keys('lazaret:*:failures-anywhere:*');
  return key === undefined ? null : redis.hget(key, 'count');
}

const arrive = (server: Server, subject: string) =>
  server.app.admit({
    source: Readable.from([Buffer.from(`From: m@elsewhere.example\r\nSubject: ${subject}\r\n\r\nHello\r\n`)]),
    sender: 'm@elsewhere.example',
    params: {},
    recipients: [{ address: ada }],
    direction: 'incoming',
    filter: 'auto',
    repeat: false,
  });

t.test('nine rings of ten are lost, and clients learn everything all the same', async (t) => {
  let rings = 0;
  let told = 0;
  const house = await buildHouse(t, {
    idlePollMs: 50,
    listen: (ring) => {
      // Bound late: the house's store is there when the first session is.
      return house.store.changes.watch(() => {
        rings += 1;
        if (rings % 10 !== 0) return;
        told += 1;
        ring();
      });
    },
  });
  const idling = await house.open(ada, 'Caught');
  let woken = 0;
  const stop = idling.onChange(() => {
    woken += 1;
  });
  for (let n = 1; n <= 23; n += 1) {
    await house.hold();
    // Nobody asks for anything; what the session has is what the feed told it.
    if (n % 5 === 0 || n === 23) await until(() => idling.view.count === n);
  }
  t.ok(told < rings / 5, `${told} of ${rings} rings`);
  t.ok(woken > 0, 'and was told');
  stop();
});

if (redisOrSkip(t)) {
  t.test('an idling client of one node sees what came in on the other, whatever becomes of Redis', async (t) => {
    const redis = await TestRedis.start(t);
    const [one, two] = await startTwo(t, redis.url);
    const client = await two.login(t);
    await client.ok('SELECT Caught');
    client.send('i IDLE');
    await client.sees(/^\+ /);
    let mails = 0;
    const seen = async (when: string) => {
      mails += 1;
      await arrive(one, when);
      await client.sees(`* ${mails} EXISTS`);
      t.pass(when);
    };
    await seen('Redis is there');
    await redis.kill();
    await seen('right after it was killed');
    await one.log.sees('Redis cannot be reached');
    await two.log.sees('Redis cannot be reached');
    await seen('while it is away');
    await redis.start();
    await one.log.sees('Redis is back');
    await two.log.sees('Redis is back');
    await seen('when it is back');
    await redis.flush();
    await seen('after it was flushed');
    for (const { log } of [one, two]) {
      const about = log.lines.filter((line) => line.includes('Redis'));
      t.match(about, [/^warn Redis cannot be reached/, /^info Redis is back/]);
      t.equal(about.length, 2, about.join('\n'));
    }
  });

  t.test('a wrong password on one node makes the next login on the other wait', async (t) => {
    const redis = await TestRedis.start(t);
    const [one, two] = await startTwo(t, redis.url, { loginFailures: { delayMs: 700, maxDelayMs: 700 } });
    const guesser = await ImapClient.connect(t, one.port);
    await guesser.no(`LOGIN ${ada} "wrong"`); // answered after the delay
    const begun = performance.now();
    // Another goes unanswered, so its delay is still to be waited for.
    guesser.send(`g LOGIN ${ada} "wrong again"`);
    await until(async () => (await redis.ask((r) => failuresOf(r))) === '2');
    const client = await two.login(t);
    t.ok(performance.now() - begun > 600, 'it waited');
    await client.ok('NOOP');
    await guesser.sees(/^g NO/);
  });

  t.test('connections of an account are counted on both nodes together', async (t) => {
    const redis = await TestRedis.start(t);
    const [one, two] = await startTwo(t, redis.url, { maxConnectionsPerUser: 3 });
    const first = await one.login(t);
    await one.login(t);
    await two.login(t);
    for (const { port } of [one, two]) {
      const refused = await ImapClient.connect(t, port);
      t.match(await refused.no(`LOGIN ${ada} "${password}"`), /LIMIT.* 3 connections/);
    }
    await first.ok('LOGOUT');
    await until(async () => {
      const client = await ImapClient.connect(undefined, two.port);
      const { status } = await client.says(`LOGIN ${ada} "${password}"`);
      if (status !== 'OK') client.end();
      else t.teardown(() => client.end());
      return status === 'OK';
    });
    t.pass('a free one can be had on the other node');
  });
}
