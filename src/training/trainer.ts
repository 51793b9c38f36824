/**
 * The port: whoever learns from a message. One implementation a file beside this one; src/roles/trainers.ts makes them from
 * the settings. train.ts runs them: side by side, a few lessons at a time each, each lesson with its own time, and what they
 * answer is recorded for each by itself.
 */
export type TrainingClass = 'spam' | 'ham';

export interface TrainingOutcome {
  /**
   * learned: by this lesson. known: it had learned the same before, which is as good. refused: this message will not be
   * learned, and trying again is useless. later: not now; also all that is the operator's trouble and not the message's (a
   * wrong password, a missing program), so that nothing is lost until somebody has looked.
   */
  readonly kind: 'learned' | 'known' | 'refused' | 'later';
  /** The learner's own words, as they came; whoever records them makes one line of them (words.ts). */
  readonly said: string;
}

/** One message to be learned from by one trainer. */
export interface Lesson {
  /** The same in all tries of one training, and only there. */
  readonly id: string;
  readonly class: TrainingClass;
  /** The message as the filter first saw it: without any block, prefix or trace header. May be called again. */
  message(): AsyncIterable<Uint8Array>;
  /** The octets that `message` yields, exactly. */
  readonly size: number;
  /** Whose database learns, by the trainer's scope: a domain, or an address; absent: the one for all. */
  readonly user?: string;
  /** What this trainer learned of the same message, for the same user, last. */
  readonly before?: TrainingClass;
  /** Of the envelope; '' for the null sender, and for a recipient whom nobody knows. */
  readonly sender: string;
  readonly recipient: string;
  /** Absent for a message that was appended and not held here. */
  readonly entryId?: number;
  readonly subject: string;
  /** Who asked for it: the name of an account. */
  readonly account: string;
}

export interface Trainer {
  /** How logs, history and numbers call it; no two trainers have the same. */
  readonly name: string;
  /**
   * Never throws. The signal is aborted when the lesson's time is over or the try is given up (its reason is an Error whose
   * message says which): then it answers `later` soon. To learn the same twice does no harm, it happens after a crash.
   */
  train(lesson: Lesson, signal: AbortSignal): Promise<TrainingOutcome>;
}
