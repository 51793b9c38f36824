/**
 * amavisd-new's own quarantine (INTEGRATIONS §1.2): its folder of files, its SQL tables, or both. What is taken from there
 * keeps what amavis calls it, so that amavis can be asked to release it (AM.PDP): the file's name, the mail_id, and, which
 * only the tables have, the secret_id.
 */
import { basename, relative, sep } from 'node:path';
import { BadMail } from '#app/lib/bad-mail';
import { fieldsOf, latin1 } from '#imap/mime/header';
import type { KeptByAmavis } from '#store/model';
import type { FoundMail, MailFile } from './mail-files.ts';
import { openTables, type Tables, TablesError, type Value } from './sql/tables.ts';

/** Old tables may have NULL there, which equals nothing. */
type Partition = Value | null;

/** A message as the tables have it. */
export interface AmavisRow {
  /** As they stand there, octets or text: to look other tables up by. */
  readonly key: { readonly mailId: Value; readonly partition: Partition };
  readonly mailId: string;
  readonly partitionTag: string;
  readonly secretId: string;
  /** F file, Z gzip file, B BSMTP, Q sql. */
  readonly quarType: string;
  readonly sender: string;
  readonly receivedAt: Date;
}

/** Its database. amavis may be writing to it. */
export class AmavisDatabase {
  readonly #tables: Tables;
  /** A week each, for those who have them at all. */
  readonly #partitions: readonly Partition[];

  private constructor(tables: Tables, partitions: readonly Partition[]) {
    this.#tables = tables;
    this.#partitions = partitions;
  }

  /** As `openTables`. @throws TablesError  it has not amavis' tables, or keeps mail as text */
  static async open(place: string, env: NodeJS.ProcessEnv): Promise<AmavisDatabase> {
    const tables = await openTables(place, env);
    try {
      const partitions = await tables.query('SELECT DISTINCT partition_tag FROM msgs ORDER BY 1');
      const database = new AmavisDatabase(
        tables,
        partitions.map(({ partition_tag }) => partition_tag as Partition),
      );
      await database.#check();
      return database;
    } catch (error) {
      await tables.close();
      throw error;
    }
  }

  async #check(): Promise<void> {
    // Asks each table once; nobody has this key.
    const key = { mailId: '', partition: 0 };
    await this.#page(0, '');
    await this.recipients({ key });
    await this.#chunks(key, 0);
    const { kind, name } = this.#tables;
    const [some] = await this.#tables.query('SELECT mail_text FROM quarantine LIMIT 1');
    if (kind !== 'sqlite' && typeof some?.mail_text === 'string')
      throw new TablesError(`${name} keeps mail as text, which can change it; make octets of it by: ${toOctets[kind]}`);
  }

  /**
   * All messages that are kept. In pages along the primary key, a partition after the other: every page is found by the
   * index, and nothing is held on to meanwhile.
   */
  async *rows(): AsyncGenerator<AmavisRow> {
    for (const partition of this.#partitions)
      for (let after: Value = ''; ; ) {
        const rows = await this.#page(partition, after);
        yield* rows;
        if (rows.length < page) break;
        after = (rows.at(-1) as AmavisRow).key.mailId;
      }
  }

  async #page(partition: Partition, after: Value): Promise<AmavisRow[]> {
    const [isThere, values] = inOneOf('m', [partition]);
    const rows = await this.#tables.query(
      `${selectRows} WHERE ${isThere} AND m.mail_id > ? AND m.quar_type IN ('F', 'Z', 'B', 'Q')
       ORDER BY m.mail_id LIMIT ${page}`,
      [...values, after],
    );
    return rows.map(rowOf);
  }

  /** The newest of that id. */
  async row(mailId: string): Promise<AmavisRow | undefined> {
    // With all partitions named, for the sake of the index. SQLite does not take text and octets for the same.
    const [isThere, values] = inOneOf('m', this.#partitions);
    const [found] = await this.#tables.query(
      `${selectRows} WHERE ${isThere} AND m.mail_id IN (?, ?) ORDER BY m.time_num DESC LIMIT 1`,
      [...values, mailId, Buffer.from(mailId)],
    );
    return found && rowOf(found);
  }

  /** Those that wait for it. */
  async recipients({ key }: Pick<AmavisRow, 'key'>): Promise<string[]> {
    const [isThere, values] = inOneOf('r', [key.partition]);
    // P passed on, T put off; R released, D deleted: nothing is held for them.
    const rows = await this.#tables.query(
      `SELECT a.email FROM msgrcpt r JOIN maddr a ON a.id = r.rid WHERE ${isThere} AND r.mail_id = ?
       AND r.ds NOT IN ('P', 'T') AND coalesce(r.rs, ' ') NOT IN ('R', 'D') ORDER BY r.rseqnum`,
      [...values, key.mailId],
    );
    return rows.map(({ email }) => text(email));
  }

  /** A message that is kept in the tables; line ends are LF. @throws BadMail  it is not there, or not as a whole */
  async *message({ key }: AmavisRow): AsyncGenerator<Uint8Array> {
    for (let last = 0; ; ) {
      const chunks = await this.#chunks(key, last);
      if (chunks.length === 0 && last === 0) throw new BadMail('its text is not in the table `quarantine` any more');
      for (const { chunk_ind, mail_text } of chunks) {
        if (Number(chunk_ind) !== ++last) throw new BadMail('parts of its text are missing in the table `quarantine`');
        yield typeof mail_text === 'string' ? Buffer.from(mail_text) : (mail_text as Uint8Array);
      }
      if (chunks.length < chunksAtOnce) return;
    }
  }

  #chunks(key: AmavisRow['key'], after: number): Promise<Record<string, unknown>[]> {
    const [isThere, values] = inOneOf('q', [key.partition]);
    return this.#tables.query(
      `SELECT q.chunk_ind, q.mail_text FROM quarantine q WHERE ${isThere} AND q.mail_id = ? AND q.chunk_ind > ?
       ORDER BY q.chunk_ind LIMIT ${chunksAtOnce}`,
      [...values, key.mailId, after],
    );
  }

  close(): Promise<void> {
    return this.#tables.close();
  }
}

