/**
 * The real Postfix with the configuration of docs/connect/postfix.md and a whole server: each way by which it diverts mail, what the
 * server then knows, what Postfix does when it is refused, and the way back.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { run } from '../cli/world.ts';
import { login } from '../stories/hand-over.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { arrived, entriesAbout } from '../support/caught.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { freePort } from '../support/free-port.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import { rspamdOrSkip, TestRspamd } from '../support/rspamd.ts';
import { Sink } from '../support/sink.ts';
import { onMongo } from '../support/store.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/connect/postfix.md';
const block = (file: string, words: Readonly<Record<string, string>> = {}) => fill(blockOf(page, file), words);

interface World {
  readonly server: TestApp;
  /** Before the listeners of the page: for a milter, for a gateway, for all else. */
  readonly doors: { readonly milter: Door; readonly gateway: Door; readonly plain: Door };
  readonly sink: Sink;
  /** The port for released mail; every Postfix of the test could have it, the first one has. */
  readonly reinject: number;
}

async function build(t: Test, more: Record<string, unknown> = {}): Promise<World> {
  const doors = { milter: await Door.open(t), gateway: await Door.open(t), plain: await Door.open(t) };
  const sink = await Sink.start(t);
  const reinject = await freePort();
  const settings = parse(
    block('lazaret.yaml', {
      '127.0.0.1:24': '127.0.0.1:0',
      '127.0.0.1:2424': '127.0.0.1:0',
      '127.0.0.1:2525': '127.0.0.1:0',
      '127.0.0.1:10026': `127.0.0.1:${reinject}`,
    }),
  );
  const server = await startApp(t, {
    ...settings,
    ...more,
    intake: { ...settings.intake, ...(more.intake as object) },
  });
  const [milter, gateway, plain] = server.addresses.lmtp;
  doors.milter.leadTo(milter!.port);
  doors.gateway.leadTo(gateway!.port);
  doors.plain.leadTo(plain!.port);
  return { server, doors, sink, reinject };
}

const transport = () => block('transport/master.cf');
const through = (door: Door) => `[127.0.0.1]:${door.port}`;

/** Behind a gateway that marks spam. */
const gateway = ({ doors, sink }: World, t: Test, master = ''): Promise<Postfix> =>
  Postfix.start(t, {
    sinkPort: sink.port,
    main: block('gateway/main.cf'),
    master: transport() + master,
    files: { header_checks: block('header_checks', { '[127.0.0.1]:2424': through(doors.gateway) }) },
  });

const mail = (subject: string, more = '') =>
  `From: Cheap Deals <promo@spam.example>\r\nTo: somebody@harbour.example\r\nSubject: ${subject}\r\n` +
  `Date: ${new Date().toUTCString().replace('GMT', '+0000')}\r\nMessage-ID: <${subject.replace(/\W+/g, '-')}@spam.example>\r\n${more}\r\nBuy now\r\n`;
/** As SpamAssassin does, on top. */
const marked = (subject: string) =>
  `X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=8.1 required=5.0 tests=A,B version=4.0.1\r\n${mail(subject)}`;

const from = 'promo@spam.example';
const bounces = ({ sink }: World) => sink.messages.filter(({ sender }) => sender === '');
const sunk = ({ sink }: World, subject: string) =>
  sink.sees(({ messages }) => messages.some(({ bytes }) => bytes.includes(`Subject: ${subject}`)));

