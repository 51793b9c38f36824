/**
 * The numbers behind /metrics, explained one by one in docs/operations.md. Counted in memory where things happen; what only the
 * store knows is read when somebody asks, with a deadline, and kept for a few seconds.
 *
 * What must stay true: every label has a fixed, short list of values, and none ever holds an address, a name or a subject; a
 * dead or hanging store makes no scrape fail; nothing is global, so two servers in one process have their own numbers (but
 * for the store's batches, which come by a channel of the process).
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { within } from './deadline.ts';
import type { ProductEvent } from './events.ts';

/** What the store has to say. */
export interface StoreFacts {
  readonly jobs: readonly {
    readonly step: string;
    readonly due: number;
    readonly later: number;
    readonly leased: number;
    readonly oldestDueMs: number;
  }[];
  /** How many of the 2^32 UIDs were given out. */
  readonly uidsUsed: number;
}

export interface MetricsOptions {
  readonly version: string;
  readStore(): Promise<StoreFacts>;
  /** How long what it said is good for. */
  readonly keepMs?: number;
  /** How long a scrape waits for it. */
  readonly waitMs?: number;
}

/** What mail clients have open. */
export interface Sessions {
  readonly connections: number;
  readonly sessions: number;
}
export interface Held {
  readonly views: number;
  readonly entries: number;
  readonly bytes: number;
}

const steps = ['deliver', 'train-ham', 'train-spam'];
const allUids = 2 ** 32 - 1;
const loopResolutionMs = 20;

type Counted = readonly ['intake' | 'deliveries' | 'trainings' | 'logins', string];
/** Which event counts as what. Those that are missing here are counted nowhere. */
const meanings: Readonly<Partial<Record<ProductEvent['kind'], Counted>>> = {
  arrived: ['intake', 'arrived'],
  repeated: ['intake', 'repeated'],
  'handed-back': ['intake', 'handed_back'],
  'put-off': ['intake', 'put_off'],
  'not-wanted': ['intake', 'not_wanted'],
  released: ['deliveries', 'released'],
  'release-failed': ['deliveries', 'failed'],
  'release-waits': ['deliveries', 'put_off'],
  trained: ['trainings', 'learned'],
  'training-refused': ['trainings', 'refused'],
  'training-waits': ['trainings', 'put_off'],
  login: ['logins', 'success'],
};
const refusedLogins = { wrong: 'wrong_password', 'not-allowed': 'not_allowed', limit: 'limit' } as const;

