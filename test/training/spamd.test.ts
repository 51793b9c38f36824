import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createSpamdTrainer } from '#app/training/spamd';
import type { TrainingOutcome } from '#app/training/trainer';
import { Answering } from '../support/answering.ts';
import { lessonOf, patience } from '../support/lesson.ts';

const didSet = 'SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n\r\n';
const didNothing = 'SPAMD/1.1 0 EX_OK\r\n\r\n\r\n';

const trainer = ({ port }: { readonly port: number }, report = false, timeoutMs = 20_000) =>
  createSpamdTrainer({ name: 'spamd', address: `127.0.0.1:${port}`, report, timeoutMs });

t.test('a message is told as it is, and to whose database it belongs', async (t) => {
  const spamd = await Answering.start(t, () => didSet);
  const message = Buffer.concat([
    Buffer.from('Subject: x\r\n\r\n\0\xff\n.\r\n', 'latin1'),
    Buffer.alloc(1_500_000, 'x'),
  ]);
  t.same(await trainer(spamd).train(lessonOf(message), patience()), { kind: 'learned', said: 'learned' });
  await trainer(spamd).train(lessonOf('m', { class: 'ham', user: 'ada@harbour.example' }), patience());
  t.same(
    spamd.asked.map(({ head }) => head.split('\r\n')),
    [
      ['TELL SPAMC/1.5', 'Message-class: spam', 'Set: local', `Content-length: ${message.length}`],
      ['TELL SPAMC/1.5', 'User: ada@harbour.example', 'Message-class: ham', 'Set: local', 'Content-length: 1'],
    ],
  );
  t.ok(spamd.asked[0]!.body.equals(message));
  t.match(await trainer(spamd).train(lessonOf('m', { user: 'ada\r\nSet: remote' }), patience()), { kind: 'refused' });
  t.equal(spamd.asked.length, 2);
});

t.test('spam is reported, and a report of ham revoked, where that is wanted', async (t) => {
  const spamd = await Answering.start(t, (_, n) =>
    n === 0 ? 'SPAMD/1.1 0 EX_OK\r\nDidSet: local,remote\r\n\r\n\r\n' : didSet,
  );
  t.match(await trainer(spamd, true).train(lessonOf(), patience()), { kind: 'learned', said: 'learned and reported' });
  t.match(await trainer(spamd, true).train(lessonOf('m', { class: 'ham' }), patience()), {
    kind: 'learned',
    said: 'learned',
  });
  t.match(spamd.asked[0]!.head, /\r\nSet: local, remote\r\n/);
  t.match(spamd.asked[1]!.head, /\r\nSet: local\r\nRemove: remote\r\n/);
});

t.test('what its answers mean', async (t) => {
  const table: [string, { kind: TrainingOutcome['kind']; said: string | RegExp }][] = [
    [didSet, { kind: 'learned', said: 'learned' }],
    [didNothing, { kind: 'known', said: 'already learned' }],
    ['SPAMD/1.1 0 EX_OK\r\nDidSet: remote\r\n\r\n\r\n', { kind: 'learned', said: 'reported; already learned' }],
    [
      'SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled, set the --allow-tell switch.\r\n',
      { kind: 'later', said: /^Service Unavailable: TELL commands are not enabled, .* \(69\): .*--allow-tell/ },
    ],
    [
      'SPAMD/1.0 76 Bad header line: (Content-Length mismatch: Expected 10 bytes, got 37 bytes)\r\n',
      { kind: 'refused', said: 'Bad header line: (Content-Length mismatch: Expected 10 bytes, got 37 bytes) (76)' },
    ],
    ['SPAMD/1.1 75 EX_TEMPFAIL\r\n\r\n', { kind: 'later', said: 'EX_TEMPFAIL (75)' }],
    ['SPAMD/1.0 79 Timeout: read\r\n', { kind: 'later', said: 'Timeout: read (79)' }],
    ['SPAMD/1.1 67 EX_NOUSER\r\n\r\n', { kind: 'later', said: /does not know this user/ }],
    ['SPAMD/1.1 65 EX_DATAERR\r\n\r\n', { kind: 'refused', said: 'EX_DATAERR (65)' }],
    ['', { kind: 'later', said: /without an answer.*allowed-ips/ }],
    ['SPAMD/1.1 0', { kind: 'later', said: /not as spamd does/ }],
    ['220 mx.example ESMTP\r\n', { kind: 'later', said: /not as spamd does/ }],
    ['x'.repeat(1_000_000), { kind: 'later', said: /not as spamd does/ }],
  ];
  for (const [answer, expected] of table) {
    const spamd = await Answering.start(t, () => answer);
    t.match(await trainer(spamd).train(lessonOf(), patience()), expected, answer.slice(0, 60));
  }
});

