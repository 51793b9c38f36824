/**
 * Delivers over SMTP and LMTP: one outcome per recipient, 4xx and 5xx are values, and so are a refused connection, a
 * silence and a connection that breaks anywhere. Connections are kept and used again, a bounded number per next hop, so
 * that a hop that hangs costs its own slots and nobody else's.
 *
 * Delivery is at least once: what breaks off after the end of the message is tried again by the caller, although the hop
 * may have taken it. The one repeat made here is safe: a kept connection found dead before MAIL was answered.
 */
import { type Handshake, openSession, type Timeouts } from './client/handshake.ts';
import { survey as surveyMessage } from './client/message-data.ts';
import type { NextHop } from './client/next-hop.ts';
import { HopFailure, type Session } from './client/session.ts';
import { type DeliveryEnvelope, type Progress, type RecipientOutcome, transact } from './client/transaction.ts';

export { type NextHop, NextHopError, parseNextHop, type TlsMode } from './client/next-hop.ts';
export type { DeliveryEnvelope, RecipientOutcome, Timeouts };

export interface DeliveryResult {
  /** In the order of the recipients. */
  readonly outcomes: readonly RecipientOutcome[];
  /**
   * Nothing was tried: all connections to this hop stayed in use. `hanging`: and it has answered nobody lately, so that
   * there is no point in coming back soon. The outcomes are 'later'.
   */
  readonly busy?: { readonly hanging: boolean };
}

export interface DeliveryClientOptions {
  /** What EHLO says. */
  readonly hostname: string;
  /** Connections to one next hop. */
  readonly connectionsPerHop?: number;
  /** How long a delivery waits for one of them before the answer is "busy". */
  readonly patienceMs?: number;
  /** An unused connection is ended after so long. */
  readonly idleMs?: number;
  /** Then it is ended too: some servers count, and load balancers want their chance. */
  readonly messagesPerConnection?: number;
  readonly timeouts?: Partial<Timeouts>;
  readonly tls?: Handshake['tls'];
}

/** RFC 5321 §4.5.3.2, but for connecting: a hop that is there answers within 30 s. */
const standardTimeouts: Timeouts = {
  connectMs: 30_000,
  greetingMs: 5 * 60_000,
  commandMs: 5 * 60_000,
  blockMs: 3 * 60_000,
  dataMs: 10 * 60_000,
};

/** Messages up to about this size are read once and kept between the survey and the sending; larger ones are read twice. */
const keptBytes = 256 * 1024;

/** A hop of which no connection came free for so long hangs. */
const hangingMs = 10_000;
/** After so long nobody waits for one any more: who comes is told at once that the hop is busy. */
const quietMs = 1_000;

interface Idle {
  readonly session: Session;
  readonly timer: NodeJS.Timeout;
}

/** What is known of one next hop. */
interface HopState {
  inUse: number;
  readonly idle: Idle[];
  readonly waiting: Set<() => void>;
  /** When a connection last came free. */
  movedAt: number;
  /** Why the last try got no answer; while it is set, one try at a time finds out whether the hop is back. */
  down: string | undefined;
}

export class DeliveryClient {
  readonly #options: Required<Omit<DeliveryClientOptions, 'tls' | 'timeouts'>>;
  readonly #tls: Handshake['tls'];
  readonly #timeouts: Timeouts;
  readonly #hops = new Map<string, HopState>();
  readonly #underWay = new Set<AbortController>();
  #closed = false;

