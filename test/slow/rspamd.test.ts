/**
 * The real Rspamd, with a Redis of its own, and Postfix, with the configuration of docs/connect/rspamd.md, and a whole
 * server: what it rejects or discards arrives, once, with all that it knows; what people drop there it learns.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImapFlow } from 'imapflow';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { createRspamdTrainer, type RspamdTrainerOptions } from '#app/training/rspamd';
import { startApp, type TestApp } from '../support/app.ts';
import { clientOf, entriesAbout } from '../support/caught.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { lessonOf, patience } from '../support/lesson.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import { type RspamdFiles, rspamdOrSkip, TestRspamd } from '../support/rspamd.ts';
import { Sink } from '../support/sink.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/connect/rspamd.md';
const block = (file: string, words: Readonly<Record<string, string>> = {}) => fill(blockOf(page, file), words);
const raw = (name: string) => readFileSync(join(import.meta.dirname, `../fixtures/raw/${name}.eml`));
const from = 'promo@spam.example';
const [looking, learning] = ['change-this-for-looking', 'change-this-for-learning'];

/** Everything of the section on training; other files besides. */
const start = (t: Test, more: RspamdFiles = {}) =>
  TestRspamd.start(t, (ports, redis) => {
    const fuzzy = { '127.0.0.1:11335': `127.0.0.1:${ports.fuzzy}` };
    return {
      'local.d/redis.conf': block('local.d/redis.conf', { '127.0.0.1:6379': `127.0.0.1:${redis.port}` }),
      'override.d/worker-controller.inc': block('override.d/worker-controller.inc', {
        '127.0.0.1:11334': `127.0.0.1:${ports.controller}`,
      }),
      'local.d/worker-fuzzy.inc': `${block('fuzzy/local.d/worker-fuzzy.inc', fuzzy)}sync = 1s; # not a minute\n`,
      'local.d/fuzzy_check.conf': block('fuzzy/local.d/fuzzy_check.conf', fuzzy),
      'local.d/fuzzy_group.conf': block('fuzzy/local.d/fuzzy_group.conf'),
      ...more,
    };
  });

const trainerFor = (rspamd: TestRspamd, more: Partial<RspamdTrainerOptions> = {}) =>
  createRspamdTrainer({
    name: 'rspamd',
    url: rspamd.controllerUrl,
    password: learning,
    bayes: true,
    timeoutMs: 20_000,
    ...more,
  });

/** How many messages of each class it has learned, by its own count, which it keeps in Redis. */
async function learnedBy({ redis }: TestRspamd): Promise<{ spam: number; ham: number }> {
  const [spam, ham] = await redis.ask((client) => client.hmget('RS', 'learns_spam', 'learns_ham'));
  return { spam: Number(spam), ham: Number(ham) };
}

/** Messages about one thing, enough alike for Bayes and not the same. */
const aboutText = (topic: string, n: number) =>
  `Subject: ${topic} ${n}\r\nMessage-ID: <${topic}-${n}@spam.example>\r\n\r\n${Array.from(
    { length: 40 },
    (_, i) => `${topic} word${(i * 7) % 13} of ${topic} thing${(i * n) % 5}`,
  ).join(' ')} only${n}\r\n`;
const about = (topic: 'spam' | 'garden', n: number, more: { readonly user?: string } = {}) =>
  lessonOf(aboutText(topic, n), { class: topic === 'spam' ? 'spam' : 'ham', ...more });

/** Text enough for a fuzzy hash. */
const longOffer = `From: Cheap Deals <promo@spam.example>\r\nSubject: A long offer\r\nMessage-ID: <long@spam.example>\r\n\r\n${Array.from(
  { length: 300 },
  (_, n) => `${['pills', 'watches', 'loans', 'fortunes', 'prizes'][n % 5]} number ${n * 7919}`,
).join('\r\n')}\r\n`;

