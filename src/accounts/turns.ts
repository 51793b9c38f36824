/**
 * Whose turn it is. `Turns` lets one after the other through for each key, `Gate` a few at a time of everybody; both have
 * an end to their queue, beyond which they refuse, so that a flood costs the flooder and not our memory.
 */

/** Too many are waiting already. Goes away by itself. */
export class Overloaded extends Error {
  readonly temporary = true;
  constructor(message = 'Too many logins are waiting') {
    super(message);
    this.name = 'Overloaded';
  }
}

export class Turns {
  readonly #queues = new Map<string, { length: number; last: Promise<void> }>();
  readonly #maxWaiting: number;

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  get size(): number {
    return this.#queues.size;
  }

  /** @throws Overloaded */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? { length: 0, last: Promise.resolve() };
    if (queue.length >= this.#maxWaiting) throw new Overloaded();
    queue.length++;
    this.#queues.set(key, queue);
    const result = queue.last.then(work);
    queue.last = result.then(
      () => {},
      () => {},
    );
    try {
      return await result;
    } finally {
      if (--queue.length === 0) this.#queues.delete(key);
    }
  }
}

export class Gate {
  #free: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number, maxWaiting: number) {
    this.#free = atOnce;
    this.#maxWaiting = maxWaiting;
  }

  /** @throws Overloaded */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else {
      if (this.#waiting.length >= this.#maxWaiting) throw new Overloaded();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
