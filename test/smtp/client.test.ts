import { createHash } from 'node:crypto';
import { generate } from 'selfsigned';
import t from 'tap';
import {
  DeliveryClient,
  type DeliveryClientOptions,
  type DeliveryEnvelope,
  NextHopError,
  parseNextHop,
} from '#smtp/client';
import { DotStuffer, survey } from '#smtp/client/message-data';
import { type Behaviour, type Phase, Sink, type SinkOptions } from '../support/sink.ts';

const never = new AbortController().signal;
/** Long enough for a loaded machine; where a test waits for one to pass, `short`. */
const limits = { connectMs: 20_000, greetingMs: 20_000, commandMs: 20_000, blockMs: 20_000, dataMs: 20_000 };
const short = { connectMs: 20_000, greetingMs: 200, commandMs: 200, blockMs: 200, dataMs: 200 };
const toAda: DeliveryEnvelope = { sender: 'x@spam.test', recipients: [{ address: 'ada@harbour.example' }] };

function clientFor(
  t: { teardown(end: () => void): void },
  options: Partial<DeliveryClientOptions> = {},
): DeliveryClient {
  const client = new DeliveryClient({ hostname: 'q.example', timeouts: limits, ...options });
  t.teardown(() => client.close());
  return client;
}

async function* pieces(bytes: Uint8Array, size = 1 << 16): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function send(
  client: DeliveryClient,
  url: string,
  bytes: string | Uint8Array,
  envelope: DeliveryEnvelope = toAda,
  signal = never,
) {
  const octets = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
  return client.deliver(parseNextHop(url), envelope, () => pieces(octets), octets.length, signal);
}

t.test('a next hop is read from what an operator writes, or refused with a sentence', async (t) => {
  const hop = (text: string) => {
    const { protocol, host, port, implicitTls, tls, login } = parseNextHop(text);
    return { protocol, host, port, implicitTls, tls, ...(login && { login }) };
  };
  const plain = { protocol: 'smtp', implicitTls: false };
  t.same(hop('smtp://10.0.0.5:10026'), { ...plain, host: '10.0.0.5', port: 10026, tls: 'may' });
  t.same(hop('smtp://mx.example'), { ...plain, host: 'mx.example', port: 25, tls: 'may' });
  t.same(hop('smtp://MX.example/?tls=none'), { ...plain, host: 'mx.example', port: 25, tls: 'none' });
  t.same(hop('lmtp://[2001:db8::1]:2424?tls=require'), {
    protocol: 'lmtp',
    implicitTls: false,
    host: '2001:db8::1',
    port: 2424,
    tls: 'require',
  });
  t.same(hop('smtps://mx.example'), {
    protocol: 'smtp',
    implicitTls: true,
    host: 'mx.example',
    port: 465,
    tls: 'verify',
  });
  t.same(hop('smtp://ada%40a.example:p%3Aw%40@mx.example:587').login, { user: 'ada@a.example', password: 'p:w@' });
  t.equal(hop('smtp://u:p@mx.example').tls, 'require', 'a password needs TLS unless the operator says otherwise');
  t.equal(hop('smtp://u:p@mx.example?tls=none').tls, 'none');
  t.equal(parseNextHop('smtp://u:secret@[::1]:25').name, 'smtp://[::1]:25', 'no secrets in the name for logs');
  t.not(parseNextHop('smtp://a:b@h').key, parseNextHop('smtp://a:c@h').key);
  const wrong: [string, RegExp][] = [
    ['127.0.0.1:25', /written smtp:/],
    ['mx.example', /written smtp:/],
    ['http://mx.example', /none of smtp/],
    ['smtp://', /needs a host/],
    ['smtp://mx.example:0', /port/],
    ['smtp://mx.example:70000', /written smtp:/],
    ['smtp://mx.example/in', /no path/],
    ['smtp://mx.example?tls=yes', /tls=yes is none of/],
    ['smtp://mx.example?tsl=none', /"\?tsl="/],
    ['smtp://mx.example?tls=may&tls=none', /twice/],
    ['smtps://mx.example?tls=none', /contradicts/],
    ['smtp://ada@mx.example', /needs a password/],
    ['smtp://:secret@mx.example', /needs a user name/],
    ['smtp://a:100%@mx.example', /%25/],
    ['smtp://m x.example', /./],
  ];
  for (const [text, message] of wrong) t.throws(() => parseNextHop(text), { name: 'NextHopError', message }, text);
  try {
    parseNextHop('smtp://ada:secret#1@mx.example');
  } catch (error) {
    t.ok(error instanceof NextHopError);
    t.notMatch(String(error), /secret/);
  }
});