t.test('the real Rspamd learns', async (t) => {
  if (!rspamdOrSkip(t)) return;
  const rspamd = await start(t);
  const teach = trainerFor(rspamd);
  const spam = raw('spam-advance-fee');

  await t.test('learned, known, relearned the other way', async (t) => {
    t.same(await teach.train(lessonOf(spam), patience()), { kind: 'learned', said: 'learned' });
    t.match(await teach.train(lessonOf(spam), patience()), { kind: 'known', said: /has been already learned as spam/ });
    t.same(await learnedBy(rspamd), { spam: 1, ham: 0 });
    t.match(await teach.train(lessonOf(spam, { class: 'ham', before: 'spam' }), patience()), { kind: 'learned' });
    t.same(await learnedBy(rspamd), { spam: 0, ham: 1 });
    const named = trainerFor(rspamd, { classifier: 'bayes' });
    t.match(await named.train(lessonOf(raw('spam-extortion')), patience()), { kind: 'learned' });
  });

  await t.test('too little text is refused, in its words', async (t) => {
    const outcome = await teach.train(lessonOf(), patience());
    t.match(outcome, { kind: 'refused', said: /contains less tokens than required for bayes classifier/ });
  });

  await t.test('a wrong password, and that for looking, are put off, with what to do', async (t) => {
    for (const password of ['something else', looking])
      t.match(await trainerFor(rspamd, { password }).train(lessonOf(spam), patience()), {
        kind: 'later',
        said: /401.*enable_password/,
      });
    const url = `http://127.0.0.1:${rspamd.ports.scanner}`;
    t.match(await trainerFor(rspamd, { url }).train(lessonOf(spam), patience()), {
      kind: 'later',
      said: /invalid command/,
    });
  });

  await t.test('fuzzy hashes are added, taken back at a change of mind, and act', async (t) => {
    const teach = trainerFor(rspamd, {
      bayes: false,
      ...parse(block('fuzzy/lazaret.yaml')).training.trainers[0],
      url: rspamd.controllerUrl,
    });
    const offer = longOffer;
    const acts = async (symbol: string) => {
      for (;;) {
        const { symbols } = await rspamd.scan(offer, { from, to: ['ada@harbour.example'] });
        if (symbols[symbol]) return symbols[symbol].score;
      }
    };
    t.match(await teach.train(lessonOf(offer), patience()), { kind: 'learned', said: 'fuzzy hash added to flag 11' });
    t.ok((await acts('LOCAL_FUZZY_SPAM')) > 5);
    t.match(await teach.train(lessonOf(offer, { class: 'ham', before: 'spam' }), patience()), {
      kind: 'learned',
      said: 'fuzzy hash taken from flag 11; fuzzy hash added to flag 13',
    });
    t.ok((await acts('LOCAL_FUZZY_HAM')) < -3);
    const short = await teach.train(lessonOf(), patience());
    t.match(short, { kind: 'refused', said: /No content to generate fuzzy/ });
    const noFlag = trainerFor(rspamd, { fuzzy: { spamFlag: 99, weight: 10 } });
    t.match(await noFlag.train(lessonOf(offer), patience()), {
      kind: 'later',
      said: /No fuzzy rules matched for flag 99/,
    });
  });

  await t.test('killed and back: asked again, and nothing is forgotten', async (t) => {
    const before = await learnedBy(rspamd);
    await rspamd.stop();
    t.match(await teach.train(lessonOf(raw('spam-phish-bank')), patience()), { kind: 'later', said: /ECONNREFUSED/ });
    await rspamd.start();
    t.match(await teach.train(lessonOf(raw('spam-phish-bank')), patience()), { kind: 'learned' });
    t.same(await learnedBy(rspamd), { ...before, spam: before.spam + 1 });
  });
});

t.test('what it is sure of Rspamd does not learn once more, and that is no failure', async (t) => {
  if (!rspamdOrSkip(t)) return;
  const teach = trainerFor(await start(t, { 'override.d/classifier-bayes.conf': 'min_learns = 2;\n' }));
  for (const n of [1, 2])
    for (const topic of ['spam', 'garden'] as const)
      t.match(await teach.train(about(topic, n), patience()), { kind: 'learned' }, `${topic} ${n}`);
  t.match(await teach.train(about('spam', 3), patience()), { kind: 'known', said: /all learn conditions denied/ });
});

