/**
 * The real spamd, and Postfix, with the configuration of docs/connect/spamassassin.md: what it calls spam is diverted into a
 * whole server, and what people drop there it learns.
 */

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { createSaLearnTrainer } from '#app/training/sa-learn';
import { createSpamdTrainer } from '#app/training/spamd';
import type { Trainer } from '#app/training/trainer';
import { startApp, type TestApp } from '../support/app.ts';
import { arrived, clientOf, entriesAbout } from '../support/caught.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { freePort } from '../support/free-port.ts';
import { lessonOf, patience } from '../support/lesson.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import { Sink } from '../support/sink.ts';
import { spamdOrSkip, TestSpamd } from '../support/spamd.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/connect/spamassassin.md';
const block = (file: string, words: Readonly<Record<string, string>> = {}) => fill(blockOf(page, file), words);
const raw = (name: string) => readFileSync(join(import.meta.dirname, `../fixtures/raw/${name}.eml`));
const gtube = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X';
const from = 'promo@spam.example';

const bayesOf = (folder: string) => `${folder}/bayes/bayes`;
/** By itself it would learn what scores high, before anybody has dropped it. */
const localCf = (folder: string) =>
  `${block('local.cf', { '/var/lib/spamassassin/bayes/bayes': bayesOf(folder) })}bayes_auto_learn 0\n`;
const optionsOf = (text: string): string[] => /OPTIONS="(.*)"/.exec(text)![1]!.split(' ');
const pageArguments = () => optionsOf(block('default-spamd'));

const mail = (subject: string, text = gtube, more = '') =>
  `${more}From: Cheap Deals <promo@spam.example>\r\nTo: somebody@harbour.example\r\nSubject: ${subject}\r\n` +
  `Date: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <${subject.replace(/\W+/g, '-')}@spam.example>\r\n\r\n${text}\r\n`;

/** How many messages of each class its database has learned. */
async function learnedBy(folder: string, bayes = bayesOf(folder)): Promise<{ spam: number; ham: number }> {
  // Before the first lesson there are no files, and sa-learn complains.
  if (!existsSync(`${bayes}_toks`)) return { spam: 0, ham: 0 };
  const { stdout } = await promisify(execFile)('sa-learn', [
    `--siteconfigpath=${folder}`,
    `--dbpath=${bayes}`,
    '--dump',
    'magic',
  ]);
  const count = (name: string) =>
    Number(new RegExp(`(\\d+)\\s+\\d+\\s+non-token data: ${name}$`, 'm').exec(stdout)?.[1]);
  return { spam: count('nspam'), ham: count('nham') };
}

