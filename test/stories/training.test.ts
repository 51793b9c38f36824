/** What people drop reaches the learners, by a whole server: several of them, changes of mind, what is learned unasked. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { EntryId } from '#store/model';
import { startApp, type TestApp } from '../support/app.ts';
import { scrape } from '../web/scrape.ts';
import { handOver, login, mailAbout, numbers, pairs } from './hand-over.ts';

/** Maildirs beside the store, and what lies in them, by subject. */
const maildirs = { type: 'maildir', name: 'files', spam: 'learn/spam', ham: 'learn/ham' };
async function lying(server: TestApp, klass: 'spam' | 'ham'): Promise<string[]> {
  const folder = join(server.folder, 'learn', klass, 'new');
  const names = await readdir(folder).catch(() => []);
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.map((text) => /^Subject: (.*)\r$/m.exec(text)?.[1] ?? '').sort();
}

async function held(server: TestApp, subjects: readonly string[], recipient = 'ada@harbour.example'): Promise<void> {
  await handOver(
    server,
    'lmtp',
    subjects.map((subject) => ({ recipients: [recipient], message: mailAbout(subject) })),
  );
}

/** UID of each subject in Caught. */
async function uidOf(client: Awaited<ReturnType<typeof login>>, subject: string): Promise<number> {
  const untagged = await client.ok(`UID SEARCH SUBJECT "${subject}"`);
  return numbers(
    untagged
      .join(' ')
      .replace(/^.*SEARCH ?/, '')
      .trim()
      .replaceAll(' ', ','),
  )[0] as number;
}

const idle = (server: TestApp) => server.app.runner.idle();
const linesOf = async (server: TestApp, id: number) => {
  const history = await server.app.store.entries.history(id as EntryId);
  return history?.trainings.map(({ trainer, class: klass, kind, user }) => [trainer, klass, kind, user]);
};

async function caught(t: Test, server: TestApp, user = 'ada@harbour.example') {
  const client = await login(t, server, user);
  await client.ok('SELECT Caught');
  return client;
}

t.test('a drop is learned from by all trainers, and a change of mind is told to them', async (t) => {
  const cat = {
    type: 'command',
    name: 'cat',
    scope: 'user',
    spam: ['/bin/echo', '{user}'],
    ham: ['/bin/echo', '{user}'],
  };
  const server = await startApp(t, { training: { trainers: [maildirs, cat] }, http: { listen: ['127.0.0.1:0'] } });
  const numbersNow = async () => {
    const all = await scrape(server.addresses.http[0]!.port);
    const of = (trainer: string, outcome: string) =>
      all.get(`lazaret_lessons_total{trainer="${trainer}",outcome="${outcome}"}`);
    return [of('files', 'learned'), of('cat', 'learned'), of('cat', 'later')];
  };
  t.same(await numbersNow(), [0, 0, 0], 'there from the start');
  await held(server, ['one', 'two']);
  const client = await caught(t, server);
  const uid = await uidOf(client, 'one');
  await client.ok(`UID MOVE ${uid} Spam`);
  await idle(server);
  t.same(await lying(server, 'spam'), ['one']);
  const [file] = await readdir(join(server.folder, 'learn/spam/new'));
  t.equal(
    await readFile(join(server.folder, 'learn/spam/new', file as string), 'utf8'),
    mailAbout('one'),
    'octet by octet',
  );

  await client.ok('SELECT Trash');
  await client.ok(`UID MOVE ${await uidOf(client, 'one')} "Not Spam"`);
  await idle(server);
  t.same(await lying(server, 'spam'), []);
  t.same(await lying(server, 'ham'), ['one']);
  t.same((await linesOf(server, uid))?.toSorted(), [
    ['cat', 'ham', 'learned', 'ada@harbour.example'],
    ['cat', 'spam', 'learned', 'ada@harbour.example'],
    ['files', 'ham', 'learned', undefined],
    ['files', 'spam', 'learned', undefined],
  ]);
  t.same(await numbersNow(), [2, 2, 0]);
});

t.test('nothing is learned unasked, unless the settings say so', async (t) => {
  const server = await startApp(t, { training: { trainers: [maildirs] } });
  await held(server, ['released', 'discarded']);
  const client = await caught(t, server);
  await client.ok(`UID MOVE ${await uidOf(client, 'released')} Release`);
  await client.ok(`UID MOVE ${await uidOf(client, 'discarded')} Trash`);
  await server.until('released');
  await idle(server);
  t.same([await lying(server, 'ham'), await lying(server, 'spam')], [[], []]);
});