t.test('whose Bayes learns', async (t) => {
  if (!rspamdOrSkip(t)) return;
  const [perUser, perDomain] = await Promise.all(
    ['per-user', 'per-domain'].map((scope) =>
      start(t, {
        'local.d/classifier-bayes.conf': block(`${scope}/local.d/classifier-bayes.conf`),
        'override.d/classifier-bayes.conf': 'min_learns = 2;\n',
      }),
    ),
  );
  const spam = raw('spam-advance-fee');
  const keysOf = async (rspamd: TestRspamd) => (await rspamd.redis.ask((client) => client.keys('*'))).join('\n');

  await t.test('each user: what one has learned another has not', async (t) => {
    const teach = trainerFor(perUser!);
    for (const user of ['ada@harbour.example', 'ben@harbour.example']) {
      t.match(await teach.train(lessonOf(spam, { user }), patience()), { kind: 'learned' }, user);
      t.match(await teach.train(lessonOf(spam, { user }), patience()), { kind: 'known' }, user);
      t.match(await keysOf(perUser!), user);
    }
  });

  await t.test('mail to a user, or into a domain, is judged by what was learned for it', async (t) => {
    for (const [rspamd, user, others] of [
      [perUser!, 'cid@quay.example', 'ada@quay.example'],
      [perDomain!, 'dock.example', 'ada@quay.example'],
    ] as const) {
      for (const n of [1, 2])
        for (const topic of ['spam', 'garden'] as const)
          t.match(await trainerFor(rspamd).train(about(topic, n, { user }), patience()), { kind: 'learned' });
      const judged = async (to: string) =>
        Object.keys((await rspamd.scan(aboutText('spam', 9), { from, to: [to] })).symbols).filter((name) =>
          name.startsWith('BAYES'),
        );
      t.same(await judged(user.includes('@') ? user : `anybody@${user}`), ['BAYES_SPAM'], user);
      t.same(await judged(others), [], others);
    }
  });

  await t.test('each domain', async (t) => {
    const teach = trainerFor(perDomain!);
    for (const user of ['harbour.example', 'quay.example']) {
      t.match(await teach.train(lessonOf(spam, { user }), patience()), { kind: 'learned' }, user);
      t.match(await teach.train(lessonOf(spam, { user }), patience()), { kind: 'known' }, user);
    }
    t.match(await keysOf(perDomain!), 'quay.example');
    t.notMatch(await keysOf(perDomain!), 'postmaster');
  });
});

/** Postfix with Rspamd as its milter, which exports into a whole server. */
interface World {
  readonly rspamd: TestRspamd;
  readonly server: TestApp;
  readonly postfix: Postfix;
  /** Before Lazaret. */
  readonly door: Door;
  readonly sink: Sink;
}

async function build(
  t: Test,
  by: 'http' | 'smtp',
  more: RspamdFiles,
  adapt: (settings: Settings) => void = () => {},
): Promise<World> {
  const [door, sink] = await Promise.all([Door.open(t), Sink.start(t)]);
  const exporter = fill(
    blockOf(page, `${by}/local.d/metadata_exporter.conf`),
    by === 'http' ? { '127.0.0.1:8025': `127.0.0.1:${door.port}` } : { 'smtp_port = 2525': `smtp_port = ${door.port}` },
  );
  const rspamd = await start(t, { 'local.d/metadata_exporter.conf': exporter, ...more });
  const postfix = await Postfix.start(t, {
    sinkPort: sink.port,
    main: block('main.cf', { '127.0.0.1:11332': `127.0.0.1:${rspamd.ports.milter}` }),
  });
  const settings = parse(
    block(`${by}/lazaret.yaml`, {
      [by === 'http' ? '127.0.0.1:8025' : '127.0.0.1:2525']: '127.0.0.1:0',
      '127.0.0.1:10026': `127.0.0.1:${sink.port}`,
    }),
  );
  settings.training = parse(
    block('training/lazaret.yaml', { 'http://127.0.0.1:11334': rspamd.controllerUrl }),
  ).training;
  adapt(settings);
  const server = await startApp(t, settings);
  const world = { rspamd, server, postfix, door, sink };
  door.leadTo(portOf(world));
  return world;
}

// biome-ignore lint/suspicious/noExplicitAny: a settings file may hold anything
type Settings = any;

const portOf = ({ server: { addresses } }: Pick<World, 'server'>): number =>
  (addresses.intakeHttp[0] ?? addresses.smtp[0])!.port;

