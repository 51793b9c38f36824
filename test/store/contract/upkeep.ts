/** Export, import, check, optimize: what copy, backup and restore are made of. */
import type { Test } from 'tap';
import { StoreRefused } from '#store/errors';
import { sentenceOf } from '#store/findings';

import type { Import, Store } from '#store/port';
import { type Finding, type MessageRecord, recordKinds, type StoreRecord } from '#store/records';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import {
  admit,
  aMessage,
  aSpamFor,
  bytesOf,
  collect,
  type Damage,
  everything,
  from,
  type Harness,
  held,
  type OpenHarness,
  put,
  recipient,
  sha256,
} from './harness.ts';

/** A store with something of every kind in it. */
export async function fill({ store, advance }: Harness): Promise<void> {
  const large = 'Line of a large message.\r\n'.repeat(30_000);
  await held(store, ada, { text: large, filterBlock: Uint8Array.of(0, 255, 13, 10), flags: ['\\Seen', '$x'] });
  const both = aSpamFor(ada, { text: 'For two.', params: { body: '8BITMIME', client: { addr: '::1' } } });
  await admit(store, { ...both, entries: [...both.entries, { ...both.entries[0]!, owner: '', recipient: '' }] });
  await held(store, ada, { text: '', repeat: { key: 'k' }, internalDate: new Date(5), orcpt: 'rfc822;x' });
  const uids = [];
  for (let n = 0; n < 8; n += 1) uids.push((await held(store, ada, { text: `Number ${n}.` })).uid);
  await d.drop(store, 'release', [uids[0]!]);
  await d.run(store, { kind: 'failed', said: '550 no', prefix: 'X-Lazaret-Status: 550\r\n', notice: 'It failed.' });
  await d.drop(store, 'release', [uids[1]!], { mode: 'copy' });
  await d.run(store, d.done());
  await d.drop(store, 'release-train', [uids[2]!], { undoMs: 60_000 });
  await d.drop(store, 'release', [uids[3]!], { last: false });
  await d.drop(store, 'spam', [uids[4]!], { mode: 'copy' });
  await d.drop(store, 'release', [uids[5]!]);
  await d.claim(store, ['deliver'], 1);
  await d.drop(store, 'discard', [uids[6]!]);
  await store.entries.setFlags(
    { scope: recipient(ada), folder: 'caught', uids: [uids[7]!] },
    { op: 'add', flags: ['\\Flagged', '$y'] },
  );
  const mail = aSpamFor(ben, { text: 'Appended.' });
  await store.drops.appendForTraining(
    { ...mail.message, bytes: await put(store, mail.raw) },
    { actor: d.by(ben), scope: recipient(ben), action: 'not-spam', undoMs: 0, hostname: 'mx.harbour.example' },
  );
  const [lesson] = await d.claim(store, ['train-spam', 'train-ham'], 1);
  const line = { trainer: 'rspamd', class: 'spam', said: 'learned' } as const;
  await store.jobs.noteTraining(lesson!, { ...line, kind: 'learned', user: ada });
  await store.jobs.noteTraining(lesson!, { ...line, trainer: 'other', kind: 'later' });
  await held(store, ada, { class: 'training', leaveAfterMs: 1e9 });
  const [first] = await store.messages.withoutInventory(1);
  await store.messages.putInventory(first!, anInventory);
  await store.accounts.add({ name: 'ann*global', scope: everything, person: 'ann', passwordHash: 'hash' });
  await store.settings.put('a key', Uint8Array.of(0, 1, 255));
  await store.settings.helpUid(ada, 'text');
  await store.messages.put(from(aMessage('Never admitted.'), new Uint8Array(600_000)));
  advance(1000);
}

const anInventory = {
  attachments: [{ name: 'ä.zip', type: 'application/zip', size: 3, sha256: 'ab', names: ['x'], note: 'encrypted' }],
  links: [{ domain: 'bit.ly', count: 2, shortener: true as const }],
  problem: 'only 1 of 2 attachments are listed',
};

async function records(store: Store): Promise<StoreRecord[]> {
  const all: StoreRecord[] = [];
  for await (const record of store.upkeep.export()) all.push(record);
  return all;
}

