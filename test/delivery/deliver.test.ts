/** Releases on a real store, over the real client, into a next hop that misbehaves. Rows are those of the reliability list. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createDeliverHandler, type DeliverOptions } from '#app/delivery/deliver';
import { createRouter } from '#app/delivery/route';
import { createRunner, type Runner } from '#app/jobs/runner';
import type { ProductEvent } from '#app/observe/events';
import { silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { verifyRelease } from '#app/quarantine/release-token';
import { DeliveryClient } from '#smtp/client';
import type { ActionName, Actor, ClaimedJob, DropMode, Entry, EnvelopeParams, Scope, Uid } from '#store/model';
import { openStore } from '#store/open';
import type { NewEntry, Store } from '#store/port';
import { Sink, type SinkOptions } from '../support/sink.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const actor: Actor = { account: 'ada@harbour.example', via: 'test' };
const everything: Scope = { level: 'global' };
const key = randomBytes(32);
/** Long enough for a loaded machine; a test that waits for one to pass sets its own. */
const limits = { connectMs: 20_000, greetingMs: 20_000, commandMs: 20_000, blockMs: 20_000, dataMs: 20_000 };

const headerEnd = (raw: Buffer): number => {
  const end = raw.indexOf('\r\n\r\n');
  return end < 0 ? raw.length : end + 4;
};

class World {
  readonly store: Store;
  readonly sink: Sink;
  readonly events: ProductEvent[] = [];
  readonly runner: Runner;
  handler: ReturnType<typeof createDeliverHandler>;
  /** The handler with something else in it. */
  readonly handlerWith: (more: Partial<DeliverOptions>) => ReturnType<typeof createDeliverHandler>;
  readonly #clock: Float64Array;

  static async open(t: Test, sinkOptions: SinkOptions = {}, more: Partial<DeliverOptions> = {}): Promise<World> {
    const clock = new SharedArrayBuffer(8);
    const store = await openStore(`sqlite:${join(t.testdir(), 'lazaret.db')}`, { clock, durable: false });
    const world = new World(store, await Sink.start(t, sinkOptions), new Float64Array(clock), more);
    t.teardown(async () => {
      await world.runner.stop(0);
      await store.close();
    });
    return world;
  }

  private constructor(store: Store, sink: Sink, clock: Float64Array, more: Partial<DeliverOptions>) {
    this.store = store;
    this.sink = sink;
    this.#clock = clock;
    const client = new DeliveryClient({ hostname: 'q.example', timeouts: limits });
    const options: DeliverOptions = {
      store,
      wayOf: to(client, sink),
      senderOf: (_, { sender }) => sender,
      hostname: 'q.example',
      releaseKey: key,
      validForMs: day,
      renameHeaders: false,
      retryForMs: 5 * day,
      showAfterMs: hour,
      onEvent: (event) => this.events.push(event),
      log: silent,
      now: () => Date.now() + this.#clock[0]!,
      random: () => 0,
    };
    this.handlerWith = (other) => createDeliverHandler({ ...options, ...other });
    this.handler = this.handlerWith(more);
    const none = async () => ({ kind: 'done', said: 'no trainer', leaveAfterMs: 0 }) as const;
    this.runner = createRunner({
      store,
      handlers: { deliver: (job, signal) => this.handler(job, signal), 'train-ham': none, 'train-spam': none },
      concurrency: 16,
      leaseMs: minute,
      log: silent,
    });
    this.runner.start();
  }

  /** From now on. */
  use(more: Partial<DeliverOptions>): void {
    this.handler = this.handlerWith(more);
  }