const mail = (subject: string, text = 'Lunch at noon?', more = '') =>
  `${more}From: Cheap Deals <promo@spam.example>\r\nTo: somebody@harbour.example\r\nSubject: ${subject}\r\n` +
  `Date: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <${subject.replace(/\W+/g, '-')}@spam.example>\r\n\r\n${text}\r\n`;

const sunk = ({ sink }: World, subject: string) =>
  sink.messages.filter(({ bytes }) => bytes.includes(`Subject: ${subject}\r\n`));

/** The UID of the message of a subject in a folder, which then is open. */
async function find(client: ImapFlow, folder: string, subject: string): Promise<string> {
  await client.mailboxOpen(folder);
  const found = (await client.search({ subject }, { uid: true })) || [];
  if (found.length !== 1) throw new Error(`${found.length} messages about ${subject} in ${folder}`);
  return String(found[0]);
}

for (const by of ['http', 'smtp'] as const)
  t.test(`what Rspamd rejects arrives by ${by.toUpperCase()}`, async (t) => {
    if (!rspamdOrSkip(t) || !postfixOrSkip(t)) return;
    const world = await build(t, by, {});
    const { rspamd, server, postfix, door, sink } = world;

    await t.test('for each of its recipients, with score, symbols and what the sender was told', async (t) => {
      const to = ['ada@harbour.example', 'ben@quay.example'];
      const subject = 'LAZARET-SPAM 30 for two';
      const spoofed =
        'X-Envelope-To: <carol@harbour.example>\r\nX-Spamd-Result: default: False [-9.00 / 15.00];\r\n\tNONE(-9.00)[]\r\nX-Rspamd-Action: no action\r\n';
      const { reply } = await submit(postfix.port, {
        from,
        to,
        message: mail(subject, 'Buy now.', spoofed),
        helo: 'dyn-7.spam.example',
      });
      t.match(reply, /^554 5\.7\.1 /, 'the sender is told');
      const entries = await entriesAbout(world, subject);
      t.same(
        entries.map(({ owner }) => owner),
        to,
        'when the sender hears of it the copy is there',
      );
      for (const { verdict, message } of entries) {
        t.match(verdict, { reason: 'spam', source: 'rspamd', disposition: { kind: 'rejected' } });
        t.ok((verdict.score ?? 0) >= 25, String(verdict.score));
        t.match(
          verdict.rules.find(({ name }) => name === 'LAZARET_TEST'),
          { score: 30 },
        );
        t.equal(message.sender, from);
      }
      const client = await clientOf(t, server);
      const uid = await find(client, 'Caught', subject);
      const seen = await client.fetchOne(uid, { source: true }, { uid: true });
      const text = seen ? (seen.source?.toString('latin1') ?? '') : '';
      t.match(text, /^X-Lazaret-Reason: spam/im);
      t.match(text, /^X-Lazaret-Score: /m);
      t.match(text.replaceAll('\r\n ', ' '), /^X-Lazaret-Rules: .*LAZARET_TEST=30/m);
      t.same(sunk(world, subject), []);
    });

    await t.test('from nobody, too', async (t) => {
      const subject = 'LAZARET-SPAM 31 from nobody';
      await submit(postfix.port, { from: '', to: ['ada@harbour.example'], message: mail(subject) });
      t.match(
        (await entriesAbout(world, subject)).map(({ owner, message }) => [owner, message.sender]),
        [['ada@harbour.example', '']],
      );
    });

    await t.test('while Lazaret is away the sender is put off; then it comes once', async (t) => {
      const subject = 'LAZARET-SPAM 32 again';
      const send = async () =>
        (await submit(postfix.port, { from, to: ['ada@harbour.example'], message: mail(subject) })).reply;
      door.shut();
      t.match(await send(), /^451 4\.7\.1 /);
      door.leadTo(portOf(world));
      // Its worker does not survive that, and another does the work again.
      if (by === 'smtp') door.loseAnAnswer();
      t.match(await send(), /^554 5\.7\.1 /);
      t.equal((await entriesAbout(world, subject)).length, 1);
      t.equal(door.lost, by === 'smtp' ? 1 : 0);
    });

    await t.test('octet for octet, whatever lines it has', async (t) => {
      const subject = 'LAZARET-SPAM 36 dots';
      const inside = 'X-Envelope-To: <ben@quay.example>\r\nSubject: inside\r\n\r\n';
      const text = `.\r\n..\r\n.dot\r\nMAIL FROM:<evil@spam.example>\r\nRCPT TO:<ben@quay.example>\r\nDATA\r\n${inside}.\r\nQUIT`;
      const message = mail(subject, text);
      t.match((await submit(postfix.port, { from, to: ['ada@harbour.example'], message })).reply, /^554 5\.7\.1 /);
      const [entry] = await entriesAbout(world, subject);
      const chunks: Uint8Array[] = [];
      for await (const chunk of server.app.store.messages.read(entry!.messageId)) chunks.push(chunk);
      t.ok(Buffer.concat(chunks).toString('latin1').endsWith(message));
      t.same(await entriesAbout(world, 'inside'), []);
    });

    await t.test('good mail, and what is only marked, goes to its recipient', async (t) => {
      for (const subject of ['Good news', 'LAZARET-SPAM 8 marked']) {
        t.match(
          (await submit(postfix.port, { from, to: ['ada@harbour.example'], message: mail(subject) })).reply,
          /^250 /,
        );
        await sink.sees(() => sunk(world, subject).length > 0);
        t.same(await entriesAbout(world, subject), []);
      }
    });

    await t.test(
      'GTUBE is rejected and not handed over: that is Rspamd\u2019s way, and the page says so',
      async (t) => {
        const gtube = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X';
        const { reply } = await submit(postfix.port, {
          from,
          to: ['ada@harbour.example'],
          message: mail('GTUBE', gtube),
        });
        t.match(reply, /^554 /);
        t.same(await entriesAbout(world, 'GTUBE'), []);
      },
    );

    if (by === 'smtp') return;
    await t.test('in, over IMAP, onto Spam and Not Spam, and learned; what waits is learned later', async (t) => {
      const subject = 'LAZARET-SPAM 33 learn me';
      const text =
        'An offer of wonder to all who read it: pills and watches, cheap loans, and a fortune left behind by a prince.';
      await submit(postfix.port, { from, to: ['ada@harbour.example'], message: mail(subject, text) });
      const client = await clientOf(t, server);
      const drop = async (folder: string, subject: string, onto: string) =>
        client.messageMove(await find(client, folder, subject), onto, { uid: true });
      const before = await learnedBy(rspamd);
      await drop('Caught', subject, 'Spam');
      await server.until('trained', 1);
      t.same(await learnedBy(rspamd), { spam: before.spam + 1, ham: before.ham });
      await drop('Trash', subject, 'Not Spam');
      await server.until('trained', 2);
      t.same(await learnedBy(rspamd), { spam: before.spam, ham: before.ham + 1 }, 'a change of mind');
      await rspamd.stop();
      await drop('Trash', subject, 'Spam');
      await server.until('training-waits');
      await rspamd.start();
      server.advance(2 * 3600_000);
      await server.until('trained', 3);
      t.same(await learnedBy(rspamd), { spam: before.spam + 1, ham: before.ham });
      t.match(
        await trainerFor(rspamd).train(lessonOf(mail(subject, text)), patience()),
        { kind: 'known' },
        'it is the message as Rspamd saw it first',
      );
      const [entry] = await entriesAbout(world, subject);
      const lines = await server.app.store.jobs.trainingsOf(entry!.messageId);
      t.same(
        lines.filter(({ kind }) => kind !== 'later').map(({ trainer, class: klass, kind }) => [trainer, klass, kind]),
        [
          ['rspamd', 'spam', 'learned'],
          ['rspamd', 'ham', 'learned'],
          ['rspamd', 'spam', 'learned'],
        ],
      );
    });

    await t.test('what is released goes out as it came', async (t) => {
      const subject = 'LAZARET-SPAM 34 let me out';
      const message = mail(subject);
      await submit(postfix.port, { from, to: ['ada@harbour.example'], message });
      const client = await clientOf(t, server);
      await client.messageMove(await find(client, 'Caught', subject), 'Release', { uid: true });
      await sink.sees(() => sunk(world, subject).length > 0);
      const [out] = sunk(world, subject);
      t.match(out, { sender: from, recipients: ['ada@harbour.example'] });
      t.ok(out!.bytes.toString('latin1').endsWith(message));
      t.notMatch(out!.bytes.toString('latin1'), /^X-(?:Spam|Rspamd|Envelope)/m);
    });
  });

