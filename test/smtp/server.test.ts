import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HandOverClient, Receiver, Reply, Transaction } from '#smtp/receiver';
import { replies } from '#smtp/reply';
import { HandOverServer } from '#smtp/server';
import { RawClient, stuffed } from './raw-client.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const log = { debug() {}, info() {}, warn() {}, error() {} };
const seed = Number(process.env.SEED ?? 20261124);

/** Repeatable random numbers below `max`. */
function dice(start: number): (max: number) => number {
  let state = start >>> 0;
  return (max) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * max);
  };
}

interface Taken extends Transaction {
  readonly octets: Buffer;
}

/** Keeps what it is given; every part of it can be replaced. */
class Keeper implements Receiver {
  readonly taken: Taken[] = [];
  readonly failed: unknown[] = [];
  admit: (client: HandOverClient) => Reply | undefined = () => undefined;
  answer: (transaction: Transaction, octets: Buffer) => Reply | Promise<Reply> = () => replies.kept;

  async receive(transaction: Transaction, source: AsyncIterable<Uint8Array>): Promise<Reply> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of source) chunks.push(Buffer.from(chunk));
    } catch (error) {
      this.failed.push(error);
      throw error;
    }
    const octets = Buffer.concat(chunks);
    this.taken.push({ ...transaction, octets });
    return this.answer(transaction, octets);
  }
}

async function start(t: Test, receiver: Receiver, maxMessageBytes = 1_000_000) {
  const server = new HandOverServer({
    receiver,
    hostname: 'quarantine.example',
    maxMessageBytes,
    log,
    listen: [
      { protocol: 'lmtp', host: '127.0.0.1', port: 0, name: 'lmtp-a' },
      { protocol: 'smtp', host: '127.0.0.1', port: 0, name: 'smtp-a' },
    ],
  });
  const [lmtp, smtp] = await server.listen();
  t.teardown(() => server.close(0));
  return { server, lmtp: lmtp!.port, smtp: smtp!.port };
}

async function connect(t: Test, port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  t.teardown(() => client.close());
  return client;
}

t.test('LMTP offers what amavis insists on, SMTP the same, each by its own greeting', async (t) => {
  const { lmtp, smtp } = await start(t, new Keeper(), 12345);
  const extensions = [
    'PIPELINING',
    '8BITMIME',
    'SMTPUTF8',
    'ENHANCEDSTATUSCODES',
    'DSN',
    'SIZE 12345',
    'XCLIENT NAME ADDR PORT PROTO HELO LOGIN',
    'XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE',
  ];
  const expected = ['quarantine.example', ...extensions]
    .map((line, n) => `250${n === 8 ? ' ' : '-'}${line}`)
    .join('\r\n');
  const a = await connect(t, lmtp);
  t.match(await a.command('HELO x'), /^500 /);
  t.match(await a.command('EHLO x'), /^500 /);
  t.equal(await a.command('LHLO localhost'), expected);
  const b = await connect(t, smtp);
  t.equal(await b.command('EHLO localhost'), expected);
  t.equal(await b.command('HELO localhost'), '250 quarantine.example');
  t.match(await b.command('STARTTLS'), /^50[02] /);
  t.match(await b.command('AUTH PLAIN AGEAYQ=='), /^50[02] /);
  t.equal(await b.command('QUIT'), '221 2.0.0 Bye');
});

t.test('greets without delay', async (t) => {
  const { lmtp } = await start(t, new Keeper());
  const before = performance.now();
  for (let n = 0; n < 20; n++) (await RawClient.connect(lmtp)).close();
  t.ok(performance.now() - before < 1500, 'twenty greetings do not take twenty times 100 ms');
});

