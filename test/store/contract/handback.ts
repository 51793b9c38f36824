/** A released message that the filter hands back (DESIGN §7.6). */
import type { Test } from 'tap';
import { LeaseLost } from '#store/errors';
import type { EntryId } from '#store/model';
import type { Admitted, Store } from '#store/port';
import * as d from '../dropping.ts';
import { ada } from '../dropping.ts';
import { admit, aSpamFor, held, type OpenHarness } from './harness.ts';

const prefix = 'X-Lazaret-Id: {id}\r\nX-Lazaret-Status: the filter handed it back\r\n';
const handBack = async (store: Store, entryId: EntryId): Promise<Admitted> =>
  (await admit(store, aSpamFor(ada, { handBack: { entryId, prefix } })))[0]!;

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);
  await test('while it is being delivered: held again, the lease is void', async (t, { store, advance }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid], { mode: 'copy' });
    const [job] = await d.claim(store);
    const before = await store.changes.end();
    const answer = await handBack(store, a.id);
    const back = (await store.entries.get(a.id))!;
    t.strictSame(answer, { entryId: a.id, uid: back.uid, how: 'handed-back' });
    t.strictSame(await d.log(store, before), [`leave caught ${a.uid}`, `enter caught ${back.uid}`]);
    for (const scope of d.scopes) t.strictSame(await d.view(store, 'caught', scope), [`${back.uid} $ReleaseFailed`]);
    t.match(back.prefix, /^X-Lazaret-Id: \d+\r\nX-Lazaret-Status: the filter handed it back\r\n$/);
    await t.rejects(store.jobs.finish(job!, d.done()), LeaseLost);
    await t.rejects(store.jobs.renew(job!, 1000), LeaseLost);
    advance(120_000);
    t.strictSame(await d.claim(store), [], 'it is not delivered again');
    t.equal(await d.stands(store, a.id), 'held caught caught');
  });

  await test('after its delivery: the pending leave is over as well', async (t, { store, advance }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid], { mode: 'copy' });
    await d.run(store, d.done(60_000));
    const { uid } = await handBack(store, a.id);
    advance(60_001);
    await d.housekeep(store);
    t.strictSame(await d.view(store), [`${uid} $ReleaseFailed`]);
    t.equal((await d.drop(store, 'release', [uid!])).pairs.length, 1, 'and it can be released again');
    t.strictSame(await d.run(store, d.done()), [`deliver ${a.id}`]);
  });

  await test('the hand-over is repeated: nothing changes', async (t, { store }) => {
    const a = await held(store, ada);
    await d.drop(store, 'release', [a.uid]);
    const first = await handBack(store, a.id);
    const before = await store.changes.end();
    t.strictSame(await handBack(store, a.id), { ...first, how: 'repeat' });
    t.equal(await store.changes.end(), before);
  });

  await test('of an entry that nobody knows it is an ordinary new one', async (t, { store }) => {
    const answer = await handBack(store, 999_999 as EntryId);
    t.equal(answer.how, 'new');
  });
}
