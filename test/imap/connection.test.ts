import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { Bye, No } from '#imap/errors';
import { mail } from '../support/fake-backend.ts';
import { ImapClient } from '../support/imap-client.ts';
import { world } from './world.ts';

/** A raw socket and all that it was told, for what no client would do. */
function raw(t: Test, port: number): { socket: Socket; told: () => string; gone: Promise<unknown> } {
  const socket = connect({ host: '127.0.0.1', port });
  let told = '';
  socket.on('data', (chunk: Buffer) => {
    told += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  return { socket, told: () => told, gone: once(socket, 'close') };
}

/** Waits for the world to be so; each look is a turn of the event loop. */
async function until(is: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!is()) {
    if (Date.now() > deadline) throw new Error(`Never came true: ${is}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function gate(): { wait: Promise<void>; open: () => void } {
  let open = () => {};
  const wait = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait, open };
}

t.test('8.2 row 11: what comes behind STARTTLS in plaintext is never run', async (t) => {
  const { backend, port } = await world(t);
  const stream = 'a STARTTLS\r\nb LOGIN bob secret\r\n';
  for (let cut = 1; cut <= stream.length; cut += 3) {
    const { socket, told, gone } = raw(t, port);
    await until(() => told().includes('\r\n'));
    socket.write(stream.slice(0, cut));
    await new Promise((resolve) => setImmediate(resolve));
    socket.write(stream.slice(cut));
    await until(() => told().includes('a OK'));
    socket.end();
    await gone;
    t.notMatch(told(), /^b /m, `cut at ${cut}`);
  }
  t.same(backend.logins, []);
});

t.test('STARTTLS: afterwards the state is fresh, and passwords are taken', async (t) => {
  const { connect } = await world(t, { allowCleartextLogin: false });
  const client = await connect();
  await client.startTls();
  t.match((await client.ok('CAPABILITY'))[0], /^(?!.*(STARTTLS|LOGINDISABLED)).*AUTH=PLAIN/);
  t.match(await client.bad('STARTTLS'), /TLS is on/);
  await client.ok('LOGIN bob secret');
});

t.test('8.2 row 12: no password before TLS, and none in the log', async (t) => {
  const { backend, connect, logged } = await world(t, { allowCleartextLogin: false });
  const client = await connect();
  t.match(client.greeting, /LOGINDISABLED/);
  t.notMatch(client.greeting, /AUTH=|SASL-IR/);
  t.match(await client.no('LOGIN bob secret'), /^\[PRIVACYREQUIRED\]/);
  t.match(await client.no('AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ='), /^\[PRIVACYREQUIRED\]/);
  t.same(backend.logins, []);
  const tls = await connect({ tls: true });
  t.match(tls.greeting, /AUTH=PLAIN/);
  backend.refuses.set('login', new Error('the directory is on fire'));
  t.match(await tls.no('LOGIN bob secret'), /^\[SERVERBUG\] Internal error, reference [0-9a-f]{8}$/);
  t.notMatch(logged.join('\n'), /secret|AGJvYgBz/);
});

t.test('8.2 row 13: literals and lines over their limits', async (t) => {
  const { backend, connect, client, port } = await world(t);
  const early = await connect();
  t.match(await early.bad('LOGIN {-1}'), /./);
  t.match(await early.bad('LOGIN bob {4294967296}'), /TOOBIG/);
  t.match(await early.bad('LOGIN bob {8193}'), /TOOBIG/, 'before login 8 KiB');
  t.match(await early.bad(`LOGIN bob ${'x'.repeat(65_536)}`), /too long/);
  await early.ok('LOGIN bob secret');
  t.match(await early.bad('SELECT {65537}'), /TOOBIG/);
  t.match(await early.bad('LOGIN \0'), /./);
  t.match(await early.bad(`SEARCH ${'('.repeat(10_000)}`), /./);
  await early.ok('SELECT Caught');
  t.match(await early.bad(`SEARCH ${'('.repeat(10_000)}`), /./);
  t.match(await early.bad(`SEARCH ${'OR '.repeat(10_000)}ALL`), /./);
  t.match(await early.bad(`SEARCH ${'NOT '.repeat(10_000)}ALL`), /./);
  t.match(await early.bad('FETCH 4294967295:1 FLAGS'), /messages/);
  t.match(await early.bad('FETCH 4294967296 FLAGS'), /./);
  early.write(Buffer.concat([Buffer.from('x1 SELECT "'), Buffer.from([0xff, 0xfe, 0x80]), Buffer.from('"\r\n')]));
  await early.sees(/^x1 BAD/);

  // A literal that comes without waiting is read and thrown away, however large; then the connection goes on.
  const big = 3 * 1024 * 1024;
  early.write(`x2 SELECT {${big}+}\r\n`);
  for (let at = 0; at < big; at += 65_536) early.write(Buffer.alloc(65_536, 'a NOOP\r\n'));
  early.send('');
  await early.sees(/^x2 BAD \[TOOBIG\]/);
  early.write(`x3 APPEND Caught {${64 * 1024 * 1024 + 65_536}+}\r\n`);
  const chunk = Buffer.alloc(65_536, 'a NOOP\r\n');
  const before = process.memoryUsage().rss;
  for (let at = 0; at <= 64 * 1024 * 1024; at += chunk.length) {
    early.write(chunk);
    if (at % (4 * 1024 * 1024) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  early.send('');
  await early.sees(/^x3 NO \[TOOBIG\]/);
  t.ok(process.memoryUsage().rss - before < 150 * 1024 * 1024, 'server and client together hold no 64 MiB twice');
  await early.ok('NOOP');
  const flood = await connect();
  flood.write('a LOGIN {4294967296+}\r\n');
  await flood.sees(/^\* BYE \[TOOBIG\]/);
  await flood.gone();

  // 20,000 sparse UIDs in one command
  for (let uid = 1; uid <= 40_000; uid += 10_000) backend.put('Caught', mail('x'), { uid });
  const mover = await client('Caught');
  const set = Array.from({ length: 20_000 }, (_, i) => 100_001 + 2 * i).join(',');
  t.match(await mover.ok(`UID MOVE 1,10001,${set} Trash`), [
    '* OK [COPYUID 7 1,10001 1:2] Moved',
    '* 2 EXPUNGE',
    '* 1 EXPUNGE',
  ]);
  t.match(await mover.bad(`UID FETCH 1${',7'.repeat(600_000)} FLAGS`), /too long/);
  t.same(await mover.ok(`UID FETCH 20001:*${',1:*'.repeat(200_000)} UID`), [
    '* 1 FETCH (UID 20001)',
    '* 2 FETCH (UID 30001)',
  ]);

  const { socket, told, gone } = raw(t, port);
  socket.write('x\r\n'.repeat(1000));
  await gone;
  t.equal(
    told()
      .split('\r\n')
      .filter((line) => line.startsWith('* BAD') || line.startsWith('x BAD')).length,
    10,
  );
  t.match(told(), /\* BYE Too many bad commands\r\n$/);
});

t.test('ten bad commands in a row end it, nine and a good one do not', async (t) => {
  const { connect } = await world(t);
  const client = await connect();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 9; i++) await client.bad('WHAT');
    await client.ok('NOOP');
  }
  for (let i = 0; i < 10; i++) await client.bad('WHAT');
  await client.sees(/^\* BYE/);
  await client.gone();
});

t.test('8.2 row 14: slow clients are cut in their time, others are served', async (t) => {
  const limits = { loginTimeoutMs: 150, idleTimeoutMs: 400, stillHereMs: 100, stalledMs: 150, sweepMs: 10 };
  const { backend, client, port, server } = await world(t, { limits });
  const slow = raw(t, port);
  const trickle = setInterval(() => slow.socket.write('a'), 20);
  await slow.gone;
  clearInterval(trickle);
  t.match(slow.told(), /\* BYE No login/, 'a byte now and then is no login');

  const quiet = await client('Caught');
  quiet.send('a IDLE');
  await quiet.sees('+ idling');
  await quiet.sees('* OK Still here');
  const said: string[] = [];
  while (!quiet.closed) said.push(await quiet.next().catch(() => ''));
  t.match(said.filter((line) => line).at(-1), /^\* BYE Nothing was heard/, 'idle for too long, in IDLE too');

  for (let i = 0; i < 20; i++) backend.put('Caught', mail(`Big ${i}`, 'x'.repeat(1024 * 1024)));
  const deaf = await client('Caught');
  deaf.pause();
  deaf.send('a FETCH 1:* BODY.PEEK[]');
  const healthy = await client();
  await healthy.ok('NOOP');
  await until(() => server.connections === 1);
  t.pass('the one that does not read was cut');
  deaf.abandon();
  await healthy.ok('LOGOUT');
});

t.test('8.2 row 14: a client that does not read costs a bounded buffer', async (t) => {
  const { backend, client } = await world(t);
  const whole = mail('Big', 'x'.repeat(8 * 1024 * 1024));
  backend.put('Caught', whole);
  for (let i = 0; i < 10; i++) backend.put('Caught', 'x');
  const deaf = await client('Caught');
  deaf.pause();
  deaf.send('a FETCH 1 BODY.PEEK[]');
  const other = await client('Caught');
  const before = process.memoryUsage();
  for (let i = 0; i < 200; i++) await other.ok('NOOP');
  const after = process.memoryUsage();
  t.ok(after.arrayBuffers - before.arrayBuffers < 4 * 1024 * 1024, 'the 8 MiB wait in the store');
  deaf.resume();
  const response = await deaf.sees(/^\* 1 FETCH/);
  t.equal(response.length, `* 1 FETCH (BODY[] {${whole.length}}\r\n`.length + whole.length + 1);
  await deaf.sees(/^a OK/);
  // Commands nobody reads the answers of stop being read themselves.
  deaf.pause();
  const commands = 'b LIST "" "*"\r\n'.repeat(100);
  for (let i = 0; i < 2_000; i++) deaf.write(commands);
  for (let i = 0; i < 500; i++) await other.ok('NOOP');
  t.ok(process.memoryUsage().arrayBuffers - before.arrayBuffers < 16 * 1024 * 1024, '50 MiB of answers are not made');
  await other.ok('NOOP');
  deaf.abandon();
});

t.test('8.2 row 15: a flood of connections is refused, and passes', async (t) => {
  const { connect, port, tlsPort, server } = await world(t, { maxConnections: 3 });
  const clients = [await connect(), await connect(), await connect()];
  const { told, gone } = raw(t, port);
  await gone;
  t.match(told(), /^\* BYE \[UNAVAILABLE\] Too many connections/);
  const refused = raw(t, tlsPort);
  await refused.gone;
  t.equal(refused.told(), '');
  await clients[0]!.ok('LOGOUT');
  await until(() => server.connections === 2);
  await (await connect()).ok('LOGOUT');
});

t.test('8.2 row 15: one address has only so many connections that are not logged in', async (t) => {
  const { connect, port } = await world(t, { limits: { strangersPerAddress: 2 } });
  const one = await connect();
  await connect();
  const { told, gone } = raw(t, port);
  await gone;
  t.match(told(), /^\* BYE \[UNAVAILABLE\]/);
  await one.ok('LOGIN bob secret');
  await connect();
});

t.test('behind a balancer the limits count clients, and those who are not known yet', async (t) => {
  const origins: (string | Promise<string>)[] = ['192.0.2.1', '192.0.2.1', '192.0.2.2'];
  const { connect, logged, server } = await world(t, {
    limits: { strangersPerAddress: 1 },
    maxConnections: 4,
    originOf: async (socket) => {
      const address = await origins.shift()!;
      if (address !== '') return { address, port: 1 };
      socket.destroy();
      throw new Error('no header');
    },
  });
  t.match((await connect()).greeting, /^\* OK/);
  t.match((await connect()).greeting, /^\* BYE \[UNAVAILABLE\]/, 'a second one of the same client');
  t.match((await connect()).greeting, /^\* OK/, 'another client of the same balancer');
  const { wait, open } = gate();
  const unknown = wait.then(() => '192.0.2.3');
  origins.push(unknown, unknown);
  const waiting = [connect(), connect()];
  await until(() => origins.length === 0);
  t.match((await connect()).greeting, /^\* BYE \[UNAVAILABLE\]/, 'those two count already');
  open();
  const greetings = (await Promise.all(waiting)).map(({ greeting }) => greeting.slice(0, 5));
  t.same(greetings.sort(), ['* BYE', '* OK ']);
  origins.push('');
  await t.rejects(connect(), /closed/);
  t.equal(server.connections, 3);
  t.same(logged, [], 'who says who it is also says why not');
});

t.test('commands sent at once run one after the other, in their order', async (t) => {
  const { backend, client } = await world(t);
  backend.put('Caught', mail('x'));
  const c = await client();
  const held = gate();
  backend.waits.set('open Caught', held.wait);
  c.write('a SELECT Caught\r\nb FETCH 1 UID\r\nc NOOP\r\nd LOGOUT\r\ne NOOP\r\n');
  const other = await client();
  await other.ok('NOOP');
  held.open();
  t.match((await c.answer('a')).status, 'OK');
  t.same((await c.answer('b')).untagged, ['* 1 FETCH (UID 1)']);
  await c.answer('c');
  await c.answer('d');
  await c.gone();
});

t.test('while a command runs only so much input is read', async (t) => {
  const { backend, client } = await world(t);
  const c = await client();
  const held = gate();
  backend.waits.set('open Caught', held.wait);
  c.send('a SELECT Caught');
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 64; i++) c.write(Buffer.alloc(1024 * 1024, 'b NOOP\r\n'.repeat(8)).fill('\0', 1, 1));
  await (await client()).ok('NOOP');
  t.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024 + 16 * 1024 * 1024, 'the client holds the rest');
  held.open();
  await c.answer('a');
  for (let i = 0; i < 100; i++) await c.sees('b OK Nothing done');
  c.abandon();
});

t.test('the other end half closed: what it asked is still answered', async (t) => {
  const { connect } = await world(t);
  const client = await connect();
  client.write('a LOGIN bob secret\r\nb SELECT Caught\r\nc NOOP\r\nd APPEND Caught {3}\r\n');
  client.half();
  for (const tag of ['a', 'b', 'c']) t.equal((await client.answer(tag)).status, 'OK');
  await client.sees(/^\+/);
  await client.gone();
});

t.test('a message comes in as it is read, and is taken whole or not at all', async (t) => {
  const { backend, client, port } = await world(t);
  const c = await client();
  const held = gate();
  backend.waits.set('reading Caught', held.wait);
  const size = 32 * 1024 * 1024;
  c.send(`a APPEND Caught {${size}}`);
  await c.sees(/^\+/);
  const before = process.memoryUsage().arrayBuffers;
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  for (let i = 0; i < 32; i++) c.write(chunk);
  await (await client()).ok('NOOP');
  t.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024, 'who does not read is not sent more');
  held.open();
  c.send('');
  t.match((await c.answer('a')).text, /^\[APPENDUID 7 1\]/);
  t.equal(backend.folder('Caught').view.sizes[0], size);

  // The backend gives up in the middle: NO, and the next command is understood.
  backend.refuses.set('reading Caught', new No('OVERQUOTA', 'Full'));
  c.send('b APPEND Caught {100000+}');
  c.write(`${'y NOOP\r\n'.repeat(12_500)}\r\n`);
  t.match(await c.answer('b'), { status: 'NO', text: '[OVERQUOTA] Full', untagged: [] });
  await c.ok('NOOP');
  backend.refuses.delete('reading Caught');

  // The connection ends in the middle: nothing is taken.
  const lost = await ImapClient.connect(t, port);
  await lost.ok('LOGIN bob secret');
  lost.send('c APPEND Caught {100}');
  await lost.sees(/^\+/);
  lost.write('half of it');
  lost.abandon();
  await until(() => backend.sessions.size === 2);
  t.equal(backend.folder('Caught').view.count, 1);
});

t.test('errors become answers in one place', async (t) => {
  const { backend, client, logged } = await world(t);
  const c = await client('Caught');
  backend.refuses.set('copy Trash', new No('NOPERM', 'Not\r\nb OK there'));
  backend.put('Caught', mail('x'));
  await c.ok('NOOP');
  t.equal(await c.no('COPY 1 Trash'), '[NOPERM] Not b OK there', 'one line, whatever it holds');
  backend.refuses.set('copy Trash', new Error('/var/lib/secret/path is broken'));
  const text = await c.no('COPY 1 Trash');
  const reference = /^\[SERVERBUG\] Internal error, reference ([0-9a-f]+)$/.exec(text)?.[1];
  t.ok(reference);
  t.ok(logged.some((line) => line.includes(reference!) && line.includes('/var/lib/secret/path')));
  backend.refuses.set('copy Trash', Object.assign(new Error('busy'), { temporary: true }));
  t.match(await c.no('COPY 1 Trash'), /^\[UNAVAILABLE\] /);
  backend.refuses.set('refresh', Object.assign(new Error('busy'), { temporary: true }));
  t.match(await c.no('NOOP'), /^\[UNAVAILABLE\] /);
  backend.refuses.delete('refresh');
  backend.refuses.set('copy Trash', new Bye('Enough'));
  c.send('z COPY 1 Trash');
  await c.sees('* BYE Enough');
  await c.gone();
});

t.test('a transfer that did only part says so, after what it did', async (t) => {
  const { backend, client } = await world(t);
  for (let i = 0; i < 3; i++) backend.put('Caught', mail('x'));
  const c = await client('Caught');
  backend.partly = new No('EXPUNGEISSUED', '1 of 3 was already discarded elsewhere');
  backend.progress = 'Two thirds done';
  t.same(await c.says('MOVE 1:3 Trash'), {
    status: 'NO',
    text: '[EXPUNGEISSUED] 1 of 3 was already discarded elsewhere',
    untagged: ['* OK Two thirds done', '* OK [COPYUID 7 1:2 1:2] Moved', '* 2 EXPUNGE', '* 1 EXPUNGE'],
  });
});

t.test('after a COPY by which messages leave, numbers stay until the next sync point', async (t) => {
  const { backend, client } = await world(t);
  for (let i = 0; i < 3; i++) backend.put('Caught', mail('x'));
  backend.copyLeaves = 'Trash';
  const c = await client('Caught');
  t.match(await c.says('COPY 1 Trash'), { status: 'OK', untagged: [] });
  t.same(await c.ok('STORE 1 +FLAGS (\\Deleted)'), []);
  t.same(await c.ok('FETCH 2 UID'), ['* 2 FETCH (UID 2)']);
  t.match(await c.says('COPY 2 Trash'), { status: 'OK', untagged: [] });
  t.same(await c.ok('EXPUNGE'), ['* 2 EXPUNGE', '* 1 EXPUNGE']);
});

t.test('a folder that is always empty says so again after a drop', async (t) => {
  const { backend, client } = await world(t);
  const c = await client('Release &- Train');
  const folder = backend.folder('Release & Train');
  folder.nudges = 1;
  t.same(await c.ok('NOOP'), ['* 0 EXISTS']);
  t.same(await c.ok('NOOP'), []);
  c.send('a IDLE');
  await c.sees('+ idling');
  folder.nudges = 1;
  folder.changed();
  await c.sees('* 0 EXISTS');
  c.send('DONE');
  await c.sees(/^a OK/);
});

t.test('what the product wants said is an ALERT, at once in IDLE, else with the next answer', async (t) => {
  const { backend, client } = await world(t);
  const c = await client('Caught');
  const [session] = backend.sessions;
  session!.tell('3 messages could not be\r\ndelivered');
  t.same(await c.ok('NOOP'), ['* OK [ALERT] 3 messages could not be delivered']);
  c.send('a IDLE');
  await c.sees('+ idling');
  session!.tell('Another');
  await c.sees('* OK [ALERT] Another');
  c.send('DONE');
  await c.sees(/^a OK/);
  await c.ok('UNSELECT');
  session!.tell('Said between two commands');
  c.send('b IDLE');
  await c.sees('+ idling');
  await c.sees('* OK [ALERT] Said between two commands');
  c.send('DONE');
  await c.sees(/^b OK/);
});

t.test('sessions and mailboxes are closed with their connection', async (t) => {
  const { backend, client, connect } = await world(t);
  const c = await client('Caught');
  c.send('a IDLE');
  await c.sees('+ idling');
  t.equal(backend.folder('Caught').watchers.size, 1);
  c.abandon();
  await until(() => backend.sessions.size === 0);
  t.equal(backend.folder('Caught').watchers.size, 0);
  // Gone while its login is under way.
  const held = gate();
  backend.waits.set('login', held.wait);
  const late = await connect();
  late.send('a LOGIN bob secret');
  late.abandon();
  held.open();
  await until(() => backend.logins.length === 2);
  await until(() => backend.sessions.size === 0);
});

t.test('a stop says BYE to those at rest and lets commands finish', async (t) => {
  const { backend, client, connect, server } = await world(t);
  backend.put('Caught', mail('x'));
  const idle = await client('Caught');
  idle.send('a IDLE');
  await idle.sees('+ idling');
  const fresh = await connect();
  const working = await client('Caught');
  const held = gate();
  backend.waits.set('move Trash', held.wait);
  working.write('b MOVE 1 Trash\r\nc NOOP\r\n');
  await fresh.ok('NOOP'); // by now the MOVE is running
  const closed = server.close(10_000);
  await idle.sees('* BYE The server is stopping');
  await fresh.sees('* BYE The server is stopping');
  held.open();
  t.match(await working.answer('b'), { status: 'OK', untagged: [/COPYUID/, '* 1 EXPUNGE'] });
  await working.sees('* BYE The server is stopping');
  await closed;
  t.equal(server.connections, 0);
});

t.test('a new certificate is for new handshakes and ends no session', async (t) => {
  const { connect, server, tlsPort } = await world(t);
  const old = await connect({ tls: true });
  server.reloadTls();
  await old.ok('LOGIN bob secret');
  await (await connect({ tls: true })).ok('NOOP');
  const socket = connectTls({ host: '127.0.0.1', port: tlsPort, rejectUnauthorized: false, maxVersion: 'TLSv1.1' });
  const [error] = (await once(socket, 'error')) as [Error];
  t.match(error.message, /protocol|version|SSL/i, 'TLS 1.1 is refused');
});
