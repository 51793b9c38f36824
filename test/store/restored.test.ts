/** What a restore makes of a delivery that was on its way is what a driver makes of one that failed. */
import t, { type Test } from 'tap';
import type { Uid } from '#store/model';
import type { Store } from '#store/port';
import type { FactRecord, NumbersRecord, StoreRecord } from '#store/records';
import { Restoring } from '#store/restored';
import { held } from './contract/harness.ts';
import * as d from './dropping.ts';
import { ada } from './dropping.ts';
import { openHarness } from './sqlite-harness.ts';

const prefix = 'X-Lazaret-Id: {id}\r\nX-Lazaret-Status: perhaps\r\n';

async function facts(store: Store): Promise<FactRecord[]> {
  const all: FactRecord[] = [];
  for await (const record of store.upkeep.export()) if (record.kind !== 'messages') all.push(record);
  return all;
}

function restored(records: readonly FactRecord[]): FactRecord[] {
  const numbers = records.at(-1) as NumbersRecord;
  const restoring = new Restoring({ numbers, now: 5, prefixOf: () => prefix });
  return records.flatMap((record) => restoring.record(record));
}

/** In no order, without times. */
function compared(records: readonly FactRecord[], ...kinds: StoreRecord['kind'][]): string[] {
  return records
    .filter(({ kind }) => kinds.includes(kind))
    .map((record) => {
      const names = (value: object) => Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
      return JSON.stringify(record, (name, value: unknown) => {
        if (/At$|^at$/.test(name) && value !== undefined) return 'a time';
        const plain = typeof value === 'object' && value !== null && !Array.isArray(value);
        return plain ? Object.fromEntries(names(value as object)) : value;
      });
    })
    .sort();
}

const ways: Record<string, (store: Store, uid: Uid) => Promise<unknown>> = {
  'a MOVE': (store, uid) => d.drop(store, 'release', [uid]),
  'a COPY': (store, uid) => d.drop(store, 'release', [uid], { mode: 'copy' }),
  'Release & Train': (store, uid) => d.drop(store, 'release-train', [uid]),
  'one that is shown as put off': async (store, uid) => {
    await d.drop(store, 'release', [uid]);
    const [job] = await d.claim(store, ['deliver']);
    await store.jobs.finish(job!, d.later(0, true));
  },
  'one after a training that it was copied onto': async (store, uid) => {
    await d.drop(store, 'not-spam', [uid], { mode: 'copy' });
    await d.run(store, d.done(), ['train-ham']);
    await d.drop(store, 'release', [uid]);
  },
};

for (const [name, way] of Object.entries(ways))
  t.test(name, async (t: Test) => {
    const { store } = await openHarness(t);
    const { uid } = await held(store, ada, { flags: ['\\Seen', '$x'] });
    await way(store, uid);
    const made = restored(await facts(store));
    const [job] = await d.claim(store, ['deliver']);
    await store.jobs.finish(job!, { kind: 'failed', said: '550', prefix });
    const driver = await facts(store);
    for (const kind of ['entries', 'changes', 'tops', 'numbers'] as const)
      t.strictSame(compared(made, kind), compared(driver, kind), kind);
    for (const each of made)
      if (each.kind === 'jobs' && each.state === 'cancelled')
        t.match(each, { endedAt: 5, outcome: 'restored from a backup', lease: undefined, leaseUntil: undefined });
    t.notOk(made.some((each) => each.kind === 'jobs' && /ready|leased/.test(each.state)));
  });

t.test('what was not on its way stays as it is', async (t) => {
  const { store } = await openHarness(t);
  await held(store, ada);
  const { uid } = await held(store, ada, { text: 'Another.' });
  await d.drop(store, 'release', [uid], { mode: 'copy' });
  await d.run(store, d.done());
  const before = await facts(store);
  t.strictSame(restored(before), before);
});

t.test('many come back in pieces of the log, each under a mod-sequence of its own', async (t) => {
  const { store } = await openHarness(t);
  const all = await Promise.all(Array.from({ length: 700 }, (_, n) => held(store, ada, { text: `Number ${n}.` })));
  const uids = all.map(({ uid }) => uid).sort((a, b) => a - b);
  await d.drop(store, 'release', uids);
  const before = (await facts(store)).at(-1) as NumbersRecord;
  const made = restored(await facts(store));
  const { lastUid, lastModSeq } = made.at(-1) as NumbersRecord;
  t.equal(lastUid, before.lastUid + 700);
  t.equal(lastModSeq, before.lastModSeq + 2);
  const fresh = made.flatMap((each) => (each.kind === 'changes' && each.modSeq > before.lastModSeq ? [each] : []));
  t.strictSame(
    fresh.map(({ modSeq, lines }) => [modSeq - before.lastModSeq, lines.length]),
    [
      [1, 500],
      [2, 200],
    ],
  );
  for (const { modSeq, lines } of fresh)
    for (const line of lines) {
      const entry = made.find((each) => each.kind === 'entries' && each.id === line.entryId);
      if (entry?.kind !== 'entries' || entry.mod.global !== modSeq || entry.uid !== line.uid) t.fail(`${line.uid}`);
    }
});
