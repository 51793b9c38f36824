/** What COPY, MOVE and STORE have in common. */
import type { Targets, Transferred } from '../backend.ts';
import { No } from '../errors.ts';
import type { Picked, Selected } from '../selected.ts';
import { format } from '../wire/sequence-set.ts';

export function targetsOf({ uids, ranges }: Picked): Targets {
  return ranges ? { uids: Array.from(uids), ranges } : { uids: Array.from(uids) };
}

/** Nothing can come of this command. A UID command with UIDs nobody has here is the mailbox's to judge (it may be an undo). */
export function isIdleTalk({ uids, ranges }: Picked): boolean {
  return uids.length === 0 && !(ranges && ranges.length > 0);
}

/** RFC 4315 §3: the response code, without brackets. */
export function copyUidCode({ uidValidity, from, to }: NonNullable<Transferred['copyUid']>): string {
  return `COPYUID ${uidValidity} ${format(from)} ${format(to)}`;
}

/** @throws No READ-ONLY */
export function needWritable(selected: Selected): void {
  if (selected.readOnly) throw new No('READ-ONLY', 'This folder is open to read only');
}
