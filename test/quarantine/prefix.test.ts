import t from 'tap';
import { renderPrefix } from '#app/quarantine/prefix';
import { allCodes, groupOf, wordsOfCode } from '#app/quarantine/reason-codes';
import { normalizedScore } from '#app/quarantine/score';
import type { Finding, Verdict } from '#store/model';

const spam: Verdict = {
  reason: 'spam',
  source: 'amavis',
  score: 999.998,
  required: 6.31,
  rules: [{ name: 'GTUBE', score: 1000 }, { name: 'NO_RELAYS', score: -0.001 }, { name: 'ODD' }],
};
/** Fields unfolded. */
const shown = (verdict: Verdict, status?: string) =>
  renderPrefix({ verdict, ...(status === undefined ? {} : { status }) }).replaceAll('\r\n ', ' ');

t.test('says why a message is held, in words', async (t) => {
  t.equal(
    renderPrefix({ verdict: spam }),
    'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: spam (amavis): it looks like spam\r\n' +
      'X-Lazaret-Score: 999.998 of 6.31 points (100 of 100)\r\n' +
      'X-Lazaret-Rules: GTUBE=1000, NO_RELAYS=-0.001, ODD\r\n',
  );
  t.equal(
    shown({ reason: 'unknown', source: 'none', rules: [] }, '550 5.1.1 No such user'),
    'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: unknown\r\nX-Lazaret-Status: 550 5.1.1 No such user\r\n',
  );
  t.match(
    shown({ ...spam, reason: 'virus', detail: 'INFECTED, message contains virus: Eicar-Test' }),
    'X-Lazaret-Reason: virus (amavis): it carries malicious software; INFECTED, message contains virus: Eicar-Test\r\n',
  );
});

t.test('and what rules mean, what others found, what the sender was told', async (t) => {
  const verdict: Verdict = {
    ...spam,
    rules: [
      { name: 'GTUBE', score: 1000, words: 'Generic Test, for Unsolicited Bulk Email' },
      { name: 'Body=P' },
      { name: 'ODD' },
    ],
    others: [
      { source: 'rspamd', action: 'add header', score: 8.68, required: 15, rules: [] },
      { source: 'microsoft365', class: 'PHSH', score: 9, scale: 'scl', required: 5, rules: [] },
      { source: 'bogofilter', class: 'spam', score: 0.987, scale: 'probability', rules: [] },
    ],
    authentication: { dmarc: 'fail', spf: 'pass' },
    disposition: { kind: 'rejected', said: '554 5.7.1 Spam message rejected' },
  };
  const lines = shown(verdict).split('\r\n').slice(3, -1);
  t.same(lines, [
    'X-Lazaret-Rules: GTUBE=1000 (Generic Test; for Unsolicited Bulk Email), Body=P (the HTML and text parts do not match), ODD',
    'X-Lazaret-Also: rspamd: add header, 8.68 of 15 points (29 of 100); microsoft365: PHSH, 9 of 5 SCL (100 of 100); bogofilter: spam, 0.987 probability (99 of 100)',
    'X-Lazaret-Authentication: spf=pass dmarc=fail',
    'X-Lazaret-Disposition: it was refused, and the sender told: 554 5.7.1 Spam message rejected',
  ]);
  const inDutch = shown({ ...verdict, language: 'nl' });
  for (const words of [
    'spam (amavis): het lijkt op spam',
    '999.998 van 6.31 punten (100 van 100)',
    'Body=P (de HTML- en tekstdelen komen niet overeen)',
    'het is geweigerd, en de afzender ingelicht: 554 5.7.1 Spam message rejected',
  ])
    t.ok(inDutch.includes(words), words);
});

t.test('nothing that strangers wrote ends a line or is taken for the id', async (t) => {
  const nasty = 'a\r\nBcc: x@y\r\n\r\nbody\u2028\u202Eüñ\0\x1B[31m {id}\t\n z';
  const prefix = renderPrefix({
    verdict: {
      reason: 'virus',
      source: nasty,
      detail: nasty,
      rules: [{ name: nasty, score: Number.NaN, words: nasty }],
      others: [{ source: nasty, class: nasty, action: nasty, score: 1, rules: [] }],
      authentication: { spf: nasty },
      disposition: { kind: 'rejected', said: nasty },
    },
    status: nasty,
  });
  t.equal(prefix.split('{id}').length, 2);
  t.match(prefix, /^[\x20-\x7E\r\n]*$/);
  const names = prefix
    .slice(0, -2)
    .split('\r\n')
    .map((line) => /^(X-Lazaret-[A-Z][a-z]+): |^ \S/.exec(line));
  t.same(
    names.flatMap((match) => (match?.[1] ? [match[1].slice('X-Lazaret-'.length)] : [])),
    ['Id', 'Reason', 'Rules', 'Also', 'Authentication', 'Disposition', 'Status'].toSpliced(2, 0),
  );
  t.ok(names.every((match) => match !== null));
});

