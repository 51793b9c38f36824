import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findBlock } from '#app/ingest/block';
import type { ProductEvent } from '#app/observe/events';
import { Desk } from '#app/training/desk';
import { cutsOf, lessonBytes } from '#app/training/sanitised';
import { createTrainHandler, type Teaching, type TrainOptions } from '#app/training/train';
import type { Lesson, TrainingOutcome } from '#app/training/trainer';
import { oneLine } from '#app/training/words';
import { LeaseLost, NotFound, StoreUnavailable } from '#store/errors';
import type { ClaimedJob, Drop, Entry, EntryId, Message, MessageId, Step, TrainingLine } from '#store/model';

const never = () => new AbortController().signal;

function jobOf(step: Step, more: Partial<ClaimedJob> = {}): ClaimedJob {
  return {
    key: `d/17/${step}`,
    dropId: 'd',
    step,
    entryId: 17 as EntryId,
    messageId: 3 as MessageId,
    state: 'leased',
    attempts: 1,
    createdAt: new Date(1_000_000),
    lease: 'l',
    leaseUntil: new Date(),
    actor: { account: 'global', via: 'test' },
    resentMessageId: '<d@q.example>',
    // Long before: `training retry` queued it anew, and that is when its time begins.
    droppedAt: new Date(0),
    ...more,
  };
}

const mail = 'Subject: Offer\r\n\r\nBuy.\r\n';

interface WorldOptions {
  readonly entry?: Partial<Entry>;
  readonly drop?: Partial<Drop>;
  readonly message?: string;
  readonly block?: string;
  readonly gone?: true;
  readonly error?: Error;
  readonly noteError?: Error;
}

/** A store of one message and one entry that remembers what was noted; its clock is `now`. */
function worldOf(teachings: readonly Teaching[], options: WorldOptions = {}) {
  const events: ProductEvent[] = [];
  const lines: TrainingLine[] = [];
  const lessons: string[] = [];
  const octets = Buffer.from(options.message ?? mail, 'latin1');
  const entry = {
    id: 17,
    owner: 'ada@harbour.example',
    recipient: 'Ada+x@harbour.example',
    verdict: { source: 'amavis', reason: 'spam', rules: [] },
    ...options.entry,
  } as unknown as Entry;
  const world = {
    now: 1_000_000,
    events,
    lines,
    lessons,
    /** What was noted, without times and keys. */
    noted: () => lines.map(({ trainer, class: klass, kind, said, user }) => [trainer, klass, kind, said, user]),
    handler: undefined as unknown as ReturnType<typeof createTrainHandler>,
  };
  const store = {
    messages: {
      get: async () =>
        options.gone
          ? undefined
          : ({
              id: 3,
              subject: 'Offer',
              sender: 'promo@spam.example',
              size: octets.length,
              headerSize: octets.indexOf('\r\n\r\n') + 4,
            } as unknown as Message),
      filterBlock: async () => Buffer.from(options.block ?? ''),
      async *read(_: MessageId, offset = 0, length = octets.length - offset) {
        if (options.error && offset + length === octets.length) {
          yield octets.subarray(offset, offset + 5);
          throw options.error;
        }
        yield octets.subarray(offset, offset + length);
      },
    },
    entries: {
      get: async () => entry,
      history: async () => ({ entry, drops: [{ id: 'd', action: 'release', ...options.drop }] }),
    },
    jobs: {
      trainingsOf: async () => [...lines],
      async noteTraining(job: ClaimedJob, line: Pick<TrainingLine, 'trainer' | 'class' | 'kind' | 'said' | 'user'>) {
        if (options.noteError) throw options.noteError;
        lines.push({
          ...line,
          jobKey: job.key,
          at: new Date(world.now),
          account: 'global',
          id: lines.length,
          messageId: job.messageId,
        });
      },
    },
  } as unknown as TrainOptions['store'];
  world.handler = createTrainHandler({
    store,
    trainers: teachings,
    retryForMs: 1000,
    graceMs: 20,
    onEvent: (event) => events.push(event),
    onLesson: (trainer, kind) => lessons.push(`${trainer} ${kind}`),
    now: () => world.now,
    random: () => 0,
  });
  return world;
}

