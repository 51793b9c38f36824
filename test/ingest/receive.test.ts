import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { admitMessage, type IncomingMail } from '#app/ingest/admit';
import { createReceiver, type ReceiverOptions } from '#app/ingest/receive';
import type { ProductEvent } from '#app/observe/events';
import { silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { signRelease } from '#app/quarantine/release-token';
import { headerEnd } from '#imap/mime/header';
import type { HandOverClient } from '#smtp/receiver';
import { HandOverServer } from '#smtp/server';
import { StoreBusy, StoreFull } from '#store/errors';
import type { MessageId } from '#store/model';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { RawClient, stuffed } from '../smtp/raw-client.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const sample = (name: string) => readFileSync(join(fixtures, 'filtered', `${name}.eml`));
const releaseKey = Buffer.alloc(32, 7);

async function* pieces(octets: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size);
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

const defaults = {
  domains: { 'example.test': { aliases: ['example.alias'] }, 'x.test': {} },
  aliases: { 'info@x.test': 'ann@x.test' },
};

/** A store of its own, with the way in. `clock[0]` is how many milliseconds it is ahead. */
async function world(
  t: Test,
  more: Partial<ReceiverOptions> & { rules?: ConstructorParameters<typeof AddressBook>[0] } = {},
) {
  const shared = new SharedArrayBuffer(8);
  const store =
    more.store ?? (await openStore(`sqlite:${join(t.testdir(), 'store.db')}`, { durable: false, clock: shared }));
  const events: ProductEvent[] = [];
  const warnings: object[] = [];
  const options: ReceiverOptions = {
    store,
    book: new AddressBook(more.rules ?? defaults),
    handOverDomains: ['quarantine.test'],
    releaseKey,
    trusted: ['127.0.0.0/8', '::1', '10.1.0.0/16', '2001:db8::/32'],
    listeners: {},
    maxMessageBytes: 80_000_000,
    onEvent: (event) => events.push(event),
    log: { ...silent, warn: (facts) => warnings.push(facts) },
    ...more,
  };
  if (!more.store) t.teardown(() => store.close());
  return { store, options, events, warnings, clock: new Float64Array(shared) };
}

/** The same with listeners before it. */
async function listening(t: Test, more: Parameters<typeof world>[1] = {}) {
  const made = await world(t, more);
  const names = Object.keys(made.options.listeners);
  const server = new HandOverServer({
    receiver: createReceiver(made.options),
    hostname: 'quarantine.test',
    maxMessageBytes: made.options.maxMessageBytes,
    log: silent,
    listen: (names.length > 0 ? names : ['lmtp']).map((name) => ({
      protocol: name.startsWith('smtp') ? 'smtp' : 'lmtp',
      host: '127.0.0.1',
      port: 0,
      name,
    })),
  });
  const open = await server.listen();
  t.teardown(() => server.close(0));
  return { ...made, server, port: (name = 'lmtp') => open.find((listener) => listener.name === name)!.port };
}

async function send(
  t: Test,
  port: number,
  message: Uint8Array,
  recipients: string[],
  sender = 'a@b.test',
  hello = 'LHLO',
): Promise<string[]> {
  const client = await RawClient.connect(port);
  t.teardown(() => client.close());
  await client.command(`${hello} mx.test`);
  await client.command(`MAIL FROM:<${sender}>`);
  for (const to of recipients) t.match(await client.command(`RCPT TO:<${to}>`), /^250/);
  await client.command('DATA');
  client.write(stuffed(message));
  return client.replies(hello === 'LHLO' ? recipients.length : 1);
}

const entriesOf = async (store: Store) =>
  [...(await store.entries.list({ scope: { level: 'global' }, limit: 500 }))].reverse();
const kept = (store: Store, id: MessageId) => all(store.messages.read(id));
const mail = (text: string) => Buffer.from(text.replace(/\r?\n/g, '\r\n'));
const simple = mail('Received: from mx\nFrom: S <s@s.test>\nSubject: Hello\n\nbody\n');

const incoming = (message: Uint8Array, more: Partial<IncomingMail> = {}): IncomingMail => ({
  source: pieces(message),
  sender: 's@s.test',
  recipients: [{ address: 'ann@x.test' }],
  params: {},
  direction: 'auto',
  filter: 'auto',
  repeat: true,
  ...more,
});

t.test('mail with the block of amavis is kept without it, an entry for each recipient', async (t) => {
  const { store, port, events } = await listening(t);
  const message = sample('amavis-lmtp-gtube');
  const recipients = ['spam+alice=example.test@quarantine.test', 'spam+bob=example.test@quarantine.test'];
  t.same(await send(t, port(), message, recipients), Array(2).fill('250 2.0.0 Ok: kept as 1, 2'));
  const [alice, bob] = await entriesOf(store);
  t.match(alice, {
    owner: 'alice@example.test',
    recipient: 'alice@example.test',
    direction: 'incoming',
    folder: 'caught',
    state: 'held',
    class: 'held',
  });
  t.equal(bob?.owner, 'bob@example.test');
  t.equal(alice?.messageId, bob?.messageId, 'one message');
  t.match(alice?.verdict, { reason: 'spam', source: 'amavis', score: 1001.3, filterId: '01l91CPzaQeR' });
  t.match(alice?.prefix, /^X-Lazaret-Id: 1\r\nX-Lazaret-Reason: spam \(amavis\): it looks like spam\r\n/);
  t.equal(alice?.message.sender, 'promo@spam.test');
  const shown = message.subarray(message.indexOf('Received:'));
  t.ok((await kept(store, alice!.messageId)).equals(shown));
  t.ok(
    Buffer.from(await store.messages.filterBlock(alice!.messageId)).equals(
      message.subarray(0, message.length - shown.length),
    ),
  );
  t.same(
    events,
    [1, 2].map((entryId) => ({
      kind: 'arrived',
      entryId,
      owner: entryId === 1 ? 'alice@example.test' : 'bob@example.test',
      subject: 'Test spam mail (GTUBE)',
      reason: 'spam',
    })),
  );
});

t.test('what the filter tells the sender of the mail of a listener is kept with each entry of it', async (t) => {
  const { store, port } = await listening(t, {
    listeners: {
      'lmtp-0': {
        direction: 'auto',
        filter: 'amavis',
        disposition: { kind: 'rejected', said: '554 5.7.0 Reject, spam' },
      },
      'lmtp-1': { direction: 'auto', filter: 'auto' },
    },
  });
  await send(t, port('lmtp-0'), sample('amavis-lmtp-gtube'), ['spam-quarantine@quarantine.test']);
  await send(t, port('lmtp-1'), simple, ['ann@x.test']);
  const [alice, bob, ann] = await entriesOf(store);
  const rejected = { kind: 'rejected', said: '554 5.7.0 Reject, spam' };
  t.same([alice?.verdict.disposition, bob?.verdict.disposition], [rejected, rejected]);
  t.match(alice?.verdict, { reason: 'spam', filterId: '01l91CPzaQeR' }, 'beside what the filter wrote');
  t.equal(ann?.verdict.disposition, undefined, 'of a listener that says nothing nothing is known');
});

t.test('row 3: a message handed over again is the same entry', async (t) => {
  const { store, port, events } = await listening(t);
  const to = ['spam-quarantine@quarantine.test'];
  await send(t, port(), sample('amavis-lmtp-gtube'), to);
  t.same(await send(t, port(), sample('amavis-lmtp-gtube'), to), ['250 2.0.0 Ok: kept as 1 (again), 2 (again)']);
  const retried = Buffer.from(
    sample('amavis-lmtp-gtube')
      .toString('latin1')
      .replaceAll('01l91CPzaQeR', 'NEWquaranID1')
      .replace('01:12:29', '01:17:30'),
    'latin1',
  );
  t.same(
    await send(t, port(), retried, to),
    ['250 2.0.0 Ok: kept as 1 (again), 2 (again)'],
    'with a new X-Quarantine-ID',
  );
  t.equal((await entriesOf(store)).length, 2);
  t.equal(events.filter(({ kind }) => kind === 'repeated').length, 4);
  await send(t, port(), Buffer.concat([retried, Buffer.from('more\r\n')]), to);
  t.equal((await entriesOf(store)).length, 4, 'another body is another message');
  // Postfix: a lost reply after the end of DATA.
  const client = await RawClient.connect(port());
  await client.command('LHLO x');
  client.write('MAIL FROM:<s@s.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n');
  await client.replies(3);
  client.write(stuffed(simple));
  client.close();
  await send(t, port(), simple, ['ann@x.test'], 's@s.test');
  t.equal((await entriesOf(store)).filter(({ owner }) => owner === 'ann@x.test').length, 1);
  await send(t, port(), simple, ['ann@x.test'], 'other@s.test');
  await send(t, port(), simple, ['ann+tag@x.test'], 's@s.test');
  t.equal(
    (await entriesOf(store)).filter(({ owner }) => owner === 'ann@x.test').length,
    3,
    'another sender, another recipient',
  );
});

t.test('§7.9: without a trace below it a message folds for an hour; import always folds, inject never', async (t) => {
  const { store, options, clock } = await world(t);
  const bare = mail('Subject: no trace\n\nbody\n');
  const admit = async (message: Uint8Array, more: Partial<IncomingMail> = {}) => {
    const [admitted] = await admitMessage(options, incoming(message, more));
    return `${admitted?.how} ${admitted?.entryId}`;
  };
  t.equal(await admit(bare), 'new 1');
  clock[0] = 59 * 60_000;
  t.equal(await admit(bare), 'repeat 1');
  clock[0] = 121 * 60_000;
  t.equal(await admit(bare), 'new 2');
  t.equal((await entriesOf(store)).find(({ id }) => id === 2)?.linkedTo, 1);
  t.equal(await admit(bare, { repeat: 'import' }), 'repeat 2');
  t.equal(await admit(bare, { repeat: false }), 'new 3');
  t.equal(await admit(bare, { repeat: false }), 'new 4');
  t.equal(await admit(simple), 'new 5');
  clock[0] = 6 * 24 * 3600_000;
  t.equal(await admit(simple), 'repeat 5', 'as long as the entry exists');
  clock[0] = 30 * 24 * 3600_000;
  t.equal(await admit(bare, { repeat: 'import' }), 'repeat 2', 'import folds whenever');
});

t.test('§7.2: direction and owner, by recipient', async (t) => {
  const cases: [Partial<IncomingMail>, sender: string, recipient: string, direction: string, owner: string][] = [
    [{}, 's@s.test', 'Ann+x@X.test', 'incoming', 'ann@x.test'],
    [{}, 's@s.test', 'info@x.test', 'incoming', 'ann@x.test'],
    [{}, 'bob@x.test', 'ann@example.alias', 'incoming', 'ann@example.test'],
    [{}, 'Bob+1@x.test', 'f@foreign.test', 'outgoing', 'bob@x.test'],
    [{}, 's@s.test', 'f@foreign.test', 'incoming', ''],
    [{}, '', 'f@foreign.test', 'incoming', ''],
    [{}, 's@s.test', 'postmaster', 'incoming', ''],
    [{ direction: 'outgoing' }, 'bob@x.test', 'ann@x.test', 'outgoing', 'bob@x.test'],
    [{ direction: 'outgoing' }, '', 'f@foreign.test', 'outgoing', ''],
    [{ direction: 'outgoing' }, 's@s.test', 'ann@x.test', 'outgoing', ''],
    [{ direction: 'incoming' }, 'bob@x.test', 'f@foreign.test', 'incoming', ''],
    [{ folder: 'caught' }, 'bob@x.test', 'ann@x.test', 'incoming', 'ann@x.test'],
    [{ folder: 'outgoing' }, 'bob@x.test', 'ann@x.test', 'outgoing', 'bob@x.test'],
    [{ folder: 'training' }, 'bob@x.test', 'ann@x.test', 'incoming', 'ann@x.test'],
    [{}, 's@s.test', 'x@quarantine.test', 'incoming', ''],
    [{ direction: 'outgoing' }, 'bob@x.test', 'x@quarantine.test', 'outgoing', ''],
  ];
  const { store, options } = await world(t);
  for (const [more, sender, address, direction, owner] of cases) {
    const [made] = await admitMessage(
      options,
      incoming(simple, { ...more, sender, recipients: [{ address }], repeat: false }),
    );
    const entry = await store.entries.get(made!.entryId);
    const folder = more.folder ?? (direction === 'outgoing' ? 'outgoing' : 'caught');
    t.match(
      entry,
      { direction, owner, folder, class: folder === 'training' ? 'training' : 'held' },
      `${sender} to ${address}`,
    );
    t.equal(entry?.recipient, address.endsWith('@quarantine.test') ? '' : address, 'as received');
  }
  const open = await world(t, { rules: {} });
  const [made] = await admitMessage(
    open.options,
    incoming(simple, { sender: 'bob@x.test', recipients: [{ address: 'Any+1@Where.test' }] }),
  );
  t.match(
    await open.store.entries.get(made!.entryId),
    { direction: 'incoming', owner: 'any@where.test' },
    'no domains: all is incoming',
  );
});

t.test('mail for nobody known is one entry for the eyes of global', async (t) => {
  const { store, port } = await listening(t);
  await send(t, port(), sample('rspamd-sendmail-default'), ['default-format@quarantine.test', 'x@quarantine.test']);
  const [entry, ...others] = await entriesOf(store);
  t.match(entry, { owner: '', recipient: '', direction: 'incoming', verdict: { reason: 'unknown' } });
  t.equal(others.length, 0);
  const unreadable = mail(
    'X-Envelope-To: oops\nX-Quarantine-ID: <A>\nX-Spam-Status: Yes, score=9 kill=6\nReceived: x\n\nbody\n',
  );
  await send(t, port(), unreadable, ['x@quarantine.test']);
  t.match((await entriesOf(store))[1], { owner: '', recipient: '', verdict: { reason: 'unknown', score: 9 } });
});

t.test('what inject sets is set, and what a release needs is kept', async (t) => {
  const { store, options, port } = await listening(t);
  const internalDate = new Date('2026-01-02T03:04:05Z');
  const [made] = await admitMessage(
    options,
    incoming(simple, { repeat: false, internalDate, flags: ['\\Seen', '$x'] }),
  );
  t.same((await store.entries.get(made!.entryId))?.internalDate, internalDate);
  const view = await store.views.load({ level: 'global' }, 'caught');
  t.match(view.flagSets[view.flagSet[0]!], /\\Seen/);
  const client = await RawClient.connect(port());
  await client.command('LHLO mx.test');
  await client.command('XFORWARD NAME=mail.example.org ADDR=192.0.2.10 IDENT=7F68');
  await client.command('MAIL FROM:<ann@example.org> SIZE=1043 BODY=8bitmime ENVID=QQ+2B1 RET=hdrs SMTPUTF8');
  await client.command('RCPT TO:<Ann@x.test> ORCPT=rfc822;alias+2B1@example.test NOTIFY=SUCCESS');
  await client.command('DATA');
  client.write(stuffed(simple));
  t.match(await client.reply(), /^250/);
  client.close();
  const entry = (await entriesOf(store))[1]!;
  t.equal(entry.orcpt, 'rfc822;alias+2B1@example.test');
  t.same(entry.message.params, {
    body: '8BITMIME',
    smtputf8: true,
    ret: 'HDRS',
    envid: 'QQ+2B1',
    client: { name: 'mail.example.org', addr: '192.0.2.10', ident: '7F68' },
  });
});

t.test('each listener has its own filter and direction', async (t) => {
  const { store, port } = await listening(t, {
    listeners: {
      'lmtp-0': { direction: 'auto', filter: 'rspamd-milter' },
      'lmtp-1': { direction: 'outgoing', filter: 'spamassassin' },
      'smtp-0': { direction: 'auto', filter: 'amavis' },
    },
  });
  const milter = sample('rspamd-milter-add-header');
  await send(t, port('lmtp-0'), milter, ['alice@example.test']);
  await send(t, port('lmtp-1'), sample('spamassassin-process-pharmacy'), ['f@foreign.test'], 'bob@x.test');
  await send(t, port('smtp-0'), sample('amavis-smtp-gtube'), ['anything@else.test'], 'x@y.test', 'EHLO');
  const [one, two, three, four] = await entriesOf(store);
  t.match(one, { owner: 'alice@example.test', verdict: { source: 'rspamd', reason: 'spam', score: 8.68 } });
  t.ok((await kept(store, one!.messageId)).equals(milter), 'nothing is cut');
  t.match(two, {
    owner: 'bob@x.test',
    direction: 'outgoing',
    folder: 'outgoing',
    verdict: { source: 'spamassassin', reason: 'spam' },
  });
  t.match([three?.owner, four?.owner], ['alice@example.test', 'bob@example.test'], 'by the block');
});

t.test('row 25: spoofed marks give nobody anything', async (t) => {
  const { store, port } = await listening(t);
  const message = sample('amavis-smtp-null-sender-spoofed');
  await send(t, port(), message, ['spam-quarantine@quarantine.test'], '');
  // The same without the filter, straight from an MTA.
  await send(t, port(), message.subarray(message.indexOf('Received:')), ['alice@example.test'], 'promo@spam.test');
  const entries = await entriesOf(store);
  t.same(
    entries.map(({ owner, verdict }) => [owner, verdict.reason, verdict.score]),
    [
      ['alice@example.test', 'spam', 1001.3],
      ['alice@example.test', 'unknown', undefined],
    ],
  );
  t.match(
    (await kept(store, entries[0]!.messageId)).toString('latin1'),
    /X-Envelope-To: <victim@example\.test>/,
    "the sender's own words stay",
  );
});

t.test('row 26: who may hand mail over', async (t) => {
  const { options } = await world(t);
  const receiver = createReceiver(options);
  const client = (address: string): HandOverClient => ({
    protocol: 'lmtp',
    address,
    port: 1,
    helo: 'x',
    listener: 'lmtp',
    forwarded: { addr: '127.0.0.1' },
    id: '1',
  });
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '10.1.255.1', '2001:db8::5'])
    t.equal(receiver.admit(client(address)), undefined, address);
  for (const address of ['10.2.0.1', '192.0.2.1', '::2', '2001:db9::1', '0.0.0.0', '', 'localhost'])
    t.match(receiver.admit(client(address)), { code: 554, enhanced: '5.7.1' }, address);
  t.throws(() => createReceiver({ ...options, trusted: ['10.0.0.0/33'] }));
  t.throws(() => createReceiver({ ...options, trusted: ['somewhere'] }));
  const other = await listening(t, { trusted: ['10.0.0.0/8'] });
  const raw = await RawClient.connect(other.port());
  await raw.command('LHLO x');
  t.match(await raw.command('MAIL FROM:<a@b>'), /^554 5\.7\.1 /);
  raw.close();
});

