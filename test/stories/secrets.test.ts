/** Row 37 of INTEGRATIONS §8.2, as far as it concerns what exists: the log at its most talkative, read after a day's work. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { createLogger } from '#app/observe/logger';
import { accounts, password, startApp } from '../support/app.ts';
import { ImapClient } from '../support/imap-client.ts';
import { Sink } from '../support/sink.ts';
import { handOver, login, mailAbout } from './hand-over.ts';

t.test('row 37: no password, no key and no body gets into the log', async (t) => {
  const hopPassword = 'hop-pass-7461';
  const hop = await Sink.start(t, {
    login: { user: 'relay', password: hopPassword },
    behave: ({ phase, recipient }) =>
      phase === 'rcpt' && recipient?.startsWith('ben') ? '550 5.1.1 No such user' : undefined,
  });
  // A learner that says so, Rspamd and webhook in one; and tells everybody what it was told.
  const told: string[] = [];
  const learner = createServer(async (request, response) => {
    told.push(JSON.stringify(request.headers));
    for await (const _ of request);
    response.end('{"success":true}');
  });
  await new Promise<void>((resolve) => learner.listen(0, '127.0.0.1', resolve));
  t.teardown(() => learner.close());
  const url = `http://127.0.0.1:${(learner.address() as AddressInfo).port}/`;
  const rspamdPassword = 'rspamd-pass-3318';
  const webhookSecret = 'webhook-secret-8852';
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
      delivery: { nextHop: `smtp://relay:${hopPassword}@127.0.0.1:${hop.port}?tls=none` },
      intake: {
        lmtp: ['127.0.0.1:0'],
        smtp: ['127.0.0.1:0'],
        handOverDomains: ['quarantine.example'],
        maxMessageBytes: 4096,
      },
      training: {
        trainers: [
          { type: 'command', spam: ['/bin/cat'], ham: ['/no/such/trainer'] },
          { type: 'rspamd', url, password: rspamdPassword },
          { type: 'webhook', url, secret: webhookSecret, privateNetworks: ['127.0.0.0/8'] },
        ],
      },
    },
    {},
    logger,
  );
  const body = 'body-text-5823';
  const mail = (subject: string) => ({
    recipients: ['ada@harbour.example', 'ben@quay.example'],
    message: mailAbout(subject, body),
  });
  await handOver(server, 'lmtp', [mail('one'), mail('two'), mail('three')]);
  t.match(await handOver(server, 'smtp', [{ ...mail('large'), message: mailAbout('x', body.repeat(999)) }]), [/^552/]);

  // Right, wrong, half and nonsense: whatever is typed beside a name is a password.
  const guess = 'guess-2219';
  const wrong = await ImapClient.connect(t, server.addresses.imap[0]!.port);
  await wrong.no(`LOGIN ada@harbour.example ${guess}`);
  await wrong.no(`LOGIN nobody@elsewhere.example ${guess}`);
  await wrong.bad(`LOGIN ada@harbour.example "${guess}`);
  await wrong.bad(`LOGIM ada@harbour.example ${guess}`);
  const plain = (user: string, pass: string) => Buffer.from(`\0${user}\0${pass}`).toString('base64');
  await wrong.no(`AUTHENTICATE PLAIN ${plain('ada@harbour.example', guess)}`);
  await wrong.ok(`AUTHENTICATE PLAIN ${plain('ada@harbour.example', password)}`);

  const client = await login(t, server, 'global');
  await client.ok('SELECT Caught');
  await client.ok(`UID SEARCH TEXT ${body}`);
  await client.no(`APPEND Release {${body.length + 4}+}\r\n\r\n${body}\r\n`);
  await client.ok(`APPEND Spam {${body.length + 4}+}\r\n\r\n${body}\r\n`);
  await client.ok('UID MOVE 1:2 Release');
  await client.ok('UID MOVE 3 "Not Spam"');
  await server.until('released');
  await server.until('release-failed');
  await server.until('trained');
  await server.until('training-waits');
  const key = Buffer.from((await server.app.store.settings.get('releaseKey'))!).toString('hex');

  t.ok(told.join().includes(rspamdPassword), 'Rspamd was told its own');
  t.notOk(told.join().includes(webhookSecret), 'a signature is all that a webhook is told');
  const lines = await server.app.store.jobs.trainings({ limit: 100 });
  t.ok(lines.length >= 3);
  log += JSON.stringify(lines.map(({ trainer, said }) => [trainer, trainer === 'command' ? '' : said]));
  t.ok(log.includes('"debug"'), 'everything that could be said was said');
  t.match(log, /tried to deliver/);
  for (const [what, secret] of Object.entries({
    hopPassword,
    rspamdPassword,
    webhookSecret,
    password,
    guess,
    body,
    key,
  }))
    for (const form of [secret, Buffer.from(secret).toString('base64').replace(/=+$/, '')])
      t.notOk(log.includes(form), `${what}: ${form}`);
  for (const user of accounts)
    for (const pass of [password, guess]) t.notOk(log.includes(plain(user, pass)), 'nor as it was sent');
});