interface Pupil extends Teaching {
  readonly asked: Lesson[];
  answer: TrainingOutcome | ((lesson: Lesson, signal: AbortSignal) => Promise<TrainingOutcome>);
}

function pupil(name: string, answer: Pupil['answer'], more: Partial<Teaching> = {}): Pupil {
  const asked: Lesson[] = [];
  const self: Pupil = {
    asked,
    answer,
    scope: 'global',
    timeoutMs: 10_000,
    atOnce: 2,
    trainer: {
      name,
      async train(lesson, signal) {
        asked.push(lesson);
        if (typeof self.answer === 'function') return self.answer(lesson, signal);
        try {
          for await (const _ of lesson.message());
          return self.answer;
        } catch {
          return { kind: 'later', said: 'could not read' };
        }
      },
    },
    ...more,
  };
  return self;
}

const learned = (said = 'ok'): TrainingOutcome => ({ kind: 'learned', said });
const later = (said: string): TrainingOutcome => ({ kind: 'later', said });
const refused = (said: string): TrainingOutcome => ({ kind: 'refused', said });
const textOf = async (lesson: Lesson) => {
  let text = '';
  for await (const chunk of lesson.message()) text += Buffer.from(chunk).toString('latin1');
  return text;
};

t.test('without a trainer the training is kept for later', async (t) => {
  const world = worldOf([]);
  const { recorded, ...ended } = await world.handler(jobOf('train-ham'), never());
  t.same(ended, { kind: 'done', said: 'no trainer', leaveAfterMs: 0 });
  t.same(world.events, [], 'nothing is told before it is recorded');
  recorded?.();
  t.match(world.events, [{ kind: 'training-waits', said: 'no trainer is configured: kept for later' }]);
});

t.test('what one trainer answers is what becomes of the job', async (t) => {
  const teacher = pupil('rspamd', learned());
  const world = worldOf([teacher]);
  const done = await world.handler(jobOf('train-spam'), never());
  t.match(done, { kind: 'done', said: 'ok' });
  t.same(world.noted(), [['rspamd', 'spam', 'learned', 'ok', undefined]]);
  t.same(world.events, [], 'nobody is told before it is recorded');
  done.recorded?.();
  t.same(world.events, [{ kind: 'trained', entryId: 17, owner: 'ada@harbour.example', subject: 'Offer', said: 'ok' }]);
  const { message: _, ...lesson } = teacher.asked[0] as Lesson;
  t.same(lesson, {
    id: 'd/17/train-spam',
    class: 'spam',
    size: mail.length,
    sender: 'promo@spam.example',
    recipient: 'Ada+x@harbour.example',
    entryId: 17,
    subject: 'Offer',
    account: 'global',
  });
  t.equal(await textOf(teacher.asked[0] as Lesson), mail);
  t.equal(await textOf(teacher.asked[0] as Lesson), mail, 'and once more');

  const no = worldOf([pupil('rspamd', refused('too big'))]);
  const failed = await no.handler(jobOf('train-ham'), never());
  t.match(failed, { kind: 'failed', said: 'too big' });
  t.notOk('prefix' in failed || 'notice' in failed, 'a failed training brings nothing back');
  failed.recorded?.();
  t.match(no.events, [{ kind: 'training-refused', said: 'too big' }]);

  const busy = worldOf([pupil('rspamd', later('busy'))]);
  busy.now += 999;
  const wait = await busy.handler(jobOf('train-ham'), never());
  t.match(wait, { kind: 'later', said: 'busy', afterMs: 300_000 });
  t.notOk('untried' in wait);
  wait.recorded?.();
  t.match(busy.events, [{ kind: 'training-waits', said: 'busy' }]);
  busy.now += 1;
  t.match(await busy.handler(jobOf('train-ham'), never()), { kind: 'failed', said: 'busy (given up)' });

  const known = worldOf([pupil('rspamd', { kind: 'known', said: 'already learned' })]);
  t.match(await known.handler(jobOf('train-ham'), never()), { kind: 'done', said: 'already learned' });
  t.same(known.lessons, ['rspamd known']);
});

