import t from 'tap';
import { type ArfTrainerOptions, createArfTrainer } from '#app/training/arf';
import { lessonOf, patience } from '../support/lesson.ts';

interface Sent {
  readonly to: string;
  readonly text: string;
  readonly size: number;
}

function trainer(
  answer: Awaited<ReturnType<ArfTrainerOptions['send']>> | Error,
  more: Partial<ArfTrainerOptions> = {},
) {
  const sent: Sent[] = [];
  const arf = createArfTrainer({
    name: 'reports',
    spam: 'spam@reports.example',
    ham: 'ham@reports.example',
    hostname: 'quarantine.example',
    version: '1.2.3',
    now: () => Date.UTC(2026, 10, 8, 13, 11, 24),
    async send({ to, source, size }) {
      if (answer instanceof Error) throw answer;
      const texts: string[] = [];
      for (let times = 0; times < 2; times++) {
        let text = '';
        for await (const chunk of source()) text += Buffer.from(chunk).toString('latin1');
        texts.push(text);
      }
      t.equal(texts[0], texts[1], 'read again it is the same');
      sent.push({ to, size, text: texts[0] as string });
      return answer;
    },
    ...more,
  });
  return { arf, sent };
}

const accepted = { kind: 'accepted', said: '250 Ok' } as const;

/** Header and parts, each part with its own header. */
function partsOf(text: string) {
  const boundary = /boundary="([^"]+)"/.exec(text)?.[1] as string;
  const [head, ...parts] = text.split(`\r\n--${boundary}`);
  return { head: head as string, parts: parts.slice(0, -1).map((part) => part.slice(2)), end: parts.at(-1) };
}

t.test('a report in Abuse Reporting Format, the message in it octet by octet', async (t) => {
  const { arf, sent } = trainer(accepted);
  const message = 'Subject: \xfc\r\n\r\n--x\r\n.\r\nno end';
  t.same(await arf.train(lessonOf(message), patience()), { kind: 'learned', said: '250 Ok' });
  const [{ to, text, size }] = sent as [Sent];
  t.equal(to, 'spam@reports.example');
  t.equal(size, text.length);
  const { head, parts, end } = partsOf(text);
  t.equal(end, '--\r\n');
  t.equal(
    head.replace(/boundary=.*/, 'boundary').replace(/<report\.[0-9a-f]{32}@/, '<report.@'),
    [
      'From: Lazaret <postmaster@quarantine.example>',
      'To: <spam@reports.example>',
      'Subject: Report of spam',
      'Date: Sun, 08 Nov 2026 13:11:24 +0000',
      'Message-ID: <report.@quarantine.example>',
      'Auto-Submitted: auto-generated',
      'MIME-Version: 1.0',
      'Content-Type: multipart/report; report-type=feedback-report;',
      ' boundary',
      '',
    ].join('\r\n'),
  );
  t.equal(parts.length, 3);
  t.equal(
    parts[1],
    [
      'Content-Type: message/feedback-report',
      '',
      'Feedback-Type: abuse',
      'User-Agent: Lazaret/1.2.3',
      'Version: 1',
      'Original-Mail-From: <promo@spam.example>',
      'Original-Rcpt-To: <ada@harbour.example>',
      '',
    ].join('\r\n'),
  );
  t.equal(
    parts[2],
    `Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\nContent-Disposition: attachment\r\n\r\n${message}`,
  );

  await arf.train(lessonOf(message, { class: 'ham', sender: '', recipient: '' }), patience());
  const ham = partsOf((sent[1] as Sent).text);
  t.equal((sent[1] as Sent).to, 'ham@reports.example');
  t.match(ham.parts[1], 'Feedback-Type: not-spam\r\n');
  t.match(ham.parts[1], 'Original-Mail-From: <>\r\n');
  t.notMatch(ham.parts[1], /Original-Rcpt-To/);
});

t.test('nothing of an envelope adds a line, and each training has its Message-ID', async (t) => {
  const { arf, sent } = trainer(accepted);
  const odd = ['a@b.example>\r\nX-Injected: 1', 'ü@b.example', '"a b"@c.example', 'a\0@b.example'];
  for (const sender of odd) await arf.train(lessonOf('m', { sender, recipient: sender }), patience());
  for (const { text } of sent) t.notMatch(partsOf(text).parts[1], /Original|Injected/);
  const marks = async (id: string) => {
    await arf.train(lessonOf('m', { id }), patience());
    return /^Message-ID: .*$/m.exec((sent.at(-1) as Sent).text)?.[0];
  };
  t.equal(await marks('a'), await marks('a'), 'the same in all tries');
  t.not(await marks('a'), await marks('b'));
});

t.test('what becomes of a report is what becomes of the lesson', async (t) => {
  const outcome = (answer: Parameters<typeof trainer>[0], more?: Partial<ArfTrainerOptions>) =>
    trainer(answer, more).arf.train(lessonOf(), patience());
  t.same(await outcome({ kind: 'refused', said: '550 No' }), { kind: 'refused', said: '550 No' });
  t.same(await outcome({ kind: 'later', said: '451 Not now' }), { kind: 'later', said: '451 Not now' });
  t.same(await outcome(Object.assign(new Error('x'), { code: 'EPIPE' })), {
    kind: 'later',
    said: 'the report could not be sent (EPIPE)',
  });
  const time = new AbortController();
  time.abort(new Error('it took too long'));
  t.same(await trainer(new Error('aborted')).arf.train(lessonOf(), time.signal), {
    kind: 'later',
    said: 'it took too long',
  });
  const silent = trainer(accepted, { spam: undefined });
  t.match(await silent.arf.train(lessonOf(), patience()), {
    kind: 'known',
    said: 'no address is configured for reports of spam',
  });
  t.match(await silent.arf.train(lessonOf('m', { class: 'ham', before: 'ham' }), patience()), {
    kind: 'known',
    said: /before/,
  });
  t.same(silent.sent, []);
  t.match(await silent.arf.train(lessonOf('m', { class: 'ham', before: 'spam' }), patience()), { kind: 'learned' });
});
