/** The contract of test/store/contract on a real MongoDB, each test in a database of its own. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { mongoOrSkip } from '../support/mongod.ts';
import type { Contract } from './contract/harness.ts';
import { openHarness } from './mongo-harness.ts';

const folder = new URL('./contract/', import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith('.ts') && name !== 'harness.ts');

if (mongoOrSkip(t)) {
  // Most of the time is spent waiting for the server.
  t.jobs = 4;
  for (const name of names) {
    const contract: Contract = (await import(new URL(name, folder).href)).default;
    t.test(name.replace('.ts', ''), { buffered: true, timeout: 240_000 }, (t) => contract(t, openHarness));
  }
}