t.test('several trainers are asked side by side, and each until it has ended', async (t) => {
  const a = pupil('a', learned());
  const b = pupil('b', later('down'));
  const c = pupil('c', refused('too small'));
  const world = worldOf([a, b, c]);
  const first = await world.handler(jobOf('train-spam'), never());
  t.match(first, { kind: 'later', said: 'b: down' });
  t.same(world.lessons.toSorted(), ['a learned', 'b later', 'c refused']);
  const second = await world.handler(jobOf('train-spam', { attempts: 2 }), never());
  t.match(second, { kind: 'later', said: 'b: down' });
  t.same(
    [a, b, c].map(({ asked }) => asked.length),
    [1, 2, 1],
    'who has ended is not asked again',
  );
  b.answer = learned('now');
  t.match(await world.handler(jobOf('train-spam', { attempts: 3 }), never()), { kind: 'failed', said: 'c: too small' });
  t.same(
    [a, b, c].map(({ asked }) => asked.length),
    [1, 3, 1],
  );

  // `training retry --failed`: queued anew, a while later.
  world.now += 60_000;
  c.answer = learned('after all');
  const again = jobOf('train-spam', { createdAt: new Date(world.now) });
  t.match(await world.handler(again, never()), { kind: 'done', said: 'a: ok; b: now; c: after all' });
  t.same(
    [a, b, c].map(({ asked }) => asked.length),
    [1, 3, 2],
    'only who had refused is asked again',
  );

  const down = worldOf([pupil('a', later('down')), pupil('b', refused('no'))]);
  down.now += 1000;
  t.match(await down.handler(jobOf('train-spam'), never()), { kind: 'failed', said: 'b: no; a: down (given up)' });
});

t.test('a change of mind is told to each trainer, and the later class wins', async (t) => {
  const teacher = pupil('rspamd', learned());
  const world = worldOf([teacher]);
  await world.handler(jobOf('train-spam'), never());
  await world.handler(jobOf('train-ham', { key: 'e/17/train-ham', dropId: 'e' }), never());
  await world.handler(jobOf('train-spam', { key: 'f/17/train-spam', dropId: 'f' }), never());
  t.same(
    teacher.asked.map(({ class: klass, before }) => [klass, before]),
    [
      ['spam', undefined],
      ['ham', 'spam'],
      ['spam', 'ham'],
    ],
  );
  // The last drop is undone: the one before will be learned after all, although this trainer had learned it by that one.
  await world.handler(jobOf('train-ham', { key: 'e/17/train-ham', dropId: 'e' }), never());
  t.match(teacher.asked.at(-1), { class: 'ham', before: 'spam' });
});

t.test('whose database learns is for the settings to say', async (t) => {
  const users = async (owner: string, more: Partial<ClaimedJob> = {}) => {
    const teachers = (['global', 'domain', 'user'] as const).map((scope) => pupil(scope, learned(), { scope }));
    const world = worldOf(teachers, { entry: { owner } });
    const { kind, said } = await world.handler(jobOf('train-spam', more), never());
    return {
      kind,
      said,
      users: teachers.map(({ asked }) => asked[0]?.user),
      noted: world.noted().map((line) => line[4]),
    };
  };
  t.match(await users('ada@harbour.example'), {
    kind: 'done',
    users: [undefined, 'harbour.example', 'ada@harbour.example'],
    noted: [undefined, 'harbour.example', 'ada@harbour.example'],
  });
  t.match(await users(''), {
    kind: 'failed',
    said: /^domain: nobody knows which domain .*; user: nobody knows which user /,
    users: [undefined, undefined, undefined],
  });

  // Appended: there is no entry, and so nobody but the account.
  const appended = async (account: string) => {
    const teacher = pupil('rspamd', learned(), { scope: 'domain' });
    const world = worldOf([teacher], { entry: undefined as never });
    const { entryId: _, ...job } = jobOf('train-spam', { actor: { account, via: 'imap' } });
    const { kind } = await world.handler(job, never());
    return [kind, teacher.asked[0]?.user, teacher.asked[0]?.recipient, teacher.asked[0]?.entryId];
  };
  t.same(await appended('ben@quay.example'), ['done', 'quay.example', '', undefined]);
  t.same(await appended('quay.example'), ['done', 'quay.example', '', undefined]);
  t.same(await appended('global'), ['failed', undefined, undefined, undefined]);
});

