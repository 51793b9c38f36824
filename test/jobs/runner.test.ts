import t from 'tap';
import { createRunner, type Handler, type Runner, type RunnerOptions } from '#app/jobs/runner';
import { maximumDelayMs, minimumDelayMs, retryDelayMs } from '#app/lib/backoff';
import type { Log } from '#app/observe/log';
import { LeaseLost, StoreUnavailable } from '#store/errors';
import type { ClaimedJob, MessageId, Step } from '#store/model';
import type { Outcome } from '#store/port';

/** The jobs of a store, as far as a runner sees them: in memory, and failing when told to. */
class Jobs {
  readonly ready: ClaimedJob[] = [];
  readonly leased = new Map<string, ClaimedJob>();
  readonly finished: { key: string; outcome: Outcome }[] = [];
  readonly released: string[] = [];
  readonly renewed: string[] = [];
  claims = 0;
  housekept = 0;
  nextDueAt: Date | undefined;
  /** How many calls of each kind still fail, and how. */
  readonly failing: Partial<
    Record<'claim' | 'finish' | 'renew' | 'housekeep' | 'release', { error: Error; times: number }>
  > = {};
  /** Work that the next housekeepings bring to light, one job each. */
  readonly hidden: ClaimedJob[] = [];
  #ring: (() => void) | undefined;
  #wake: (() => void)[] = [];

  readonly store: RunnerOptions['store'] = {
    jobs: {
      claim: async ({ steps, limit }) => {
        this.#do('claim');
        this.claims++;
        const taken: ClaimedJob[] = [];
        for (let at = 0; at < this.ready.length && taken.length < limit; ) {
          const job = this.ready[at]!;
          if (steps.includes(job.step)) taken.push(...this.ready.splice(at, 1));
          else at++;
        }
        for (const job of taken) this.leased.set(job.key, job);
        this.tell();
        return taken;
      },
      renew: async (job) => {
        this.renewed.push(job.key);
        this.tell();
        this.#do('renew');
      },
      finish: async (job, outcome) => {
        this.#do('finish');
        if (!this.leased.delete(job.key)) throw new LeaseLost();
        this.finished.push({ key: job.key, outcome });
        this.tell();
      },
      release: async (job) => {
        this.#do('release');
        this.leased.delete(job.key);
        this.released.push(job.key);
        this.tell();
      },
      get: async () => undefined,
      ofDrop: async () => [],
      retryUntrained: async () => 0,
      noteTraining: async () => {},
      trainingsOf: async () => [],
      trainings: async () => [],
      trainingStats: async () => [],
      counts: async () => ({ ready: 0, leased: 0, done: 0, failed: 0, cancelled: 0 }),
      backlog: async () => [],
    },
    changes: {
      since: async () => ({ changes: [], end: 0 as never, more: false, lost: false }),
      end: async () => 0 as never,
      watch: (ring) => {
        this.#ring = ring;
        return () => {
          this.#ring = undefined;
        };
      },
    },
    housekeep: async () => {
      this.#do('housekeep');
      this.housekept++;
      const job = this.hidden.shift();
      if (job) this.ready.push(job);
      this.tell();
      return { more: this.hidden.length > 0, ...(this.nextDueAt && { nextDueAt: this.nextDueAt }) };
    },
  };

  get watched(): boolean {
    return this.#ring !== undefined;
  }

  add(step: Step, name: string): void {
    this.ready.push(jobOf(step, name));
    this.#ring?.();
  }

  async sees(what: () => boolean): Promise<void> {
    while (!what()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  #do(what: keyof Jobs['failing']): void {
    const plan = this.failing[what];
    if (!plan || plan.times-- <= 0) return;
    throw plan.error;
  }
}

function jobOf(step: Step, name: string): ClaimedJob {
  return {
    key: name,
    dropId: 'd',
    step,
    messageId: 1 as MessageId,
    state: 'leased',
    attempts: 1,
    createdAt: new Date(),
    lease: 'l',
    leaseUntil: new Date(),
    actor: { account: 'global', via: 'test' },
    resentMessageId: '<d@q.example>',
    droppedAt: new Date(),
  };
}

const done = { kind: 'done', said: '250 2.0.0 Ok', leaveAfterMs: 0 } as const;
const patient = 60_000;

function rig(
  t: { teardown(end: () => Promise<void>): void },
  handlers: Partial<Record<Step, Handler>>,
  options: Partial<Pick<RunnerOptions, 'concurrency' | 'leaseMs' | 'pollMs'>> = {},
): { jobs: Jobs; runner: Runner; lines: { level: string; facts: object; message: string }[] } {
  const jobs = new Jobs();
  const lines: { level: string; facts: object; message: string }[] = [];
  const at = (level: string) => (facts: object, message: string) => void lines.push({ level, facts, message });
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const none: Handler = async () => done;
  const all = { deliver: none, 'train-ham': none, 'train-spam': none, ...handlers };
  const runner = createRunner({
    store: jobs.store,
    handlers: all,
    concurrency: 4,
    leaseMs: patient,
    pollMs: patient,
    log,
    ...options,
  });
  t.teardown(() => runner.stop(0));
  return { jobs, runner, lines };
}

/** A handler that goes on until it is told to or given up; keeps count. */
function gate() {
  const waiting: (() => void)[] = [];
  const state = { running: 0, most: 0 };
  const handler: Handler = async (_, signal) => {
    state.running++;
    state.most = Math.max(state.most, state.running);
    try {
      await new Promise<void>((resolve, reject) => {
        waiting.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason));
      });
      return done;
    } finally {
      state.running--;
    }
  };
  const open = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  return { handler, state, open };
}

