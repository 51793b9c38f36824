/**
 * How the server did what the driver asked it: every method of the port runs under its profiler, which notes the plan of
 * each command. None may read a collection from end to end, or sort in memory what an index could have had in order; a view
 * of everything or of a domain reads no entry.
 *
 * Left out is `beginImport`, which looks into empty collections; `count` has to add up all sizes.
 */
import type { Document } from 'mongodb';
import t from 'tap';
import type { ReadableFolder, Scope, Uid } from '#store/model';
import type { Store } from '#store/port';
import { mongoOrSkip, withClient } from '../support/mongod.ts';
import {
  admit,
  aSpamFor,
  bytesOf,
  collect,
  domain,
  everything,
  from,
  held,
  put,
  recipient,
} from './contract/harness.ts';
import { fill } from './contract/upkeep.ts';
import * as d from './dropping.ts';
import { ada, ben } from './dropping.ts';
import { openHarness } from './mongo-harness.ts';

/** Notes the plans of what `run` does. */
type Profile = (run: () => Promise<unknown>) => Promise<readonly Document[]>;

const told = ({ op, ns, planSummary, hasSortStage, command }: Document): string =>
  JSON.stringify({
    op,
    ns,
    planSummary,
    hasSortStage,
    command: { ...command, lsid: undefined, $clusterTime: undefined },
  });

const ofEntries = (documents: readonly Document[]): Document[] =>
  documents.filter(({ ns, command }) => ns.endsWith('.entries') && command.find !== undefined);

if (mongoOrSkip(t))
  t.test('plans', { timeout: 240_000 }, async (t) => {
    const harness = await openHarness(t);
    const { store, advance } = harness;
    await fill(harness);
    for (let n = 0; n < 40; n += 1) await held(store, n % 2 === 0 ? ada : ben, { text: `Mail ${n}.` });

    await withClient(harness.url, async (client) => {
      const db = client.db();
      await db.createCollection('system.profile', { capped: true, size: 64 * 1024 * 1024 });
      await db.command({ profile: 2 });
      let seen = 0;
      const profile: Profile = async (run) => {
        await run();
        const documents = await db.collection('system.profile').find().sort({ $natural: 1 }).skip(seen).toArray();
        seen += documents.length;
        return documents.filter(({ ns, appName }) => appName === 'lazaret' && !ns.endsWith('.system.profile'));
      };

      const uidsOf = async (scope: Scope, folder: ReadableFolder): Promise<Uid[]> =>
        [...(await store.views.load(scope, folder)).uids] as Uid[];

      for (const [name, run] of Object.entries(methods(store, advance, uidsOf)))
        await t.test(name, async (t) => {
          const documents = await profile(run);
          t.not(documents.length, 0, 'the server was asked');
          for (const document of documents) {
            t.notMatch(document.planSummary ?? '', /COLLSCAN/, told(document));
            t.notOk(document.hasSortStage, told(document));
          }
        });

      await t.test('counts of the training history are read from an index alone', async (t) => {
        const [counted] = await profile(() => store.jobs.trainingStats());
        t.match(counted, { planSummary: /^IXSCAN/, docsExamined: 0 });
        t.ok(counted?.keysExamined > 0, 'there is something to count');
      });

      for (const folder of ['caught', 'trash'] as const)
        for (const scope of [everything, domain('harbour.example')])
          await t.test(`a view of ${scope.level}, ${folder}, is read from the index alone`, async (t) => {
            const scans = ofEntries(await profile(() => store.views.load(scope, folder)));
            t.equal(scans.length, 1);
            t.match(scans[0], { planSummary: /^IXSCAN/, docsExamined: 0 });
            t.ok(scans[0]?.nreturned > 0, 'there is something in it');
          });
    });
  });