t.test('folds at 78 and never passes 998', async (t) => {
  const rules = Array.from({ length: 5000 }, (_, n) => ({ name: `RULE_${n}`, score: n, words: 'word '.repeat(30) }));
  const prefix = renderPrefix({
    verdict: {
      ...spam,
      rules: [{ name: 'X'.repeat(3000) }, ...rules],
      others: rules.map(({ name }) => ({ source: name.repeat(50), rules: [] })),
    },
    status: `${'w'.repeat(950)} ${'word '.repeat(1000)}`,
  });
  t.ok(prefix.length < 8000, `${prefix.length}`);
  for (const line of prefix.slice(0, -2).split('\r\n')) {
    if (line.length > 78 && line.trimStart().includes(' ', line.indexOf(':') + 2)) t.fail(line);
    if (line.length > 998) t.fail(line);
    if (line.trim() === '') t.fail('an empty line');
  }
  t.match(prefix.replaceAll('\r\n ', ' '), /, and \d+ more\r\n/);
});

t.test('a score of any engine, from 0 to 100, with 50 where it acts', async (t) => {
  const cases: [Pick<Finding, 'score' | 'scale' | 'required'>, number | undefined][] = [
    [{}, undefined],
    [{ score: Number.NaN }, undefined],
    [{ score: -3, required: 5 }, 0],
    [{ score: 0, required: 5 }, 0],
    [{ score: 2.5, required: 5 }, 25],
    [{ score: 5, required: 5 }, 50],
    [{ score: 10, required: 5 }, 75],
    [{ score: 50, required: 5 }, 95],
    [{ score: 1e9, required: 5 }, 100],
    [{ score: 5 }, 50],
    [{ score: 0, required: 0 }, 50],
    [{ score: -1, required: -2 }, 58],
    [{ score: -10, required: -2 }, 19],
    [{ score: 0.2, scale: 'probability' }, 20],
    [{ score: 7, scale: 'probability' }, 100],
    [{ score: 99, scale: 'percent' }, 99],
    [{ score: -1, scale: 'scl' }, 0],
    [{ score: 9, scale: 'scl', required: 5 }, 100],
  ];
  for (const [finding, expected] of cases) t.equal(normalizedScore(finding), expected, JSON.stringify(finding));
  let last = -1;
  for (let score = -5; score < 100; score += 0.1) {
    const now = normalizedScore({ score, required: 6.31 })!;
    if (now < last) t.fail(`${score} is less`);
    last = now;
  }
});

t.test('reason codes: all five groups of the server, in two languages', async (t) => {
  const groups = new Map<string, string>();
  for (const code of allCodes) {
    const [group = '', letter = ''] = code.split('=');
    groups.set(group, (groups.get(group) ?? '') + letter);
    for (const language of ['en', 'nl'] as const) t.match(wordsOfCode(code, language), /^[\x20-\x7E]{10,110}$/, code);
    t.not(wordsOfCode(code, 'en'), wordsOfCode(code, 'nl'), code);
  }
  t.same(Object.fromEntries(groups), {
    Body: 'PENIBRSFKX',
    Charset: 'FM',
    Bypass: 'BGHKLMOQRSTUWXJZ',
    Live: 'YHN',
    Intrusion: 'CIMRDAPYSUL',
  });
  t.not(wordsOfCode('Body=S'), wordsOfCode('Bypass=S'), 'a letter means something only in its group');
  for (const unknown of ['Body=Z', 'Body', 'Body=', 'constructor=P', 'Body=P=P', 'Body=constructor', ''])
    t.equal(wordsOfCode(unknown), undefined, unknown);
  t.equal(groupOf(' Intrusion Prevention'), 'Intrusion');
  t.equal(groupOf('toString'), undefined);
});
