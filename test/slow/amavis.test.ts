/**
 * The real amavisd-new and the real Postfix with the configuration of docs/connect/amavis.md, and a whole server: what is
 * blocked arrives, for whom it was, once, and nothing is lost while the server is away.
 */
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { run } from '../cli/world.ts';
import { login } from '../stories/hand-over.ts';
import { Amavis, amavisOrSkip } from '../support/amavis.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { arrived, clientOf, entriesAbout } from '../support/caught.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { freePort } from '../support/free-port.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import { Sink } from '../support/sink.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/connect/amavis.md';
const block = (file: string, words: Readonly<Record<string, string>> = {}) => fill(blockOf(page, file), words);
const raw = (name: string) => readFileSync(join(import.meta.dirname, `../fixtures/raw/${name}.eml`), 'latin1');
const gtube = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X';

/** Two ways through Postfix, each with its amavis, into one server; what passes and what bounces goes to the sink. */
interface World {
  readonly server: TestApp;
  /** Before Lazaret's two listeners. */
  readonly lmtp: Door;
  readonly smtp: Door;
  readonly sink: Sink;
  /** content_filter and D_DISCARD, by LMTP. */
  readonly after: Postfix;
  /** smtpd_proxy_filter and D_REJECT, by SMTP. */
  readonly before: Postfix;
}

async function build(t: Test): Promise<World> {
  const [lmtp, smtp, sink] = [await Door.open(t), await Door.open(t), await Sink.start(t)];
  const [backAfter, backBefore] = [await freePort(), await freePort()];
  const main = (back: number) =>
    block('60-lazaret', {
      'lmtp:[127.0.0.1]:24': `lmtp:[127.0.0.1]:${lmtp.port}`,
      'smtp:[127.0.0.1]:10025': `smtp:[127.0.0.1]:${back}`,
    });
  const [afterAmavis, beforeAmavis] = await Promise.all([
    Amavis.start(t, {
      files: { '60-lazaret': main(backAfter), '61-bad-headers': block('61-bad-headers') },
      more: "@spam_lovers_maps = (['lover@harbour.example']);",
    }),
    Amavis.start(t, {
      files: {
        '60-lazaret': main(backBefore),
        '61-before-queue': block('61-before-queue'),
        '62-smtp': block('62-smtp', { '[127.0.0.1]:10027': `[127.0.0.1]:${smtp.port}` }),
      },
    }),
  ]);
  const sinkPort = sink.port;
  const after = await Postfix.start(t, {
    sinkPort,
    main: block('after-queue/main.cf', { '[127.0.0.1]:10024': `[127.0.0.1]:${afterAmavis.port}` }),
    master: block('after-queue/master.cf', { '127.0.0.1:10025': `127.0.0.1:${backAfter}` }),
  });
  const before = await Postfix.start(t, {
    sinkPort,
    master: block('before-queue/master.cf', {
      '127.0.0.1:10024': `127.0.0.1:${beforeAmavis.port}`,
      '127.0.0.1:10025': `127.0.0.1:${backBefore}`,
    }),
  });
  const settings = parse(
    block('lazaret.yaml', { '127.0.0.1:24': '127.0.0.1:0', '127.0.0.1:10025': `127.0.0.1:${backAfter}` }),
  );
  const [listener] = settings.intake.lmtp;
  settings.intake.smtp = [{ ...listener, disposition: 'rejected 554 5.7.0 Reject' }];
  settings.intake.maxMessageBytes = 100_000;
  const server = await startApp(t, settings);
  lmtp.leadTo(server.addresses.lmtp[0]!.port);
  smtp.leadTo(server.addresses.smtp[0]!.port);
  return { server, lmtp, smtp, sink, after, before };
}

const mail = (subject: string, text = gtube, more = '') =>
  `From: Cheap Deals <promo@spam.example>\r\nTo: somebody@harbour.example\r\nSubject: ${subject}\r\n` +
  `Date: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <${subject.replace(/\W+/g, '-')}@spam.example>\r\n${more}\r\n${text}\r\n`;

