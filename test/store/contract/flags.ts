/** Flags live per entry and per scope level (DESIGN §7.4). */
import type { Test } from 'tap';
import type { ModSeq, Scope, Uid } from '#store/model';
import type { FlagChange, Store } from '#store/port';
import { domain, everything, held, type OpenHarness, recipient } from './harness.ts';

const ada = recipient('ada@harbour.example');
const harbour = domain('harbour.example');

async function flagsOf(store: Store, scope: Scope, uid: Uid): Promise<string | undefined> {
  const view = await store.views.load(scope, 'caught');
  return view.flagSets[view.flagSet[view.uids.indexOf(uid)]!];
}

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const { store } = await open(t);
  const set = (scope: Scope, uids: readonly Uid[], change: FlagChange) =>
    store.entries.setFlags({ scope, folder: 'caught', uids }, change);

  await t.test('an administrator who reads mail does not mark it read for its owner', async (t) => {
    const { uid } = await held(store, 'ada@harbour.example');
    await set(everything, [uid], { op: 'add', flags: ['\\Seen'] });
    await set(harbour, [uid], { op: 'add', flags: ['\\Flagged', '$work'] });
    t.same(
      [await flagsOf(store, ada, uid), await flagsOf(store, harbour, uid), await flagsOf(store, everything, uid)],
      ['', '\\Flagged $work', '\\Seen'],
    );
  });

  await t.test('adds, removes and replaces, and says what changed', async (t) => {
    const { uid } = await held(store, 'ada@harbour.example', { flags: ['\\Seen', '$Releasing'] });
    const steps: readonly (readonly [FlagChange, string | undefined])[] = [
      [{ op: 'add', flags: ['\\Flagged'] }, '\\Flagged \\Seen $Releasing'],
      [{ op: 'add', flags: ['\\FLAGGED'] }, undefined],
      [{ op: 'add', flags: ['$Trained', '$ReleaseFailed'] }, undefined],
      [{ op: 'replace', flags: ['$a', '$Trained'] }, '$Releasing $a'],
      [{ op: 'remove', flags: ['$b'] }, undefined],
      [{ op: 'remove', flags: ['$releasing'] }, '$a'],
      [{ op: 'replace', flags: ['$A'] }, '$A'],
      [{ op: 'replace', flags: [] }, ''],
    ];
    for (const [change, after] of steps) {
      const answer = await set(ada, [uid], change);
      if (after === undefined) t.same(answer, { changed: [], modified: [], modSeq: 0 }, JSON.stringify(change));
      else
        t.same(
          answer,
          { changed: [{ uid, flags: after, modSeq: answer.modSeq }], modified: [], modSeq: await store.changes.end() },
          JSON.stringify(change),
        );
    }
  });

  await t.test('leaves alone what changed since', async (t) => {
    const a = await held(store, 'ada@harbour.example');
    const b = await held(store, 'ada@harbour.example');
    const asOf = await store.changes.end();
    await set(ada, [b.uid], { op: 'add', flags: ['\\Seen'] });
    const before: FlagChange = { op: 'add', flags: ['$x'], unchangedSince: asOf };
    const answer = await set(ada, [a.uid, b.uid], before);
    t.same(
      answer.changed.map(({ uid }) => uid),
      [a.uid],
    );
    t.same(answer.modified, [b.uid]);
    const elsewhere = await set(harbour, [b.uid], before);
    t.same(elsewhere.modified, [], 'another level has mod-sequences of its own');
    const never = await set(ada, [a.uid], { ...before, unchangedSince: 1 as ModSeq });
    t.same(never.modified, [a.uid]);
  });

  await t.test('ignores what is not there, or not in this scope', async (t) => {
    const mine = await held(store, 'ada@harbour.example');
    const other = await held(store, 'ben@quay.example');
    const training = await held(store, 'ada@harbour.example', { class: 'training' });
    const uids = [mine.uid, other.uid, training.uid, 999999 as Uid];
    const answer = await set(ada, uids, { op: 'add', flags: ['$y'] });
    t.same(
      answer.changed.map(({ uid }) => uid),
      [mine.uid],
    );
    t.equal(await flagsOf(store, everything, other.uid), '');
  });

  await t.test('a change is one line of its level at one mod-sequence', async (t) => {
    const a = await held(store, 'ada@harbour.example');
    const b = await held(store, 'ada@harbour.example');
    const before = await store.changes.end();
    const tops = async () =>
      Promise.all(
        [ada, harbour, everything].map(async (scope) => (await store.views.top(scope, 'caught')).highestModSeq),
      );
    const [adaTop, harbourTop, globalTop] = await tops();
    const { modSeq } = await set(harbour, [a.uid, b.uid], { op: 'add', flags: ['$z'] });
    t.equal(modSeq, before + 1);
    const { changes } = await store.changes.since(before, 10);
    t.match(changes, [
      { modSeq, kind: 'flags', uid: a.uid, level: 'domain', flags: { domain: '$z' }, folder: 'caught', entryId: a.id },
      { modSeq, kind: 'flags', uid: b.uid, level: 'domain', flags: { domain: '$z' }, owner: 'ada@harbour.example' },
    ]);
    t.same(Object.keys(changes[0]!.flags!), ['domain']);
    t.same(await tops(), [adaTop, modSeq, globalTop], 'and raises the top of its level only');
    t.not(harbourTop, modSeq);
  });
}