t.test('row 8: bytes come out as they went in, below the block', async (t) => {
  const { store, options, port } = await listening(t, {
    listeners: { lmtp: { direction: 'auto', filter: 'auto' }, smtp: { direction: 'auto', filter: 'auto' } },
  });
  const files = readdirSync(join(fixtures, 'filtered'))
    .filter((name) => name.endsWith('.eml'))
    .map((name) => join(fixtures, 'filtered', name));
  let raw: string[] = [];
  try {
    raw = readdirSync(join(fixtures, 'raw'))
      .map((name) => join(fixtures, 'raw', name))
      .filter((name) => name.endsWith('.eml'));
  } catch {
    t.comment('no raw samples here');
  }
  for (const [at, file] of [...files, ...raw].entries()) {
    const sent = readFileSync(file);
    const message =
      sent.subarray(-2).equals(Buffer.from('\r\n')) || sent.length === 0
        ? sent
        : Buffer.concat([sent, Buffer.from('\r\n')]);
    const protocol = at % 2 === 0 ? 'lmtp' : 'smtp';
    const [reply] = await send(
      t,
      port(protocol),
      message,
      [`r${at}@x.test`],
      's@s.test',
      at % 2 === 0 ? 'LHLO' : 'EHLO',
    );
    t.match(reply, /^250/);
    const [entry] = await store.entries.list({ scope: { level: 'global' }, limit: 1 });
    if (!entry) return t.fail('nothing is there');
    const octets = await kept(store, entry.messageId);
    const block = await store.messages.filterBlock(entry.messageId);
    // Out of a report of SpamAssassin the message itself is taken.
    const original = file.includes('report-safe')
      ? readFileSync(join(fixtures, 'raw/spam-gtube.eml'))
      : message.subarray(block.length);
    t.ok(octets.equals(original), file);
    t.equal(entry.message.size, octets.length);
    t.equal(
      block.length > 0,
      /filtered\/(amavis-(lmtp|smtp|sql|local)|spamassassin-(process|report)|rspamd-custom)/.test(file),
      'a block where there is one',
    );
    t.equal(entry.message.headerSize, headerEnd(octets), `header of ${file}`);
  }
  const [imported] = await admitMessage(options, incoming(Buffer.from('no line end'), { repeat: 'import' }));
  t.equal((await kept(store, (await store.entries.get(imported!.entryId))!.messageId)).toString(), 'no line end');
});

