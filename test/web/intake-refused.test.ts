/** Mail handed over by HTTP, to a whole server: who may not, what cannot be taken, and what nobody learns of it. */
import { connect } from 'node:net';
import t from 'tap';
import { createLogger } from '#app/observe/logger';
import { login, mailAbout } from '../stories/hand-over.ts';
import { startApp } from '../support/app.ts';
import { bearer, raw, toAda, token, world } from './intake-world.ts';
import { type Asked, ask, form } from './request.ts';

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
    [`${good},"score":1e300`, /^Score: expected a number/],
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