t.test('dots are doubled behind CRLF, and where one alone could be taken for the end, in any cut', async (t) => {
  const table: [string, string][] = [
    ['', '.\r\n'],
    ['.', '..\r\n.\r\n'],
    ['a\r\n', 'a\r\n.\r\n'],
    ['a', 'a\r\n.\r\n'],
    ['a\r\n.\r\n', 'a\r\n..\r\n.\r\n'],
    ['.a\r\n..b\r\nc.\r\n', '..a\r\n...b\r\nc.\r\n.\r\n'],
    ['a\n', 'a\n\r\n.\r\n'],
    ['a\r', 'a\r\r\n.\r\n'],
    // Bare line ends: a dot with text behind it is nobody's end of data and stays; one alone is doubled.
    ['a\n.b\r\n', 'a\n.b\r\n.\r\n'],
    ['a\r.b\r\n', 'a\r.b\r\n.\r\n'],
    ['a\n.\nb\r\n', 'a\n..\nb\r\n.\r\n'],
    ['a\n.\r\nb\r\n', 'a\n..\r\nb\r\n.\r\n'],
    ['a\r.\rb\r\n', 'a\r..\rb\r\n.\r\n'],
    ['a\r\n.\rb\r\n', 'a\r\n..\rb\r\n.\r\n'],
    ['a\n.', 'a\n..\r\n.\r\n'],
    ['a\n.\n.\n', 'a\n..\n..\n\r\n.\r\n'],
    ['a\r\r\n.\r\n', 'a\r\r\n..\r\n.\r\n'],
    ['\n.\nMAIL FROM:<x@y>\r\n', '\n..\nMAIL FROM:<x@y>\r\n.\r\n'],
  ];
  for (const [given, expected] of table) {
    for (const size of [1 << 16, 3, 2, 1]) {
      const stuffer = new DotStuffer();
      const out: Uint8Array[] = [];
      for await (const chunk of pieces(Buffer.from(given), size)) out.push(stuffer.push(chunk));
      out.push(stuffer.end(), Buffer.from('.\r\n'));
      t.equal(Buffer.concat(out).toString(), expected, `${JSON.stringify(given)} in pieces of ${size}`);
    }
  }
  t.match(await survey(pieces(Buffer.from('a\n.\nb')), 100), {
    size: 7,
    needsCrlf: true,
    needsBdat: true,
    eightBit: false,
  });
  t.match(await survey(pieces(Buffer.from('ä\r\n')), 100), {
    size: 4,
    needsCrlf: false,
    needsBdat: false,
    eightBit: true,
  });
  t.equal((await survey(pieces(Buffer.alloc(1000)), 999)).kept, undefined);
});

t.test('what goes out is what was stored, octet by octet, in and out of pieces', async (t) => {
  const random = createHash('sha512').update('octets').digest();
  const bodies: [string, Buffer][] = [
    ['dot lines', Buffer.from('Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n...\r\n\r\n.\r\n')],
    [
      'every octet',
      Buffer.concat([
        Buffer.from('A: b\r\n\r\n'),
        Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
        Buffer.from('\r\n'),
      ]),
    ],
    ['bare LF and CR', Buffer.from('A: b\nC: d\r\n\r\none\ntwo\rthree\n.four\r\n')],
    ['nothing but CRLF', Buffer.from('\r\n')],
    ['nothing', Buffer.alloc(0)],
    ['a long line', Buffer.concat([Buffer.from('A: b\r\n\r\n'), Buffer.alloc(5000, 'x'), Buffer.from('\r\n')])],
    ['two megabytes', Buffer.concat([...Array.from({ length: 1 << 15 }, () => random), Buffer.from('\r\n')])],
  ];
  for (const protocol of ['smtp', 'lmtp'] as const) {
    const sink = await Sink.start(t, { protocol, extensions: ['8BITMIME'] });
    const client = clientFor(t);
    for (const [name, body] of bodies) {
      const hop = parseNextHop(sink.url);
      const result = await client.deliver(hop, toAda, () => pieces(body, 1000), body.length, never);
      t.same(result.outcomes, [{ recipient: 'ada@harbour.example', kind: 'accepted', said: '250 2.0.0 Ok' }], name);
      t.ok(sink.messages.at(-1)?.bytes.equals(body), `${protocol}: ${name} arrived unchanged`);
    }
    t.equal(sink.connections, 1, 'all over one connection');
    await send(client, sink.url, 'A: b\r\n\r\nno line end');
    t.equal(sink.messages.at(-1)?.bytes.toString(), 'A: b\r\n\r\nno line end\r\n', 'SMTP puts CRLF at the end');
  }
});

