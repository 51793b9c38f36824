/**
 * The real Thunderbird, driven as a user would, against the whole server: what people see and what their drops do.
 * Needs Debian's thunderbird and xvfb; where they are missing it says so and is skipped (in CI they are installed).
 */
import { existsSync } from 'node:fs';
import t from 'tap';
import { type Selector, Thunderbird } from '../clients/thunderbird/driver.mjs';
import { password, startApp, type TestApp } from '../support/app.ts';
import { LmtpClient } from '../support/lmtp.ts';

if (!existsSync('/usr/bin/thunderbird') || !existsSync('/usr/bin/Xvfb')) {
  if (process.env.CI) t.fail('thunderbird and xvfb must be there in CI');
  else t.pass('skipped: apt-get install thunderbird xvfb', { skip: 'needs thunderbird and xvfb' });
} else stories();

/** Takes everything and finds it worth learning. */
const learner = { trainers: [{ type: 'command', spam: ['cat'], ham: ['cat'] }] };

const folders = [
  'INBOX',
  'Caught',
  'Caught (Outgoing)',
  'Training Requested',
  'Release',
  'Release & Train',
  'Spam',
  'Not Spam',
  'Trash',
];

function message(subject: string, to: string): string {
  return [
    `From: Miriam Kestrel <miriam@kestrel.example>`,
    `To: ${to}`,
    `Subject: ${subject}`,
    'Date: Tue, 24 Nov 2026 10:00:00 +0000',
    `Message-ID: <${subject.replace(/\W+/g, '-')}@kestrel.example>`,
    'Content-Type: text/plain; charset=utf-8',
    '',
    'Dear reader,',
    '',
    `this is about ${subject}.`,
    '',
  ].join('\r\n');
}

async function handOver(
  app: TestApp,
  subjects: readonly string[],
  to = 'ada@harbour.example',
  from = 'miriam@kestrel.example',
) {
  const lmtp = await LmtpClient.connect(app.addresses.lmtp[0]!.port);
  for (const subject of subjects) await lmtp.send(from, [to], message(subject, to));
  lmtp.close();
}

async function withThunderbird(
  app: TestApp,
  user: string,
  options: Record<string, unknown>,
  story: (tb: Thunderbird) => Promise<void>,
): Promise<void> {
  const tb = await Thunderbird.start({
    port: app.addresses.imap[1]!.port,
    security: 'ssl',
    user,
    password,
    timeoutMs: 60_000,
    ...options,
  });
  try {
    await tb.connect();
    await story(tb);
  } finally {
    await tb.stop();
  }
}

