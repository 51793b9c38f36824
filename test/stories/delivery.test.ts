/** Rows 5 and 6, put-offs, failures and hand-backs (DESIGN §7.6), on the whole server with next hops that misbehave. */
import t, { type Test } from 'tap';
import { startApp, type TestApp } from '../support/app.ts';
import type { ImapClient } from '../support/imap-client.ts';
import { type Behaviour, type Phase, Sink } from '../support/sink.ts';
import { handOver, login, mailAbout, numbers, pairs } from './hand-over.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const [ada, ben] = ['ada@harbour.example', 'ben@quay.example'];

/** harbour.example goes to `hop`, quay.example to `other`. */
async function twoHops(t: Test, settings: Record<string, unknown> = {}) {
  const [hop, other] = [await Sink.start(t), await Sink.start(t)];
  const server = await startApp(t, {
    domains: {
      'harbour.example': { aliases: ['harbor.example'], nextHop: `smtp://127.0.0.1:${hop.port}?tls=none` },
      'quay.example': { nextHop: `smtp://127.0.0.1:${other.port}?tls=none` },
    },
    ...settings,
  });
  return { server, hop, other };
}

const subjectOf = (bytes: Buffer) => /^Subject: (.*)\r$/m.exec(bytes.toString('latin1'))?.[1];
const fieldOf = (bytes: Buffer, name: string) =>
  new RegExp(`^${name}: (.*(?:\\r\\n[ \\t].*)*)`, 'm').exec(bytes.toString('latin1'))?.[1]?.replace(/\s+/g, ' ').trim();
const count = (server: TestApp, kind: string) => server.events.filter((event) => event.kind === kind).length;
const lastSaid = (server: TestApp, kind: string) => {
  const event = server.events.filter((each) => each.kind === kind).at(-1);
  return event && 'said' in event ? event.said : '';
};

async function drop(client: ImapClient, subject: string, folder = 'Release'): Promise<number> {
  await client.ok('SELECT Caught');
  const uid = await uidOf(client, subject);
  await client.ok(`UID MOVE ${uid} "${folder}"`);
  return uid;
}

async function uidOf(client: ImapClient, subject: string): Promise<number> {
  const [found = ''] = await client.ok(`UID SEARCH SUBJECT "${subject}"`);
  return Number(/^\* SEARCH (\d+)$/.exec(found)?.[1]);
}

/** Keywords and X-Lazaret-Status of the one message with this subject, unfolded; undefined when there is none. */
async function standing(client: ImapClient, subject: string) {
  await client.ok('SELECT Caught');
  const uid = await uidOf(client, subject);
  if (Number.isNaN(uid)) return undefined;
  const [response = ''] = await client.ok(`UID FETCH ${uid} (FLAGS BODY.PEEK[HEADER.FIELDS (X-Lazaret-Status)])`);
  const flags = /FLAGS \(([^)]*)\)/.exec(response)?.[1]?.split(' ') ?? [];
  const status = /X-Lazaret-Status: (.*(?:\r\n .*)*)/.exec(response)?.[1]?.replaceAll('\r\n', '');
  return { uid, flags, status };
}