t.test('an answer that comes before the message was read counts, a reset behind it or not', async (t) => {
  const early = 'SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled, set the --allow-tell switch.\r\n';
  const spamd = await Answering.start(t, () => ({ early }));
  const outcome = await trainer(spamd).train(lessonOf(Buffer.alloc(20_000_000, 'x')), patience());
  t.match(outcome, { kind: 'later', said: /--allow-tell/ });
});

t.test('one that is gone, resets, or says nothing is asked again later', async (t) => {
  const gone = await Answering.start(t, () => didSet);
  await gone.stop();
  t.same(await trainer(gone).train(lessonOf(), patience()), {
    kind: 'later',
    said: 'spamd could not be reached (ECONNREFUSED)',
  });
  const resets = await Answering.start(t, () => ({ reset: true }));
  t.match(await trainer(resets).train(lessonOf(), patience()), { kind: 'later', said: /closed the connection/ });
  const silent = await Answering.start(t, () => ({ silence: true }));
  const patienceEnds = new AbortController();
  const outcome = trainer(silent).train(lessonOf(), patienceEnds.signal);
  await silent.seen(1);
  patienceEnds.abort(new Error('took longer than 30s'));
  t.same(await outcome, { kind: 'later', said: 'took longer than 30s' });
  t.same(await trainer(silent).train(lessonOf(), patienceEnds.signal), { kind: 'later', said: 'took longer than 30s' });
  t.equal(silent.asked.length, 1, 'a lesson whose time is over is not begun');
  t.match(await trainer(silent, false, 50).train(lessonOf(), patience()), { kind: 'later', said: /took too long/ });
});

t.test('one whose answer was cut off behind its first line is asked again', async (t) => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.write('SPAMD/1.1 0 EX_OK\r\n', () => socket.resetAndDestroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const outcome = await trainer(server.address() as net.AddressInfo).train(lessonOf(), patience());
  t.match(outcome, { kind: 'later' });
});

t.test('a message that cannot be read to its end is put off', async (t) => {
  const spamd = await Answering.start(t, () => didSet);
  const broken = {
    ...lessonOf(),
    async *message() {
      yield Buffer.from('Subject: x\r\n');
      throw new Error('the disk is gone');
    },
  };
  t.same(await trainer(spamd).train(broken, patience()), {
    kind: 'later',
    said: 'the stored message could not be read',
  });
});

t.test('it may listen on a socket in the file system, or on IPv6', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-train-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'spamd.sock');
  for (const where of [path, { host: '::1', port: 0 }]) {
    const server = net.createServer((socket) => {
      socket.on('data', () => {});
      socket.on('end', () => socket.end(didSet));
    });
    await new Promise<void>((resolve) => server.listen(where, resolve));
    t.teardown(() => server.close());
    const address = typeof where === 'string' ? where : `[::1]:${(server.address() as net.AddressInfo).port}`;
    const teach = createSpamdTrainer({ name: 'spamd', address, report: false, timeoutMs: 20_000 });
    t.match(await teach.train(lessonOf(), patience()), { kind: 'learned' }, address);
  }
});