t.test('FILTER in header_checks: the true envelope, and who the client was', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t);
  const postfix = await gateway(world, t);
  const to = ['ada@harbour.example', 'ben@quay.example'];
  const { reply } = await submit(postfix.port, {
    from,
    to,
    message: marked('Diverted'),
    helo: 'dyn-9.spam.example',
    address: '127.0.0.9',
    params: 'RET=HDRS ENVID=QQ314159',
  });
  const queueId = /queued as (\w+)/.exec(reply)?.[1];
  const entries = await arrived(world, 'Diverted', 2);
  t.same(
    entries.map(({ recipient, owner, orcpt }) => [recipient, owner, orcpt]),
    to.map((address) => [address, address, `rfc822;${address}`]),
  );
  t.match(entries[0], {
    message: { sender: from },
    verdict: { reason: 'spam', source: 'spamassassin', score: 8.1, required: 5, disposition: { kind: 'accepted' } },
  });
  const { message } = (await world.server.app.store.entries.history(entries[0]!.id))!;
  t.match(message.params, {
    ret: 'HDRS',
    envid: 'QQ314159',
    client: { addr: '127.0.0.9', helo: 'dyn-9.spam.example', ident: queueId, proto: 'ESMTP' },
  });
  const config = join(world.server.folder, 'lazaret.yaml');
  writeFileSync(config, `hostname: quarantine.example.com\nstore: ${world.server.storeUrl}\n`);
  const { out } = await run('show', String(entries[0]!.id), '--config', config);
  for (const known of ['127.0.0.9', 'dyn-9.spam.example', queueId!, 'accepted', '8.1'])
    t.ok(out.includes(known), `lazaret show tells ${known}`);
  await submit(postfix.port, { from, to, message: mail('Unmarked') });
  await sunk(world, 'Unmarked');
  t.same(await entriesAbout(world, 'Unmarked'), [], 'what is not marked goes its way');
});

t.test('a milter marks, and only what a milter marked is diverted', async (t) => {
  if (!postfixOrSkip(t) || !rspamdOrSkip(t)) return;
  const world = await build(t);
  const rspamd = await TestRspamd.start(t, () => ({
    'local.d/milter_headers.conf':
      'use = ["x-spamd-bar", "x-spam-level", "x-spam-status"];\nextended_spam_headers = true;\nskip_local = false;\n',
    'local.d/options.inc': 'local_addrs = [];\n',
    // Rspamd gives points for a mark that was there before; here it shall be all up to Postfix.
    'local.d/headers_group.conf': 'symbols { "SPAM_FLAG" { weight = 0.0; } }\n',
  }));
  const postfix = await Postfix.start(t, {
    sinkPort: world.sink.port,
    master:
      transport() + block('milter/master.cf', { 'inet:127.0.0.1:11332': `inet:127.0.0.1:${rspamd.ports.milter}` }),
    files: {
      milter_header_checks: block('milter_header_checks', { '[127.0.0.1]:24': through(world.doors.milter) }),
    },
  });
  const to = ['ada@harbour.example'];
  const { reply } = await submit(postfix.port, { from, to, message: mail('LAZARET-SPAM 8'), address: '127.0.0.9' });
  t.match(reply, /^250 /);
  const [entry] = await arrived(world, 'LAZARET-SPAM 8');
  t.match(entry, {
    owner: 'ada@harbour.example',
    verdict: { reason: 'spam', source: 'rspamd', disposition: { kind: 'accepted' } },
  });
  t.ok(entry!.verdict.rules.some(({ name }) => name === 'LAZARET_TEST'));
  const own = await submit(postfix.port, { from, to, message: mail('I say so', 'X-Spam: Yes\r\n') });
  t.match(own.reply, /^250 /);
  await sunk(world, 'I say so');
  t.same(await entriesAbout(world, 'I say so'), [], 'a sender cannot divert his own mail');
  await rspamd.stop();
  const put = await submit(postfix.port, { from, to, message: mail('Filter away') });
  t.match(put.reply, /^4/, 'while the filter is down mail waits at the sender');
});

t.test('a table diverts what no filter has seen', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t);
  const postfix = await Postfix.start(t, {
    sinkPort: world.sink.port,
    main: block('table/main.cf'),
    master: transport(),
    files: {
      quarantined_clients: block('quarantined_clients', {
        '203.0.113.0/24': '127.0.0.9/32',
        '[127.0.0.1]:2525': through(world.doors.plain),
      }),
    },
  });
  const to = ['ada@harbour.example'];
  await submit(postfix.port, { from, to, message: mail('From there'), address: '127.0.0.9' });
  t.match(await arrived(world, 'From there'), [{ recipient: 'ada@harbour.example', verdict: { reason: 'unknown' } }]);
  await submit(postfix.port, { from, to, message: mail('From elsewhere') });
  await sunk(world, 'From elsewhere');
  t.same(await entriesAbout(world, 'From elsewhere'), []);
});