t.test('row 5: whatever the next hop does at any point, nothing is lost and nobody else waits', async (t) => {
  const { server, hop, other } = await twoHops(t);
  const [hers, his] = [await login(t, server, ada), await login(t, server, ben)];
  const phases: Phase[] = ['connect', 'ehlo', 'mail', 'rcpt', 'data', 'body', 'end'];
  const rounds: { phase: Phase; behaviour: Behaviour; final: boolean }[] = phases.flatMap((phase) => {
    const isAboutMessage = phase !== 'connect' && phase !== 'ehlo';
    return [
      ...(phase === 'body'
        ? []
        : [
            { phase, behaviour: `550 5.7.1 Not at ${phase}`, final: isAboutMessage },
            { phase, behaviour: `451 4.3.0 Later at ${phase}`, final: false },
          ]),
      { phase, behaviour: 'close' as const, final: false },
      { phase, behaviour: 'reset' as const, final: false },
      { phase, behaviour: { reply: `421 4.3.2 Closing at ${phase}`, ending: 'close' as const }, final: false },
    ];
  });
  await handOver(
    server,
    'lmtp',
    rounds.flatMap((_, at) => [
      { recipients: [ada], message: mailAbout(`hers ${at}.`) },
      { recipients: [ben], message: mailAbout(`his ${at}.`) },
    ]),
  );
  let released = 0;
  for (const [at, { phase, behaviour, final }] of rounds.entries()) {
    const label = `${JSON.stringify(behaviour)} at ${phase}`;
    for (const socket of hop.open) socket.destroy(); // so that each round begins with a greeting
    await hop.sees(({ open }) => open.size === 0);
    const said = typeof behaviour === 'string' && /^\d/.test(behaviour) ? behaviour : undefined;
    hop.options = { behave: (moment) => (moment.phase === phase ? behaviour : undefined) };
    const kind = final ? 'release-failed' : 'release-waits';
    const before = count(server, kind);
    const taken = hop.messages.length;
    const uid = await drop(hers, `hers ${at}.`);
    await drop(his, `his ${at}.`);
    await server.until(kind, before + 1);
    await other.sees(({ messages }) => messages.some(({ bytes }) => subjectOf(bytes) === `his ${at}.`));
    released += 1;
    await server.until('released', released);
    if (said) t.ok(lastSaid(server, kind).includes(said), `${label}: ${lastSaid(server, kind)}`);
    else t.match(lastSaid(server, kind), /^(?:the next hop |421 )/, `${label}: ${lastSaid(server, kind)}`);
    const now = await standing(hers, `hers ${at}.`);
    if (final) {
      t.ok(now!.uid > uid, `${label}: back under a new UID`);
      t.ok(now!.flags.includes('$ReleaseFailed') && !now!.flags.includes('\\Seen'));
      t.equal(now!.status, `failed: ${said}`);
      continue;
    }
    t.equal(now, undefined, `${label}: on its way still`);
    hop.options = {};
    released += 1;
    server.advance(15 * minute);
    await server.until('released', released);
    const copies = hop.messages.slice(taken).filter(({ bytes }) => subjectOf(bytes) === `hers ${at}.`);
    const good = copies.filter(({ reply }) => reply.startsWith('250'));
    t.equal(good.length, 1, `${label}: delivered once the hop is well`);
    t.equal(new Set(copies.map(({ bytes }) => fieldOf(bytes, 'Resent-Message-ID'))).size, 1, 'all tries look alike');
  }
  await server.app.runner.idle();
  t.equal(hop.messages.filter(({ reply }) => reply.startsWith('250')).length, rounds.filter((r) => !r.final).length);
  t.equal(other.messages.length, rounds.length, 'and each of the others once');
});

t.test('row 5: a next hop that is down, slow or hanging holds up nobody else', async (t) => {
  const { server, hop, other } = await twoHops(t);
  const [hers, his] = [await login(t, server, ada), await login(t, server, ben)];
  const subjects = Array.from({ length: 30 }, (_, at) => `number ${at}.`);
  await handOver(server, 'smtp', [
    ...subjects.map((subject) => ({ recipients: [ada], message: mailAbout(subject) })),
    ...subjects.map((subject) => ({ recipients: [ben], message: mailAbout(subject) })),
  ]);
  await hers.ok('SELECT Caught');
  await his.ok('SELECT Caught');

  let goOn = () => {};
  const after = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  hop.options = { behave: ({ phase }) => (phase === 'end' ? { after } : undefined) };
  await hers.ok('MOVE 1:10 Release');
  await his.ok('MOVE 1:10 Release');
  await other.sees(({ messages }) => messages.length === 10);
  t.equal(hop.messages.length, 0, 'while the slow one has answered nothing');
  goOn();
  await server.until('released', 20);

  // One recipient for whom it hangs, over all connections but its own others go on.
  await handOver(server, 'lmtp', [{ recipients: ['stuck@harbour.example'], message: mailAbout('stuck') }]);
  hop.options = {
    behave: ({ phase, recipient }) => (phase === 'rcpt' && recipient?.startsWith('stuck') ? 'hang' : undefined),
  };
  const domain = await login(t, server, 'harbour.example');
  await drop(domain, 'stuck');
  await hop.sees(({ commands }) => commands.some((line) => line.includes('stuck@')));
  await hers.ok('MOVE 1:10 Release');
  await his.ok('MOVE 1:10 Release');
  await server.until('released', 40);
  t.equal(hop.messages.length, 20, 'the same hop takes the others meanwhile');

  await hop.close();
  await hers.ok('MOVE 1:10 Release');
  await his.ok('MOVE 1:10 Release');
  await server.until('released', 50);
  await server.until('release-waits', 1);
  t.equal(other.messages.length, 30);
  t.match(lastSaid(server, 'release-waits'), /^the next hop /);
  t.equal(count(server, 'release-failed'), 0);
});