t.test('row 10: no octets in a message end it, at any receiver, and BDAT keeps even those unchanged', async (t) => {
  const inner = 'MAIL FROM:<evil@spam.test>\r\nRCPT TO:<ada@harbour.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n';
  for (const end of ['\n.\n', '\n.\r\n', '\r.\r', '\r\n.\n', '\r\n.\r', '\n.\r', '\r.\r\n', '\r.\n']) {
    const body = Buffer.from(`Subject: s\r\n\r\none${end}${inner}`);
    const name = JSON.stringify(end);
    const lenient = await Sink.start(t, { extensions: [], lenient: true });
    const client = clientFor(t);
    t.match((await send(client, lenient.url, body)).outcomes, [{ kind: 'accepted' }], name);
    await send(client, lenient.url, 'Subject: next\r\n\r\n');
    t.equal(lenient.messages.length, 2, `${name}: one message, and the next is the next`);
    t.equal(lenient.commands.filter((line) => line.includes('evil')).length, 0);

    const chunking = await Sink.start(t, { lenient: true });
    await send(client, chunking.url, body);
    const [message] = chunking.messages;
    t.ok(message?.bytes.equals(body), `${name}: unchanged`);
    t.equal(message?.by, end.startsWith('\r\n') ? 'DATA' : 'BDAT');
  }
});

t.test('only parameters that the hop offers are sent', async (t) => {
  const envelope: DeliveryEnvelope = {
    sender: '"odd <name>"@spam.test',
    recipients: [{ address: '"a,b>c"@harbour.example', orcpt: 'rfc822;a+2Bb@harbour.example' }],
    ret: 'HDRS',
    envid: 'QQ=1 2',
    notify: 'NEVER',
  };
  const client = clientFor(t);
  const all = await Sink.start(t);
  await send(client, all.url, 'A: \xe4\r\n\r\n', envelope);
  t.match(all.messages[0], {
    sender: '"odd <name>"@spam.test',
    recipients: ['"a,b>c"@harbour.example'],
    mailParams: 'SIZE=8 BODY=8BITMIME RET=HDRS ENVID=QQ+3D1+202',
    rcptParams: ['NOTIFY=NEVER ORCPT=rfc822;a+2Bb@harbour.example'],
  });
  await send(client, all.url, 'A: a\r\n\r\n', { ...envelope, sender: '', smtputf8: true });
  t.match(all.messages[1], { sender: '', mailParams: 'SIZE=8 SMTPUTF8 RET=HDRS ENVID=QQ+3D1+202' });

  const dovecot = await Sink.start(t, {
    protocol: 'lmtp',
    extensions: ['8BITMIME', 'CHUNKING', 'ENHANCEDSTATUSCODES', 'PIPELINING'],
  });
  await send(client, dovecot.url, 'A: \xe4\r\n\r\n', { ...envelope, smtputf8: true });
  t.match(dovecot.messages[0], { mailParams: 'BODY=8BITMIME', rcptParams: [''] });

  const old = await Sink.start(t, {
    behave: ({ phase, line }) => (phase === 'ehlo' && line.startsWith('EHLO') ? '502 What' : undefined),
  });
  await send(client, old.url, 'A: \xe4\r\n\r\n', envelope);
  t.match(old.messages[0], { mailParams: '', rcptParams: [''], bytes: Buffer.from('A: \xe4\r\n\r\n', 'latin1') });
  t.same(old.commands.slice(0, 2), ['EHLO q.example', 'HELO q.example']);

  const client0 = { name: 'bad host+', addr: 'IPV6:2001:db8::1', helo: '', ident: 'Q1', source: 'REMOTE', x: 'y' };
  const postfix = await Sink.start(t, { extensions: ['PIPELINING', 'XFORWARD NAME ADDR HELO SOURCE'] });
  t.match((await send(client, postfix.url, 'A: a\r\n', { ...toAda, client: client0 })).outcomes, [
    { kind: 'accepted' },
  ]);
  t.equal(postfix.commands[1], 'XFORWARD NAME=bad+20host+2B ADDR=IPV6:2001:db8::1 SOURCE=REMOTE');
  await send(client, postfix.url, 'A: a\r\n', { ...toAda, client: { name: 'n'.repeat(300), helo: 'h'.repeat(300) } });
  t.equal(postfix.commands.filter((line) => line.startsWith('XFORWARD')).length, 3, 'in lines that Postfix takes');
  await send(client, all.url, 'A: a\r\n', { ...toAda, client: client0 });
  t.notOk(all.commands.some((line) => line.startsWith('XFORWARD')));

  const utf8: DeliveryEnvelope = {
    sender: 'x@spam.test',
    recipients: [{ address: 'jürgen@harbour.example' }],
    smtputf8: true,
  };
  t.match((await send(client, dovecot.url, 'A: a\r\n\r\n', utf8)).outcomes, [{ kind: 'refused', said: /SMTPUTF8/ }]);
  t.equal(dovecot.messages.length, 1);
  t.match((await send(client, all.url, 'A: a\r\n\r\n', utf8)).outcomes, [{ kind: 'accepted' }]);
  t.same(all.messages.at(-1)?.recipients, ['jürgen@harbour.example']);
  const bad: DeliveryEnvelope = { ...toAda, recipients: [{ address: 'a@b>\r\nRCPT TO:<c@d' }] };
  t.match((await send(client, all.url, 'A: a\r\n\r\n', bad)).outcomes, [{ kind: 'refused', said: /^553 5\.1\.3/ }]);
});