  constructor(options: DeliveryClientOptions) {
    this.#options = {
      hostname: options.hostname,
      connectionsPerHop: options.connectionsPerHop ?? 5,
      patienceMs: options.patienceMs ?? 100,
      idleMs: options.idleMs ?? 30_000,
      messagesPerConnection: options.messagesPerConnection ?? 100,
    };
    this.#timeouts = { ...standardTimeouts, ...options.timeouts };
    this.#tls = options.tls;
  }

  /**
   * `size` is about how many octets the source has; `source` may be called twice. Throws what the source throws, and the
   * signal's reason when it is given up before the whole message was out (then the hop has not got it); given up later,
   * the outcome is 'later' like that of any lost answer.
   */
  async deliver(
    hop: NextHop,
    envelope: DeliveryEnvelope,
    source: () => AsyncIterable<Uint8Array>,
    size: number,
    signal: AbortSignal,
  ): Promise<DeliveryResult> {
    signal.throwIfAborted();
    if (this.#closed) throw new Error('The delivery client was closed');
    // Not AbortSignal.any: signals that are joined with one that lives for long pile up in it.
    const giveUp = new AbortController();
    const onAbort = (): void => giveUp.abort(signal.reason);
    signal.addEventListener('abort', onAbort);
    this.#underWay.add(giveUp);
    try {
      return await this.#deliver(hop, envelope, source, size, giveUp.signal);
    } finally {
      this.#underWay.delete(giveUp);
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #deliver(
    hop: NextHop,
    envelope: DeliveryEnvelope,
    source: () => AsyncIterable<Uint8Array>,
    size: number,
    signal: AbortSignal,
  ): Promise<DeliveryResult> {
    const state = this.#stateOf(hop);
    if (!(await this.#enter(state, signal))) {
      signal.throwIfAborted();
      const said = state.down ?? 'all connections to the next hop are in use';
      const outcomes = envelope.recipients.map(({ address }) => ({ recipient: address, kind: 'later' as const, said }));
      return { outcomes, busy: { hanging: state.down !== undefined || performance.now() - state.movedAt > hangingMs } };
    }
    try {
      signal.throwIfAborted();
      const survey = await surveyMessage(source(), size <= keptBytes ? 2 * keptBytes : 0);
      for (;;) {
        const progress: Progress = { mailAnswered: false, ended: false, silence: undefined };
        const kept = this.#takeIdle(state);
        const session = kept ?? (await this.#open(hop, signal));
        if (typeof session === 'string') {
          state.down = session;
          return {
            outcomes: envelope.recipients.map(({ address }) => ({ recipient: address, kind: 'later', said: session })),
          };
        }
        const onAbort = (): void => session.fail('the try was given up');
        signal.addEventListener('abort', onAbort);
        if (signal.aborted) onAbort();
        try {
          session.used++;
          const lmtp = hop.protocol === 'lmtp';
          const request = { session, lmtp, envelope, survey, source, timeouts: this.#timeouts, progress };
          const outcomes = await transact(request);
          if (!progress.ended) signal.throwIfAborted();
          // Each turn uses a kept connection up; the last one is over a fresh one.
          if (kept && !progress.mailAnswered && !session.usable) continue;
          // What went silent later may be about this message only.
          if (!signal.aborted) state.down = progress.mailAnswered ? undefined : progress.silence;
          return { outcomes };
        } finally {
          signal.removeEventListener('abort', onAbort);
          this.#putBack(state, session);
        }
      }
    } finally {
      this.#leave(state);
    }
  }

  /** Ends idle connections politely and gives up what is under way. */
  close(): void {
    this.#closed = true;
    for (const giveUp of this.#underWay) giveUp.abort(new Error('The delivery client was closed'));
    for (const state of this.#hops.values()) {
      for (const { session, timer } of state.idle.splice(0)) {
        clearTimeout(timer);
        session.quit();
      }
    }
  }

  #stateOf(hop: NextHop): HopState {
    let state = this.#hops.get(hop.key);
    if (!state) {
      state = { inUse: 0, idle: [], waiting: new Set(), movedAt: performance.now(), down: undefined };
      this.#hops.set(hop.key, state);
    }
    return state;
  }

  /** Takes one of the hop's connections, or false when none came free in time. */
  async #enter(state: HopState, signal: AbortSignal): Promise<boolean> {
    if (state.inUse < this.#limit(state)) {
      if (state.inUse === 0) state.movedAt = performance.now();
      state.inUse++;
      return true;
    }
    // Thousands of deliveries that each wait here for a hop that does not answer would hold up those for others.
    if (state.down !== undefined || performance.now() - state.movedAt > quietMs) return false;
    return new Promise((resolve) => {
      const end = (taken: boolean): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
        state.waiting.delete(take);
        resolve(taken);
      };
      const take = (): void => end(true); // the count passes from hand to hand
      const giveUp = (): void => end(false);
      const timer = setTimeout(giveUp, this.#options.patienceMs);
      signal.addEventListener('abort', giveUp);
      state.waiting.add(take);
    });
  }

  #leave(state: HopState): void {
    state.movedAt = performance.now();
    const [next] = state.waiting;
    if (next && state.inUse <= this.#limit(state)) next();
    else state.inUse--;
  }

  /** Many tries at a hop that is down would hold up those for others, and tell nothing that one does not. */
  #limit(state: HopState): number {
    return state.down === undefined ? this.#options.connectionsPerHop : 1;
  }

  #takeIdle(state: HopState): Session | undefined {
    for (;;) {
      const idle = state.idle.pop(); // the one used last is the likeliest to live
      if (!idle) return undefined;
      clearTimeout(idle.timer);
      idle.session.idle(false);
      if (idle.session.usable) return idle.session;
      idle.session.quit();
    }
  }

  #putBack(state: HopState, session: Session): void {
    const mayStay = session.usable && session.used < this.#options.messagesPerConnection;
    if (!mayStay || this.#closed) {
      session.quit();
      return;
    }
    session.idle(true);
    const timer = setTimeout(() => {
      state.idle.splice(state.idle.indexOf(idle), 1);
      session.quit();
    }, this.#options.idleMs);
    timer.unref();
    const idle: Idle = { session, timer };
    state.idle.push(idle);
  }

  /** A session, or in words why there is none. Throws only the signal's reason. */
  async #open(hop: NextHop, signal: AbortSignal): Promise<Session | string> {
    try {
      return await openSession({
        hop,
        hostname: this.#options.hostname,
        timeouts: this.#timeouts,
        signal,
        ...(this.#tls && { tls: this.#tls }),
      });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HopFailure) return error.message;
      throw error;
    }
  }
}
