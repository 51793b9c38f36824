/** The log, the bell, and the order in which numbers are seen (DESIGN §3). */
import type { Test } from 'tap';
import type { ModSeq, Uid } from '#store/model';
import type { Store } from '#store/port';
import { drop } from '../dropping.ts';
import { admit, aSpamFor, everything, held, type OpenHarness, recipient } from './harness.ts';

/** Resolves when the bell rings. A watcher keeps no process alive, so this does. */
const rings = (store: Store): Promise<void> =>
  new Promise((resolve) => {
    const alive = setInterval(() => undefined, 1000);
    const stop = store.changes.watch(() => {
      clearInterval(alive);
      stop();
      resolve();
    });
  });

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const { store, advance, again } = await open(t);

  await t.test('tells of an arrival what a view shows', async (t) => {
    const before = await store.changes.end();
    const entry = await held(store, 'ada@harbour.example', { flags: ['\\Seen'], internalDate: new Date(1000) });
    const answer = await store.changes.since(before, 10);
    t.match(answer, { end: before + 1, more: false, lost: false });
    t.same(answer.changes, [
      {
        modSeq: before + 1,
        kind: 'enter',
        uid: entry.uid,
        folder: 'caught',
        entryId: entry.id,
        messageId: entry.messageId,
        owner: 'ada@harbour.example',
        flags: { recipient: '\\Seen', domain: '\\Seen', global: '\\Seen' },
        size: (await store.views.load(everything, 'caught')).sizes[0],
        internalDate: 1000,
      },
    ]);
    t.same(await store.changes.since(answer.end, 10), { changes: [], end: answer.end, more: false, lost: false });
  });

  await t.test('gives whole mod-sequences, whatever the limit', async (t) => {
    const before = await store.changes.end();
    const mail = aSpamFor('ada@harbour.example');
    const three = { ...mail, entries: [mail.entries[0]!, mail.entries[0]!, mail.entries[0]!] };
    for (let n = 0; n < 4; n += 1) await admit(store, three);
    for (const limit of [1, 2, 3, 4, 5, 6, 7, 100]) {
      let since = before;
      const uids: Uid[] = [];
      for (let more = true; more; ) {
        const answer = await store.changes.since(since, limit);
        t.equal(answer.changes.length % 3, 0);
        t.equal(answer.changes.at(-1)?.modSeq, answer.end, 'complete up to its last line');
        uids.push(...answer.changes.map(({ uid }) => uid));
        more = answer.more;
        since = answer.end;
      }
      t.equal(uids.length, 12, `with a limit of ${limit}`);
      t.equal(since, before + 4);
      t.same(
        uids,
        [...uids].sort((a, b) => a - b),
      );
    }
  });

  await t.test('rings for an own commit and for one of another process', async (t) => {
    const other = await again();
    const own = rings(store);
    const theirs = rings(other);
    await held(store, 'ada@harbour.example');
    await own;
    await theirs;
    const end = await store.changes.end();
    t.equal(await other.changes.end(), end, 'and then it is there to read');
    const back = rings(store);
    await held(other, 'ada@harbour.example');
    await back;
    t.equal(await store.changes.end(), end + 1);
  });

  await t.test('rings each watcher until it stops', async (t) => {
    const heard = { first: 0, second: 0 };
    const stopFirst = store.changes.watch(() => {
      heard.first += 1;
    });
    const stopSecond = store.changes.watch(() => {
      heard.second += 1;
    });
    await held(store, 'ada@harbour.example');
    t.same(heard, { first: 1, second: 1 }, 'an own commit has rung when its answer is there');
    stopFirst();
    stopFirst();
    await held(store, 'ada@harbour.example');
    t.same(heard, { first: 1, second: 2 });
    stopSecond();
  });

  await t.test('rings who wants own commits only for nothing else', async (t) => {
    const other = await again();
    let heard = 0;
    const stop = store.changes.watch(() => (heard += 1), { others: false });
    await held(store, 'ada@harbour.example');
    t.equal(heard, 1, 'an own commit has rung when its answer is there');
    const everybodys = rings(store);
    await held(other, 'ada@harbour.example');
    await everybodys; // the news of it is in this process, and still it did not ring
    t.equal(heard, 1);
    await held(store, 'ada@harbour.example');
    t.equal(heard, 2, 'whatever the other watcher has heard of before');
    stop();
    stop();
    await held(store, 'ada@harbour.example');
    t.equal(heard, 2);
  });

  await t.test('never shows a UID or a mod-sequence before every smaller one', async (t) => {
    const other = await again();
    const owner = 'ida@quay.example';
    const scope = recipient(owner);
    const from = await store.changes.end();
    let writing = true;
    const sightings: Uint32Array[] = [];
    const logs: { end: ModSeq; uids: Uid[] }[] = [];
    const watch = async (reader: Store): Promise<void> => {
      while (writing) {
        sightings.push((await reader.views.load(scope, 'caught')).uids);
        const { end, changes } = await reader.changes.since(from, 10_000);
        logs.push({ end, uids: changes.map(({ uid }) => uid) });
      }
    };
    const write = async (writer: Store): Promise<void> => {
      for (let n = 0; n < 10; n += 1) {
        await Promise.all(Array.from({ length: 5 }, () => admit(writer, aSpamFor(owner, { text: String(n) }))));
        for (const seen = logs.length; logs.length < seen + 2; ) await store.changes.end(); // both have looked
      }
    };
    const watching = [watch(store), watch(other)];
    await Promise.all([write(store), write(other)]);
    writing = false;
    await Promise.all(watching);

    const final = [...(await store.views.load(scope, 'caught')).uids];
    t.equal(final.length, 100);
    t.equal(new Set(final).size, 100);
    const prefixes = new Set(final.map((_, at) => final.slice(0, at).join()).concat(final.join()));
    for (const seen of sightings)
      if (!prefixes.has([...seen].join())) t.fail(`saw ${seen.join()}, ended as ${final.join()}`);
    const log = (await store.changes.since(from, 10_000)).changes;
    for (const { end, uids } of logs) {
      const whole = log.filter(({ modSeq }) => modSeq <= end).map(({ uid }) => uid);
      if (whole.join() !== uids.join()) t.fail(`at ${end} the log was ${uids.join()}, and is ${whole.join()}`);
    }
    t.ok(new Set(sightings.map(({ length }) => length)).size > 2, 'the watchers saw it grow');
    t.equal(new Set(log.map(({ modSeq }) => modSeq)).size, 100, 'each command has a mod-sequence of its own');
  });

  await t.test('tells who asks from before the oldest kept line that it is lost', async (t) => {
    const gone = await held(store, 'joe@quay.example');
    const stays = await held(store, 'joe@quay.example');
    const actor = { account: 'joe@quay.example', via: 'imap' };
    const scope = recipient('joe@quay.example');
    const { left } = await store.entries.expunge({ scope, folder: 'caught', uids: [gone.uid] }, actor);
    t.same(left, [gone.uid]);
    const inTrash = (await store.entries.get(gone.id))!.uid!;
    await drop(store, 'restore', [inTrash], { folder: 'trash', restoreTo: 'caught', account: actor.account });
    const before = await store.changes.end();
    advance(30 * 24 * 60 * 60 * 1000);
    const fresh = await held(store, 'joe@quay.example');
    while ((await store.housekeep()).more);
    t.match(await store.changes.since((before - 1) as ModSeq, 100), { changes: [], lost: true, end: before + 1 });
    t.match(await store.changes.since(before, 100), { changes: [{ uid: fresh.uid }], lost: false });
    t.equal((await store.entries.byUid(gone.uid))?.id, gone.id, 'the first UID is the id, for ever');
    t.equal(await store.entries.byUid(inTrash), undefined, 'another ended stay goes with the log');
    t.equal((await store.entries.byUid(stays.uid))?.id, stays.id, 'an open one is kept');
    const { uid: back } = (await store.entries.get(gone.id))!;
    t.same([...(await store.views.load(scope, 'caught')).uids], [stays.uid, back, fresh.uid]);
  });
}
