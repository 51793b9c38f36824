/** Mail handed over by HTTP, to a whole server: what is kept, and what it says. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ended, login, mailAbout } from '../stories/hand-over.ts';
import { bytesOf, raw, toAda, token, world } from './intake-world.ts';
import { ask, form } from './request.ts';

t.test('a raw message with header fields is kept as they say, and is seen by its owner', async (t) => {
  const { server, post, entryOf } = await world(t);
  const message = mailAbout('by http');
  const { status, text, headers } = await post({
    fields: [
      raw,
      ['X-Lazaret-From', '<s@elsewhere.example>'],
      ['X-Lazaret-Rcpt', 'ada@harbour.example'],
      // As fields become that a program sends more than once.
      ['x-lazaret-rcpt', '<ben@quay.example>, "odd, name"@quay.example,cy@quay.example'],
      ['X-Lazaret-Reason', 'Phish'],
      ['X-Lazaret-Score', '7.5'],
      ['X-Lazaret-Required', '5'],
      ['X-Lazaret-Rules', 'BAYES_99 3.5, URIBL=1.7,PLAIN'],
      ['X-Lazaret-Source', 'haraka'],
      ['X-Lazaret-Id', 'F00-1.1'],
      ['X-Lazaret-Disposition', 'rejected 554 5.7.1 We do not want this'],
      ['X-Lazaret-Client-Addr', '[IPv6:2001:db8::7]'],
      ['X-Lazaret-Client-Helo', 'mail.elsewhere.example'],
      ['X-Lazaret-Queue-Id', '4AbCdEf'],
    ],
    body: message,
  });
  t.equal(status, 200, text);
  t.match(headers['content-type'], /^application\/json/);
  const answers = JSON.parse(text) as object[];
  t.equal(answers.length, 4);
  t.match(answers[0], { entryId: Number, uid: Number, how: 'new' });
  const entry = await entryOf(text);
  t.match(entry, {
    owner: 'ada@harbour.example',
    class: 'held',
    direction: 'incoming',
    verdict: {
      reason: 'phish',
      source: 'haraka',
      score: 7.5,
      required: 5,
      rules: [{ name: 'BAYES_99', score: 3.5 }, { name: 'URIBL', score: 1.7 }, { name: 'PLAIN' }],
      filterId: 'F00-1.1',
      disposition: { kind: 'rejected', said: '554 5.7.1 We do not want this' },
    },
    message: {
      sender: 's@elsewhere.example',
      params: { client: { addr: '2001:db8::7', helo: 'mail.elsewhere.example', ident: '4AbCdEf' } },
    },
  });
  t.equal((await entryOf(text, 2)).recipient, '"odd, name"@quay.example');
  t.equal((await bytesOf(server, entry.messageId)).toString(), message);
  const client = await login(t, server, 'ada@harbour.example');
  t.ok((await client.ok('SELECT Caught')).includes('* 1 EXISTS'));
});

t.test('a form and JSON say the same, in any order of their parts', async (t) => {
  const { server, post, entryOf } = await world(t);
  const octets = Buffer.concat([Buffer.from(mailAbout('a form')), Buffer.from([0, 128, 255, 13, 10])]);
  const metadata = {
    from: 's@elsewhere.example',
    rcpt: ['ada@harbour.example'],
    score: 9,
    rules: ['A 1', { name: 'B', score: 2, words: 'why' }],
    client: { addr: '192.0.2.7' },
    queueId: 'Q1',
  };
  const part = (name: string, type: string) =>
    `Content-Disposition: form-data; name="${name}"\r\nContent-Type: ${type}`;
  const isIt = async (answer: { status: number; text: string }, what: string) => {
    t.equal(answer.status, 200, `${what}: ${answer.text}`);
    const entry = await entryOf(answer.text);
    t.match(
      entry,
      {
        owner: 'ada@harbour.example',
        verdict: {
          score: 9,
          rules: [
            { name: 'A', score: 1 },
            { name: 'B', score: 2, words: 'why' },
          ],
        },
        message: { sender: 's@elsewhere.example', params: { client: { addr: '192.0.2.7', ident: 'Q1' } } },
      },
      what,
    );
    t.ok((await bytesOf(server, entry.messageId)).equals(octets), `${what}: octets`);
    return entry.id;
  };
  const parts: [string, Buffer | string][] = [
    [part('metadata', 'application/json'), JSON.stringify(metadata)],
    [part('message', 'message/rfc822'), octets],
  ];
  const multipart = ['Content-Type', 'multipart/form-data; boundary="x0x0"'] as const;
  const first = await isIt(await post({ fields: [multipart], body: form(parts) }), 'metadata first');
  t.equal(
    await isIt(await post({ fields: [multipart], body: form(parts.toReversed()) }), 'message first'),
    first,
    'the same again is one',
  );
  const json = ['Content-Type', 'application/json; charset=utf-8'] as const;
  const message = octets.toString('base64');
  await isIt(await post({ fields: [json], body: JSON.stringify({ ...metadata, message }) }), 'JSON');
  await isIt(await post({ fields: [json], body: JSON.stringify({ message, ...metadata }) }), 'JSON, message first');

  const fields = await post({
    fields: [multipart],
    body: form([
      [part('message', 'message/rfc822'), mailAbout('single fields')],
      ['Content-Disposition: form-data; name="rcpt"', 'ada@harbour.example'],
      ['Content-Disposition: form-data; name="rcpt"', 'Bén@quay.example'],
      ['Content-Disposition: form-data; name="reason"', 'bulk'],
    ]),
  });
  t.equal(fields.status, 200, fields.text);
  t.match(await entryOf(fields.text, 1), {
    recipient: 'Bén@quay.example',
    verdict: { reason: 'bulk' },
    message: { sender: '', params: { smtputf8: true } },
  });
});

t.test('Rspamd 3.4 as it was recorded: fields of its own, 64 KiB and more of them', async (t) => {
  const { server, entryOf } = await world(t);
  const fixtures = join(import.meta.dirname, '../fixtures');
  const head = readFileSync(join(fixtures, 'wire/rspamd-http-head.txt'), 'latin1').split(/\r?\n/).slice(1);
  const recorded = head
    .map((line) => /^([^:]+): (.*)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => [match[1]!, match[2]!] as const)
    .filter(([name]) => !/^(content-length|connection|host|authorization)$/i.test(name));
  const body = readFileSync(join(fixtures, 'filtered/rspamd-http.eml'));
  const basic = ['Authorization', `Basic ${Buffer.from(`rspamd:${token}`).toString('base64')}`] as const;
  const path = '/intake/rspamd';
  const send = (fields: typeof recorded) =>
    ask({ port: server.addresses.intakeHttp[0]!.port, path, fields: [basic, ...fields], body });
  const answer = await send(recorded);
  t.equal(answer.status, 200, answer.text);
  const entry = await entryOf(answer.text);
  t.equal(entry.recipient, 'alice@example.test');
  t.equal((await entryOf(answer.text, 1)).recipient, 'bob@example.test');
  t.match(entry.verdict, {
    source: 'rspamd',
    reason: 'spam',
    score: 34.8,
    action: 'reject',
    disposition: { kind: 'rejected' },
    filterId: 'D42AC230077',
  });
  t.match(entry.verdict.rules[0], { name: 'LOCAL_TEST_REJECT', score: 20 }, 'what weighs most is first');
  t.ok(entry.verdict.rules.some(({ name, score, words }) => name === 'R_SPF_FAIL' && score === 1 && words === '-all'));
  t.match(entry.message, {
    sender: 'barrister@spam.test',
    params: { client: { addr: '198.51.100.7', ident: 'D42AC230077' } },
  });
  const stored = (await bytesOf(server, entry.messageId)).toString('latin1');
  t.ok(stored.startsWith('X-Test-Trigger: reject\r\nReceived: '), 'nothing is taken off it');

  const symbols = JSON.stringify(
    Array.from({ length: 900 }, (_, at) => ({ name: `SYMBOL_${at}`, score: at / 1000, options: ['x'.repeat(50)] })),
  );
  t.ok(symbols.length > 64 * 1024);
  const long = await send([
    ...recorded.filter(([name]) => name !== 'X-Rspamd-symbols'),
    ['X-Rspamd-symbols', symbols],
    ['X-Rspamd-Extra', 'new in a later one'],
  ]);
  t.equal(long.status, 200, 'long fields');
  const nobody = await send(
    recorded
      .map(([name, value]) => [name, /-(rcpt|from|qid|ip|user)$/.test(name) ? 'unknown' : value] as const)
      .concat([['X-Rspamd-x', 'y']]),
  );
  t.equal(nobody.status, 200, nobody.text);
  t.match(await entryOf(nobody.text), {
    recipient: '',
    owner: '',
    verdict: { reason: 'unknown' },
    message: { sender: '' },
  });
});

t.test('Rspamd of later versions: multipart in any order, and JSON around the message', async (t) => {
  const { server, post, entryOf } = await world(t);
  const metadata = JSON.parse(
    readFileSync(join(import.meta.dirname, '../fixtures/filtered/rspamd-http-json.json'), 'utf8'),
  ) as object;
  const to = { ...metadata, rcpt: ['ada@harbour.example'], from: 'unknown', size: 1100, uuid: 'x' };
  const path = '/intake/rspamd';
  const multipart = ['Content-Type', 'multipart/form-data; boundary="x0x0"'] as const;
  const parts = [
    [
      'Content-Disposition: form-data; name="message"; filename="message.eml"\r\nContent-Type: message/rfc822',
      mailAbout('later'),
    ],
    ['Content-Disposition: form-data; name="metadata"\r\nContent-Type: application/json', JSON.stringify(to)],
  ] as const;
  for (const order of [parts, parts.toReversed()]) {
    const answer = await post({ path, fields: [multipart], body: form(order) });
    t.equal(answer.status, 200, answer.text);
    t.match(await entryOf(answer.text), {
      owner: 'ada@harbour.example',
      verdict: { score: 34.8, action: 'reject' },
      message: { sender: '' },
    });
  }
  const withMessage = JSON.stringify({ ...to, message: Buffer.from(mailAbout('in JSON')).toString('base64') });
  const answer = await post({ path, fields: [['Content-Type', 'application/json']], body: withMessage });
  t.match(await entryOf(answer.text), { owner: 'ada@harbour.example', verdict: { score: 34.8 } });
  const without = await post({ path, fields: [['Content-Type', 'application/json']], body: JSON.stringify(to) });
  t.equal(without.status, 400);
  t.match(without.text, /no message in the JSON/);
  t.equal(server.events.filter(({ kind }) => kind === 'arrived').length, 2);
});

t.test(
  'what its sender will send again is answered, told and not kept; what was accepted or thrown away is',
  async (t) => {
    const { server, post, entryOf } = await world(t);
    const rspamd = (action: string) =>
      post({
        path: '/intake/rspamd',
        fields: [
          raw,
          ['X-Rspamd-action', action],
          ['X-Rspamd-rcpt', '["ada@harbour.example"]'],
          ['X-Rspamd-score', '8.1'],
        ],
        body: mailAbout('tried again and again'),
      });
    for (const action of ['soft reject', 'greylist'])
      t.match(await rspamd(action), { status: 200, text: '[]' }, action);
    t.match(
      await post({ fields: [raw, toAda, ['X-Lazaret-Disposition', 'put-off 451 4.7.1 Later']], body: mailAbout('x') }),
      { status: 200, text: '[]' },
    );
    t.match(
      await post({ fields: [raw, toAda, ['X-Lazaret-Disposition', 'rejected 450 4.7.1 Later']], body: mailAbout('x') }),
      { status: 200, text: '[]' },
    );
    t.same(
      server.events.map(({ kind }) => kind),
      Array(4).fill('put-off'),
    );
    t.match(server.events[2], { owner: 'ada@harbour.example', said: '451 4.7.1 Later' });
    const accepted = await rspamd('add header');
    t.match((await entryOf(accepted.text)).verdict.disposition, { kind: 'accepted' });
    t.match(JSON.parse((await rspamd('reject')).text), [{ how: 'repeat' }], 'a later try is the same message');
    const thrown = await post({
      path: '/intake/rspamd',
      fields: [raw, ['X-Rspamd-action', 'discard'], ['X-Rspamd-rcpt', '["ada@harbour.example"]']],
      body: mailAbout('thrown away'),
    });
    t.match((await entryOf(thrown.text)).verdict.disposition, { kind: 'discarded' });
    const client = await login(t, server, 'ada@harbour.example');
    t.ok((await client.ok('SELECT Caught')).includes('* 2 EXISTS'));
  },
);

t.test(
  'row 26: without a token, with a wrong one, or from an address that is not listed nothing is read',
  async (t) => {
    const { server } = await world(t);
    const { port } = server.addresses.intakeHttp[0]!;
    const body = mailAbout('not let in');
    for (const fields of [
      [],
      [['Authorization', 'Bearer wrong-token-12345678']],
      [['Authorization', `Bearer ${token}x`]],
      [['Authorization', `Bearer ${token.slice(0, -1)}`]],
      [['Authorization', `Basic ${Buffer.from(token).toString('base64')}`]],
      [['Authorization', `Basic ${Buffer.from(`${token}:x`).toString('base64')}`]],
      [['Authorization', token]],
      [['Authorization', 'Bearer']],
    ] as const) {
      for (const path of ['/intake', '/intake/rspamd', '/nowhere']) {
        const answer = await ask({ port, path, fields: [raw, toAda, ...fields], body });
        t.equal(answer.status, 401, `${path} ${fields.join()}`);
        t.match(answer.text, /^A token is needed: .*\n$/);
        t.match(answer.headers['www-authenticate'], /^Bearer/);
      }
    }
    const large = await ask({ port, fields: [raw, toAda], body: Buffer.alloc(8_000_000, 'x\r\n') });
    t.equal(large.status, 401, 'whoever sends on gets to read the answer');
    t.same(server.events, []);

    const elsewhere = await world(t, { trusted: ['192.0.2.0/24'] });
    const answer = await elsewhere.post({ fields: [raw, toAda], body });
    t.equal(answer.status, 403);
    t.equal(answer.text, 'This client may not hand mail over here\n');
    t.same(elsewhere.server.events, []);
  },
);

t.test('row 8: what comes by HTTP is kept octet by octet, raw, in a form and in JSON', async (t) => {
  const { server, post, entryOf } = await world(t);
  const folder = join(import.meta.dirname, '../fixtures/raw');
  const samples = readdirSync(folder).filter((name) => name.endsWith('.eml'));
  t.ok(samples.length > 70);
  for (const name of samples) {
    const sample = readFileSync(join(folder, name));
    const firstLf = sample.indexOf(10);
    if (sample.length === 0 || (firstLf >= 0 && sample[firstLf - 1] !== 13)) continue; // the next test is about these
    const rcpt = `${name.slice(0, -4)}@harbour.example`;
    const answers = [
      await post({ fields: [raw, ['X-Lazaret-Rcpt', rcpt]], body: sample }),
      await post({
        fields: [['Content-Type', 'multipart/form-data; boundary=x0x0']],
        body: form([
          ['Content-Disposition: form-data; name=message', sample],
          ['Content-Disposition: form-data; name=rcpt', rcpt],
        ]),
      }),
      await post({
        fields: [['Content-Type', 'application/json']],
        body: JSON.stringify({ rcpt, message: sample.toString('base64') }),
      }),
    ];
    for (const [at, { status, text }] of answers.entries()) {
      t.equal(status, 200, `${name} ${at}: ${text}`);
      t.match(JSON.parse(text), [{ how: at === 0 ? 'new' : 'repeat' }], `${name} ${at} is the same message`);
    }
    const { messageId } = await entryOf(answers[0]!.text);
    t.ok((await bytesOf(server, messageId)).equals(ended(sample)), `${name}: octets`);
  }
});

t.test('line ends become CRLF where the message has LF, and stay where it has CRLF', async (t) => {
  const { server, post, entryOf } = await world(t);
  for (const [what, sent, kept] of [
    ['LF', 'Subject: one\n\nline\nlast\n', 'Subject: one\r\n\r\nline\r\nlast\r\n'],
    ['CRLF with a bare LF', 'Subject: two\r\n\r\nbare\nLF\r\n', 'Subject: two\r\n\r\nbare\nLF\r\n'],
    ['no end of the last line', 'Subject: three\r\n\r\nlast', 'Subject: three\r\n\r\nlast\r\n'],
  ] as const) {
    const { messageId } = await entryOf((await post({ fields: [raw, toAda], body: sent })).text);
    t.equal((await bytesOf(server, messageId)).toString(), kept, what);
  }
});

t.test("fields of a filter within the message are its sender's, unless the listener names the filter", async (t) => {
  const spoofed = `X-Quarantine-ID: <forged>\r\nX-Envelope-To: <ben@quay.example>\r\nX-Spam-Flag: NO\r\n${mailAbout('spoofed')}`;
  const { post, entryOf, server } = await world(t);
  for (const path of ['/intake', '/intake/rspamd']) {
    const fields = path === '/intake' ? [raw, toAda] : [raw, ['X-Rspamd-rcpt', '["ada@harbour.example"]'] as const];
    const entry = await entryOf((await post({ path, fields, body: spoofed })).text);
    t.match(entry, { recipient: 'ada@harbour.example' }, path);
    t.not(entry.verdict.source, 'amavis', path);
    t.equal((await bytesOf(server, entry.messageId)).toString(), spoofed, path);
  }
  const amavis = await world(t, { http: [{ listen: '127.0.0.1:0', filter: 'amavis' }] });
  const answer = await amavis.post({ fields: [raw], body: spoofed });
  t.match(await amavis.entryOf(answer.text), { recipient: 'ben@quay.example', verdict: { source: 'amavis' } });
});

t.test('direction and disposition of the listener hold where the request says nothing', async (t) => {
  const { post, entryOf } = await world(t, {
    http: [{ listen: '127.0.0.1:0', direction: 'outgoing', disposition: 'discarded' }],
  });
  const from = ['X-Lazaret-From', 'ada@harbour.example'] as const;
  const to = ['X-Lazaret-Rcpt', 'who@elsewhere.example'] as const;
  t.match(await entryOf((await post({ fields: [raw, from, to], body: mailAbout('out') })).text), {
    direction: 'outgoing',
    owner: 'ada@harbour.example',
    verdict: { disposition: { kind: 'discarded' } },
  });
  const said = [['X-Lazaret-Direction', 'incoming'], ['X-Lazaret-Disposition', 'accepted'], toAda] as const;
  t.match(await entryOf((await post({ fields: [raw, ...said], body: mailAbout('in') })).text), {
    direction: 'incoming',
    owner: 'ada@harbour.example',
    verdict: { disposition: { kind: 'accepted' } },
  });
});
