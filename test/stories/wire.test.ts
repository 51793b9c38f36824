/** Rows 11 to 15, and what else clients do to the wire, on the whole server with its own limits. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { password, startApp } from '../support/app.ts';
import { ImapClient } from '../support/imap-client.ts';
import { handOver, login, mailAbout, numbers, pairs } from './hand-over.ts';

const listen = ['127.0.0.1:0', '127.0.0.1:0/tls'];
const patient = { delayMs: 0 };

/** A socket and all it was told. */
class Raw {
  readonly socket: Socket;
  told = '';
  closed = false;
  #wake: (() => void)[] = [];

  constructor(t: Test, port: number) {
    this.socket = connect(port, '127.0.0.1').setNoDelay(true);
    const wake = () => {
      for (const each of this.#wake.splice(0)) each();
    };
    this.socket.on('data', (chunk: Buffer) => {
      this.told += chunk.toString('latin1');
      wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      wake();
    });
    t.teardown(() => this.socket.destroy());
  }

  /** Resolves when this was told, or nothing more can be. */
  async sees(what: RegExp): Promise<string> {
    while (!what.test(this.told) && !this.closed) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.told;
  }

  /** In a packet of its own, as far as TCP lets us. */
  async write(octets: string): Promise<void> {
    await new Promise<void>((resolve) => this.socket.write(octets, 'latin1', () => resolve()));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

t.test('row 11: nothing that came in clear text is run after TLS, however it was cut', async (t) => {
  const server = await startApp(t, { imap: { listen, allowCleartextLogin: false, loginFailures: patient } });
  const injected = `a STARTTLS\r\nb LOGIN ada@harbour.example "${password}"\r\nc SELECT Caught\r\n`;
  let ended = 0;
  for (let cut = 1; cut <= injected.length; cut++) {
    const raw = new Raw(t, server.addresses.imap[0]!.port);
    await raw.sees(/\r\n/);
    await raw.write(injected.slice(0, cut));
    await raw.write(injected.slice(cut));
    await raw.sees(/^a OK .*\r\n/m);
    t.notMatch(raw.told, /^[bc] /m);
    raw.socket.removeAllListeners('data');
    const tls = connectTls({ socket: raw.socket, rejectUnauthorized: false });
    tls.on('error', () => {});
    let told = '';
    tls.on('data', (chunk: Buffer) => {
      told += chunk.toString('latin1');
    });
    tls.write('d CAPABILITY\r\ne SELECT Caught\r\nf LOGOUT\r\n');
    await once(tls, 'close');
    if (told === '') ended++;
    else {
      t.notMatch(told, /^[abc] /m, `cut at ${cut}`);
      t.match(told, /^\* CAPABILITY (?!.*(?:STARTTLS|LOGINDISABLED)).*AUTH=PLAIN.*\r\nd OK/, 'the state is fresh');
      t.match(told, /^e (?:NO|BAD) /m, 'and nobody is logged in');
    }
  }
  t.ok(ended < injected.length, 'where the rest came with STARTTLS it was thrown away');
  t.comment(`${ended} of ${injected.length} connections were ended`);
  t.equal(server.events.filter(({ kind }) => kind === 'login').length, 0);
});

t.test('row 12: no password before TLS, and both ways with it', async (t) => {
  const server = await startApp(t, { imap: { listen, allowCleartextLogin: false, loginFailures: patient } });
  const [plain, tls] = server.addresses.imap;
  const client = await ImapClient.connect(t, plain!.port);
  t.match(client.greeting, /LOGINDISABLED/);
  t.notMatch(client.greeting, /AUTH=/);
  t.match(await client.no(`LOGIN ada@harbour.example "${password}"`), /^\[PRIVACYREQUIRED\] \S/);
  t.match(await client.no('AUTHENTICATE PLAIN AGFkYQBi'), /^\[PRIVACYREQUIRED\]/);
  t.match(await client.no('AUTHENTICATE LOGIN'), /^\[(?:PRIVACYREQUIRED|CANNOT)\]/);
  await client.startTls();
  await client.ok(`LOGIN ada@harbour.example "${password}"`);
  const other = await ImapClient.connect(t, tls!.port, { tls: true });
  const response = Buffer.from(`\0ada@harbour.example\0${password}`).toString('base64');
  await other.ok(`AUTHENTICATE PLAIN ${response}`);
});

t.test('row 13: lines, literals and nesting over their limits are BAD, and others are served', async (t) => {
  const server = await startApp(t, { intake: { lmtp: ['127.0.0.1:0'], smtp: [], maxMessageBytes: 1024 * 1024 } });
  await handOver(server, 'lmtp', [{ recipients: ['ada@harbour.example'], message: mailAbout('One') }]);
  const other = await login(t, server, 'ben@quay.example');
  const early = await ImapClient.connect(t, server.addresses.imap[0]!.port);
  for (const command of ['LOGIN {-1}', 'LOGIN x {4294967296}', 'LOGIN x {1073741824}', `LOGIN ${'x'.repeat(70_000)} y`])
    t.match(await early.bad(command), /\S/, command.slice(0, 30));
  t.match(await early.bad('LOGIN a\0b c'), /\S/);
  await early.ok(`LOGIN ada@harbour.example "${password}"`);
  await early.ok('SELECT Caught');
  for (const command of [
    `SEARCH ${'('.repeat(1_000_000)}`,
    `SEARCH ${'('.repeat(10_000)}`,
    `FETCH 1 ${'('.repeat(10_000)}`,
    `SEARCH ${'OR '.repeat(10_000)}ALL ALL`,
    `SEARCH ${'NOT '.repeat(9_000)}ALL`,
    'FETCH 1 BODY[',
    'FETCH 4294967295:1 FLAGS',
    'UID FETCH 99999999999 FLAGS',
    `NOOP ${'x'.repeat(70_000)}`,
    'SEARCH SUBJECT "\0"',
  ]) {
    t.match(await early.bad(command), /\S/, command.slice(0, 30));
    await early.ok('NOOP'); // ten in a row would end it
    await other.ok('NOOP');
  }
  t.equal((await early.ok(`UID FETCH 1${',1:*'.repeat(100_000)} FLAGS`)).length, 1, 'a long set is a set all the same');
  const tooLarge = await early.says('APPEND Spam {1073741824}');
  t.match(tooLarge, { status: /NO|BAD/, text: /^\[TOOBIG\]/ });
  await early.ok('NOOP');

  const junk = new Raw(t, server.addresses.imap[0]!.port);
  await junk.write('\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'.repeat(20).replaceAll('\n', '') + '\r\n'.repeat(30));
  await junk.sees(/\* BYE .*\r\n$/);
  t.match(junk.told, /\* BYE Too many bad commands\r\n$/, 'a TLS hello where none belongs');
  const secret = await ImapClient.connect(t, server.addresses.imap[1]!.port, { tls: true });
  for (let line = 0; line < 10; line++) secret.write(Buffer.from([0xff, 0xfe, 0, 0x80, line, 0x7f, 13, 10]));
  for (let line = 0; line < 10; line++) await secret.sees(/^\S+ BAD /);
  await secret.sees(/^\* BYE Too many bad commands/);
  await secret.gone();
  await other.ok('NOOP');
});

t.test('row 14: 200 slow clients, and 20 that do not read, hold up nobody', async (t) => {
  const server = await startApp(t, {
    imap: { listen, allowCleartextLogin: true, loginFailures: patient, maxConnectionsPerUser: 500 },
  });
  const text = 'x'.repeat(70).concat('\r\n').repeat(10_000);
  await handOver(
    server,
    'lmtp',
    Array.from({ length: 10 }, (_, at) => ({
      recipients: ['ada@harbour.example'],
      message: mailAbout(`Big ${at}`, text),
    })),
  );
  const deaf = await Promise.all(Array.from({ length: 20 }, () => login(t, server, 'ada@harbour.example')));
  for (const client of deaf) {
    await client.ok('EXAMINE Caught');
    client.pause();
    client.send('x FETCH 1:* BODY.PEEK[]');
  }
  const line = `a LOGIN ada@harbour.example "${password}"\r\nb SELECT Caught\r\n`;
  const slow = Array.from({ length: 200 }, () => new Raw(t, server.addresses.imap[0]!.port));
  await Promise.all(slow.map((raw) => raw.sees(/^\* OK /)));
  const healthy = await login(t, server, 'global');
  await healthy.ok('SELECT Caught');
  const before = process.memoryUsage().arrayBuffers;
  const waits: number[] = [];
  for (let at = 0; at < line.length; at++) {
    for (const raw of slow) raw.socket.write(line[at]!);
    const began = performance.now();
    t.equal((await healthy.ok('FETCH 1:* (UID FLAGS ENVELOPE)')).length, 10);
    waits.push(performance.now() - began);
  }
  waits.sort((a, b) => a - b);
  t.ok(waits.at(-1)! < 2000, `the healthy one waited ${Math.round(waits.at(-1)!)} ms at most`);
  t.ok(process.memoryUsage().arrayBuffers - before < 50 * 1024 * 1024, '140 MB that nobody reads are not made');
  await Promise.all(slow.map((raw) => raw.sees(/^b OK /m)));
  t.ok(
    slow.every(({ told }) => /^a OK /m.test(told) && told.includes('* 10 EXISTS')),
    'and each of the slow ones was served in the end',
  );
  const first = deaf[0]!;
  first.resume();
  const all = await first.answer('x');
  t.equal(all.untagged.length, 10, 'whoever reads again gets all of it');
  for (const client of deaf) client.abandon();
});

t.test('row 15: connections have a limit, by server and by account, and it passes', async (t) => {
  const server = await startApp(t, {
    imap: { listen, allowCleartextLogin: true, loginFailures: patient, maxConnections: 6, maxConnectionsPerUser: 2 },
  });
  const { port } = server.addresses.imap[0]!;
  const [one, two] = [await login(t, server, 'ada@harbour.example'), await login(t, server, 'ada@harbour.example')];
  const third = await ImapClient.connect(t, port);
  t.match(await third.no(`LOGIN ada@harbour.example "${password}"`), /^\[LIMIT\] \S/);
  await third.ok(`LOGIN ben@quay.example "${password}"`);
  await two.ok('LOGOUT');
  await two.gone();
  const fourth = await login(t, server, 'ada@harbour.example');
  const crowd = [
    await ImapClient.connect(t, port),
    await ImapClient.connect(t, port),
    await ImapClient.connect(t, port),
  ];
  const flood = Array.from({ length: 100 }, () => new Raw(t, port));
  for (const raw of flood) t.match(await raw.sees(/\r\n/), /^\* BYE \[UNAVAILABLE\] \S.*\r\n$/);
  await one.ok('NOOP');
  await third.ok('NOOP');
  await fourth.ok('NOOP');
  for (const client of crowd) {
    await client.ok('LOGOUT');
    await client.gone();
  }
  await login(t, server, 'harbour.example');
});

t.test('commands in one segment run in their order, literals without waiting among them', async (t) => {
  const server = await startApp(t, { release: { undoSeconds: 3600 } });
  await handOver(
    server,
    'lmtp',
    ['One', 'Two'].map((subject) => ({ recipients: ['ada@harbour.example'], message: mailAbout(subject) })),
  );
  const raw = new Raw(t, server.addresses.imap[0]!.port);
  const pieces =
    `a LOGIN {19+}\r\nada@harbour.example {${password.length}+}\r\n${password}\r\nb SELECT Caught\r\n` +
    'c UID SEARCH SUBJECT {3+}\r\nTwo\r\nd MOVE 1 Release\r\ne FETCH 1 ENVELOPE\r\nf NOOP\r\ng LOGOUT\r\nh NOOP\r\n';
  await raw.write(pieces);
  await raw.sees(/^g OK .*\r\n/m);
  const tagged = [...raw.told.matchAll(/^([a-h]) (OK|NO|BAD)/gm)].map(([, tag, status]) => `${tag} ${status}`);
  t.same(tagged, ['a OK', 'b OK', 'c OK', 'd OK', 'e OK', 'f OK', 'g OK']);
  t.match(raw.told, /\* SEARCH 2\r\n[\s\S]*\* 1 EXPUNGE[\s\S]*\* 1 FETCH \(ENVELOPE \([^\r]*"Two"/);
});

t.test('row 13: 20,000 sparse UIDs in one UID MOVE', async (t) => {
  const server = await startApp(t, { release: { undoSeconds: 3600 } });
  // Two owners take turns, so that the UIDs of each are full of gaps.
  const recipients = Array.from({ length: 200 }, (_, n) => ({
    address: n % 2 === 0 ? `ada+${n}@harbour.example` : `ben+${n}@quay.example`,
  }));
  for (let round = 0; round < 200; round++)
    await server.app.admit({
      source: (async function* () {
        yield Buffer.from(mailAbout(`Number ${round}`));
      })(),
      sender: 'stranger@elsewhere.example',
      recipients,
      params: {},
      direction: 'incoming',
      filter: 'auto',
      repeat: false,
    });
  const client = await login(t, server, 'ada@harbour.example');
  t.ok((await client.ok('SELECT Caught')).includes('* 20000 EXISTS'));
  const found = (await client.ok('UID SEARCH RETURN (ALL) ALL'))[0]!;
  const uids = numbers(/ALL (\S+)$/.exec(found)![1]!);
  t.equal(uids.length, 20_000);
  const began = performance.now();
  const moved = await client.ok(`UID MOVE ${uids.join()} Release`);
  const ms = performance.now() - began;
  const copied = pairs(moved.find((line) => line.includes('COPYUID')) ?? '');
  t.same([...copied.keys()], uids, 'every one, ascending');
  t.equal(moved.filter((line) => line.endsWith(' EXPUNGE')).length, 20_000);
  t.ok(ms < 20_000, `in ${Math.round(ms)} ms`);
  const again = await client.ok(`UID MOVE ${uids.join()} Release`);
  t.same([...pairs(again.find((line) => line.includes('COPYUID')) ?? '').entries()], [...copied.entries()]);
  const half = uids.filter((_, at) => at % 2 === 0);
  const some = await client.ok(`UID MOVE ${half.join()} Release`);
  t.same([...pairs(some.find((line) => line.includes('COPYUID')) ?? '').keys()], half, 'only of what was asked for');
  t.match(await client.ok('STATUS Caught (MESSAGES)'), ['* STATUS "Caught" (MESSAGES 0)']);
  const ben = await login(t, server, 'ben@quay.example');
  t.match(await ben.ok('STATUS Caught (MESSAGES)'), ['* STATUS "Caught" (MESSAGES 20000)'], 'and nobody else');
});

t.test('wrong passwords make the next try wait, for known and unknown alike, and nobody else', async (t) => {
  const loginFailures = { delayMs: 100, maxDelayMs: 400 };
  const server = await startApp(t, { imap: { listen, allowCleartextLogin: true, loginFailures } });
  const { port } = server.addresses.imap[0]!;
  const guess = async (user: string) => {
    const client = await ImapClient.connect(t, port);
    const words: string[] = [];
    const waited: number[] = [];
    for (let round = 0; round < 4; round++) {
      const began = performance.now();
      words.push(await client.no(`LOGIN ${user} wrong`));
      waited.push(performance.now() - began);
    }
    return { client, words, waited };
  };
  const [known, unknown, beside] = await Promise.all([
    guess('ada@harbour.example'),
    guess('nobody@harbour.example'),
    (async () => {
      const began = performance.now();
      await login(t, server, 'ben@quay.example');
      return performance.now() - began;
    })(),
  ]);
  t.same([...new Set([...known.words, ...unknown.words])].length, 1, 'one text for all');
  t.match(known.words[0], /^\[AUTHENTICATIONFAILED\]/);
  // Each answer waits for its own failure, and each next look for the one before: at least so long.
  for (const { waited } of [known, unknown])
    for (const [round, delay] of [100, 200, 400, 400].entries())
      t.ok(waited[round]! > delay - 5, `try ${round + 1} took ${Math.round(waited[round]!)} ms`);
  const total = known.waited.reduce((sum, ms) => sum + ms, 0);
  t.ok(beside < total, 'another login did not wait for those');
  await known.client.ok(`LOGIN ada@harbour.example "${password}"`);
});
