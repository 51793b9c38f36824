/**
 * Rows of a database that belongs to somebody else, whatever it is: SQLite, PostgreSQL or MySQL. Read only, and as it was
 * when it was opened, where the database can do that: what is written meanwhile comes with the next reading.
 *
 * Each query returns all its rows at once, so it has to ask for few: in pages, with a LIMIT.
 */
export type Value = string | number | Uint8Array;

export interface Tables {
  readonly kind: 'sqlite' | 'postgres' | 'mysql';
  /** For messages: without user, password and parameters. */
  readonly name: string;
  /** `?` stands for a value. Octets come as Uint8Array. @throws TablesError */
  query(sql: string, values?: readonly Value[]): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** The database cannot be reached or read, in a sentence without secrets. The next message would meet the same. */
export class TablesError extends Error {
  readonly temporary = true;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TablesError';
  }
}

/** Whether a place is one of `openTables`, and no folder. */
export const isTables = (place: string): boolean => /^(?:sqlite:|(?:postgres(?:ql)?|mysql|mariadb):\/\/)/i.test(place);

/**
 * @param place  sqlite:FILE, postgres://… or mysql://… (address.ts)
 * @param env    PGPASSWORD or MYSQL_PWD is the password where the address has none
 * @throws TablesError  it cannot be opened
 */
export async function openTables(place: string, env: NodeJS.ProcessEnv): Promise<Tables> {
  if (/^sqlite:/i.test(place)) return new (await import('./sqlite.ts')).SqliteTables(place.slice('sqlite:'.length));
  const address = (await import('./address.ts')).readAddress(place, env);
  if (address.kind === 'postgres') return (await import('./postgres.ts')).PostgresTables.open(address);
  return (await import('./mysql.ts')).MysqlTables.open(address);
}
