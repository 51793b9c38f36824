/**
 * What a store has in it, in a form that two stores can be compared by: for each kind how many records, and a hash that does
 * not depend on their order. Of messages, the octets as they are read count, and not the hash that is noted for them.
 */
import { createHash } from 'node:crypto';
import type { Store } from '#store/port';
import { type RecordKind, recordKinds, type StoreRecord } from '#store/records';

export interface KindContents {
  readonly count: number;
  /** Hex. The exclusive or of the hashes of all records: no two records of a store are the same. */
  readonly hash: string;
}

export class Contents {
  readonly #kinds = new Map<RecordKind, { count: number; hash: Buffer }>();

  /** `octets`: the SHA-256 of a message's. */
  add(record: StoreRecord, octets = ''): void {
    const known = this.#kinds.get(record.kind) ?? { count: 0, hash: Buffer.alloc(32) };
    const hash = createHash('sha256').update(canonical(record)).update(octets).digest();
    for (let at = 0; at < 32; at += 1) known.hash[at]! ^= hash[at]!;
    known.count += 1;
    this.#kinds.set(record.kind, known);
  }

  of(kind: RecordKind): KindContents {
    const { count = 0, hash = Buffer.alloc(32) } = this.#kinds.get(kind) ?? {};
    return { count, hash: hash.toString('hex') };
  }

  isSame(other: Contents): boolean {
    return recordKinds.every((kind) => this.isSameIn(kind, other));
  }

  isSameIn(kind: RecordKind, other: Contents): boolean {
    const [ours, theirs] = [this.of(kind), other.of(kind)];
    return ours.count === theirs.count && ours.hash === theirs.hash;
  }
}

/** JSON with names in order, and byte strings in base64: drivers may give fields in any order. */
function canonical(value: unknown): string {
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString('base64')}"`;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).filter(([, each]) => each !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join(',')}}`;
}

/** Passes octets on and tells their hash at the end. */
export async function* hashing(
  octets: AsyncIterable<Uint8Array>,
  done: (sha256: string) => void,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const piece of octets) {
    hash.update(piece);
    yield piece;
  }
  done(hash.digest('hex'));
}

/** Everything in a store, all octets read. `step` hears of each record, and about how many octets it is. */
export async function contentsOf(store: Store, step: (octets: number) => void): Promise<Contents> {
  const contents = new Contents();
  for await (const record of store.upkeep.export()) {
    let sha256 = '';
    if (record.kind === 'messages')
      for await (const _ of hashing(store.messages.read(record.id), (hash) => {
        sha256 = hash;
      }));
    contents.add(record, sha256);
    step(weightOf(record));
  }
  return contents;
}

/** What a record counts in a progress bar, in octets: small ones cost about as much as so many octets of mail. */
export const weightOf = (record: StoreRecord): number => 1000 + (record.kind === 'messages' ? record.size : 0);

/** What all of a store counts. */
export async function weightOfAll(store: Store): Promise<number> {
  const { records, octets } = await store.upkeep.count();
  return octets + 1000 * Object.values(records).reduce((sum, count) => sum + count, 0);
}
