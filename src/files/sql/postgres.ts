/** PostgreSQL: one connection, one transaction that only reads and sees nothing of what is written meanwhile. */
import pg from 'pg';
import type { Address } from './address.ts';
import { type Tables, TablesError, type Value } from './tables.ts';

const connectMs = 10_000;

export class PostgresTables implements Tables {
  readonly kind = 'postgres';
  readonly name: string;
  readonly #client: pg.Client;
  #lost: Error | undefined;

  private constructor(name: string, client: pg.Client) {
    this.name = name;
    this.#client = client;
    // It may be lost between two queries. Without a listener that would end the process.
    client.on('error', (error) => {
      this.#lost ??= error;
    });
  }

  /** @throws TablesError */
  static async open(address: Address): Promise<PostgresTables> {
    try {
      return await PostgresTables.#connect(address);
    } catch (error) {
      if (address.tls === 'prefer' && (error as Error).message === 'The server does not support SSL connections')
        return PostgresTables.open({ ...address, tls: 'disable' });
      throw told(address.name, error as pg.DatabaseError);
    }
  }

  static async #connect({ name, host, port, user, password, database, tls, certificates }: Address) {
    const client = new pg.Client({
      host,
      port,
      user,
      password,
      database,
      application_name: 'lazaret import',
      connectionTimeoutMillis: connectMs,
      keepAlive: true,
      ssl: tls !== 'disable' && {
        ...certificates,
        rejectUnauthorized: tls === 'verify-ca' || tls === 'verify-full',
        ...(tls === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
      },
    });
    const tables = new PostgresTables(name, client);
    try {
      await client.connect();
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      // Between two queries a message is kept, which may have to wait.
      await client.query('SET LOCAL idle_in_transaction_session_timeout = 0');
    } catch (error) {
      await tables.close();
      throw error;
    }
    return tables;
  }

  async query(sql: string, values: readonly Value[] = []): Promise<Record<string, unknown>[]> {
    let at = 0;
    const text = sql.replace(/\?/g, () => `$${++at}`);
    try {
      return (await this.#client.query(text, [...values])).rows;
    } catch (error) {
      throw told(this.name, (this.#lost ?? error) as pg.DatabaseError);
    }
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {});
  }
}

function told(name: string, error: pg.DatabaseError): TablesError {
  const isMissing = /client password must be/.test(error.message);
  const message = isMissing ? 'it asks for a password, by PGPASSWORD or as USER:PASSWORD@HOST' : error.message;
  return new TablesError(`${name} cannot be read: ${message || error.code}${hints[error.code ?? ''] ?? ''}`, {
    cause: error,
  });
}

const hints: Readonly<Record<string, string>> = {
  '28P01': '; is the password right?',
  '42P01': '; it has to be the database of @storage_sql_dsn',
  '42501': '; GRANT SELECT on its tables to that user',
};