t.test('where they do, a release is ham and a discard is spam, by these ways', async (t) => {
  const server = await startApp(t, {
    training: { trainers: [maildirs], learn: { released: ['imap'], discarded: ['imap'] } },
    release: { undoSeconds: 60 },
  });
  const subjects = ['released', 'copied', 'discarded', 'restored', 'undone', 'expunged', 'closed', 'by-others'];
  await held(server, subjects);
  const [virus] = await server.app.admit({
    source: (async function* () {
      yield Buffer.from(mailAbout('infected'));
    })(),
    sender: 'stranger@elsewhere.example',
    recipients: [{ address: 'ada@harbour.example' }],
    params: {},
    direction: 'auto',
    filter: 'auto',
    verdict: { reason: 'virus' },
    repeat: false,
  });
  t.ok(virus);
  const client = await caught(t, server);
  const uid = async (subject: string) => uidOf(client, subject);
  await client.ok(`UID MOVE ${await uid('released')} Release`);
  await client.ok(`UID MOVE ${await uid('infected')} Release`);
  await client.ok(`UID COPY ${await uid('copied')} Release`);
  await client.ok(`UID MOVE ${await uid('discarded')} Trash`);

  const discarded = await client.ok(`UID MOVE ${await uid('restored')} Trash`);
  const inTrash = [...pairs(discarded.join('\n')).values()][0];
  await client.ok('SELECT Trash');
  await client.ok(`UID MOVE ${inTrash} Caught`);
  await client.ok('SELECT Caught');

  const dropped = await client.ok(`UID MOVE ${await uid('undone')} Release`);
  const there = [...pairs(dropped.join('\n')).values()][0];
  await client.ok('SELECT Release');
  await client.ok(`UID MOVE ${there} Caught`);
  await client.ok('SELECT Caught');

  await client.ok(`UID STORE ${await uid('expunged')} +FLAGS (\\Deleted)`);
  await client.ok('EXPUNGE');
  await client.ok(`UID STORE ${await uid('closed')} +FLAGS (\\Deleted)`);
  await client.ok('CLOSE');

  server.advance(61_000);
  await server.until('released', 3);
  await idle(server);
  t.same(await lying(server, 'ham'), ['copied', 'released']);
  t.same(await lying(server, 'spam'), ['discarded']);
});

t.test('a learner that hangs delays no delivery and no other learner (row 44)', async (t) => {
  // Until somebody lets it go.
  const script = 'until [ -e "$0" ]; do sleep 0.1; done; exit 75';
  const go = join(t.testdir(), 'go');
  const argv = ['/bin/sh', '-c', script, go];
  const hanging = { type: 'command', name: 'hangs', spam: argv, ham: argv };
  const jobs = { inventory: false, concurrency: 4 };
  const server = await startApp(t, { training: { trainers: [hanging, maildirs] }, jobs });
  const subjects = Array.from({ length: 40 }, (_, n) => `message ${String(n).padStart(2, '0')}`);
  await held(server, subjects);
  const client = await caught(t, server);
  await client.ok('UID MOVE 1:* "Release & Train"');
  await server.until('released', 40);
  const countOf = async (trainer: string) =>
    (await server.app.store.jobs.trainingStats()).find((line) => line.trainer === trainer)?.count ?? 0;
  while ((await countOf('files')) < 40) await new Promise(setImmediate);
  t.same(await lying(server, 'ham'), subjects);
  t.equal(await countOf('hangs'), 0, 'it has not answered anybody yet');
  await writeFile(go, '');
  await server.until('training-waits');
});

t.test('a report goes out by the next hop, from nobody', async (t) => {
  const reports = { type: 'arf', spam: 'spam@reports.example', from: 'lazaret@harbour.example' };
  const server = await startApp(t, { training: { trainers: [reports] } });
  await held(server, ['one']);
  const client = await caught(t, server);
  await client.ok('UID MOVE 1:* Spam');
  await server.until('trained');
  const [report] = server.sink.messages;
  t.match(report, { sender: '', recipients: ['spam@reports.example'] });
  const text = report?.bytes.toString('latin1') ?? '';
  t.ok(text.startsWith('From: Lazaret <lazaret@harbour.example>\r\n'));
  t.ok(text.includes(`\r\n\r\n${mailAbout('one')}\r\n--`), 'with the message as it came');

  // Another Lazaret understands it, if somebody it knows sends it.
  const other = await startApp(t, {
    training: { trainers: [maildirs], reports: { spam: ['spam@harbour.example'], loggedIn: false } },
  });
  await handOver(other, 'lmtp', [
    { sender: 'ada@harbour.example', recipients: ['spam@harbour.example'], message: report?.bytes ?? '' },
  ]);
  await other.until('trained');
  t.same(await lying(other, 'spam'), ['one']);
});