/** Each a method of the port, or several that belong together. */
function methods(
  store: Store,
  advance: (ms: number) => void,
  uidsOf: (scope: Scope, folder: ReadableFolder) => Promise<Uid[]>,
): Readonly<Record<string, () => Promise<unknown>>> {
  const mine = recipient(ada);
  const stays = async () => ({
    scope: mine,
    folder: 'caught' as const,
    uids: (await uidsOf(mine, 'caught')).slice(0, 3),
  });
  const everyUid = [{ first: 1, last: 0xffffffff }];
  const some = async (): Promise<Uid> => (await uidsOf(mine, 'caught')).at(-1)!;
  return {
    'messages.put and discard': async () => {
      await store.messages.discard(await put(store, new Uint8Array(600_000)));
    },
    'messages.read, get, filterBlock, summaries': async () => {
      const { messageId } = await held(store, ada, { text: 'x'.repeat(300_000) });
      await collect(store.messages.read(messageId));
      await store.messages.get(messageId);
      await store.messages.filterBlock(messageId);
      await store.messages.summaries([messageId], ['envelope']);
    },
    'entries.admit': async () => {
      await admit(store, aSpamFor(ada, { text: 'Once.', repeat: { key: 'once' } }));
      await admit(store, aSpamFor(ada, { text: 'Once.', repeat: { key: 'once' } }));
      await admit(store, aSpamFor(ben, { text: 'y'.repeat(300_000) }));
    },
    'entries.admit, handed back': async () => {
      const { id, uid } = await held(store, ada, { text: 'Comes back.' });
      await d.drop(store, 'release', [uid]);
      const handBack = { entryId: id, prefix: 'X-Back: {id}\r\n' };
      await admit(store, aSpamFor(ada, { text: 'Comes back.', handBack }));
    },
    'entries.get, byUid, history': async () => {
      const entry = await store.entries.byUid(await some());
      await store.entries.get(entry!.id);
      await store.entries.history(entry!.id);
    },
    'entries.list': async () => {
      for (const scope of [everything, domain('harbour.example'), mine])
        for (const folder of [undefined, 'caught', 'trash'] as const)
          await store.entries.list({ scope, limit: 5, states: ['held'], ...(folder ? { folder } : {}) });
    },
    'entries.setFlags': async () => {
      await store.entries.setFlags(await stays(), { op: 'add', flags: ['\\Answered'] });
    },
    'entries.expunge': async () => {
      await store.entries.expunge(await stays(), d.by());
      const trash = { scope: mine, folder: 'trash' as const, uids: await uidsOf(mine, 'trash') };
      await store.entries.expunge(trash, d.by());
    },
    'drops.take, seal': async () => {
      const open = d.begin(store, 'release-train', { undoMs: 60_000 });
      await store.drops.take(open, [await some()], { last: false });
      await store.drops.seal(open);
    },
    'drops.rollBack': async () => {
      const open = d.begin(store, 'spam', { mode: 'copy' });
      await store.drops.take(open, [await some()], { last: false });
      await store.drops.rollBack(open);
    },
    'drops.earlierPairs': async () => {
      for (const ranges of [[{ first: 1, last: 40 }], everyUid])
        await store.drops.earlierPairs(d.by(), mine, 'caught', 'release', ranges);
    },
    'drops.undo': async () => {
      const taken = await d.drop(store, 'not-spam', [await some()], { undoMs: 60_000 });
      const [uid] = d.to(taken) as [Uid];
      await store.drops.undo(d.by(), mine, 'not-spam', [{ first: uid, last: uid }]);
      await store.drops.undo(d.by(), mine, 'release', everyUid);
    },
    'drops.appendForTraining, heldByHash': async () => {
      const mail = aSpamFor(ada, { text: 'Appended, too.' });
      const drop = { actor: d.by(), scope: mine, action: 'spam', undoMs: 0, hostname: 'mx.harbour.example' } as const;
      for (let n = 0; n < 2; n += 1)
        await store.drops.appendForTraining({ ...mail.message, bytes: await put(store, mail.raw) }, drop);
      const { messageId } = await held(store, ada, { text: 'Same octets.' });
      await store.drops.heldByHash(mine, (await store.messages.get(messageId))!.sha256);
    },
    'jobs.claim, renew, release, finish': async () => {
      await d.drop(store, 'release', [await some()]);
      const [first] = await store.jobs.claim({ steps: ['deliver'], limit: 1, leaseMs: 60_000 });
      await store.jobs.renew(first!, 60_000);
      await store.jobs.release(first!);
      advance(120_000);
      await d.run(store, d.later(1000, true));
      advance(2000);
      await d.run(store, d.failed);
      await d.drop(store, 'release', [await some()], { mode: 'copy' });
      await d.run(store, d.done());
    },
    'jobs.get, ofDrop, counts, backlog': async () => {
      await store.jobs.get('none');
      await store.jobs.ofDrop('none');
      await store.jobs.counts();
      await store.jobs.backlog();
    },
    'jobs.retryUntrained': async () => {
      await d.drop(store, 'spam', [await some()]);
      await d.run(store, { kind: 'done', said: 'no trainer', leaveAfterMs: 0 });
      await store.jobs.retryUntrained();
    },
    'jobs.noteTraining, trainingsOf, trainings, trainingStats, history': async () => {
      const { id, uid } = await held(store, ada, { text: 'Noted.' });
      await d.drop(store, 'spam', [uid]);
      const job = (await d.claim(store, ['train-spam'])).find(({ entryId }) => entryId === id);
      for (const kind of ['later', 'learned', 'refused'] as const)
        await store.jobs.noteTraining(job!, { trainer: 'rspamd', class: 'spam', kind, said: 'ok' });
      await store.jobs.finish(job!, d.done());
      await store.jobs.trainingsOf(job!.messageId);
      await store.entries.history(job!.entryId!);
      const [newest] = await store.jobs.trainings({ limit: 1 });
      for (const before of [{}, { before: newest!.id }])
        for (const trainer of [{}, { trainer: 'rspamd' }])
          for (const kind of [{}, { kind: 'learned' as const }])
            await store.jobs.trainings({ limit: 2, ...before, ...trainer, ...kind });
      await store.jobs.trainingStats();
      await store.jobs.retryUntrained({ failed: true });
    },
    'messages.withoutInventory, putInventory, inventory': async () => {
      const [id] = await store.messages.withoutInventory(3);
      await store.messages.putInventory(id!, { attachments: [], links: [] });
      await store.messages.inventory(id!);
    },
    'changes.since, end': async () => {
      await store.changes.since((await store.changes.end()) as never, 10);
      await store.changes.since(1 as never, 10);
    },
    'views.load, top, prefixes': async () => {
      for (const scope of [everything, domain('harbour.example'), mine])
        for (const folder of ['caught', 'trash'] as const) {
          await store.views.load(scope, folder);
          await store.views.top(scope, folder);
        }
      await store.views.prefixes([await some()]);
    },
    accounts: async () => {
      await store.accounts.add({ name: ben, scope: recipient(ben), passwordHash: 'hash' });
      await store.accounts.setPassword(ben, 'other');
      await store.accounts.get(ben);
      await store.accounts.list();
      await store.accounts.remove(ben);
    },
    'notices.take': () => store.notices.take(ada),
    settings: async () => {
      await store.settings.put('plan', bytesOf('1'));
      await store.settings.putIfAbsent('plan', bytesOf('2'));
      await store.settings.get('plan');
      await store.settings.helpUid(ben, 'text');
    },
    housekeep: async () => {
      await store.messages.put(from(new Uint8Array(600_000)));
      await d.drop(store, 'release', [await some()], { last: false });
      await d.drop(store, 'release-train', [await some()], { undoMs: 1000 });
      await held(store, ada, { class: 'training', leaveAfterMs: 1000 });
      advance(100_000);
      await d.housekeep(store);
      advance(20 * 86_400_000);
      await d.housekeep(store);
    },
    'upkeep.export, check': async () => {
      for await (const _ of store.upkeep.export());
      for await (const _ of store.upkeep.check({ repair: true }));
    },
  };
}
