/** Giving back what is not used any more. Blocks for as long as it takes: for a thread of its own. */
import { statSync } from 'node:fs';
import type { Connection } from './connect.ts';

/** Less than that part of the file unused is not worth writing all of it anew. */
const worthIt = 0.05;

/** `alone`: nobody else uses the store, so that nobody has to wait for a write lock that is held for minutes. */
export function optimize(connection: Connection, alone: boolean): readonly string[] {
  const { db } = connection;
  const number = (name: string): number => Number(Object.values(db.prepare(`PRAGMA ${name}`).get())[0]);
  const file: string = db.prepare('PRAGMA database_list').get().file;
  const said: string[] = [];
  const before = octetsOf(file);

  db.exec('PRAGMA analysis_limit = 1000');
  db.exec('ANALYZE');
  said.push('Brought up to date what the database knows about its indexes');

  const unused = number('freelist_count') / Math.max(1, number('page_count'));
  if (unused >= worthIt && alone) {
    db.exec('VACUUM');
    said.push(`Wrote the file anew: ${percent(unused)} of it were unused`);
  } else if (unused >= worthIt)
    said.push(`${percent(unused)} of the file are unused; with the server stopped they can be given back`);
  const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
  said.push(busy === 0 ? 'Emptied the write-ahead log' : 'The write-ahead log is in use, and stays as it is');
  const freed = before - octetsOf(file);
  said.push(freed > 0 ? `Freed ${mebibytes(freed)} of ${mebibytes(before)}` : 'Freed nothing');
  return said;
}

const octetsOf = (file: string): number =>
  [file, `${file}-wal`].reduce((sum, each) => sum + (statSync(each, { throwIfNoEntry: false })?.size ?? 0), 0);

const percent = (part: number): string => `${Math.round(part * 100)} %`;
const mebibytes = (octets: number): string => `${(octets / 1024 / 1024).toFixed(1)} MiB`;
