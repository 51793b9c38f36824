/** What runs one try of a job. The runner claims and records; a handler only does, and says how it ended. */
import type { ClaimedJob } from '#store/model';
import type { Outcome } from '#store/port';

/** How a try ended; `recorded` is called after the store has it, and not at all if the lease was lost. */
export type Ended = Outcome & { readonly recorded?: () => void };

/**
 * When the signal is aborted the try is to be given up: a handler throws (nothing was sent; the job is given back untried)
 * or still answers how it ended. What it throws otherwise counts as temporary.
 */
export type Handler = (job: ClaimedJob, signal: AbortSignal) => Promise<Ended>;