  async hold(
    text: string | Buffer = 'Subject: Offer\r\n\r\nBuy now.\r\n',
    more: Partial<NewEntry> & { sender?: string; params?: EnvelopeParams; filterBlock?: string } = {},
  ): Promise<Entry & { uid: Uid }> {
    const raw = Buffer.from(text);
    const { sender = 'mallory@spam.example', params = {}, filterBlock = '', ...entry } = more;
    const headerSize = headerEnd(raw);
    const none = new Uint8Array();
    const bytes = await this.store.messages.put(
      (async function* () {
        if (raw.length > 0) yield raw;
      })(),
    );
    const [admitted] = await this.store.entries.admit(
      {
        bytes,
        headerSize,
        bodySha256: createHash('sha256').update(raw.subarray(headerSize)).digest('hex'),
        sender,
        params,
        filterBlock: Buffer.from(filterBlock),
        summary: {
          envelope: none,
          bodyStructure: none,
          body: none,
          commonFields: none,
          parts: none,
          subject: 'Offer',
          from: '',
        },
      },
      [
        {
          owner: 'ada@harbour.example',
          recipient: 'Ada+tag@harbour.example',
          direction: 'incoming',
          class: 'held',
          verdict: { reason: 'spam', source: 'none', rules: [] },
          prefix: 'X-Lazaret-Id: {id}\r\n',
          ...entry,
        },
      ],
    );
    return this.entry(admitted!.entryId) as Promise<Entry & { uid: Uid }>;
  }

  async entry(id: Entry['id']): Promise<Entry> {
    return (await this.store.entries.get(id))!;
  }

  async drop(entry: Entry, action: ActionName = 'release', mode: DropMode = 'move'): Promise<string> {
    const folder = entry.folder!;
    const drop = this.store.drops.begin({
      actor,
      scope: everything,
      folder,
      action,
      mode,
      undoMs: 0,
      hostname: 'q.example',
    });
    await this.store.drops.take(drop, [entry.uid!], { last: true });
    return drop.id;
  }

  /** Until nothing runs any more. */
  async settle(): Promise<void> {
    await this.runner.idle();
  }

