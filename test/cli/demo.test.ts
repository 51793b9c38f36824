/** The demo as a person starts it: a process of its own, read on a terminal, ended by Ctrl-C. What it holds is tested in test/demo. */
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

t.test('the demo shows one screen and ends cleanly', async (t) => {
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
});

t.test('a drop is told with the name of its folder', async (t) => {
  const dropped = (action: string) => line({ kind: 'dropped', account: 'ada@harbour.example', action, count: 3 });
  t.equal(dropped('release-train'), 'dropped  3 on Release & Train  ada@harbour.example');
  t.equal(dropped('discard'), 'dropped  3 on Trash  ada@harbour.example');
});

t.test('two that are started at once find ports of their own', async (t) => {
  const start = (data: string) =>
    startDemo({ data, version: '0', log: silent, print: () => {}, everyMs: 3_600_000 }).catch((error: Error) => error);
  const folder = t.testdir({ one: {}, two: {} });
  const started = await Promise.all([start(join(folder, 'one')), start(join(folder, 'two'))]);
  const ports = started.map((demo) => (demo instanceof Error ? demo.message : demo.ports.imap));
  for (const demo of started) if (!(demo instanceof Error)) await demo.stop();
  t.equal(new Set(ports).size, 2);
  t.ok(ports.every(Number.isInteger), ports.join(', '));
});
