/**
 * One try to have a message learned by everybody who has not learned it yet (DESIGN §7.11). Trainers are asked side by side,
 * and what each answers is noted at once and for good, so that a try after a crash, or after one of them was put off, asks
 * only the others. A release never waits for it, and a refusal brings nothing back: it is recorded.
 *
 * The job is done when all have learned, failed when all have ended and some refused, and put off while any is. Without a
 * trainer it ends at once and can be run later, while the bytes exist (`training retry`).
 */
import { retryDelayMs } from '#app/lib/backoff';
import type { Listener } from '#app/observe/events';
import type { Ended, Handler } from '#app/quarantine/job-handler';
import { NotFound } from '#store/errors';
import type { ClaimedJob, Entry, Message, Reason, TrainingLine } from '#store/model';
import type { Store } from '#store/port';
import { Desk } from './desk.ts';
import { type LessonBytes, lessonBytes } from './sanitised.ts';
import type { Lesson, Trainer, TrainingClass, TrainingOutcome } from './trainer.ts';
import { oneLine } from './words.ts';

/** A trainer, and what the settings say about how it is asked. */
export interface Teaching {
  readonly trainer: Trainer;
  /** Whose database learns: one for all, one a domain, one a user. */
  readonly scope: 'global' | 'domain' | 'user';
  /** A lesson that takes longer is given up, and tried again later. */
  readonly timeoutMs: number;
  /** Lessons at a time. */
  readonly atOnce: number;
}

export interface TrainOptions {
  readonly store: {
    readonly messages: Pick<Store['messages'], 'get' | 'read' | 'filterBlock'>;
    readonly entries: Pick<Store['entries'], 'get' | 'history'>;
    readonly jobs: Pick<Store['jobs'], 'noteTraining' | 'trainingsOf'>;
  };
  readonly trainers: readonly Teaching[];
  /** A training that was put off for so long since it was queued has failed. */
  readonly retryForMs: number;
  readonly onEvent: Listener;
  /** One lesson was answered; for numbers. */
  onLesson?(trainer: string, kind: TrainingOutcome['kind']): void;
  /** How long we wait for one that was told to give up. */
  readonly graceMs?: number;
  /** The store's time, and chance; for tests. */
  now?(): number;
  random?(): number;
}

/** The words by which the store finds these jobs again (Jobs.retryUntrained). */
const noTrainer = 'no trainer';
const tookTooLong = 'it took too long';

/** All places of a trainer are taken: back soon. */
const busyDelayMs = 2_000;

/** What is held for these is not learned as ham merely because somebody wanted to have it. */
const neverHamUnasked: ReadonlySet<Reason> = new Set(['virus', 'phish', 'banned']);

/** How one trainer stands after a try; `untried`: it was not asked, and whether it answers nobody at all. */
type Standing = TrainingOutcome & { readonly untried?: 'busy' | 'down' };

export function createTrainHandler(options: TrainOptions): Handler {
  const desks = new Map(
    options.trainers.map(({ trainer, atOnce, timeoutMs }) => [
      trainer.name,
      new Desk({ atOnce, silenceMs: timeoutMs * 0.9 }),
    ]),
  );
  return (job, signal) => new Training(options, desks, job, signal).run();
}

class Training {
  readonly #options: TrainOptions;
  readonly #desks: ReadonlyMap<string, Desk>;
  readonly #job: ClaimedJob;
  readonly #signal: AbortSignal;
  readonly #class: TrainingClass;
  /** What the store answered when it was asked for the bytes: a trainer cannot tell us, it never throws. */
  #trouble: unknown;

  constructor(options: TrainOptions, desks: ReadonlyMap<string, Desk>, job: ClaimedJob, signal: AbortSignal) {
    this.#options = options;
    this.#desks = desks;
    this.#job = job;
    this.#signal = signal;
    this.#class = job.step === 'train-spam' ? 'spam' : 'ham';
  }