t.test('the real SpamAssassin', async (t) => {
  if (!spamdOrSkip(t)) return;

  await t.test('spamd learns, knows, relearns, and is asked again after it was away', async (t) => {
    const spamd = await TestSpamd.start(t, { localCf, arguments: pageArguments });
    const teach = createSpamdTrainer({ name: 'spamd', address: spamd.address, report: false, timeoutMs: 20_000 });
    const spam = raw('spam-advance-fee');
    t.same(await teach.train(lessonOf(spam), patience()), { kind: 'learned', said: 'learned' });
    t.same(await teach.train(lessonOf(spam), patience()), { kind: 'known', said: 'already learned' });
    t.same(await learnedBy(spamd.folder), { spam: 1, ham: 0 });
    t.match(await teach.train(lessonOf(spam, { class: 'ham', before: 'spam' }), patience()), { kind: 'learned' });
    t.same(await learnedBy(spamd.folder), { spam: 0, ham: 1 }, 'what it had learned it has forgotten');
    const large = Buffer.concat([
      Buffer.from('Subject: large\r\n\r\n'),
      Buffer.alloc(1_500_000, 'offer of wonder\r\n'),
    ]);
    t.match(await teach.train(lessonOf(large), patience()), { kind: 'learned' });
    await spamd.stop();
    t.match(await teach.train(lessonOf(raw('spam-extortion')), patience()), { kind: 'later', said: /ECONNREFUSED/ });
    await spamd.start();
    t.match(await teach.train(lessonOf(raw('spam-extortion')), patience()), { kind: 'learned' });
    t.same(await learnedBy(spamd.folder), { spam: 2, ham: 1 });

    const saLearn = saLearnFor(spamd.folder);
    t.match(await saLearn.train(lessonOf(raw('spam-extortion')), patience()), {
      kind: 'known',
      said: 'Learned tokens from 0 message(s) (1 message(s) examined)',
    });
    t.match(await saLearn.train(lessonOf(raw('spam-extortion'), { class: 'ham' }), patience()), { kind: 'learned' });
    t.same(await learnedBy(spamd.folder), { spam: 1, ham: 2 });
    t.match(await saLearn.train(lessonOf(Buffer.concat([large, large])), patience()), { kind: 'learned' });
    const nowhere = createSaLearnTrainer({
      name: 'x',
      command: ['sa-learn'],
      dbPath: `${spamd.folder}/local.cf/bayes`,
      timeoutMs: 20_000,
    });
    t.match(await nowhere.train(lessonOf(spam), patience()), { kind: 'later', said: /^bayes: / });
  });

  await t.test('without --allow-tell nothing is lost, and the words say what to do', async (t) => {
    const spamd = await TestSpamd.start(t, { arguments: () => ['--nouser-config'] });
    const teach = createSpamdTrainer({ name: 'spamd', address: spamd.address, report: false, timeoutMs: 20_000 });
    for (const message of [raw('spam-advance-fee'), Buffer.alloc(3_000_000, 'offer of wonder\r\n')])
      t.match(await teach.train(lessonOf(message), patience()), { kind: 'later', said: /--allow-tell/ });
  });

  await t.test('each user, or each domain, has a database of its own', async (t) => {
    const users = (folder: string) => `${folder}/bayes/users`;
    const spamd = await TestSpamd.start(t, {
      localCf: () => 'use_bayes 1\n',
      arguments: (folder) =>
        optionsOf(block('per-user/default-spamd', { '/var/lib/spamassassin/users': users(folder) })),
    });
    const teach = createSpamdTrainer({ name: 'spamd', address: spamd.address, report: false, timeoutMs: 20_000 });
    const spam = raw('spam-advance-fee');
    for (const user of ['ada@harbour.example', 'quay.example']) {
      t.match(await teach.train(lessonOf(spam, { user }), patience()), { kind: 'learned' }, user);
      t.match(await teach.train(lessonOf(spam, { user }), patience()), { kind: 'known' }, user);
      t.same(await learnedBy(spamd.folder, `${users(spamd.folder)}/${user}/bayes`), { spam: 1, ham: 0 });
    }
    const files = createSaLearnTrainer({
      name: 'sa-learn',
      command: ['sa-learn', `--siteconfigpath=${spamd.folder}`],
      dbPath: `${users(spamd.folder)}/{user}/bayes`,
      timeoutMs: 20_000,
    });
    t.match(await files.train(lessonOf(spam, { user: 'quay.example' }), patience()), { kind: 'known' });
  });
});

function saLearnFor(folder: string): Trainer {
  const settings = parse(
    block('sa-learn/lazaret.yaml', {
      '/etc/spamassassin/local.cf': `${folder}/local.cf`,
      '/var/lib/spamassassin/bayes/bayes': bayesOf(folder),
    }),
  );
  const [{ command, dbPath }] = settings.training.trainers;
  return createSaLearnTrainer({ name: 'sa-learn', command, dbPath, timeoutMs: 20_000 });
}

interface World {
  readonly spamd: TestSpamd;
  readonly server: TestApp;
  readonly postfix: Postfix;
  /** Before Lazaret. */
  readonly door: Door;
  readonly sink: Sink;
}

