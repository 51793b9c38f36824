/** UIDs given anew (../../../store/renumbered.ts): the same mail, the same doings, other numbers. */
import type { Test } from 'tap';
import { StoreRefused } from '#store/errors';
import type { EntryId, ReadableFolder } from '#store/model';
import type { Import, Store } from '#store/port';
import type { FactRecord, NumbersRecord, StoreRecord } from '#store/records';
import { Renumbering } from '#store/renumbered';
import * as d from '../dropping.ts';
import { ada } from '../dropping.ts';
import { type Harness, held, type OpenHarness, recipient } from './harness.ts';
import { fill } from './upkeep.ts';

const day = 86_400_000;
const many = 3_000_000_000;
const now = Date.UTC(2026, 10, 28);
const readable: readonly ReadableFolder[] = ['caught', 'outgoing', 'training', 'trash'];

const renumbering = () =>
  new Renumbering({
    now,
    prefixOf: (prefix, id) => prefix.replace(/^(X-Lazaret-Id: )\d+/, `$1${id}`),
    settingOf: (setting) => setting,
  });

async function recordsOf(store: Store): Promise<StoreRecord[]> {
  const all: StoreRecord[] = [];
  for await (const record of store.upkeep.export()) all.push(record);
  return all;
}

/** Brings what `become` makes of the records into another store; stops after so many. */
async function pour(
  source: Store,
  into: Import,
  become: (record: FactRecord) => readonly FactRecord[],
  most = Number.POSITIVE_INFINITY,
): Promise<void> {
  let left = most;
  for await (const record of source.upkeep.export()) {
    left -= 1;
    if (left < 0) return;
    if (record.kind === 'messages') await into.message(record, () => source.messages.read(record.id));
    else await into.write(become(record));
  }
}

async function note(source: Store): Promise<Renumbering> {
  const numbers = renumbering();
  for await (const record of source.upkeep.export(Renumbering.noted)) numbers.note(record as FactRecord);
  return numbers;
}

async function renumber(source: Store, target: Harness): Promise<Store> {
  const numbers = await note(source);
  const into = await target.store.upkeep.beginImport();
  await pour(source, into, (record) => numbers.record(record));
  await into.finish();
  return target.again();
}

/** A store that has given three billion UIDs, some of them long ago. */
async function anOldOne(t: Test, open: OpenHarness): Promise<Harness> {
  const young = await open(t);
  await fill(young);
  const old = await open(t);
  const into = await old.store.upkeep.beginImport();
  await pour(young.store, into, (record) => (record.kind === 'numbers' ? [{ ...record, lastUid: many }] : [record]));
  await into.finish();
  const store = await old.again();
  const prefix = 'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: spam\r\n';
  const shown = await held(store, ada, { text: 'Shown with its id.', prefix });
  await d.drop(store, 'discard', [shown.uid]);
  old.advance(15 * day);
  await held(store, ada, { text: 'A fortnight later.', prefix });
  await d.housekeep(store); // the stay in Caught that gave the discarded one its id is no longer known
  const { uid } = await held(store, ada, { text: 'Released just now.', prefix });
  await d.drop(store, 'release-train', [uid], { undoMs: 60_000 });
  return { ...old, store };
}

/** All numbers that records have: ids, UIDs and what refers to them. */
function numbersIn(records: readonly StoreRecord[]): number[] {
  const found = new Set<number | undefined>();
  for (const record of records)
    if (record.kind === 'entries') {
      for (const number of [record.id, record.uid, record.linkedTo]) found.add(number);
      for (const stay of record.stays) found.add(stay.uid).add(stay.from);
    } else if (record.kind === 'jobs' || record.kind === 'trainingLines' || record.kind === 'repeats')
      found.add(record.entryId);
    else if (record.kind === 'helpTexts') found.add(record.uid);
  found.delete(undefined);
  return ([...found] as number[]).sort((a, b) => a - b);
}

const numbersOf = (records: readonly StoreRecord[]) => records.at(-1) as NumbersRecord;
const entriesOf = (records: readonly StoreRecord[]) =>
  records.flatMap((record) => (record.kind === 'entries' ? [record] : []));

