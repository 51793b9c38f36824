/** The contract of upkeep on SQLite: it opens many stores, which takes as long as all others together. */
import t from 'tap';
import contract from './contract/upkeep.ts';
import { openHarness } from './sqlite-harness.ts';

await t.test('upkeep', (t) => contract(t, openHarness));
