import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { assemble } from '#app/assemble';
import { loadConfig } from '#app/config/load';
import { silent } from '#app/observe/log';
import { mail, type World, world } from './world.ts';

/** A server on this world's store, until there is nothing left to be done now. */
async function serveOnce({ config }: World): Promise<void> {
  const app = await assemble(loadConfig({ file: config, env: {} }), {
    log: silent,
    onEvent: () => {},
    version: 'test',
  });
  await app.start();
  await app.runner.idle();
  await app.stop(1000);
}

t.test('what was learned, what was refused and in which words, and asked again', async (t) => {
  const folder = t.testdir();
  const mended = join(folder, 'mended');
  const script = '[ -e "$0" ] || { printf "too \\033[31mshort\\n"; exit 65; }';
  const picky = JSON.stringify(['/bin/sh', '-c', script, mended, '{user}']);
  const here = world(
    t,
    `training:
  trainers:
    - { type: command, name: good, spam: [/bin/echo, fine], ham: [/bin/echo, fine] }
    - { type: command, name: picky, scope: user, spam: ${picky}, ham: ${picky} }
    - { type: command, name: away, spam: [/no/such/program], ham: [/no/such/program] }
`,
  );
  await here.pipe(mail('one'), 'inject', '--rcpt', 'ada@harbour.example');
  await here.pipe(mail('two'), 'inject', '--rcpt', 'ben@quay.example');
  t.match(await here.run('training', 'list'), { code: 0, out: 'Nothing.\n', err: /waiting: 0/ });
  t.match(await here.run('training', 'stats'), { code: 0, out: 'No trainer has answered yet.\n' });
  await here.run('spam', '1', '2');
  await serveOnce(here);

  const { out, err } = await here.run('training', 'list');
  const lines = out.split('\n').slice(1, -1);
  t.equal(lines.length, 4, out);
  t.match(out, /^LINE +WHEN +ENTRY +TRAINER +AS +ANSWER +FOR +ASKED BY +WORDS\n/);
  t.match(
    lines.filter((line) => / 1 +picky +spam +refused +ada@harbour\.example +global +too \[31mshort$/.test(line)).length,
    1,
  );
  t.match(
    lines.filter((line) => / 2 +away +spam +later +all +global +the training command could not/.test(line)).length,
    1,
  );
  t.match(err, /waiting: 0 for their turn, 2 for their next try/);
  const { waiting, lines: json } = JSON.parse((await here.run('training', 'list', '--kind', 'learned', '--json')).out);
  t.match(waiting, { due: 0, later: 2, leased: 0 });
  t.match(json, [
    { trainer: 'good', class: 'spam', kind: 'learned', said: 'fine' },
    { trainer: 'good', class: 'spam', kind: 'learned', said: 'fine' },
  ]);
  const page = await here.run('training', 'list', '--trainer', 'picky', '--limit', '1', '--json');
  const [first] = JSON.parse(page.out).lines;
  const next = await here.run(
    'training',
    'list',
    '--trainer',
    'picky',
    '--limit',
    '1',
    '--before',
    String(first.id),
    '--json',
  );
  t.not(JSON.parse(next.out).lines[0].entryId, first.entryId);
  for (const wrong of [
    ['--limit', '0'],
    ['--before', 'x'],
    ['--kind', 'lost'],
  ])
    t.equal((await here.run('training', 'list', ...wrong)).code, 2, wrong.join(' '));

  t.equal(
    (await here.run('training', 'stats')).out,
    'TRAINER  CLASS  LEARNED  KNOWN  REFUSED  LATER\n' +
      'away     spam   0        0      0        2\n' +
      'good     spam   2        0      0        0\n' +
      'picky    spam   0        0      2        0\n',
  );

  const shown = await here.run('show', '1');
  t.match(shown.out, /good learned it as spam: fine\n/);
  t.match(shown.out, /picky refused to learn it as spam for ada@harbour\.example: too \[31mshort\n/);
  t.match(shown.out, /away could not learn it yet as spam: the training command could not be started \(ENOENT\)\n/);
  t.match(JSON.parse((await here.run('show', '1', '--json')).out).trainings.length, 3);

  // The trainer that is away is taken out of the settings; the other one is mended.
  writeFileSync(mended, '');
  writeFileSync(here.config, readFileSync(here.config, 'utf8').replace(/^.*name: away.*\n/m, ''));
  t.match(await here.run('training', 'retry'), { code: 0, out: 'queued 0\n' });
  t.match(await here.run('training', 'retry', '--failed'), { code: 0 });
});

t.test('what failed is asked again where it had not been learned, and only there', async (t) => {
  const folder = t.testdir();
  const count = (name: string) => join(folder, name);
  const counting = (name: string, code: number) =>
    JSON.stringify(['/bin/sh', '-c', `echo x >> "$0"; [ -e "$0.ok" ] || exit ${code}`, count(name)]);
  const here = world(
    t,
    `training:
  trainers:
    - { type: command, name: good, spam: ${counting('good', 0)}, ham: ${counting('good', 0)} }
    - { type: command, name: picky, spam: ${counting('picky', 65)}, ham: ${counting('picky', 65)} }
`,
  );
  const asked = (name: string) => readFileSync(count(name), 'utf8').split('\n').length - 1;
  await here.pipe(mail('one'), 'inject', '--rcpt', 'ada@harbour.example');
  await here.run('spam', '1');
  await serveOnce(here);
  t.same([asked('good'), asked('picky')], [1, 1]);
  t.match((await here.run('show', '1')).out, /train-spam failed: picky: the training command ended with 65\n/);

  writeFileSync(`${count('picky')}.ok`, '');
  t.match(await here.run('training', 'retry'), { code: 0, out: 'queued 0\n', err: '' });
  t.match(await here.run('training', 'retry', '--failed'), { code: 0, out: 'queued 1\n', err: /no server is running/ });
  await serveOnce(here);
  t.same([asked('good'), asked('picky')], [1, 2]);
  t.equal((await here.run('training', 'list')).out, 'Nothing.\n', 'it has been learned since');
  t.equal(JSON.parse((await here.run('training', 'list', '--kind', 'refused', '--json')).out).lines.length, 1);
  t.match((await here.run('show', '1')).out, /train-spam done/);
  t.match(await here.run('training', 'retry', '--failed'), { code: 0, out: 'queued 0\n' });
});
