/** What filters found, from the settings to the mail client: on the whole server. */
import t from 'tap';
import { startApp } from '../support/app.ts';
import { handOver, login } from './hand-over.ts';

const ada = 'ada@harbour.example';
const message = [
  'Received: from mail.spam.test (mail.spam.test [198.51.100.7])',
  '\tby mx.harbour.example (Postfix) with ESMTP id 4AbC; Sun, 22 Nov 2026 01:00:00 +0000',
  'Authentication-Results: mx.harbour.example; spf=fail smtp.mailfrom=spam.test; dmarc=fail',
  'From: Bank <bank@spam.test>',
  'To: ada@harbour.example',
  'Subject: Your account',
  'Authentication-Results: mx.harbour.example; spf=pass; dkim=pass; dmarc=pass',
  'X-Forefront-Antispam-Report: SCL:-1;CAT:NONE;',
  'X-Bogosity: Ham, spamicity=0.01',
  'MIME-Version: 1.0',
  'X-Bogosity: Spam, spamicity=0.97',
  'X-Reasons: score 9.50 reason [SpamAssassin=6.20,Body=PE,Live=Y] action SPAM',
  '',
  'Click here.',
  '',
].join('\r\n');

t.test('a verdict is read as the listener says, shown in words and part of what is put on Release', async (t) => {
  const server = await startApp(t, {
    language: 'nl',
    intake: {
      lmtp: [
        {
          listen: '127.0.0.1:0',
          filter: 'icewarp:X-Reasons',
          also: ['bogofilter'],
          disposition: 'rejected 554 5.7.1 Spam',
        },
      ],
      smtp: ['127.0.0.1:0'],
      authservIds: ['mx.harbour.example'],
    },
  });
  t.match(await handOver(server, 'lmtp', [{ recipients: [ada], message }]), [/^250/]);
  const client = await login(t, server, ada);
  await client.ok('SELECT Caught');
  const [whole = ''] = await client.ok('FETCH 1 BODY.PEEK[]');
  const shown = whole.slice(whole.indexOf('\r\n') + 2, -1);
  const prefix = shown.slice(0, shown.indexOf('Received:'));
  t.equal(shown.slice(prefix.length), message, 'marks stay in the message');
  t.same(prefix.replaceAll('\r\n ', ' ').split('\r\n'), [
    'X-Lazaret-Id: 1',
    'X-Lazaret-Reason: spam (icewarp): het lijkt op spam',
    'X-Lazaret-Score: 9.5 punten (74 van 100)',
    'X-Lazaret-Rules: SpamAssassin=6.2, Body=P (de HTML- en tekstdelen komen niet overeen), Body=E (er staan externe afbeeldingen in de inhoud), Live=Y (de LIVE-servers noemen het spam)',
    'X-Lazaret-Also: bogofilter: spam, 0.97 waarschijnlijkheid (97 van 100)',
    'X-Lazaret-Authentication: spf=fail dmarc=fail',
    'X-Lazaret-Disposition: het is geweigerd, en de afzender ingelicht: 554 5.7.1 Spam',
    '',
  ]);
  t.match(await client.ok('SEARCH HEADER X-Lazaret-Authentication "dmarc=fail"'), [/^\* SEARCH 1\r?\n?$/]);

  // The same by the listener that names no filter: a stranger's words, all of them, but for those of our own server.
  t.match(await handOver(server, 'smtp', [{ recipients: ['ben@quay.example'], message }]), [/^250/]);
  const ben = await login(t, server, 'ben@quay.example');
  await ben.ok('SELECT Caught');
  const [other = ''] = await ben.ok(
    'FETCH 1 BODY.PEEK[HEADER.FIELDS (X-Lazaret-Reason X-Lazaret-Score X-Lazaret-Authentication)]',
  );
  t.match(other, /\r\nX-Lazaret-Reason: unknown\r\nX-Lazaret-Authentication: spf=fail dmarc=fail\r\n\r\n/);

  client.write(`p APPEND Release {${shown.length}+}\r\n${shown}\r\n`);
  t.equal((await client.answer('p')).status, 'OK', 'what is shown, put back, is known by its lines');
  await server.until('released');
  t.ok(server.sink.messages[0]?.bytes.toString('latin1').endsWith(message));
});