t.test(
  'row 2, row 4: whatever goes wrong with the store is temporary, the same for all, and leaves nothing',
  async (t) => {
    const { store } = await world(t);
    const discarded: string[] = [];
    let failure: Error = new StoreBusy();
    let inPut = false;
    const broken: Store = {
      ...store,
      messages: {
        ...store.messages,
        put: async (source) => {
          if (!inPut) return store.messages.put(source);
          for await (const chunk of source) if (chunk.length > 0) break;
          throw failure;
        },
        discard: async (bytes) => {
          discarded.push(bytes.token);
          await store.messages.discard(bytes);
        },
      },
      entries: {
        ...store.entries,
        admit: async () => {
          throw failure;
        },
      },
    };
    const { port, events } = await listening(t, { store: broken });
    const to = ['ann@x.test', 'nobody@foreign.test', 'ann@x.test'];
    t.match(await send(t, port(), simple, to), [/^451 4\.3\.0 /, /^451 4\.3\.0 /, /^451 4\.3\.0 /]);
    t.equal(discarded.length, 1, 'the bytes are given up');
    failure = new StoreFull();
    t.match(await send(t, port(), simple, to), [/^452 4\.3\.1 /, /^452 4\.3\.1 /, /^452 4\.3\.1 /]);
    inPut = true;
    t.match(await send(t, port(), simple, ['ann@x.test']), [/^452 4\.3\.1 /]);
    failure = new Error('something nobody thought of');
    t.match(await send(t, port(), Buffer.from(`${'x'.repeat(3_000_000)}\r\n`), ['ann@x.test']), [/^451 4\.3\.0 /]);
    t.equal((await entriesOf(store)).length, 0);
    t.equal(events.length, 0);
  },
);

