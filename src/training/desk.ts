/**
 * Who may go to one trainer now. A learner that hangs or is down must not keep the few places for trainings from all the
 * others (INTEGRATIONS §8.2 row 44): a bounded number of lessons at a time, a short wait for one of those places, and once
 * it gives no answer, one lesson now and then finds out whether it is back, while all others are told so at once.
 */
export interface DeskOptions {
  /** Lessons at a time. */
  readonly atOnce: number;
  /** A lesson that took so long was not answered. */
  readonly silenceMs: number;
  /** How long one waits for a place at least; the slower the learner the longer, up to twenty times as long. */
  readonly patienceMs?: number;
  /** After so long the next lesson may try whether it is back; doubled while it is not. */
  readonly probeMs?: number;
  readonly longestProbeMs?: number;
  /** Milliseconds of a clock that only goes forward; for tests. */
  monotonic?(): number;
}

/** No place, and why: it is busy with others, or it has not answered, with its last words. */
export type NoPlace = { readonly busy: true } | { readonly busy: false; readonly said: string };

/** One put-off may be about one message; several in a row are about the learner. */
const laterInARow = 3;

export class Desk {
  readonly #options: Required<DeskOptions>;
  #inUse = 0;
  readonly #waiting = new Set<() => void>();
  /** How long the last lesson took that was answered. */
  #tookMs = 0;
  #laters = 0;
  #down: { said: string; until: number; pauseMs: number } | undefined;
  #probing = false;

  constructor(options: DeskOptions) {
    this.#options = {
      patienceMs: 100,
      probeMs: 30_000,
      longestProbeMs: 300_000,
      monotonic: () => performance.now(),
      ...options,
    };
  }

  /** A place, to be left by calling `leave` once; or why there is none. */
  async enter(): Promise<Place | NoPlace> {
    const down = this.#down;
    if (down) {
      if (this.#probing || this.#options.monotonic() < down.until) return { busy: false, said: down.said };
      this.#probing = true;
      this.#inUse++;
      return this.#place(true);
    }
    if (this.#inUse < this.#options.atOnce) {
      this.#inUse++;
      return this.#place(false);
    }
    const taken = await new Promise<boolean>((resolve) => {
      const take = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(take);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(take);
        resolve(false);
      }, this.#patienceMs());
      this.#waiting.add(take);
    });
    return taken ? this.#place(false) : { busy: true };
  }

  /** Several may be before it; one that hangs says nothing here about how long that takes. */
  #patienceMs(): number {
    const { patienceMs } = this.#options;
    return Math.min(Math.max(patienceMs, 4 * this.#tookMs), 20 * patienceMs);
  }

  #place(probe: boolean): Place {
    const began = this.#options.monotonic();
    let left = false;
    return {
      leave: (how) => {
        if (left) return;
        left = true;
        if (probe) this.#probing = false;
        this.#judge(how, this.#options.monotonic() - began, probe);
        const [next] = this.#waiting;
        // The place passes from hand to hand.
        if (next && this.#down === undefined && this.#inUse <= this.#options.atOnce) next();
        else this.#inUse--;
      },
    };
  }

  #judge(how: Left, tookMs: number, probe: boolean): void {
    if (how === 'given-up') return;
    if (how === 'answered') {
      this.#tookMs = tookMs;
      this.#laters = 0;
      this.#down = undefined;
      return;
    }
    this.#laters++;
    const { silenceMs, probeMs, longestProbeMs, monotonic } = this.#options;
    if (this.#down) {
      if (!probe) return;
      const pauseMs = Math.min(this.#down.pauseMs * 2, longestProbeMs);
      this.#down = { said: how.later, until: monotonic() + pauseMs, pauseMs };
    } else if (this.#laters >= laterInARow || tookMs >= silenceMs)
      this.#down = { said: how.later, until: monotonic() + probeMs, pauseMs: probeMs };
  }
}

/** Put off, with its words; answered in any other way; or given up by us, which says nothing about the learner. */
export type Left = 'answered' | 'given-up' | { readonly later: string };

export interface Place {
  leave(how: Left): void;
}
