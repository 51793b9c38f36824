/**
 * The one reader of the change log in this process: reads on from where it was whenever the bus rings or somebody asks,
 * and hands each line to whoever keeps something up to date by it (views, nudges, notices). The log is the truth; the
 * ring only says that there may be something to read. Rings may get lost, so now and then it reads without one.
 *
 * However many sessions ask at once, there is one read at a time and at most one waiting behind it.
 */
import type { Listen } from '#app/bus/bus';
import type { Log } from '#app/observe/log';
import type { Change, ModSeq } from '#store/model';
import type { Changes } from '#store/port';

export interface Sink {
  /** Lines in the log's order, whole mod-sequences. */
  apply(changes: readonly Change[]): void;
  /** Lines were lost: whatever was built from them has to be read anew. */
  reload?(): Promise<void>;
}

const linesPerRead = 5_000;
/** The longest that a lost ring keeps an idle client from what is new. */
const idlePollMs = 10_000;
/** After a failed read nobody may ring again for what is unread. */
const retryMs = 1_000;

export class Feed {
  readonly #changes: Changes;
  readonly #log: Log;
  readonly #sinks: Sink[] = [];
  /** Read up to here; undefined before the first read. */
  #position: ModSeq | undefined;
  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  readonly #listen: Listen;
  readonly #idlePollMs: number;
  #stopWatching: (() => void) | undefined;
  #idlePoll: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failing = false;
  #closed = false;

  constructor(changes: Changes, log: Log, options: { readonly listen?: Listen; readonly idlePollMs?: number } = {}) {
    this.#changes = changes;
    this.#log = log;
    this.#listen = options.listen ?? ((ring) => changes.watch(ring));
    this.#idlePollMs = options.idlePollMs ?? idlePollMs;
  }

  add(sink: Sink): void {
    this.#sinks.push(sink);
  }

  /** Begins to listen, once. What was committed before is not told; views load it. */
  async start(): Promise<void> {
    if (this.#closed) return;
    this.#stopWatching ??= this.#listen(() => this.#ring());
    this.#idlePoll ??= setInterval(() => this.#ring(), this.#idlePollMs).unref();
    if (this.#position === undefined) await this.refresh();
  }

  /** Everything committed before this call has been handed on when it resolves. */
  refresh(): Promise<void> {
    if (this.#next) return this.#next;
    if (!this.#reading) return this.#begin();
    // The read under way may have looked before that commit; the one behind it has not begun and will do for everybody.
    this.#next = this.#reading.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  /** Everything up to this mod-sequence has been handed on when it resolves; 0 asks for nothing. */
  async upTo(modSeq: number): Promise<void> {
    if (modSeq > (this.#position ?? -1) && modSeq > 0) await this.refresh();
  }

  /** The same for everything that is committed now; at once where nobody has begun to listen. */
  async caughtUp(): Promise<void> {
    if (this.#position !== undefined) await this.upTo(await this.#changes.end());
  }

  close(): void {
    this.#closed = true;
    this.#stopWatching?.();
    clearTimeout(this.#retry);
    clearInterval(this.#idlePoll);
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    if (this.#position === undefined) {
      this.#position = await this.#changes.end();
      return;
    }
    for (;;) {
      const { changes, end, more, lost } = await this.#changes.since(this.#position, linesPerRead);
      if (lost) {
        const reloadedAt = await this.#changes.end();
        for (const sink of this.#sinks) await sink.reload?.();
        this.#position = reloadedAt;
        return;
      }
      if (changes.length > 0) for (const sink of this.#sinks) sink.apply(changes);
      this.#position = end;
      if (!more) return;
    }
  }

  #ring(): void {
    if (this.#closed) return;
    this.refresh().then(
      () => {
        if (this.#failing) this.#log.info({}, 'the change log can be read again');
        this.#failing = false;
      },
      (error: unknown) => {
        if (this.#closed) return;
        if (!this.#failing) this.#log.warn({ err: error }, 'the change log cannot be read');
        this.#failing = true;
        this.#retry ??= setTimeout(() => {
          this.#retry = undefined;
          this.#ring();
        }, retryMs).unref();
      },
    );
  }
}