/** As amavis' README.sql-pg and README.sql-mysql have it. */
const toOctets = {
  postgres: String.raw`ALTER TABLE quarantine ALTER mail_text TYPE bytea USING decode(replace(mail_text, '\', '\\'), 'escape')`,
  mysql: 'ALTER TABLE quarantine CHANGE mail_text mail_text blob NOT NULL',
};
const page = 500;
/** Of 16 KiB each, unless amavis is told otherwise. */
const chunksAtOnce = 16;
const selectRows = `SELECT m.mail_id, m.partition_tag, m.secret_id, m.quar_type, m.time_num, s.email AS sender
  FROM msgs m LEFT JOIN maddr s ON s.id = m.sid`;

function inOneOf(table: string, partitions: readonly Partition[]): [condition: string, values: Value[]] {
  const values = partitions.filter((partition) => partition !== null);
  const any = values.length > 0 ? `${table}.partition_tag IN (${values.map(() => '?').join(', ')})` : 'FALSE';
  return [values.length < partitions.length ? `(${any} OR ${table}.partition_tag IS NULL)` : any, values];
}

/** Columns come as text or as octets, as the schema was made. */
const text = (value: unknown): string =>
  value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : value === null ? '' : String(value);

function rowOf({ mail_id, partition_tag, secret_id, quar_type, time_num, sender }: Record<string, unknown>): AmavisRow {
  return {
    key: { mailId: mail_id as Value, partition: partition_tag as Partition },
    mailId: text(mail_id),
    partitionTag: text(partition_tag),
    secretId: text(secret_id),
    quarType: text(quar_type).trim(),
    sender: text(sender).replace(/^<(.*)>$/s, '$1'),
    receivedAt: new Date(Number(time_num) * 1000),
  };
}

/** A message of the tables; undefined where nobody waits for it any more. */
export async function mailOfRow(database: AmavisDatabase, row: AmavisRow): Promise<FoundMail | undefined> {
  const recipients = await database.recipients(row);
  if (recipients.length === 0) return undefined;
  return {
    name: `amavis ${row.mailId}`,
    sender: row.sender,
    recipients: recipients.map((address) => ({ address })),
    params: { amavis: kept(row, 'Q') },
    date: row.receivedAt,
    flags: [],
    head: new Uint8Array(),
    source: database.message(row),
  };
}

function kept(row: AmavisRow, quarType: KeptByAmavis['quarType']): KeptByAmavis {
  const { mailId, secretId, partitionTag } = row;
  return {
    mailId,
    quarType,
    ...(secretId === '' ? {} : { secretId }),
    ...(partitionTag === '' || partitionTag === '0' ? {} : { partitionTag }),
  };
}

/**
 * A file of amavis' folder: what amavis calls it, and from the tables, where there are some, who waits for it. Undefined
 * where nobody does any more. @throws BadMail  amavis did not write it
 */
export async function fileOfAmavis(
  mail: FoundMail,
  file: MailFile,
  folder: string,
  database: AmavisDatabase | undefined,
): Promise<FoundMail | undefined> {
  const mailId = mailIdIn(mail.head);
  if (mailId === undefined) throw new BadMail('amavis did not write it: it has no X-Quarantine-ID on top');
  const row = await database?.row(mailId);
  const below = relative(folder, file.path);
  const mailFile = below === '' ? basename(file.path) : below.split(sep).join('/');
  const quarType = file.gzip ? 'Z' : 'F';
  const amavis = { ...(row ? kept(row, quarType) : { mailId, quarType }), mailFile } satisfies KeptByAmavis;
  const params = { ...mail.params, amavis };
  if (!database || !row) return { ...mail, params };
  const recipients = await database.recipients(row);
  if (recipients.length === 0) return undefined;
  return { ...mail, params, recipients: recipients.map((address) => ({ address })) };
}

/** From its own fields: those above the first Received. */
function mailIdIn(head: Uint8Array): string | undefined {
  const header = latin1(head);
  for (const { name, valueStart, end } of fieldsOf(header)) {
    if (/^received$/i.test(name)) return undefined;
    if (/^x-quarantine-id$/i.test(name)) return /^\s*<?([\w+-]{1,64})>?\s*$/.exec(header.slice(valueStart, end))?.[1];
  }
  return undefined;
}
