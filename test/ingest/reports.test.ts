import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { hasLoggedIn } from '#app/ingest/logged-in';
import type { Log } from '#app/observe/log';
import { silent } from '#app/observe/log';
import { startApp } from '../support/app.ts';
import { LmtpClient } from '../support/lmtp.ts';

const raw = join(import.meta.dirname, '../fixtures/raw');
const eml = (name: string) => readFileSync(join(raw, name)).toString('latin1');

/** A server whose learner is a Maildir, so that a test sees what was learned, octet by octet. */
async function reporting(t: Test, reports: Record<string, unknown> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-reports-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const told: string[] = [];
  const log: Log = { ...silent, info: (facts, text) => told.push(`${text}: ${JSON.stringify(facts)}`) };
  const test = await startApp(
    t,
    {
      training: {
        trainers: [{ type: 'maildir', spam: join(folder, 'spam'), ham: join(folder, 'ham') }],
        reports: { spam: ['spam@quarantine.example'], ham: ['not-spam@quarantine.example'], ...reports },
      },
    },
    {},
    log,
  );
  const client = await LmtpClient.connect(test.addresses.lmtp[0]!.port);
  t.teardown(() => client.close());
  return {
    ...test,
    told,
    /** One answer a recipient. */
    send: (sender: string, recipients: string[], message: string) => client.send(sender, recipients, message),
    learned(kind: 'spam' | 'ham'): string[] {
      const at = join(folder, kind, 'new');
      return readdirSync(at).map((name) => readFileSync(join(at, name)).toString('latin1'));
    },
  };
}

const submitted =
  'Received: from [192.0.2.9] (unknown [192.0.2.9])\r\n\tby mx.harbour.example (Postfix) with ESMTPSA id 4FzR2x\r\n\tfor <spam@quarantine.example>; Tue, 24 Nov 2026 10:00:00 +0000\r\n';
const foreign = submitted.replace('ESMTPSA', 'ESMTPS');

function forwarding(attached: readonly string[], top = submitted, more = ''): string {
  const parts = attached.map(
    (message) => `--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n${message}\r\n`,
  );
  return `${top}From: Ada <ada@harbour.example>\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below.\r\n${parts.join('')}${more}--b--\r\n`;
}

const spam = (name: string) => `From: promo@spam.example\r\nSubject: ${name}\r\n\r\nBuy ${name}\r\n`;
const ada = 'ada@harbour.example';

t.test('what is forwarded as attachment is learned, octet for octet', async (t) => {
  const { send, learned, until, app, events } = await reporting(t);
  t.match(await send('Ada+x@harbor.example', ['Spam@quarantine.example'], forwarding([spam('one'), spam('two')])), [
    /^250 .*2 of 2 to be learned as spam/,
  ]);
  t.match(await send(ada, ['not-spam@quarantine.example'], forwarding([spam('three')])), [
    /1 of 1 to be learned as ham/,
  ]);
  await until('trained', 3);
  t.same(learned('spam').sort(), [spam('one'), spam('two')]);
  t.same(learned('ham'), [spam('three')]);
  t.equal(
    (await app.store.entries.list({ scope: { level: 'global' }, limit: 10 })).length,
    0,
    'no entry is made of it',
  );
  t.match(
    events.find(({ kind }) => kind === 'dropped'),
    { account: ada, action: 'spam', count: 2 },
  );
  t.match(await send(ada, ['spam@quarantine.example'], forwarding([spam('one'), spam('two')])), [/0 of 2/], 'once');
  t.match(await send('ben@quay.example', ['spam@quarantine.example'], forwarding([spam('one')])), [/1 of 1/]);
});

