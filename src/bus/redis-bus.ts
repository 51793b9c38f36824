/**
 * The bus over Redis: own commits are published, and other nodes' messages ring. Neither says more than who it was, and
 * nothing depends on any of them arriving.
 *
 * While Redis is away the store's own means do its work: commits of other processes are then looked for. On its return
 * everybody is rung once, for something may have been missed.
 */
import type { Changes } from '#store/port';
import type { Bus } from './bus.ts';
import type { RedisLink } from './redis-link.ts';

export function createRedisBus(link: RedisLink, changes: Pick<Changes, 'watch'>): Bus {
  return new RedisBus(link, changes);
}

class RedisBus implements Bus {
  readonly #link: RedisLink;
  readonly #changes: Pick<Changes, 'watch'>;
  readonly #channel: string;
  readonly #rings = new Set<() => void>();
  /** Whose commits the store tells of just now. */
  #watched: 'own' | 'everybody' | undefined;
  #unwatch: () => void = () => {};
  #publishing: Promise<void> | undefined;
  /** Something was committed while a message was under way. */
  #again = false;
  #closed = false;

  constructor(link: RedisLink, changes: Pick<Changes, 'watch'>) {
    this.#link = link;
    this.#changes = changes;
    this.#channel = `${link.prefix}ring`;
    link.onMessage(this.#channel, (node) => {
      if (node !== link.node) this.#ring();
    });
    link.onConnect(async (redis) => {
      await redis.subscribe(this.#channel);
    });
    link.onUp(() => {
      this.#watch('own');
      this.#committed(); // nobody was told of own commits, nor was this process of others'
    });
    link.onDown(() => this.#watch('everybody'));
    this.#watch('everybody');
  }

  listen(ring: () => void): () => void {
    const own = (): void => ring();
    this.#rings.add(own);
    if (!this.#link.up) this.#watch('everybody');
    return () => {
      this.#rings.delete(own);
    };
  }

  probe(): Promise<void> {
    return this.#link.probe();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rings.clear();
    this.#unwatch();
    await this.#publishing; // a verb of the command line ends right after its commit
    await this.#link.close();
  }

  /** The new way before the old one ends: nothing is missed in between. Looks for others' commits only if it matters. */
  #watch(whose: 'own' | 'everybody'): void {
    const wanted = this.#rings.size === 0 ? 'own' : whose;
    if (this.#closed || this.#watched === wanted) return;
    const before = this.#unwatch;
    this.#unwatch = this.#changes.watch(() => this.#committed(), { others: wanted === 'everybody' });
    this.#watched = wanted;
    before();
  }

  #committed(): void {
    this.#ring();
    this.#again = true;
    this.#publishing ??= this.#publish().finally(() => {
      this.#publishing = undefined;
    });
  }

  /** One message at a time: what is committed meanwhile has one more together. */
  async #publish(): Promise<void> {
    while (this.#again && this.#link.up) {
      this.#again = false;
      await this.#link.ask((redis) => redis.publish(this.#channel, this.#link.node));
    }
  }

  #ring(): void {
    for (const ring of this.#rings) queueMicrotask(ring); // what one of them throws is not the others' affair
  }
}