export class Metrics {
  readonly #registry = new Registry();
  readonly #options: MetricsOptions;
  readonly #counted: Readonly<Record<Counted[0], Counter<'outcome'>>>;
  readonly #lessons: Counter<'trainer' | 'outcome'>;
  readonly #inventories: Counter<'outcome'>;
  readonly #inventoryTime: Histogram;
  readonly #replies: Counter<'outcome'>;
  readonly #commands: Counter<'command' | 'outcome'>;
  readonly #commandTime: Histogram<'command'>;
  readonly #batchSize: Histogram;
  readonly #batchTime: Histogram;
  readonly #loop: IntervalHistogram;
  readonly #loopDelay: Gauge<'quantile'>;
  readonly #storeUp: Gauge;
  readonly #jobs: Gauge<'step' | 'state'>;
  readonly #oldest: Gauge<'step'>;
  readonly #uids: Gauge;
  readonly #connections: Gauge;
  readonly #sessions: Gauge;
  readonly #views: Gauge;
  readonly #viewEntries: Gauge;
  readonly #viewBytes: Gauge;
  #askSessions: (() => Sessions) | undefined;
  #askHeld: (() => Held) | undefined;
  #reading: Promise<StoreFacts> | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(options: MetricsOptions) {
    this.#options = options;
    const registers = [this.#registry];
    const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
      new Counter<L>({ name, help, labelNames, registers });
    const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Gauge<L>({ name, help, labelNames, registers });

    gauge('lazaret_build_info', 'Always 1; which program this is', ['version', 'node']).set(
      { version: options.version, node: process.version },
      1,
    );
    this.#replies = counter(
      'lazaret_intake_replies_total',
      'Answers to hand-overs: one a message, and one a client that was not let in',
      ['outcome'],
    );
    this.#counted = {
      intake: counter('lazaret_intake_entries_total', 'Messages that came in, once for each recipient', ['outcome']),
      deliveries: counter('lazaret_deliveries_total', 'Tries to deliver what was released', ['outcome']),
      trainings: counter('lazaret_trainings_total', 'Tries to have a message learned', ['outcome']),
      logins: counter('lazaret_logins_total', 'Logins of mail clients', ['outcome']),
    };
    this.#lessons = counter('lazaret_lessons_total', 'Answers of each trainer to a message it was to learn from', [
      'trainer',
      'outcome',
    ]);
    this.#inventories = counter('lazaret_inventories_total', 'Messages whose attachments and links were listed', [
      'outcome',
    ]);
    this.#inventoryTime = new Histogram({
      name: 'lazaret_inventory_duration_seconds',
      help: 'From reading a message to its attachments and links being listed',
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    });
    this.#jobs = gauge('lazaret_jobs', 'Unfinished work: due, being done (leased), or for later', ['step', 'state']);
    this.#oldest = gauge('lazaret_jobs_oldest_due_seconds', 'How long the oldest job that could be done has waited', [
      'step',
    ]);
    this.#connections = gauge('lazaret_imap_connections', 'Open connections of mail clients, logged in or not');
    this.#sessions = gauge('lazaret_imap_sessions', 'Open connections of mail clients that are logged in');
    this.#commands = counter('lazaret_imap_commands_total', 'Commands of mail clients by their answer', [
      'command',
      'outcome',
    ]);
    this.#commandTime = new Histogram({
      name: 'lazaret_imap_command_duration_seconds',
      help: 'From a command to its answer; without IDLE, which lasts as long as the client likes',
      labelNames: ['command'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    });
    this.#storeUp = gauge(
      'lazaret_store_up',
      '1: the store answered when it was asked for these numbers; 0: it did not',
    );
    this.#batchSize = new Histogram({
      name: 'lazaret_store_batch_commands',
      help: 'Changes that were committed together',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    });
    this.#batchTime = new Histogram({
      name: 'lazaret_store_batch_duration_seconds',
      help: 'From the begin of a transaction to its being safe on disk',
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    });
    this.#uids = gauge('lazaret_uids_used_ratio', 'Share of the 2^32 UIDs that were given out');
    this.#views = gauge('lazaret_views', 'Folders in memory');
    this.#viewEntries = gauge('lazaret_view_entries', 'Messages in the folders that are in memory');
    this.#viewBytes = gauge('lazaret_view_bytes', 'Memory of the columns of the folders that are in memory');
    this.#loopDelay = gauge(
      'lazaret_event_loop_delay_seconds',
      'By how much timers came too late since the last scrape; quantile 1 is the longest',
      ['quantile'],
    );
    this.#loop = monitorEventLoopDelay({ resolution: loopResolutionMs });
    this.#loop.enable();
    collectDefaultMetrics({ register: this.#registry });
    // Delays of the event loop are told above. Lists of all handles cost a walk over every connection at each scrape.
    for (const name of this.names())
      if (/^nodejs_(eventloop|active)_/.test(name)) this.#registry.removeSingleMetric(name);
    this.#beginAtZero();
    subscribe('lazaret:store.batch', this.#onBatch);
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  /** The names of all that there is. */
  names(): readonly string[] {
    return this.#registry.getMetricsAsArray().map(({ name }) => name);
  }

  /** Never waits long, and never for a second read of the store beside one that hangs. */
  async text(): Promise<string> {
    const { connections, sessions } = this.#askSessions?.() ?? { connections: 0, sessions: 0 };
    this.#connections.set(connections);
    this.#sessions.set(sessions);
    const { views, entries, bytes } = this.#askHeld?.() ?? { views: 0, entries: 0, bytes: 0 };
    this.#views.set(views);
    this.#viewEntries.set(entries);
    this.#viewBytes.set(bytes);
    this.#tellLoop();
    await this.#tellStore();
    return this.#registry.metrics();
  }

  close(): void {
    unsubscribe('lazaret:store.batch', this.#onBatch);
    this.#loop.disable();
    this.#registry.clear();
  }

  // What is counted where it happens.

  /** Those that there are, by the names that the settings give them. */
  trainers(names: readonly string[]): void {
    for (const trainer of names)
      for (const outcome of ['learned', 'known', 'refused', 'later']) this.#lessons.inc({ trainer, outcome }, 0);
  }

  lesson(trainer: string, outcome: 'learned' | 'known' | 'refused' | 'later'): void {
    this.#lessons.inc({ trainer, outcome });
  }

  /** Attachments and links of a message were listed, whole or with a problem. */
  inventory({ problem }: { readonly problem?: string }, ms: number): void {
    this.#inventories.inc({ outcome: problem === undefined ? 'whole' : 'problem' });
    this.#inventoryTime.observe(ms / 1000);
  }

  event(event: ProductEvent): void {
    if (event.kind === 'login-refused') this.#counted.logins.inc({ outcome: refusedLogins[event.why] });
    const [metric, outcome] = meanings[event.kind] ?? [];
    if (metric) this.#counted[metric].inc({ outcome: outcome! });
  }

  /** A reply that ended a hand-over. */
  reply({ code }: { readonly code: number }): void {
    this.#replies.inc({ outcome: code < 400 ? 'kept' : code < 500 ? 'temporary_failure' : 'refused' });
  }

  /** `name` is one of the engine's own list, or undefined; `outcome` undefined: nobody was there for the answer. */
  command(name: string | undefined, ms: number, outcome: 'OK' | 'NO' | 'BAD' | undefined): void {
    const command = name ?? 'other';
    this.#commands.inc({ command, outcome: outcome?.toLowerCase() ?? 'gone' });
    if (name !== 'IDLE' && name !== undefined) this.#commandTime.observe({ command }, ms / 1000);
  }

  /** What is asked at each scrape, where there are mail clients. */
  watch(ask: { sessions(): Sessions; held(): Held }): void {
    this.#askSessions = () => ask.sessions();
    this.#askHeld = () => ask.held();
  }

  readonly #onBatch = (message: unknown): void => {
    const { commands, ms } = message as { readonly commands: number; readonly ms: number };
    this.#batchSize.observe(commands);
    this.#batchTime.observe(ms / 1000);
  };

  /** A counter that appears with its first event has no rate for it. */
  #beginAtZero(): void {
    for (const meaning of Object.values(meanings)) this.#counted[meaning[0]].inc({ outcome: meaning[1] }, 0);
    for (const outcome of Object.values(refusedLogins)) this.#counted.logins.inc({ outcome }, 0);
    for (const outcome of ['kept', 'temporary_failure', 'refused']) this.#replies.inc({ outcome }, 0);
  }

  #tellLoop(): void {
    const seconds = (ns: number) => Math.max(0, (Number.isFinite(ns) ? ns : 0) / 1e9 - loopResolutionMs / 1000);
    this.#loopDelay.set({ quantile: '0.5' }, seconds(this.#loop.percentile(50)));
    this.#loopDelay.set({ quantile: '0.99' }, seconds(this.#loop.percentile(99)));
    this.#loopDelay.set({ quantile: '1' }, seconds(this.#loop.max));
    this.#loop.reset();
  }

  async #tellStore(): Promise<void> {
    const { keepMs = 3_000, waitMs = 2_000 } = this.#options;
    if (performance.now() - this.#readAt < keepMs) return;
    this.#reading ??= this.#options.readStore().finally(() => {
      this.#reading = undefined;
    });
    try {
      const { jobs, uidsUsed } = await within(waitMs, this.#reading);
      this.#readAt = performance.now();
      this.#storeUp.set(1);
      this.#uids.set(uidsUsed / allUids);
      for (const step of steps) {
        const { due = 0, later = 0, leased = 0, oldestDueMs = 0 } = jobs.find((each) => each.step === step) ?? {};
        this.#jobs.set({ step, state: 'due' }, due);
        this.#jobs.set({ step, state: 'later' }, later);
        this.#jobs.set({ step, state: 'leased' }, leased);
        this.#oldest.set({ step }, oldestDueMs / 1000);
      }
    } catch {
      // Whoever uses the store logs it. No number is better than an old one.
      this.#storeUp.set(0);
      this.#jobs.reset();
      this.#oldest.reset();
    }
  }
}