t.test('what one user has taught is not told to the trainer as what another has', async (t) => {
  const teacher = pupil('spamd', learned(), { scope: 'user' });
  const world = worldOf([teacher]);
  await world.handler(jobOf('train-spam'), never());
  world.lines[0] = { ...(world.lines[0] as TrainingLine), user: 'ben@quay.example' };
  await world.handler(jobOf('train-spam', { attempts: 2 }), never());
  t.same(
    teacher.asked.map(({ user, before }) => [user, before]),
    [
      ['ada@harbour.example', undefined],
      ['ada@harbour.example', undefined],
    ],
  );
});

t.test('a virus that somebody wanted to have is not learned as ham, unless he said so', async (t) => {
  for (const reason of ['virus', 'phish', 'banned'] as const) {
    const verdict = { source: 'amavis', reason, rules: [] };
    const teacher = pupil('rspamd', learned());
    const released = worldOf([teacher], { entry: { verdict } });
    t.match(await released.handler(jobOf('train-ham'), never()), {
      kind: 'done',
      said: `not learned as ham, because it was held as ${reason}`,
    });
    t.same(teacher.asked, []);
    for (const action of ['release-train', 'not-spam'] as const)
      await worldOf([teacher], { entry: { verdict }, drop: { action } }).handler(jobOf('train-ham'), never());
    t.equal(teacher.asked.length, 2);
    await released.handler(jobOf('train-spam'), never());
    t.equal(teacher.asked.length, 3, 'as spam it is');
  }
});

t.test('the history takes one line, however long and whatever is in it', async (t) => {
  const said = `a\r\nb \x1b[31mred\x07 \u202e${'x'.repeat(5000)}`;
  const world = worldOf([pupil('rspamd', refused(said)), pupil('b', later(said))]);
  await world.handler(jobOf('train-spam'), never());
  for (const line of world.lines) {
    t.ok(line.said.startsWith('a b \\x1b[31mred\\x07 \\u202exxx'), line.said.slice(0, 60));
    t.equal(line.said.length, 1000);
  }
  world.now += 1000;
  const given = await world.handler(jobOf('train-spam'), never());
  t.ok(given.said.length <= 1000 && given.said.endsWith('(given up)'), String(given.said.length));
  t.equal(oneLine(`${'x'.repeat(998)}\u{1f4a9}y`).length, 999, 'no half of a character');
  t.equal(oneLine('  a   b  '), 'a b');
});

t.test('trouble with the store is no answer of a trainer', async (t) => {
  t.match(await worldOf([pupil('a', learned())], { gone: true }).handler(jobOf('train-ham'), never()), {
    kind: 'failed',
    said: /stored message/,
  });
  const purged = worldOf([pupil('a', learned())], { error: new NotFound('purged') });
  t.match(await purged.handler(jobOf('train-ham'), never()), { kind: 'failed', said: /stored message/ });
  const away = worldOf([pupil('a', learned()), pupil('b', learned())], { error: new StoreUnavailable() });
  await t.rejects(away.handler(jobOf('train-ham'), never()), { name: 'StoreUnavailable' });
  t.same([...purged.lines, ...away.lines], [], 'and is not in the history');
  const lost = worldOf([pupil('a', learned())], { noteError: new LeaseLost() });
  await t.rejects(lost.handler(jobOf('train-ham'), never()), { name: 'LeaseLost' });
});

