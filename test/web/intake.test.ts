/** Mail handed over by HTTP, to a whole server: who may, what is kept, what is said. */
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLogger } from '#app/observe/logger';
import type { EntryId } from '#store/model';
import { ended, login, mailAbout } from '../stories/hand-over.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { type Asked, ask, form } from './request.ts';

const token = 'a-token-for-tests-1234';
const bearer = ['Authorization', `Bearer ${token}`] as const;
const raw = ['Content-Type', 'message/rfc822'] as const;
const toAda = ['X-Lazaret-Rcpt', 'ada@harbour.example'] as const;

/** `intake` goes on top of listeners on loopback. */
async function world(t: Test, intake: Record<string, unknown> = {}, settings: Record<string, unknown> = {}) {
  const server = await startApp(t, {
    intake: {
      lmtp: ['127.0.0.1:0'],
      smtp: [],
      http: ['127.0.0.1:0'],
      tokens: [{ name: 'tests', token }],
      handOverDomains: ['quarantine.example'],
      ...intake,
    },
    ...settings,
  });
  const post = (asked: Omit<Asked, 'port'>) =>
    ask({ port: server.addresses.intakeHttp[0]!.port, ...asked, fields: [bearer, ...(asked.fields ?? [])] });
  /** What is known about the entry that an answer names. */
  const entryOf = async (text: string, at = 0) => {
    const { entryId } = (JSON.parse(text) as { entryId: number }[])[at]!;
    const history = await server.app.store.entries.history(entryId as EntryId);
    return { ...history!.entry, message: history!.message };
  };
  return { server, post, entryOf };
}

