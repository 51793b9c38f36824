/** Releases back through the real amavisd-new behind the real Postfix, with the hook of deploy/filters (docs/release.md). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { signRelease } from '#app/quarantine/release-token';
import { Amavis, amavisOrSkip } from '../support/amavis.ts';
import { startApp } from '../support/app.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { freePort } from '../support/free-port.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import {
  drop,
  filterFile,
  forgeries,
  keyOf,
  openFolder,
  recipient,
  sender,
  spam,
  tokenIn,
  withToken,
  writeKey,
} from '../support/releases.ts';
import { Sink } from '../support/sink.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/connect/amavis.md';

t.test('a release passes amavis once, and nothing that looks like one; what comes back is known', async (t) => {
  if (!amavisOrSkip(t) || !postfixOrSkip(t)) return;
  const folder = openFolder(t);
  const [handOver, nextHop, inner] = [await Door.open(t), await Door.open(t), await Door.open(t)];
  const [mailbox, back] = [await Sink.start(t), await freePort()];
  const settings = parse(blockOf(page, 'lazaret.yaml'));
  settings.intake.lmtp[0].listen = '127.0.0.1:0';
  settings.delivery.nextHop = `smtp://127.0.0.1:${nextHop.port}?tls=none`;
  const server = await startApp(t, settings);
  handOver.leadTo(server.addresses.lmtp[0]!.port);
  const ours = await keyOf(server);
  const module = join(folder, 'LazaretRelease.pm');
  writeFileSync(module, filterFile('LazaretRelease.pm'));
  const amavis = await Amavis.start(t, {
    files: {
      '60-lazaret': fill(blockOf(page, '60-lazaret'), {
        'lmtp:[127.0.0.1]:24': `lmtp:[127.0.0.1]:${handOver.port}`,
        'smtp:[127.0.0.1]:10025': `smtp:[127.0.0.1]:${inner.port}`,
      }),
      '60-lazaret-release': fill(filterFile('amavis/60-lazaret-release'), {
        '/etc/amavis/LazaretRelease.pm': module,
        '/etc/amavis/lazaret-release.key': writeKey(folder, ours),
        '/var/lib/amavis/lazaret-seen': join(folder, 'seen'),
      }),
    },
    more: '$max_servers = 1;\n',
  });
  const postfix = await Postfix.start(t, {
    sinkPort: mailbox.port,
    main: fill(blockOf(page, 'after-queue/main.cf'), { '[127.0.0.1]:10024': `[127.0.0.1]:${amavis.port}` }),
    master: fill(blockOf(page, 'after-queue/master.cf'), { '127.0.0.1:10025': `127.0.0.1:${back}` }),
  });
  nextHop.leadTo(postfix.port);
  inner.leadTo(back);
  const caught = () => server.events.filter(({ kind }) => ['arrived', 'repeated', 'handed-back'].includes(kind));
  /** Where a message ends up. */
  const pass = async (message: Buffer | string, to = recipient) => {
    const before = { mailbox: mailbox.messages.length, caught: caught().length };
    await submit(postfix.port, { from: sender, to: [to], message });
    const kinds = ['arrived', 'repeated', 'handed-back'] as const;
    await Promise.race([
      mailbox.sees(({ messages }) => messages.length > before.mailbox),
      ...kinds.map((kind) => server.until(kind, caught().filter((event) => event.kind === kind).length + 1)),
    ]);
    return mailbox.messages.length > before.mailbox ? 'passed' : caught().at(-1)!.kind;
  };

  t.equal(await pass(spam('Caught, then released')), 'arrived', 'amavis catches it, and Lazaret has it');
  const { store } = server.app;
  const entry = (await store.entries.list({ scope: { level: 'global' }, limit: 1 }))[0]!;
  await drop(server, entry);
  await Promise.race([mailbox.sees(({ messages }) => messages.length === 1), server.until('handed-back')]);
  if (mailbox.messages.length !== 1) throw new Error(`not let through:\n${amavis.log.slice(-3000)}`);
  const text = mailbox.messages[0]!.bytes.toString('latin1');
  t.match(text, /GTUBE-STANDARD/);
  const sent = Buffer.from(text.slice(text.indexOf('Received: by quarantine.example')), 'latin1');
  t.match(tokenIn(sent, ours), { recipient, attempt: 1 });
  t.match(await store.entries.get(entry.id), { state: 'released' });

  t.equal(await pass(spam('After it')), 'arrived', 'the next message on its connection is judged as always');
  const known: Record<string, string> = { 'the same again': 'handed-back' };
  for (const [why, message, to] of forgeries(sent, ours)) {
    const end = await pass(message, to);
    t.not(end, 'passed', why);
    if (known[why]) {
      t.equal(end, known[why], `${why}: known as what it was`);
      const back = (await store.entries.get(entry.id))!;
      t.match(back, { state: 'held', folder: 'caught' });
      t.match(back.prefix, /X-Lazaret-Status: the filter handed it back/);
    }
  }
  t.equal(mailbox.messages.length, 1);
  const next = (attempt: number) => withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt }));
  t.equal(await pass(next(2)), 'passed', 'our next try passes');
  const odd = '"odd name"@harbour.example';
  const forOdd = withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, recipient: odd, attempt: 4 }));
  t.equal(await pass(forOdd, odd), 'passed', 'a quoted local part');

  inner.shut();
  await submit(postfix.port, { from: sender, to: [recipient], message: next(3) });
  await postfix.logs(/status=deferred/);
  inner.leadTo(back);
  const soFar = { mailbox: mailbox.messages.length, caught: caught().length };
  await postfix.flush();
  await Promise.race([
    mailbox.sees(({ messages }) => messages.length > soFar.mailbox),
    server.until('handed-back', server.events.filter(({ kind }) => kind === 'handed-back').length + 1),
  ]);
  t.equal(mailbox.messages.length, soFar.mailbox + 1, 'the same message, tried again by Postfix, passes');
  t.equal(caught().length, soFar.caught);

  const banned = spam('Banned', 'x').replace(
    '\r\n\r\nx',
    '\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name="invoice.pdf.exe"\r\n' +
      'Content-Disposition: attachment; filename="invoice.pdf.exe"\r\nContent-Transfer-Encoding: base64\r\n\r\n' +
      `TVqQAAMAAAAEAAAA${'A'.repeat(60)}\r\n`.repeat(8000),
  );
  // Of this size amavis has it in a file, and not in memory.
  t.equal(await pass(banned), 'arrived', 'a banned file is caught');
  const held = (await store.entries.list({ scope: { level: 'global' }, limit: 100 })).find(
    (each) => each.verdict.reason === 'banned',
  )!;
  const before = mailbox.messages.length;
  await drop(server, held);
  await Promise.race([mailbox.sees(({ messages }) => messages.length > before), server.until('release-failed')]);
  t.equal(mailbox.messages.length, before + 1, 'and passes when it was released');
});