t.test('rows 8 and 9: whatever Postfix hands over is kept octet for octet', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t);
  const postfix = await Postfix.start(t, {
    sinkPort: world.sink.port,
    main: block('table/main.cf'),
    master: transport(),
    files: {
      quarantined_clients: block('quarantined_clients', {
        '203.0.113.0/24': '127.0.0.9/32',
        '[127.0.0.1]:2525': through(world.doors.plain),
      }),
    },
  });
  const folder = join(import.meta.dirname, '../fixtures/raw');
  // Of the smuggling sample this Postfix makes two mails (CVE-2023-51764), before we see any of it.
  const names = readdirSync(folder).filter((name) => name.endsWith('.eml') && !name.includes('smuggling'));
  const taken: string[] = [];
  for (const [n, name] of names.entries()) {
    const message = readFileSync(join(folder, name));
    // Each to somebody else, by whom it is told from the others.
    const to = [`user${n}@harbour.example`];
    const { reply } = await submit(postfix.port, { from, to, message, address: '127.0.0.9', params: 'BODY=8BITMIME' });
    if (reply.startsWith('250')) taken.push(name);
    else t.match([name, reply], ['attack-3000-header-lines.eml', /^554 5\.4\.0 Error: too many hops/]);
  }
  await world.server.until('arrived', taken.length);
  const wire = new Map(world.doors.plain.said.flatMap(handedOver));
  for (const entry of await world.server.app.store.entries.list({ scope: { level: 'global' }, limit: 500 })) {
    const kept: Uint8Array[] = [];
    for await (const chunk of world.server.app.store.messages.read(entry.messageId)) kept.push(Buffer.from(chunk));
    const sent = wire.get(entry.recipient);
    wire.delete(entry.recipient);
    t.ok(sent && Buffer.concat(kept).equals(sent), `${names[Number(/\d+/.exec(entry.recipient)?.[0])]}`);
  }
  t.same([...wire.keys()], [], 'all that was handed over');
});

/** Recipient → message, of what a client has sent on one connection. */
function handedOver(said: string): [string, Buffer][] {
  const found: [string, Buffer][] = [];
  for (let at = 0; ; ) {
    const begin = said.indexOf('\r\nDATA\r\n', at);
    const end = said.indexOf('\r\n.\r\n', begin + 6);
    if (begin < 0 || end < 0) return found;
    const text = said.slice(begin + 8, end + 2).replace(/(^|\r\n)\./g, '$1');
    found.push([/RCPT TO:<([^>]*)>/.exec(said.slice(at, begin))?.[1] ?? '', Buffer.from(text, 'latin1')]);
    at = end + 5;
  }
}

t.test('REDIRECT and BCC name nobody: such mail is for global only', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t);
  const postfix = await Postfix.start(t, {
    sinkPort: world.sink.port,
    main: block('address/main.cf') + block('gateway/main.cf'),
    master: transport(),
    files: {
      transport: block('transport', { '[127.0.0.1]:2525': through(world.doors.plain) }),
      header_checks:
        '/^X-Redirect:/ REDIRECT quarantine@quarantine.example.com\n/^X-Bcc-It:/ BCC quarantine@quarantine.example.com\n',
    },
  });
  const to = ['ada@harbour.example', 'ben@quay.example'];
  await submit(postfix.port, { from, to, message: mail('Redirected', 'X-Redirect: 1\r\n') });
  const redirected = await arrived(world, 'Redirected');
  t.match(redirected, [{ owner: '', recipient: '', verdict: { reason: 'unknown' } }]);
  t.equal(redirected.length, 1);
  await submit(postfix.port, { from, to, message: mail('Copied', 'X-Bcc-It: 1\r\n') });
  const copied = await arrived(world, 'Copied');
  t.match(copied, [{ owner: '', recipient: '' }]);
  await sunk(world, 'Copied');
  t.equal(copied.length, 1, 'and the mail itself was delivered');
});

t.test('row 45: what Lazaret refuses or puts off is never a bounce to a forged sender', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t, { intake: { maxMessageBytes: 2000 } });
  const { doors } = world;
  const postfix = await gateway(world, t);
  const to = ['ada@harbour.example'];
  const large = `${marked('Too large')}${'x'.repeat(70)}\r\n`.padEnd(2500, 'x');
  await submit(postfix.port, { from, to, message: large });
  await postfix.logs(/status=SOFTBOUNCE \([^\n]*size/);
  doors.gateway.shut();
  await submit(postfix.port, { from, to, message: marked('Away') });
  await postfix.logs(/relay=none, [^\n]*status=deferred|status=deferred \(lost connection/);
  const queued = await postfix.queue();
  t.same(
    queued.map(({ sender }) => sender),
    [from, from],
    'both are still there',
  );
  t.same(bounces(world), []);
  doors.gateway.leadTo(world.server.addresses.lmtp[1]!.port);
  await postfix.flush();
  t.equal((await arrived(world, 'Away'))[0]?.owner, 'ada@harbour.example', 'and what can be taken comes');
  t.same(bounces(world), []);
});

