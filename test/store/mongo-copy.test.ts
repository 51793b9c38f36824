/** A store copied from SQLite to MongoDB and back has the same records; and so has one that was copied the other way round. */
import t, { type Test } from 'tap';
import type { Store } from '#store/port';
import type { StoreRecord } from '#store/records';
import { mongoOrSkip } from '../support/mongod.ts';
import { collect, type Harness, sha256 } from './contract/harness.ts';
import { fill } from './contract/upkeep.ts';
import { openHarness as openMongo } from './mongo-harness.ts';
import { openHarness as openSqlite } from './sqlite-harness.ts';

const drivers: Readonly<Record<string, (t: Test) => Promise<Harness>>> = { SQLite: openSqlite, MongoDB: openMongo };

/** In a form that can be compared; trainings and tops have an order of their own in each driver. */
async function everythingIn(store: Store): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const record of store.upkeep.export()) all.push(await comparable(store, record));
  return all.sort();
}

async function comparable(store: Store, record: StoreRecord): Promise<string> {
  const octets = record.kind === 'messages' ? sha256(await collect(store.messages.read(record.id))) : '';
  return octets + JSON.stringify(record, sorted);
}

const sorted = (_: string, value: unknown): unknown => {
  if (value instanceof Uint8Array) return [...value];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
};

async function copy(source: Store, target: Store): Promise<void> {
  const into = await target.upkeep.beginImport();
  for await (const record of source.upkeep.export())
    if (record.kind === 'messages') await into.message(record, () => source.messages.read(record.id));
    else await into.write([record]);
  await into.finish();
}

if (mongoOrSkip(t))
  for (const [from, to] of [
    ['SQLite', 'MongoDB'],
    ['MongoDB', 'SQLite'],
  ] as const)
    t.test(`from ${from} to ${to} and back`, async (t) => {
      const source = await drivers[from]!(t);
      await fill(source);
      const target = await drivers[to]!(t);
      await copy(source.store, target.store);
      const want = await everythingIn(source.store);
      t.strictSame(await everythingIn(target.store), want);
      const back = await drivers[from]!(t);
      await copy(target.store, back.store);
      t.strictSame(await everythingIn(back.store), want);
      for await (const finding of (await back.again()).upkeep.check({ repair: false })) t.fail(JSON.stringify(finding));
    });
