/** Brings records into a store that is being filled: some messages at once, everything else by the hundred. */
import type { Import } from '#store/port';
import type { FactRecord, MessageRecord } from '#store/records';

/** Commands that wait together share a commit (docs/decisions/0002); each message under way holds up to half a megabyte. */
const messagesAtOnce = 16;
const recordsAtOnce = 300;

export class Pouring {
  readonly #into: Import;
  readonly #underWay = new Set<Promise<void>>();
  #failed: unknown;
  #waiting: FactRecord[] = [];

  constructor(into: Import) {
    this.#into = into;
  }

  /** Resolves when the next one may come. `kept` hears of it when it is there, and may go on working on it. */
  async message(
    record: MessageRecord,
    octets: () => AsyncIterable<Uint8Array>,
    kept: (how: 'kept' | 'there') => Promise<void> | void,
  ): Promise<void> {
    const work: Promise<void> = this.#into
      .message(record, octets)
      .then(kept)
      .catch((error: unknown) => {
        this.#failed ??= error;
      })
      .finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
    if (this.#underWay.size >= messagesAtOnce) await Promise.race(this.#underWay);
    if (this.#failed) throw this.#failed;
  }

  async fact(record: FactRecord): Promise<void> {
    this.#waiting.push(record);
    if (this.#waiting.length >= recordsAtOnce) await this.flush();
  }

  async flush(): Promise<void> {
    await Promise.all(this.#underWay);
    if (this.#failed) throw this.#failed;
    const records = this.#waiting;
    this.#waiting = [];
    if (records.length > 0) await this.#into.write(records);
  }
}