  async run(): Promise<Ended> {
    const { store, trainers } = this.#options;
    const message = await store.messages.get(this.#job.messageId);
    if (!message) return { kind: 'failed', said: 'the stored message does not exist any more' };
    const entry = this.#job.entryId === undefined ? undefined : await store.entries.get(this.#job.entryId);
    const tell = this.#teller(entry, message);
    if (trainers.length === 0) {
      const recorded = tell('training-waits', 'no trainer is configured: kept for later');
      return { kind: 'done', said: noTrainer, leaveAfterMs: 0, recorded };
    }
    const unasked = entry && (await this.#neverLearned(entry));
    if (unasked) return { kind: 'done', said: unasked, leaveAfterMs: 0 };
    try {
      const standings = await this.#teach(message, entry);
      // A try that is given up is given back, whatever the trainers made of it: what they learned is noted.
      this.#signal.throwIfAborted();
      return this.#sum(standings, tell);
    } catch (error) {
      if (error instanceof NotFound) return { kind: 'failed', said: 'the stored message does not exist any more' };
      throw error;
    }
  }

  /** Why a message that was only released, and not put on Not Spam, is not learned as ham. */
  async #neverLearned(entry: Entry): Promise<string | undefined> {
    const { reason } = entry.verdict;
    if (this.#class !== 'ham' || !neverHamUnasked.has(reason)) return undefined;
    const history = await this.#options.store.entries.history(entry.id);
    const drop = history?.drops.find(({ id }) => id === this.#job.dropId);
    return drop?.action === 'release' ? `not learned as ham, because it was held as ${reason}` : undefined;
  }

  async #teach(message: Message, entry: Entry | undefined): Promise<readonly (readonly [string, Standing])[]> {
    const { store, trainers } = this.#options;
    const lines = await store.jobs.trainingsOf(message.id);
    let bytes: Promise<LessonBytes> | undefined;
    const ended = await Promise.allSettled(
      trainers.map(async (teaching): Promise<readonly [string, Standing]> => {
        const { name } = teaching.trainer;
        const user = userOf(teaching.scope, entry?.owner ?? this.#job.actor.account);
        if (teaching.scope !== 'global' && user === undefined) {
          const said = `nobody knows which ${teaching.scope} it belongs to, and this trainer learns for each by itself`;
          return [name, this.#endedBefore(lines, name, user) ?? (await this.#note(teaching, user, refused(said)))];
        }
        const before = this.#endedBefore(lines, name, user);
        if (before) return [name, before];
        // Read only by who is going to be asked, and once for all of them.
        const standing = await this.#ask(teaching, async () => {
          bytes ??= this.#bytes(message, entry);
          return this.#lesson(message, entry, await bytes, user, lastLearned(lines, name, user)?.class);
        });
        return [name, this.#counts(standing) ? await this.#note(teaching, user, standing) : standing];
      }),
    );
    // What could be noted is; then the first that could not speaks for all.
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
    if (this.#trouble !== undefined && !this.#signal.aborted) throw this.#trouble;
    return ended.map((end) => (end as PromiseFulfilledResult<readonly [string, Standing]>).value);
  }

  /** Whether a trainer's answer is one: not if it was not asked, could not read, or was told to give up. */
  #counts({ kind, untried }: Standing): boolean {
    return !untried && this.#trouble === undefined && (kind !== 'later' || !this.#signal.aborted);
  }

  /** How it ended for this trainer in an earlier try of this job, if it has. */
  #endedBefore(lines: readonly TrainingLine[], trainer: string, user: string | undefined): Standing | undefined {
    const { key, createdAt } = this.#job;
    const learned = lastLearned(lines, trainer, user);
    // Unless another training has taught it otherwise since.
    if (learned?.jobKey === key && learned.class === this.#class) return { kind: 'known', said: learned.said };
    const no = lines.findLast(
      (line) => line.jobKey === key && line.kind === 'refused' && line.trainer === trainer && line.user === user,
    );
    // `training retry --failed` queued it anew, and asks again.
    return no && no.at.getTime() >= createdAt.getTime() ? refused(no.said) : undefined;
  }

  async #bytes(message: Message, entry: Entry | undefined): Promise<LessonBytes> {
    const { messages } = this.#options.store;
    const engines = entry ? [entry.verdict, ...(entry.verdict.others ?? [])] : [];
    if (!engines.some(({ source }) => source === 'rspamd')) return lessonBytes(messages, message, false);
    // Rspamd's own block, with all it found, is off already; otherwise its milter wrote into the header.
    const block = Buffer.from(await messages.filterBlock(message.id)).toString('latin1');
    return lessonBytes(messages, message, !/^x-spamd-result:/im.test(block));
  }

  #lesson(
    { sender, subject }: Message,
    entry: Entry | undefined,
    bytes: LessonBytes,
    user: string | undefined,
    before: TrainingClass | undefined,
  ): Lesson {
    return {
      id: this.#job.key,
      class: this.#class,
      message: () => this.#watched(bytes.read()),
      size: bytes.size,
      ...(user !== undefined && { user }),
      ...(before && { before }),
      sender,
      recipient: entry?.recipient ?? '',
      ...(entry && { entryId: entry.id }),
      subject,
      account: this.#job.actor.account,
    };
  }

  async *#watched(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      this.#trouble = error;
      throw error;
    }
  }

  async #ask({ trainer, timeoutMs }: Teaching, lessonOf: () => Promise<Lesson>): Promise<Standing> {
    const place = await this.#desks.get(trainer.name)?.enter();
    if (!place) throw new Error(`nobody knows a trainer ${trainer.name}`);
    if ('busy' in place)
      return place.busy
        ? { kind: 'later', said: 'it is busy with other messages', untried: 'busy' }
        : { kind: 'later', said: place.said, untried: 'down' };
    const giveUp = new AbortController();
    const onAbort = (): void => giveUp.abort(new Error('the try was given up'));
    this.#signal.addEventListener('abort', onAbort);
    if (this.#signal.aborted) onAbort();
    const { graceMs = 5_000 } = this.#options;
    const outOfTime = setTimeout(() => giveUp.abort(new Error(tookTooLong)), timeoutMs);
    let timer: NodeJS.Timeout | undefined;
    const noAnswer = new Promise<TrainingOutcome>((resolve) => {
      timer = setTimeout(() => resolve({ kind: 'later', said: tookTooLong }), timeoutMs + graceMs);
    });
    try {
      const outcome = await Promise.race([trainer.train(await lessonOf(), giveUp.signal), noAnswer]);
      if (this.#signal.aborted || this.#trouble !== undefined) place.leave('given-up');
      else place.leave(outcome.kind === 'later' ? { later: oneLine(outcome.said) } : 'answered');
      return outcome;
    } finally {
      place.leave('given-up');
      clearTimeout(outOfTime);
      clearTimeout(timer);
      this.#signal.removeEventListener('abort', onAbort);
    }
  }

  /** @throws LeaseLost */
  async #note({ trainer }: Teaching, user: string | undefined, { kind, said }: TrainingOutcome): Promise<Standing> {
    const line = { trainer: trainer.name, class: this.#class, kind, said: oneLine(said) };
    await this.#options.store.jobs.noteTraining(this.#job, { ...line, ...(user !== undefined && { user }) });
    this.#options.onLesson?.(trainer.name, kind);
    return { kind, said: line.said };
  }

  #sum(standings: readonly (readonly [string, Standing])[], tell: Teller): Ended {
    const { retryForMs, now = Date.now, random = Math.random } = this.#options;
    const words = (which: readonly (readonly [string, Standing])[]): string =>
      oneLine(
        which.map(([name, { said }]) => (standings.length === 1 ? said : `${name}: ${said}`)).join('; '),
        mostWords,
      );
    const ofKind = (kind: Standing['kind']) => standings.filter(([, standing]) => standing.kind === kind);
    const failed = (said: string): Ended => ({ kind: 'failed', said, recorded: tell('training-refused', said) });
    const no = ofKind('refused');
    const later = ofKind('later');
    if (later.length > 0) {
      const ageMs = now() - this.#job.createdAt.getTime();
      const busy = later.every(([, { untried }]) => untried === 'busy');
      const said = words(later);
      // Those before it in the queue are no reason to give up.
      if (ageMs >= retryForMs && !busy) return failed(`${words([...no, ...later])} (given up)`);
      const untried = standings.every(([, standing]) => standing.untried !== undefined);
      return {
        kind: 'later',
        said,
        afterMs: busy ? Math.round(busyDelayMs * (1 + random())) : retryDelayMs(ageMs, random()),
        ...(untried && { untried }),
        ...(!untried && { recorded: tell('training-waits', said) }),
      };
    }
    if (no.length > 0) return failed(words(no));
    const said = words(standings);
    return { kind: 'done', said, leaveAfterMs: 0, recorded: tell('trained', said) };
  }

  #teller(entry: Entry | undefined, { subject }: Message): Teller {
    const told = { ...(entry && { entryId: entry.id }), owner: entry?.owner ?? '', subject };
    return (kind, said) => () => this.#options.onEvent({ kind, ...told, said });
  }
}

type Teller = (kind: 'trained' | 'training-refused' | 'training-waits', said: string) => () => void;

/** Room for `(given up)` behind it. */
const mostWords = 980;

const refused = (said: string): TrainingOutcome => ({ kind: 'refused', said });

/** What a trainer learned last of a message in one database. */
function lastLearned(lines: readonly TrainingLine[], trainer: string, user: string | undefined) {
  return lines.findLast(
    (line) => line.trainer === trainer && line.user === user && (line.kind === 'learned' || line.kind === 'known'),
  );
}

/** `owner` is an address; for a message that was appended the account, which may be a domain or the one that sees all. */
function userOf(scope: Teaching['scope'], owner: string): string | undefined {
  if (scope === 'global') return undefined;
  const at = owner.lastIndexOf('@');
  if (scope === 'user') return at < 0 ? undefined : owner;
  if (at >= 0) return owner.slice(at + 1);
  return owner.includes('.') ? owner : undefined;
}
