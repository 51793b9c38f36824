/** MySQL and MariaDB: one connection, one transaction that only reads and sees nothing of what is written meanwhile. */
import { isIP } from 'node:net';
import { userInfo } from 'node:os';
import { type Connection, createConnection, type QueryError, type RowDataPacket } from 'mysql2/promise';
import type { Address } from './address.ts';
import { type Tables, TablesError, type Value } from './tables.ts';

const connectMs = 10_000;

export class MysqlTables implements Tables {
  readonly kind = 'mysql';
  readonly name: string;
  readonly #connection: Connection;
  #lost: Error | undefined;

  private constructor(name: string, connection: Connection) {
    this.name = name;
    this.#connection = connection;
    // It may be lost between two queries. Without a listener that would end the process.
    connection.on('error', (error) => {
      this.#lost ??= error;
    });
  }

  /** @throws TablesError */
  static async open(address: Address): Promise<MysqlTables> {
    // mysql2 would compare the certificate with `localhost`.
    if (address.tls === 'verify-full' && isIP(address.host) !== 0)
      throw new TablesError(`${address.name}: to have its certificate verified, write its name and not its IP address`);
    try {
      return await MysqlTables.#connect(address);
    } catch (error) {
      if (address.tls === 'prefer' && (error as QueryError).code === 'HANDSHAKE_NO_SSL_SUPPORT')
        return MysqlTables.open({ ...address, tls: 'disable' });
      throw told(address.name, error as QueryError);
    }
  }

  static async #connect({ name, host, port, user, password, database, tls, certificates }: Address) {
    const connection = await createConnection({
      ...(host.startsWith('/') ? { socketPath: host } : { host, port }),
      user: user ?? userInfo().username,
      ...(password === undefined ? {} : { password }),
      database,
      charset: 'utf8mb4',
      supportBigNumbers: true,
      connectTimeout: connectMs,
      ...(tls === 'disable'
        ? {}
        : {
            ssl: {
              ...certificates,
              rejectUnauthorized: tls === 'verify-ca' || tls === 'verify-full',
              verifyIdentity: tls === 'verify-full',
            },
          }),
    });
    const tables = new MysqlTables(name, connection);
    try {
      await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
    } catch (error) {
      await tables.close();
      throw error;
    }
    return tables;
  }

  async query(sql: string, values: readonly Value[] = []): Promise<Record<string, unknown>[]> {
    try {
      return (await this.#connection.execute<RowDataPacket[]>(sql, values.map(asParameter)))[0];
    } catch (error) {
      throw told(this.name, (this.#lost ?? error) as QueryError);
    }
  }

  async close(): Promise<void> {
    await this.#connection.end().catch(() => {});
  }
}

const asParameter = (value: Value) => (value instanceof Uint8Array ? Buffer.from(value) : value);

function told(name: string, error: QueryError): TablesError {
  return new TablesError(`${name} cannot be read: ${error.message || error.code}${hints[error.code ?? ''] ?? ''}`, {
    cause: error,
  });
}

const hints: Readonly<Record<string, string>> = {
  ER_ACCESS_DENIED_ERROR: '; is the password right?',
  ER_NO_SUCH_TABLE: '; it has to be the database of @storage_sql_dsn',
  ER_DBACCESS_DENIED_ERROR: '; GRANT SELECT on its tables to that user',
  ER_TABLEACCESS_DENIED_ERROR: '; GRANT SELECT on its tables to that user',
};