for (const by of ['http', 'smtp'] as const)
  t.test(`what Rspamd discards arrives by ${by.toUpperCase()}, and the sender hears 250`, async (t) => {
    if (!rspamdOrSkip(t) || !postfixOrSkip(t)) return;
    const discard = { 'override.d/worker-proxy.inc': block('discard/override.d/worker-proxy.inc') };
    const world = await build(t, by, discard, (settings) => {
      const listener = settings.intake[by][0];
      settings.intake[by] = [
        typeof listener === 'string'
          ? parse(block('discard/lazaret.yaml', { '127.0.0.1:8025': listener })).intake.http[0]
          : { ...listener, disposition: 'discarded' },
      ];
    });
    const subject = 'LAZARET-SPAM 35 gone';
    const { reply } = await submit(world.postfix.port, { from, to: ['ada@harbour.example'], message: mail(subject) });
    t.match(reply, /^250 /);
    const [entry, ...others] = await entriesAbout(world, subject);
    t.match(entry, { owner: 'ada@harbour.example', verdict: { reason: 'spam', disposition: { kind: 'discarded' } } });
    t.same(others, []);
    t.same(sunk(world, subject), []);
  });

t.test('what Rspamd only marks is diverted at Postfix', async (t) => {
  if (!rspamdOrSkip(t) || !postfixOrSkip(t)) return;
  const postfixPage = (file: string, words: Readonly<Record<string, string>>) =>
    fill(blockOf('docs/connect/postfix.md', file), words);
  const [sink, rspamd] = await Promise.all([
    Sink.start(t),
    start(t, {
      // Mail comes from loopback here, which Rspamd would take for its own people's.
      'local.d/milter_headers.conf': `${block('local.d/milter_headers.conf')}skip_local = false;\n`,
      'local.d/options.inc': 'local_addrs = [];\n',
      // Points for a mark that was there before: here it shall be all up to Postfix.
      'local.d/headers_group.conf': 'symbols { "SPAM_FLAG" { weight = 0.0; } }\n',
    }),
  ]);
  const settings = { intake: { lmtp: [{ listen: '127.0.0.1:0', filter: 'rspamd-milter', disposition: 'accepted' }] } };
  const server = await startApp(t, settings);
  const postfix = await Postfix.start(t, {
    sinkPort: sink.port,
    master:
      postfixPage('transport/master.cf', {}) +
      postfixPage('milter/master.cf', { 'inet:127.0.0.1:11332': `inet:127.0.0.1:${rspamd.ports.milter}` }),
    files: {
      milter_header_checks: postfixPage('milter_header_checks', {
        '[127.0.0.1]:24': `[127.0.0.1]:${server.addresses.lmtp[0]!.port}`,
      }),
    },
  });
  const subject = 'LAZARET-SPAM 9 marked';
  const to = ['ada@harbour.example', 'ben@quay.example'];
  t.match((await submit(postfix.port, { from, to, message: mail(subject), address: '127.0.0.9' })).reply, /^250 /);
  await server.until('arrived', 2);
  const entries = await entriesAbout({ server }, subject);
  t.same(
    entries.map(({ owner }) => owner),
    to,
  );
  for (const { verdict, message } of entries) {
    t.match(verdict, { reason: 'spam', source: 'rspamd', disposition: { kind: 'accepted' } });
    t.match(
      verdict.rules.find(({ name }) => name === 'LAZARET_TEST'),
      { score: 9 },
    );
    t.equal(message.sender, from);
  }
  await submit(postfix.port, {
    from,
    to: ['ada@harbour.example'],
    message: mail('I mark myself', 'x', 'X-Spam: Yes\r\n'),
  });
  await sink.sees(({ messages }) => messages.length === 1);
  t.same(await entriesAbout({ server }, 'I mark myself'), [], 'only what the milter marked');
});
