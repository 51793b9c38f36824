import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import t from 'tap';
import { version } from '#app/cli/program';
import { isServerRunning } from '#app/lib/heartbeat';
import { TlsError, TlsFiles } from '#app/tls';
import { openStore } from '#store/open';
import { RawClient } from '../smtp/raw-client.ts';
import { Sink } from '../support/sink.ts';
import { mail, type Ran, world } from './world.ts';

const root = join(import.meta.dirname, '../..');
const source = ['--conditions=lazaret-source', '--import=./tools/ts.mjs', 'src/main.ts'];

const child = (argv: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess =>
  spawn(process.execPath, [...source, ...argv], { cwd: root, env: { PATH: process.env.PATH, ...env } });

/** A client that has logged in over TLS; `say` answers what comes up to the tagged line. */
async function session(port: number) {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  let text = '';
  let wake = () => {};
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    wake();
  });
  socket.on('error', () => {}).on('close', () => wake());
  const until = async (end: RegExp): Promise<string> => {
    while (!end.test(text)) {
      if (socket.destroyed) throw new Error(`closed after ${text}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const said = text;
    text = '';
    return said;
  };
  await until(/^\* OK .*\r\n/);
  return {
    fingerprint: socket.getPeerCertificate().fingerprint256,
    say(line: string) {
      socket.write(`a ${line}\r\n`);
      return until(/^a .*\r\n/m);
    },
    end: () => socket.destroy(),
  };
}

async function processOf(input: string, argv: readonly string[]): Promise<Ran> {
  const ran = child(argv);
  let out = '';
  let err = '';
  ran.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  ran.stderr!.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  ran.stdin!.on('error', () => {}).end(input);
  const [code] = (await once(ran, 'close')) as [number];
  return { code, out, err };
}

t.test('beside a running server: release --wait ends with the words of the next hop', async (t) => {
  const sink = await Sink.start(t, {
    behave: ({ phase, recipient }) =>
      phase === 'rcpt' && recipient?.startsWith('ben') ? { reply: '550 5.1.1 No such\tben' } : undefined,
  });
  const {
    config,
    folder,
    store: file,
    run,
    pipe,
  } = world(t, `delivery: { nextHop: "smtp://127.0.0.1:${sink.port}?tls=none" }\n`);
  await pipe('a long password', 'account', 'add', 'global', '--password-stdin');
  const server = child(['serve', '--config', config], { LAZARET_IMAP_LISTEN: '["127.0.0.1:0/tls"]' });
  let log = '';
  const listening = new Promise<void>((resolve, reject) => {
    server.stderr!.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (log.includes('"msg":"listening"')) resolve();
    });
    server.once('exit', () => reject(new Error(log)));
  });
  t.teardown(() => server.kill('SIGKILL'));
  await listening;
  const store = await openStore(`sqlite:${file}`);
  t.teardown(() => store.close());
  t.ok(await isServerRunning(store.settings));

  t.match(await pipe(mail('one'), 'inject', '--rcpt', 'ada@harbour.example', '--from', 'shop@elsewhere.example'), {
    code: 0,
    out: '1\n',
  });
  t.match(await pipe(mail('two'), 'inject', '--rcpt', 'ben@quay.example', '--from', 'shop@elsewhere.example'), {
    code: 0,
    out: '2\n',
  });
  const good = await run('release', '1', '--train', '--wait');
  t.match(good, { code: 0, out: /^1 {2}deliver done: 2\d\d .*; train-ham done: no trainer\n$/, err: '' });
  t.equal(sink.messages.length, 1);
  t.match(await run('release', '1', '--train', '--wait'), { code: 0 }, 'it was delivered already');
  t.equal(sink.messages.length, 1, 'and is not sent twice');
  t.match(await run('release', '1', '--again', '--wait'), { code: 0, out: /deliver done/ });
  t.equal(sink.messages.length, 2, 'but when somebody asks for it again');
  const bad = await run('release', '2', '--wait');
  t.match(bad, { code: 1, out: /^2 {2}deliver failed: 550 5\.1\.1 No such.*ben\n$/ });
  t.match((await run('list', '--folder', 'Caught')).out, /two/, 'it is back');

  const port = Number(/"imap":\["127\.0\.0\.1:(\d+)\/tls"\]/.exec(log)![1]);
  const before = await session(port);
  t.match(await before.say('LOGIN global "a long password"'), /^a OK/m);
  t.match(await before.say('SELECT Caught'), /^a OK/m);
  const pair = join(folder, 'data/tls-self-signed.pem');
  const other = await TlsFiles.open({ store: `sqlite:${join(folder, 'other/x.db')}`, hostname: 'quarantine.example' });
  writeFileSync(pair, readFileSync(join(folder, 'other/tls-self-signed.pem')));
  server.kill('SIGHUP');
  while (!log.includes('certificate read again')) await once(server.stderr!, 'data');
  t.match(await before.say('NOOP'), /^a OK/m, 'a session that was open goes on');
  const after = await session(port);
  t.equal(after.fingerprint, other.fingerprint, 'whoever comes now sees the new certificate');
  t.not(before.fingerprint, other.fingerprint);
  for (const { end } of [before, after]) end();
  server.kill('SIGTERM');
  server.removeAllListeners('exit');
  const [code] = (await once(server, 'exit')) as [number];
  t.equal(code, 0, 'it ends cleanly');
  t.match(log, /"msg":"stopped"/);
  const lines = log.split('\n').filter((line) => line.includes('"msg":"release'));
  t.same(
    lines
      .map((line) => JSON.parse(line))
      .map(({ level, msg, entryId, account, recipient }) => ({ level, msg, entryId, account, recipient })),
    [
      { level: 'info', msg: 'released', entryId: 1, account: 'global', recipient: 'ada@harbour.example' },
      { level: 'info', msg: 'released', entryId: 1, account: 'global', recipient: 'ada@harbour.example' },
      { level: 'warn', msg: 'release-failed', entryId: 2, account: 'global', recipient: 'ben@quay.example' },
    ],
    'one line for the end of each',
  );
  t.match(await run('training', 'retry'), { code: 0, out: 'queued 1\n', err: /name no trainer/ });
  t.match(await run('training', 'retry', '--json'), { code: 0, out: '{\n  "queued": 0\n}\n' }, 'once is enough');
  t.notOk(await isServerRunning(store.settings));
  t.ok(existsSync(pair));
});

t.test('the executable answers with its version and with the exit code of its verb', async (t) => {
  t.same(await processOf('', ['--version']), { code: 0, out: `${version}\n`, err: '' });
  const { config, pipe } = world(t);
  t.match(await processOf(mail('one'), ['inject', '--rcpt', 'ada@harbour.example', '--config', config]), {
    code: 0,
    out: '1\n',
  });
  t.match(await pipe('', 'list', '--ids'), { out: '1\n' });
  const { config: bad } = world(t, 'frob: 1\n');
  t.match(await processOf('', ['serve', '--config', bad]), {
    code: 1,
    out: '',
    err: /lazaret\.yaml:7: frob: unknown setting/,
  });
});

t.test('a certificate is made once, kept from strangers, and read again when it is asked for', async (t) => {
  const { folder, store } = world(t);
  const config = { store: `sqlite:${store}`, hostname: 'quarantine.example' };
  const [one, two] = await Promise.all([TlsFiles.open(config), TlsFiles.open(config)]);
  t.equal(one.fingerprint, two.fingerprint, 'two that start at once use the same');
  const file = join(folder, 'data/tls-self-signed.pem');
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.same(readdirSync(join(folder, 'data')), ['tls-self-signed.pem'], 'no draft is left');
  const certificate = new X509Certificate(readFileSync(file));
  t.match(certificate.subjectAltName, /DNS:quarantine\.example, DNS:localhost, IP Address:127\.0\.0\.1/);
  t.ok(certificate.checkHost('quarantine.example') && certificate.checkIP('127.0.0.1'));
  t.ok(new Date(certificate.validTo).getTime() > Date.now() + 9 * 365 * 86_400_000);

  const server = createServer(one.context()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', ca: readFileSync(file), servername: 'quarantine.example' });
  await once(socket, 'secureConnect');
  t.ok(socket.authorized, 'who trusts the file is content');
  socket.destroy();
  server.close();

  const other = await TlsFiles.open({ ...config, store: `sqlite:${join(folder, 'other/x.db')}` });
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(cert, readFileSync(file));
  writeFileSync(key, readFileSync(file));
  const configured = await TlsFiles.open({ ...config, tls: { cert, key } });
  t.equal(configured.fingerprint, one.fingerprint);
  writeFileSync(cert, readFileSync(join(folder, 'other/tls-self-signed.pem')));
  t.throws(() => configured.reload(), TlsError, 'a certificate without its key');
  t.equal(configured.fingerprint, one.fingerprint, 'the pair before stays');
  writeFileSync(key, readFileSync(join(folder, 'other/tls-self-signed.pem')));
  configured.reload();
  t.equal(configured.fingerprint, other.fingerprint);
  rmSync(key);
  t.throws(() => configured.reload(), /tls\.key: there is no file/);
  writeFileSync(cert, 'nonsense');
  await t.rejects(TlsFiles.open({ ...config, tls: { cert, key: cert } }), /no certificate with its key/);
});

t.test('a process has the roles it was given, and ends within shutdown.grace', async (t) => {
  const { config, folder, run } = world(t);
  for (const [typed, found] of [
    ['imap,web', '"web"'],
    ['imap,,worker', '""'],
    ['', '""'],
  ] as const) {
    const { code, err } = await run('serve', '--roles', typed);
    t.equal(code, 2);
    t.match(err, `found ${found}\nlazaret help serve says more.`, `--roles "${typed}"`);
    t.match(err, /^lazaret: --roles: expected /);
  }
  const server = child(['serve', '--config', config, '--roles', 'intake'], {
    LAZARET_INTAKE_LMTP: '["127.0.0.1:0"]',
    LAZARET_INTAKE_SMTP: '[]',
    LAZARET_SHUTDOWN_GRACE: '200ms',
    LAZARET_ROLES: 'imap', // what is typed goes before it
  });
  t.teardown(() => server.kill('SIGKILL'));
  let log = '';
  server.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  while (!log.includes('"msg":"listening"')) await once(server.stderr!, 'data');
  t.match(log, '"roles":["intake"]');
  t.match(log, '"imap":[]');
  t.notOk(existsSync(join(folder, 'data/tls-self-signed.pem')), 'no certificate was needed');

  const client = await RawClient.connect(Number(/"lmtp":\["127\.0\.0\.1:(\d+)"\]/.exec(log)![1]));
  await client.command('LHLO filter.example');
  client.write('MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n');
  await client.replies(3);
  client.write('Subject: one that never ends\r\n');
  const exited = once(server, 'exit');
  server.kill('SIGTERM');
  t.equal(await client.reply(), '', 'cut without a reply: it will be sent again');
  t.same(await exited, [0, null]);
  t.match(log, /"msg":"stopped"/);
});
