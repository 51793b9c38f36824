/**
 * Several nodes of each role on one MongoDB: what DESIGN §3 and §4 promise, with real processes. SOAK_MESSAGES: how many
 * messages each of the 32 connections hands over (40; a soak of five minutes takes some 1,000).
 */
import t, { type Test } from 'tap';
import { hashPassword } from '#app/accounts/passwords';
import type { Scope } from '#store/model';
import { openStore } from '#store/open';
import { Cluster, type Node } from '../support/cluster.ts';
import { ImapClient } from '../support/imap-client.ts';
import { LmtpClient } from '../support/lmtp.ts';
import { freshDatabase, mongoOrSkip } from '../support/mongod.ts';
import { Sink } from '../support/sink.ts';

const password = 'a long test password';
const perConnection = Number(process.env.SOAK_MESSAGES ?? 40);

/** Makes the accounts there are sessions for. */
async function addAccounts(url: string, names: readonly string[]): Promise<void> {
  const store = await openStore(url);
  const passwordHash = await hashPassword(password);
  const scopeOf = (name: string): Scope => {
    if (name === 'global') return { level: 'global' };
    return name.includes('@') ? { level: 'recipient', address: name } : { level: 'domain', domain: name };
  };
  for (const name of names) await store.accounts.add({ name, scope: scopeOf(name), passwordHash });
  await store.close();
}

async function login(t: Test, node: Node, account: string): Promise<ImapClient> {
  const client = await ImapClient.connect(t, node.imap!);
  await client.ok(`LOGIN ${account} "${password}"`);
  await client.ok('SELECT Caught');
  return client;
}

/** A session that looks again and again, and writes down every UID it is shown, until it has looked once after `over`. */
class Watcher {
  readonly seen: number[] = [];
  readonly #client: ImapClient;

  constructor(client: ImapClient) {
    this.#client = client;
  }

  async follow(over: () => boolean, each: (uids: readonly number[]) => Promise<void> = async () => {}): Promise<void> {
    for (let last = false; !last; ) {
      last = over();
      const next = (this.seen.at(-1) ?? 0) + 1;
      const { untagged } = await this.#client.says(`UID FETCH ${next}:4294967295 (UID)`);
      const fresh = untagged
        .map((line) => /^\* \d+ FETCH \(UID (\d+)\)/.exec(line)?.[1])
        .filter((uid) => uid !== undefined)
        .map(Number);
      this.seen.push(...fresh);
      await each(fresh);
      await this.#client.ok('NOOP');
    }
  }
}

t.test('four intake, two IMAP and two worker processes: everything once, in order', async (t) => {
  if (!mongoOrSkip(t)) return;
  const url = await freshDatabase(t);
  const sink = await Sink.start(t);
  const watched = ['global', 'harbour.example', 'r0@harbour.example', 'r1@harbour.example'];
  const dropping = Array.from({ length: 10 }, (_, n) => `d${n}@quay.example`);
  await addAccounts(url, [...watched, ...dropping]);
  const cluster = Cluster.prepare(t, { store: url, hopPort: sink.port });
  const intakes = await Promise.all(Array.from({ length: 4 }, () => cluster.start('intake')));
  const imaps = await Promise.all(Array.from({ length: 2 }, () => cluster.start('imap')));
  await Promise.all(Array.from({ length: 2 }, () => cluster.start('worker')));

  let handingOver = true;
  const over = (): boolean => !handingOver;
  const watchers = new Map<string, Watcher[]>();
  const released: number[] = [];
  const sessions: Promise<void>[] = [];
  for (let n = 0; n < 40; n++) {
    const account = watched[n % watched.length]!;
    const watcher = new Watcher(await login(t, imaps[n % 2]!, account));
    watchers.set(account, [...(watchers.get(account) ?? []), watcher]);
    sessions.push(watcher.follow(over));
  }
  for (const [n, account] of dropping.entries()) {
    const client = await login(t, imaps[n % 2]!, account);
    const watcher = new Watcher(client);
    const drop = async (uids: readonly number[]): Promise<void> => {
      if (uids.length === 0) return;
      await client.ok(`UID MOVE ${uids.join(',')} Release`);
      released.push(...uids);
    };
    sessions.push(watcher.follow(over, drop));
  }

  const recipients = ['r0@harbour.example', 'r1@harbour.example', ...dropping];
  const handedOver = new Map<string, number>();
  const handOver = async (connection: number): Promise<void> => {
    const client = await LmtpClient.connect(intakes[connection % 4]!.lmtp!);
    for (let n = 0; n < perConnection; n++) {
      const recipient = recipients[(connection + n) % recipients.length]!;
      const text = `From: a@b.example\r\nSubject: ${connection}/${n}\r\n\r\n${'x'.repeat(2000)}\r\n`;
      const [reply] = await client.send('a@b.example', [recipient], text);
      if (!reply?.startsWith('250')) throw new Error(`not taken: ${reply}`);
      handedOver.set(recipient, (handedOver.get(recipient) ?? 0) + 1);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: 32 }, (_, connection) => handOver(connection)));
  handingOver = false;
  await Promise.all(sessions);

  const ascending = (uids: readonly number[]): boolean => uids.every((uid, n) => n === 0 || uid > uids[n - 1]!);
  for (const [account, all] of watchers)
    for (const { seen } of all) if (!ascending(seen)) t.fail(`a session of ${account} saw a UID out of order or twice`);
  const sum = (names: readonly string[]): number => names.reduce((all, name) => all + (handedOver.get(name) ?? 0), 0);
  for (const name of ['r0@harbour.example', 'r1@harbour.example'])
    for (const { seen } of watchers.get(name)!) t.equal(seen.length, handedOver.get(name), `${name} saw every one`);
  for (const { seen } of watchers.get('harbour.example')!) t.equal(seen.length, sum(recipients.slice(0, 2)));
  t.equal(released.length, sum(dropping), 'every message of theirs was shown to those who release, once');
  for (const { seen } of watchers.get('global')!) {
    const missing = new Set(released);
    for (const uid of seen) missing.delete(uid);
    t.ok(seen.length + missing.size === sum(recipients), 'global saw all but what had been released before it looked');
  }
  await sink.sees(({ messages }) => messages.length >= released.length);
  const ids = sink.messages.map(
    ({ bytes }) => /^X-Lazaret-Release:(?:.*\r\n[ \t])*?(drop=[\w-]+);/m.exec(bytes.toString('latin1'))?.[1],
  );
  t.equal(new Set(ids).size, released.length, 'each was delivered');
  t.equal(sink.messages.length, released.length, 'and no one twice');
});