t.test('a message over the limit leaves nothing', async (t) => {
  const { store, options, port } = await listening(t, { maxMessageBytes: 10_000 });
  t.match(await send(t, port(), Buffer.from(`${'x'.repeat(9998)}\r\n`), ['ann@x.test']), [/^250 /]);
  t.match(await send(t, port(), Buffer.from(`${'y'.repeat(9999)}\r\n`), ['ann@x.test', 'ann@x.test']), [
    /^552 5\.3\.4 /,
    /^552 5\.3\.4 /,
  ]);
  const receiver = createReceiver(options);
  const transaction = {
    client: { protocol: 'lmtp' as const, address: '::1', port: 1, helo: '', listener: 'lmtp', forwarded: {}, id: '1' },
    sender: '',
    params: {},
    recipients: [{ address: 'ann@x.test', params: {} }],
  };
  t.match(await receiver.receive(transaction, pieces(Buffer.alloc(20_000, 'z'))), { code: 552, enhanced: '5.3.4' });
  t.equal((await entriesOf(store)).length, 1);
});

t.test('§7.6: a released message that the filter hands back is its entry again', async (t) => {
  const { store, options, events, warnings } = await world(t);
  const [made] = await admitMessage(options, incoming(simple));
  const { bodySha256 } = (await store.messages.get((await store.entries.get(made!.entryId))!.messageId))!;
  const release = async () => {
    const uid = (await store.entries.get(made!.entryId))!.uid!;
    const drop = store.drops.begin({
      actor: { account: 'global', via: 'test' },
      scope: { level: 'global' },
      folder: 'caught',
      action: 'release',
      mode: 'move',
      undoMs: 0,
      hostname: 'q.test',
    });
    await store.drops.take(drop, [uid], { last: true });
  };
  const back = (token: string, body = 'body\r\n', more: Partial<IncomingMail> = {}) =>
    admitMessage(
      options,
      incoming(
        Buffer.concat([
          mail(
            `X-Spam-Checker-Version: SpamAssassin\nX-Spam-Status: Yes, score=7 required=5\nReceived: from filter\nResent-From: q\nX-Lazaret-Release: ${token.replaceAll('; ', ';\n ')}\n`,
          ),
          simple.subarray(0, simple.indexOf('body')),
          Buffer.from(body),
        ]),
        { recipients: [{ address: 'Ann+other@x.test' }], ...more },
      ),
    );
  // A hand-back is recognised at any time: `until` is for filters.
  const claims = {
    entryId: made!.entryId,
    drop: 'd'.repeat(16),
    attempt: 1,
    until: 1,
    recipient: 'ann@x.test',
    bodySha256,
  };
  const token = signRelease(releaseKey, claims);
  await release();
  t.match(await back(token), [{ how: 'handed-back', entryId: made!.entryId }]);
  const entry = await store.entries.get(made!.entryId);
  t.match(entry, { state: 'held', folder: 'caught' });
  t.match(
    entry?.prefix,
    /X-Lazaret-Id: 1\r\nX-Lazaret-Reason: spam \(spamassassin\): it looks like spam\r\n(?:.*\r\n)*X-Lazaret-Status: the filter handed it back\r\n/,
  );
  t.equal(events.at(-1)?.kind, 'handed-back');
  t.match(await back(token), [{ how: 'repeat', entryId: made!.entryId }], 'handed back twice');
  await release();
  t.match(await back(token), [{ how: 'handed-back' }], 'released and handed back again');

  await release();
  const fresh = [
    back(signRelease(Buffer.alloc(32, 8), claims), 'body\r\n', { sender: 'forged@s.test' }),
    back(token, 'another body\r\n'),
    back(token, 'body\r\n', { recipients: [{ address: 'victim@x.test' }] }),
    back(token, 'body\r\n', { repeat: false, sender: 'inject@s.test' }),
    back('v1; nonsense', 'body\r\n', { sender: 'nonsense@s.test' }),
  ];
  for (const admitted of await Promise.all(fresh)) t.match(admitted, [{ how: 'new' }]);
  // After a restore or a renumbering an id may be another entry's: of another message, or of another recipient.
  const others = [
    { ...claims, bodySha256: 'ab'.repeat(32) },
    { ...claims, recipient: 'bob@x.test' },
    { ...claims, entryId: 4711 },
  ];
  for (const [n, other] of others.entries()) {
    const recipients = [{ address: other.recipient }];
    const admitted = await back(signRelease(releaseKey, other), 'body\r\n', { recipients, sender: `${n}@s.test` });
    t.match(admitted, [{ how: 'new' }]);
    t.equal((await store.entries.get(admitted[0]!.entryId))?.linkedTo, undefined);
  }
  t.equal((await store.entries.get(made!.entryId))?.state, 'dropped');
  const links = (await entriesOf(store)).slice(1).map(({ recipient, linkedTo }) => [recipient, linkedTo]);
  t.strictSame(
    links.filter(([, linkedTo]) => linkedTo !== undefined),
    [['Ann+other@x.test', made!.entryId]],
    'the one with another body is linked to it',
  );

  await admitMessage(options, incoming(Buffer.concat([mail('Received: from a\n'.repeat(101)), simple])));
  t.match(warnings, [{ received: 102 }], 'circles are kept and told of');
});

