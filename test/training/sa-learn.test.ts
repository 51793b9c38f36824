import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createSaLearnTrainer, type SaLearnTrainerOptions } from '#app/training/sa-learn';
import type { TrainingOutcome } from '#app/training/trainer';
import { lessonOf, patience } from '../support/lesson.ts';

/** A program that notes its arguments and its input, prints this and ends so. */
async function standIn(t: Test, { out = '', err = '', code = 0 }: { out?: string; err?: string; code?: number }) {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-sa-learn-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const program = join(folder, 'sa-learn');
  const write = (name: string, value: string) =>
    `require('fs').writeFileSync(${JSON.stringify(join(folder, name))}, ${value});`;
  await writeFile(
    program,
    `#!${process.execPath}
${write('arguments', 'JSON.stringify(process.argv.slice(2))')}
${write('input', "require('fs').readFileSync(0)")}
process.stderr.write(${JSON.stringify(err)});
process.stdout.write(${JSON.stringify(out)});
process.exitCode = ${code};
`,
  );
  await chmod(program, 0o755);
  return {
    trainer: (more: Partial<SaLearnTrainerOptions> = {}) =>
      createSaLearnTrainer({ name: 'sa-learn', command: [program], timeoutMs: 20_000, ...more }),
    arguments: async () => JSON.parse(await readFile(join(folder, 'arguments'), 'utf8')) as string[],
    input: () => readFile(join(folder, 'input')),
  };
}

const one = 'Learned tokens from 1 message(s) (1 message(s) examined)\n';
const none = 'Learned tokens from 0 message(s) (1 message(s) examined)\n';
const unseen = 'Learned tokens from 0 message(s) (0 message(s) examined)\n';

t.test('a message goes to its input whole, however large, with the class', async (t) => {
  const saLearn = await standIn(t, { out: one });
  const message = Buffer.alloc(700_000, 'From: x\r\n\xff\0');
  t.same(await saLearn.trainer().train(lessonOf(message), patience()), { kind: 'learned', said: one.trim() });
  t.same(await saLearn.arguments(), ['--spam', '--max-size=0']);
  t.ok((await saLearn.input()).equals(message));
  await saLearn.trainer({ dbPath: '/var/lib/spamassassin/bayes' }).train(lessonOf('m', { class: 'ham' }), patience());
  t.same(await saLearn.arguments(), ['--ham', '--max-size=0', '--dbpath=/var/lib/spamassassin/bayes']);
});

t.test('whose database: a name with the call, or files of their own', async (t) => {
  const saLearn = await standIn(t, { out: one });
  const argumentsFor = async (user: string | undefined, dbPath?: string) => {
    await saLearn
      .trainer(dbPath === undefined ? {} : { dbPath })
      .train(lessonOf('m', user === undefined ? {} : { user }), patience());
    return (await saLearn.arguments()).slice(2);
  };
  t.same(await argumentsFor('ada@harbour.example'), ['--username=ada@harbour.example']);
  t.same(await argumentsFor('--dbpath=/etc'), ['--username=--dbpath=/etc']);
  t.same(await argumentsFor('ada@harbour.example', '/bayes'), ['--dbpath=/bayes', '--username=ada@harbour.example']);
  t.same(await argumentsFor('ada@harbour.example', '/b/{user}/bayes'), ['--dbpath=/b/ada@harbour.example/bayes']);
  t.same(await argumentsFor(undefined, '/b/{user}/bayes'), ['--dbpath=/b/global/bayes']);
  t.same(await argumentsFor('../../etc/x@y', '/b/{user}'), ['--dbpath=/b/%2E.%2F..%2Fetc%2Fx@y']);
  t.same(await argumentsFor('a*b@y', '/b/{user}'), ['--dbpath=/b/a%2Ab@y']);
});

t.test('what its end means', async (t) => {
  const perl = 'perl: warning: Setting locale failed.\nperl: warning: Falling back to the standard locale ("C").\n';
  const noDatabase = 'bayes: cannot open bayes databases /nowhere/bayes_* R/W: tie failed: No such file or directory\n';
  const table: [Parameters<typeof standIn>[1], { kind: TrainingOutcome['kind']; said: string | RegExp }][] = [
    [{ out: one }, { kind: 'learned', said: one.trim() }],
    [{ out: none }, { kind: 'known', said: none.trim() }],
    [
      { out: none, err: perl },
      { kind: 'known', said: none.trim() },
    ],
    [
      { out: unseen, code: 1 },
      { kind: 'refused', said: unseen.trim() },
    ],
    [
      { out: none, err: noDatabase },
      { kind: 'later', said: noDatabase.trim() },
    ],
    [
      { out: none, err: 'ERROR: the Bayes learn function returned an error, please re-run with -D\n', code: 255 },
      { kind: 'later', said: /^ERROR: the Bayes learn function/ },
    ],
    [
      { err: "ERROR: configuration specifies 'use_bayes 0', sa-learn disabled\n", code: 1 },
      { kind: 'later', said: /use_bayes 0/ },
    ],
    [
      { err: 'Unknown option: dbpat\nUnknown option!\nUsage:\n', code: 64 },
      { kind: 'later', said: 'Unknown option: dbpat' },
    ],
    [{ code: 0 }, { kind: 'later', said: 'sa-learn ended with 0' }],
    [{ out: 'Learned tokens from many message(s)\n' }, { kind: 'later', said: /./ }],
  ];
  for (const [how, expected] of table)
    t.match(await (await standIn(t, how)).trainer().train(lessonOf(), patience()), expected, JSON.stringify(how));
});

t.test('one that is missing, or whose time is over, is tried later', async (t) => {
  const missing = createSaLearnTrainer({ name: 'sa-learn', command: ['/nowhere/sa-learn'], timeoutMs: 20_000 });
  t.match(await missing.train(lessonOf(), patience()), { kind: 'later', said: /could not be started \(ENOENT\)/ });
  const over = AbortSignal.abort(new Error('took longer than 60s'));
  const saLearn = await standIn(t, { out: one });
  t.same(await saLearn.trainer().train(lessonOf(), over), { kind: 'later', said: 'took longer than 60s' });
});