t.test('row 3: Postfix lost the answer and comes again: one entry', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t);
  const postfix = await gateway(world, t);
  world.doors.gateway.loseAnswerTo('Subject: Twice');
  await submit(postfix.port, { from, to: ['ada@harbour.example'], message: marked('Twice') });
  await postfix.logs(/status=deferred \([^\n]*lost connection/);
  await postfix.flush();
  await world.server.until('repeated');
  t.equal(world.doors.gateway.lost, 1);
  t.equal((await entriesAbout(world, 'Twice')).length, 1);
  const handOvers = world.doors.gateway.said.filter((said) => said.includes('Subject: Twice'));
  const idents = handOvers.map((said) => /IDENT=(\S+)/.exec(said)?.[1]);
  t.equal(idents.length, 2);
  t.equal(idents[0], idents[1], 'under the same queue id');
});

t.test('row 2: while the store cannot be written, 451 within thirty seconds, and nothing is lost', async (t) => {
  if (!postfixOrSkip(t)) return;
  if (onMongo) return t.pass('of a file that another process has locked');
  const world = await build(t);
  const postfix = await gateway(world, t);
  const { DatabaseSync } = await import('@photostructure/sqlite');
  const other = new DatabaseSync(world.server.storeUrl.slice('sqlite:'.length), { timeout: 5000 });
  t.teardown(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  const began = performance.now();
  await submit(postfix.port, { from, to: ['ada@harbour.example'], message: marked('Locked out') });
  await postfix.logs(/status=deferred \(host [^\n]* said: 451 4\.3\.0/);
  t.ok(performance.now() - began < 30_000);
  other.exec('ROLLBACK');
  await postfix.flush();
  t.equal((await arrived(world, 'Locked out')).length, 1);
  t.same(bounces(world), []);
});

t.test('row 26: whoever is not trusted is turned away before a word is believed', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t, { intake: { trusted: ['127.0.0.77/32'] } });
  const postfix = await gateway(world, t);
  await submit(postfix.port, { from, to: ['ada@harbour.example'], message: marked('From a stranger') });
  await postfix.logs(/status=(deferred|SOFTBOUNCE) \(host [^\n]*55[04] 5\.7\.1/);
  const said = world.doors.gateway.said.join('');
  t.notMatch(said, /XFORWARD/, 'Postfix was not even offered to tell of others');
  t.same(await entriesAbout(world, 'From a stranger'), []);
  t.same(bounces(world), []);
});

t.test('released mail comes in by the port without a filter, and goes on as it was', async (t) => {
  if (!postfixOrSkip(t)) return;
  const world = await build(t);
  const { server, sink, reinject } = world;
  const postfix = await gateway(world, t, block('reinject/master.cf', { '127.0.0.1:10026': `127.0.0.1:${reinject}` }));
  // No Date, no Message-ID, eight bits, a long line: nothing for Postfix to mend.
  const message = `From: Ren\xe9 <rene@spam.example>\r\nSubject: Back\r\nX-Spam-Flag: YES\r\n\r\n${'\xe4'.repeat(900)}\r\n..\r\n`;
  await submit(postfix.port, {
    from,
    to: ['ada@harbour.example'],
    message: Buffer.from(message, 'latin1'),
    params: 'BODY=8BITMIME',
  });
  const [entry] = await arrived(world, 'Back');
  const client = await login(t, server, 'ada@harbour.example');
  await client.ok('SELECT Caught');
  await client.ok(`UID MOVE ${entry!.uid} Release`);
  await server.until('released');
  await sunk(world, 'Back');
  const delivered = sink.messages.filter(({ bytes }) => bytes.includes('Subject: Back'));
  t.equal(delivered.length, 1, 'once, though the mark is still in it');
  t.match(delivered[0], { sender: from, recipients: ['ada@harbour.example'] });
  const text = delivered[0]!.bytes.toString('latin1');
  t.ok(text.endsWith(message), 'octet for octet');
  t.match(await postfix.queue(), []);
});
