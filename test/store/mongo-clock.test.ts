/**
 * The store's clock is that of the server: what is due, and whose lease has run out, does not hang on the clock of the machine
 * that asks. Processes whose clocks go ten minutes before and behind ours take turns on one database.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { freshDatabase, mongoOrSkip } from '../support/mongod.ts';
import { held } from './contract/harness.ts';
import { ada, claim, drop, later } from './dropping.ts';
import { openHarness } from './mongo-harness.ts';

const run = promisify(execFile);
const child = fileURLToPath(new URL('./children/jobs.ts', import.meta.url));
const preload = new URL('../support/kill-at.mjs', import.meta.url).href;
const tenMinutes = 600_000;

/** What a process claims whose clock is off by so much. */
async function claimsOf(offsetMs: number, url: string, leaseMs: number, ...more: string[]): Promise<number> {
  const env = { ...process.env, CLOCK_OFFSET_MS: String(offsetMs) };
  const program = [...process.execArgv, '--import', preload, child, url, String(leaseMs), ...more];
  const { stdout } = await run(process.execPath, program, { env });
  const { claimed, now } = JSON.parse(stdout);
  if (Math.abs(now - Date.now() - offsetMs) > 60_000) throw new Error('its clock was not moved');
  return claimed;
}

if (mongoOrSkip(t)) {
  t.jobs = 4;

  t.test('a clock ten minutes ahead does not end the lease of others', async (t) => {
    const { store, url } = await openHarness(t);
    await drop(store, 'release', [(await held(store, ada)).uid]);
    const [job] = await claim(store);
    t.equal(await claimsOf(tenMinutes, url, 60_000), 0);
    await store.jobs.finish(job!, later(60_000));
    t.equal(await claimsOf(tenMinutes, url, 60_000), 0, 'nor is what is due in a minute due for it');
  });

  t.test('a clock ten minutes behind leases for as long as it says', async (t) => {
    const { store, url, advance } = await openHarness(t);
    await drop(store, 'release', [(await held(store, ada)).uid]);
    t.equal(await claimsOf(-tenMinutes, url, 60_000), 1);
    t.strictSame(await claim(store), [], 'its lease has not run out');
    advance(60_000);
    t.match(await claim(store), [{ attempts: 2 }], 'now it has');
  });

  t.test('what is put off by a clock that is wrong is due when it should be', async (t) => {
    for (const offsetMs of [tenMinutes, -tenMinutes]) {
      const { store, url, advance } = await openHarness(t);
      await drop(store, 'release', [(await held(store, ada)).uid]);
      t.equal(await claimsOf(offsetMs, url, 60_000, 'later', '120000'), 1);
      t.strictSame(await claim(store), [], 'not yet');
      advance(120_000);
      t.match(await claim(store), [{ attempts: 2 }], 'but then');
    }
  });

  t.test('the time to undo a drop is the same for all', async (t) => {
    const { store, url, advance } = await openHarness(t);
    await drop(store, 'release', [(await held(store, ada)).uid], { undoMs: 60_000 });
    t.equal(await claimsOf(tenMinutes, url, 60_000), 0);
    advance(60_000);
    await store.housekeep();
    t.equal((await claim(store)).length, 1);
  });

  t.test('processes with different clocks that open an empty database at once have one store', async (t) => {
    const url = await freshDatabase(t);
    t.strictSame(
      await Promise.all([tenMinutes, 0, -tenMinutes].map((offsetMs) => claimsOf(offsetMs, url, 60_000))),
      [0, 0, 0],
    );
  });
}
