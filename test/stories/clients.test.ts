/** Mail programs that other people wrote, against the whole server: imapflow, Python's imaplib, curl. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ImapFlow } from 'imapflow';
import t, { type Test } from 'tap';
import { password, startApp, type TestApp } from '../support/app.ts';
import { handOver, mailAbout } from './hand-over.ts';

/** A test that needs this program: skipped with its reason where it is missing; CI must have what is `needed`. */
function withProgram(
  program: string,
  o: { readonly needed: boolean },
  name: string,
  test: (t: Test) => Promise<void>,
): void {
  const missing = spawnSync(program, ['--version']).status !== 0;
  if (missing && o.needed && process.env.CI) t.fail(`${program} must be there in CI`);
  else t.test(name, { skip: missing && `there is no ${program}` }, test);
}

const run = (program: string, args: readonly string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile(program, args, { timeout: 30_000 }, (_, stdout, stderr) => resolve(stdout + stderr));
  });

const strict = (settings = {}) => ({
  imap: {
    listen: ['127.0.0.1:0', '127.0.0.1:0/tls'],
    allowCleartextLogin: false,
    loginFailures: { delayMs: 0 },
    ...settings,
  },
});

async function connected(t: Test, server: TestApp, user: string, secure: boolean): Promise<ImapFlow> {
  const client = new ImapFlow({
    host: '127.0.0.1',
    port: server.addresses.imap[secure ? 1 : 0]!.port,
    secure,
    ...(secure ? {} : { doSTARTTLS: true }),
    auth: { user, pass: password },
    tls: { rejectUnauthorized: false },
    logger: false,
  });
  client.on('error', () => {}); // the server ends before the client in some teardowns
  await client.connect();
  t.teardown(() => client.close());
  return client;
}

for (const secure of [true, false])
  t.test(`imapflow by ${secure ? 'TLS' : 'STARTTLS'}`, async (t) => {
    const server = await startApp(t, { ...strict(), release: { undoSeconds: 60 } });
    const mails = Array.from({ length: 6 }, (_, at) => ({
      recipients: ['ada@harbour.example'],
      message: mailAbout(`Number ${at + 1}`),
    }));
    await handOver(server, 'lmtp', mails);
    const client = await connected(t, server, 'ada@harbour.example', secure);
    t.ok(client.secureConnection);

    const folders = await client.list({ statusQuery: { messages: true, unseen: true } });
    t.same(
      folders.map(({ path }) => path).sort(),
      [
        'Caught',
        'Caught (Outgoing)',
        'INBOX',
        'Not Spam',
        'Release',
        'Release & Train',
        'Spam',
        'Training Requested',
        'Trash',
      ],
      'the ampersand and the blank are read rightly',
    );
    t.equal(folders.find(({ specialUse }) => specialUse === '\\Trash')?.path, 'Trash');
    t.match(folders.find(({ path }) => path === 'Caught')?.status, { messages: 6, unseen: 6 });
    const status = await client.status('Caught', { messages: true, uidNext: true, highestModseq: true });

    const mailbox = await client.mailboxOpen('Caught');
    t.equal(mailbox.exists, 6);
    const seenModseq = mailbox.highestModseq!;
    t.equal(mailbox.uidNext, status ? status.uidNext : 0);
    const uids: number[] = [];
    const wanted = { uid: true, envelope: true, bodyStructure: true, flags: true, size: true, source: true } as const;
    for await (const message of client.fetch('1:*', { ...wanted, internalDate: true, headers: ['x-lazaret-reason'] })) {
      uids.push(message.uid);
      const number = uids.length;
      t.equal(message.envelope?.subject, `Number ${number}`);
      t.match(message.envelope?.from, [{ name: 'Stranger', address: 'stranger@elsewhere.example' }]);
      t.match(message.bodyStructure, { type: 'text/plain' });
      t.equal(message.size, message.source?.length);
      t.match(message.source?.toString(), new RegExp(`^X-Lazaret-Id: ${message.uid}\r\n`));
      t.ok(message.source?.toString().endsWith(mailAbout(`Number ${number}`)));
      t.match(message.headers?.toString(), /^X-Lazaret-Reason: unknown/i);
      t.ok(message.internalDate instanceof Date);
      t.same([...message.flags!], []);
    }
    t.same(await client.search({ subject: 'number 3' }, { uid: true }), [uids[2]]);
    t.same(await client.search({ body: 'Hello', seen: false }), [1, 2, 3, 4, 5, 6]);
    t.ok(await client.messageFlagsAdd({ uid: `${uids[0]},${uids[1]}` }, ['\\Seen', '$Label1'], { uid: true }));
    t.same(await client.search({ seen: true }), [1, 2]);
    t.ok(await client.messageFlagsRemove('1', ['$Label1']));
    t.same(await client.search({ keyword: '$Label1' }), [2]);
    t.same(await client.search({ modseq: seenModseq + 1n }), [1, 2]);

    const copied = await client.messageCopy('1', 'Release');
    t.equal(copied ? copied.uidMap?.size : 0, 1);
    t.same([...(await flags(client, 1))].sort(), ['$Releasing', '\\Seen']);
    const moved = await client.messageMove(`${uids[1]},${uids[2]}`, 'Release & Train', { uid: true });
    const there = (moved ? moved.uidMap : undefined) ?? new Map<number, number>();
    t.same([...there.keys()], [uids[1], uids[2]]);
    t.equal(client.mailbox ? client.mailbox.exists : 0, 4);

    // Thunderbird's undo: open the action folder, move back.
    t.match(await client.mailboxOpen('Release & Train'), { exists: 0 });
    await client.messageMove([...there.values()].join(), 'Caught', { uid: true });
    t.match(await client.mailboxOpen('Caught'), { exists: 6 });
    t.same(await client.search({ subject: 'Number 2' }), [5], 'back, at the end');

    t.ok(await client.messageDelete('3'));
    t.match(await client.status('Trash', { messages: true }), { messages: 1 });
    const spam = await client.append('Spam', mailAbout('Learn this'), ['\\Seen'], new Date('2026-01-02T03:04:05Z'));
    t.ok(spam);
    // A stranger's message is not released.
    t.match(await refusal(client.append('Release', mailAbout('Never seen here'))), { serverResponseCode: 'CANNOT' });
    t.match(await refusal(client.mailboxCreate('New')), { serverResponseCode: 'CANNOT' });

    const arrived = new Promise<number>((resolve) => client.once('exists', ({ count }) => resolve(count)));
    const idling = client.idle();
    await handOver(server, 'smtp', [{ recipients: ['ada@harbour.example'], message: mailAbout('While idle') }]);
    t.equal(await arrived, 6);
    await client.noop(); // ends the IDLE
    await idling;
    t.same([...(await flags(client, 6))], []);
    await client.logout();
    t.equal(server.sink.messages.length, 0, 'the window is open still');
  });

