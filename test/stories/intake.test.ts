/** Rows 3 and 4 and the envelope's way through the whole server: what was handed over is kept once, and goes out as it came. */
import t from 'tap';
import { RawClient } from '../smtp/raw-client.ts';
import { startApp } from '../support/app.ts';
import { handOver, login, mailAbout, onTheWire } from './hand-over.ts';

const traced = (message: string) =>
  `Received: from mx.elsewhere.example by mx.example (Postfix) id 4AbC; Tue, 24 Nov 2026 10:00:00 +0000\r\n${message}`;
/** As amavis writes it: a new id, and a new Received with it, in every try. */
const byAmavis = (id: string, message: string) =>
  `X-Envelope-From: <s@elsewhere.example>\r\nX-Envelope-To: <ada@harbour.example>,\r\n <ben@quay.example>\r\nX-Quarantine-ID: <${id}>\r\n` +
  `Received: from x by mx.example (amavis, port 10024) with ESMTP\r\n id ${id}; Tue, 24 Nov 2026 10:00:0${id.length % 10} +0000\r\n${message}`;

t.test('row 3: after a lost answer the same mail comes again, and is one copy for each recipient', async (t) => {
  const server = await startApp(t);
  const recipients = ['ada@harbour.example', 'ben@quay.example'];
  const rounds = 12;
  for (let round = 0; round < rounds; round++) {
    const protocol = round % 2 === 0 ? 'lmtp' : 'smtp';
    const text = traced(mailAbout(`lost ${round}.`));
    const message = (attempt: number) =>
      round % 3 === 0 ? byAmavis(`try${round}x${'y'.repeat(attempt)}`, text) : text;
    for (let attempt = 0; attempt < 3; attempt++) {
      const client = await RawClient.connect(server.addresses[protocol][0]!.port);
      await client.command(protocol === 'lmtp' ? 'LHLO x' : 'EHLO x');
      await client.command('MAIL FROM:<s@elsewhere.example>');
      for (const recipient of recipients) await client.command(`RCPT TO:<${recipient}>`);
      await client.command('DATA');
      const octets = onTheWire(message(attempt));
      // Once without its end, once with it and gone before the answer, once more gone a moment later.
      await client.pieces(attempt === 0 ? octets.subarray(0, -5) : octets, () => 1_000_000);
      if (attempt === 2) await new Promise((resolve) => setImmediate(resolve));
      client.close();
    }
    const [reply] = await handOver(server, protocol, [
      { recipients, message: message(5), sender: 's@elsewhere.example' },
    ]);
    t.match(reply, /^250 2\.0\.0 /);
  }
  for (const user of recipients) {
    const client = await login(t, server, user);
    t.ok((await client.ok('SELECT Caught')).includes(`* ${rounds} EXISTS`), `${user} has each once`);
  }
});

t.test('row 4: one answer for all recipients of a transaction, and nothing kept when it is a refusal', async (t) => {
  const server = await startApp(t, {
    intake: { lmtp: ['127.0.0.1:0'], smtp: ['127.0.0.1:0'], maxMessageBytes: 100_000 },
  });
  const recipients = ['ada@harbour.example', 'nobody-knows@harbour.example', 'who@foreign.example'];
  const client = await RawClient.connect(server.addresses.lmtp[0]!.port);
  await client.command('LHLO x');
  const send = async (message: string) => {
    t.match(await client.command('MAIL FROM:<s@elsewhere.example>'), /^250/);
    for (const recipient of recipients) t.match(await client.command(`RCPT TO:<${recipient}>`), /^250/);
    t.match(await client.command('DATA'), /^354/);
    client.write(onTheWire(message));
    return client.replies(recipients.length);
  };
  const refused = await send(mailAbout('too large', 'x'.repeat(70).concat('\r\n').repeat(2000)));
  t.equal(new Set(refused).size, 1);
  t.match(refused[0], /^552 5\.3\.4 /);
  t.same(server.events, [], 'nothing is kept of it');
  const kept = await send(mailAbout('small'));
  t.equal(new Set(kept).size, 1);
  t.match(kept[0], /^250 2\.0\.0 /);
  t.equal(server.events.length, 3);
  client.close();
});

t.test('the envelope goes out as it came: null sender, quoted, tagged, UTF-8, aliases', async (t) => {
  const server = await startApp(t);
  const envelopes: [string, string][] = [
    ['', 'ada@harbour.example'],
    ['a@elsewhere.example', '"odd name"@harbour.example'],
    ['"a,b>c"@elsewhere.example', 'ada+list@harbour.example'],
    ['a@elsewhere.example', 'Ada@HARBOR.example'],
    ['müller@elsewhere.example', 'ädä@harbour.example'],
    ['a@elsewhere.example', 'info@quay.example'],
    ['SRS0=x=y=example.org=me@elsewhere.example', 'postmaster@quay.example'],
    ['b@elsewhere.example', 'a{}|~!#$%&*/=?^_`@harbour.example'],
  ];
  for (const protocol of ['lmtp', 'smtp'] as const) {
    const client = await RawClient.connect(server.addresses[protocol][0]!.port);
    // As Rspamd does: no EHLO, and a blank behind the colon.
    const [hello, blank] = protocol === 'lmtp' ? ['LHLO x', ''] : ['HELO x', ' '];
    await client.command(hello);
    for (const [at, [sender, recipient]] of envelopes.entries()) {
      const params = /[^\x00-\x7f]/.test(sender) && protocol === 'lmtp' ? ' SMTPUTF8 BODY=8BITMIME' : '';
      t.match(await client.command(`MAIL FROM:${blank}<${sender}>${params}`), /^250/, sender);
      t.match(await client.command(`RCPT TO:${blank}<${recipient}>`), /^250/, recipient);
      t.match(await client.command('DATA'), /^354/);
      client.write(onTheWire(mailAbout(`${protocol} ${at}.`)));
      t.match(await client.reply(), /^250 2\.0\.0 /);
    }
    client.close();
  }
  const global = await login(t, server, 'global');
  await global.ok('SELECT Caught');
  await global.ok('MOVE 1:* Release');
  await server.until('released', 2 * envelopes.length);
  for (const { sender, recipients, bytes } of server.sink.messages) {
    const at = Number(/^Subject: \w+ (\d+)\./m.exec(bytes.toString('latin1'))?.[1]);
    const [from, to] = envelopes[at]!;
    t.equal(sender, from);
    const [said] = recipients;
    t.equal(said, to);
  }
});
