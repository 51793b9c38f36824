/** `lazaret store copy` that is killed or interrupted, and run again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { copy } from '#app/cli/store-copying';
import { Failure } from '#app/cli/verb';
import { openStore } from '#store/open';
import { fill, places, same } from './store-world.ts';
import { type Ran, world } from './world.ts';

const root = join(import.meta.dirname, '../..');

async function processOf(env: NodeJS.ProcessEnv, ...argv: string[]): Promise<Ran & { readonly signal: string | null }> {
  const source = ['--conditions=lazaret-source', '--import=./tools/ts.mjs', '--import=./test/support/kill-at.mjs'];
  const child = spawn(process.execPath, [...source, 'src/main.ts', ...argv], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, out, err };
}

t.test('a copy that is killed at any step goes on when it is run again', async (t) => {
  const w = world(t);
  const { from, to, other } = places(w);
  await fill(w.store);
  const typed = ['store', 'copy', from, to, '--config', w.config];
  for (const step of ['importMessage@3', 'importChunk@2', 'write', 'finish']) {
    const killed = await processOf({ KILL_AT: `store.committing:upkeep.${step}` }, ...typed);
    t.match(killed, { signal: 'SIGKILL' }, step);
    await t.rejects(openStore(to), { name: 'StoreRefused' });
  }
  t.match(await processOf({}, ...typed), { code: 0 });
  await same(t, w.store, other);
});

// ---------------------------------------------------------------------------------------------------- a client's view

t.test('a copy that somebody interrupts stops soon, and goes on when it is run again', async (t) => {
  const w = world(t);
  const { from, to, other } = places(w);
  await fill(w.store);
  const source = await openStore(from);
  t.teardown(() => source.close());
  for (const steps of [0, 2, 9]) {
    const target = await openStore(to, { unfinished: true });
    let left = steps;
    const check = (): void => {
      if (left === 0) throw new Failure('Interrupted');
      left -= 1;
    };
    await t.rejects(copy(source, target, check), { message: 'Interrupted' });
    await target.close();
    await t.rejects(openStore(to), { name: 'StoreRefused' });
  }
  t.match(await w.run('store', 'copy', from, to), { code: 0 });
  await same(t, w.store, other);
});