/** All records, with what the octets of the messages are, in a form that can be compared. */
async function everythingIn(store: Store): Promise<unknown[]> {
  const all = [];
  for (const record of await records(store))
    all.push({
      ...JSON.parse(JSON.stringify(record, (_, value) => (value instanceof Uint8Array ? [...value] : value))),
      ...(record.kind === 'messages' ? { octets: sha256(await collect(store.messages.read(record.id))) } : {}),
    });
  return all;
}

/** Brings records of one store into another; stops after so many, as a program that is ended. */
async function pour(source: Store, into: Import, most = Number.POSITIVE_INFINITY): Promise<string[]> {
  const said: string[] = [];
  let left = most;
  for await (const record of source.upkeep.export()) {
    left -= 1;
    if (left < 0) return said;
    if (record.kind === 'messages') said.push(await into.message(record, () => source.messages.read(record.id)));
    else await into.write([record]);
  }
  return said;
}

const refused = { name: StoreRefused.name };

async function found(store: Store, repair: boolean): Promise<Finding[]> {
  const all: Finding[] = [];
  for await (const finding of store.upkeep.check({ repair })) all.push(finding);
  return all;
}

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  await t.test('an export has everything, in order, and counts agree with it', async (t) => {
    const harness = await open(t);
    await fill(harness);
    const { store } = harness;
    const all = await records(store);
    const kinds = all.map(({ kind }) => kind);
    t.strictSame([...new Set(kinds)], recordKinds, 'of every kind, in their order');
    const counted = await store.upkeep.count();
    for (const kind of recordKinds)
      t.equal(counted.records[kind], kinds.filter((each) => each === kind).length, `count of ${kind}`);
    const messages = all.filter((record): record is MessageRecord => record.kind === 'messages');
    t.equal(
      counted.octets,
      messages.reduce((sum, { size }) => sum + size, 0),
    );
    for (const message of messages)
      t.equal(sha256(await collect(store.messages.read(message.id))), message.sha256, 'octets can be read');
    const orders = all.flatMap((record) => (record.kind === 'jobs' ? [record.order] : []));
    t.strictSame(
      orders,
      [...new Set(orders)].sort((a, b) => a - b),
      'jobs as they were queued',
    );
    const numbers = all.at(-1)!;
    t.match(numbers, { kind: 'numbers', uidValidity: store.uidValidity, lastModSeq: await store.changes.end() });
    t.equal(
      all.some((record) => JSON.stringify(record).includes('null')),
      false,
      'what is absent is absent',
    );
  });

  await t.test('an export is one snapshot, whatever is written meanwhile', async (t) => {
    const { store, again } = await open(t);
    for (let n = 0; n < 30; n += 1) await held(store, ada, { text: `Before ${n}.` });
    const end = await store.changes.end();
    const all: StoreRecord[] = [];
    for await (const record of store.upkeep.export()) {
      if (all.length === 0)
        await Promise.all(Array.from({ length: 20 }, (_, n) => held(store, ben, { text: `Meanwhile ${n}.` })));
      all.push(record);
    }
    t.equal(all.filter(({ kind }) => kind === 'entries').length, 30);
    t.match(all.at(-1), { kind: 'numbers', lastModSeq: end });
    for await (const record of store.upkeep.export()) {
      t.equal(record.kind, 'messages');
      break; // a consumer that stops holds nothing
    }
    t.equal((await records(await again())).filter(({ kind }) => kind === 'entries').length, 50);
  });

  await t.test(
    'an import into another store gives the same records, and a store that goes on where it was',
    async (t) => {
      const source = await open(t);
      await fill(source);
      const target = await open(t);
      const into = await target.store.upkeep.beginImport();
      await pour(source.store, into);
      await into.finish();
      t.strictSame(await everythingIn(target.store), await everythingIn(source.store));
      t.strictSame(await found(target.store, false), []);

      const store = await target.again();
      t.equal(store.uidValidity, source.store.uidValidity);
      t.strictSame(
        await store.views.load(recipient(ada), 'caught'),
        await source.store.views.load(recipient(ada), 'caught'),
      );
      for (const each of [store, source.store]) await held(each, ada, { text: 'Afterwards.' });
      const last = (all: StoreRecord[]) => JSON.stringify(all.at(-1));
      t.equal(last(await records(store)), last(await records(source.store)), 'the same numbers are given');
      t.strictSame(await store.notices.take(ada), ['It failed.']);
      target.advance(1000);
      source.advance(1000);
      const jobs = async (each: Store) => (await d.claim(each)).map(({ key, attempts }) => ({ key, attempts }));
      t.strictSame(await jobs(store), await jobs(source.store), 'and the same jobs are done, in the same order');
    },
  );

  await t.test('an import that was interrupted goes on, and nobody uses the store before it ends', async (t) => {
    const source = await open(t);
    await fill(source);
    const target = await open(t);
    const total = (await records(source.store)).length;
    for (const most of [3, 9, total - 5]) {
      const store = await target.again({ unfinished: true });
      await pour(source.store, await store.upkeep.beginImport(), most);
      await t.rejects(target.again(), refused, 'a server is refused');
    }
    await held(source.store, ben, { text: 'Came in between.' });
    const store = await target.again({ unfinished: true });
    const into = await store.upkeep.beginImport();
    const said = await pour(source.store, into);
    t.equal(said.filter((how) => how === 'kept').length, 1, 'messages that were there are not written again');
    await into.finish({ uidValidity: 4711 });
    const opened = await target.again();
    t.equal(opened.uidValidity, 4711);
    const want = await everythingIn(source.store);
    t.strictSame(await everythingIn(opened), [...want.slice(0, -1), { ...(want.at(-1) as object), uidValidity: 4711 }]);
  });

  await t.test(
    'messages of an earlier try that are not there any more go; those that are others are written anew',
    async (t) => {
      const target = await open(t);
      const first = await open(t);
      for (const text of ['One.', 'Two.', 'Three.', 'Four.']) await held(first.store, ada, { text });
      await pour(first.store, await target.store.upkeep.beginImport());
      const second = await open(t);
      for (const text of ['One.', 'Other.']) await held(second.store, ada, { text });
      const into = await target.store.upkeep.beginImport();
      await pour(second.store, into);
      await into.finish();
      t.strictSame(await everythingIn(target.store), await everythingIn(second.store));
    },
  );

  await t.test('only an empty store is filled, and only with whole messages', async (t) => {
    const source = await open(t);
    await held(source.store, ada);
    await t.rejects(source.store.upkeep.beginImport(), refused);
    const target = await open(t);
    const into = await target.store.upkeep.beginImport();
    const [message] = (await records(source.store)) as [MessageRecord];
    await t.rejects(
      into.message(message, () => from(bytesOf('short'))),
      refused,
    );
    await t.rejects(into.finish(), refused, 'nor is one without numbers finished');
    const settled = await open(t);
    await settled.store.settings.put('a key', bytesOf('value'));
    await t.rejects(settled.store.upkeep.beginImport(), refused, 'a key is something, too');
  });

  const damaged = async (t: Test): Promise<Harness & { readonly damage: Damage }> => {
    const { damage, ...harness } = await open(t);
    if (!damage) throw new Error('This harness cannot damage its store');
    return { ...harness, damage };
  };
  const kinds = (findings: readonly Finding[]) =>
    findings.map(({ kind, mended }) => `${kind}${mended ? ' mended' : ''}`);

  await t.test('a check of a store that is in order says nothing, also while it is in use', async (t) => {
    const harness = await open(t);
    await fill(harness);
    t.strictSame(await found(harness.store, false), []);
    const busy = Promise.all(Array.from({ length: 20 }, (_, n) => held(harness.store, ben, { text: `${n}` })));
    t.strictSame(await found(harness.store, true), []);
    await busy;
  });

  await t.test('octets that are gone: the entry expires, its clients learn it, its jobs are cancelled', async (t) => {
    const { store, damage } = await damaged(t);
    const a = await held(store, ada, { text: 'A.' });
    const b = await held(store, ada, { text: 'B.' });
    const c = await held(store, ada, { text: 'C.' });
    await d.drop(store, 'release', [b.uid]);
    await damage.removeOctets(a.messageId);
    await damage.removeMessage(b.messageId);
    const before = await store.changes.end();
    const findings = await found(store, false);
    t.strictSame(kinds(findings).sort(), ['entry-without-bytes', 'entry-without-message']);
    for (const finding of findings) t.match(sentenceOf(finding), /^Entry \d+: .*\.$/);
    t.equal(await store.changes.end(), before, 'without --repair nothing is changed');
    t.strictSame(kinds(await found(store, true)).sort(), [
      'entry-without-bytes mended',
      'entry-without-message mended',
    ]);
    t.match(await store.entries.get(a.id), { state: 'expired', uid: undefined });
    t.match(await store.entries.get(b.id), { state: 'expired' });
    t.strictSame(await d.view(store), [`${c.uid}`]);
    t.strictSame(await d.log(store, before), [`leave caught ${a.uid}`]);
    t.match(await store.jobs.counts(), { ready: 0, leased: 0, cancelled: 1 });
    t.strictSame(await found(store, true), []);
  });

  await t.test('octets that nobody names are removed', async (t) => {
    const { store, damage } = await damaged(t);
    const a = await held(store, ada, { text: 'A.' });
    const b = await held(store, ada, { text: 'B.' });
    await damage.removeEntry(a.id);
    t.match(await found(store, false), [{ kind: 'orphan-message', messageId: a.messageId, mended: false }]);
    t.strictSame(kinds(await found(store, true)), ['orphan-message mended']);
    t.equal(await store.messages.get(a.messageId), undefined);
    t.equal((await collect(store.messages.read(b.messageId))).length > 0, true);
    t.strictSame(await found(store, true), []);
  });

  await t.test('jobs whose entry or drop is gone are not left over', async (t) => {
    const { store, damage } = await damaged(t);
    const a = await held(store, ada, { text: 'A.' });
    const b = await held(store, ada, { text: 'B.' });
    await d.drop(store, 'release', [a.uid]);
    await d.drop(store, 'release', [b.uid]);
    const dropId = (await store.entries.get(b.id))!.dropId!;
    await damage.removeEntry(a.id);
    await damage.removeDrop(dropId);
    const findings = await found(store, true);
    t.strictSame(kinds(findings).sort(), [
      'job-without-drop mended',
      'job-without-entry mended',
      'orphan-message mended',
    ]);
    t.match(await store.entries.get(b.id), { state: 'held', folder: 'caught' }, 'what nobody delivers is held again');
    t.match(await d.view(store), [/\$ReleaseFailed$/]);
    t.strictSame(await d.claim(store), []);
    t.strictSame(await found(store, true), []);
  });

  await t.test('counters that are behind are raised', async (t) => {
    const { store, damage } = await damaged(t);
    const a = await held(store, ada, { text: 'A.' });
    const [numbers] = (await records(store)).slice(-1);
    const top = await store.views.top(recipient(ada), 'caught');
    await damage.resetCounters();
    const findings = await found(store, true);
    t.ok(findings.length >= 3 && findings.every(({ kind, mended }) => kind === 'counter-behind' && mended));
    t.strictSame((await records(store)).at(-1), numbers);
    t.strictSame(await store.views.top(recipient(ada), 'caught'), top);
    t.ok((await held(store, ada, { text: 'B.' })).uid > a.uid);
    t.strictSame(await found(store, true), []);
  });

  await t.test('octets that are not those that arrived are told, and never thrown away', async (t) => {
    const { store, damage } = await damaged(t);
    const header = aMessage('').length - 2;
    const noted = await held(store, ada, { text: 'Noted wrongly.' });
    const body = await held(store, ada, { text: 'Body is another.' });
    const above = await held(store, ben, { text: 'Header is another.' });
    await damage.changeHash(noted.messageId);
    await damage.changeOctet(body.messageId, header + 2);
    await damage.changeOctet(above.messageId, 2);
    const findings = await found(store, true);
    t.match(findings, [
      { kind: 'damaged', messageId: noted.messageId, entryIds: [noted.id], what: 'hash', mended: true },
      { kind: 'damaged', messageId: body.messageId, entryIds: [body.id], what: 'body', mended: false },
      { kind: 'damaged', messageId: above.messageId, entryIds: [above.id], what: 'hash', mended: true },
    ]);
    for (const finding of findings) t.match(sentenceOf(finding), /^Entry \d+: message \d+ .*\.$/);
    const message = await store.messages.get(noted.messageId);
    t.equal(message!.sha256, sha256(await collect(store.messages.read(noted.messageId))));
    t.equal((await store.entries.get(body.id))!.state, 'held');
    t.strictSame(kinds(await found(store, true)), ['damaged'], 'what cannot be mended is told again');
  });

  await t.test('optimizing says what it did, and changes nothing', async (t) => {
    const harness = await open(t);
    await fill(harness);
    const before = await everythingIn(harness.store);
    for (const alone of [false, true]) {
      const said = await harness.store.upkeep.optimize({ alone });
      t.ok(said.length > 0 && said.every((sentence) => sentence.length > 5));
    }
    t.strictSame(await everythingIn(harness.store), before);
  });
}
