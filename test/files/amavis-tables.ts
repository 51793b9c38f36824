/** amavis' tables in an SQLite file, as its README.sql makes them (the columns that matter here). */
import { DatabaseSync } from '@photostructure/sqlite';

export interface AmavisMail {
  readonly mailId: string;
  readonly partitionTag?: number | null;
  readonly secretId?: string;
  readonly quarType: string;
  readonly sender?: string;
  readonly to: readonly { readonly address: string; readonly ds?: string; readonly rs?: string }[];
  readonly chunks?: readonly Buffer[];
}

export function amavisTables(file: string, mails: readonly AmavisMail[]): void {
  const db = new DatabaseSync(file);
  db.exec(`
    CREATE TABLE maddr (partition_tag integer DEFAULT 0, id integer PRIMARY KEY, email varbinary(255) NOT NULL,
      domain varchar(255) NOT NULL, UNIQUE (partition_tag, email));
    CREATE TABLE msgs (partition_tag integer DEFAULT 0, mail_id varbinary(16) NOT NULL, secret_id varbinary(16) DEFAULT '',
      am_id varchar(20) NOT NULL, time_num integer NOT NULL, time_iso char(16) NOT NULL, sid bigint NOT NULL, quar_type char(1),
      quar_loc varbinary(255) DEFAULT '', PRIMARY KEY (partition_tag, mail_id));
    CREATE TABLE msgrcpt (partition_tag integer DEFAULT 0, mail_id varbinary(16) NOT NULL, rseqnum integer NOT NULL,
      rid bigint NOT NULL, ds char(1) NOT NULL, rs char(1) NOT NULL, PRIMARY KEY (partition_tag, mail_id, rseqnum));
    CREATE TABLE quarantine (partition_tag integer DEFAULT 0, mail_id varbinary(16) NOT NULL, chunk_ind integer NOT NULL,
      mail_text blob NOT NULL, PRIMARY KEY (partition_tag, mail_id, chunk_ind));`);
  db.exec('BEGIN');
  const addresses = new Map<string, number>();
  const idOf = (address: string): number => {
    let id = addresses.get(address);
    if (id === undefined) {
      id = addresses.size + 1;
      addresses.set(address, id);
      db.prepare('INSERT INTO maddr (id, email, domain) VALUES (?, ?, ?)').run(id, address, '');
    }
    return id;
  };
  for (const { mailId, partitionTag = 0, secretId = '', quarType, sender = '', to, chunks = [] } of mails) {
    db.prepare(
      "INSERT INTO msgs (partition_tag, mail_id, secret_id, am_id, time_num, time_iso, sid, quar_type) VALUES (?, ?, ?, 'a', 1795309953, '', ?, ?)",
    ).run(partitionTag, mailId, secretId, idOf(sender), quarType);
    for (const [at, { address, ds = 'D', rs = ' ' }] of to.entries())
      db.prepare('INSERT INTO msgrcpt (partition_tag, mail_id, rseqnum, rid, ds, rs) VALUES (?, ?, ?, ?, ?, ?)').run(
        partitionTag,
        mailId,
        at + 1,
        idOf(address),
        ds,
        rs,
      );
    for (const [at, chunk] of chunks.entries())
      db.prepare('INSERT INTO quarantine (partition_tag, mail_id, chunk_ind, mail_text) VALUES (?, ?, ?, ?)').run(
        partitionTag,
        mailId,
        at + 1,
        chunk,
      );
  }
  db.exec('COMMIT');
  db.close();
}
