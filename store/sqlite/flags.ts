/** STORE: flags of open stays at one level (RFC 7162 §3.1.3 for its condition). */
import { changeFlags } from '../flags.ts';
import type { ModSeq, Uid } from '../model.ts';
import type { FlagChange, FlagsSet, StaySet } from '../port.ts';
import { owns } from '../scope.ts';
import { hiddenBit } from '../transitions.ts';
import { letterOf } from './entries.ts';
import type { EntryRow } from './rows.ts';
import type { Tx } from './tx.ts';

export function setFlags(tx: Tx, stays: StaySet, change: FlagChange): FlagsSet {
  const { level } = stays.scope;
  const letter = letterOf[level];
  const select = tx.sql(
    `SELECT id, message_id, owner, hidden, flags_${letter} AS flags, mod_${letter} AS mod_seq
      FROM entries WHERE folder = ? AND uid = ?`,
  );
  const update = tx.sql(`UPDATE entries SET flags_${letter} = ?, mod_${letter} = ? WHERE id = ?`);
  const changed: { uid: Uid; flags: string; modSeq: ModSeq }[] = [];
  const modified: Uid[] = [];
  const results = new Map<string, string>(); // few different sets exist
  for (const uid of stays.uids) {
    const row:
      | (Pick<EntryRow, 'id' | 'message_id' | 'owner' | 'hidden'> & { flags: string; mod_seq: number })
      | undefined = select.get(stays.folder, uid);
    if (!row || !owns(stays.scope, row.owner) || (row.hidden & hiddenBit(level)) !== 0) continue;
    if (change.unchangedSince !== undefined && row.mod_seq > change.unchangedSince) {
      modified.push(uid);
      continue;
    }
    let flags = results.get(row.flags);
    if (flags === undefined) {
      flags = changeFlags(row.flags, change);
      results.set(row.flags, flags);
    }
    if (flags === row.flags) continue;
    const modSeq = tx.modSeq();
    update.run(flags, modSeq, row.id);
    changed.push({ uid, flags, modSeq });
    tx.log({
      kind: 'flags',
      uid,
      folder: stays.folder,
      entryId: row.id,
      messageId: row.message_id,
      owner: row.owner,
      level,
      flags: { [level]: flags },
    });
  }
  return { changed, modified, modSeq: tx.takenModSeq as ModSeq };
}
