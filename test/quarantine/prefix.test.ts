import t from 'tap';
import { renderPrefix } from '#app/quarantine/prefix';
import type { Verdict } from '#store/model';

const spam: Verdict = {
  reason: 'spam',
  source: 'amavis',
  score: 999.998,
  required: 6.31,
  rules: [{ name: 'GTUBE', score: 1000 }, { name: 'NO_RELAYS', score: -0.001 }, { name: 'ODD' }],
};

t.test('says why a message is held', async (t) => {
  t.equal(
    renderPrefix({ verdict: spam }),
    'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: spam (amavis)\r\nX-Lazaret-Score: 999.998 of 6.31\r\n' +
      'X-Lazaret-Rules: GTUBE=1000, NO_RELAYS=-0.001, ODD\r\n',
  );
  t.equal(
    renderPrefix({ verdict: { reason: 'unknown', source: 'none', rules: [] }, status: '550 5.1.1 No such user' }),
    'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: unknown\r\nX-Lazaret-Status: 550 5.1.1 No such user\r\n',
  );
  t.match(
    renderPrefix({ verdict: { ...spam, reason: 'virus', detail: 'INFECTED, message contains virus: Eicar-Test' } }),
    'X-Lazaret-Reason: virus (amavis): INFECTED, message contains virus: Eicar-Test\r\n',
  );
});

t.test('nothing that strangers wrote ends a line or is taken for the id', async (t) => {
  const nasty = 'a\r\nBcc: x@y\r\n\r\nbody\u2028\u202Eüñ\0\x1B[31m {id}\t\n z';
  const prefix = renderPrefix({
    verdict: { reason: 'virus', source: nasty, detail: nasty, rules: [{ name: nasty, score: Number.NaN }] },
    status: nasty,
  });
  t.equal(prefix.split('{id}').length, 2);
  t.match(prefix, /^[\x20-\x7E\r\n]*$/);
  for (const line of prefix.slice(0, -2).split('\r\n')) t.match(line, /^(X-Lazaret-[A-Z][a-z]+: |\s\S)/, line);
});

t.test('folds at 78 and never passes 998', async (t) => {
  const rules = Array.from({ length: 5000 }, (_, n) => ({ name: `RULE_${n}`, score: n }));
  const prefix = renderPrefix({
    verdict: { ...spam, rules: [{ name: 'X'.repeat(3000) }, ...rules] },
    status: `${'w'.repeat(950)} ${'word '.repeat(1000)}`,
  });
  t.ok(prefix.length < 6000);
  for (const line of prefix.slice(0, -2).split('\r\n')) {
    t.ok(line.length <= 78 || !line.trimStart().includes(' ', line.indexOf(':') + 2), line);
    t.ok(line.length <= 998);
    t.not(line.trim(), '');
  }
  t.match(prefix, /and \d+ more\r\n/);
});