t.test('an address is kept as written', async (t) => {
  const keeper = new Keeper();
  const { smtp, lmtp } = await start(t, keeper);
  const table: [mail: string, rcpt: string, sender: string, recipient: string][] = [
    ['MAIL FROM:<a@b.example>', 'RCPT TO:<C@D.example>', 'a@b.example', 'C@D.example'],
    ['MAIL FROM: <a@b.example>', 'RCPT TO: <c@d.example>', 'a@b.example', 'c@d.example'],
    ['mail from:<>', 'rcpt to:<c+tag@d.example>', '', 'c+tag@d.example'],
    ['MAIL FROM:<"odd name"@s.example>', 'RCPT TO:<"a,b>c"@d.example>', '"odd name"@s.example', '"a,b>c"@d.example'],
    [
      'MAIL FROM:<"a\\"b@c"@s.example> BODY=7BIT',
      'RCPT TO:<"x y"@d.example> NOTIFY=NEVER',
      '"a\\"b@c"@s.example',
      '"x y"@d.example',
    ],
    ['MAIL FROM:<jürgen@späm.example> SMTPUTF8', 'RCPT TO:<zoë@d.example>', 'jürgen@späm.example', 'zoë@d.example'],
    [
      'MAIL FROM:<j@xn--spm-qla.example>',
      'RCPT TO:<z@XN--spm-qla.example>',
      'j@xn--spm-qla.example',
      'z@XN--spm-qla.example',
    ],
    ['MAIL FROM:<@r.example,@s.example:a@b.example>', 'RCPT TO:<@r.example:c@d.example>', 'a@b.example', 'c@d.example'],
    ['MAIL FROM:<MAILER-DAEMON>', 'RCPT TO:<postmaster>', 'MAILER-DAEMON', 'postmaster'],
    ['MAIL FROM:<a..b.@c.example>', 'RCPT TO:<a@[192.0.2.1]>', 'a..b.@c.example', 'a@[192.0.2.1]'],
    ['MAIL FROM:a@b.example', 'RCPT TO: c@d.example ORCPT=rfc822;x+2By@d.example', 'a@b.example', 'c@d.example'],
  ];
  for (const [port, hello] of [
    [smtp, 'EHLO'],
    [lmtp, 'LHLO'],
  ] as const) {
    const client = await connect(t, port);
    await client.command(`${hello} x`);
    for (const [mail, rcpt, sender, recipient] of table) {
      t.equal(await client.command(mail), '250 2.1.0 Accepted', mail);
      t.equal(await client.command(rcpt), '250 2.1.5 Accepted', rcpt);
      await client.command('DATA');
      client.write('.\r\n');
      t.equal(await client.reply(), '250 2.0.0 Ok: kept');
      const last = keeper.taken.at(-1);
      t.same([last?.sender, last?.recipients[0]?.address, last?.octets.length], [sender, recipient, 0]);
    }
  }
  const client = await connect(t, smtp);
  await client.command('HELO x');
  for (const bad of [
    'MAIL FROM',
    'MAIL FROM:',
    'MAIL FROM:<a@b',
    'MAIL FROM:<a b@c>',
    'MAIL FROM:<"a@b>',
    'MAIL FROM:<a@b>x',
    'MAIL FROM:<a\0@b>',
    'MAIL FROM:<a@b> =x',
    'MAIL FROM:<@b>',
    'MAIL FROM:<a@>',
    'MAIL TO:<a@b>',
  ])
    t.match(await client.command(bad), /^501 5\.1\.7 /, bad);
  t.match(await client.command('MAIL FROM:<a@b> SIZE=1 size=2'), /^501 /);
  t.match(await client.command('RCPT TO:<a@b>'), /^503 /);
  await client.command('MAIL FROM:<a@b>');
  t.match(await client.command('RCPT TO:<>'), /^501 5\.1\.3 /);
  t.match(await client.command('DATA'), /^503 /);
});

