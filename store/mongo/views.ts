/**
 * A folder of a scope as columns. One ordered scan of an index, never a sort, and of everything or a domain without reading
 * an entry (test/store/mongo-plans.test.ts looks at the plan), in the snapshot that also gives the folder's tops and the
 * log's end. Rows are taken out of the BSON as it comes; between batches the event loop is free for other sessions.
 */

import { Columns } from '../columns.ts';
import type { Folder, ModSeq, ReadableFolder, Scope, Uid } from '../model.ts';
import type { ViewSnapshot } from '../port.ts';
import type { StayDoc } from './documents.ts';
import { scopeTest, seenTest } from './entries.ts';
import { type ScanSnapshot, type Snapshot, scopeKey } from './tx.ts';

/** Rows of one answer of the server: some milliseconds of work here. */
const batchSize = 4000;

const index = { recipient: 'entries_by_owner', domain: 'entries_by_domain', global: 'entries_by_folder' } as const;

export async function loadView(snapshot: ScanSnapshot, scope: Scope, folder: ReadableFolder): Promise<ViewSnapshot> {
  const { level } = scope;
  const columns = new Columns();
  const rows = new Rows(columns);
  const batches = snapshot.scanBytes(
    'entries',
    { ...scopeTest(scope), folder, uid: { $gt: 0 }, ...(folder === 'trash' ? seenTest(scope) : {}) },
    {
      projection: { uid: 1, messageId: 1, size: 1, internalDate: 1, [`mod.${level}`]: 1, [`flags.${level}`]: 1 },
      sort: { uid: 1 },
      hint: index[level],
      batchSize,
    },
  );
  for await (const batch of batches) for (const bytes of batch) rows.add(bytes);
  const numbers = await snapshot.findOne('numbers', { _id: 'numbers' }, { projection: { modSeq: 1 } });
  return { ...columns.done(), ...(await top(snapshot, scope, folder)), asOf: (numbers?.modSeq ?? 0) as ModSeq };
}

/** BSON types (https://bsonspec.org/spec.html). */
const bson = { double: 1, string: 2, document: 3, int32: 16, int64: 18 } as const;

/** Reads documents of loadView's projection: numbers, and within `mod` and `flags` the one field of the level. */
class Rows {
  readonly #columns: Columns;
  #buffer: ArrayBufferLike | undefined;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #bytes: Buffer = Buffer.alloc(0);
  // Of the document that is read.
  #id = 0;
  #uid = 0;
  #messageId = 0;
  #size = 0;
  #internalDate = 0;
  #mod = 0;
  #flags = '';

  constructor(columns: Columns) {
    this.#columns = columns;
  }

  add(doc: Uint8Array): void {
    // All documents of a batch lie in one buffer.
    if (doc.buffer !== this.#buffer) {
      this.#buffer = doc.buffer;
      this.#view = new DataView(doc.buffer);
      this.#bytes = Buffer.from(doc.buffer);
    }
    this.#flags = '';
    this.#elements(doc.byteOffset, '');
    this.#columns.add(this.#uid, this.#id, this.#messageId, this.#size, this.#internalDate, this.#mod, this.#flags);
  }

  /** The elements of the document at `start`; `outer` is the field that it is the value of. */
  #elements(start: number, outer: string): void {
    let at = start + 4;
    for (let type = this.#bytes[at]!; type !== 0; type = this.#bytes[at]!) {
      let end = at + 1;
      while (this.#bytes[end] !== 0) end += 1;
      const name = outer === '' ? this.#bytes.toString('latin1', at + 1, end) : outer;
      at = end + 1;
      switch (type) {
        case bson.int32:
          this.#number(name, this.#view.getInt32(at, true));
          at += 4;
          break;
        case bson.double:
          this.#number(name, this.#view.getFloat64(at, true));
          at += 8;
          break;
        case bson.int64:
          this.#number(name, Number(this.#view.getBigInt64(at, true)));
          at += 8;
          break;
        case bson.string: {
          const length = this.#view.getInt32(at, true);
          if (name === 'flags' && length > 1) this.#flags = this.#bytes.toString('utf8', at + 4, at + 3 + length);
          at += 4 + length;
          break;
        }
        case bson.document:
          this.#elements(at, name);
          at += this.#view.getInt32(at, true);
          break;
        default:
          throw new TypeError(`A view has no fields of BSON type ${type}`);
      }
    }
  }

  #number(name: string, value: number): void {
    switch (name) {
      case '_id':
        this.#id = value;
        break;
      case 'uid':
        this.#uid = value;
        break;
      case 'messageId':
        this.#messageId = value;
        break;
      case 'size':
        this.#size = value;
        break;
      case 'internalDate':
        this.#internalDate = value;
        break;
      case 'mod':
        this.#mod = value;
    }
  }
}

export async function top(
  snapshot: Snapshot,
  scope: Scope,
  folder: Folder,
): Promise<{ readonly uidNext: Uid; readonly highestModSeq: ModSeq }> {
  const doc = await snapshot.findOne('tops', { _id: `${folder} ${scopeKey(scope)}` });
  return { uidNext: ((doc?.uid ?? 0) + 1) as Uid, highestModSeq: Math.max(1, doc?.modSeq ?? 1) as ModSeq };
}

const isReadable = (folder: Folder): boolean => ['caught', 'outgoing', 'training', 'trash'].includes(folder);

/** Of an ended stay, too: a client may ask for a message whose EXPUNGE it has not been told yet. */
export async function prefixes(snapshot: Snapshot, uids: readonly Uid[]): Promise<readonly string[]> {
  const docs = await snapshot.find(
    'entries',
    { 'stays.uid': { $in: [...uids] } },
    { projection: { prefix: 1, 'stays.uid': 1, 'stays.folder': 1, 'stays.prefix': 1 } },
  );
  const found = new Map<number, string>();
  for (const { prefix, stays } of docs)
    for (const stay of stays as readonly Pick<StayDoc, 'uid' | 'folder' | 'prefix'>[])
      if (isReadable(stay.folder)) found.set(stay.uid, stay.prefix ?? prefix);
  return uids.map((uid) => found.get(uid) ?? '');
}
