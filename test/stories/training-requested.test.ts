/** `Training Requested`: copies of what a filter was unsure about and delivered, for those who want them (IN-7). */
import t, { type Test } from 'tap';
import { RawClient } from '../smtp/raw-client.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { ask } from '../web/request.ts';
import { handOver, login, mailAbout, onTheWire } from './hand-over.ts';

const token = 'a-token-for-tests-1234';
const apiToken = 'an-api-token-for-tests';
const folder = '"Training Requested"';

function start(t: Test, trainingRequested: Record<string, unknown> = {}) {
  return startApp(t, {
    intake: {
      lmtp: [{ listen: '127.0.0.1:0', class: 'training' }],
      smtp: ['127.0.0.1:0'],
      http: ['127.0.0.1:0', { listen: '127.0.0.1:0', class: 'training' }],
      tokens: [token],
      handOverDomains: ['quarantine.example'],
    },
    api: { listen: ['127.0.0.1:0'], tokens: [{ name: 'panel', token: apiToken }] },
    trainingRequested,
  });
}

const kindsOf = (server: TestApp) => server.events.map(({ kind }) => kind);

async function count(t: Test, server: TestApp, user: string, name = folder): Promise<number> {
  const client = await login(t, server, user);
  const [, messages] = /MESSAGES (\d+)/.exec((await client.ok(`STATUS ${name} (MESSAGES)`)).join('\n')) ?? [];
  return Number(messages);
}

const byHttp = (server: TestApp, subject: string, fields: [string, string][], path = '/intake', at = 0) =>
  ask({
    port: server.addresses.intakeHttp[at]!.port,
    path,
    fields: [['Authorization', `Bearer ${token}`], ['Content-Type', 'message/rfc822'], ...fields],
    body: mailAbout(subject),
  });

t.test('where nobody switched it on, a copy is taken in, told and not kept', async (t) => {
  const server = await start(t);
  const both = { recipients: ['ada@harbour.example', 'ben@quay.example'], message: mailAbout('unsure') };
  t.match(await handOver(server, 'lmtp', [both]), ['250 2.0.0 Ok: nothing of it is to be kept']);
  t.same(kindsOf(server), ['not-wanted', 'not-wanted']);
  t.match(server.events[0], { owner: 'ada@harbour.example', subject: 'unsure' });
  const to: [string, string] = ['X-Lazaret-Rcpt', 'ada@harbour.example'];
  t.match(await byHttp(server, 'x', [to, ['X-Lazaret-Class', 'training']]), { status: 200, text: '[]' });
  t.match(await byHttp(server, 'x', [to], '/intake?class=training'), { status: 200, text: '[]' });
  t.match(await byHttp(server, 'x', [to], '/intake', 1), { status: 200, text: '[]' });
  t.equal(kindsOf(server).length, 5);
  t.equal(await count(t, server, 'global'), 0);
});

t.test('those who want copies get them, others of the same message do not', async (t) => {
  const server = await start(t, { on: ['harbor.example', 'ben@quay.example'] });
  const recipients = ['ada@harbour.example', 'Ben+list@quay.example', 'cy@quay.example', 'who@elsewhere.example'];
  t.match(await handOver(server, 'lmtp', [{ recipients, message: mailAbout('unsure') }]), ['250 2.0.0 Ok: kept as ']);
  t.same(kindsOf(server).sort(), ['arrived', 'arrived', 'not-wanted', 'not-wanted']);
  for (const [user, messages] of [
    ['ada@harbour.example', 1],
    ['ben@quay.example', 1],
    ['global', 2],
  ] as const)
    t.equal(await count(t, server, user), messages, user);
  const to: [string, string] = ['X-Rspamd-rcpt', '["ada@harbour.example"]'];
  const rspamd = await byHttp(
    server,
    'by rspamd',
    [to, ['X-Rspamd-action', 'no action'], ['X-Rspamd-score', '3.5']],
    '/intake/rspamd?class=training',
  );
  t.match(rspamd, { status: 200, text: /"how":"new"/ });
  t.equal(await count(t, server, 'ada@harbour.example'), 2);
  const besides: [string, string] = ['X-Lazaret-Class', 'training'];
  t.match(await byHttp(server, 'said besides', [to, besides, ['X-Rspamd-action', 'no action']], '/intake/rspamd'), {
    status: 200,
    text: /"how":"new"/,
  });
  t.equal(await count(t, server, 'ada@harbour.example'), 3);
  // "add header" alone is no such copy: it is held.
  await byHttp(server, 'tagged', [to, ['X-Rspamd-action', 'add header']], '/intake/rspamd');
  t.equal(await count(t, server, 'ada@harbour.example'), 3);

  const client = await login(t, server, 'ada@harbour.example');
  await client.ok(`SELECT ${folder}`);
  await client.ok('UID MOVE 1:* "Not Spam"');
  t.equal(await count(t, server, 'ada@harbour.example'), 0);
  t.equal(server.sink.messages.length, 0, 'it has been delivered long ago');
});