t.test('ARF says itself what it is about', async (t) => {
  const { send, learned, until, told } = await reporting(t);
  const arf = (type: string) =>
    submitted + eml('ham-arf-report.eml').replace(/Feedback-Type: .*/, `Feedback-Type: ${type}\r`);
  t.match(await send(ada, ['not-spam@quarantine.example'], arf('abuse')), [/1 of 1 to be learned as spam/]);
  await until('trained', 1);
  t.equal(learned('spam').length, 1);
  t.match(await send(ada, ['spam@quarantine.example'], arf('not-spam')), [/1 of 1 to be learned as ham/]);
  t.match(await send(ada, ['spam@quarantine.example'], arf('auth-failure')), [/not learned from/]);
  t.match(told.join('\n'), /feedback of the type auth-failure/);
  t.match(
    await send(ada, ['spam@quarantine.example', 'not-spam@quarantine.example'], forwarding([spam('x')])),
    [/not learned from/, /not learned from/],
    'sent to both',
  );
  t.match(
    await send(ada, ['spam@quarantine.example', 'not-spam@quarantine.example'], arf('fraud')),
    [/as spam/, /as spam/],
    'sent to both, it decides',
  );
});

t.test('nothing is learned of strangers, forgers and those who did not log in; they are not told', async (t) => {
  const { send, app, told } = await reporting(t);
  const spams = ['spam@quarantine.example'];
  const ok = [/^250 .*not learned from/];
  t.match(await send('stranger@elsewhere.example', spams, forwarding([spam('a')])), ok, 'From: Ada counts for nothing');
  t.match(await send('', spams, forwarding([spam('a')])), ok);
  t.match(await send('nobody@harbour.example', spams, forwarding([spam('a')])), ok, 'ours, but without an account');
  t.match(await send('harbour.example', spams, forwarding([spam('a')])), ok, 'an account, but no address');
  t.match(await send(ada, spams, forwarding([spam('a')], foreign)), ok, 'from outside under her address');
  t.match(await send(ada, spams, forwarding([spam('a')], foreign + submitted)), ok, 'a forged Received below it');
  t.match(await send(ada, spams, forwarding([spam('a')], '')), ok);
  t.match(
    await send(ada, spams, `${submitted}Subject: Fwd: inline\r\n\r\n> ${spam('a')}`),
    ok,
    'quoted text is no message',
  );
  t.match(told.join('\n'), /no account here.*had not logged in.*no message is attached/s);
  t.same(await app.store.jobs.counts(), { ready: 0, leased: 0, done: 0, failed: 0, cancelled: 0 });
});

t.test('who is believed without a login is a setting', async (t) => {
  const { send, until } = await reporting(t, { loggedIn: false });
  t.match(
    await send('info@quay.example', ['spam@quarantine.example'], forwarding([spam('a')], '')),
    [/1 of 1/],
    'an alias of ben',
  );
  await until('trained', 1);
});

t.test('other recipients of a report get it as mail', async (t) => {
  const { send, app, until } = await reporting(t);
  const message = forwarding([spam('a')]);
  const answers = await send(ada, ['spam@quarantine.example', 'ben@quay.example'], message);
  t.match(answers, [/^250 .*kept as 1/, /^250 .*kept as 1/], 'one answer for all');
  await until('trained', 1);
  const [entry] = await app.store.entries.list({ scope: { level: 'global' }, limit: 10 });
  t.match(entry, { recipient: 'ben@quay.example', message: { sha256: String } });
  let octets = 0;
  for await (const part of app.store.messages.read(entry!.messageId)) octets += part.length;
  t.equal(octets, message.length);
});

