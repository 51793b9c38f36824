/**
 * One try to deliver one entry (DESIGN §4.3–4.6, §7.6). What must stay true: it ends with the next hop's own words;
 * accepted means released, a 5xx means failed and visible again, and everything else, our own trouble too, means later,
 * until the time for retries is over.
 */
import { randomUUID } from 'node:crypto';
import { retryDelayMs } from '#app/lib/backoff';
import type { Listener } from '#app/observe/events';
import type { Log } from '#app/observe/log';
import { folderOf } from '#app/quarantine/folders';
import type { Ended, Handler } from '#app/quarantine/job-handler';
import { renderPrefix } from '#app/quarantine/prefix';
import { markOf, signRelease } from '#app/quarantine/release-token';
import { NotFound, StoreError } from '#store/errors';
import type { ClaimedJob, Entry, Message } from '#store/model';
import type { Store } from '#store/port';
import { envelopeOf } from './envelope.ts';
import { Outgoing } from './outgoing.ts';
import type { SenderOf } from './sender.ts';
import { renderTrace } from './trace.ts';
import type { Transport } from './transport.ts';

export interface DeliverOptions {
  readonly store: Store;
  /** Its way out; undefined: none is configured. */
  wayOf(entry: Entry, message: Message): Transport | undefined;
  readonly senderOf: SenderOf;
  readonly hostname: string;
  readonly releaseKey: Uint8Array;
  /** So long after a try began a filter may let it through by its signed header. */
  readonly validForMs: number;
  /** The spam fields of the stored header are sent under other names. */
  readonly renameHeaders: boolean;
  /** After so long since the drop a delivery that is put off has failed. */
  readonly retryForMs: number;
  /** After so long it is shown again, as waiting. */
  readonly showAfterMs: number;
  readonly onEvent: Listener;
  readonly log: Log;
  /** The store's time, and chance; for tests. */
  now?(): number;
  random?(): number;
}

/** A released copy stays in view for so long (DESIGN §7.5). */
const leaveAfterMs = 60_000;
/** All connections to the hop are in use: back soon; it hangs: out of the others' way for longer. */
const busyDelayMs = 2_000;
const hangingDelayMs = 60_000;

export function createDeliverHandler(options: DeliverOptions): Handler {
  return (job, signal) => new Delivery(options, job, signal).run();
}

class Delivery {
  readonly #options: DeliverOptions;
  readonly #job: ClaimedJob;
  readonly #signal: AbortSignal;

  constructor(options: DeliverOptions, job: ClaimedJob, signal: AbortSignal) {
    this.#options = options;
    this.#job = job;
    this.#signal = signal;
  }

