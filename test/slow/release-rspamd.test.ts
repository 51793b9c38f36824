/** Releases back through the real Rspamd as a milter of the real Postfix, with the rule of deploy/filters (docs/release.md). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { signRelease } from '#app/quarantine/release-token';
import { startApp } from '../support/app.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import {
  filterFile,
  forgeries,
  keyOf,
  openFolder,
  recipient,
  releaseOne,
  sender,
  spam,
  tokenIn,
  withToken,
  writeKey,
} from '../support/releases.ts';
import { rspamdOrSkip, TestRspamd } from '../support/rspamd.ts';
import { Sink } from '../support/sink.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/release.md';

t.test('a release passes Rspamd once, and nothing that looks like one', async (t) => {
  if (!rspamdOrSkip(t) || !postfixOrSkip(t)) return;
  const folder = openFolder(t);
  const mailbox = await Sink.start(t);
  const door = await Door.open(t);
  const server = await startApp(t, { delivery: { nextHop: `smtp://127.0.0.1:${door.port}?tls=none` } });
  const ours = await keyOf(server);
  const keyFile = writeKey(folder, ours);
  const rule = join(folder, 'lazaret-release.lua');
  writeFileSync(rule, fill(filterFile('rspamd/lazaret-release.lua'), { '/etc/rspamd/lazaret-release.key': keyFile }));
  const rspamd = await TestRspamd.start(t, (_, redis) => ({
    'local.d/redis.conf': fill(blockOf(page, 'rspamd/local.d/redis.conf'), {
      '127.0.0.1:6379': `127.0.0.1:${redis.port}`,
    }),
    'local.d/rspamd.lua': fill(blockOf(page, 'rspamd/rspamd.local.lua'), { '/etc/rspamd/lazaret-release.lua': rule }),
  }));
  const postfix = await Postfix.start(t, {
    sinkPort: mailbox.port,
    main: `smtpd_milters = inet:127.0.0.1:${rspamd.ports.milter}\nmilter_default_action = tempfail\n`,
  });
  door.leadTo(postfix.port);

  const stranger = await submit(postfix.port, { from: sender, to: [recipient], message: spam('Stranger') });
  t.match(stranger.reply, /^5\d\d .*Gtube/, 'it is caught when it comes from outside');

  await releaseOne(server, spam('Released'));
  await Promise.race([server.until('released'), server.until('release-failed')]);
  if (!server.events.some(({ kind }) => kind === 'released'))
    throw new Error(`not released:\n${rspamd.log.slice(-3000)}`);
  await mailbox.sees(({ messages }) => messages.length === 1);
  const [arrived] = mailbox.messages;
  t.match(arrived!.bytes.toString('latin1'), /GTUBE-STANDARD/);
  // What Lazaret sent: without what Postfix put on top.
  const text = arrived!.bytes.toString('latin1');
  const sent = Buffer.from(text.slice(text.indexOf('Received: by quarantine.example (Lazaret)')), 'latin1');
  t.match(tokenIn(sent, ours), { recipient, attempt: 1 });

  for (const [why, message, to] of forgeries(sent, ours)) {
    const { reply } = await submit(postfix.port, { from: sender, to: [to], message });
    t.match(reply, /^5\d\d .*Gtube/, why);
  }
  const two = await submit(postfix.port, {
    from: sender,
    to: [recipient, 'ben@harbour.example'],
    message: withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt: 80 })),
  });
  t.match(two.reply, /^5\d\d .*Gtube/, 'for one, and to a second');
  t.equal(mailbox.messages.length, 1, 'none of it arrived');

  const next = withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt: 2 }));
  const scan = (message: Buffer, queueId?: string) =>
    rspamd.scan(message, { from: sender, to: [recipient], ...(queueId && { more: { 'Queue-Id': queueId } }) });
  t.match(await scan(next, 'Q1'), { action: 'no action', symbols: { LAZARET_RELEASED: {} } }, 'our next try passes');
  t.match(await scan(next, 'Q1'), { action: 'no action' }, 'the mail server in front may ask again');
  t.match(await scan(next, 'Q2'), { action: 'reject' }, 'somebody else may not');
  const third = withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt: 3 }));
  t.match(await scan(third), { action: 'no action' }, 'without a queue id it is the header that counts');
  t.match(await scan(third), { action: 'no action' });
  const replayed = Buffer.concat([Buffer.from('Received: from elsewhere\r\n'), third]);
  t.match(await scan(replayed), { action: 'reject' });
  const asLf = Buffer.from(
    withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt: 4 }))
      .toString('latin1')
      .replaceAll('\r\n', '\n'),
    'latin1',
  );
  t.match(await scan(asLf), { action: 'no action' }, 'lines that came to end with LF');

  const odd = '"odd name"@Harbour.example';
  const forOdd = withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, recipient: odd, attempt: 6 }));
  const told = { from: sender, to: [odd.replace('Harbour', 'harbour')] };
  t.match(await rspamd.scan(forOdd, told), { action: 'no action' }, 'a quoted local part');

  await rspamd.redis.kill();
  const last = withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt: 5 }));
  t.match(await scan(last), { action: 'reject' }, 'without its memory it lets nothing through');
});