const refusal = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'it was done',
    (error: unknown) => error,
  );

async function flags(client: ImapFlow, number: number): Promise<Set<string>> {
  const message = await client.fetchOne(`${number}`, { flags: true });
  return (message ? message.flags : undefined) ?? new Set();
}

withProgram('python3', { needed: true }, "Python's imaplib", async (t) => {
  const server = await startApp(t, { ...strict(), release: { undoSeconds: 60 } });
  const mails = Array.from({ length: 4 }, (_, at) => ({
    recipients: ['ada@harbour.example'],
    message: mailAbout(`python ${at + 1}`),
  }));
  await handOver(server, 'lmtp', mails);
  const { imap } = server.addresses;
  const script = join(import.meta.dirname, 'imaplib_session.py');
  const user = 'ada@harbour.example';
  t.equal(await run('python3', [script, `${imap[0]!.port}`, `${imap[1]!.port}`, user, password]), 'done\n');
});

withProgram('curl', { needed: false }, 'curl', async (t) => {
  const server = await startApp(t, strict());
  await handOver(server, 'lmtp', [
    { recipients: ['ada@harbour.example'], message: mailAbout('For curl', 'one\r\n.two') },
  ]);
  const { imap } = server.addresses;
  const by = (url: string, ...more: string[]) =>
    run('curl', ['--silent', '--show-error', '--insecure', '--user', `ada@harbour.example:${password}`, url, ...more]);
  for (const [url, options] of [
    [`imap://127.0.0.1:${imap[0]!.port}`, ['--ssl-reqd']],
    [`imaps://127.0.0.1:${imap[1]!.port}`, []],
  ] as const) {
    t.match(await by(`${url}/`, ...options), /^\* LIST \(\\HasNoChildren\) "\/" "Caught"\r$/m);
    t.match(await by(`${url}/Caught?SUBJECT%20curl`, ...options), /^\* SEARCH 1\r\n$/);
    const message = await by(`${url}/Caught;MAILINDEX=1`, ...options);
    t.ok(message.startsWith('X-Lazaret-Id: ') && message.endsWith(mailAbout('For curl', 'one\r\n.two')), message);
    t.match(await by(`${url}/Caught;MAILINDEX=1;SECTION=TEXT`, ...options), /^one\r\n\.two\r\n$/);
    t.match(await by(`${url}/`, '--request', 'STATUS Trash (MESSAGES)', ...options), /MESSAGES 0/);
  }
  t.match(await by(`imap://127.0.0.1:${imap[0]!.port}/`), /curl: \(/, 'no password without TLS');
});