t.test('put off for long, a release is shown, and ends as it ends', async (t) => {
  const { server, hop } = await twoHops(t);
  const hers = await login(t, server, ada);
  const names = ['delivered', 'called-off', 'given-up', 'tried-again'];
  await handOver(
    server,
    'lmtp',
    names.map((name) => ({ recipients: [`ada+${name}@harbour.example`], message: mailAbout(name) })),
  );
  await hers.ok('SELECT Caught');
  hop.options = { behave: ({ phase }) => (phase === 'rcpt' ? '451 4.7.1 Greylisted' : undefined) };
  const first = new Map<string, number>();
  for (const name of names) first.set(name, await drop(hers, name));
  await server.until('release-waits', 4);
  server.advance(20 * minute);
  await server.until('release-waits', 8);
  t.ok((await hers.ok('SELECT Caught')).includes('* 0 EXISTS'), 'nobody is bothered yet');
  hers.send('i IDLE');
  await hers.sees(/^\+ /);
  server.advance(hour);
  while ((await hers.next()) !== '* 4 EXISTS'); // without being asked
  hers.send('DONE');
  await hers.answer('i');
  for (const name of names) {
    const shown = await standing(hers, name);
    t.ok(shown!.uid > first.get(name)!);
    t.ok(shown!.flags.includes('$Releasing'));
    t.equal(shown!.status, 'waiting: 451 4.7.1 Greylisted');
  }

  await hers.ok(`UID MOVE ${await uidOf(hers, 'called-off')} Trash`);
  const waits = count(server, 'release-waits');
  await hers.ok(`UID MOVE ${await uidOf(hers, 'tried-again')} Release`);
  await server.until('release-waits', waits + 1);
  t.equal(await standing(hers, 'tried-again'), undefined, 'out of view, and tried at once');

  hop.options = {
    behave: ({ phase, recipient }) =>
      phase === 'rcpt' && recipient?.includes('given-up') ? '452 4.2.2 Full' : undefined,
  };
  server.advance(3 * hour);
  await server.until('released', 2);
  await server.app.runner.idle();
  t.equal(await standing(hers, 'delivered'), undefined, 'what was delivered is out of view at once');
  t.ok((await standing(hers, 'given-up'))?.flags.includes('$Releasing'));

  server.advance(6 * day);
  await server.until('release-failed');
  const failed = await standing(hers, 'given-up');
  t.equal(failed?.status, 'failed: 452 4.2.2 Full (given up after 5 days)');
  t.ok(failed?.flags.includes('$ReleaseFailed') && !failed.flags.includes('$Releasing'));
  hop.options = {};
  server.advance(6 * day);
  await server.app.runner.idle();
  t.same(
    hop.messages.map(({ bytes }) => subjectOf(bytes)).sort(),
    ['delivered', 'tried-again'],
    'what was called off is never delivered',
  );
  t.match(await hers.ok('STATUS Trash (MESSAGES)'), ['* STATUS "Trash" (MESSAGES 1)']);
});

