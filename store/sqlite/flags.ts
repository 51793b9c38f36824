/**
 * Flags as the store keeps them: blank-separated, without repeats, system flags first in one spelling, keywords sorted, so
 * that the same set is the same text and few different texts exist.
 */
import type { ModSeq, Uid } from '../model.ts';
import type { FlagChange, FlagsSet, StaySet } from '../port.ts';
import { hiddenBit } from '../transitions.ts';
import { isInScope, letterOf } from './entries.ts';
import type { EntryRow } from './rows.ts';
import type { Tx } from './tx.ts';

/** Set by us at all levels; a client may only clear them, at its own (DESIGN §7.4). */
const reserved = new Set(['$releasing', '$releasefailed', '$trained']);
const system = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft'];
/** Flags are compared without regard to case (RFC 9051 §2.3.2; RFC 3501 has it for system flags). */
const fold = (flag: string): string => flag.toLowerCase();
const spelling = new Map(system.map((flag) => [fold(flag), flag]));

/** The stored form of a set of flags. */
export function parseFlags(flags: Iterable<string>): string {
  const set = new Map<string, string>();
  for (const flag of flags) {
    const key = fold(flag);
    if (flag !== '' && !set.has(key)) set.set(key, spelling.get(key) ?? flag);
  }
  if (set.size < 2) return set.values().next().value ?? '';
  return [...set.values()].sort(bySystemThenName).join(' ');
}

const bySystemThenName = (a: string, b: string): number =>
  a.startsWith('\\') === b.startsWith('\\') ? (a < b ? -1 : 1) : a.startsWith('\\') ? -1 : 1;

const split = (text: string): string[] => (text === '' ? [] : text.split(' '));

const addFlags = (text: string, flags: readonly string[]): string => parseFlags([...split(text), ...flags]);

function removeFlags(text: string, flags: readonly string[]): string {
  const gone = new Set(flags.map(fold));
  return parseFlags(split(text).filter((flag) => !gone.has(fold(flag))));
}

/** What a client's STORE makes of a set. */
function changeFlags(before: string, change: Pick<FlagChange, 'op' | 'flags'>): string {
  if (change.op === 'remove') return removeFlags(before, change.flags);
  const wanted = change.flags.filter((flag) => !reserved.has(fold(flag)));
  if (change.op === 'add') return addFlags(before, wanted);
  return parseFlags([...wanted, ...split(before).filter((flag) => reserved.has(fold(flag)))]);
}

export function setFlags(tx: Tx, stays: StaySet, change: FlagChange): FlagsSet {
  const { level } = stays.scope;
  const letter = letterOf[level];
  const select = tx.sql(
    `SELECT id, message_id, owner, owner_domain, hidden, flags_${letter} AS flags, mod_${letter} AS mod_seq
      FROM entries WHERE folder = ? AND uid = ?`,
  );
  const update = tx.sql(`UPDATE entries SET flags_${letter} = ?, mod_${letter} = ? WHERE id = ?`);
  const changed: { uid: Uid; flags: string; modSeq: ModSeq }[] = [];
  const modified: Uid[] = [];
  const results = new Map<string, string>(); // few different sets exist
  for (const uid of stays.uids) {
    const row:
      | (Pick<EntryRow, 'id' | 'message_id' | 'owner' | 'owner_domain' | 'hidden'> & { flags: string; mod_seq: number })
      | undefined = select.get(stays.folder, uid);
    if (!row || !isInScope(row, stays.scope) || (row.hidden & hiddenBit(level)) !== 0) continue;
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