t.test('parameters and XFORWARD reach the receiver, as written and decoded', async (t) => {
  const keeper = new Keeper();
  const { lmtp } = await start(t, keeper);
  const client = await connect(t, lmtp);
  await client.command('LHLO mx.example');
  t.equal(await client.command('XFORWARD NAME=mail.example.org ADDR=192.0.2.10 PORT=55698'), '250 2.0.0 Ok');
  t.equal(await client.command('XFORWARD PROTO=ESMTP HELO=a+20b+2Bc IDENT=7F68 SOURCE=[UNAVAILABLE]'), '250 2.0.0 Ok');
  t.match(await client.command('XFORWARD IDENT=a+0D+0Ab'), /^501 5\.5\.4 /);
  t.match(await client.command('XFORWARD WHAT=1'), /^501 /);
  t.match(await client.command('XFORWARD'), /^501 /);
  await client.command('MAIL FROM:<ann@example.org> SIZE=1043 BODY=8BITMIME ENVID=QQ+2B1 RET=HDRS SMTPUTF8');
  t.match(await client.command('XFORWARD IDENT=1'), /^503 /);
  await client.command('RCPT TO:<a@example.test> ORCPT=rfc822;alias+2B1@example.test NOTIFY=SUCCESS,FAILURE');
  await client.command('DATA');
  client.write('.\r\n');
  await client.reply();
  const first = keeper.taken[0]!;
  t.same(first.params, { SIZE: '1043', BODY: '8BITMIME', ENVID: 'QQ+2B1', RET: 'HDRS', SMTPUTF8: true });
  t.same(first.recipients, [
    { address: 'a@example.test', params: { ORCPT: 'rfc822;alias+2B1@example.test', NOTIFY: 'SUCCESS,FAILURE' } },
  ]);
  t.match(first.client, { protocol: 'lmtp', address: '127.0.0.1', helo: 'mx.example', listener: 'lmtp-a' });
  t.same(first.client.forwarded, {
    name: 'mail.example.org',
    addr: '192.0.2.10',
    port: '55698',
    proto: 'ESMTP',
    helo: 'a b+c',
    ident: '7F68',
  });

  client.write('MAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n.\r\n');
  await client.replies(4);
  t.same(keeper.taken[1]?.client.forwarded, {}, 'it was about one message');

  t.match(await client.command('XCLIENT ADDR=192.0.2.77 LOGIN=ann'), /^220 /);
  t.match(await client.command('MAIL FROM:<>'), /^503 /, 'the session starts over');
  await client.command('LHLO z');
  client.write('MAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n.\r\n');
  await client.replies(4);
  t.match(keeper.taken[2]?.client, {
    address: '127.0.0.1',
    helo: 'z',
    forwarded: { addr: '192.0.2.77', login: 'ann' },
  });
});

t.test('row 4: one reply for all recipients, once per RCPT in LMTP, repeated ones too', async (t) => {
  const keeper = new Keeper();
  const { lmtp, smtp } = await start(t, keeper);
  for (const [port, hello, times] of [
    [lmtp, 'LHLO', 3],
    [smtp, 'EHLO', 1],
  ] as const) {
    const client = await connect(t, port);
    await client.command(`${hello} x`);
    const outcomes: [Reply | Error, string][] = [
      [{ code: 250, enhanced: '2.0.0', text: 'kept as 17' }, '250 2.0.0 kept as 17'],
      [{ code: 550, enhanced: '5.5.2', text: 'no\r\n250 2.0.0 smuggled' }, '550 5.5.2 no  250 2.0.0 smuggled'],
      [new Error('database down on host db7'), '451 4.3.0 Not kept because of a local problem, please try again later'],
    ];
    for (const [outcome, expected] of outcomes) {
      keeper.answer = () => {
        if (outcome instanceof Error) throw outcome;
        return outcome;
      };
      client.write('MAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<A@x>\r\nDATA\r\n');
      await client.replies(5);
      client.write('Subject: x\r\n\r\ny\r\n.\r\nNOOP\r\n');
      for (let n = 0; n < times; n++) t.equal(await client.reply(), expected);
      t.equal(await client.reply(), '250 2.0.0 OK', 'nothing more is said');
      t.same(
        keeper.taken.at(-1)?.recipients.map((to) => to.address),
        ['a@x', 'b@x', 'A@x'],
      );
    }
  }
});

t.test('row 26: a client that is not admitted is refused before DATA, and its XFORWARD not heard', async (t) => {
  const keeper = new Keeper();
  keeper.admit = (client) => (client.address === '127.0.0.1' ? replies.notAllowed : undefined);
  const { lmtp } = await start(t, keeper);
  const client = await connect(t, lmtp);
  t.notMatch(await client.command('LHLO x'), /XFORWARD|XCLIENT/);
  t.match(await client.command('XFORWARD ADDR=10.0.0.1'), /^550 5\.7\.0 /);
  t.match(await client.command('XCLIENT ADDR=10.0.0.1'), /^550 5\.7\.0 /);
  t.equal(await client.command('MAIL FROM:<a@b>'), '554 5.7.1 This client may not hand mail over here');
  t.match(await client.command('RCPT TO:<a@b>'), /^503 /);
  t.match(await client.command('DATA'), /^503 /);
  t.equal(keeper.taken.length, 0);
});

