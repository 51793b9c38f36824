/** The port: whoever learns from a message. One implementation a file beside this one. */
export type TrainingClass = 'spam' | 'ham';

export type TrainingOutcome =
  | { readonly kind: 'learned'; readonly said: string }
  /** Will not be learned; trying again is useless. */
  | { readonly kind: 'refused'; readonly said: string }
  /** Not now: try again later. */
  | { readonly kind: 'later'; readonly said: string };

export interface Trainer {
  /** The message as the filter first saw it: stored bytes, without any block, prefix or trace header. Never throws. */
  train(klass: TrainingClass, message: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<TrainingOutcome>;
}
