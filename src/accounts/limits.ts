/**
 * What is counted against those who log in: wrong passwords, and connections. This process counts for itself here; where
 * nodes share a bus that can count, that one answers these ports for all of them together.
 */
import { Lru } from '#app/lib/lru';

export interface Attempt {
  /** Login name in normal form, or what was typed in its place. */
  readonly user: string;
  readonly address: string;
}

/**
 * A failure counts for the pair of user and address and, unless that user has logged in from that address before, for the
 * user from everywhere. So a guesser elsewhere does not keep a user out of where he always is.
 */
export interface Failures {
  /** Whether the user has logged in from there, and how long the next try has to wait. */
  standing(attempt: Attempt): Promise<Standing>;
  /** Answers how long the loser waits; no next try before that. */
  failed(attempt: Attempt): Promise<number>;
  /** The password was right. */
  forgive(attempt: Attempt): Promise<void>;
  /** How many are remembered in this process. */
  readonly size: number;
}

export interface Standing {
  readonly known: boolean;
  readonly waitMs: number;
}

export interface Connections {
  /** Counts one more, or says how many there are already. */
  open(account: string, max: number): Promise<OneMore | Full>;
}

export interface OneMore {
  /** Counts it no more; once. */
  readonly close: () => void;
}

export interface Full {
  readonly full: number;
}

export interface Delays {
  /** Doubled after each failure, up to the second; 0: none. */
  readonly delayMs: number;
  readonly maxDelayMs: number;
}

const remembered = 10_000;
/** A failure that nobody repeated for so long is forgotten. */
export const forgiveMs = 60 * 60_000;

interface State {
  count: number;
  /** No try before this. */
  until: number;
  /** The user has logged in from here. Only for a pair of user and address. */
  known: boolean;
}

/** Bounded, whoever knocks. */
export class LocalFailures implements Failures {
  readonly #states = new Lru<State>(remembered);
  readonly #delays: Delays;
  readonly #now: () => number;

  constructor(delays: Delays, now: () => number = Date.now) {
    this.#delays = delays;
    this.#now = now;
  }

  get size(): number {
    return this.#states.size;
  }

  async standing(attempt: Attempt): Promise<Standing> {
    const states = this.#of(attempt);
    const waitMs = Math.max(0, ...states.map(({ until }) => until - this.#now()));
    return { known: this.known(attempt), waitMs };
  }

  async failed(attempt: Attempt): Promise<number> {
    const { delayMs, maxDelayMs } = this.#delays;
    let longest = 0;
    for (const state of this.#of(attempt)) {
      const delay = Math.min(maxDelayMs, delayMs * 2 ** Math.min(state.count++, 30));
      state.until = this.#now() + delay;
      longest = Math.max(longest, delay);
    }
    return longest;
  }

  async forgive(attempt: Attempt): Promise<void> {
    const states = this.#of(attempt);
    for (const state of states) Object.assign(state, { count: 0, until: 0 });
    (states[0] as State).known = true;
  }

  known(attempt: Attempt): boolean {
    return this.#state(pair(attempt)).known;
  }

  /** The pair's first. */
  #of(attempt: Attempt): State[] {
    const byPair = this.#state(pair(attempt));
    return byPair.known ? [byPair] : [byPair, this.#state(everywhere(attempt))];
  }

  #state(key: string): State {
    const state = this.#states.get(key);
    if (state && state.until + forgiveMs < this.#now()) state.count = 0;
    if (state) return state;
    const fresh = { count: 0, until: 0, known: false };
    this.#states.set(key, fresh);
    return fresh;
  }
}

/** Whatever somebody types as a user name, it is no other's pair, and no pair is a user. */
export const pair = ({ user, address }: Attempt): string => `${address} ${user}`;
export const everywhere = ({ user }: Attempt): string => `* ${user}`;

export class LocalConnections implements Connections {
  readonly #counts = new Map<string, number>();

  async open(account: string, max: number): Promise<OneMore | Full> {
    return this.take(account, max);
  }

  take(account: string, max: number): OneMore | Full {
    const open = this.count(account);
    if (open >= max) return { full: open };
    this.#add(account, 1);
    let closed = false;
    return {
      close: () => {
        if (!closed) this.#add(account, -1);
        closed = true;
      },
    };
  }

  count(account: string): number {
    return this.#counts.get(account) ?? 0;
  }

  /** Accounts that have any. */
  accounts(): readonly string[] {
    return [...this.#counts.keys()];
  }

  #add(account: string, difference: 1 | -1): void {
    const count = this.count(account) + difference;
    if (count > 0) this.#counts.set(account, count);
    else this.#counts.delete(account);
  }
}