const smuggling = [
  '\n.\n',
  '\n.\r\n',
  '\r.\r',
  '\r\n.\n',
  '\r\r\n.\r\r\n',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\r\n.\r',
  '\r.\r\n',
  '\n\n.\r\n',
  '\r\n.\r\r\n',
];
const dots = ['\r\n.a', '\r\n..a', '\r\n..\r\n', '\n..a', '\r\n...\r\n', '\r\n.', '\r', '\n', '.', '\r\n'];

t.test('row 10: no form but CRLF . CRLF ends a message, in any cut', async (t) => {
  const keeper = new Keeper();
  const { lmtp } = await start(t, keeper);
  const roll = dice(seed);
  t.comment(`seed ${seed}`);
  for (const form of smuggling) {
    const message = `Subject: x\r\n\r\nbefore${form}MAIL FROM:<evil@x>\r\nRCPT TO:<victim@x>\r\nDATA\r\nSubject: smuggled\r\n\r\nbody\r\n`;
    // Sent as it is: what an attacker's words look like behind a client that does not stuff them.
    const dialogue = Buffer.from(`MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n${message}.\r\nNOOP\r\n`, 'latin1');
    for (const sizes of [() => 1e6, () => 1, () => 1 + roll(7)]) {
      const client = await connect(t, lmtp);
      await client.command('LHLO x');
      const count = keeper.taken.length;
      const sent = client.pieces(dialogue, sizes);
      t.match(await client.replies(5), [/^250 2.1.0/, /^250 2.1.5/, /^354/, /^250 2.0.0 Ok: kept/, /^250 2.0.0 OK/]);
      await sent;
      t.equal(keeper.taken.length, count + 1, 'one message');
      t.equal(keeper.taken.at(-1)?.octets.toString('latin1'), message, JSON.stringify(form));
      client.close();
    }
  }
});

t.test('row 9: lines that begin with dots come as they were, however the octets are cut', async (t) => {
  const keeper = new Keeper();
  const { lmtp } = await start(t, keeper);
  const client = await connect(t, lmtp);
  await client.command('LHLO x');
  const roll = dice(seed);
  const hand = async (message: string, sizes: () => number) => {
    const octets = Buffer.concat([
      Buffer.from('MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n'),
      stuffed(Buffer.from(message, 'latin1')),
    ]);
    const sent = client.pieces(octets, sizes);
    t.match((await client.replies(4))[3], /^250 2.0.0/);
    await sent;
    t.equal(keeper.taken.at(-1)?.octets.toString('latin1'), message, JSON.stringify(message));
  };
  for (const first of ['', '.', '..', '.\r\n', '..\r\n', '.\n', '\r\n', '\r\n.\r\n', '.\r', 'x'])
    for (const sizes of [() => 1e6, () => 1])
      await hand(first.endsWith('\r\n') || first === '' ? first : `${first}\r\n`, sizes);
  for (let round = 0; round < 150; round++) {
    let message = '';
    for (let n = roll(12); n >= 0; n--)
      message += [...dots, ...smuggling, 'text'][roll(dots.length + smuggling.length + 1)];
    await hand(`${message}\r\n`, round % 3 === 0 ? () => 1 : () => 1 + roll(round % 3 === 1 ? 6 : 40));
  }
});

