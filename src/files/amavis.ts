/**
 * amavisd-new's own quarantine (INTEGRATIONS §1.2): its folder of files, its SQL tables, or both. What is taken from there
 * keeps what amavis calls it, so that amavis can be asked to release it (AM.PDP): the file's name, the mail_id, and, which
 * only the tables have, the secret_id.
 *
 * The tables are read from an SQLite file. PostgreSQL and MySQL are not read: their drivers are not part of this program.
 */
import { basename, relative, sep } from 'node:path';
import { BadMail } from '#app/lib/bad-mail';
import { fieldsOf, latin1 } from '#imap/mime/header';
import type { KeptByAmavis } from '#store/model';
import { Database, type DatabaseHandle, type Statement } from '#store/sqlite/sqlite';
import type { FoundMail, MailFile } from './mail-files.ts';

/** A message as the tables have it. */
export interface AmavisRow {
  readonly rowId: number;
  /** As they stand there, octets or text: to look other tables up by. */
  readonly key: readonly [mailId: string | Uint8Array, partitionTag: string | number];
  readonly mailId: string;
  readonly partitionTag: string;
  readonly secretId: string;
  /** F file, Z gzip file, B BSMTP, Q sql, M smtp, L lmtp; '' none. */
  readonly quarType: string;
  readonly sender: string;
  readonly receivedAt: Date;
}

/** Its database. Opened for reading only; amavis may be writing to it. */
export class AmavisDatabase {
  readonly #db: DatabaseHandle;
  readonly #rows: Statement;
  readonly #row: Statement;
  readonly #recipients: Statement;
  readonly #chunk: Statement;

  /** @throws BadMail  it is no SQLite file, or has not amavis' tables */
  constructor(file: string) {
    try {
      this.#db = new Database(file, { readOnly: true, timeout: 5000 });
      this.#rows = this.#db.prepare(`${selectRows} WHERE m.rowid > ? ORDER BY m.rowid LIMIT ${page}`);
      this.#row = this.#db.prepare(
        `${selectRows} WHERE m.mail_id IN (?1, CAST(?1 AS BLOB)) ORDER BY m.time_num DESC LIMIT 1`,
      );
      // P passed on, T put off; R released, D deleted: nothing is held for them.
      this.#recipients = this.#db.prepare(
        `SELECT a.email FROM msgrcpt r JOIN maddr a ON a.id = r.rid WHERE r.mail_id = ? AND r.partition_tag = ?
         AND r.ds NOT IN ('P', 'T') AND coalesce(r.rs, ' ') NOT IN ('R', 'D') ORDER BY r.rseqnum`,
      );
      this.#chunk = this.#db.prepare(
        `SELECT mail_text FROM quarantine WHERE mail_id = ? AND partition_tag = ? AND chunk_ind = ?`,
      );
    } catch (error) {
      throw new BadMail(`${file} cannot be read as amavis' database: ${(error as Error).message}`, { cause: error });
    }
  }

  /** All messages, in the order in which they came. In pages: amavis cannot write while one is being read. */
  *rows(): Generator<AmavisRow> {
    for (let after = 0; ; ) {
      const rows = this.#rows.all(after).map(rowOf);
      yield* rows;
      if (rows.length < page) return;
      after = (rows.at(-1) as AmavisRow).rowId;
    }
  }

  /** The newest of that id. */
  row(mailId: string): AmavisRow | undefined {
    const found = this.#row.get(mailId);
    return found && rowOf(found);
  }

  /** Those that wait for it. */
  recipients({ key }: AmavisRow): string[] {
    return this.#recipients.all(...key).map((row) => text((row as { email: unknown }).email));
  }

  /** A message that is kept in the tables; line ends are LF. @throws BadMail  it is not there */
  async *message({ key }: AmavisRow): AsyncGenerator<Uint8Array> {
    for (let chunk = 1; ; chunk++) {
      const row = this.#chunk.get(...key, chunk) as { mail_text: unknown } | undefined;
      if (!row && chunk === 1) throw new BadMail('its text is not in the table `quarantine` any more');
      if (!row) return;
      yield typeof row.mail_text === 'string' ? Buffer.from(row.mail_text) : (row.mail_text as Uint8Array);
    }
  }

  close(): void {
    this.#db.close();
  }
}

const page = 500;
const selectRows = `SELECT m.rowid AS row_id, m.mail_id, m.partition_tag, m.secret_id, m.quar_type, m.time_num, s.email AS sender
  FROM msgs m LEFT JOIN maddr s ON s.id = m.sid`;

/** Columns come as text or as octets, as the schema was made. */
const text = (value: unknown): string =>
  value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : value === null ? '' : String(value);

function rowOf(row: unknown): AmavisRow {
  const { row_id, mail_id, partition_tag, secret_id, quar_type, time_num, sender } = row as Record<string, unknown>;
  return {
    rowId: Number(row_id),
    key: [mail_id as string | Uint8Array, (partition_tag ?? 0) as string | number],
    mailId: text(mail_id),
    partitionTag: text(partition_tag),
    secretId: text(secret_id),
    quarType: text(quar_type).trim(),
    sender: text(sender).replace(/^<(.*)>$/s, '$1'),
    receivedAt: new Date(Number(time_num) * 1000),
  };
}

/** A message of the tables; undefined where nobody waits for it any more. */
export function mailOfRow(database: AmavisDatabase, row: AmavisRow): FoundMail | undefined {
  const recipients = database.recipients(row);
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
export function fileOfAmavis(
  mail: FoundMail,
  file: MailFile,
  folder: string,
  database: AmavisDatabase | undefined,
): FoundMail | undefined {
  const mailId = mailIdIn(mail.head);
  if (mailId === undefined) throw new BadMail('amavis did not write it: it has no X-Quarantine-ID on top');
  const row = database?.row(mailId);
  const below = relative(folder, file.path);
  const mailFile = below === '' ? basename(file.path) : below.split(sep).join('/');
  const quarType = file.gzip ? 'Z' : 'F';
  const amavis = { ...(row ? kept(row, quarType) : { mailId, quarType }), mailFile } satisfies KeptByAmavis;
  const params = { ...mail.params, amavis };
  if (!database || !row) return { ...mail, params };
  const recipients = database.recipients(row);
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