t.test('a try that is given up notes what was learned, and nothing else', async (t) => {
  const abandon = new AbortController();
  const slow = pupil(
    'slow',
    (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(later(signal.reason.message)));
      }),
  );
  const quick = pupil('quick', async () => {
    setImmediate(() => abandon.abort(new Error('stop')));
    return learned();
  });
  const world = worldOf([slow, quick]);
  await t.rejects(world.handler(jobOf('train-spam'), abandon.signal), /stop/);
  t.same(world.noted(), [['quick', 'spam', 'learned', 'ok', undefined]]);
});

t.test('a trainer that hangs keeps its own places only, and holds up nobody (row 44)', async (t) => {
  let hanging = 0;
  const obeys = (signal: AbortSignal) =>
    new Promise<TrainingOutcome>((resolve) => {
      hanging++;
      signal.addEventListener('abort', () => {
        hanging--;
        resolve(later(signal.reason.message));
      });
    });
  const hangs = pupil('hangs', (_, signal) => obeys(signal), { timeoutMs: 200 });
  const good = pupil('good', learned(), { atOnce: 100 });
  const world = worldOf([hangs, good]);
  const jobs = Array.from({ length: 50 }, (_, n) =>
    jobOf('train-spam', { key: `d/${n}/train-spam`, messageId: n as MessageId }),
  );
  const tries = jobs.map((job) => world.handler(job, never()));
  await new Promise(setImmediate);
  t.equal(good.asked.length, 50, 'everybody else has learned at once');
  t.equal(hanging, 2, 'and it has its two places');
  const ended = await Promise.all(tries);
  t.ok(ended.every(({ kind }) => kind === 'later'));
  t.equal(ended.filter(({ said }) => said === 'hangs: it took too long').length, 2);
  t.equal(ended.filter(({ said }) => said === 'hangs: it is busy with other messages').length, 48);
  t.equal(hangs.asked.length, 2);

  // Known to be silent: told so at once.
  const next = await world.handler(jobOf('train-spam', { key: 'd/99/train-spam' }), never());
  t.match(next, { kind: 'later', said: 'hangs: it took too long' });
  t.equal(hangs.asked.length, 2);
  t.equal(good.asked.length, 51);
  t.equal(
    world.lines.filter(({ trainer }) => trainer === 'hangs').length,
    2,
    'what was not asked is not in the history',
  );

  // One that does not even let itself be given up.
  const deaf = worldOf([pupil('deaf', () => new Promise(() => {}), { timeoutMs: 20 })]);
  t.match(await deaf.handler(jobOf('train-spam'), never()), { kind: 'later', said: 'it took too long' });
  const untried = await deaf.handler(jobOf('train-spam'), never());
  t.match(untried, { kind: 'later', said: 'it took too long', untried: true });
  t.notOk(untried.recorded, 'nobody is told of a try that was none');
});

t.test('who may go to a trainer', async (t) => {
  let now = 0;
  const desk = new Desk({
    atOnce: 2,
    silenceMs: 1000,
    patienceMs: 10,
    probeMs: 100,
    longestProbeMs: 300,
    monotonic: () => now,
  });
  const enter = async () => {
    const place = await desk.enter();
    if ('busy' in place) return place;
    return place;
  };
  const isPlace = (place: Awaited<ReturnType<typeof enter>>) => 'leave' in place;
  const take = async () => {
    const place = await enter();
    if (!('leave' in place)) throw new Error('no place');
    return place;
  };
  const [one, two] = [await take(), await take()];
  t.same(await enter(), { busy: true }, 'nobody left in time');
  const third = enter();
  one.leave('answered');
  t.ok(isPlace(await third), 'the place passes from hand to hand');
  ((await third) as typeof one).leave('answered');
  two.leave({ later: 'not now' });
  (await take()).leave({ later: 'not now' });
  (await take()).leave('answered');
  (await take()).leave({ later: 'not now' });
  (await take()).leave('given-up');
  (await take()).leave({ later: 'not now' });
  (await take()).leave({ later: 'refused again' });
  t.same(await enter(), { busy: false, said: 'refused again' }, 'three in a row are about the learner');
  now = 100;
  const probe = await take();
  t.same(await enter(), { busy: false, said: 'refused again' }, 'one finds out');
  probe.leave({ later: 'still' });
  now = 299;
  t.same(await enter(), { busy: false, said: 'still' }, 'twice as long');
  now = 300;
  (await take()).leave({ later: 'still' });
  now = 600;
  (await take()).leave('answered');
  t.ok(isPlace(await enter()) && isPlace(await enter()), 'it is back');
});