function stories(): void {
  t.test('each of the three accounts sees the folders and just its own mail', async (t) => {
    const app = await startApp(t);
    await handOver(app, ['for ada']);
    await handOver(app, ['for ben'], 'ben@quay.example');
    await handOver(app, ['from ada'], 'friend@elsewhere.example', 'ada@harbour.example');
    for (const [user, caught, outgoing] of [
      ['ada@harbour.example', ['for ada'], ['from ada']],
      ['harbour.example', ['for ada'], ['from ada']],
      ['global', ['for ada', 'for ben'], ['from ada']],
    ] as const)
      await withThunderbird(app, user, {}, async (tb) => {
        const { folders: seen } = await tb.connect();
        const names = seen.map(({ path }) => path).filter((name) => name && !name.startsWith('local:'));
        for (const name of folders) t.ok(names.includes(name), `${user} sees ${name}`);
        t.equal(names.length, folders.length, `${user} sees nothing else: ${names.join(', ')}`);
        const read = (messages: readonly { subject: string }[]) => messages.map(({ subject }) => subject).sort();
        t.same(read((await tb.open('Caught')).messages), caught, `${user}, Caught`);
        t.same(read((await tb.open('Caught (Outgoing)')).messages), outgoing, `${user}, Caught (Outgoing)`);
        for (const name of ['Release', 'Release & Train', 'Spam', 'Not Spam']) {
          const folder = await tb.folder(name);
          t.ok(folder.canFileMessages, `mail can be dropped on ${name}`);
          t.same((await tb.open(name)).messages, [], `${name} opens and is empty`);
        }
      });
  });

  t.test('300 messages dragged onto Release are all delivered, once', async (t) => {
    const app = await startApp(t);
    await handOver(
      app,
      Array.from({ length: 300 }, (_, at) => `invoice ${at}`),
    );
    await withThunderbird(app, 'ada@harbour.example', {}, async (tb) => {
      t.equal((await tb.open('Caught')).messages.length, 300);
      const dropped = await tb.drop('Caught', '*', 'Release');
      t.ok(dropped.ok, dropped.status);
      t.same((await tb.open('Caught')).messages, [], 'Caught is empty');
    });
    await app.until('released', 300);
    const subjects = app.sink.messages.map(({ bytes }) => /^Subject: (.*)\r$/m.exec(bytes.toString('latin1'))?.[1]);
    t.equal(new Set(subjects).size, 300, 'each arrived');
    t.equal(subjects.length, 300, 'none twice');
  });

  t.test('a drop with the mouse, new mail by itself, delete and restore', async (t) => {
    const app = await startApp(t, { training: learner });
    await handOver(app, ['Invoice for March', 'Survey of the Petrel', 'You have won', 'Berth 14: mooring lines']);
    await withThunderbird(app, 'ada@harbour.example', { display: 'xvfb' }, async (tb) => {
      await tb.open('Caught');
      await tb.show('Caught');
      const dragged = await tb.drag('Caught', { subject: 'Invoice' }, 'Release & Train');
      t.ok(dragged.ok, dragged.status);
      await app.until('released');
      await app.until('trained');
      t.match(app.sink.messages[0]?.bytes.toString('latin1'), /Invoice for March/);

      await handOver(app, ['New while you look']);
      await tb.waitForMessages('Caught', { subject: 'New while you look' });
      t.pass('new mail appeared without asking');

      const gone = await tb.delete('Caught', { subject: 'You have won' });
      t.ok(gone.ok, gone.status);
      await tb.open('Trash');
      await tb.waitForMessages('Trash', { subject: 'You have won' });
      const back = await tb.drop('Trash', { subject: 'You have won' }, 'Caught');
      t.ok(back.ok, back.status);
      await tb.waitForMessages('Caught', { subject: 'You have won' });
    });
    t.equal(app.sink.messages.length, 1, 'nothing else was delivered');
  });

  t.test('spam from Local Folders is learned and not delivered', async (t) => {
    const app = await startApp(t, { training: learner });
    await withThunderbird(app, 'ada@harbour.example', {}, async (tb) => {
      const local = await tb.addLocal('Elsewhere', [message('spam that came through', 'ada@harbour.example')]);
      const dropped = await tb.drop(local, '*' as Selector, 'Spam');
      t.ok(dropped.ok, dropped.status);
      await app.until('trained');
    });
    t.match(
      app.events.find(({ kind }) => kind === 'trained'),
      { subject: 'spam that came through' },
    );
    t.equal(app.sink.messages.length, 0);
  });

  t.test('Ctrl+Z within the window takes a drop back', async (t) => {
    const app = await startApp(t, { release: { undoSeconds: 3600 } });
    await handOver(app, ['dropped too early', 'stays']);
    await withThunderbird(app, 'ada@harbour.example', {}, async (tb) => {
      await tb.open('Caught');
      t.ok((await tb.drop('Caught', { subject: 'dropped too early' }, 'Release')).ok);
      t.ok((await tb.undo()).ok, 'there was something to undo');
      await tb.waitForMessages('Caught', { subject: 'dropped too early' });
      t.pass('it is back');
    });
    app.advance(3600_000 + 1000);
    await app.app.runner.idle();
    t.equal(app.sink.messages.length, 0, 'and it was not delivered');
  });

  t.test('a refused drop shows its sentence, and the message is still there', async (t) => {
    const app = await startApp(t);
    await handOver(app, ['to nowhere']);
    await withThunderbird(app, 'ada@harbour.example', { display: 'xvfb' }, async (tb) => {
      await tb.open('Caught');
      const refused = await tb.drop('Caught', { subject: 'to nowhere' }, 'Training Requested');
      t.notOk(refused.ok, 'the server said no');
      const told = [...refused.events, ...(await tb.events())].map(({ message }) => message ?? '').join('\n');
      t.match(told, /Training Requested|Caught/, told);
      await tb.waitForMessages('Caught', { subject: 'to nowhere' });
    });
  });

  t.test('a release that fails for good comes back, and the user is told why', async (t) => {
    const app = await startApp(t);
    app.sink.options = {
      ...app.sink.options,
      behave: ({ phase }) => (phase === 'rcpt' ? '550 5.1.1 No such user here' : undefined),
    };
    await handOver(app, ['cannot be delivered']);
    await withThunderbird(app, 'ada@harbour.example', {}, async (tb) => {
      await tb.open('Caught');
      t.ok((await tb.drop('Caught', { subject: 'cannot be delivered' }, 'Release')).ok);
      await app.until('release-failed');
      await tb.open('Caught');
      await tb.waitForMessages('Caught', { subject: 'cannot be delivered' });
      const source = await tb.source('Caught', { subject: 'cannot be delivered' });
      t.match(source, /^X-Lazaret-Status: .*550 5\.1\.1 No such user here/m);
    });
  });
}
