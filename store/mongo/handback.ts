/**
 * A released message that the filter hands back (DESIGN §7.6): recognised by its signed header, never looped. The entry
 * is held again; a lease on its delivery is void from then on, so a worker's `finish` for it is refused.
 */
import type { Uid } from '../model.ts';
import type { Admitted, HandBack } from '../port.ts';
import * as rules from '../transitions.ts';
import { loadOne, write } from './standing.ts';
import type { Tx } from './tx.ts';

/**
 * Answers undefined for an entry that this cannot be about any more: unknown or expired. One that is held, trained or
 * discarded was brought back before, and the hand-over is repeated (its sender did not see our answer): nothing changes.
 */
export async function handBack(tx: Tx, h: HandBack): Promise<Admitted | undefined> {
  const entry = await loadOne(tx, h.entryId);
  if (!entry || entry.state === 'expired') return undefined;
  const known = (uid: Uid | undefined) => ({ entryId: entry.id, ...(uid === undefined ? {} : { uid }) });
  if (entry.state !== 'dropped' && entry.state !== 'released') return { ...known(entry.uid), how: 'repeat' };
  const { stay } = write(tx, entry, rules.comesBack(entry, h.prefix));
  return { ...known(stay), how: 'handed-back' };
}