/** What is known of an entry, without numbers. */
async function told(store: Store, id: EntryId): Promise<unknown> {
  const { entry, message, stays, drops, jobs, trainings } = (await store.entries.history(id))!;
  const { id: _, uid: __, linkedTo, prefix, ...rest } = entry;
  return {
    entry: { ...rest, prefix: prefix.replace(/(?<=^X-Lazaret-Id: )\d+/, ''), isLinked: linkedTo !== undefined },
    ...{ message, drops },
    stays: stays.map(({ uid: ___, ...stay }) => stay),
    jobs: jobs.map(({ key, entryId, ...job }) => ({
      ...job,
      isKeyed: key === `${job.dropId}/${id}/${job.step}`,
    })),
    trainings: trainings.map(({ jobKey, entryId, ...line }) => ({ ...line, isKeyed: jobKey.includes(`/${id}/`) })),
  };
}

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  await t.test('numbers begin with 1 and are in the order they had, and everything else is as it was', async (t) => {
    const source = (await anOldOne(t, open)).store;
    const target = await renumber(source, await open(t));
    for await (const finding of target.upkeep.check({ repair: false })) t.fail(JSON.stringify(finding));

    const [before, after] = [await recordsOf(source), await recordsOf(target)];
    const count = numbersIn(before).length;
    t.ok(numbersIn(before).at(-1)! > many, 'they were large');
    t.strictSame(
      numbersIn(after),
      Array.from({ length: count }, (_, at) => at + 1),
    );
    const { uidValidity } = numbersOf(after);
    t.match(numbersOf(after), { lastUid: count, lastModSeq: await source.changes.end() });
    t.ok(uidValidity > source.uidValidity && uidValidity === target.uidValidity);
    t.notOk(after.some(({ kind }) => kind === 'changes'));

    const [old, fresh] = [entriesOf(before), entriesOf(after)];
    t.equal(fresh.length, old.length);
    t.ok(
      old.some((entry) => Number(entry.stays[0]?.uid) !== Number(entry.id)),
      'of some the first stay is not known any more',
    );
    for (const [at, entry] of fresh.entries())
      t.strictSame(await told(target, entry.id), await told(source, old[at]!.id));
    const kept = (records: readonly StoreRecord[]) =>
      records.filter(({ kind }) => /^(messages|drops|trainings|inventories|accounts|notices|settings)$/.test(kind));
    t.strictSame(kept(after), kept(before));

    for (const scope of d.scopes)
      for (const folder of readable) {
        const [was, is] = [await source.views.load(scope, folder), await target.views.load(scope, folder)];
        t.strictSame(is.messageIds, was.messageIds, 'the same messages in the same order');
        t.strictSame([is.modSeqs, is.flagSet, is.flagSets], [was.modSeqs, was.flagSet, was.flagSets]);
        t.ok(
          is.uids.every((uid, index) => uid > (is.uids[index - 1] ?? 0)),
          'UIDs ascend',
        );
        t.ok(is.uidNext > (is.uids.at(-1) ?? 0) && is.uidNext <= count + 1, 'and UIDNEXT is behind them');
        const prefixes = await target.views.prefixes([...is.uids] as never);
        for (const [index, prefix] of prefixes.entries()) {
          const { size } = (await target.messages.get(is.messageIds[index] as never))!;
          t.equal(is.sizes[index], size + prefix.length, 'what is shown has the size that is told');
          const id = /^X-Lazaret-Id: (\d+)/.exec(prefix)?.[1];
          if (id !== undefined) t.equal(Number(id), is.entryIds[index]);
        }
      }
  });

  await t.test('everything goes on with the new numbers: undo, drops, deliveries, new mail', async (t) => {
    const old = await anOldOne(t, open);
    const target = await open(t);
    target.advance(15 * day);
    const store = await renumber(old.store, target);
    const waiting = entriesOf(await recordsOf(store)).at(-1)!;
    t.match(waiting, { state: 'dropped' });
    const onRelease = waiting.stays.at(-1)!;
    t.match(onRelease, { folder: 'release-train' });
    const undone = await d.undo(store, 'release-train', [onRelease.uid], 'caught');
    const { lastUid } = numbersOf(await recordsOf(store));
    t.match(undone.pairs, [{ from: onRelease.uid, to: lastUid }], 'a drop from before is taken back');
    t.equal(await d.stands(store, waiting.id), 'held caught caught');

    const fresh = await held(store, ada, { text: 'New.' });
    t.match(fresh, { id: lastUid + 1, uid: lastUid + 1 });
    const { pairs } = await d.drop(store, 'release', [lastUid as never, fresh.uid], { undoMs: 60_000 });
    t.strictSame(
      pairs.map(({ from }) => from),
      [lastUid, lastUid + 1],
    );
    t.match((await d.undo(store, 'release', [pairs[1]!.to], 'caught')).pairs, [{ from: pairs[1]!.to }]);
    target.advance(60_000);
    await d.housekeep(store);
    t.ok((await d.run(store, d.done(), ['deliver'])).includes(`deliver ${waiting.id}`));
    t.equal(await d.stands(store, waiting.id), 'released none -');
    for await (const finding of store.upkeep.check({ repair: false })) t.fail(JSON.stringify(finding));
  });

  await t.test('begun again after an interruption, the same numbers are given', async (t) => {
    const { store: source } = await anOldOne(t, open);
    const want = await recordsOf(await renumber(source, await open(t)));
    const target = await open(t);
    for (const most of [3, 30]) {
      const numbers = await note(source);
      const store = await target.again({ unfinished: true });
      await pour(source, await store.upkeep.beginImport(), (record) => numbers.record(record), most);
    }
    t.strictSame(
      await recordsOf(await renumber(source, { ...target, store: await target.again({ unfinished: true }) })),
      want,
    );
  });

  await t.test('a number that is given out meanwhile is refused, not guessed', async (t) => {
    const { store } = await open(t);
    await held(store, ada);
    const numbers = await note(store);
    await held(store, ada, { text: 'Came in between.' });
    const into = await (await open(t)).store.upkeep.beginImport();
    await t.rejects(
      pour(store, into, (record) => numbers.record(record)),
      { name: StoreRefused.name, message: /stop the server/ },
    );
  });

  await t.test('UIDVALIDITY grows also where the clock is behind; an empty store stays empty', async (t) => {
    const { store } = await open(t);
    const late = new Renumbering({ now: 5000, prefixOf: (prefix) => prefix, settingOf: (setting) => setting });
    const [numbers] = late.record(numbersOf(await recordsOf(store)));
    t.match(numbers, { uidValidity: store.uidValidity + 1, lastUid: 0 });
    const target = await renumber(store, await open(t));
    t.equal((await held(target, ada)).uid, 1);
    t.equal((await target.views.top(recipient(ada), 'caught')).uidNext, 2);
  });
}
