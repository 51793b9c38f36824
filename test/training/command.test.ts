import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ProductEvent } from '#app/observe/events';
import { createCommandTrainer } from '#app/training/command';
import { createTrainHandler, type TrainOptions } from '#app/training/train';
import type { Trainer, TrainingOutcome } from '#app/training/trainer';
import { NotFound, StoreUnavailable } from '#store/errors';
import type { ClaimedJob, Entry, EntryId, Message, MessageId, Step } from '#store/model';

const never = {
  get signal() {
    return new AbortController().signal;
  },
};

async function* bytes(text: string | Uint8Array, times = 1): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < times; n++) yield Buffer.from(text);
}

/** A trainer that runs this JavaScript, for both classes; the class is its argument. */
function script(source: string, timeoutMs = 20_000): Trainer {
  const argv = (klass: string) => [process.execPath, '-e', source, '--', klass];
  return createCommandTrainer({ spam: argv('spam'), ham: argv('ham'), timeoutMs });
}

const readAll = "const read = require('fs').readFileSync(0);";

t.test('a command learns: message on standard input, arguments as configured, a clean environment', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-train-'));
  t.teardown(() => rm(folder, { recursive: true }));
  process.env.LAZARET_SECRET = 'x';
  const file = join(folder, 'seen');
  const trainer = createCommandTrainer({
    spam: [
      process.execPath,
      '-e',
      `${readAll} require('fs').writeFileSync(process.argv[1], JSON.stringify([read.toString('latin1'), Object.keys(process.env).sort(), process.argv.slice(2)])); console.log('Learned tokens from 1 message(s)')`,
      file,
      '$(id)',
      '; rm',
      "it's",
    ],
    ham: [],
    timeoutMs: 20_000,
  });
  const message = 'Subject: x\r\n\r\n.\nf\u00fc\0r\r\n';
  t.same(await trainer.train('spam', bytes(Buffer.from(message, 'latin1')), never.signal), {
    kind: 'learned',
    said: 'Learned tokens from 1 message(s)',
  });
  const [seen, environment, argv] = JSON.parse(await readFile(file, 'utf8'));
  t.equal(seen, message);
  t.same(argv, ['$(id)', '; rm', "it's"], 'no shell has seen them');
  t.notOk(environment.includes('LAZARET_SECRET'));
  t.ok(environment.includes('PATH'));
  t.match(await trainer.train('ham', bytes('x'), never.signal), { kind: 'later' });
});

t.test('what its end means', async (t) => {
  const table: [string, { kind: TrainingOutcome['kind']; said?: string | RegExp }][] = [
    ['process.exit(0)', { kind: 'learned', said: 'learned' }],
    ...[69, 71, 74, 75].map((code): [string, { kind: 'later' }] => [`process.exit(${code})`, { kind: 'later' }]),
    ...[1, 2, 64, 65, 70, 72, 77, 98, 255].map((code): [string, { kind: 'refused'; said: string }] => [
      `process.exit(${code})`,
      { kind: 'refused', said: `the training command ended with ${code}` },
    ]),
    ["process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)", { kind: 'later', said: /SIGTERM/ }],
    [
      "console.log('first'); console.error('bad \\x1b[31mred\\x07 \\u202e!\\n\\n'); process.exitCode = 3",
      { kind: 'refused', said: 'bad [31mred !' },
    ],
    ["console.log('x'.repeat(100000)); process.exitCode = 75", { kind: 'later', said: 'x'.repeat(200) }],
  ];
  await Promise.all(
    table.map(async ([source, expected]) =>
      t.match(await script(source).train('ham', bytes('m'), never.signal), expected, source),
    ),
  );
});

t.test('a command that does not read its input is judged by its end alone', async (t) => {
  const big = () => bytes(Buffer.alloc(1 << 16, 'x'), 64);
  t.match(await script("console.log('enough')").train('spam', big(), never.signal), {
    kind: 'learned',
    said: 'enough',
  });
  t.match(await script('process.exit(1)').train('spam', big(), never.signal), { kind: 'refused' });
  t.match(await script(`${readAll} console.log(read.length)`).train('spam', big(), never.signal), {
    said: String(64 << 16),
  });
});

t.test('one that cannot be started, takes too long, or is given up, is tried later', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-train-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const plain = join(folder, 'plain');
  await writeFile(plain, '#!/bin/sh\nexit 0\n');
  for (const program of [join(folder, 'missing'), plain, folder]) {
    const trainer = createCommandTrainer({ spam: [program], ham: [program], timeoutMs: 5000 });
    t.match(
      await trainer.train('spam', bytes('m'), never.signal),
      { kind: 'later', said: /could not be started \(E/ },
      program,
    );
  }
  await chmod(plain, 0o755);
  const trainer = createCommandTrainer({ spam: [plain], ham: [plain], timeoutMs: 5000 });
  t.match(await trainer.train('spam', bytes('m'), never.signal), { kind: 'learned' });

  // With a child of its own that holds the pipes, as a shell script would have it.
  const slow = "require('child_process').spawn('sleep', ['60'], { stdio: 'inherit' }); setInterval(() => {}, 1000)";
  t.match(await script(slow, 300).train('spam', bytes('m'), never.signal), { kind: 'later', said: /too long/ });
  const abandon = new AbortController();
  const given = script(`console.log('up'); ${slow}`).train('spam', bytes('m'), abandon.signal);
  abandon.abort();
  t.match(await given, { kind: 'later', said: /given up/ });
  t.match(await script('').train('spam', bytes('m'), abandon.signal), { kind: 'later' });
});