  async run(): Promise<Ended> {
    const { store } = this.#options;
    const entry = this.#job.entryId === undefined ? undefined : await store.entries.get(this.#job.entryId);
    if (!entry) return { kind: 'failed', said: 'the entry does not exist any more' };
    const message = await store.messages.get(entry.messageId);
    if (!message) return this.#failed(entry, undefined, 'the stored message does not exist any more');
    if (entry.recipient === '') return this.#failed(entry, message, 'nobody knows whom it is for');
    try {
      return await this.#try(entry, message);
    } catch (error) {
      if (error instanceof NotFound) return this.#failed(entry, message, 'the stored message does not exist any more');
      if (this.#signal.aborted || (error instanceof StoreError && error.temporary)) throw error;
      // Whatever this is, the mail must not stay out of everybody's sight because of it: it goes the way of a put-off.
      const id = randomUUID();
      this.#options.log.error({ error, id, entry: entry.id }, 'a delivery failed inside');
      return this.#later(entry, message, `an error inside the quarantine (${id})`);
    }
  }

  async #try(entry: Entry, message: Message): Promise<Ended> {
    const { store, senderOf, renameHeaders, log } = this.#options;
    const way = this.#options.wayOf(entry, message);
    if (!way) return this.#later(entry, message, 'no next hop is configured for this recipient');

    // Nothing is read before the transport has a connection for it.
    const outgoing = new Outgoing(store.messages, message, { renameHeaders });
    const trace = async () => Buffer.from(await this.#trace(entry, outgoing), 'latin1');
    let fixed: Promise<Buffer> | undefined;
    async function* source(): AsyncGenerator<Uint8Array> {
      fixed ??= trace();
      yield await fixed;
      yield* outgoing.released();
    }
    const { actor, attempts: attempt, resentMessageId } = this.#job;
    const parcel = {
      entry,
      message,
      envelope: envelopeOf(entry, message, senderOf(entry, message)),
      actor,
      attempt,
      mark: `drop=${markOf(resentMessageId)};`,
      source,
      size: message.size,
    };
    const { kind, said, busy } = await way.send(parcel, this.#signal);
    log.debug({ entry: entry.id, hop: way.name, attempt, kind, said }, 'tried to deliver');
    if (busy) return this.#later(entry, message, said, busy);
    switch (kind) {
      case 'accepted':
        return { kind: 'done', said, leaveAfterMs, recorded: () => this.#tell('released', entry, message, said) };
      case 'refused':
        return this.#failed(entry, message, said);
      case 'later':
        return this.#later(entry, message, said);
    }
  }

  async #trace(entry: Entry, outgoing: Outgoing): Promise<string> {
    const { hostname, releaseKey, validForMs } = this.#options;
    const { id: entryId, recipient } = entry;
    const token = {
      entryId,
      drop: markOf(this.#job.resentMessageId),
      attempt: this.#job.attempts,
      // By the clock of this machine, as a filter will read it by its own.
      until: Math.ceil((Date.now() + validForMs) / 1000),
      recipient,
      bodySha256: await outgoing.bodySha256(),
    };
    return renderTrace({
      hostname,
      job: this.#job,
      entryId,
      release: signRelease(releaseKey, token),
      signed: await outgoing.signedFields(),
    });
  }

  /** `busy`: nothing was tried, because others are before it; nobody is told. Given up it is only if the hop hangs. */
  async #later(entry: Entry, message: Message, said: string, busy?: { readonly hanging: boolean }): Promise<Ended> {
    const { retryForMs, random = Math.random } = this.#options;
    const ageMs = this.#now() - this.#job.droppedAt.getTime();
    if (ageMs >= retryForMs && busy?.hanging !== false) {
      return this.#failed(entry, message, said, inWords(retryForMs));
    }
    const busyMs = busy?.hanging ? hangingDelayMs : busyDelayMs;
    const shows = await this.#showsNow(entry.id);
    return {
      kind: 'later',
      said,
      afterMs: busy ? Math.round(busyMs * (1 + random())) : retryDelayMs(ageMs, random()),
      ...(shows && { show: { prefix: renderPrefix({ verdict: entry.verdict, status: `waiting: ${said}` }) } }),
      ...(busy && { untried: true }),
      ...(!busy && { recorded: () => this.#tell('release-waits', entry, message, said) }),
    };
  }

  /**
   * Put off for long, since the drop and since it was last taken out of view (a MOVE of the waiting one onto Release means:
   * try again, and show it after the same time, DESIGN §7.6). Once shown it stays as it is: new words are no new UID.
   */
  async #showsNow(id: Entry['id']): Promise<boolean> {
    const { store, showAfterMs } = this.#options;
    const isLong = (since: Date): boolean => this.#now() - since.getTime() >= showAfterMs;
    if (!isLong(this.#job.droppedAt)) return false;
    const history = await store.entries.history(id);
    if (!history) return false;
    const { entry, stays } = history;
    if (entry.uid !== undefined) return !/^X-Lazaret-Status: waiting:/m.test(entry.prefix);
    return stays.every(
      ({ folder, endedAt }) =>
        (folder !== 'caught' && folder !== 'outgoing') || endedAt === undefined || isLong(endedAt),
    );
  }

  /** `triedFor`: it was put off for so long that we gave up. */
  #failed(entry: Entry, message: Message | undefined, said: string, triedFor?: string): Ended {
    const subject = message?.subject.slice(0, 200) || 'A message without a subject';
    const folder = folderOf(entry.direction === 'outgoing' ? 'outgoing' : 'caught').name;
    const words = triedFor === undefined ? said : `${said} (given up after ${triedFor})`;
    const within = triedFor === undefined ? '' : ` within ${triedFor}`;
    return {
      kind: 'failed',
      said: words,
      prefix: renderPrefix({ verdict: entry.verdict, status: `failed: ${words}` }),
      notice: `"${subject}" could not be delivered to ${entry.recipient}${within}: ${said}. It is back in ${folder}.`,
      recorded: () => this.#tell('release-failed', entry, message, words),
    };
  }

  #tell(
    kind: 'released' | 'release-failed' | 'release-waits',
    entry: Entry,
    message: Message | undefined,
    said: string,
  ): void {
    const { id: entryId, owner, recipient } = entry;
    const { account } = this.#job.actor;
    this.#options.onEvent({ kind, entryId, owner, recipient, account, subject: message?.subject ?? '', said });
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }
}

function inWords(ms: number): string {
  const units: [number, string][] = [
    [86_400_000, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ];
  const [length, name] = units.find(([unit]) => ms >= unit) ?? [1, 'millisecond'];
  const count = Math.round(ms / length);
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}
