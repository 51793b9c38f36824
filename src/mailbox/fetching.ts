/**
 * What FETCH and SEARCH read of a view's messages: in batches, the next one being read from the store while the engine
 * writes or searches the one before.
 *
 * The shown message is the stay's prefix, then the stored bytes (DESIGN §7.7). Everything rendered at intake is about the
 * stored bytes alone, so sections go out as they are, with the prefix's fields in front where header fields are asked for.
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
  const [prefixes, packed] = await Promise.all([
    store.views.prefixes(uids),
    sections.length > 0 ? store.messages.summaries(ids, sections) : undefined,
  ]);
  return uids.map((uid, i) => {
    const prefix = Buffer.from(prefixes[i] ?? '');
    const fetched: { -readonly [Key in keyof Fetched]: Fetched[Key] } = {
      uid,
      size: sizes[i]!,
      prefixSize: prefix.length,
      read: (offset, length) => readShown(store, ids[i]!, prefix, offset, length),
    };
    if (packed)
      for (const [s, section] of sections.entries()) {
        const end = i * sections.length + s;
        const bytes = packed.bytes.subarray(end === 0 ? 0 : packed.ends[end - 1]!, packed.ends[end]!);
        fetched[section] = section === 'commonFields' && prefix.length > 0 ? Buffer.concat([prefix, bytes]) : bytes;
      }
    return fetched;
  });
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
