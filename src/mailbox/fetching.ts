/**
 * What FETCH and SEARCH read of a view's messages: in batches, the next one being read from the store while the engine
 * writes or searches the one before.
 *
 * The shown message is the stay's prefix, then the stored bytes (DESIGN §7.7). Everything rendered at intake is about the
 * stored bytes alone, so sections go out as they are; none of the prefix's fields is one of the common ones.
 */
import type { Fetched, Want } from '#imap/backend';
import { No } from '#imap/errors';
import { NotFound } from '#store/errors';
import type { MessageId, SummarySection, Uid } from '#store/model';
import type { Store } from '#store/port';
import type { LoadedView } from './loaded-view.ts';

/** The first batch is small, so that the first line goes out soon. */
const firstBatch = 50;
const batchSize = 500;

const sectionOrder: readonly SummarySection[] = ['envelope', 'bodyStructure', 'body', 'commonFields', 'parts'];

export async function* fetchBatches(
  store: Store,
  view: LoadedView,
  uids: readonly number[] | Uint32Array,
  want: Want,
): AsyncGenerator<readonly Fetched[]> {
  const sections = sectionOrder.filter((section) => want[section]);
  let at = 0;
  const readNext = (): Promise<readonly Fetched[]> | undefined => {
    if (at >= uids.length) return undefined;
    const size = at === 0 ? firstBatch : batchSize;
    const batch = readBatch(store, view, uids.slice(at, at + size), sections);
    at += size;
    batch.catch(() => undefined); // thrown where it is awaited, and not before
    return batch;
  };
  for (let next = readNext(); next !== undefined; ) {
    const batch = await next;
    next = readNext();
    if (batch.length > 0) yield batch;
  }
}

async function readBatch(
  store: Store,
  view: LoadedView,
  wanted: readonly number[] | Uint32Array,
  sections: readonly SummarySection[],
): Promise<readonly Fetched[]> {
  const uids: Uid[] = [];
  const ids: MessageId[] = [];
  const sizes: number[] = [];
  for (const uid of wanted) {
    const at = view.indexOf(uid);
    if (at < 0) continue; // gone since the client was told of it
    uids.push(uid as Uid);
    ids.push(view.messageIds[at]! as MessageId);
    sizes.push(view.sizes[at]!);
  }
  if (uids.length === 0) return [];
  // The lists that clients scroll ask for 100,000 messages at once, and need no prefix: a third of the time is saved.
  const needsPrefix = sections.length === 0 || sections.includes('parts');
  const [prefixes, packed] = await Promise.all([
    needsPrefix ? store.views.prefixes(uids) : undefined,
    sections.length > 0 ? store.messages.summaries(ids, sections) : undefined,
  ]);
  return uids.map((uid, i) => {
    const fetched = new FetchedMessage(store, uid, ids[i]!, sizes[i]!, prefixes?.[i]);
    if (packed)
      for (const [s, section] of sections.entries()) {
        const end = i * sections.length + s;
        fetched[section] = packed.bytes.subarray(end === 0 ? 0 : packed.ends[end - 1]!, packed.ends[end]!);
      }
    return fetched;
  });
}

class FetchedMessage implements Fetched {
  readonly uid: Uid;
  readonly size: number;
  envelope?: Uint8Array;
  bodyStructure?: Uint8Array;
  body?: Uint8Array;
  commonFields?: Uint8Array;
  parts?: Uint8Array;
  readonly #store: Store;
  readonly #id: MessageId;
  #prefix: Uint8Array | undefined;

  constructor(store: Store, uid: Uid, id: MessageId, size: number, prefix: string | undefined) {
    this.#store = store;
    this.uid = uid;
    this.#id = id;
    this.size = size;
    if (prefix !== undefined) this.#prefix = Buffer.from(prefix);
  }

  get prefixSize(): number {
    if (!this.#prefix) throw new Error('The size of a prefix was not asked for');
    return this.#prefix.length;
  }

  async *read(offset: number, length: number): AsyncGenerator<Uint8Array> {
    this.#prefix ??= Buffer.from((await this.#store.views.prefixes([this.uid]))[0] ?? '');
    yield* readShown(this.#store, this.#id, this.#prefix, offset, length);
  }
}

async function* readShown(
  store: Store,
  id: MessageId,
  prefix: Uint8Array,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  const ofPrefix = prefix.subarray(offset, offset + length);
  if (ofPrefix.length > 0) yield ofPrefix;
  const rest = length - ofPrefix.length;
  if (rest <= 0) return;
  try {
    yield* store.messages.read(id, Math.max(0, offset - prefix.length), rest);
  } catch (error) {
    if (error instanceof NotFound) throw new No('EXPUNGEISSUED', 'The message is no longer here', { cause: error });
    throw error;
  }
}