async function build(t: Test): Promise<World> {
  const [door, sink, spamd, reinject] = await Promise.all([
    Door.open(t),
    Sink.start(t),
    TestSpamd.start(t, { localCf, arguments: pageArguments }),
    freePort(),
  ]);
  const back = fill(blockOf('docs/connect/postfix.md', 'reinject/master.cf'), {
    '127.0.0.1:10026': `127.0.0.1:${reinject}`,
  });
  const postfix = await Postfix.start(t, {
    sinkPort: sink.port,
    master: block('master.cf') + back,
    files: {
      spamassassin: block('spamassassin', {
        '127.0.0.1 -p 783': `127.0.0.1 -p ${spamd.port}`,
        '127.0.0.1:10026': `127.0.0.1:${reinject}`,
        '127.0.0.1:2525': `127.0.0.1:${door.port}`,
      }),
    },
  });
  const settings = parse(
    block('lazaret.yaml', { '127.0.0.1:2525': '127.0.0.1:0', '127.0.0.1:10026': `127.0.0.1:${reinject}` }),
  );
  settings.training = parse(block('training/lazaret.yaml', { '127.0.0.1:783': spamd.address })).training;
  const server = await startApp(t, settings);
  door.leadTo(server.addresses.smtp[0]!.port);
  return { spamd, server, postfix, door, sink };
}

const sunk = ({ sink }: World, subject: string) =>
  sink.messages.filter(({ bytes }) => bytes.includes(`Subject: ${subject}\r\n`));

/** Ada's mail client: drags the message of a subject from one folder onto another. */
async function mover(t: Test, server: TestApp): Promise<(from: string, subject: string, to: string) => Promise<void>> {
  const client = await clientOf(t, server);
  return async (from, subject, to) => {
    await client.mailboxOpen(from);
    const found = (await client.search({ subject }, { uid: true })) || [];
    t.equal(found.length, 1, `${subject} is in ${from}`);
    await client.messageMove(found, to, { uid: true });
  };
}

