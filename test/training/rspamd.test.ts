import t from 'tap';
import { createRspamdTrainer, type RspamdTrainerOptions } from '#app/training/rspamd';
import type { TrainingOutcome } from '#app/training/trainer';
import { Answering } from '../support/answering.ts';
import { lessonOf, patience } from '../support/lesson.ts';

/** As Rspamd 3.4 writes it, the body of a 204 included. */
function http(status: string, json: string): string {
  return `HTTP/1.1 ${status}\r\nConnection: close\r\nServer: rspamd/3.4\r\nDate: Sun, 22 Nov 2026 00:42:48 GMT\r\nContent-Length: ${json.length}\r\nContent-Type: application/json\r\n\r\n${json}`;
}
const learned = http('200 OK', '{"success":true}');
const known = http(
  '208 <1@spam.example> has been already learned as spam, ignore it',
  '{"error":"<1@spam.example> has been already learned as spam, ignore it"}',
);

const trainer = (at: Answering, more: Partial<RspamdTrainerOptions> = {}) =>
  createRspamdTrainer({ name: 'rspamd', url: `http://127.0.0.1:${at.port}`, bayes: true, timeoutMs: 20_000, ...more });

const paths = ({ asked }: Answering): string[] => asked.map(({ head }) => head.split(' ')[1]!);
const header = (head: string, name: string): string | undefined =>
  new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.replace('\r', '');

t.test('a message is posted as it is, of known length, with the password', async (t) => {
  const rspamd = await Answering.start(t, () => learned);
  const message = Buffer.concat([Buffer.from('Subject: x\r\n\r\n\0\xff.\r\n', 'latin1'), Buffer.alloc(300_000, 'x')]);
  const teach = trainer(rspamd, { password: 'the learning one, 5 \u20ac', classifier: 'bayes' });
  t.same(await teach.train(lessonOf(message), patience()), { kind: 'learned', said: 'learned' });
  t.same(await teach.train(lessonOf(message, { class: 'ham' }), patience()), { kind: 'learned', said: 'learned' });
  t.same(paths(rspamd), ['/learnspam', '/learnham']);
  const [{ head, body }] = rspamd.asked as [{ head: string; body: Buffer }];
  t.ok(body.equals(message));
  t.equal(header(head, 'content-length'), String(message.length));
  t.equal(header(head, 'transfer-encoding'), undefined);
  t.equal(Buffer.from(header(head, 'password')!, 'latin1').toString(), 'the learning one, 5 \u20ac');
  t.equal(header(head, 'classifier'), 'bayes');
});

t.test('a folder in the address stays: the controller may stand behind a proxy', async (t) => {
  const rspamd = await Answering.start(t, () => learned);
  for (const url of [`http://127.0.0.1:${rspamd.port}/rspamd`, `http://127.0.0.1:${rspamd.port}/rspamd/`])
    await createRspamdTrainer({ name: 'r', url, bayes: true, timeoutMs: 20_000 }).train(lessonOf(), patience());
  t.same(paths(rspamd), ['/rspamd/learnspam', '/rspamd/learnspam']);
});

