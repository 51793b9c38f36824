/** An SQLite file. No transaction: while one is open for reading, the file's owner could not write. */
import { Database, type DatabaseHandle, type Statement } from '#store/sqlite/sqlite';
import { type Tables, TablesError, type Value } from './tables.ts';

export class SqliteTables implements Tables {
  readonly kind = 'sqlite';
  readonly name: string;
  readonly #db: DatabaseHandle;
  readonly #statements = new Map<string, Statement>();

  /** @throws TablesError  there is no such file */
  constructor(file: string) {
    this.name = file;
    this.#db = this.#told(() => new Database(file, { readOnly: true, timeout: 5000 }));
  }

  async query(sql: string, values: readonly Value[] = []): Promise<Record<string, unknown>[]> {
    return this.#told(() => {
      const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
      this.#statements.set(sql, statement);
      return statement.all(...values) as Record<string, unknown>[];
    });
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  #told<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new TablesError(`${this.name} cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }
}
