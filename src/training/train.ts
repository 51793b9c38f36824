/**
 * One try to have a message learned (DESIGN §7.11). A release never waits for it, and a refusal brings nothing back: it
 * is recorded. Without a trainer the job ends at once and can be run later, while the bytes exist (`training retry`).
 */
import { retryDelayMs } from '#app/lib/backoff';
import type { Listener } from '#app/observe/events';
import type { Ended, Handler } from '#app/quarantine/job-handler';
import { NotFound } from '#store/errors';
import type { ClaimedJob } from '#store/model';
import type { Store } from '#store/port';
import type { Trainer, TrainingClass } from './trainer.ts';

export interface TrainOptions {
  readonly store: Pick<Store, 'messages' | 'entries'>;
  readonly trainer?: Trainer;
  /** A training that was put off for so long since it was queued has failed. */
  readonly retryForMs: number;
  readonly onEvent: Listener;
  /** The store's time, and chance; for tests. */
  now?(): number;
  random?(): number;
}

/** The words by which the store finds these jobs again (Jobs.retryUntrained). */
const noTrainer = 'no trainer';

export function createTrainHandler(options: TrainOptions): Handler {
  const { store, trainer, retryForMs, onEvent, now = Date.now, random = Math.random } = options;

  return async (job, signal) => {
    const message = await store.messages.get(job.messageId);
    if (!message) return { kind: 'failed', said: 'the stored message does not exist any more' };
    const klass: TrainingClass = job.step === 'train-spam' ? 'spam' : 'ham';
    const told = await describe(job, message.subject);
    if (!trainer) {
      const waits = () =>
        onEvent({ kind: 'training-waits', ...told, said: 'no trainer is configured: kept for later' });
      return { kind: 'done', said: noTrainer, leaveAfterMs: 0, recorded: waits };
    }
    const source = watched(store.messages.read(message.id));
    const outcome = await trainer.train(klass, source.chunks, signal);
    // A try that is given up is given back, whatever the trainer made of it: to learn twice does no harm.
    signal.throwIfAborted();
    if (source.error instanceof NotFound) return { kind: 'failed', said: 'the stored message does not exist any more' };
    if (source.error !== undefined) throw source.error;
    const { said } = outcome;
    const tell = (kind: 'trained' | 'training-refused' | 'training-waits') => () => onEvent({ kind, ...told, said });
    const failed = (words: string): Ended => ({ kind: 'failed', said: words, recorded: tell('training-refused') });
    switch (outcome.kind) {
      case 'learned':
        return { kind: 'done', said, leaveAfterMs: 0, recorded: tell('trained') };
      case 'refused':
        return failed(said);
      case 'later': {
        const ageMs = now() - job.createdAt.getTime();
        if (ageMs >= retryForMs) return failed(`${said} (given up)`);
        return { kind: 'later', said, afterMs: retryDelayMs(ageMs, random()), recorded: tell('training-waits') };
      }
    }
  };

  async function describe(job: ClaimedJob, subject: string) {
    const entry = job.entryId === undefined ? undefined : await store.entries.get(job.entryId);
    return { ...(entry && { entryId: entry.id }), owner: entry?.owner ?? '', subject };
  }
}

/** A trainer never throws, so whether the message could be read to its end has to be seen on the way. */
function watched(source: AsyncIterable<Uint8Array>): { readonly chunks: AsyncIterable<Uint8Array>; error: unknown } {
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      seen.error = error;
      throw error;
    }
  }
  const seen = { chunks: read(), error: undefined as unknown };
  return seen;
}