t.test("fields of Rspamd's milter and ours are left out, and nothing else", async (t) => {
  const fixtures = join(import.meta.dirname, '../fixtures/filtered');
  for (const file of ['rspamd-milter-add-header.eml', 'rspamd-milter-add-header-8bit.eml']) {
    const octets = readFileSync(join(fixtures, file));
    const header = octets.subarray(0, octets.indexOf('\r\n\r\n') + 4);
    const cuts = cutsOf(header, true);
    const text = header.toString('latin1');
    const names = cuts.map(([start, end]) => /^[^:]+/.exec(text.slice(start, end))?.[0]?.toLowerCase());
    const block = findBlock(header, 'rspamd-milter');
    t.same(names.toSorted(), block?.fields.map(({ name }) => name).toSorted(), file);
    t.same(cutsOf(header, false), [], 'only where the milter was asked');

    const message = { id: 1 as MessageId, size: octets.length, headerSize: header.length } as Message;
    const messages = {
      async *read(_: MessageId, offset = 0, length = octets.length - offset) {
        for (let at = offset; at < offset + length; at += 100)
          yield octets.subarray(at, Math.min(at + 100, offset + length));
      },
    };
    const bytes = await lessonBytes(messages, message, true);
    const chunks: Uint8Array[] = [];
    for await (const chunk of bytes.read()) chunks.push(chunk);
    const got = Buffer.concat(chunks);
    let expected = octets.toString('latin1');
    for (const [start, end] of cuts.toReversed()) expected = expected.slice(0, start) + expected.slice(end);
    t.equal(got.toString('latin1'), expected);
    t.equal(bytes.size, got.length);
  }
  const marked = 'Subject: s\r\nX-Spamd-Result: default: False [6.00 / 15.00]\r\nX-Spam: Yes\r\n\r\nx';
  const taught = async (verdict: object, block = '') => {
    const teacher = pupil('rspamd', learned());
    const world = worldOf([teacher], {
      message: marked,
      block,
      entry: { verdict: { reason: 'spam', rules: [], ...verdict } as never },
    });
    await world.handler(jobOf('train-spam'), never());
    return textOf(teacher.asked[0] as Lesson);
  };
  const bare = 'Subject: s\r\n\r\nx';
  t.equal(await taught({ source: 'rspamd' }), bare);
  t.equal(
    await taught({ source: 'amavis', others: [{ source: 'rspamd', rules: [] }] }, 'X-Quarantine-ID: <x>\r\n'),
    bare,
  );
  t.equal(await taught({ source: 'rspamd' }, 'X-Envelope-To: <a>\r\nX-Spamd-Result: x\r\n'), marked, "its formatter's");
  t.equal(await taught({ source: 'amavis' }), marked, 'a sender wrote that');

  const header = Buffer.from(
    'X-Lazaret-Release: a\r\n b\r\nReceived: x\r\nX-Spam: y\r\nx-lazaret-id : 3\r\n\tz\r\nSubject: s\r\n\r\n',
  );
  t.same(
    cutsOf(header, false).map(([start, end]) => header.toString('latin1', start, end)),
    ['X-Lazaret-Release: a\r\n b\r\n', 'x-lazaret-id : 3\r\n\tz\r\n'],
  );
  t.same(cutsOf(Buffer.from('no header at all'), true), []);
  t.same(cutsOf(Buffer.from(`X-Lazaret-${'a'.repeat(100_000)}`), true), []);
});
