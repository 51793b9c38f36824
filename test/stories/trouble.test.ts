/**
 * INTEGRATIONS §8.2 row 2, the whole server: the disk is full, or another process has the file of the store. Who hands mail over
 * is asked to come again, who drops is told to try again, sessions stay, what can be read is read; and everything goes on by itself
 * when the cause is gone, with nothing lost.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Database } from '#store/sqlite/sqlite';
import { password, startApp, type TestApp } from '../support/app.ts';
import { ImapClient } from '../support/imap-client.ts';
import { LmtpClient } from '../support/lmtp.ts';
import { onMongo } from '../support/store.ts';

const ada = 'ada@harbour.example';
const mail = (subject: string, octets = 100): string =>
  `Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\nSubject: ${subject}\r\n\r\n${'x'.repeat(70)}\r\n`.padEnd(
    octets,
    `${'y'.repeat(70)}\r\n`,
  );

async function login(t: Test, { addresses }: TestApp): Promise<ImapClient> {
  const client = await ImapClient.connect(t, addresses.imap[0]!.port);
  await client.ok(`LOGIN ${ada} "${password}"`);
  await client.ok('SELECT Caught');
  return client;
}

/** What stops a MongoDB is another matter, and other tests'. */
const ofFiles = onMongo ? { skip: 'of SQLite and its file' } : {};

/** Nothing can be written, and then it can. */
interface Trouble {
  begin(): void;
  end(): void;
  /** What is said to who hands mail over. */
  readonly reply: RegExp;
}

async function goesThrough(t: Test, served: TestApp, trouble: Trouble): Promise<void> {
  const { addresses, sink, until } = served;
  const lmtp = await LmtpClient.connect(addresses.lmtp[0]!.port);
  t.teardown(() => lmtp.close());
  const send = (subject: string, octets?: number) => lmtp.send('spam@elsewhere.example', [ada], mail(subject, octets));
  for (const subject of ['one', 'two', 'three']) t.match((await send(subject))[0], /^250 /);
  const [working, idling] = [await login(t, served), await login(t, served)];
  idling.send('i IDLE');
  await idling.sees(/^\+ /);
  // On its way when it begins: the next hop's 250 comes at a time when nothing can be recorded.
  let begun = (): void => undefined;
  const trying = new Promise<void>((resolve) => {
    begun = resolve;
  });
  sink.options = {
    behave({ phase }) {
      if (phase !== 'end') return undefined;
      sink.options = {};
      trouble.begin();
      begun();
      return { afterMs: 20 };
    },
  };
  t.match(await working.ok('UID MOVE 1 Release'), [/COPYUID/, '* 1 EXPUNGE']);
  await idling.sees('* 1 EXPUNGE');
  await trying;

  for (const octets of [100, 900_000]) t.match((await send('four', octets))[0], trouble.reply, 'come again');
  for (const command of [
    'UID MOVE 2 Release',
    'UID COPY 2 Release',
    'UID MOVE 2 Spam',
    'UID MOVE 2 Trash',
    'UID STORE 2 +FLAGS (\\Deleted)',
  ])
    t.match(await working.no(command), /^\[UNAVAILABLE\] /, command);
  t.match(await working.ok('UID SEARCH ALL'), ['* SEARCH 2 3'], 'what can be read is read');
  t.match((await working.ok('UID FETCH 2 BODY.PEEK[]'))[0], /Subject: two/);
  const third = await login(t, served);
  t.strictSame(await third.ok('UID SEARCH SUBJECT three'), ['* SEARCH 3'], 'and who comes is let in');

  trouble.end();
  for (const octets of [100, 900_000]) {
    t.match((await send('four', octets))[0], /^250 /, 'sent again, it is taken');
    await idling.sees(/^\* [34] EXISTS$/);
  }
  await until('released');
  t.match((await working.ok('UID MOVE 2 Release')).join(), /COPYUID/);
  await idling.sees('* 1 EXPUNGE');
  await until('released', 2);
  t.strictSame(
    sink.messages.map(({ bytes }) => /^Subject: (\w+)/m.exec(bytes.toString('latin1'))?.[1]),
    ['one', 'two'],
    'each was delivered once',
  );
  idling.send('DONE');
  t.equal((await idling.answer('i')).status, 'OK');
  const entries = await served.app.store.entries.list({ scope: { level: 'global' }, limit: 100 });
  t.strictSame(entries.map(({ state, message: { subject } }) => `${subject} ${state}`).sort(), [
    'four held',
    'four held',
    'one released',
    'three held',
    'two released',
  ]);
  for (const client of [working, third]) await client.ok('NOOP');
}

t.test('row 2: the disk is full', ofFiles, async (t) => {
  const disk = mkdtempSync(join(tmpdir(), 'lazaret-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    rmSync(disk, { recursive: true });
    t.comment('skipped: only root can mount a disk to fill; test/store/sqlite-file.test.ts has it for the store');
    return;
  }
  t.teardown(() => {
    execFileSync('umount', ['-l', disk]);
    rmSync(disk, { recursive: true });
  });
  const served = await startApp(t, { store: `sqlite:${join(disk, 'lazaret.db')}` }, { durable: true });
  const ballast = join(disk, 'ballast');
  const begin = () => {
    for (let size = 1024 * 1024; size >= 1024; size /= 2)
      for (let written = true; written; ) {
        try {
          writeFileSync(ballast, Buffer.alloc(size), { flag: 'a' });
        } catch {
          written = false;
        }
      }
  };
  await goesThrough(t, served, { begin, end: () => rmSync(ballast), reply: /^452 4\.3\.1 / });
});

t.test('row 2: another process has the file', ofFiles, async (t) => {
  const served = await startApp(t, {}, { busyTimeoutMs: 100 });
  const other = new Database(join(served.folder, 'lazaret.db'));
  t.teardown(() => other.close());
  await goesThrough(t, served, {
    begin: () => other.exec('BEGIN IMMEDIATE'),
    end: () => other.exec('ROLLBACK'),
    reply: /^451 4\.3\.0 /,
  });
});
