/** Admission: numbers, owners, repeats (DESIGN §7.9), all or nothing. */
import type { Test } from 'tap';
import type { EntryId, Uid } from '#store/model';
import { admit, aSpamFor, bytesOf, domain, everything, held, type OpenHarness, put, recipient } from './harness.ts';

const hour = 60 * 60 * 1000;
const day = 24 * hour;

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const { store, advance } = await open(t);

  await t.test('a message for three recipients is three entries of one message', async (t) => {
    const mail = aSpamFor('ada@harbour.example');
    const for_ = (owner: string) => ({ ...mail.entries[0]!, owner, recipient: owner });
    const admitted = await admit(store, {
      ...mail,
      entries: ['ada@harbour.example', 'ben@quay.example', ''].map(for_),
    });
    t.same(
      admitted.map(({ how }) => how),
      ['new', 'new', 'new'],
    );
    const entries = await Promise.all(admitted.map(({ entryId }) => store.entries.get(entryId)));
    t.equal(new Set(entries.map((entry) => entry?.messageId)).size, 1);
    t.match(entries[0], {
      id: admitted[0]!.entryId,
      uid: admitted[0]!.uid,
      owner: 'ada@harbour.example',
      recipient: 'ada@harbour.example',
      direction: 'incoming',
      class: 'held',
      place: 'caught',
      state: 'held',
      folder: 'caught',
      prefix: `X-Lazaret-Id: ${admitted[0]!.entryId}\r\n`,
      verdict: { reason: 'spam', source: 'none', rules: [] },
    });
    t.equal(Number(admitted[0]!.uid), Number(admitted[0]!.entryId), 'the id is the first UID');
    t.notOk('orcpt' in entries[0]! || 'linkedTo' in entries[0]! || 'dropId' in entries[0]!);
    const sees = async (scope: Parameters<typeof store.views.load>[0]) =>
      (await store.views.load(scope, 'caught')).uids.length;
    t.same(
      [
        await sees(everything),
        await sees(domain('harbour.example')),
        await sees(recipient('ben@quay.example')),
        await sees(recipient('')),
        await sees(domain('')),
      ],
      [3, 1, 1, 1, 1],
    );
    t.equal((await store.views.top(recipient(''), 'caught')).uidNext, 1, 'mail that nobody owns has one scope');
  });

  await t.test('class and direction choose the folder', async (t) => {
    const out = await held(store, 'eve@harbour.example', { direction: 'outgoing' });
    const training = await held(store, 'eve@harbour.example', { class: 'training', direction: 'outgoing' });
    t.match(out, { folder: 'outgoing', place: 'caught' });
    t.match(training, { folder: 'training', place: 'training' });
  });

  await t.test('what an entry brings along is kept', async (t) => {
    const entry = await held(store, 'eve@harbour.example', {
      recipient: 'Eve+x@Harbour.example',
      orcpt: 'rfc822;eve@harbour.example',
      internalDate: new Date('2020-02-03T04:05:06.789Z'),
      flags: ['$x', '\\seen', '\\Seen', '\\Flagged'],
      prefix: 'X-Lazaret-Id: {id}\r\nX-Lazaret-Status: {id} é\r\n',
      verdict: { reason: 'virus', source: 'amavis', score: 7.5, rules: [{ name: 'EICAR' }], detail: 'Eicar' },
    });
    t.match(entry, {
      recipient: 'Eve+x@Harbour.example',
      orcpt: 'rfc822;eve@harbour.example',
      internalDate: new Date('2020-02-03T04:05:06.789Z'),
      prefix: `X-Lazaret-Id: ${entry.id}\r\nX-Lazaret-Status: ${entry.id} é\r\n`,
      verdict: { reason: 'virus', source: 'amavis', score: 7.5, rules: [{ name: 'EICAR' }], detail: 'Eicar' },
    });
    for (const scope of [everything, domain('harbour.example'), recipient('eve@harbour.example')]) {
      const view = await store.views.load(scope, 'caught');
      const at = view.uids.indexOf(entry.uid);
      t.equal(view.flagSets[view.flagSet[at]!], '\\Flagged \\Seen $x', 'at all levels, in one spelling');
      const message = await store.messages.get(entry.messageId);
      t.equal(view.sizes[at], message!.size + Buffer.byteLength(entry.prefix), 'the size is of the shown message');
      t.equal(view.internalDates[at], Date.parse('2020-02-03T04:05:06.789Z'));
    }
  });

  await t.test('the same message again is the same entry, whatever became of it', async (t) => {
    const repeat = { key: 'same' };
    const [first] = await admit(store, aSpamFor('ada@harbour.example', { repeat }));
    const again = await admit(store, aSpamFor('ada@harbour.example', { repeat }));
    t.same(again, [{ how: 'repeat', entryId: first!.entryId, uid: first!.uid }]);
    advance(6 * day);
    t.equal(
      (await admit(store, aSpamFor('ada@harbour.example', { repeat })))[0]?.how,
      'repeat',
      'as long as it exists',
    );
    const [other] = await admit(store, aSpamFor('ada@harbour.example', { repeat: { key: 'another' } }));
    t.equal(other?.how, 'new');
    t.equal((await admit(store, aSpamFor('ada@harbour.example')))[0]?.how, 'new', 'without a key it never folds');
  });

  await t.test('a weak key folds for its time, then links to the first', async (t) => {
    const weak = (): ReturnType<typeof admit> =>
      admit(store, aSpamFor('ada@harbour.example', { repeat: { key: 'weak', withinMs: hour } }));
    const [first] = await weak();
    advance(hour - 1000);
    t.equal((await weak())[0]?.entryId, first!.entryId);
    advance(2000);
    const [second] = await weak();
    t.match(second, { how: 'new' });
    t.equal((await store.entries.get(second!.entryId))?.linkedTo, first!.entryId);
    t.match((await weak())[0], { how: 'repeat', entryId: second!.entryId }, 'the newest one takes the next');
    advance(2 * hour);
    const [third] = await weak();
    t.equal((await store.entries.get(third!.entryId))?.linkedTo, first!.entryId, 'the first, not the one before');
  });

  await t.test('two copies that arrive at once are one entry', async (t) => {
    const copy = () => admit(store, aSpamFor('ada@harbour.example', { repeat: { key: 'at once' } }));
    const answers = (await Promise.all([copy(), copy(), copy()])).flat();
    t.equal(new Set(answers.map(({ entryId }) => entryId)).size, 1);
    t.same(answers.map(({ how }) => how).sort(), ['new', 'repeat', 'repeat']);
  });

  await t.test('folds one recipient and keeps the other', async (t) => {
    const mail = aSpamFor('ada@harbour.example');
    const entry = (key: string) => ({ ...mail.entries[0]!, repeat: { key } });
    const [first] = await admit(store, { ...mail, entries: [entry('r1')] });
    const both = await admit(store, { ...mail, entries: [entry('r1'), entry('r2')] });
    t.match(both, [{ how: 'repeat', entryId: first!.entryId }, { how: 'new' }]);
    const large = new Uint8Array(600 * 1024);
    const kept = await store.entries.admit({ ...mail.message, bytes: await put(store, large) }, [entry('r2')]);
    t.match(kept, [{ how: 'repeat', entryId: both[1]!.entryId }]);
  });

  await t.test('of three commands at once one fails alone, and leaves nothing', async (t) => {
    const before = await store.changes.end();
    const good = aSpamFor('fay@harbour.example');
    const bad = {
      ...good,
      entries: [good.entries[0]!, { ...good.entries[0]!, recipient: null as unknown as string }],
    };
    const ended = await Promise.allSettled([admit(store, good), admit(store, bad), admit(store, good)]);
    t.same(
      ended.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    const view = await store.views.load(recipient('fay@harbour.example'), 'caught');
    t.equal(view.uids.length, 2);
    t.equal(view.uids[1]! - view.uids[0]!, 1, 'and gave its numbers back');
    t.equal(await store.changes.end(), before + 2);
    t.equal((await store.changes.since(before, 100)).changes.length, 2);
  });

  await t.test('lists newest first, page by page', async (t) => {
    const ids: EntryId[] = [];
    for (let n = 0; n < 5; n += 1) ids.unshift((await held(store, 'gus@quay.example', { subject: `No. ${n}` })).id);
    const scope = recipient('gus@quay.example');
    const page = await store.entries.list({ scope, limit: 2 });
    t.same(
      page.map(({ id, message }) => [id, message.subject]),
      [
        [ids[0], 'No. 4'],
        [ids[1], 'No. 3'],
      ],
    );
    const rest = await store.entries.list({
      scope,
      limit: 10,
      before: page[1]!.id,
      folder: 'caught',
      states: ['held'],
    });
    t.same(
      rest.map(({ id }) => id),
      ids.slice(2),
    );
    t.same(await store.entries.list({ scope, limit: 10, states: ['released'] }), []);
    t.same(await store.entries.list({ scope, limit: 10, folder: 'trash' }), []);
    t.equal((await store.entries.list({ scope: domain('quay.example'), limit: 100 })).length, 6);
    t.equal((await store.entries.list({ scope: everything, limit: 3 })).length, 3);
  });

  await t.test('finds an entry by UID and tells its history', async (t) => {
    const entry = await held(store, 'ada@harbour.example', { subject: 'Told' });
    t.equal((await store.entries.byUid(entry.uid))?.id, entry.id);
    t.equal(await store.entries.byUid(999999 as Uid), undefined);
    t.equal(await store.entries.get(999999 as EntryId), undefined);
    t.equal(await store.entries.history(999999 as EntryId), undefined);
    const history = await store.entries.history(entry.id);
    t.match(history, { entry: { id: entry.id }, message: { subject: 'Told' }, drops: [], jobs: [] });
    t.match(history?.stays, [{ uid: entry.uid, folder: 'caught', beganAt: entry.heldAt }]);
    t.same(await store.views.prefixes([entry.uid, 999999 as Uid]), [`X-Lazaret-Id: ${entry.id}\r\n`, '']);
  });

  await t.test('byte strings that share one buffer are kept apart', async (t) => {
    const shared = bytesOf('envelope|structure|body|fields|parts|block');
    const part = (name: string) => shared.subarray(textAt(name), textAt(name) + name.length);
    const textAt = (name: string) => 'envelope|structure|body|fields|parts|block'.indexOf(name);
    const mail = aSpamFor('ada@harbour.example');
    const bytes = await put(store, mail.raw);
    const summary = {
      ...mail.message.summary,
      envelope: part('envelope'),
      bodyStructure: part('structure'),
      body: part('body'),
      commonFields: part('fields'),
      parts: part('parts'),
    };
    const message = { ...mail.message, bytes, summary, filterBlock: part('block') };
    const [admitted] = await store.entries.admit(message, mail.entries);
    const { messageId } = (await store.entries.get(admitted!.entryId))!;
    const got = await store.messages.summaries(
      [messageId],
      ['envelope', 'bodyStructure', 'body', 'commonFields', 'parts'],
    );
    t.equal(Buffer.from(got.bytes).toString(), 'envelopestructurebodyfieldsparts');
    t.equal(Buffer.from(await store.messages.filterBlock(messageId)).toString(), 'block');
    t.equal(shared.length, 42, 'what the caller gave is still the caller’s');
  });
}