const from = 'promo@spam.example';
const bounces = ({ sink }: World) => sink.messages.filter(({ sender }) => sender === '');

t.test('amavis and Postfix', async (t) => {
  if (!amavisOrSkip(t) || !postfixOrSkip(t)) return;
  const world = await build(t);
  const { server, lmtp, smtp, sink, after, before } = world;

  await t.test('spam is held for each of its recipients, and they are told why', async (t) => {
    const to = ['ada@harbour.example', 'ben@quay.example'];
    const { reply } = await submit(after.port, { from, to, message: mail('Two of us') });
    t.match(reply, /^250 2\.0\.0 /, 'the sender hears that it was taken');
    const entries = await arrived(world, 'Two of us', 2);
    t.same(
      entries.map(({ owner }) => owner),
      to,
    );
    t.equal(entries[0]?.messageId, entries[1]?.messageId, 'one message');
    t.match(entries[0], {
      message: { sender: from },
      verdict: {
        reason: 'spam',
        source: 'amavis',
        required: 6.31,
        disposition: { kind: 'discarded', said: '250 2.7.0 Ok, discarded' },
      },
    });
    t.ok(entries[0]!.verdict.rules.some(({ name, score }) => name === 'GTUBE' && score === 1000));
    t.match(lmtp.said.at(-1), /RCPT TO:<quarantine@quarantine\.example\.com>/, 'one address for all');
    const shown = Buffer.concat(await chunks(server.app.store.messages.read(entries[0]!.messageId))).toString('latin1');
    t.match(shown, /^Received: /, 'what is shown begins below the block of the filter');
    t.notMatch(shown.slice(0, shown.indexOf('\r\n\r\n')), /X-Envelope|X-Quarantine-ID/);
  });

  await t.test('who loves spam gets it; only those who were refused it have an entry', async (t) => {
    const to = ['ada@harbour.example', 'lover@harbour.example'];
    await submit(after.port, { from, to, message: mail('Love it or not') });
    t.same(
      (await arrived(world, 'Love it or not')).map(({ owner }) => owner),
      ['ada@harbour.example'],
    );
    await sunk(sink, (message) => message.recipients.includes('lover@harbour.example'));
    t.equal((await entriesAbout(world, 'Love it or not')).length, 1);
  });

  await t.test('a forbidden attachment, a bad header and a virus have their own reasons', async (t) => {
    const to = ['ada@harbour.example'];
    const banned = raw('virus-double-extension').replace('Subject: Your invoice', 'Subject: Forbidden');
    await submit(after.port, { from, to, message: Buffer.from(banned, 'latin1') });
    t.match((await arrived(world, 'Forbidden'))[0]?.verdict, { reason: 'banned', detail: /invoice\.pdf\.exe/ });
    const twice = mail('Bad header', 'Hello', 'Subject: another\r\n');
    await submit(after.port, { from, to, message: twice });
    t.match((await arrived(world, 'Bad header'))[0]?.verdict, { reason: 'bad-header', detail: /Subject/ });
    await submit(after.port, { from, to, message: mail('Infected', 'STAND-IN-VIRUS') });
    t.match((await arrived(world, 'Infected'))[0]?.verdict, { reason: 'virus', detail: /Stand-In\.Virus/ });
  });

  await t.test('sixty recipients, whom Postfix hands over as 50 and 10, have one entry each', async (t) => {
    const to = Array.from({ length: 60 }, (_, n) => `user${String(n).padStart(2, '0')}@harbour.example`);
    const { recipients } = await submit(after.port, { from, to, message: mail('Sixty') });
    t.equal(recipients.filter((reply) => reply.startsWith('250')).length, 60);
    t.same(
      (await arrived(world, 'Sixty', 60)).map(({ owner }) => owner),
      to,
    );
  });

  await t.test(
    'row 4: one of several recipients is nobody of ours: one answer for all, and nothing comes twice',
    async (t) => {
      const to = ['ada@harbour.example', 'nobody@elsewhere.example', '"no such@user"@quay.example'];
      await submit(after.port, { from, to, message: mail('One is a stranger') });
      const entries = await arrived(world, 'One is a stranger', 3);
      t.same(entries.map(({ recipient, owner }) => [recipient, owner]).sort(), [
        ['"no such@user"@quay.example', '"no such@user"@quay.example'],
        ['ada@harbour.example', 'ada@harbour.example'],
        ['nobody@elsewhere.example', ''],
      ]);
      await after.logs(/to=<nobody@elsewhere\.example>[^\n]*status=sent \(250/);
      t.notOk(server.events.some((event) => event.kind === 'repeated' && event.subject === 'One is a stranger'));
    },
  );

  await t.test('row 25: fields that the sender wrote in the name of a filter count for nothing', async (t) => {
    const message = Buffer.from(raw('spam-spoofed-filter-headers'), 'latin1');
    await submit(after.port, { from: '', to: ['ada@harbour.example'], message });
    const entries = await arrived(world, 'Spoofed marks of a filter');
    t.same(
      entries.map(({ owner, recipient }) => [owner, recipient]),
      [['ada@harbour.example', 'ada@harbour.example']],
    );
    t.equal(entries[0]?.message.sender, '', 'the null sender');
    t.match(entries[0]?.verdict, { reason: 'spam', required: 6.31 });
    t.ok((entries[0]?.verdict.score ?? 0) > 900, 'not the score that the sender wrote');
    t.not(entries[0]?.verdict.filterId, 'AAAAAAAAAAAA');
    const all = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 500 });
    t.notOk(all.some(({ owner, message }) => /victim|ceo/.test(owner + message.sender)));
  });

  await t.test('addresses in other scripts and with quotes come through', async (t) => {
    const params = 'BODY=8BITMIME SMTPUTF8';
    const to = ['zoë@harbour.example'];
    await submit(after.port, { from: 'jürgen@späm.example', to, message: mail('In UTF-8'), params });
    const [entry] = await arrived(world, 'In UTF-8');
    t.match(entry, { recipient: 'zoë@harbour.example', message: { sender: 'jürgen@späm.example' } });
    await submit(after.port, {
      from: '"odd name, with> comma"@spam.example',
      to: ['ada@harbour.example', '"a,b>c"@harbour.example'],
      message: mail('Quoted'),
    });
    const quoted = await arrived(world, 'Quoted', 2);
    t.same(quoted.map(({ recipient }) => recipient).sort(), ['"a,b>c"@harbour.example', 'ada@harbour.example']);
    t.equal(quoted[0]?.message.sender, '"odd name, with> comma"@spam.example');
  });

  await t.test('row 3: an answer is lost, amavis comes again under a new id: one entry', async (t) => {
    lmtp.loseAnswerTo('Subject: Lost reply');
    await submit(after.port, { from, to: ['ada@harbour.example'], message: mail('Lost reply') });
    await arrived(world, 'Lost reply');
    await after.logs(/status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 451 4\.5\.0[^\n]*quar/);
    t.equal(lmtp.lost, 1);
    await again(world, after, 'Lost reply', 'repeated');
    const ids = lmtp.said.join('').match(/Lost reply/g)?.length;
    t.equal(ids, 2, 'it was handed over twice');
    const quarantineIds = lmtp.said
      .join('')
      .split('MAIL FROM')
      .filter((text) => text.includes('Lost reply'))
      .map((text) => /X-Quarantine-ID: <(.*)>/.exec(text)?.[1]);
    t.not(quarantineIds[0], quarantineIds[1], 'under two ids');
    t.equal((await entriesAbout(world, 'Lost reply')).length, 1);
  });

  await t.test('while the server is away mail waits in the queue of Postfix, and comes when it is back', async (t) => {
    lmtp.shut();
    const waiting = after.logs(/to=<late@harbour\.example>[^\n]*status=deferred \([^\n]*451 4\.5\.0/);
    await submit(after.port, { from, to: ['late@harbour.example'], message: mail('Nobody home') });
    await waiting;
    t.match(await after.queue(), [{ sender: from, recipients: [{ address: 'late@harbour.example' }] }]);
    t.equal((await entriesAbout(world, 'Nobody home')).length, 0);
    lmtp.leadTo(server.addresses.lmtp[0]!.port);
    await again(world, after, 'Nobody home', 'arrived');
    t.equal((await arrived(world, 'Nobody home'))[0]?.owner, 'late@harbour.example');
    t.same(bounces(world), [], 'and nobody got a bounce');
  });

  await t.test('before the queue the sender is refused, and the mail is held: by SMTP', async (t) => {
    const to = ['ada@harbour.example'];
    const { reply } = await submit(before.port, { from, to, message: mail('Refused'), address: '127.0.0.9' });
    t.match(reply, /^554 5\.7\.0 Reject, id=\S+ - spam/);
    const [entry] = await arrived(world, 'Refused');
    t.match(entry, {
      owner: 'ada@harbour.example',
      verdict: { reason: 'spam', disposition: { kind: 'rejected', said: '554 5.7.0 Reject' } },
    });
    const shown = Buffer.concat(await chunks(server.app.store.messages.read(entry!.messageId))).toString('latin1');
    t.match(
      shown,
      /^Received: from client\.example \(unknown \[127\.0\.0\.9\]\)/m,
      'with the trace of where it came from',
    );
    const good = await submit(before.port, { from, to, message: mail('Fine', 'Hello') });
    t.match(good.reply, /^250 2\.0\.0 /);
    await sunk(sink, ({ bytes }) => bytes.includes('Subject: Fine'));
  });

  await t.test(
    'before the queue a virus and a forbidden attachment are refused as well, each with its own words',
    async (t) => {
      const to = ['ada@harbour.example'];
      const virus = await submit(before.port, { from, to, message: mail('Refused virus', 'STAND-IN-VIRUS') });
      t.match(virus.reply, /^554 5\.7\.0 Reject, id=\S+ - INFECTED: Stand-In\.Virus/);
      t.match((await arrived(world, 'Refused virus'))[0]?.verdict, {
        reason: 'virus',
        disposition: { kind: 'rejected' },
      });
      const banned = raw('virus-double-extension').replace('Subject: Your invoice', 'Subject: Refused attachment');
      const { reply } = await submit(before.port, { from, to, message: Buffer.from(banned, 'latin1') });
      t.match(reply, /^554 5\.7\.0 Reject, id=\S+ - BANNED/);
      t.match((await arrived(world, 'Refused attachment'))[0]?.verdict, { reason: 'banned' });
    },
  );

  await t.test('before the queue, while the server is away: 451 to the sender, who comes again', async (t) => {
    const to = ['ada@harbour.example'];
    smtp.shut();
    const { reply } = await submit(before.port, { from, to, message: mail('Come again') });
    t.match(reply, /^451 4\.5\.0 /);
    smtp.leadTo(server.addresses.smtp[0]!.port);
    let later = '';
    // As senders do: amavis may still hold on to the connection that was cut.
    while (!/^554/.test(later)) later = (await submit(before.port, { from, to, message: mail('Come again') })).reply;
    t.equal((await arrived(world, 'Come again')).length, 1);
  });

  await t.test('full circle: caught, seen over IMAP, dragged onto Release, delivered once', async (t) => {
    const message = mail('Not spam at all');
    await submit(after.port, { from, to: ['ada@harbour.example'], message });
    const [entry] = await arrived(world, 'Not spam at all');
    const client = await clientOf(t, server);
    await client.mailboxOpen('Caught');
    const found = (await client.search({ subject: 'Not spam at all' }, { uid: true })) || [];
    t.equal(found.length, 1);
    const seen = await client.fetchOne(String(found[0]), { source: true }, { uid: true });
    const text = seen ? (seen.source?.toString('latin1') ?? '') : '';
    t.match(text, /^X-Lazaret-Id: \d+\r\nX-Lazaret-Reason: spam/);
    t.ok(text.endsWith(message), 'it is shown as it was sent');
    await client.messageMove(found, 'Release', { uid: true });
    await sunk(sink, ({ bytes }) => bytes.includes('Subject: Not spam at all'));
    await server.until('released');
    const delivered = sink.messages.filter(({ bytes }) => bytes.includes('Subject: Not spam at all'));
    t.equal(delivered.length, 1, 'past the filter, once');
    t.match(delivered[0], { sender: from, recipients: ['ada@harbour.example'] });
    const stored = Buffer.concat(await chunks(server.app.store.messages.read(entry!.messageId)));
    t.ok(delivered[0]!.bytes.toString('latin1').endsWith(stored.toString('latin1')), 'octet for octet');
    t.match(await after.queue(), []);
    t.same(bounces(world), []);
  });

  await t.test('what is too large for the server stays with Postfix, and is no bounce', async (t) => {
    const message = `${mail('Too large')}${`${'x'.repeat(76)}\r\n`.repeat(1500)}`;
    const waiting = after.logs(/to=<large@harbour\.example>[^\n]*status=deferred \([^\n]*451 4\.5\.0[^\n]*552/);
    await submit(after.port, { from, to: ['large@harbour.example'], message });
    // A child of amavis may first find that its connection was cut when the server was away.
    const again = setInterval(() => void after.flush(), 1000);
    await waiting.finally(() => clearInterval(again));
    t.match(await after.queue(), [{ sender: from }]);
    t.same(await entriesAbout(world, 'Too large'), []);
    const { reply } = await submit(before.port, { from, to: ['large@harbour.example'], message });
    t.match(reply, /^451 4\.5\.0 /);
    t.same(bounces(world), []);
  });
});

t.test('a quarantine that stays with amavis, as files or in a database, is imported once', async (t) => {
  if (!amavisOrSkip(t)) return;
  const { app, folder, storeUrl } = await startApp(t, { hostname: 'quarantine.example.com' });
  const config = join(folder, 'lazaret.yaml');
  writeFileSync(config, `hostname: quarantine.example.com\nstore: ${storeUrl}\n`);
  const base = () => {
    const words = { 'lmtp:[127.0.0.1]:24': 'lmtp:[127.0.0.1]:9', 'smtp:[127.0.0.1]:10025': 'smtp:[127.0.0.1]:9' };
    return { '60-lazaret': block('60-lazaret', words) };
  };
  // The daemon writes it, and beside it while it does.
  const database = await Amavis.database(t, block('schema.sql'));
  const [files, sql] = await Promise.all([
    Amavis.start(t, { files: { ...base(), '62-files': block('62-files') } }),
    Amavis.start(t, { files: { ...base(), '62-sql': block('62-sql', { '/var/lib/amavis/log.db': database }) } }),
  ]);
  const imported = async (place: string) => (await run('import', '--amavis', place, '--config', config)).out;
  const to = ['ada@harbour.example', 'ben@quay.example'];
  t.match(await submit(files.port, { from, to, message: mail('In a file') }), { reply: /^250 2\.7\.0 Ok, discarded/ });
  t.match(await submit(sql.port, { from, to, message: mail('In a table') }), { reply: /^250 2\.7\.0 Ok, discarded/ });
  t.equal(await imported(files.quarantine), 'imported 1, already there 0, failed 0\n');
  t.equal(await imported(`sqlite:${database}`), 'imported 1, already there 0, failed 0\n');
  t.equal(await imported(files.quarantine), 'imported 0, already there 1, failed 0\n');
  t.equal(await imported(`sqlite:${database}`), 'imported 0, already there 1, failed 0\n');
  const entries = await app.store.entries.list({ scope: { level: 'global' }, limit: 50 });
  t.same(
    entries.map(({ message, recipient }) => `${message.subject} for ${recipient}`).sort(),
    ['In a file', 'In a table'].flatMap((subject) => to.map((recipient) => `${subject} for ${recipient}`)),
  );
  for (const entry of entries)
    t.match(entry, { message: { sender: from }, verdict: { reason: 'spam', source: 'amavis', required: 6.31 } });
});

t.test('what people drop on Spam and Not Spam is learned by the SpamAssassin inside amavis', async (t) => {
  if (!amavisOrSkip(t)) return;
  const bayes = join(Amavis.writable(t), 'bayes');
  // As Debian ships it, with the page's lines; two hundred lessons of each would take too long here.
  const etc = mkdtempSync(join(tmpdir(), 'lazaret-spamassassin-'));
  t.teardown(() => rmSync(etc, { recursive: true, force: true }));
  cpSync('/etc/spamassassin', etc, { recursive: true });
  chmodSync(etc, 0o755);
  const memory = '/var/lib/amavis/.spamassassin/bayes';
  writeFileSync(
    join(etc, 'local.cf'),
    `${block('training/local.cf', { [memory]: bayes })}bayes_min_spam_num 1\nbayes_min_ham_num 1\n`,
  );
  const training = parse(
    block('training/lazaret.yaml', {
      [memory]: bayes,
      '--prefspath=/etc/spamassassin/local.cf': `--prefspath=${etc}/local.cf, --siteconfigpath=${etc}`,
    }),
  );
  const settings = parse(block('lazaret.yaml', { '127.0.0.1:24': '127.0.0.1:0' }));
  const server = await startApp(t, { ...settings, ...training });
  const sink = await Sink.start(t);
  const words = {
    'lmtp:[127.0.0.1]:24': `lmtp:[127.0.0.1]:${server.addresses.lmtp[0]!.port}`,
    'smtp:[127.0.0.1]:10025': `smtp:[127.0.0.1]:${sink.port}`,
  };
  const amavis = await Amavis.start(t, {
    files: { '60-lazaret': block('60-lazaret', words) },
    more: `$sa_siteconfigpath = '${etc}';`,
  });
  const spam = 'Genuine replica watches, miracle pills and casino vouchers: order today, discreet shipping worldwide.';
  const ham = 'The harbour committee meets on Thursday; minutes, mooring plan and the dredging budget are attached.';
  const send = async (subject: string, text: string) => {
    return submit(amavis.port, { from, to: ['ada@harbour.example'], message: mail(subject, text) });
  };
  await send('Lesson one', `${spam}\r\n\r\n${gtube}`);
  await send('Lesson two', `${ham}\r\n\r\n${gtube}`);
  const entries = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 50 });
  const uidOf = (subject: string) => entries.find(({ message }) => message.subject === subject)?.uid;
  const client = await login(t, server, 'ada@harbour.example');
  await client.ok('SELECT Caught');
  await client.ok(`UID MOVE ${uidOf('Lesson one')} Spam`);
  await client.ok(`UID MOVE ${uidOf('Lesson two')} "Not Spam"`);
  await server.until('trained', 2);
  const rulesOf = async (subject: string, text: string) => {
    t.match((await send(subject, text)).reply, /^250 2\.0\.0 /, 'it passes');
    const passed = sink.messages.find(({ bytes }) => bytes.includes(`Subject: ${subject}`));
    return /X-Spam-Status:[^\r]*(?:\r\n[ \t][^\r]*)*/.exec(passed?.bytes.toString('latin1') ?? '')?.[0];
  };
  t.match(await rulesOf('Again the one', spam), /BAYES_(80|95|99)/, 'what it was told is spam looks like spam');
  t.match(await rulesOf('Again the other', ham), /BAYES_(00|05|20)/, 'and what it was told is not does not');
});

/** Sends the queue off until it is empty: amavis may still hold a connection that was cut, and say 451 once more. */
async function again(world: World, postfix: Postfix, subject: string, kind: 'arrived' | 'repeated'): Promise<void> {
  const { events } = world.server;
  const came = () => events.some((event) => event.kind === kind && event.subject === subject);
  for (const until = Date.now() + 30_000; !came() || (await postfix.queue()).length > 0; ) {
    if (Date.now() > until)
      throw new Error(
        `${subject} was not ${kind}: ${JSON.stringify(await postfix.queue())}\n${postfix.log.slice(-4000)}`,
      );
    await postfix.flush();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function sunk(sink: Sink, isIt: (message: Sink['messages'][number]) => boolean): Promise<void> {
  await sink.sees(({ messages }) => messages.some(isIt));
}

async function chunks(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const chunk of source) all.push(Buffer.from(chunk));
  return all;
}