t.test('row 5: whatever the hop does at any point is an outcome, and the next message is not harmed', async (t) => {
  const phases: Phase[] = ['connect', 'ehlo', 'mail', 'rcpt', 'data', 'body', 'end'];
  const behaviours: [string, Behaviour][] = [
    ['4xx', '451 4.3.0 Try\tlater\x1b[31m'],
    ['5xx', '550-5.7.1 Never\r\n550 5.7.1 again'],
    ['421', { reply: '421 4.3.2 Going down', ending: 'close' }],
    ['closes', 'close'],
    ['resets', 'reset'],
    ['hangs', 'hang'],
    ['says and closes', { reply: '452 4.2.2 Full', ending: 'close' }],
    ['talks nonsense', 'HTTP/1.1 400 Bad Request'],
  ];
  const setUp: readonly Phase[] = ['connect', 'ehlo'];
  const play = async (
    protocol: 'smtp' | 'lmtp',
    phase: Phase,
    name: string,
    behaviour: Behaviour,
    extensions: string[],
  ) => {
    let misbehaves = true;
    const sink = await Sink.start(t, {
      protocol,
      extensions,
      behave: (at) => (misbehaves && at.phase === phase ? behaviour : undefined),
    });
    const client = clientFor(t);
    const label = `${protocol} ${extensions} ${phase} ${name}`;
    const first = name === 'hangs' ? clientFor(t, { timeouts: short }) : client;
    const { outcomes } = await send(first, sink.url, Buffer.alloc(5000, 'x'));
    const [outcome] = outcomes;
    t.equal(outcomes.length, 1, label);
    const kind = name === '5xx' && !setUp.includes(phase) ? 'refused' : 'later';
    t.equal(outcome?.kind, kind, `${label}: ${outcome?.said}`);
    if (name === '4xx') t.match(outcome?.said, /^451 4\.3\.0 Try later \[31m$/, label);
    // EHLO refused means HELO, which is then refused with the same words.
    if (name === '5xx') t.equal(outcome?.said, '550 5.7.1 Never again', label);
    if (name === 'hangs') t.match(outcome?.said, /in time|stopped reading/, label);
    misbehaves = false;
    t.match((await send(client, sink.url, 'A: b\r\n\r\n')).outcomes, [{ kind: 'accepted' }], label);
    await sink.close();
  };
  for (const protocol of ['smtp', 'lmtp'] as const)
    for (const phase of phases)
      await Promise.all(
        behaviours.flatMap(([name, behaviour]) =>
          [['PIPELINING'], []].map((extensions) => play(protocol, phase, name, behaviour, extensions)),
        ),
      );
});

t.test('row 5: nobody there, nobody of that name', async (t) => {
  const sink = await Sink.start(t);
  await sink.close();
  const client = clientFor(t);
  t.match((await send(client, sink.url, 'A: b\r\n')).outcomes, [
    { kind: 'later', said: 'the next hop refused the connection' },
  ]);
  t.match((await send(client, 'smtp://nobody.invalid', 'A: b\r\n')).outcomes, [{ kind: 'later', said: /name/ }]);
});

t.test('row 5: an answer lost after the final dot is "later", and says so to nobody else', async (t) => {
  const sink = await Sink.start(t, {
    behave: ({ phase, connection }) => (phase === 'end' && connection === 1 ? 'close' : undefined),
  });
  const client = clientFor(t);
  t.match((await send(client, sink.url, 'A: b\r\n')).outcomes, [{ kind: 'later', said: /closed/ }]);
  t.match((await send(client, sink.url, 'A: b\r\n')).outcomes, [{ kind: 'accepted' }]);
  t.equal(sink.messages.length, 2, 'the hop got it twice: at least once');
});

t.test('a hop may refuse a large message in the middle', async (t) => {
  const sink = await Sink.start(t, {
    behave: ({ phase }) => (phase === 'body' ? { reply: '552 5.3.4 Too big', ending: 'close' } : undefined),
  });
  const client = clientFor(t);
  const { outcomes } = await send(client, sink.url, Buffer.alloc(8 << 20, 'x'));
  t.match(outcomes, [{ kind: /refused|later/ }], 'its words, unless TCP lost them');
});

t.test('each recipient has an outcome of its own', async (t) => {
  const behave: SinkOptions['behave'] = ({ phase, recipient }) =>
    phase === 'rcpt' && recipient?.startsWith('no')
      ? '550 5.1.1 No such user'
      : phase === 'end' && recipient?.startsWith('full')
        ? '452 4.2.2 Full'
        : undefined;
  const sink = await Sink.start(t, { protocol: 'lmtp', behave });
  const names = ['a@h.example', 'no@h.example', 'full@h.example', 'b@h.example'];
  const client = clientFor(t);
  const envelope = { sender: '', recipients: names.map((address) => ({ address })) };
  t.same((await send(client, sink.url, 'A: b\r\n\r\n', envelope)).outcomes, [
    { recipient: 'a@h.example', kind: 'accepted', said: '250 2.0.0 Ok' },
    { recipient: 'no@h.example', kind: 'refused', said: '550 5.1.1 No such user' },
    { recipient: 'full@h.example', kind: 'later', said: '452 4.2.2 Full' },
    { recipient: 'b@h.example', kind: 'accepted', said: '250 2.0.0 Ok' },
  ]);
  t.same(sink.messages[0]?.recipients, ['a@h.example', 'full@h.example', 'b@h.example']);
});

t.test('connections are kept, used again, ended when idle, and a dead one is replaced before MAIL', async (t) => {
  const sink = await Sink.start(t);
  const client = clientFor(t, { idleMs: 50, messagesPerConnection: 3 });
  for (let n = 0; n < 4; n++) await send(client, sink.url, 'A: b\r\n\r\n');
  t.equal(sink.connections, 2, 'the fourth message had a new one');
  await sink.sees(({ open }) => open.size === 0);
  t.ok(sink.commands.includes('QUIT'), 'idle ones are ended politely');

  for (const dies of ['close', 'reset', '421'] as const) {
    const fragile = await Sink.start(t, {
      behave: ({ phase, delivered, connection }) =>
        phase === 'mail' && connection === 1 && delivered === 1
          ? dies === '421'
            ? { reply: '421 4.4.2 Idle too long', ending: 'close' }
            : dies
          : undefined,
    });
    const patient = clientFor(t);
    await send(patient, fragile.url, 'A: 1\r\n\r\n');
    t.match((await send(patient, fragile.url, 'A: 2\r\n\r\n')).outcomes, [{ kind: 'accepted' }], dies);
    t.same(
      fragile.messages.map(({ bytes }) => bytes.toString()),
      ['A: 1\r\n\r\n', 'A: 2\r\n\r\n'],
    );
  }
  // A hop that restarts leaves dead connections behind.
  const first = await Sink.start(t);
  const client2 = clientFor(t);
  await Promise.all([send(client2, first.url, 'A: 1\r\n'), send(client2, first.url, 'A: 2\r\n')]);
  await first.close();
  const second = await Sink.start(t, { port: first.port });
  t.match((await send(client2, second.url, 'A: 3\r\n')).outcomes, [{ kind: 'accepted' }]);
});

t.test('a hop that hangs costs its own connections and nobody else', async (t) => {
  const hanging = await Sink.start(t, { behave: ({ phase }) => (phase === 'mail' ? 'hang' : undefined) });
  const healthy = await Sink.start(t);
  const client = clientFor(t, { connectionsPerHop: 3, patienceMs: 20, timeouts: { ...limits, commandMs: 1500 } });
  const results = Array.from({ length: 5 }, () => send(client, hanging.url, 'A: b\r\n\r\n'));
  t.match((await send(client, healthy.url, 'A: b\r\n\r\n')).outcomes, [{ kind: 'accepted' }], 'at once');
  const busy = (await Promise.all(results)).filter((result) => result.busy);
  t.equal(busy.length, 2, 'those without a connection were told so');
  t.match(busy[0]?.outcomes, [{ kind: 'later', said: /in use/ }]);
  t.equal(hanging.connections, 3);

  // One that is only slow serves all, as long as somebody has patience.
  const slow = await Sink.start(t, { behave: ({ phase }) => (phase === 'end' ? { afterMs: 20 } : undefined) });
  const patient = clientFor(t, { connectionsPerHop: 2, patienceMs: 5000 });
  const all = await Promise.all(Array.from({ length: 20 }, () => send(patient, slow.url, 'A: b\r\n\r\n')));
  t.ok(all.every(({ outcomes }) => outcomes[0]?.kind === 'accepted'));
  t.equal(slow.connections, 2);
});

t.test('nobody waits for a hop that does not move: thousands for it hold up none for others', async (t) => {
  const hanging = await Sink.start(t, { behave: ({ phase }) => (phase === 'connect' ? 'hang' : undefined) });
  const giveUp = new AbortController();
  const patient = clientFor(t, { connectionsPerHop: 1, patienceMs: 3000 });
  const tried = send(patient, hanging.url, 'A: b\r\n\r\n', toAda, giveUp.signal);
  const isBusy = async () => (await send(patient, hanging.url, 'A: b\r\n\r\n')).busy !== undefined;
  t.ok(await isBusy(), 'it had patience, and by now the hop has been quiet for long');
  const began = performance.now();
  const all = await Promise.all(Array.from({ length: 1000 }, isBusy));
  t.ok(all.every(Boolean));
  t.ok(performance.now() - began < 3000, 'sooner than the patience of any of them');
  giveUp.abort(new Error('stop'));
  await t.rejects(tried, /stop/);

  // One that is known to be down is asked by one at a time, and nobody stands behind that one.
  const down = await Sink.start(t, {
    behave: ({ phase, connection }) => (phase !== 'connect' ? undefined : connection === 1 ? 'close' : 'hang'),
  });
  const client = clientFor(t, { patienceMs: 60_000 });
  t.match((await send(client, down.url, 'A: b\r\n\r\n')).outcomes, [{ kind: 'later' }]);
  const again = new AbortController();
  const probe = send(client, down.url, 'A: b\r\n\r\n', toAda, again.signal);
  t.match(await send(client, down.url, 'A: b\r\n\r\n'), { busy: { hanging: true } });
  again.abort(new Error('stop'));
  await t.rejects(probe, /stop/);
});

t.test(
  'given up before the end of the message it throws and nothing is delivered; after it, it is "later"',
  async (t) => {
    const hanging = await Sink.start(t, { behave: ({ phase }) => (phase === 'rcpt' ? 'hang' : undefined) });
    const client = clientFor(t, { timeouts: limits });
    const early = new AbortController();
    const tried = send(client, hanging.url, 'A: b\r\n\r\n', toAda, early.signal);
    await hanging.sees(({ commands }) => commands.some((line) => line.startsWith('RCPT')));
    early.abort(new Error('stop'));
    await t.rejects(tried, /stop/);

    const silent = await Sink.start(t, { behave: ({ phase }) => (phase === 'end' ? 'hang' : undefined) });
    const late = new AbortController();
    const sent = send(client, silent.url, 'A: b\r\n\r\n', toAda, late.signal);
    await silent.sees(({ messages }) => messages.length === 1);
    late.abort(new Error('stop'));
    t.match((await sent).outcomes, [{ kind: 'later', said: 'the try was given up' }]);

    const sink = await Sink.start(t);
    const failing = client.deliver(
      parseNextHop(sink.url),
      toAda,
      async function* () {
        yield Buffer.alloc(1 << 19, 'x');
        if (sink.connections > 0) throw new Error('disk');
      },
      1 << 20,
      never,
    );
    await t.rejects(failing, /disk/);
    t.equal(sink.messages.length, 0, 'half a message is no message');
  },
);

t.test('TLS as the configuration wants it', async (t) => {
  const pems = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  });
  const tls = { cert: pems.cert, key: pems.private };
  const login = { user: 'ada', password: 'p w' };
  const withTls = await Sink.start(t, { tls, login });
  const without = await Sink.start(t, { login });
  const implicit = await Sink.start(t, { tls: { ...tls, implicit: true }, login });
  const at = (sink: Sink, query: string, user = '') => `${sink.url.replace('://', `://${user}`)}${query}`;
  const client = clientFor(t);
  const trusting = clientFor(t, { tls: { ca: pems.cert } });
  const sent = async (client: DeliveryClient, url: string) => (await send(client, url, 'A: b\r\n')).outcomes[0];

  t.match(await sent(client, at(withTls, '')), { kind: 'accepted' });
  t.equal(withTls.messages.at(-1)?.tls, true, 'may: taken when offered');
  t.equal(withTls.commands.filter((line) => line.startsWith('EHLO')).length, 2, 'asked again after the handshake');
  await sent(client, at(withTls, '?tls=none'));
  t.equal(withTls.messages.at(-1)?.tls, false);
  t.match(await sent(client, at(without, '')), { kind: 'accepted' });
  t.match(await sent(client, at(without, '?tls=require')), { kind: 'later', said: /does not offer TLS/ });
  t.match(await sent(client, at(withTls, '?tls=require')), { kind: 'accepted' });
  t.match(await sent(client, at(withTls, '?tls=verify')), { kind: 'later', said: /certificate/ });
  t.match(await sent(trusting, at(withTls, '?tls=verify')), { kind: 'accepted' });
  t.match(await sent(client, at(implicit, '')), { kind: 'later', said: /certificate/ });
  t.match(await sent(client, at(implicit, '?tls=require')), { kind: 'accepted' });
  t.match(await sent(trusting, at(implicit, '')), { kind: 'accepted' });

  t.match(await sent(client, at(withTls, '', 'ada:p%20w@')), { kind: 'accepted' });
  t.match(withTls.messages.at(-1), { tls: true, user: 'ada' });
  t.match(await sent(client, at(withTls, '', 'ada:wrong@')), { kind: 'later', said: '535 5.7.8 No' });
  t.match(await sent(client, at(without, '', 'ada:p%20w@')), { kind: 'later', said: /does not offer TLS/ });
  t.notOk(
    without.commands.some((line) => line.startsWith('AUTH')),
    'the password stayed at home',
  );

  const injecting = await Sink.start(t, {
    tls,
    behave: ({ phase }) => (phase === 'starttls' ? '220 Go ahead\r\n250 2.0.0 Injected' : undefined),
  });
  t.match(await sent(client, at(injecting, '?tls=require')), { kind: 'later', said: /between STARTTLS/ });
  const broken = await Sink.start(t, {
    tls,
    behave: ({ phase }) => (phase === 'starttls' ? { reply: '220 Go', ending: 'close' } : undefined),
  });
  t.match(await sent(client, at(broken, '')), { kind: 'accepted' }, 'may: in clear text rather than not at all');
  t.match(await sent(client, at(broken, '?tls=require')), { kind: 'later' });
});

t.test('an endless reply is cut off', async (t) => {
  const sink = await Sink.start(t, {
    behave: ({ phase }) => (phase === 'ehlo' ? `${'250-X\r\n'.repeat(30_000)}250 Y` : undefined),
  });
  const client = clientFor(t, { timeouts: limits });
  t.match((await send(client, sink.url, 'A: b\r\n')).outcomes, [{ kind: 'later', said: /endless/ }]);
});