t.test('a copy leaves after its own time, and not before', async (t) => {
  const server = await start(t, { default: 'on', keepFor: '2d' });
  const day = 24 * 3600_000;
  await handOver(server, 'lmtp', [{ recipients: ['ada@harbour.example'], message: mailAbout('unsure') }]);
  await handOver(server, 'smtp', [{ recipients: ['ada@harbour.example'], message: mailAbout('held') }]);
  const client = await login(t, server, 'ada@harbour.example');
  await client.ok(`SELECT ${folder}`);
  server.advance(1.9 * day);
  while ((await server.app.store.housekeep()).more);
  t.equal(await count(t, server, 'ada@harbour.example'), 1);
  server.advance(0.2 * day);
  while ((await server.app.store.housekeep()).more);
  t.ok(
    (await client.ok('NOOP')).some((line) => line === '* 1 EXPUNGE' || line.startsWith('* VANISHED')),
    'sessions are told',
  );
  t.equal(await count(t, server, 'ada@harbour.example'), 0);
  const other = await login(t, server, 'ada@harbour.example');
  t.ok((await other.ok('SELECT Caught')).includes('* 1 EXISTS'), 'what is held stays');
});

t.test('a copy of what was released is no hand-back', async (t) => {
  const server = await start(t, { default: 'on' });
  await handOver(server, 'smtp', [{ recipients: ['ada@harbour.example'], message: mailAbout('wanted') }]);
  const client = await login(t, server, 'ada@harbour.example');
  await client.ok('SELECT Caught');
  await client.ok('UID MOVE 1:* Release');
  await server.until('released');
  const released = server.sink.messages[0]!.bytes;
  t.match(released.toString('latin1'), /^X-Lazaret-Release:/m);
  const raw = await RawClient.connect(server.addresses.lmtp[0]!.port);
  await raw.command('LHLO x');
  await raw.command('MAIL FROM:<s@elsewhere.example>');
  await raw.command('RCPT TO:<ada@harbour.example>');
  await raw.command('DATA');
  raw.write(onTheWire(released));
  t.match(await raw.reply(), /^250 2\.0\.0 /);
  raw.close();
  t.notOk(kindsOf(server).includes('handed-back'));
  t.equal(await count(t, server, 'ada@harbour.example', 'Caught'), 0);
  t.equal(await count(t, server, 'ada@harbour.example'), 1);
});

t.test('the API says for whom, with a token, and it counts at once', async (t) => {
  const server = await start(t);
  const { port } = server.addresses.api[0]!;
  const api = (method: string, name: string, body = '', shown = apiToken) =>
    ask({
      port,
      method,
      path: `/api/training-requested/${name}`,
      fields: [['Authorization', `Bearer ${shown}`]],
      body,
    });
  const said = async (method: string, name: string, body?: string) =>
    JSON.parse((await api(method, name, body)).text) as object;
  const arrives = async (subject: string) => {
    const before = server.events.length;
    await handOver(server, 'lmtp', [{ recipients: ['ada@harbour.example'], message: mailAbout(subject) }]);
    return kindsOf(server).slice(before);
  };

  t.same(await said('GET', 'harbour.example'), { name: 'harbour.example', state: 'off', by: 'settings' });
  t.same(await said('PUT', 'Harbor.Example', '{"state":"on"}'), { name: 'harbour.example', state: 'on', by: 'name' });
  t.same(await said('GET', 'ada%2Bx@harbour.example'), { name: 'ada@harbour.example', state: 'on', by: 'domain' });
  t.same(await arrives('one'), ['arrived']);
  t.same(await said('PUT', 'ada@harbour.example', '{"state":"off"}'), {
    name: 'ada@harbour.example',
    state: 'off',
    by: 'name',
  });
  t.same(await arrives('two'), ['not-wanted']);
  t.same(await said('DELETE', 'ada@harbour.example'), { name: 'ada@harbour.example', state: 'on', by: 'domain' });
  t.same(await said('DELETE', 'harbour.example'), { name: 'harbour.example', state: 'off', by: 'settings' });
  t.same(await arrives('three'), ['not-wanted']);

  for (const wrong of ['', 'x', token, `${apiToken} `, apiToken.slice(1)])
    t.equal(
      (await api('PUT', 'harbour.example', '{"state":"on"}', wrong.trimEnd() || 'none')).status,
      wrong.trimEnd() === apiToken ? 200 : 401,
      wrong,
    );
  await said('DELETE', 'harbour.example');
  for (const name of [
    'elsewhere.example',
    'who@elsewhere.example',
    'global',
    'ann*harbour.example',
    '__proto__',
    '%00',
    '..%2f..%2fx',
  ])
    t.equal((await api('GET', name)).status, 404, name);
  for (const body of [
    '',
    '{}',
    '[]',
    'on',
    '"on"',
    '{"state":"maybe"}',
    '{"state":{"$ne":"off"}}',
    '{"state":"on","x":1}',
    '{"__proto__":{"state":"on"}}',
    'x'.repeat(10_000),
  ]) {
    const answer = await api('PUT', 'harbour.example', body);
    t.ok(answer.status === 400 || answer.status === 413, `${answer.status} ${body.slice(0, 40)}`);
    t.match(JSON.parse(answer.text), { error: /^Expected \{"state": "on"\}/ });
  }
  t.equal((await ask({ port, path: '/', fields: [['Authorization', `Bearer ${apiToken}`]] })).status, 404);
  t.same(await said('GET', 'harbour.example'), { name: 'harbour.example', state: 'off', by: 'settings' });
});