t.test('the transcripts of real filters and MTAs are understood', async (t) => {
  const keeper = new Keeper();
  const { lmtp, smtp } = await start(t, keeper);
  const index: { samples: { file: string; handedOver?: { mail: string; rcpt: string[] } | null }[] } = JSON.parse(
    readFileSync(join(fixtures, 'filtered/index.json'), 'utf8'),
  );
  let played = 0;
  for (const { file, handedOver } of index.samples) {
    if (!file.startsWith('filtered/') || !handedOver) continue;
    const wire = readFileSync(
      join(fixtures, 'wire', `${file.slice(9, -4)}.txt`.replace('amavis-passed-ham', 'amavis-lmtp-gtube')),
      'utf8',
    );
    const asLmtp = /C: LHLO/.test(wire);
    const hello = asLmtp
      ? 'LHLO localhost'
      : /C: HELO rspamd/.test(wire)
        ? 'HELO rspamd.example.test'
        : 'EHLO localhost';
    const message = readFileSync(join(fixtures, file));
    const client = await connect(t, asLmtp ? lmtp : smtp);
    await client.command(hello);
    if (/^C: XFORWARD/m.test(wire))
      for (const [line] of wire.matchAll(/(?<=^C: )XFORWARD.*$/gm))
        t.match(await client.command(line.trimEnd()), /^250 /);
    t.match(await client.command(handedOver.mail), /^250 2\.1\.0 /, handedOver.mail);
    for (const rcpt of handedOver.rcpt) t.match(await client.command(rcpt), /^250 2\.1\.5 /, rcpt);
    t.match(await client.command('DATA'), /^354 /);
    client.write(stuffed(message));
    for (const reply of await client.replies(asLmtp ? handedOver.rcpt.length : 1)) t.match(reply, /^250 2\.0\.0 /);
    t.ok(keeper.taken.at(-1)?.octets.equals(message), `${file} came byte for byte`);
    t.match(await client.command('QUIT'), /^221 /);
    played++;
  }
  t.ok(played >= 15, `${played} transcripts`);
});

t.test('a message over the limit is read to its end and refused, and the next one is taken', async (t) => {
  const keeper = new Keeper();
  const { lmtp } = await start(t, keeper, 5000);
  const client = await connect(t, lmtp);
  await client.command('LHLO x');
  t.match(await client.command('MAIL FROM:<a@x> SIZE=5001'), /^552 5\.3\.4 /);
  const hand = async (octets: number) => {
    await client.command('MAIL FROM:<a@x> SIZE=10');
    await client.command('RCPT TO:<b@x>');
    await client.command('RCPT TO:<c@x>');
    await client.command('DATA');
    client.write(`${'x'.repeat(octets - 2)}\r\n.\r\n`);
    return client.replies(2);
  };
  t.match(await hand(5000), [/^250 /, /^250 /], 'SIZE= is a hint only');
  t.match(await hand(5001), [/^552 5\.3\.4 /, /^552 5\.3\.4 /]);
  t.match(await hand(900_000), [/^552 5\.3\.4 /, /^552 5\.3\.4 /]);
  t.equal(keeper.failed.length, 2, 'the receiver was told in the middle of the message');
  t.match(await hand(100), [/^250 /, /^250 /]);
  t.equal(keeper.taken.length, 2);
});

t.test('a client that leaves in the middle leaves nothing', async (t) => {
  const keeper = new Keeper();
  const failed = new Promise<void>((resolve) => {
    const push = keeper.failed.push.bind(keeper.failed);
    keeper.failed.push = (error) => {
      resolve();
      return push(error);
    };
  });
  const { lmtp } = await start(t, keeper);
  const client = await connect(t, lmtp);
  await client.command('LHLO x');
  client.write('MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n');
  await client.replies(3);
  client.write('Subject: half\r\n\r\nof it\r\n.');
  client.close();
  await failed;
  t.match(keeper.failed[0], { message: 'The client left before its message was complete' });
  t.equal(keeper.taken.length, 0);
});

t.test('a receiver that answers without reading does not stop the conversation', async (t) => {
  const { lmtp } = await start(t, { admit: () => undefined, receive: async () => replies.tryLater });
  const client = await connect(t, lmtp);
  await client.command('LHLO x');
  for (let n = 0; n < 2; n++) {
    client.write('MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n');
    await client.replies(3);
    client.write(`${'x'.repeat(900_000)}\r\n.\r\n`);
    t.match(await client.reply(), /^451 4\.3\.0 /);
  }
});