t.test('SpamAssassin in Postfix\u2019 pipe', async (t) => {
  if (!spamdOrSkip(t) || !postfixOrSkip(t)) return;
  const world = await build(t);
  const { server, postfix, door, sink, spamd } = world;

  await t.test('spam is diverted, with what is known about it', async (t) => {
    const to = ['ada@harbour.example', 'ben@quay.example'];
    const message = mail(
      'Two of us',
      gtube,
      'X-Spam-Status: No, score=-99 required=5.0 tests=NONE\r\nX-Spam-Flag: NO\r\n',
    );
    const { reply } = await submit(postfix.port, { from, to, message });
    t.match(reply, /^250 2\.0\.0 /);
    const entries = await arrived(world, 'Two of us', 2);
    t.same(
      entries.map(({ owner }) => owner),
      to,
    );
    for (const { verdict, message } of entries) {
      t.match(verdict, { reason: 'spam', source: 'spamassassin', required: 5, disposition: { kind: 'accepted' } });
      t.ok((verdict.score ?? 0) > 900);
      t.ok(verdict.rules.some(({ name }) => name === 'GTUBE'));
      t.equal(message.sender, from);
    }
    t.same(sunk(world, 'Two of us'), []);
  });

  await t.test('good mail passes, whatever its sender says about it', async (t) => {
    const message = mail(
      'Good news',
      'Lunch at noon?',
      'X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=99 required=5.0 tests=ALL\r\n',
    );
    await submit(postfix.port, { from: '', to: ['ada@harbour.example'], message });
    await sink.sees(() => sunk(world, 'Good news').length > 0);
    t.match(sunk(world, 'Good news'), [{ sender: '', recipients: ['ada@harbour.example'] }]);
    t.same(await entriesAbout(world, 'Good news'), []);
  });

  await t.test('while Lazaret is away spam waits, and comes once', async (t) => {
    door.shut();
    await submit(postfix.port, { from: '', to: ['ada@harbour.example'], message: mail('Later') });
    await postfix.logs(/relay=spamassassin.* status=deferred/);
    door.leadTo(server.addresses.smtp[0]!.port);
    door.loseAnAnswer();
    await postfix.flush();
    await arrived(world, 'Later');
    t.match(
      (await entriesAbout(world, 'Later')).map(({ message }) => message.sender),
      [''],
    );
    while ((await postfix.queue()).length > 0) await postfix.flush();
    t.equal(door.lost, 1);
    t.equal((await entriesAbout(world, 'Later')).length, 1, 'the answer was lost, the second try is the same mail');
  });

  await t.test('what is dropped on Spam and Not Spam spamd learns; what waits it learns later', async (t) => {
    await submit(postfix.port, {
      from,
      to: ['ada@harbour.example'],
      message: mail('Learn me', `${gtube}\r\n${raw('spam-pharmacy-html')}`),
    });
    await arrived(world, 'Learn me');
    const move = await mover(t, server);
    const before = await learnedBy(spamd.folder);
    await move('Caught', 'Learn me', 'Spam');
    await server.until('trained', 1);
    t.same(await learnedBy(spamd.folder), { spam: before.spam + 1, ham: before.ham });
    await move('Trash', 'Learn me', 'Not Spam');
    await server.until('trained', 2);
    t.same(await learnedBy(spamd.folder), { spam: before.spam, ham: before.ham + 1 }, 'a change of mind');

    await spamd.stop();
    await move('Caught', 'Two of us', 'Spam');
    await server.until('training-waits');
    await spamd.start();
    server.advance(2 * 3600_000);
    await server.until('trained', 3);
    t.same(await learnedBy(spamd.folder), { spam: before.spam + 1, ham: before.ham + 1 });
    const [entry] = await entriesAbout(world, 'Learn me');
    const lines = await server.app.store.jobs.trainingsOf(entry!.messageId);
    t.match(
      lines.map(({ trainer, class: klass, kind }) => [trainer, klass, kind]),
      [
        ['spamd', 'spam', 'learned'],
        ['spamd', 'ham', 'learned'],
      ],
    );
  });

  await t.test('what is released goes out as it came in', async (t) => {
    const message = mail(
      'Let me out',
      `${gtube}\r\n.\r\n..\r\n.dot and \xc3\xbc \t \r\n\r\n${'long '.repeat(180)}\r\n`,
    );
    await submit(postfix.port, { from, to: ['ada@harbour.example'], message: Buffer.from(message, 'latin1') });
    await arrived(world, 'Let me out');
    await (await mover(t, server))('Caught', 'Let me out', 'Release');
    await sink.sees(() => sunk(world, 'Let me out').length > 0);
    const [out] = sunk(world, 'Let me out');
    t.notMatch(out!.bytes.toString('latin1'), /^X-Spam-/m);
    t.ok(out!.bytes.toString('latin1').endsWith(message));
  });
});

t.test('a report with the message in it (report_safe 1): the message is what is held', async (t) => {
  if (!spamdOrSkip(t)) return;
  const spamd = await TestSpamd.start(t, {
    localCf: (folder) => localCf(folder).replace('report_safe 0', 'report_safe 1'),
    arguments: pageArguments,
  });
  const server = await startApp(
    t,
    parse(block('lazaret.yaml', { '127.0.0.1:2525': '127.0.0.1:0', '127.0.0.1:10026': '127.0.0.1:9' })),
  );
  const message = `Received: from dyn-7.spam.example (dyn-7.spam.example [198.51.100.7])\r\n\tby mx.example.com (Postfix) with ESMTP id 4AbCdEfGhI;\r\n\tSun, 22 Nov 2026 01:00:00 +0000\r\n${mail('In a report')}`;
  const report = await spamd.process(message);
  t.match(report.toString('latin1'), /x-spam-type=original/, 'this is what comes out of spamd');
  const { reply } = await submit(server.addresses.smtp[0]!.port, {
    from,
    to: ['ada@harbour.example'],
    message: report,
  });
  t.match(reply, /^250 /);
  const [entry] = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 5 });
  t.match(entry, { message: { subject: 'In a report' }, verdict: { reason: 'spam', source: 'spamassassin' } });
  const chunks: Uint8Array[] = [];
  for await (const chunk of server.app.store.messages.read(entry!.messageId)) chunks.push(chunk);
  t.ok(Buffer.concat(chunks).toString('latin1').endsWith(message), 'octet for octet');
});