t.test('the same account on two nodes, both drop the same 1,000 messages: one delivery each', async (t) => {
  if (!mongoOrSkip(t)) return;
  const url = await freshDatabase(t);
  const sink = await Sink.start(t);
  const account = 'ada@harbour.example';
  await addAccounts(url, [account]);
  const cluster = Cluster.prepare(t, { store: url, hopPort: sink.port });
  const [one, two] = [await cluster.start('imap,intake'), await cluster.start('imap')];
  await Promise.all(
    Array.from({ length: 8 }, async (_, connection) => {
      const client = await LmtpClient.connect(one.lmtp!);
      for (let n = 0; n < 125; n++)
        await client.send('a@b.example', [account], `Subject: ${connection}/${n}\r\n\r\nText.\r\n`);
      client.close();
    }),
  );
  const [first, second] = [await login(t, one, account), await login(t, two, account)];
  // Both have sent the command before either is read.
  first.send('m1 MOVE 1:1000 Release');
  second.send('m1 MOVE 1:1000 Release');
  await Promise.all([first.answer('m1'), second.answer('m1')]);
  await cluster.start('worker');
  await sink.sees(({ messages }) => messages.length >= 1000);
  const store = await openStore(url);
  t.teardown(() => store.close());
  // Delivered is not yet recorded: the workers write it down right after.
  const over = async (): Promise<Awaited<ReturnType<typeof store.jobs.counts>>> => {
    const now = await store.jobs.counts();
    return now.ready + now.leased === 0 ? now : over();
  };
  const counts = await over();
  t.same({ ready: counts.ready, leased: counts.leased, failed: counts.failed }, { ready: 0, leased: 0, failed: 0 });
  t.equal(counts.done, 1000);
  t.equal(sink.messages.length, 1000);
});

t.test('kill -9 of a worker that holds leases: another one delivers when they have run out', async (t) => {
  if (!mongoOrSkip(t)) return;
  const url = await freshDatabase(t);
  let hanging = true;
  const sink = await Sink.start(t, { behave: ({ phase }) => (hanging && phase === 'end' ? 'hang' : undefined) });
  const account = 'ada@harbour.example';
  await addAccounts(url, [account]);
  const cluster = Cluster.prepare(t, { store: url, hopPort: sink.port });
  const node = await cluster.start('imap,intake');
  const client = await LmtpClient.connect(node.lmtp!);
  for (let n = 0; n < 5; n++) await client.send('a@b.example', [account], `Subject: ${n}\r\n\r\nText.\r\n`);
  client.close();
  const worker = await cluster.start('worker');
  const session = await login(t, node, account);
  await session.ok('MOVE 1:5 Release');
  await sink.sees(({ open }) => open.size > 0);
  await sink.sees(({ commands }) => commands.some((line) => /^DATA|^BDAT/.test(line)));
  await worker.kill('SIGKILL');
  hanging = false;
  await cluster.start('worker');
  await sink.sees(
    ({ messages }) => new Set(messages.map(({ bytes }) => /^Subject: \d/m.exec(bytes.toString())?.[0])).size === 5,
  );
  t.pass('all five were delivered in the end');
});
