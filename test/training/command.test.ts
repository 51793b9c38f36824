import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createCommandTrainer } from '#app/training/command';
import type { Trainer, TrainingOutcome } from '#app/training/trainer';
import { lessonOf, patience } from '../support/lesson.ts';

/** A trainer that runs this JavaScript, for both classes; the class is its argument. */
function script(source: string, timeoutMs = 20_000): Trainer {
  const argv = (klass: string) => [process.execPath, '-e', source, '--', klass];
  return createCommandTrainer({ name: 'script', spam: argv('spam'), ham: argv('ham'), timeoutMs });
}

const readAll = "const read = require('fs').readFileSync(0);";

t.test('a command learns: message on standard input, arguments as configured, a clean environment', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-train-'));
  t.teardown(() => rm(folder, { recursive: true }));
  process.env.LAZARET_SECRET = 'x';
  const file = join(folder, 'seen');
  const trainer = createCommandTrainer({
    name: 'command',
    spam: [
      process.execPath,
      '-e',
      `${readAll} require('fs').writeFileSync(process.argv[1], JSON.stringify([read.toString('latin1'), Object.keys(process.env).sort(), process.argv.slice(2)])); console.log('Learned tokens from 1 message(s)')`,
      file,
      '$(id)',
      '; rm',
      "it's",
    ],
    ham: [],
    timeoutMs: 20_000,
  });
  const message = 'Subject: x\r\n\r\n.\nf\u00fc\0r\r\n';
  t.same(await trainer.train(lessonOf(Buffer.from(message, 'latin1')), patience()), {
    kind: 'learned',
    said: 'Learned tokens from 1 message(s)',
  });
  const [seen, environment, argv] = JSON.parse(await readFile(file, 'utf8'));
  t.equal(seen, message);
  t.same(argv, ['$(id)', '; rm', "it's"], 'no shell has seen them');
  t.notOk(environment.includes('LAZARET_SECRET'));
  t.ok(environment.includes('PATH'));
  t.match(await trainer.train(lessonOf('x', { class: 'ham' }), patience()), { kind: 'later' });
});

t.test('what its end means', async (t) => {
  const table: [string, { kind: TrainingOutcome['kind']; said?: string | RegExp }][] = [
    ['process.exit(0)', { kind: 'learned', said: 'learned' }],
    ...[69, 71, 74, 75].map((code): [string, { kind: 'later' }] => [`process.exit(${code})`, { kind: 'later' }]),
    ...[1, 2, 64, 65, 70, 72, 77, 98, 255].map((code): [string, { kind: 'refused'; said: string }] => [
      `process.exit(${code})`,
      { kind: 'refused', said: `the training command ended with ${code}` },
    ]),
    ["process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)", { kind: 'later', said: /SIGTERM/ }],
    [
      "console.log('first'); console.error('bad \\x1b[31mred\\x07 \\u202e!\\n\\n'); process.exitCode = 3",
      { kind: 'refused', said: 'bad [31mred !' },
    ],
    ["console.log('x'.repeat(100000)); process.exitCode = 75", { kind: 'later', said: 'x'.repeat(200) }],
  ];
  await Promise.all(
    table.map(async ([source, expected]) =>
      t.match(await script(source).train(lessonOf('m', { class: 'ham' }), patience()), expected, source),
    ),
  );
});

t.test('a command that does not read its input is judged by its end alone', async (t) => {
  const big = Buffer.alloc(64 << 16, 'x');
  t.match(await script("console.log('enough')").train(lessonOf(big), patience()), {
    kind: 'learned',
    said: 'enough',
  });
  t.match(await script('process.exit(1)').train(lessonOf(big), patience()), { kind: 'refused' });
  t.match(await script(`${readAll} console.log(read.length)`).train(lessonOf(big), patience()), {
    said: String(64 << 16),
  });
});

t.test('one that cannot be started, takes too long, or is given up, is tried later', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-train-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const plain = join(folder, 'plain');
  await writeFile(plain, '#!/bin/sh\nexit 0\n');
  for (const program of [join(folder, 'missing'), plain, folder]) {
    const trainer = createCommandTrainer({ name: 'command', spam: [program], ham: [program], timeoutMs: 5000 });
    t.match(
      await trainer.train(lessonOf('m'), patience()),
      { kind: 'later', said: /could not be started \(E/ },
      program,
    );
  }
  await chmod(plain, 0o755);
  const trainer = createCommandTrainer({ name: 'command', spam: [plain], ham: [plain], timeoutMs: 5000 });
  t.match(await trainer.train(lessonOf('m'), patience()), { kind: 'learned' });

  // With a child of its own that holds the pipes, as a shell script would have it.
  const slow = "require('child_process').spawn('sleep', ['60'], { stdio: 'inherit' }); setInterval(() => {}, 1000)";
  t.match(await script(slow, 300).train(lessonOf('m'), patience()), { kind: 'later', said: /too long/ });
  const abandon = new AbortController();
  const given = script(`console.log('up'); ${slow}`).train(lessonOf('m'), abandon.signal);
  abandon.abort();
  t.match(await given, { kind: 'later', said: /given up/ });
  t.match(await script('').train(lessonOf('m'), abandon.signal), { kind: 'later' });
});

t.test('a user is a whole argument, never a part of one, and never an option (row 35)', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-train-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const touched = join(folder, 'touched');
  const printed = 'console.log(JSON.stringify(process.argv.slice(1)))';
  const print = (...rest: string[]) => {
    const argv = [process.execPath, '-e', printed, ...rest];
    return createCommandTrainer({ name: 'command', spam: argv, ham: argv, timeoutMs: 20_000 });
  };
  for (const local of [
    'ada',
    `\`touch ${touched}\``,
    `$(touch ${touched})`,
    `; touch ${touched}`,
    'a b',
    "it's",
    '*',
    '{user}',
  ]) {
    const user = `${local}@harbour.example`;
    const outcome = await print('--', '-u', '{user}', 'x{user}').train(lessonOf('m', { user }), patience());
    t.equal(outcome.kind, 'learned');
    t.equal(outcome.said.slice(0, 200), JSON.stringify(['-u', user, 'x{user}']).slice(0, 200), local);
  }
  t.notOk(existsSync(touched), 'nothing of it was run');

  const user = '-oQ/tmp@harbour.example';
  t.match(await print('--', '{user}').train(lessonOf('m', { user }), patience()), {
    kind: 'learned',
    said: `["${user}"]`,
  });
  const bare = createCommandTrainer({ name: 'c', spam: ['/bin/true', '{user}', '--'], ham: [], timeoutMs: 20_000 });
  t.match(await bare.train(lessonOf('m', { user }), patience()), { kind: 'refused', said: /no -- before/ });
  t.match(await bare.train(lessonOf('m'), patience()), { kind: 'refused', said: /nobody knows whose/ });
});