async function bytesOf(server: TestApp, messageId: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of server.app.store.messages.read(messageId as never)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

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

t.test('a token may be configured as its hash, and several are told apart', async (t) => {
  const { createHash } = await import('node:crypto');
  const other = 'another-token-5678-abcd';
  const sha256 = createHash('sha256').update(other).digest('hex');
  const { server, post } = await world(t, {
    tokens: [token, { name: 'other', token: `sha256:${sha256.toUpperCase()}` }],
  });
  const { port } = server.addresses.intakeHttp[0]!;
  t.equal((await post({ fields: [raw, toAda], body: mailAbout('one') })).status, 200);
  const fields = [raw, toAda, ['Authorization', `Bearer ${other}`]] as const;
  t.equal((await ask({ port, fields, body: mailAbout('two') })).status, 200);
  t.equal(
    (await ask({ port, fields: [raw, toAda, ['Authorization', `Bearer sha256:${sha256}`]], body: 'x' })).status,
    401,
  );
});

t.test('row 36: objects, prototypes and names of fields are never more than they are', async (t) => {
  const { server, post } = await world(t);
  const message = Buffer.from(mailAbout('injected')).toString('base64');
  const json = ['Content-Type', 'application/json'] as const;
  const good = '"rcpt":"ada@harbour.example"';
  for (const [members, expected] of [
    ['"rcpt":{"$ne":null}', /^Rcpt: expected an address .* found an object/],
    ['"rcpt":[["ada@harbour.example"]]', /found a list/],
    ['"rcpt":[{"$gt":""}]', /found an object/],
    ['"rcpt":42', /found a number/],
    [`${good},"from":{"$ne":null}`, /^From: expected one address/],
    [`${good},"from":["a@b","c@d"]`, /^From: expected one address/],
    [`${good},"__proto__":{"class":"training"}`, /^__proto__ is not known here/],
    [`${good},"constructor":{"prototype":{"class":"training"}}`, /^Constructor is not known/],
    [`${good},"$where":"sleep(1000)"`, /^\$where is not known/],
    [`${good},"verdict.reason":"spam"`, /^Verdict.reason is not known/],
    [`${good},"client":{"addr":{"$ne":1}}`, /^Client-addr: expected one text, found an object/],
    [`${good},"client":{"__proto__":{"addr":"192.0.2.1"}}`, /^Client-__proto__ is not known/],
    [`${good},"client":"192.0.2.1"`, /^Client: expected an object/],
    [`${good},"client":{"addr":"elsewhere"}`, /^Client-addr: expected an IP address/],
    [`${good},"score":{"$gt":0}`, /^Score: expected a number/],
    [`${good},"score":"9e9"`, /^Score: expected a number/],
    [`${good},"rules":{"name":{"$ne":""}}`, /^Name: expected one text/],
    [`${good},"rules":[5]`, /^Rules: expected an object/],
    [`${good},"reason":"hasOwnProperty"`, /^Reason: expected one of spam, /],
    [`${good},"class":"toString"`, /^Class: expected one of held, training/],
    [`${good},"disposition":"maybe"`, /^Disposition: expected rejected/],
    [`${good},"source":"../x"`, /^Source: expected the name of a filter/],
    ['"rcpt":"a@b, c d@e"', /^Rcpt: expected an address .* found "a@b, c d@e"/],
    ['"rcpt":"\\"a@b, c@d"', /^Rcpt: expected an address/],
    ['"rcpt":"a@b\\r\\nRCPT TO:<c@d>"', /^Rcpt: expected an address/],
    ['"rcpt":"a@b> SIZE=1 <c@d"', /^Rcpt: expected an address/],
    ['"from":"a@b"', /^Whom was it sent to\?/],
  ] as const) {
    const answer = await post({ fields: [json], body: `{${members},"message":"${message}"}` });
    t.equal(answer.status, 400, members);
    t.match(answer.text, expected, members);
  }
  for (const [name, expected] of [
    ['X-Lazaret-Recipient', /^Recipient is not known here; what is: from, rcpt, /],
    ['X-Lazaret-__proto__', /^__proto__ is not known/],
    ['X-Lazaret-Verdict.Reason', /^Verdict.reason is not known/],
    ['X-Lazaret-$where', /^\$where is not known/],
  ] as const) {
    const answer = await post({ fields: [raw, toAda, [name, 'x']], body: mailAbout('injected') });
    t.equal(answer.status, 400, name);
    t.match(answer.text, expected, name);
  }
  const two = await post({
    fields: [raw, toAda, ['X-Lazaret-Score', '1'], ['X-Lazaret-Score', '2']],
    body: mailAbout('x'),
  });
  t.match(two, { status: 400, text: /^Score: expected a number/ });
  t.match(await post({ path: '/intake?rcpt=ada@harbour.example', fields: [raw, toAda], body: 'x' }), {
    status: 400,
    text: /^Only class/,
  });
  t.equal(({} as { class?: string }).class, undefined);
  t.same(server.events, [], 'nothing is kept of any of them');

  const odd = await post({
    path: '/intake/rspamd',
    fields: [
      raw,
      ['X-Rspamd-rcpt', '{"$ne":null}'],
      ['X-Rspamd-symbols', '[{"name":{"$ne":1}},null,7,{"name":"OK","score":"x"}]'],
      ['X-Rspamd-__proto__', 'x'],
      ['X-Rspamd-a.b', 'c'],
    ],
    body: mailAbout('odd'),
  });
  t.equal(odd.status, 200, 'what Rspamd says is not refused, and nobody becomes its recipient');
  t.match(server.events, [{ kind: 'arrived', owner: '' }]);
});

t.test('what cannot be taken says why', async (t) => {
  const { server, post } = await world(t, { maxMessageBytes: 10_000 });
  const large = mailAbout('large', `${'x'.repeat(70)}\r\n`.repeat(200));
  const multipart = ['Content-Type', 'multipart/form-data; boundary=x0x0'] as const;
  const json = ['Content-Type', 'application/json'] as const;
  async function* pieces() {
    for (let at = 0; at < large.length; at += 1000) yield Buffer.from(large.slice(at, at + 1000));
  }
  const inForm = form([
    ['Content-Disposition: form-data; name=message', large],
    ['Content-Disposition: form-data; name=rcpt', 'ada@harbour.example'],
  ]);
  for (const [what, status, expected, asked] of [
    ['too large', 413, /larger than this server takes \(10000 bytes\)/, { fields: [raw, toAda], body: large }],
    ['too large, in pieces', 413, /larger than/, { fields: [raw, toAda], body: pieces() }],
    ['too large, in a form', 413, /larger than/, { fields: [multipart], body: inForm }],
    [
      'too large, in JSON',
      413,
      /larger than/,
      { fields: [json], body: JSON.stringify({ rcpt: 'a@b', message: Buffer.from(large).toString('base64') }) },
    ],
    ['very large, announced', 413, /larger than/, { fields: [raw, toAda], body: Buffer.alloc(9_000_000, 'x') }],
    ['gzip', 415, /^Compressed bodies/, { fields: [raw, toAda, ['Content-Encoding', 'gzip']], body: 'x' }],
    [
      'another type',
      415,
      /^Expected Content-Type message\/rfc822/,
      { fields: [toAda, ['Content-Type', 'application/x-www-form-urlencoded']], body: 'x' },
    ],
    ['empty', 400, /^There is no message in it/, { fields: [raw, toAda] }],
    [
      'an empty part',
      400,
      /^There is no message in it/,
      {
        fields: [multipart],
        body: form([
          ['Content-Disposition: form-data; name=message', ''],
          ['Content-Disposition: form-data; name=rcpt', 'a@b'],
        ]),
      },
    ],
    [
      'no part message',
      400,
      /no part named message/,
      { fields: [multipart], body: form([['Content-Disposition: form-data; name=rcpt', 'a@b']]) },
    ],
    [
      'two messages',
      400,
      /two parts named message/,
      {
        fields: [multipart],
        body: form([
          ['Content-Disposition: form-data; name=message', 'a'],
          ['Content-Disposition: form-data; name=message', 'b'],
        ]),
      },
    ],
    [
      'metadata that is no JSON',
      400,
      /metadata of the form is not JSON/,
      {
        fields: [multipart],
        body: form([
          ['Content-Disposition: form-data; name=metadata', '{'],
          ['Content-Disposition: form-data; name=message', 'b'],
        ]),
      },
    ],
    [
      'metadata that is no object',
      400,
      /expected an object, found a list/,
      {
        fields: [multipart],
        body: form([
          ['Content-Disposition: form-data; name=metadata', '[1]'],
          ['Content-Disposition: form-data; name=message', 'b'],
        ]),
      },
    ],
    ['a form without boundary', 400, /no boundary/, { fields: [['Content-Type', 'multipart/form-data']], body: 'x' }],
    [
      'said twice',
      400,
      /rcpt is said twice/i,
      {
        fields: [multipart, toAda],
        body: form([
          ['Content-Disposition: form-data; name=rcpt', 'a@b'],
          ['Content-Disposition: form-data; name=message', 'b'],
        ]),
      },
    ],
    ['GET', 405, /^Messages are handed over by POST/, { method: 'GET' }],
    ['elsewhere', 404, /^Not found/, { path: '/intake/x', fields: [raw, toAda], body: 'x' }],
  ] as const) {
    const answer = await post(asked as Omit<Asked, 'port'>);
    t.equal(answer.status, status, what);
    t.match(answer.text, expected, what);
  }
  t.same(server.events, [], 'nothing is kept of any of them');
  t.equal((await post({ fields: [raw, toAda], body: mailAbout('and after all that') })).status, 200);
});

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

t.test('row 3: who got no answer sends it again, and it is one', async (t) => {
  const { server, post } = await world(t);
  const message = `Received: from x by mx.example id 4AbC; Tue, 24 Nov 2026 10:00:00 +0000\r\n${mailAbout('lost answer')}`;
  const { port } = server.addresses.intakeHttp[0]!;
  const head = `POST /intake HTTP/1.1\r\nHost: x\r\n${bearer.join(': ')}\r\n${raw.join(': ')}\r\n${toAda.join(': ')}\r\nContent-Length: ${message.length}\r\n\r\n`;
  // Gone in the middle; and gone when all is sent.
  for (const sent of [head + message.slice(0, -10), head + message])
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(sent, () => socket.destroy()));
      socket.on('close', () => resolve());
    });
  for (let again = 0; again < 2; again++) {
    const answer = await post({ fields: [raw, toAda], body: message });
    t.equal(answer.status, 200, answer.text);
  }
  t.equal(server.events.filter(({ kind }) => kind === 'arrived').length, 1);
  const client = await login(t, server, 'ada@harbour.example');
  t.ok((await client.ok('SELECT Caught')).includes('* 1 EXISTS'));
});