t.test('a failed release is told once to the account that dropped it, now or at its next login', async (t) => {
  const { server, hop } = await twoHops(t);
  hop.options = { behave: ({ phase }) => (phase === 'rcpt' ? '550 5.1.1 No such user <ada>' : undefined) };
  const subjects = ['first', 'second', 'third', 'fourth'];
  await handOver(
    server,
    'lmtp',
    subjects.map((subject) => ({ recipients: [ada], message: mailAbout(subject) })),
  );
  const [hers, domain, bystander] = [
    await login(t, server, ada),
    await login(t, server, 'harbour.example'),
    await login(t, server, 'global'),
  ];
  await bystander.ok('SELECT Caught');
  await drop(hers, 'first');
  hers.send('i IDLE');
  const alerts: string[] = [];
  const seen: string[] = [];
  while (alerts.length === 0) {
    const said = await hers.next();
    if (said.includes('[ALERT]')) alerts.push(said);
    else seen.push(said);
  }
  t.match(
    alerts[0],
    /^\* OK \[ALERT\] "first" could not be delivered to ada@harbour\.example: 550 5\.1\.1 No such user <ada>\. It is back in Caught\.?$/,
  );
  hers.send('DONE');
  await hers.answer('i');
  const global = await standing(bystander, 'first');
  const own = await standing(hers, 'first');
  t.same(global?.uid, own?.uid, 'one UID for all');
  t.ok(global?.flags.includes('$ReleaseFailed'));

  // The domain's operator drops three and leaves.
  await domain.ok('SELECT Caught');
  for (const subject of subjects.slice(1)) await domain.ok(`UID MOVE ${await uidOf(domain, subject)} Release`);
  await domain.ok('LOGOUT');
  await domain.gone();
  domain.abandon();
  await server.until('release-failed', 4);
  t.notMatch((await hers.ok('NOOP')).join('\n'), /ALERT/);
  t.notMatch((await bystander.ok('NOOP')).join('\n'), /ALERT/);
  const operator = await login(t, server, 'harbour.example');
  operator.send('i IDLE');
  let told = '';
  while (!told.includes('ALERT')) told = await operator.next();
  t.match(told, /^\* OK \[ALERT\] 3 messages could not be delivered and are back where they were\. The last one: "/);
  operator.abandon();
  const isTold = async (user: string) => {
    const client = await login(t, server, user);
    const said: string[] = [];
    for (let round = 0; round < 20; round++) said.push(...(await client.ok('STATUS Caught (MESSAGES)')));
    client.abandon();
    return said.some((line) => line.includes('ALERT'));
  };
  t.notOk(await isTold('harbour.example'), 'once');
  t.notOk(await isTold(ada));
  t.notOk(await isTold('global'));
});

t.test('row 6: sessions that drop the same messages at once cause one delivery each', async (t) => {
  const server = await startApp(t);
  const total = 60;
  await handOver(
    server,
    'lmtp',
    Array.from({ length: total }, (_, at) => ({ recipients: [ada], message: mailAbout(`number ${at}.`) })),
  );
  const wishes: [string, string, string][] = [
    [ada, 'MOVE', 'Release'],
    [ada, 'MOVE', 'Release &- Train'],
    ['harbour.example', 'MOVE', 'Release'],
    ['harbour.example', 'COPY', 'Release'],
    ['global', 'MOVE', 'Trash'],
    ['global', 'MOVE', 'Release'],
  ];
  const clients = await Promise.all(wishes.map(([user]) => login(t, server, user)));
  await Promise.all(clients.map((client) => client.ok('SELECT Caught')));
  const range = (await clients[0]!.ok('UID SEARCH RETURN (ALL) ALL'))[0]!;
  const uids = numbers(/ALL (\S+)$/.exec(range)![1]!);
  t.equal(uids.length, total);
  // In tens and shuffled against each other, so that each of them wins some.
  await Promise.all(
    clients.map(async (client, at) => {
      const [, verb, folder] = wishes[at]!;
      for (let ten = 0; ten < 6; ten++) {
        const part = (ten + at) % 6;
        const said = await client.says(`UID ${verb} ${uids.slice(part * 10, part * 10 + 10).join()} "${folder}"`);
        if (said.status !== 'OK')
          t.match(said.text, /^\[(?:EXPUNGEISSUED|CANNOT|INUSE)\] \S/, `${verb} ${folder}: ${said.text}`);
      }
    }),
  );
  await server.app.runner.idle();
  server.advance(2 * minute); // copies leave
  await server.app.runner.idle();
  const delivered = server.sink.messages.map(({ bytes }) => subjectOf(bytes));
  t.equal(new Set(delivered).size, delivered.length, 'none twice');
  const checker = await login(t, server, 'global');
  const inTrash = Number(/MESSAGES (\d+)/.exec((await checker.ok('STATUS Trash (MESSAGES)'))[0]!)?.[1]);
  t.equal(delivered.length + inTrash, total, `${delivered.length} delivered, ${inTrash} discarded, none lost`);
  t.match(await checker.ok('STATUS Caught (MESSAGES)'), ['* STATUS "Caught" (MESSAGES 0)']);
  t.equal(count(server, 'released'), delivered.length);
});

t.test('§7.6: what the filter hands back is its entry again; anything else is new mail', async (t) => {
  const server = await startApp(t);
  const block = (spam: string) =>
    `X-Spam-Checker-Version: SpamAssassin 4.0.1 on filter.example\r\nX-Spam-Status: Yes, score=${spam} required=5.0\r\n` +
    'Received: from quarantine.example by mx.example; Tue, 24 Nov 2026 12:00:00 +0000\r\n';
  await handOver(server, 'lmtp', [
    { recipients: [ada], message: mailAbout('round trip', '.dots\r\nand text') },
    { recipients: [ben], message: mailAbout('not hers') },
  ]);
  const hers = await login(t, server, ada);
  const first = await drop(hers, 'round trip');
  await server.until('released');
  const released = server.sink.messages[0]!.bytes.toString('latin1');

  const back = (text: string, recipient = ada) =>
    handOver(server, 'smtp', [{ recipients: [recipient], message: Buffer.from(text, 'latin1') }]);
  await back(block('7.7') + released);
  await server.until('handed-back');
  const returned = await standing(hers, 'round trip');
  t.ok(returned!.uid > first, 'under a new UID');
  t.ok(returned!.flags.includes('$ReleaseFailed'));
  t.equal(returned!.status, 'the filter handed it back');
  t.equal(count(server, 'arrived'), 2, 'and no second entry');
  const [shown = ''] = await hers.ok(`UID FETCH ${returned!.uid} BODY.PEEK[]`);
  t.ok(shown.endsWith(`${mailAbout('round trip', '.dots\r\nand text')})`), 'the bytes are the first ones');
  t.ok(shown.includes(`X-Lazaret-Id: ${first}\r\n`), 'its id is the one it always had');

  await hers.ok(`UID MOVE ${returned!.uid} Release`);
  await server.until('released', 2);
  const second = server.sink.messages[1]!.bytes;
  const idIn = (bytes: Buffer) => /id=(\d+)/.exec(fieldOf(bytes, 'X-Lazaret-Release') ?? '')?.[1];
  t.equal(idIn(second), String(first));
  t.not(
    fieldOf(second, 'Resent-Message-ID'),
    fieldOf(Buffer.from(released, 'latin1'), 'Resent-Message-ID'),
    'another drop is another resending',
  );

  const strangers: [string, string, string?][] = [
    ['another body', released.replace('and text', 'and lies')],
    ['a forged signature', released.replace(/sig=(.)/, (_, c: string) => `sig=${c === 'A' ? 'B' : 'A'}`)],
    ['a forged id', released.replace(/(v1;\s+id=)\d+/, '$12')],
    ['another recipient', released, 'cy@harbour.example'],
    ['no signature', released.replace(/^X-Lazaret-Release: .*\r\n(?: .*\r\n)+/m, '')],
  ];
  for (const [at, [label, text, recipient]] of strangers.entries()) {
    await back(block(`8.${at}`) + text, recipient);
    t.equal(count(server, 'arrived') + count(server, 'repeated'), 3 + at, `${label} is new mail`);
    t.equal(count(server, 'handed-back'), 1, label);
  }
  const his = await login(t, server, ben);
  t.match(await his.ok('STATUS Caught (MESSAGES)'), ['* STATUS "Caught" (MESSAGES 1)'], 'nothing of his was touched');

  // A filter before the queue hands it back before it has answered us: what it answers then counts no more.
  await back(block('9.9') + released);
  await server.until('handed-back', 2);
  let reached = () => {};
  const atEnd = new Promise<void>((resolve) => {
    reached = resolve;
  });
  let goOn = () => {};
  const after = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  server.sink.options = {
    behave: ({ phase }) => {
      if (phase !== 'end') return undefined;
      reached();
      return { after };
    },
  };
  await hers.ok('SELECT Caught');
  const [mine = ''] = await hers.ok('UID SEARCH KEYWORD $ReleaseFailed SUBJECT "round trip"');
  await hers.ok(`UID MOVE ${/\d+$/.exec(mine)?.[0]} Release`);
  await atEnd;
  await back(block('9.9') + released);
  await server.until('handed-back', 3);
  t.equal(server.sink.messages.length, 2, 'the hop has not answered yet');
  goOn();
  await server.sink.sees(({ messages }) => messages.length === 3);
  await server.app.runner.idle();
  t.equal(count(server, 'released'), 2, 'its 250 is not recorded');
  await hers.ok('NOOP');
  const [again = ''] = await hers.ok('UID SEARCH KEYWORD $ReleaseFailed SUBJECT "round trip"');
  t.match(again, /^\* SEARCH \d+$/, 'it is held');
});

t.test('undo within the window, by a client, means no delivery', async (t) => {
  const server = await startApp(t, { release: { undoSeconds: 10 } });
  await handOver(
    server,
    'lmtp',
    ['one', 'two'].map((subject) => ({ recipients: [ada], message: mailAbout(subject) })),
  );
  const hers = await login(t, server, ada);
  await hers.ok('SELECT Caught');
  const moved = pairs((await hers.ok('MOVE 1:2 Release'))[0]!);
  t.equal(moved.size, 2);
  await hers.ok('SELECT Release');
  const back = await hers.ok(`UID MOVE ${[...moved.values()][0]} Caught`);
  t.match(back[0], /^\* OK \[COPYUID /);
  server.advance(11_000);
  await server.until('released');
  await server.app.runner.idle();
  t.same(
    server.sink.messages.map(({ bytes }) => subjectOf(bytes)),
    ['two'],
  );
  t.match(await hers.no(`UID MOVE ${[...moved.values()][1]} Caught`), /^\[CANNOT\] \S/, 'too late');
  t.match(await hers.ok('STATUS Caught (MESSAGES)'), ['* STATUS "Caught" (MESSAGES 1)']);
});
