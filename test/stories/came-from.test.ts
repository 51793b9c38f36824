/** Whom the mail server got a message from (XFORWARD, ORCPT): kept, told, and only believed from who may say it. Rows 9 and 26. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { run as runVerb } from '#app/cli/program';
import { RawClient } from '../smtp/raw-client.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { login, mailAbout, onTheWire } from './hand-over.ts';

/** What `lazaret show` says about an entry. */
async function shown(server: TestApp, id: number, ...more: string[]): Promise<string> {
  const config = join(server.folder, 'for-the-command-line.yaml');
  writeFileSync(config, `hostname: quarantine.example\nstore: "${server.storeUrl}"\n`);
  const out: string[] = [];
  const io = { env: {}, stdin: Readable.from([]), out: (text: string) => void out.push(text), err: () => {} };
  if ((await runVerb(['show', `${id}`, ...more, '--config', config], io)) !== 0) throw new Error(`show ${id}`);
  return out.join('');
}

t.test('what XFORWARD and ORCPT say is kept with each entry, and shown', async (t) => {
  const server = await startApp(t);
  const many = Array.from({ length: 60 }, (_, at) => `n${at}@harbour.example`);
  // Row 9: Postfix brings one message to many in several transactions, with one queue id.
  for (const [protocol, recipients] of [
    ['lmtp', many.slice(0, 50)],
    ['smtp', many.slice(50)],
  ] as const) {
    const client = await RawClient.connect(server.addresses[protocol][0]!.port);
    await client.command(protocol === 'lmtp' ? 'LHLO mx.example' : 'EHLO mx.example');
    t.match(await client.command('XFORWARD NAME=dyn-7.spam.test ADDR=198.51.100.7 PORT=4711 PROTO=ESMTP'), /^250/);
    t.match(await client.command('XFORWARD HELO=client+2Espam.test IDENT=4AbCdEf SOURCE=REMOTE'), /^250/);
    await client.command('MAIL FROM:<s@elsewhere.example> RET=HDRS ENVID=QQ314159');
    for (const recipient of recipients)
      t.match(await client.command(`RCPT TO:<${recipient}> ORCPT=rfc822;first+2B${recipient}`), /^250/);
    await client.command('DATA');
    client.write(onTheWire(mailAbout('by way of an MTA')));
    await client.replies(protocol === 'lmtp' ? recipients.length : 1);
    // What it said is about that message alone.
    await client.command('MAIL FROM:<s@elsewhere.example>');
    await client.command('RCPT TO:<ben@quay.example>');
    await client.command('DATA');
    client.write(onTheWire(mailAbout(`by itself, ${protocol}`)));
    await client.reply();
    client.close();
  }
  const entries = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 100 });
  t.equal(entries.length, 62);
  for (const { recipient, orcpt, message } of entries) {
    const isForwarded = recipient.startsWith('n');
    t.equal(message.params.client?.ident, isForwarded ? '4AbCdEf' : undefined);
    t.equal(message.params.envid, isForwarded ? 'QQ314159' : undefined);
    t.equal(orcpt, isForwarded ? `rfc822;first+2B${recipient}` : undefined);
  }
  const first = entries.find(({ recipient }) => recipient === 'n0@harbour.example')!;
  const said = await shown(server, first.id);
  t.match(
    said,
    /^came from +dyn-7\.spam\.test \[198\.51\.100\.7\] helo=client\.spam\.test, by ESMTP, queue id 4AbCdEf$/m,
  );
  t.match(said, /^first sent to +first\+n0@harbour\.example$/m);
  t.match(JSON.parse(await shown(server, first.id, '--json')), {
    message: { params: { client: { addr: '198.51.100.7' } } },
  });
  const direct = entries.find(({ recipient }) => recipient === 'ben@quay.example')!;
  t.notMatch(await shown(server, direct.id), /came from|first sent to/);

  const global = await login(t, server, 'global');
  await global.ok('SELECT Caught');
  await global.ok(`UID MOVE ${first.uid} Release`);
  await server.until('released');
  t.match(server.sink.messages[0], { sender: 's@elsewhere.example', recipients: ['n0@harbour.example'] });
});

t.test('row 26: who may not hand mail over may say nothing of the kind either', async (t) => {
  const server = await startApp(t, {
    intake: { lmtp: ['127.0.0.1:0'], smtp: ['127.0.0.1:0'], trusted: ['192.0.2.0/24'], handOverDomains: [] },
  });
  for (const protocol of ['lmtp', 'smtp'] as const) {
    const client = await RawClient.connect(server.addresses[protocol][0]!.port);
    await client.command(protocol === 'lmtp' ? 'LHLO x' : 'EHLO x');
    t.match(await client.command('XFORWARD ADDR=192.0.2.1'), /^550 5\.7\.0 /);
    t.match(await client.command('XCLIENT ADDR=192.0.2.1'), /^550 5\.7\.0 /);
    t.match(await client.command('MAIL FROM:<s@elsewhere.example>'), /^554 5\.7\.1 /);
    client.close();
  }
  t.same(server.events, []);
});