  /** Moves time, and lets happen what is due then. */
  async later(ms: number): Promise<void> {
    this.#clock[0]! += ms;
    await this.settle();
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}

/** Everything to this next hop. */
const to = (client: Pick<DeliveryClient, 'deliver'>, { url }: Sink): DeliverOptions['wayOf'] =>
  createRouter({ delivery: { nextHop: `${url}?tls=none` } }, new AddressBook({}), client);

/** The message below our trace headers. */
function below(sent: Buffer): Buffer {
  const end =
    /^Resent-Message-ID: .*\r\n/m.exec(sent.toString('latin1')) ?? /^ sig=.*\r\n/m.exec(sent.toString('latin1'));
  return sent.subarray(end!.index + end![0].length);
}

const tokenIn = (sent: Buffer) => {
  const [, value = ''] = /^X-Lazaret-Release:((?:.*\r\n[ \t])*.*)\r\n/m.exec(sent.toString('latin1')) ?? [];
  return verifyRelease(key, value);
};

t.test('a release: the envelope as received, the bytes as stored, the answer recorded', async (t) => {
  const world = await World.open(t);
  const entry = await world.hold('Received: from x by y\r\nSubject: Gr\xfc\xdfe\r\n\r\n.\r\nBuy now.\r\n', {
    sender: '"odd name"@spam.example',
    orcpt: 'rfc822;ada+2Btag@harbour.example',
    params: { ret: 'HDRS', envid: 'Q1', body: '8BITMIME', client: { name: 'x' } },
    filterBlock: 'X-Spam-Flag: YES\r\n',
  });
  const dropId = await world.drop(entry);
  await world.settle();
  const [message] = world.sink.messages;
  const text = message!.bytes.toString('latin1');
  t.match(message, {
    sender: '"odd name"@spam.example',
    recipients: ['Ada+tag@harbour.example'],
    mailParams: `SIZE=${message!.bytes.length} BODY=8BITMIME RET=HDRS ENVID=Q1`,
    rcptParams: ['NOTIFY=NEVER ORCPT=rfc822;ada+2Btag@harbour.example'],
  });
  t.equal(
    below(message!.bytes).toString('utf8'),
    'Received: from x by y\r\nSubject: Gr\xfc\xdfe\r\n\r\n.\r\nBuy now.\r\n',
  );
  t.match(text, /^Received: by q\.example \(Lazaret\) id \d+;\r\n .*\r\nX-Lazaret-Release: v1;/);
  t.match(
    text,
    /\r\nResent-From: Lazaret <postmaster@q\.example>\r\nResent-Date: .*\r\nResent-Message-ID: <.*@q\.example>\r\n/,
  );
  t.notMatch(text, /X-Spam-Flag/, "the filter's block stays here");
  const token = tokenIn(message!.bytes);
  t.match(token, {
    entryId: entry.id,
    attempt: 1,
    recipient: 'Ada+tag@harbour.example',
    bodySha256: createHash('sha256').update('.\r\nBuy now.\r\n').digest('hex'),
  });
  const validFor = token!.until - Date.now() / 1000;
  t.ok(validFor > 86_000 && validFor <= 86_401, 'for a day');
  t.match(await world.entry(entry.id), { state: 'released', place: 'none' });
  t.match(await world.store.jobs.ofDrop(dropId), [{ state: 'done', outcome: '250 2.0.0 Ok' }]);
  t.same(world.events, [
    {
      kind: 'released',
      entryId: entry.id,
      owner: 'ada@harbour.example',
      recipient: 'Ada+tag@harbour.example',
      account: 'ada@harbour.example',
      subject: 'Offer',
      said: '250 2.0.0 Ok',
    },
  ]);

  const copied = await world.hold('Subject: two\r\n\r\n2\r\n', {
    direction: 'outgoing',
    owner: 'ada@harbour.example',
    recipient: 'x@far.example',
  });
  await world.drop(copied, 'release', 'copy');
  await world.settle();
  t.same(world.sink.messages[1]?.recipients, ['x@far.example']);
  t.match(await world.entry(copied.id), { state: 'released', uid: copied.uid }, 'a copy stays for a while');
  await world.later(59_000);
  t.match(await world.entry(copied.id), { uid: copied.uid });
  await world.later(2_000);
  t.equal((await world.entry(copied.id)).uid, undefined);
});

t.test('row 8: every sample arrives as it was stored, and the signed hash is that of what arrived', async (t) => {
  const world = await World.open(t);
  const folder = join(import.meta.dirname, '../fixtures/raw');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.eml')).sort();
  t.ok(names.length > 50);
  const held = new Map<string, Buffer>();
  for (const name of names) {
    const raw = await readFile(join(folder, name));
    const entry = await world.hold(raw);
    held.set(String(entry.id), raw);
    await world.drop(entry);
  }
  // On a loaded machine some find no connection free, and come again after seconds.
  await world.sink.sees(({ messages }) => messages.length === names.length);
  for (const { bytes } of world.sink.messages) {
    const token = tokenIn(bytes);
    const raw = held.get(String(token?.entryId)) ?? Buffer.alloc(0);
    const expected =
      raw.length > 0 && raw.subarray(-2).toString() !== '\r\n' ? Buffer.concat([raw, Buffer.from('\r\n')]) : raw;
    t.ok(below(bytes).equals(expected), `${token?.entryId}: identical`);
    const body = raw.length > headerEnd(raw) ? expected.subarray(headerEnd(raw)) : Buffer.alloc(0);
    t.equal(token?.bodySha256, createHash('sha256').update(body).digest('hex'));
    held.delete(String(token?.entryId));
  }
  t.equal(held.size, 0);
});

t.test(
  'spam fields get other names only where that is asked for, and never where a signature names them',
  async (t) => {
    const world = await World.open(t);
    const marked = (signed: string, body = 'Buy now.\r\n') =>
      `Received: from x by y\r\nX-Spam-Flag: YES\r\nX-Spamd-Result: default: True [9.00 / 5.00];\r\n\tA(9.00)[]\r\n` +
      `DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=x;\r\n h=From:${signed}; bh=x; b=y\r\nSubject: Offer\r\n\r\n${body}`;
    const released = async (text: string) => {
      await world.drop(await world.hold(text));
      await world.settle();
      const { bytes } = world.sink.messages.at(-1)!;
      t.equal(
        tokenIn(bytes)?.bodySha256,
        createHash('sha256')
          .update(text.slice(text.indexOf('\r\n\r\n') + 4))
          .digest('hex'),
      );
      return below(bytes).toString('latin1');
    };
    t.equal(await released(marked('Subject')), marked('Subject'), 'as stored');
    world.use({ renameHeaders: true });
    const renamed = (text: string) => text.replace('X-Spam-Flag', 'X-Pre-Release-X-Spam-Flag');
    const both = (text: string) => renamed(text).replace('X-Spamd-Result', 'X-Pre-Release-X-Spamd-Result');
    t.equal(await released(marked('Subject')), both(marked('Subject')));
    t.equal(await released(marked('x-spamd-result')), renamed(marked('x-spamd-result')), 'what is signed stays');
    const large = marked('Subject', `${'Buy now, buy more, and more.\r\n'.repeat(20_000)}`);
    t.equal(await released(large), both(large), 'a large one, read in pieces');
    const endless = `X-Spam: Yes\r\n${'X-A: b\r\n'.repeat(150_000)}\r\nx\r\n`;
    t.equal(await released(endless), endless, 'a header too long to be searched for signatures stays');
  },
);

t.test('a release is from whom the settings say', async (t) => {
  const world = await World.open(t);
  world.use({ senderOf: () => '' });
  await world.drop(await world.hold());
  await world.settle();
  t.match(world.sink.messages, [{ sender: '', rcptParams: ['NOTIFY=NEVER'] }]);
});

t.test('row 5: a 5xx at any point brings the entry back, with the words of the next hop', async (t) => {
  const world = await World.open(t);
  for (const phase of ['mail', 'rcpt', 'data', 'end'] as const) {
    world.sink.options = { behave: (at) => (at.phase === phase ? '550 5.1.1 No such\tuser <ada>' : undefined) };
    world.sink.messages.length = 0;
    world.events.length = 0;
    const entry = await world.hold();
    const dropId = await world.drop(entry);
    await world.settle();
    const back = await world.entry(entry.id);
    t.match(back, { state: 'held', place: 'caught', folder: 'caught' }, phase);
    t.ok(back.uid! > entry.uid, 'under a new UID');
    t.match(back.prefix, new RegExp(`^X-Lazaret-Id: ${entry.id}\\r\\n`));
    t.match(back.prefix, /^X-Lazaret-Status: failed: 550 5\.1\.1 No such user <ada>\r$/m);
    t.same(await world.store.notices.take(actor.account), [
      '"Offer" could not be delivered to Ada+tag@harbour.example: 550 5.1.1 No such user <ada>. It is back in Caught.',
    ]);
    t.match(await world.store.jobs.ofDrop(dropId), [{ state: 'failed', outcome: '550 5.1.1 No such user <ada>' }]);
    t.same(world.kinds(), ['release-failed']);
    world.sink.options = {};
    await world.drop(back);
    await world.settle();
    t.equal(world.sink.messages.length, phase === 'end' ? 2 : 1, 'and can be released again');
    t.match(await world.entry(entry.id), { state: 'released' });
  }
});

t.test('row 5: a 4xx or no answer is tried again, is shown after an hour, and fails after five days', async (t) => {
  const world = await World.open(t, { behave: ({ phase }) => (phase === 'rcpt' ? '451 4.2.0 Come back' : undefined) });
  const entry = await world.hold();
  const dropId = await world.drop(entry);
  await world.settle();
  const job = async () => (await world.store.jobs.ofDrop(dropId))[0]!;
  t.match(await job(), { state: 'ready', attempts: 1, outcome: '451 4.2.0 Come back' });
  t.match(await world.entry(entry.id), { state: 'dropped', place: 'none' });
  await world.later(299_000);
  t.equal((await job()).attempts, 1, 'not before 300 s');
  await world.later(2_000);
  t.equal((await job()).attempts, 2);
  t.equal((await world.entry(entry.id)).uid, undefined, 'nobody is bothered yet');

  await world.later(hour);
  const shown = await world.entry(entry.id);
  t.match(shown, { state: 'dropped', folder: 'caught' });
  t.match(shown.prefix, /^X-Lazaret-Status: waiting: 451 4\.2\.0 Come back\r$/m);
  await world.later(2 * hour);
  t.equal((await job()).attempts, 4);
  t.equal((await world.entry(entry.id)).uid, shown.uid, 'shown once');

  // Dropped on Release again: out of view, tried now, and back after another hour.
  await world.drop(shown);
  await world.later(0);
  t.equal((await job()).attempts, 5, 'tried at once');
  t.equal((await world.entry(entry.id)).uid, undefined);
  await world.later(hour + 20 * minute);
  const again = await world.entry(entry.id);
  t.ok(again.uid! > shown.uid!, 'shown again');

  world.sink.options = { behave: ({ phase }) => (phase === 'mail' ? 'close' : undefined) };
  await world.later(5 * day);
  const back = await world.entry(entry.id);
  t.match(back, { state: 'held', folder: 'caught' });
  t.match(
    back.prefix.replaceAll('\r\n ', ' '),
    /^X-Lazaret-Status: failed: the next hop closed the connection \(given up after 5 days\)\r$/m,
  );
  t.match(await world.store.notices.take(actor.account), [
    /within 5 days: the next hop closed the connection\. It is back in Caught\.$/,
  ]);
  t.match(await job(), { state: 'failed' });
  t.equal(world.kinds().at(-1), 'release-failed');
  t.ok(
    world
      .kinds()
      .slice(0, -1)
      .every((kind) => kind === 'release-waits'),
  );
});

t.test('row 7: tries look alike but for their signature, also after an answer that was lost', async (t) => {
  const client = new DeliveryClient({ hostname: 'q.example', timeouts: { ...limits, dataMs: 1000 } });
  t.teardown(() => client.close());
  const sinkOptions: SinkOptions = {
    behave: ({ phase, delivered }) =>
      phase === 'end' && delivered < 2 ? (delivered === 0 ? 'close' : 'hang') : undefined,
  };
  const world = await World.open(t, sinkOptions);
  world.use({ wayOf: to(client, world.sink) });
  const entry = await world.hold();
  await world.drop(entry);
  await world.settle();
  await world.later(10 * minute);
  world.sink.options = {};
  await world.later(hour);
  const [first, second, third] = world.sink.messages;
  t.ok(first && second && third);
  const unsigned = ({ bytes }: { bytes: Buffer }) =>
    bytes
      .toString('latin1')
      .replace(/ try=\d+;\r\n until=\d+;\r\n/, '')
      .replace(/ sig=.*\r\n/, '');
  t.equal(unsigned(first!), unsigned(second!), 'the same to the last octet');
  t.equal(unsigned(second!), unsigned(third!));
  const tokens = world.sink.messages.map(({ bytes }) => tokenIn(bytes)!);
  t.same(
    tokens.map(({ attempt }) => attempt),
    [1, 2, 3],
    'a filter that let one through can tell the next try from a repeat',
  );
  t.equal(new Set(tokens.map(({ drop }) => drop)).size, 1, 'but they are one release');
  t.match(await world.entry(entry.id), { state: 'released' });
  t.same(world.kinds(), ['release-waits', 'release-waits', 'released']);
});

t.test('row 5: a next hop that hangs, and one that is down, hold up nobody else', async (t) => {
  const hanging = await Sink.start(t, { behave: ({ phase }) => (phase === 'mail' ? 'hang' : undefined) });
  const dead = await Sink.start(t);
  await dead.close();
  const domains = {
    'hanging.example': { aliases: [], nextHop: hanging.url },
    'dead.example': { aliases: [], nextHop: dead.url },
  };
  const client = new DeliveryClient({
    hostname: 'q.example',
    timeouts: { ...limits, commandMs: 60_000 },
    patienceMs: 10,
  });
  t.teardown(() => client.close());
  const world = await World.open(t);
  world.use({
    wayOf: createRouter({ domains, delivery: { nextHop: world.sink.url } }, new AddressBook({ domains }), client),
  });
  for (let n = 0; n < 40; n++) {
    await world.drop(
      await world.hold(`Subject: ${n}\r\n\r\n`, { recipient: `a@${n % 2 ? 'hanging' : 'dead'}.example` }),
    );
  }
  for (let n = 0; n < 5; n++) await world.drop(await world.hold(`Subject: good ${n}\r\n\r\n`));
  await world.sink.sees(({ messages }) => messages.length === 5);
  t.equal(hanging.connections, 5, 'it has its own connections, and no more');
  t.notOk(world.kinds().includes('release-failed'));
});

t.test(
  'handed back by the filter while the answer is awaited: the entry is held, and "released" is not recorded',
  async (t) => {
    const world = await World.open(t, { behave: ({ phase }) => (phase === 'end' ? { afterMs: 100 } : undefined) });
    const entry = await world.hold();
    const dropId = await world.drop(entry);
    await world.sink.sees(({ commands }) => commands.includes('DATA'));
    await world.hold('Subject: Offer\r\n\r\nagain\r\n', {
      handBack: { entryId: entry.id, prefix: 'X-Lazaret-Id: {id}\r\n' },
    });
    await world.settle();
    t.equal(world.sink.messages.length, 1);
    t.match(await world.entry(entry.id), { state: 'held', folder: 'caught' });
    t.notMatch(await world.store.jobs.ofDrop(dropId), [{ state: 'done' }]);
    t.same(world.events, [], 'nobody is told of what was not recorded');
  },
);

t.test('what is not there any more fails, and says so', async (t) => {
  const world = await World.open(t);
  const job = (entryId: number): ClaimedJob => ({
    key: 'k',
    dropId: 'd',
    step: 'deliver',
    entryId: entryId as Entry['id'],
    messageId: 1 as ClaimedJob['messageId'],
    state: 'leased',
    attempts: 1,
    createdAt: new Date(),
    lease: 'l',
    leaseUntil: new Date(),
    actor,
    resentMessageId: '<d@q.example>',
    droppedAt: new Date(),
  });
  const { signal } = new AbortController();
  t.match(await world.handler(job(4711), signal), { kind: 'failed', said: /entry does not exist/ });
  const nobody = await world.hold('Subject: x\r\n\r\n', { recipient: '' });
  t.match(await world.handler(job(nobody.id), signal), {
    kind: 'failed',
    said: /nobody knows/,
    notice: /could not be delivered/,
  });

  const entry = await world.hold();
  const lost = await world.handlerWith({ wayOf: () => undefined })(job(entry.id), signal);
  t.match(lost, { kind: 'later', said: /no next hop/, afterMs: 300_000 });
  const deliver = async () => {
    throw new TypeError('secret');
  };
  const wayOf = (client: Pick<DeliveryClient, 'deliver'>) => to(client, world.sink);
  const ended = await world.handlerWith({ wayOf: wayOf({ deliver }) })(job(entry.id), signal);
  t.match(ended, { kind: 'later', said: /^an error inside the quarantine \([0-9a-f-]{36}\)$/ });
  const said = 'all connections to the next hop are in use';
  const busy = (hanging: boolean) => ({
    deliver: async () => ({ outcomes: [{ recipient: '', kind: 'later' as const, said }], busy: { hanging } }),
  });
  const old = { ...job(entry.id), droppedAt: new Date(Date.now() - 6 * day) };
  t.match(await world.handlerWith({ wayOf: wayOf(busy(false)) })(old, signal), { kind: 'later', said, afterMs: 2000 });
  t.match(await world.handlerWith({ wayOf: wayOf(busy(true)) })(job(entry.id), signal), {
    kind: 'later',
    afterMs: 60_000,
  });
  t.match(await world.handlerWith({ wayOf: wayOf(busy(true)) })(old, signal), {
    kind: 'failed',
    said: /given up after 5 days/,
  });
});