t.test('row 37: no token and nothing of a message gets into the log, however it goes', async (t) => {
  let log = '';
  const logger = createLogger({
    level: 'debug',
    format: 'json',
    to: {
      write(line) {
        log += line;
      },
    },
  });
  const server = await startApp(
    t,
    {
      intake: {
        lmtp: [],
        smtp: [],
        http: ['127.0.0.1:0'],
        tokens: [{ name: 'tests', token }],
        handOverDomains: ['quarantine.example'],
        maxMessageBytes: 4096,
      },
      trainingRequested: { default: 'off' },
    },
    {},
    logger,
  );
  const { port } = server.addresses.intakeHttp[0]!;
  const secret = 'body-text-5823';
  const wrong = 'wrong-token-7461-abcd';
  const body = mailAbout('secrets', secret);
  const json = ['Content-Type', 'application/json'] as const;
  const send = (fields: [string, string][], octets = body, path = '/intake') =>
    ask({ port, path, fields: [bearer, ...fields], body: octets }).catch((error: Error) => error.message);
  await send([[...raw], [...toAda]]);
  await send([[...raw], [...toAda], ['X-Lazaret-Class', 'training']]);
  await send([[...raw], [...toAda], ['X-Lazaret-Disposition', 'put-off']]);
  await send([[...raw], [...toAda]], body.repeat(100));
  await send([[...json]], `{"rcpt":"ada@harbour.example","message":"${secret}"`);
  await send([[...json]], `{"rcpt":{"$ne":"${secret}"},"message":"QQ=="}`);
  await send([['Content-Type', 'multipart/form-data; boundary=x']], secret);
  await send([[...raw], ['X-Rspamd-rcpt', secret], ['X-Rspamd-action', 'reject']], body, '/intake/rspamd');
  for (const shown of [`Bearer ${wrong}`, `Basic ${Buffer.from(`x:${wrong}`).toString('base64')}`])
    await ask({ port, fields: [raw, ['Authorization', shown]], body });
  const half = connect(port, '127.0.0.1');
  half.write(
    `POST /intake HTTP/1.1\r\nHost: x\r\n${bearer.join(': ')}\r\n${toAda.join(': ')}\r\nContent-Length: 999\r\n\r\n${body}`,
  );
  await new Promise<void>((sent) => half.end(sent));
  await server.app.store.close();
  t.match(await send([[...raw], [...toAda]]), { status: 503 });
  t.match(log, /A client was not let in/);
  t.match(log, /A message was not kept/);
  for (const [what, text] of Object.entries({ token, secret, wrong }))
    for (const form of [
      text,
      Buffer.from(text).toString('base64').replace(/=+$/, ''),
      Buffer.from(`x:${text}`).toString('base64'),
    ])
      t.notOk(log.includes(form), `${what}: ${form}`);
});
