/** What is said about a message that is put in by hand, and how `lazaret show` tells it again. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mail, world } from './world.ts';

const ada = ['--rcpt', 'ada@harbour.example'];

t.test('inject takes all that a filter found, and show tells it in words', async (t) => {
  const { run, pipe } = world(t);
  const options = ['--reason', 'attachment', '--score', '7.5', '--required=5', '--rule', 'BAD_EXE=4', '--rule', 'ODD'];
  const found = await pipe(
    mail('one'),
    'inject',
    ...ada,
    ...options,
    '--source',
    'Filter.1',
    '--disposition',
    'rejected 554 5.7.1 Not\u0007 here',
  );
  t.match(found, { code: 0, out: '1\n', err: '' });
  const { verdict } = JSON.parse((await run('show', '1', '--json')).out).entry;
  t.strictSame(verdict, {
    reason: 'attachment',
    source: 'filter.1',
    score: 7.5,
    normalized: 67,
    required: 5,
    rules: [{ name: 'BAD_EXE', score: 4 }, { name: 'ODD' }],
    disposition: { kind: 'rejected', said: verdict.disposition.said },
  });
  const { out } = await run('show', '1');
  t.match(
    out,
    /^why +attachment, 7\.5 of 5 points \(67 of 100\); it has an attachment that is not let in, said filter\.1$/m,
  );
  t.match(out, /^rules +BAD_EXE 4, ODD$/m);
  t.match(out, /^sender told +it was refused, and the sender told: 554 5\.7\.1 Not.* here$/m);
  t.notMatch(out, /\x07/);
});

t.test('and what comes with a filter’s block', async (t) => {
  const { run, pipe } = world(t);
  const block =
    'X-Envelope-From: <>\nX-Envelope-To: <ada@harbour.example>\nX-Quarantine-ID: <Q>\nX-Quarantine-Client: [::1]\nX-Spam-Action: reject\nX-Spam-Score: 9\n' +
    'X-Spamd-Result: default: True [20.00 / 15.00];\n\tR_SPF_FAIL(1.00)[-all];\n\tBAYES_SPAM(19.00)[99.9%]\n';
  t.match(await pipe(block + mail('two'), 'inject', ...ada), { code: 0 });
  const { out } = await run('show', '1');
  t.match(out, /^why +spam, 20 of 15 points \(63 of 100\); it looks like spam, said rspamd$/m);
  t.match(out, /^action +reject, reject from 15$/m);
  t.match(out, /^rules +R_SPF_FAIL 1 \(-all\), BAYES_SPAM 19 \(99\.9%\)$/m);
  t.match(out, /^checked +spf=fail$/m);
  t.match(out, /^sender told +it was refused, and the sender told$/m);
});

t.test('import reads the marks of a filter that is named', async (t) => {
  const { folder, run } = world(t);
  const file = join(folder, 'one.eml');
  writeFileSync(file, mail('three').replace('\n\n', '\nX-Bogosity: Spam, spamicity=0.98\n\n').replaceAll('\n', '\r\n'));
  t.match(await run('import', file, ...ada, '--filter', 'bogofilter'), { code: 0 });
  t.match((await run('show', '1')).out, /^why +spam, 0\.98 probability \(98 of 100\); .*said bogofilter$/m);
  t.match((await run('list')).out, /^1 .* spam 0\.98 .*three$/m);
});

t.test('a direction may be said', async (t) => {
  const { run, pipe } = world(t);
  const from = ['--from', 'ben@quay.example', '--rcpt', 'friend@elsewhere.example'];
  t.match(await pipe(mail('out'), 'inject', ...from, '--direction', 'outgoing'), { code: 0, out: '1\n' });
  t.match(await pipe(mail('auto'), 'inject', ...from, '--direction', 'auto'), { code: 0, out: '2\n' });
  t.match(await pipe(mail('in'), 'inject', ...ada, '--direction', 'incoming'), { code: 0, out: '3\n' });
  const entries = JSON.parse((await run('list', '--json')).out);
  t.same(
    entries.map((entry: { folder: string; owner: string }) => [entry.folder, entry.owner]),
    [
      ['caught', 'ada@harbour.example'],
      ['outgoing', 'ben@quay.example'],
      ['outgoing', 'ben@quay.example'],
    ],
  );
  t.match(await pipe(mail('x'), 'inject', ...from, '--direction', 'outgoing', '--folder', 'caught'), {
    code: 2,
    err: /--folder and --direction/,
  });
});

t.test('what makes no sense is told', async (t) => {
  const { pipe } = world(t);
  const cases: [string[], RegExp][] = [
    [['--required', 'x'], /--required: expected a number like 7\.5, found "x"/],
    [['--rule', 'A=B'], /--rule: expected NAME or NAME=POINTS, found "A=B"/],
    [['--rule', 'A B'], /--rule: expected NAME/],
    [['--source', 'a b'], /--source: expected a name/],
    [['--disposition', 'bounced'], /--disposition: expected rejected, accepted/],
    [['--direction', 'up'], /--direction: expected one of auto, incoming, outgoing/],
    [['--rule', 'A'].concat(Array.from({ length: 500 }, () => ['--rule', 'B']).flat()), /--rule: no more than 500/],
  ];
  for (const [options, err] of cases)
    t.match(await pipe(mail('x'), 'inject', ...ada, ...options), { code: 2, err }, options[1] ?? '');
});