t.test('what its answers mean', async (t) => {
  const tooFew = 'contains less tokens than required for bayes classifier: 4 < 11';
  const table: [string, { kind: TrainingOutcome['kind']; said: string | RegExp }][] = [
    [learned, { kind: 'learned', said: 'learned' }],
    [known, { kind: 'known', said: '<1@spam.example> has been already learned as spam, ignore it' }],
    [http(`204 <undef> ${tooFew}`, `{"error":"<undef> ${tooFew}"}`), { kind: 'refused', said: `<undef> ${tooFew}` }],
    [http('404 message has been already learned as spam', '{}'), { kind: 'known', said: /already learned/ }],
    [
      http('401 Unauthorized', '{"error":"Unauthorized"}'),
      { kind: 'later', said: /^Unauthorized \(401\): .*enable_password/ },
    ],
    [http('403 Forbidden', '{}'), { kind: 'later', said: /enable_password/ }],
    [http('404 Not found', '{}'), { kind: 'later', said: /controller/ }],
    [
      http('204 all learn conditions denied learning spam in default classifier', '{"error":"all learn"}'),
      { kind: 'known', said: 'sure of it already: all learn conditions denied learning spam in default classifier' },
    ],
    [
      http('404 No content to generate fuzzy for flag 11', '{}'),
      { kind: 'refused', said: 'No content to generate fuzzy for flag 11' },
    ],
    [http('302 Found', '{}'), { kind: 'later', said: /redirects are not followed/ }],
    [http('200 OK', '<html>a login page</html>'), { kind: 'later', said: /not as Rspamd does/ }],
    [http('200 OK', '{"success":false}'), { kind: 'later', said: /not as Rspamd does/ }],
    [http('200 OK', 'null'), { kind: 'later', said: /not as Rspamd does/ }],
    [http('400 Empty body is not permitted', '{}'), { kind: 'refused', said: 'Empty body is not permitted (400)' }],
    [http('413 Request Entity Too Large', '{}'), { kind: 'refused', said: /413/ }],
    [http('429 Too Many Requests', '{}'), { kind: 'later', said: /429/ }],
    [http('500 Internal error', '{}'), { kind: 'later', said: 'Internal error (500)' }],
    [http('503 ', '{"error":"redis is down"}'), { kind: 'later', said: 'redis is down (503)' }],
    ['', { kind: 'later', said: /could not be asked \(/ }],
    ['HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"succ', { kind: 'later', said: /could not be asked/ }],
    ['220 mx.example ESMTP\r\n', { kind: 'later', said: /could not be asked/ }],
    [http('200 OK', `{"success":true,"more":"${'x'.repeat(100_000)}"}`), { kind: 'later', said: /not as Rspamd/ }],
  ];
  for (const [answer, expected] of table) {
    const rspamd = await Answering.start(t, () => answer);
    t.match(await trainer(rspamd).train(lessonOf(), patience()), expected, answer.slice(0, 60));
  }
});

t.test('one that is gone, resets, or says nothing is asked again later', async (t) => {
  const gone = await Answering.start(t, () => learned);
  await gone.stop();
  t.match(await trainer(gone).train(lessonOf(), patience()), {
    kind: 'later',
    said: 'Rspamd could not be asked (ECONNREFUSED)',
  });
  const resets = await Answering.start(t, () => ({ reset: true }));
  t.match(await trainer(resets).train(lessonOf(), patience()), { kind: 'later', said: /could not be asked/ });
  const silent = await Answering.start(t, () => ({ silence: true }));
  const patienceEnds = new AbortController();
  const outcome = trainer(silent).train(lessonOf(), patienceEnds.signal);
  await silent.seen(1);
  patienceEnds.abort(new Error('took longer than 30s'));
  t.same(await outcome, { kind: 'later', said: 'took longer than 30s' });
  t.same(await trainer(silent).train(lessonOf(), patienceEnds.signal), { kind: 'later', said: 'took longer than 30s' });
  t.equal(silent.asked.length, 1, 'a lesson whose time is over is not begun');
  t.match(await trainer(silent, { timeoutMs: 50 }).train(lessonOf(), patience()), {
    kind: 'later',
    said: /took too long/,
  });
});

t.test('an answer that comes before the message was read counts', async (t) => {
  const rspamd = await Answering.start(t, () => ({ early: http('401 Unauthorized', '{"error":"Unauthorized"}') }));
  const outcome = await trainer(rspamd).train(lessonOf(Buffer.alloc(20_000_000, 'x')), patience());
  t.match(outcome, { kind: 'later', said: /^Unauthorized \(401\)/ });
});

t.test('a message that cannot be read to its end is put off', async (t) => {
  const rspamd = await Answering.start(t, () => learned);
  const broken = {
    ...lessonOf(),
    async *message() {
      yield Buffer.from('Subject: x\r\n');
      throw new Error('the disk is gone');
    },
  };
  t.match(await trainer(rspamd).train(broken, patience()), { kind: 'later' });
});

t.test('whose Bayes it is stands in a Delivered-To above the message', async (t) => {
  const rspamd = await Answering.start(t, () => learned);
  const message = 'Subject: x\r\n\r\nbody\r\n';
  for (const user of ['ada@harbour.example', 'harbour.example', 'bj\u00f6rn@harbour.example']) {
    t.match(await trainer(rspamd).train(lessonOf(message, { user }), patience()), { kind: 'learned' });
  }
  t.same(
    rspamd.asked.map(({ body }) => body.toString('utf8')),
    [
      `Delivered-To: ada@harbour.example\r\n${message}`,
      `Delivered-To: postmaster@harbour.example\r\n${message}`,
      `Delivered-To: bj\u00f6rn@harbour.example\r\n${message}`,
    ],
  );
  const evil = 'ada@harbour.example\r\nX: y';
  t.match(await trainer(rspamd).train(lessonOf(message, { user: evil }), patience()), { kind: 'refused' });
  t.equal(rspamd.asked.length, 3);
});

t.test('the fuzzy storage: added once, after Bayes; taken from the other flag at a change of mind', async (t) => {
  const hash = http('200 OK', '{"success":true,"hashes":["c720"]}');
  const rspamd = await Answering.start(t, ({ head }) => (head.includes('/learn') ? known : hash));
  const flags = { spamFlag: 11, hamFlag: 13, weight: 7 };
  const teach = trainer(rspamd, { fuzzy: flags });
  t.same(await teach.train(lessonOf(), patience()), {
    kind: 'learned',
    said: '<1@spam.example> has been already learned as spam, ignore it; fuzzy hash added to flag 11',
  });
  t.match(await teach.train(lessonOf(undefined, { before: 'spam' }), patience()), { kind: 'known' });
  t.match(await teach.train(lessonOf(undefined, { class: 'ham', before: 'spam' }), patience()), { kind: 'learned' });
  t.same(paths(rspamd), ['/learnspam', '/fuzzyadd', '/learnspam', '/learnham', '/fuzzydel', '/fuzzyadd']);
  const flagged = rspamd.asked.map(({ head }) => [header(head, 'flag'), header(head, 'weight')]);
  t.same(flagged, [
    [undefined, undefined],
    ['11', '7'],
    [undefined, undefined],
    [undefined, undefined],
    ['11', '7'],
    ['13', '7'],
  ]);
});

t.test('fuzzy storage alone, and with a flag for spam only', async (t) => {
  const rspamd = await Answering.start(t, () => http('200 OK', '{"success":true,"hashes":[]}'));
  const teach = trainer(rspamd, { bayes: false, fuzzy: { spamFlag: 11, weight: 10 } });
  t.same(await teach.train(lessonOf(), patience()), { kind: 'learned', said: 'fuzzy hash added to flag 11' });
  t.same(await teach.train(lessonOf(undefined, { class: 'ham', before: 'spam' }), patience()), {
    kind: 'learned',
    said: 'fuzzy hash taken from flag 11',
  });
  t.match(await teach.train(lessonOf(undefined, { class: 'ham' }), patience()), {
    kind: 'known',
    said: /no flag for this class/,
  });
  t.same(paths(rspamd), ['/fuzzyadd', '/fuzzydel']);
});

t.test('too little text for Bayes may be enough for the fuzzy storage', async (t) => {
  const rspamd = await Answering.start(t, ({ head }) =>
    head.includes('/learn') ? http('204 too few', '{}') : learned,
  );
  const outcome = await trainer(rspamd, { fuzzy: { spamFlag: 11, weight: 10 } }).train(lessonOf(), patience());
  t.same(outcome, { kind: 'learned', said: 'too few; fuzzy hash added to flag 11' });
});

t.test('too little text for the fuzzy storage may be enough for Bayes', async (t) => {
  const rspamd = await Answering.start(t, ({ head }) =>
    head.includes('/learn') ? learned : http('404 No content to generate fuzzy for flag 11', '{}'),
  );
  const outcome = await trainer(rspamd, { fuzzy: { spamFlag: 11, weight: 10 } }).train(lessonOf(), patience());
  t.same(outcome, { kind: 'learned', said: 'learned; No content to generate fuzzy for flag 11' });
});

t.test('while Bayes or the fuzzy storage puts a lesson off, nothing is added', async (t) => {
  const teach = (at: Answering) => trainer(at, { fuzzy: { spamFlag: 11, hamFlag: 13, weight: 10 } });
  const busy = await Answering.start(t, () => http('503 busy', '{}'));
  t.match(await teach(busy).train(lessonOf(), patience()), { kind: 'later', said: 'busy (503)' });
  t.same(paths(busy), ['/learnspam']);
  const flagless = await Answering.start(t, ({ head }) =>
    head.includes('/learn') ? learned : http('404 No fuzzy rules matched for flag 11', '{}'),
  );
  t.match(await teach(flagless).train(lessonOf(undefined, { class: 'ham', before: 'spam' }), patience()), {
    kind: 'later',
    said: /^No fuzzy rules matched for flag 11 \(404\): .*fuzzy_check/,
  });
  t.same(paths(flagless), ['/learnham', '/fuzzydel']);
});
