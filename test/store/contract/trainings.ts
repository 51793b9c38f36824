/** What came of trainings: a history that is kept with the message, and jobs that are queued anew. */
import type { Test } from 'tap';
import { LeaseLost } from '#store/errors';
import type { ClaimedJob, MessageId, TrainingKind, TrainingLine } from '#store/model';
import type { Store } from '#store/port';
import * as d from '../dropping.ts';
import { ada, ben } from '../dropping.ts';
import { admit, aSpamFor, held, type OpenHarness, put, recipient } from './harness.ts';

const words = ({ trainer, class: class_, kind, said, user }: TrainingLine): string =>
  [trainer, class_, kind, said, user].filter((word) => word !== undefined).join(' ');

const line = (trainer: string, kind: TrainingKind = 'learned', said = 'ok') =>
  ({ trainer, class: 'spam', kind, said }) as const;

/** A claimed training of a message of its own. */
async function lesson(store: Store, text: string, action: 'spam' | 'not-spam' = 'spam'): Promise<ClaimedJob> {
  const entry = await held(store, ada, { text });
  await d.drop(store, action, [entry.uid]);
  const [job] = await d.claim(store);
  return job!;
}

async function noted(store: Store, id: MessageId): Promise<string[]> {
  return (await store.jobs.trainingsOf(id)).map(words);
}

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const test = await d.inOneStore(t, open);

  await test('a line is kept with its message, whatever becomes of the job', async (t, { store, now }) => {
    const job = await lesson(store, 'Noted.');
    await store.jobs.noteTraining(job, { ...line('rspamd'), said: '200 learned' });
    await store.jobs.noteTraining(job, { ...line('spamd', 'known', 'already learned'), user: 'harbour.example' });
    await store.jobs.finish(job, d.done());
    const [first, second, ...more] = await store.jobs.trainingsOf(job.messageId);
    t.match(first, {
      ...{ jobKey: job.key, messageId: job.messageId, entryId: job.entryId, account: ada },
      ...{ trainer: 'rspamd', class: 'spam', kind: 'learned', said: '200 learned' },
    });
    t.notOk(first && 'user' in first);
    t.ok(Math.abs(first!.at.getTime() - now()) < 60_000, 'by the store’s clock');
    t.equal(words(second!), 'spamd spam known already learned harbour.example');
    t.ok(first!.id < second!.id);
    t.strictSame(more, []);
    t.strictSame((await store.entries.history(job.entryId!))?.trainings, [first, second]);
    t.strictSame(await store.jobs.trainingsOf(999_999 as MessageId), []);
  });

  await test('what others taught of the same message is not in an entry’s history', async (t, { store }) => {
    const mail = aSpamFor(ada, { text: 'For two.' });
    const [a, b] = await admit(store, {
      ...mail,
      entries: [...mail.entries, { ...mail.entries[0]!, owner: ben, recipient: ben }],
    });
    await d.drop(store, 'spam', [a!.uid!]);
    await d.drop(store, 'spam', [b!.uid!], { account: ben });
    for (const job of await d.claim(store)) {
      await store.jobs.noteTraining(job, line('rspamd', 'learned', job.actor.account));
      await store.jobs.finish(job, d.done());
    }
    const { messageId } = (await store.entries.get(a!.entryId))!;
    t.equal((await store.jobs.trainingsOf(messageId)).length, 2, 'the message has both');
    t.strictSame(
      (await store.entries.history(b!.entryId))?.trainings.map(({ said }) => said),
      [ben],
    );
  });

  await test('a "later" gives way to what came of it then', async (t, { store, advance }) => {
    const job = await lesson(store, 'Later.');
    await store.jobs.noteTraining(job, line('rspamd', 'later', '503'));
    await store.jobs.noteTraining(job, line('rspamd', 'later', '504'));
    await store.jobs.noteTraining(job, { ...line('rspamd', 'later', '505'), user: ada });
    await store.jobs.noteTraining(job, line('spamd', 'later', 'no answer'));
    t.strictSame(await noted(store, job.messageId), [
      'rspamd spam later 504',
      `rspamd spam later 505 ${ada}`,
      'spamd spam later no answer',
    ]);
    await store.jobs.finish(job, d.later(1000));
    advance(2000);
    const [again] = await d.claim(store);
    await store.jobs.noteTraining(again!, line('rspamd', 'learned', '200'));
    t.strictSame(await noted(store, job.messageId), [
      `rspamd spam later 505 ${ada}`,
      'spamd spam later no answer',
      'rspamd spam learned 200',
    ]);
    await store.jobs.finish(again!, d.done());
  });

  await test('only who has the job notes; what was learned while it was cancelled was learned', async (t, {
    store,
    advance,
  }) => {
    const job = await lesson(store, 'Changed mind.');
    const entry = (await store.entries.get(job.entryId!))!;
    await d.drop(store, 'not-spam', [entry.uid!], { folder: 'trash' });
    t.strictSame(await d.claim(store), [], 'the other training waits for the one that may be running');
    await store.jobs.noteTraining(job, line('rspamd', 'learned', 'too fast'));
    t.strictSame(await noted(store, job.messageId), ['rspamd spam learned too fast']);
    await t.rejects(store.jobs.finish(job, d.done()), { name: LeaseLost.name });
    advance(61_000);
    const [next] = await d.claim(store);
    t.equal(next?.step, 'train-ham');
    await t.rejects(store.jobs.noteTraining(job, line('rspamd')), { name: LeaseLost.name }, 'its time is over');
    await t.rejects(store.jobs.noteTraining({ ...next!, lease: 'no' }, line('rspamd')), { name: LeaseLost.name });
    await store.jobs.finish(next!, d.done());
    await t.rejects(store.jobs.noteTraining(next!, line('rspamd')), { name: LeaseLost.name }, 'it has ended');
    await t.rejects(store.jobs.noteTraining({ ...next!, key: 'none' }, line('rspamd')), { name: LeaseLost.name });
    t.equal((await noted(store, job.messageId)).length, 1);
  });

  await test('a hundred lines are kept of a message, the last ones', async (t, { store }) => {
    const job = await lesson(store, 'Many lines.');
    const other = await lesson(store, 'Few lines.');
    await store.jobs.noteTraining(other, line('rspamd'));
    for (let n = 0; n < 103; n += 1) await store.jobs.noteTraining(job, line('rspamd', 'refused', `no ${n}`));
    const said = (await store.jobs.trainingsOf(job.messageId)).map((each) => each.said);
    t.strictSame([said.length, said[0], said.at(-1)], [100, 'no 3', 'no 102']);
    t.equal((await noted(store, other.messageId)).length, 1, 'of others nothing goes');
    for (const each of [job, other]) await store.jobs.finish(each, d.done());
  });

  await test('lists, newest first, in pages, by trainer and kind; and counts', async (t, { again }) => {
    const store = await again();
    const before = await store.jobs.trainingStats();
    const job = await lesson(store, 'Listed.');
    const kinds = ['learned', 'known', 'refused', 'later'] as const;
    for (let n = 0; n < 16; n += 1)
      await store.jobs.noteTraining(job, {
        ...line(n % 2 ? 'list-a' : 'list-b', kinds[n >> 2], `${n}`),
        class: n % 3 ? 'ham' : 'spam',
      });
    await store.jobs.finish(job, d.done());
    const all = async (query: { trainer?: string; kind?: TrainingKind }): Promise<string[]> => {
      const found: TrainingLine[] = [];
      for (;;) {
        const last = found.at(-1);
        const page = await store.jobs.trainings({ ...query, limit: 3, ...(last ? { before: last.id } : {}) });
        found.push(...page);
        if (page.length < 3) return found.filter((each) => each.jobKey === job.key).map(({ said }) => said);
      }
    };
    // Of the four "later" the last of each trainer is left.
    t.strictSame(await all({}), ['15', '14', '11', '10', '9', '8', '7', '6', '5', '4', '3', '2', '1', '0']);
    t.strictSame(await all({ trainer: 'list-a' }), ['15', '11', '9', '7', '5', '3', '1']);
    t.strictSame(await all({ kind: 'refused' }), ['11', '10', '9', '8']);
    t.strictSame(await all({ trainer: 'list-b', kind: 'known' }), ['6', '4']);
    t.strictSame(await all({ trainer: 'nobody' }), []);
    t.strictSame(await store.jobs.trainings({ limit: 0 }), []);
    const stats = (await store.jobs.trainingStats()).filter(({ trainer }) => trainer.startsWith('list-'));
    t.strictSame(
      stats.map(({ trainer, class: class_, kind, count }) => `${trainer} ${class_} ${kind} ${count}`),
      [
        'list-a ham known 2',
        'list-a ham learned 1',
        'list-a ham refused 1',
        'list-a spam later 1',
        'list-a spam learned 1',
        'list-a spam refused 1',
        'list-b ham known 1',
        'list-b ham later 1',
        'list-b ham learned 1',
        'list-b ham refused 2',
        'list-b spam known 1',
        'list-b spam learned 1',
      ],
    );
    t.ok(before.every(({ trainer }) => !trainer.startsWith('list-')));
  });

  await test('an appended message has a history of its own', async (t, { store }) => {
    const mail = aSpamFor(ada, { text: 'Appended and noted.' });
    const drop = { actor: d.by(), scope: recipient(ada), action: 'spam', undoMs: 0, hostname: 'mx.example' } as const;
    await store.drops.appendForTraining({ ...mail.message, bytes: await put(store, mail.raw) }, drop);
    const [job] = await d.claim(store);
    await store.jobs.noteTraining(job!, line('rspamd'));
    await store.jobs.finish(job!, d.done());
    const [only] = await store.jobs.trainingsOf(job!.messageId);
    t.equal(only && 'entryId' in only, false);
    t.match(only, { account: ada, trainer: 'rspamd' });
  });

  await test('failed trainings are queued anew where that is asked for, and only the last of an entry', async (t, {
    store,
  }) => {
    const failing = { kind: 'failed', said: '550 no' } as const;
    const job = await lesson(store, 'Failed.');
    await store.jobs.finish(job, failing);
    const changed = await lesson(store, 'Failed, then something else.');
    await store.jobs.finish(changed, failing);
    const entry = (await store.entries.get(changed.entryId!))!;
    await d.drop(store, 'not-spam', [entry.uid!], { folder: 'trash' });
    await d.run(store, d.done());
    const delivery = await held(store, ada, { text: 'A delivery that failed.' });
    await d.drop(store, 'release', [delivery.uid]);
    await d.run(store, d.failed);
    t.equal(await store.jobs.retryUntrained(), 0);
    t.equal(await store.jobs.retryUntrained({ failed: true }), 1);
    t.match(await store.jobs.get(job.key), { state: 'ready', attempts: 0 });
    t.strictSame(await d.run(store, d.done()), [`train-spam ${job.entryId}`]);
    t.equal(await store.jobs.retryUntrained({ failed: true }), 0);
  });
}
