/** Whoever dies while it has its turn at writing does not keep the others from theirs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { mongoOrSkip } from '../support/mongod.ts';
import { held } from './contract/harness.ts';
import { openHarness } from './mongo-harness.ts';

const child = fileURLToPath(new URL('./children/in-turn.ts', import.meta.url));

if (mongoOrSkip(t))
  t.test('a process that is killed in the middle of a transaction', async (t) => {
    const { store, url } = await openHarness(t);
    const process_ = spawn(process.execPath, [...process.execArgv, child, url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.teardown(() => process_.kill('SIGKILL'));
    await once(process_.stdout, 'data');
    process_.kill('SIGKILL');
    await once(process_, 'exit');
    const began = performance.now();
    const entry = await held(store, 'ada@harbour.example');
    t.ok(entry.uid > 0, `went on after ${Math.round(performance.now() - began)} ms`);
  });
