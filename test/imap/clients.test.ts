/** Clients that other people wrote, against the fake backend: imapflow, and Python's imaplib where there is a python3. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ImapFlow } from 'imapflow';
import t from 'tap';
import { mail } from '../support/fake-backend.ts';
import { world } from './world.ts';

t.test('imapflow lists, selects, fetches, searches, stores, appends, moves, and idles', async (t) => {
  const { backend, port, logged } = await world(t, { allowCleartextLogin: false });
  for (let i = 1; i <= 5; i++) backend.put('Caught', mail(`Number ${i}`));
  const client = new ImapFlow({
    host: '127.0.0.1',
    port,
    secure: false,
    doSTARTTLS: true,
    auth: { user: 'bob', pass: 'secret' },
    tls: { rejectUnauthorized: false },
    logger: false,
    clientInfo: { name: 'test' },
  });
  await client.connect();
  t.equal(client.serverInfo?.name, 'Lazaret');
  const folders = await client.list({ statusQuery: { messages: true } });
  t.match(folders.map(({ path }) => path).sort(), ['Caught', 'Grüße', 'INBOX', 'Release & Train', 'Trash']);
  t.equal(folders.find(({ specialUse }) => specialUse === '\\Trash')?.path, 'Trash');
  t.match(await client.status('Caught', { messages: true, uidNext: true, highestModseq: true }), {
    messages: 5,
    uidNext: 6,
  });

  const mailbox = await client.mailboxOpen('Caught');
  t.equal(mailbox.exists, 5);
  const subjects: (string | undefined)[] = [];
  for await (const message of client.fetch('1:*', {
    envelope: true,
    bodyStructure: true,
    flags: true,
    uid: true,
    size: true,
    internalDate: true,
  }))
    subjects.push(message.envelope?.subject);
  t.same(
    subjects,
    [1, 2, 3, 4, 5].map((n) => `Number ${n}`),
  );
  const one = await client.fetchOne('2', { source: true });
  t.equal(one ? one.source?.toString() : '', mail('Number 2'));
  t.same(await client.search({ subject: 'Number 3' }, { uid: true }), [3]);
  t.ok(await client.messageFlagsAdd({ uid: '1:2' }, ['\\Seen', '$Label1'], { uid: true }));
  t.same(await client.search({ seen: true }), [1, 2]);
  const appended = await client.append('Grüße', mail('Appended'), ['\\Seen'], new Date('2026-01-02T03:04:05Z'));
  t.match(appended, { uid: 1, uidValidity: 7n });
  const moved = await client.messageMove({ uid: '1,3' }, 'Release & Train', { uid: true });
  t.same(
    [...((moved ? moved.uidMap : undefined) ?? [])],
    [
      [1, 1],
      [3, 2],
    ],
  );
  t.equal(client.mailbox ? client.mailbox.exists : 0, 3);
  const copied = await client.messageCopy('1', 'Trash');
  t.same([...((copied ? copied.uidMap : undefined) ?? [])], [[2, 1]]);
  t.ok(await client.messageDelete('1'));

  const arrived = new Promise<number>((resolve) => client.once('exists', ({ count }) => resolve(count)));
  void client.idle();
  while (backend.folder('Caught').watchers.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  backend.put('Caught', mail('New'));
  t.equal(await arrived, 3);
  await client.logout();
  t.notMatch(logged.join('\n'), /A command failed|secret/);
});

const python = spawnSync('python3', ['--version']).status === 0;
t.test("Python's imaplib does all it can", { skip: python ? false : 'there is no python3' }, async (t) => {
  const { backend, port, tlsPort } = await world(t, { allowCleartextLogin: false });
  for (let i = 1; i <= 3; i++) backend.put('Caught', mail(`Number ${i}`));
  const output = await new Promise<string>((resolve) => {
    execFile(
      'python3',
      [join(import.meta.dirname, 'imaplib_client.py'), `${port}`, `${tlsPort}`],
      (_, stdout, stderr) => resolve(stdout + stderr),
    );
  });
  t.equal(output, 'done\n');
});
