/** Releases back through the real spamd in the pipe of the real Postfix, with the plugin of deploy/filters (docs/release.md). */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { signRelease } from '#app/quarantine/release-token';
import { startApp } from '../support/app.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Door } from '../support/door.ts';
import { freePort } from '../support/free-port.ts';
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
import { Sink } from '../support/sink.ts';
import { spamdOrSkip, TestSpamd } from '../support/spamd.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/release.md';
const readPage = (name: string) => readFileSync(join(import.meta.dirname, '../..', name), 'utf8');
const pipePage = 'docs/connect/spamassassin.md';

t.test('a release passes SpamAssassin once, and nothing that looks like one', async (t) => {
  if (!spamdOrSkip(t) || !postfixOrSkip(t)) return;
  const folder = openFolder(t);
  const door = await Door.open(t);
  const server = await startApp(t, { delivery: { nextHop: `smtp://127.0.0.1:${door.port}?tls=none` } });
  const ours = await keyOf(server);
  const plugin = join(folder, 'LazaretRelease.pm');
  const seen = join(folder, 'seen');
  writeFileSync(plugin, filterFile('LazaretRelease.pm'));
  const spamd = await TestSpamd.start(t, {
    arguments: () => ['--username=debian-spamd', '--nouser-config'],
    localCf: () =>
      `report_safe 0\nuse_bayes 0\n${fill(filterFile('spamassassin/lazaret-release.cf'), {
        '/etc/spamassassin/LazaretRelease.pm': plugin,
        '/etc/spamassassin/lazaret-release.key': writeKey(folder, ours),
        '/var/lib/spamassassin/lazaret-seen': seen,
      })}`,
  });
  // What passes goes to the mailboxes, what is caught to another place, as in the page about SpamAssassin.
  const [mailbox, caught] = [await Sink.start(t), await Sink.start(t)];
  const [back, inner] = [await freePort(), await Door.open(t)];
  const script = join(folder, 'spamassassin');
  writeFileSync(
    script,
    fill(blockOf(pipePage, 'spamassassin').replace(/^spamc .*\n/m, blockOf(page, 'spamassassin/line')), {
      '-p 783': `-p ${spamd.port}`,
      '127.0.0.1:10026': `127.0.0.1:${inner.port}`,
      '127.0.0.1:2525': `127.0.0.1:${caught.port}`,
    }),
  );
  chmodSync(script, 0o755);
  const postfix = await Postfix.start(t, {
    sinkPort: mailbox.port,
    main: blockOf(page, 'spamassassin/main.cf'),
    master:
      fill(blockOf(pipePage, 'master.cf'), { '/etc/postfix/spamassassin': script }) +
      fill(blockOf('docs/connect/postfix.md', 'reinject/master.cf'), { '127.0.0.1:10026': `127.0.0.1:${back}` }),
  });
  door.leadTo(postfix.port);
  inner.leadTo(back);
  const pass = async (message: Buffer | string, to = recipient) => {
    const before = { mailbox: mailbox.messages.length, caught: caught.messages.length };
    await submit(postfix.port, { from: sender, to: [to], message });
    await Promise.race([
      mailbox.sees(({ messages }) => messages.length > before.mailbox),
      caught.sees(({ messages }) => messages.length > before.caught),
    ]);
    return mailbox.messages.length > before.mailbox ? 'passed' : 'caught';
  };

  t.equal(await pass(spam('Stranger')), 'caught');
  await releaseOne(server, spam('Released'));
  await Promise.race([
    mailbox.sees(({ messages }) => messages.length === 1),
    caught.sees(({ messages }) => messages.length > 1),
  ]);
  if (mailbox.messages.length !== 1) throw new Error(`not let through:\n${spamd.log.slice(-3000)}`);
  const text = mailbox.messages[0]!.bytes.toString('latin1');
  t.match(text, /GTUBE-STANDARD/);
  t.match(text, /LAZARET_RELEASED/, 'and says why');
  const sent = Buffer.from(text.slice(text.indexOf('Received: by quarantine.example (Lazaret)')), 'latin1');
  t.match(tokenIn(sent, ours), { recipient, attempt: 1 });

  for (const [why, message, to] of forgeries(sent, ours)) t.equal(await pass(message, to), 'caught', why);
  const next = (attempt: number) => withToken(sent, signRelease(ours, { ...tokenIn(sent, ours)!, attempt }));
  t.equal(await pass(next(2)), 'passed', 'our next try passes');
  t.equal(await pass(next(2)), 'caught', 'and once only');

  inner.shut();
  await submit(postfix.port, { from: sender, to: [recipient], message: next(3) });
  await postfix.logs(/status=deferred/);
  t.equal(readdirSync(seen).length, 3, 'it was let through, and could not go on');
  inner.leadTo(back);
  const [before, caughtBefore] = [mailbox.messages.length, caught.messages.length];
  await postfix.flush();
  await Promise.race([
    mailbox.sees(({ messages }) => messages.length > before),
    caught.sees(({ messages }) => messages.length > caughtBefore),
  ]);
  t.equal(mailbox.messages.length, before + 1, 'the same message, tried again by Postfix, passes');

  // The recipient from a field of the mail server's, as on the page.
  const site = join(folder, 'site');
  mkdirSync(site);
  for (const name of readdirSync(spamd.folder))
    if (name.endsWith('.pre')) copyFileSync(join(spamd.folder, name), join(site, name));
  writeFileSync(
    join(site, 'local.cf'),
    fill(filterFile('spamassassin/lazaret-release.cf'), {
      '/etc/spamassassin/LazaretRelease.pm': plugin,
      '/etc/spamassassin/lazaret-release.key': join(folder, 'lazaret-release.key'),
      '/var/lib/spamassassin/lazaret-seen': seen,
    }).replace(/^lazaret_recipient .*$/m, /`(lazaret_recipient header [^`]+)`/.exec(readPage(page))![1]!),
  );
  const judged = (...to: string[]) =>
    spawnSync('spamassassin', ['-L', `--siteconfigpath=${site}`, '--prefspath=/dev/null'], {
      input: Buffer.concat([Buffer.from(to.map((each) => `X-Original-To: ${each}\r\n`).join('')), next(5)]),
    }).stdout.toString('latin1');
  const isSpam = /^X-Spam-Status: Yes,/m;
  t.match(judged('ben@harbour.example', recipient), isSpam, 'only the topmost field counts');
  t.match(judged(), isSpam, 'and there must be one');
  t.match(judged(recipient), /^X-Spam-Status: No,/m);

  const [one, ...others] = readdirSync(seen);
  utimesSync(join(seen, one!), 1, 1);
  writeFileSync(join(seen, '.1-1-1'), '');
  t.equal(spawnSync('perl', ['-e', `require '${plugin}'; LazaretRelease::forget('${seen}')`]).status, 0);
  t.same(
    readdirSync(seen).sort(),
    ['.1-1-1', ...others].sort(),
    'what is not valid any more is forgotten, what is being written is not',
  );
});