// ------------------------------------------------------------------------------------------------------- the handler

const job = (step: Step): ClaimedJob => ({
  key: 'k',
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
});

function handlerFor(
  answer: TrainingOutcome | undefined,
  more: { readonly error?: Error; readonly gone?: boolean; readonly ageMs?: number } = {},
) {
  const events: ProductEvent[] = [];
  const learned: string[] = [];
  const store: TrainOptions['store'] = {
    messages: {
      get: async () => (more.gone ? undefined : ({ id: 3, subject: 'Offer' } as Message)),
      async *read() {
        yield Buffer.from('Subject: Offer\r\n\r\n');
        if (more.error) throw more.error;
      },
    } as Pick<TrainOptions['store']['messages'], 'get' | 'read'> as TrainOptions['store']['messages'],
    entries: { get: async () => ({ id: 17, owner: 'ada@harbour.example' }) as Entry } as Pick<
      TrainOptions['store']['entries'],
      'get'
    > as TrainOptions['store']['entries'],
  };
  const trainer: Trainer | undefined = answer && {
    async train(klass, message) {
      try {
        let text = klass;
        for await (const chunk of message) text += ` ${Buffer.from(chunk).toString()}`;
        learned.push(text);
        return answer;
      } catch {
        return { kind: 'later', said: 'could not read' };
      }
    },
  };
  const handler = createTrainHandler({
    store,
    ...(trainer && { trainer }),
    retryForMs: 1000,
    onEvent: (event) => events.push(event),
    now: () => 1_000_000 + (more.ageMs ?? 0),
    random: () => 0,
  });
  return { handler, events, learned };
}

t.test('what a training comes to', async (t) => {
  const nobody = handlerFor(undefined);
  const { recorded: waits, ...nothing } = await nobody.handler(job('train-ham'), never.signal);
  t.same(nothing, { kind: 'done', said: 'no trainer', leaveAfterMs: 0 });
  t.same(nobody.events, [], 'nothing is told before it is recorded');
  waits?.();
  t.match(nobody.events, [{ kind: 'training-waits', said: 'no trainer is configured: kept for later' }]);

  const good = handlerFor({ kind: 'learned', said: 'ok' });
  const ended = await good.handler(job('train-spam'), never.signal);
  t.match(ended, { kind: 'done', said: 'ok' });
  t.same(good.events, [], 'nobody is told before it is recorded');
  ended.recorded?.();
  t.same(good.events, [{ kind: 'trained', entryId: 17, owner: 'ada@harbour.example', subject: 'Offer', said: 'ok' }]);
  await good.handler(job('train-ham'), never.signal);
  t.same(good.learned, ['spam Subject: Offer\r\n\r\n', 'ham Subject: Offer\r\n\r\n']);

  const refused = handlerFor({ kind: 'refused', said: 'too big' });
  const no = await refused.handler(job('train-ham'), never.signal);
  t.match(no, { kind: 'failed', said: 'too big' });
  t.notOk('prefix' in no || 'notice' in no, 'a failed training brings nothing back');
  no.recorded?.();
  t.match(refused.events, [{ kind: 'training-refused' }]);

  const later = handlerFor({ kind: 'later', said: 'busy' }, { ageMs: 999 });
  const wait = await later.handler(job('train-ham'), never.signal);
  t.match(wait, { kind: 'later', said: 'busy', afterMs: 300_000 });
  wait.recorded?.();
  t.match(later.events, [{ kind: 'training-waits', said: 'busy' }]);
  t.match(await handlerFor({ kind: 'later', said: 'busy' }, { ageMs: 1000 }).handler(job('train-ham'), never.signal), {
    kind: 'failed',
    said: 'busy (given up)',
  });

  t.match(await handlerFor({ kind: 'learned', said: '' }, { gone: true }).handler(job('train-ham'), never.signal), {
    kind: 'failed',
    said: /stored message/,
  });
  const purged = handlerFor({ kind: 'learned', said: '' }, { error: new NotFound('purged') });
  t.match(await purged.handler(job('train-ham'), never.signal), { kind: 'failed', said: /stored message/ });
  await t.rejects(
    handlerFor({ kind: 'learned', said: '' }, { error: new StoreUnavailable() }).handler(
      job('train-ham'),
      never.signal,
    ),
    {
      name: 'StoreUnavailable',
    },
  );
  const abandoned = new AbortController();
  abandoned.abort(new Error('stop'));
  await t.rejects(good.handler(job('train-ham'), abandoned.signal), /stop/);
});
