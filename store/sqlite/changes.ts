/** The change log: read by mod-sequence, whole mod-sequences only; trimmed by age together with the stays that ended then. */
import type { Change, ChangeKind, EntryId, Folder, Level, MessageId, ModSeq, Uid } from '../model.ts';
import type { Snapshot, Tx } from './tx.ts';

export interface ChangeRow {
  readonly mod_seq: ModSeq;
  readonly kind: ChangeKind | 'notice';
  readonly uid: Uid;
  readonly folder: Folder;
  readonly entry_id: EntryId;
  readonly message_id: MessageId;
  readonly owner: string;
  readonly level: Level | null;
  readonly account: string | null;
  readonly flags_r: string | null;
  readonly flags_d: string | null;
  readonly flags_g: string | null;
  readonly size: number | null;
  readonly internal_date: number | null;
}

export function changeOf(row: ChangeRow): Change {
  const hasFlags = row.flags_r !== null || row.flags_d !== null || row.flags_g !== null;
  return {
    modSeq: row.mod_seq,
    kind: row.kind,
    uid: row.uid,
    folder: row.folder,
    entryId: row.entry_id,
    messageId: row.message_id,
    owner: row.owner,
    ...(row.level === null ? {} : { level: row.level }),
    ...(row.account === null ? {} : { account: row.account }),
    ...(hasFlags
      ? {
          flags: {
            ...(row.flags_r === null ? {} : { recipient: row.flags_r }),
            ...(row.flags_d === null ? {} : { domain: row.flags_d }),
            ...(row.flags_g === null ? {} : { global: row.flags_g }),
          },
        }
      : {}),
    ...(row.size === null ? {} : { size: row.size }),
    ...(row.internal_date === null ? {} : { internalDate: row.internal_date }),
  };
}

export interface ChangesAnswer {
  readonly changes: readonly Change[];
  readonly end: ModSeq;
  readonly more: boolean;
  readonly lost: boolean;
}

export const changesText = {
  after: 'SELECT * FROM changes WHERE mod_seq > ? ORDER BY mod_seq, id LIMIT ?',
  of: 'SELECT * FROM changes WHERE mod_seq = ? ORDER BY id',
};

export function changesSince(snapshot: Snapshot, since: ModSeq, limit: number): ChangesAnswer {
  const log: { last_mod_seq: ModSeq; trimmed_mod_seq: ModSeq } = snapshot
    .sql('SELECT last_mod_seq, trimmed_mod_seq FROM counters WHERE id = 1')
    .get();
  if (since < log.trimmed_mod_seq) return { changes: [], end: log.last_mod_seq, more: false, lost: true };
  if (since >= log.last_mod_seq) return { changes: [], end: log.last_mod_seq, more: false, lost: false };
  let rows: ChangeRow[] = snapshot.sql(changesText.after).all(since, limit + 1);
  let end = log.last_mod_seq;
  let more = false;
  if (rows.length > limit) {
    // The last mod-sequence may go on behind the limit: leave it for the next answer, or take all of it if there is no other.
    const last = rows.at(-1)!.mod_seq;
    const whole = rows.filter((row) => row.mod_seq !== last);
    rows = whole.length > 0 ? whole : snapshot.sql(changesText.of).all(last);
    const complete = rows.at(-1)!.mod_seq;
    more = complete < end;
    end = complete;
  }
  return { changes: rows.map(changeOf), end, more, lost: false };
}

export function changesEnd(snapshot: Snapshot): ModSeq {
  return snapshot.sql('SELECT last_mod_seq FROM counters WHERE id = 1').get().last_mod_seq;
}

/**
 * Takes lines older than `olderThanMs` off the log, about `limit` of them and whole mod-sequences, and the stays that
 * ended no later. Answers whether there are more.
 */
export function trimChanges(tx: Tx, olderThanMs: number, limit: number): boolean {
  const rows: { mod_seq: number }[] = tx
    .sql('SELECT mod_seq FROM changes WHERE at < ? ORDER BY at, mod_seq LIMIT ?')
    .all(tx.now - olderThanMs, limit + 1);
  const last = rows.at(Math.min(rows.length, limit) - 1)?.mod_seq;
  if (last === undefined) return false;
  tx.sql('DELETE FROM changes WHERE mod_seq <= ?').run(last);
  tx.sql('DELETE FROM stays WHERE ended_mod_seq <= ?').run(last);
  tx.sql('UPDATE counters SET trimmed_mod_seq = max(trimmed_mod_seq, ?) WHERE id = 1').run(last);
  return rows.length > limit;
}