t.test('the delay grows with the age, between 300 and 4000 seconds', async (t) => {
  let age = 0;
  const waits: number[] = [];
  while (age < 5 * 86_400_000) {
    const wait = retryDelayMs(age, 0);
    waits.push(wait / 1000);
    age += wait;
  }
  t.same(waits.slice(0, 6), [300, 300, 600, 1200, 2400, 3200]);
  for (const random of [0, 0.5, 0.999999]) {
    for (const ms of [-5, 0, 1, 1e5, 1e6, 1e7, 1e12]) {
      const wait = retryDelayMs(ms, random);
      t.ok(wait >= minimumDelayMs && wait <= maximumDelayMs, `${ms} ms old, ${random}: ${wait}`);
    }
  }
  t.ok(retryDelayMs(1e6, 0.9) > retryDelayMs(1e6, 0.1), 'what was put off together is spread');
});

t.test('a ring is answered, and an outcome is recorded before anybody is told', async (t) => {
  const told: string[] = [];
  const { jobs, runner } = rig(t, {
    deliver: async (job) => ({ ...done, recorded: () => told.push(`${job.key} ${jobs.finished.length}`) }),
    'train-ham': async () => ({ kind: 'failed', said: 'no' }),
  });
  runner.start();
  jobs.add('deliver', 'a');
  jobs.add('train-ham', 'b');
  await jobs.sees(() => jobs.finished.length === 2);
  t.match(jobs.finished.find(({ key }) => key === 'a')?.outcome, { kind: 'done', said: '250 2.0.0 Ok' });
  t.notOk(
    jobs.finished.some(({ outcome }) => 'recorded' in outcome),
    'a store gets no functions',
  );
  await runner.idle();
  t.equal(told.length, 1);
  t.equal(jobs.leased.size, 0);
});

t.test('one kind of work that hangs holds up no other, and no more run than may', async (t) => {
  const deliveries = gate();
  const trainings = gate();
  const { jobs, runner } = rig(t, { deliver: deliveries.handler, 'train-spam': trainings.handler }, { concurrency: 3 });
  runner.start();
  for (let n = 0; n < 10; n++) jobs.add('train-spam', `t${n}`);
  for (let n = 0; n < 10; n++) jobs.add('deliver', `d${n}`);
  runner.poke();
  while (deliveries.state.running < 3) await new Promise(setImmediate);
  t.equal(trainings.state.running, 4, 'trainings have their own lane');
  t.equal(jobs.ready.length, 13, 'what cannot run now is not claimed');
  while (jobs.finished.filter(({ key }) => key.startsWith('d')).length < 10) {
    deliveries.open();
    await new Promise(setImmediate);
  }
  t.equal(trainings.state.running, 4, 'still hanging');
  t.equal(deliveries.state.most, 3);
  trainings.open();
});

t.test('leases are renewed, and a lost one ends the try with nothing recorded', async (t) => {
  const work = gate();
  const { jobs, runner } = rig(t, { deliver: work.handler }, { leaseMs: 30 });
  runner.start();
  jobs.add('deliver', 'a');
  await jobs.sees(() => jobs.renewed.length >= 3);
  work.open();
  await jobs.sees(() => jobs.finished.length === 1);

  jobs.add('deliver', 'b');
  while (work.state.running === 0) await new Promise(setImmediate);
  jobs.failing.renew = { error: new LeaseLost(), times: 1 };
  await runner.idle();
  t.equal(work.state.running, 0, 'the try was given up');
  t.same([jobs.finished.length, jobs.released.length], [1, 0]);

  // Trouble with renewing is not a lost lease.
  jobs.failing.renew = { error: new StoreUnavailable(), times: 2 };
  const before = jobs.renewed.length;
  jobs.add('deliver', 'c');
  await jobs.sees(() => jobs.renewed.length > before + 2);
  work.open();
  await jobs.sees(() => jobs.finished.length === 2);

  // Lost only at the end: the handler was never told.
  const told: string[] = [];
  const late = rig(t, { deliver: async () => ({ ...done, recorded: () => told.push('x') }) });
  late.jobs.failing.finish = { error: new LeaseLost(), times: 1 };
  late.jobs.add('deliver', 'd');
  late.runner.start();
  await late.runner.idle();
  t.same([late.jobs.finished.length, told.length], [0, 0]);
});