t.test('a message of 60 MB passes through', async (t) => {
  const { store, port } = await listening(t);
  const line = Buffer.from(`${'x'.repeat(998)}\r\n`);
  const client = await RawClient.connect(port());
  t.teardown(() => client.close());
  await client.command('LHLO x');
  client.write('MAIL FROM:<a@b>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n');
  await client.replies(3);
  client.write('Subject: big\r\n\r\n');
  const block = Buffer.concat(Array.from({ length: 1000 }, () => line));
  for (let n = 0; n < 60; n++) await new Promise<void>((resolve) => client.socket.write(block, () => resolve()));
  client.write('.\r\n');
  t.match(await client.reply(), /^250 /);
  t.equal((await entriesOf(store))[0]?.message.size, 60_000_000 + 16);
});

t.test('many at once', async (t) => {
  const { store, port } = await listening(t);
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      const client = await RawClient.connect(port());
      await client.command('LHLO x');
      for (let n = 0; n < 25; n++) {
        client.write(`MAIL FROM:<s@s.test>\r\nRCPT TO:<w${worker}n${n}@x.test>\r\nDATA\r\n`);
        await client.replies(3);
        client.write(stuffed(simple));
        t.match(await client.reply(), /^250 /);
      }
      client.close();
    }),
  );
  t.equal((await entriesOf(store)).length, 200);
});
