/** A whole server as what watches it sees it: the numbers after some work, readiness when the store goes and comes, a stop. */
import { mkdirSync, renameSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { handOver, login, mailAbout } from '../stories/hand-over.ts';
import { startApp } from '../support/app.ts';
import { ImapClient } from '../support/imap-client.ts';
import { ask } from './request.ts';
import { samples, scrape } from './scrape.ts';

const ada = 'ada@harbour.example';
const http = { listen: ['127.0.0.1:0'] };

async function readiness(port: number) {
  const response = await fetch(`http://127.0.0.1:${port}/readyz`);
  return { status: response.status, body: (await response.json()) as unknown };
}

t.test('without http.listen there is none', async (t) => {
  const server = await startApp(t);
  t.strictSame(server.addresses.http, []);
});

t.test('the numbers tell what was done', async (t) => {
  const server = await startApp(t, { http, intake: { lmtp: ['127.0.0.1:0'], smtp: [], maxMessageBytes: 20_000 } });
  const { port } = server.addresses.http[0]!;
  const before = await scrape(port);
  t.equal(
    before.get('lazaret_intake_entries_total{outcome="arrived"}'),
    0,
    'what will be counted is there from the start',
  );
  t.equal(before.get('lazaret_deliveries_total{outcome="failed"}'), 0);
  t.equal(before.get('lazaret_store_up'), 1);

  const first = mailAbout('Plums');
  await handOver(server, 'lmtp', [
    { recipients: [ada, 'ben@quay.example'], message: first },
    { recipients: [ada], message: mailAbout('Quinces') },
    { recipients: [ada], message: first },
    {
      recipients: [ada],
      message: `${mailAbout('Pears')}${'x'.repeat(70)}\r\n`.padEnd(30_000, `${'x'.repeat(70)}\r\n`),
    },
  ]);
  const guesser = await ImapClient.connect(t, server.addresses.imap[0]!.port);
  await guesser.no(`LOGIN ${ada} wrong`);
  guesser.send('x NONSENSE');
  t.equal((await guesser.answer('x')).status, 'BAD');
  const client = await login(t, server, ada);
  await client.ok('SELECT Caught');
  await client.ok('UID MOVE 1 Release');
  await client.ok('UID MOVE 3 Spam');
  await server.until('released');
  await server.until('training-waits');

  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const now = samples(text);
  const expected: Record<string, number> = {
    'lazaret_intake_entries_total{outcome="arrived"}': 3,
    'lazaret_intake_entries_total{outcome="repeated"}': 1,
    'lazaret_intake_replies_total{outcome="kept"}': 3,
    'lazaret_intake_replies_total{outcome="refused"}': 1,
    'lazaret_intake_replies_total{outcome="temporary_failure"}': 0,
    'lazaret_deliveries_total{outcome="released"}': 1,
    'lazaret_trainings_total{outcome="put_off"}': 1,
    'lazaret_logins_total{outcome="success"}': 1,
    'lazaret_logins_total{outcome="wrong_password"}': 1,
    lazaret_imap_connections: 2,
    lazaret_imap_sessions: 1,
    'lazaret_imap_commands_total{command="LOGIN",outcome="ok"}': 1,
    'lazaret_imap_commands_total{command="LOGIN",outcome="no"}': 1,
    'lazaret_imap_commands_total{command="MOVE",outcome="ok"}': 2,
    'lazaret_imap_commands_total{command="other",outcome="bad"}': 1,
    'lazaret_imap_command_duration_seconds_count{command="MOVE"}': 2,
    lazaret_views: 1,
    lazaret_view_entries: 0,
  };
  for (const [name, value] of Object.entries(expected)) t.equal(now.get(name), value, name);
  t.ok(now.get('lazaret_store_batch_commands_sum')! >= 6, 'changes were committed');
  t.ok(now.get('lazaret_store_batch_duration_seconds_sum')! > 0);
  t.ok(now.get('lazaret_view_bytes')! > 0);
  t.ok([...now.keys()].some((name) => name.startsWith('lazaret_build_info{version="test"')));
  t.notMatch(text, /harbour|quay|elsewhere|Plums|Quinces|Pears/, 'no address and no subject in it');
});

t.test('jobs that wait are told with their age', async (t) => {
  const server = await startApp(t, { http, release: { undoSeconds: 3600 } });
  await handOver(server, 'lmtp', [{ recipients: [ada], message: mailAbout('one') }]);
  const client = await login(t, server, ada);
  await client.ok('SELECT Caught');
  await client.ok('UID MOVE 1 "Release &- Train"');
  const now = await scrape(server.addresses.http[0]!.port);
  t.equal(now.get('lazaret_jobs{step="deliver",state="later"}'), 1);
  t.equal(now.get('lazaret_jobs{step="train-ham",state="later"}'), 1);
  t.equal(now.get('lazaret_jobs{step="deliver",state="due"}'), 0);
  t.equal(now.get('lazaret_jobs_oldest_due_seconds{step="deliver"}'), 0);
  t.equal(now.get('lazaret_uids_used_ratio'), 2 / (2 ** 32 - 1), 'one in Caught, one in the action folder');
});

t.test('/readyz follows the store, /healthz and /metrics go on', async (t) => {
  const server = await startApp(t, { http });
  const { port } = server.addresses.http[0]!;
  const client = await login(t, server, ada);
  await client.ok('SELECT Caught');
  t.strictSame(await readiness(port), { status: 200, body: { status: 'ready', problems: [] } });

  const away = join(server.folder, 'away');
  mkdirSync(away);
  const move = async (from: string, to: string) => {
    for (const name of await readdir(from))
      if (name.startsWith('lazaret.db')) renameSync(join(from, name), join(to, name));
  };
  await move(server.folder, away);
  const { status, body } = await readiness(port);
  t.equal(status, 503);
  const why = 'It failed; the log says how.';
  t.strictSame(body, {
    status: 'not ready',
    problems: [
      { name: 'store', why },
      { name: 'views', why },
    ],
  });
  t.notMatch(JSON.stringify(body), /lazaret\.db/, 'no path in it');
  t.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
  const now = await scrape(port);
  t.equal(now.get('lazaret_store_up'), 0);
  t.notOk(now.has('lazaret_jobs{step="deliver",state="due"}'), 'no old numbers');
  await move(away, server.folder);
  t.strictSame(await readiness(port), { status: 200, body: { status: 'ready', problems: [] } }, 'and back');
});

t.test('/readyz says stopping while the last command comes to its end', async (t) => {
  const server = await startApp(t, { http });
  const { port } = server.addresses.http[0]!;
  const lines: string[] = [];
  const client = createConnection(server.addresses.imap[0]!.port, '127.0.0.1');
  client.on('data', (data) => lines.push(data.toString()));
  client.on('error', () => {});
  const sees = async (words: string) => {
    while (!lines.join('').includes(words)) await new Promise((resolve) => client.once('data', resolve));
  };
  await sees('ready');
  client.write(`a LOGIN ${ada} "a long test password"\r\n`);
  await sees('a OK');
  client.write('b APPEND Spam {5}\r\n');
  await sees('\r\n+ ');
  const stopped = server.app.stop(10_000);
  t.match(await readiness(port), { status: 503, body: { status: 'stopping' } });
  client.write('hello\r\n');
  await sees('\r\nb ');
  await stopped;
  await t.rejects(fetch(`http://127.0.0.1:${port}/readyz`), 'closed with the rest');
});

t.test('mail by HTTP is counted as other mail is, and what is not kept by what it was', async (t) => {
  const token = 'a-token-for-tests-1234';
  const intake = { lmtp: [], smtp: [], http: ['127.0.0.1:0'], tokens: [token] };
  const server = await startApp(t, { http, intake });
  const post = (fields: [string, string][], shown = token) =>
    ask({
      port: server.addresses.intakeHttp[0]!.port,
      fields: [['Authorization', `Bearer ${shown}`], ['Content-Type', 'message/rfc822'], ...fields],
      body: mailAbout('counted'),
    });
  const toAda: [string, string] = ['X-Lazaret-Rcpt', ada];
  await post([toAda]);
  await post([toAda]);
  await post([toAda, ['X-Lazaret-Disposition', 'put-off']]);
  await post([toAda, ['X-Lazaret-Rcpt', 'ben@quay.example'], ['X-Lazaret-Class', 'training']]);
  await post([['X-Lazaret-Score', '1']]);
  await post([toAda], 'another-token-5678-abcd');
  const now = await scrape(server.addresses.http[0]!.port);
  for (const [sample, count] of Object.entries({
    'lazaret_intake_replies_total{outcome="kept"}': 4,
    'lazaret_intake_replies_total{outcome="refused"}': 2,
    'lazaret_intake_replies_total{outcome="temporary_failure"}': 0,
    'lazaret_intake_entries_total{outcome="arrived"}': 1,
    'lazaret_intake_entries_total{outcome="repeated"}': 1,
    'lazaret_intake_entries_total{outcome="put_off"}': 1,
    'lazaret_intake_entries_total{outcome="not_wanted"}': 2,
  }))
    t.equal(now.get(sample), count, sample);
});