t.test('a handler that throws is tried later, and the log has an id that the outcome names', async (t) => {
  const { jobs, runner, lines } = rig(t, {
    deliver: async () => {
      throw new TypeError('x is not a function');
    },
    'train-ham': async () => {
      throw new StoreUnavailable();
    },
  });
  jobs.add('deliver', 'a');
  jobs.add('train-ham', 'b');
  runner.start();
  await runner.idle();
  const [a, b] = ['a', 'b'].map((key) => jobs.finished.find((each) => each.key === key)?.outcome);
  t.match(a, { kind: 'later', said: /^an error inside \([0-9a-f-]{36}\)$/ });
  t.notMatch(a?.said, /function/, 'no word of ours to the outside');
  const line = lines.find(({ level }) => level === 'error');
  t.match(line, { facts: { id: /^[0-9a-f-]{36}$/, error: { name: 'TypeError' } } });
  t.match(b, { kind: 'later', said: 'the store was not available', afterMs: 10_000 });
});

t.test('trouble of the store is waited for; what was delivered is recorded in the end', async (t) => {
  const { jobs, runner } = rig(t, {});
  jobs.failing.housekeep = { error: new StoreUnavailable(), times: 1 };
  jobs.failing.claim = { error: new Error('even this'), times: 2 };
  jobs.failing.finish = { error: new StoreUnavailable(), times: 1 };
  jobs.add('deliver', 'a');
  runner.start();
  await jobs.sees(() => jobs.finished.length === 1);
  t.match(jobs.finished, [{ key: 'a', outcome: { kind: 'done' } }]);
});

t.test('housekeeping is asked again at once when there is more, and when something is due', async (t) => {
  const { jobs, runner } = rig(t, {});
  for (let n = 0; n < 5; n++) jobs.hidden.push(jobOf('deliver', `h${n}`));
  runner.start();
  await runner.idle();
  t.equal(jobs.finished.length, 5);
  const before = jobs.housekept;
  jobs.nextDueAt = new Date(Date.now() + 60);
  runner.poke();
  await jobs.sees(() => jobs.housekept >= before + 2);
  jobs.nextDueAt = undefined;

  const { jobs: other, runner: polling } = rig(t, {}, { pollMs: 20 });
  polling.start();
  await other.sees(() => other.housekept > 3);
  t.pass('a lost ring is made up for by looking');
});

t.test(
  'stop lets running tries end, gives up and gives back what takes too long, and claims nothing more',
  async (t) => {
    const work = gate();
    const { jobs, runner } = rig(t, { deliver: work.handler });
    runner.start();
    jobs.add('deliver', 'a');
    while (work.state.running === 0) await new Promise(setImmediate);
    const stopping = runner.stop(patient);
    jobs.add('deliver', 'b');
    work.open();
    await stopping;
    t.match(jobs.finished, [{ key: 'a' }]);
    t.equal(jobs.ready.length, 1);
    t.notOk(jobs.watched);
    await runner.stop(0);
    runner.poke();
    await runner.idle();
    t.equal(jobs.ready.length, 1, 'it stays stopped');

    const stuck = gate();
    const sent: Handler = (_, signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () =>
          resolve({ kind: 'later', said: 'the try was given up', afterMs: 300_000 }),
        ),
      );
    const second = rig(t, { deliver: stuck.handler, 'train-ham': sent });
    second.runner.start();
    second.jobs.add('deliver', 'c');
    second.jobs.add('train-ham', 'd');
    second.runner.poke();
    await second.jobs.sees(() => second.jobs.leased.size === 2);
    while (stuck.state.running === 0) await new Promise(setImmediate);
    await second.runner.stop(10);
    t.same(second.jobs.released, ['c'], 'untried: given back');
    t.match(second.jobs.finished, [{ key: 'd', outcome: { kind: 'later' } }], 'possibly taken: recorded as it is');
    t.equal(second.jobs.leased.size, 0);
  },
);
