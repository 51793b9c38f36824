/**
 * The contract of test/store/contract on SQLite, but for upkeep, which is in sqlite-upkeep.test.ts to run beside it. What only
 * this driver promises is in sqlite-file.test.ts.
 */
import { readdirSync } from 'node:fs';
import t from 'tap';
import type { Contract } from './contract/harness.ts';
import { openHarness } from './sqlite-harness.ts';

const folder = new URL('./contract/', import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith('.ts') && !['harness.ts', 'upkeep.ts'].includes(name));

for (const name of names) {
  const contract: Contract = (await import(new URL(name, folder).href)).default;
  await t.test(name.replace('.ts', ''), (t) => contract(t, openHarness));
}