t.test('a slow receiver slows the client down instead of filling memory', async (t) => {
  let go = () => {};
  const waiting = new Promise<void>((resolve) => {
    go = resolve;
  });
  let octets = 0;
  const { lmtp } = await start(
    t,
    {
      admit: () => undefined,
      async receive(_transaction, source) {
        await waiting;
        for await (const chunk of source) octets += chunk.length;
        return replies.kept;
      },
    },
    100_000_000,
  );
  const client = await connect(t, lmtp);
  await client.command('LHLO x');
  client.write('MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n');
  await client.replies(3);
  const block = Buffer.from(`${'x'.repeat(1022)}\r\n`.repeat(1024));
  let written = 0;
  let stalled = () => {};
  const stall = new Promise<void>((resolve) => {
    stalled = resolve;
  });
  const sending = (async () => {
    for (let n = 0; n < 60; n++) {
      const timer = setTimeout(stalled, 300); // the kernel's buffers are full
      await new Promise<void>((resolve) => client.socket.write(block, () => resolve()));
      clearTimeout(timer);
      written++;
    }
    client.write('.\r\n');
  })();
  await stall;
  t.ok(written < 20, `${written} MB were taken off the client's hands`);
  go();
  await sending;
  t.match(await client.reply(), /^250 /);
  t.equal(octets, 60 * block.length);
});

t.test('closing waits for the message that is being received', async (t) => {
  const keeper = new Keeper();
  const { server, lmtp } = await start(t, keeper);
  const idle = await connect(t, lmtp);
  await idle.command('LHLO x');
  const busy = await connect(t, lmtp);
  await busy.command('LHLO x');
  busy.write('MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n');
  await busy.replies(3);
  const begun = await connect(t, lmtp);
  const undecided = await connect(t, lmtp);
  for (const client of [begun, undecided]) {
    await client.command('LHLO x');
    await client.command('MAIL FROM:<a@x>');
  }
  const closing = server.close(10_000);
  t.match(await idle.reply(), /^421 4\.3\.2 /);
  await idle.closed();
  busy.write('Subject: x\r\n\r\n.\r\n');
  t.match(await busy.reply(), /^250 2\.0\.0 /);
  t.match(await busy.reply(), /^421 4\.3\.2 /);
  t.match(await begun.command('RCPT TO:<b@x>'), /^250 /, 'a transaction that has begun');
  t.match(await begun.command('DATA'), /^354 /);
  begun.write('Subject: y\r\n\r\n.\r\n');
  t.match((await begun.replies(2)).join(), /^250 2\.0\.0 .*,421 4\.3\.2 /);
  t.match(await undecided.command('RSET'), /^250 /);
  t.match(await undecided.reply(), /^421 4\.3\.2 /);
  for (const client of [idle, busy, begun, undecided]) client.close();
  await closing;
  t.equal(keeper.taken.length, 2);
  await t.rejects(RawClient.connect(lmtp), 'nobody listens any more');
});

t.test('closing gives up after its time', async (t) => {
  const keeper = new Keeper();
  const { server, lmtp } = await start(t, keeper);
  const client = await connect(t, lmtp);
  await client.command('LHLO x');
  client.write('MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n');
  await client.replies(3);
  client.write('Subject: never ends\r\n');
  await server.close(20);
  await client.closed();
  t.same([keeper.taken.length, keeper.failed.length], [0, 1]);
});

t.test('nonsense ends the connection, not the server', async (t) => {
  const { lmtp } = await start(t, new Keeper());
  const long = await connect(t, lmtp);
  long.write(`MAIL FROM:<${'a'.repeat(20_000)}@x>\r\n`);
  t.match(await long.reply(), /^421 /);
  const junk = await connect(t, lmtp);
  junk.write('\0\xff junk\r\n'.repeat(10));
  t.match((await junk.replies(10))[9], /^421 /);
  const web = await connect(t, lmtp);
  t.match(await web.command('POST / HTTP/1.1'), /^421 /);
  const good = await connect(t, lmtp);
  t.match(await good.command('LHLO x'), /^250/);
});

t.test('a port that is taken is an error, and nothing stays open', async (t) => {
  const { lmtp } = await start(t, new Keeper());
  const server = new HandOverServer({
    receiver: new Keeper(),
    hostname: 'x',
    maxMessageBytes: 1000,
    log,
    listen: [
      { protocol: 'lmtp', host: '127.0.0.1', port: 0, name: 'free' },
      { protocol: 'smtp', host: '127.0.0.1', port: lmtp, name: 'taken' },
    ],
  });
  await t.rejects(server.listen(), { code: 'EADDRINUSE' });
});