t.test('nested, encoded and plenty', async (t) => {
  const { send, learned, until } = await reporting(t);
  const inner = spam('inside').trimEnd();
  const carrier = `From: a@b.example\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: message/rfc822\r\n\r\n${inner}\r\n--c--\r\n`;
  const coded = spam('base64');
  const part = (type: string, encoding: string, body: string) =>
    `--b\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}\r\n`;
  const lines = (text: string) =>
    Buffer.from(text)
      .toString('base64')
      .replace(/.{1,76}/g, '$&\r\n');
  const more =
    part('message/rfc822', 'base64', lines(coded)) +
    part('application/octet-stream; name="Mail.EML"', 'base64', lines(spam('eml'))) +
    part('application/octet-stream; name="virus.exe"', 'base64', lines('MZ')) +
    part('text/rfc822-headers', '7bit', 'Subject: only a header\r\n');
  const shown = `X-Lazaret-Id: 17\r\nX-Lazaret-Reason: spam (amavis)\r\n${spam('from here')}`;
  t.match(await send(ada, ['spam@quarantine.example'], forwarding([carrier, shown], submitted, more)), [/4 of 4/]);
  await until('trained', 4);
  t.same(
    learned('spam').sort(),
    [carrier, coded, spam('eml'), spam('from here')].sort(),
    'what is inside an attached message is a part of it, and our own lines are not',
  );
  const many = Array.from({ length: 1000 }, (_, i) => spam(`many ${i}`));
  t.match(await send(ada, ['spam@quarantine.example'], forwarding(many)), [/100 of 1000/]);
  await until('trained', 104);
  t.match(await send(ada, ['spam@quarantine.example'], submitted + eml('attack-nested-multipart-2000.eml')), [
    /not learned/,
  ]);
  t.match(await send(ada, ['spam@quarantine.example'], submitted + eml('attack-5000-parts.eml')), [/not learned/]);
  t.match(await send(ada, ['spam@quarantine.example'], submitted + eml('ham-rfc822-12-levels.eml')), [/1 of 1/]);
});

t.test('a login is shown by XCLIENT, or by the Received of the first machine of ours', (t) => {
  const ours = (address: string) => /^(127\.|10\.|::1$)/.test(address);
  const by = (protocol: string) => `\r\n\tby mx.example (Postfix) with ${protocol} id 1; now\r\n`;
  const local = `Received: from localhost (localhost [127.0.0.1])${by('ESMTP')}`;
  const cases: readonly (readonly [string, boolean, string])[] = [
    [submitted, true, 'ESMTPSA'],
    [`Received: from x (y [192.0.2.1])${by('UTF8SMTPSA')}`, true, 'RFC 6531'],
    [
      `Received: from [192.0.2.1] (helo=x)\r\n\tby mx with esmtpsa (TLS1.3) tls x (Exim 4.96)\r\n\t(envelope-from <a@b>) id 1\r\n`,
      true,
      'Exim',
    ],
    [`${local}${submitted}`, true, 'past a filter on this machine'],
    [`${local}${local}${foreign}${submitted}`, false, 'the first from elsewhere decides'],
    [`Received: from x by y with ESMTPSA (z [192.0.2.1])${by('ESMTP')}`, false, 'a HELO full of words'],
    [`Received: from [127.0.0.1] (unknown [192.0.2.1])${by('ESMTP')}${submitted}`, false, 'a HELO with our address'],
    [`Received: from unknown (HELO [127.0.0.1]) (192.0.2.1)${by('SMTP')}${submitted}`, false, 'the same, by qmail'],
    [`Received: from h ([192.0.2.1] helo=[127.0.0.1])${by('esmtp')}${submitted}`, false, 'the same, by Exim'],
    [`Received: from x (y [IPv6:::1])${by('ESMTP')}${submitted}`, true, 'IPv6'],
    [`Received: from x (y [IPv6:2001:db8::1])${by('ESMTP')}${submitted}`, false, 'IPv6 from elsewhere'],
    [
      `Received: by mx.example (Postfix, from userid 33)\r\n\tid 1; now\r\n${submitted}`,
      false,
      'a program of this machine',
    ],
    [`${local.repeat(30)}${submitted}`, false, 'too many'],
    ['Subject: none\r\n', false, 'no Received'],
  ];
  for (const [header, expected, why] of cases) t.equal(hasLoggedIn(header, {}, ours), expected, why);
  t.ok(hasLoggedIn(foreign, { login: 'ada' }, ours));
  t.notOk(hasLoggedIn(foreign, { login: '' }, ours), 'XCLIENT LOGIN=[UNAVAILABLE]');
  const began = performance.now();
  hasLoggedIn(`Received: from ${' by x with y'.repeat(80_000)}\r\n`, {}, ours);
  hasLoggedIn(`Received: from ${'1.2.3.4'.repeat(100_000)}\r\n`, {}, ours);
  hasLoggedIn(`Received: ${'['.repeat(500_000)}\r\n`, {}, ours);
  t.ok(performance.now() - began < 2000, 'bounded, whatever stands there');
  t.end();
});
