/** Export, import, check and optimize as the port has them. */
import type { Import, Upkeep } from '../port.ts';
import type { Finding, RecordKind, StoreRecord } from '../records.ts';
import type { Connection } from './connect.ts';
import { translated } from './fault.ts';
import type { Queue } from './queue.ts';
import { flaws } from './upkeep-check.ts';
import { countRecords, exportRecords, inLongSnapshot } from './upkeep-export.ts';
import { beginImport } from './upkeep-import.ts';
import { mend } from './upkeep-mend.ts';

export { importMark } from './upkeep-records.ts';

export class MongoUpkeep implements Upkeep {
  readonly #connection: Connection;
  readonly #queue: Queue;

  constructor(connection: Connection, queue: Queue) {
    this.#connection = connection;
    this.#queue = queue;
  }

  count(): ReturnType<Upkeep['count']> {
    return translated(() => countRecords(this.#connection));
  }

  export(kinds?: readonly RecordKind[]): AsyncIterable<StoreRecord> {
    return inLongSnapshot(this.#connection, (snapshot) => exportRecords(snapshot, kinds));
  }

  beginImport(): Promise<Import> {
    return translated(() => beginImport(this.#connection, this.#queue));
  }

  async *check({ repair }: { readonly repair: boolean }): AsyncIterable<Finding> {
    for await (const found of flaws(this.#connection))
      yield { ...found.flaw, mended: repair && (await mend(this.#connection, this.#queue, found)) };
  }

  /**
   * The storage engine uses freed space again by itself, and keeps no statistics that could be out of date. Space goes back
   * to the file system by `compact`, on one node at a time, which is an operator's to decide.
   */
  optimize(): Promise<readonly string[]> {
    return translated(async () => {
      const { freeStorageSize, totalSize } = await this.#connection.db.command({ dbStats: 1, freeStorage: 1 });
      const unused = `${mebibytes(freeStorageSize ?? 0)} of ${mebibytes(totalSize ?? 0)}`;
      return [
        `Of the files of this database on the primary, ${unused} are unused; MongoDB fills them before the files grow`,
        'Nothing was changed: to give space back to the file system, run compact on each node, secondaries first',
      ];
    });
  }
}

const mebibytes = (octets: number): string => `${(octets / 1024 / 1024).toFixed(1)} MiB`;
