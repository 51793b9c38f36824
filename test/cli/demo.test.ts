/** The demo as a person starts it: a process of its own, ended by Ctrl-C, started again on the same folder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startDemo } from '#app/demo/run';
import { line } from '#app/demo/screen';
import { silent } from '#app/observe/log';

const root = join(import.meta.dirname, '../..');
const source = ['--conditions=lazaret-source', '--import=./tools/ts.mjs', 'src/main.ts'];
const waiting = (screen: string) => Number(/(\d+) messages are waiting/.exec(screen)?.[1]);

t.test('the demo shows one screen, ends cleanly, and goes on with its folder', async (t) => {
  const data = t.testdir();
  const demo = spawn(process.execPath, [...source, 'demo', '--data', data], { cwd: root });
  t.teardown(() => demo.kill('SIGKILL'));
  let out = '';
  let err = '';
  demo.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  demo.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  while (!out.includes('Ctrl-C ends it')) await once(demo.stdout, 'data');
  t.ok(waiting(out) >= 60, `${waiting(out)} are waiting`);
  const lines = out.trimEnd().split('\n');
  t.ok(lines.length <= 24, 'it fits a screen');
  t.same(
    lines.filter((text) => text.length > 80 && !text.includes(data)),
    [],
    'and its width, whatever the folder is called',
  );

  // npm passes on what the terminal has sent to everybody already: a Ctrl-C comes twice.
  demo.kill('SIGINT');
  demo.kill('SIGINT');
  while (!err.includes('Stopping')) await once(demo.stderr, 'data');
  demo.kill('SIGINT');
  t.same(await once(demo, 'exit'), [0, null], 'it ends cleanly');
  t.notOk(readdirSync(data).includes('lazaret.db-wal'), 'its store is closed');

  let again = '';
  const { logins, stop } = await startDemo({
    data,
    version: '0',
    log: silent,
    print: (text) => {
      again += text;
    },
    everyMs: 3_600_000,
  });
  await stop();
  t.equal(waiting(again), waiting(out), 'nothing is handed over twice');
  for (const { name, password } of logins) {
    t.ok(again.includes(password), `the new password of ${name} is shown`);
    t.notOk(out.includes(password), 'and is a new one');
  }
});

t.test('a line says what happened in the words of the folders', async (t) => {
  t.equal(
    line({
      kind: 'released',
      entryId: 17,
      owner: 'ada@harbour.example',
      subject: 'Invoice\nfor March',
      said: '250 2.0.0 Ok',
    }),
    'released  17  "Invoice for March"  ada@harbour.example  250 2.0.0 Ok',
  );
  const dropped = (action: string) => line({ kind: 'dropped', account: 'ada@harbour.example', action, count: 3 });
  t.equal(dropped('release-train'), 'dropped  3 on Release & Train  ada@harbour.example');
  t.equal(dropped('discard'), 'dropped  3 on Trash  ada@harbour.example');
});
