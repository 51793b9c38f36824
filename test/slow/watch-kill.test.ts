/**
 * `lazaret watch` as a process that is killed, as by kill -9, at each step between a file and its mail in the store, and
 * started again: every file is taken, and none twice.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openStore } from '#store/open';
import { mail, run, world } from '../cli/world.ts';
import { buildIfOld, plain } from '../support/server-process.ts';

const root = join(import.meta.dirname, '../..');
const files = 12;

for (const afterwards of ['keep', 'done', 'delete'] as const)
  t.test(`killed at every step, then what is left is taken once (${afterwards})`, async (t) => {
    buildIfOld();
    const { folder, config, store } = world(t);
    const box = join(folder, 'in');
    mkdirSync(box);
    for (let i = 0; i < files; i++) writeFileSync(join(box, `${i}.eml`), mail(`number ${i}`));
    const options =
      afterwards === 'keep' ? [] : afterwards === 'delete' ? ['--delete'] : ['--done', join(folder, 'done')];
    const args = [
      'watch',
      box,
      '--once',
      '--settle',
      '0s',
      '--rcpt',
      'ada@harbour.example',
      ...options,
      '--config',
      config,
    ];
    for (const killAt of ['intake.header', 'intake.put@2', 'watch.taken', 'watch.taken@4', 'intake.put@5']) {
      const child = spawn(...plain('--import=./test/support/kill-at.mjs', join(root, 'dist/src/main.js'), ...args), {
        cwd: root,
        stdio: 'ignore',
        env: { PATH: process.env.PATH, KILL_AT: killAt },
      });
      const [code, signal] = await once(child, 'exit');
      t.equal(signal ?? code, 'SIGKILL', killAt);
    }
    t.match(await run(...args), { code: 0, out: /bad 0/ });
    t.match(await run(...args), { code: 0, out: 'taken 0, already there 0, bad 0\n' });
    const open = await openStore(`sqlite:${store}`);
    t.teardown(() => open.close());
    const entries = await open.entries.list({ scope: { level: 'global' }, limit: 100 });
    t.same(
      entries.map(({ message }) => message.subject).sort(),
      Array.from({ length: files }, (_, i) => `number ${i}`).sort(),
      'each once',
    );
    const left = readdirSync(box).length;
    if (afterwards === 'keep') t.equal(left, files);
    else t.equal(left, 0);
    if (afterwards === 'done') t.equal(readdirSync(join(folder, 'done')).length, files, 'and moved once');
  });
