/**
 * STORE: flags of open stays at one level (RFC 7162 §3.1.3 for its condition).
 *
 * Queries (filter): entries `folder, uid`, one for all UIDs.
 */
import { changeFlags } from '../flags.ts';
import type { EntryId, MessageId, ModSeq, Uid } from '../model.ts';
import type { FlagChange, FlagsSet, StaySet } from '../port.ts';
import { owns } from '../scope.ts';
import { hiddenBit } from '../transitions.ts';
import type { Tx } from './tx.ts';

export async function setFlags(tx: Tx, stays: StaySet, change: FlagChange): Promise<FlagsSet> {
  const { scope, folder, uids } = stays;
  const { level } = scope;
  const found = await tx.find('entries', { folder, uid: { $in: [...uids] } });
  const byUid = new Map(found.map((doc) => [doc.uid, doc]));
  const changed: { uid: Uid; flags: string; modSeq: ModSeq }[] = [];
  const modified: Uid[] = [];
  const results = new Map<string, string>();
  for (const uid of uids) {
    const doc = byUid.get(uid);
    if (!doc || !owns(scope, doc.owner) || (doc.hidden & hiddenBit(level)) !== 0) continue;
    if (change.unchangedSince !== undefined && doc.mod[level] > change.unchangedSince) {
      modified.push(uid);
      continue;
    }
    const before = doc.flags[level];
    const flags = results.get(before) ?? changeFlags(before, change);
    results.set(before, flags);
    if (flags === before) continue;
    const modSeq = tx.modSeq();
    const replacement = { ...doc, flags: { ...doc.flags, [level]: flags }, mod: { ...doc.mod, [level]: modSeq } };
    tx.write('entries', { replaceOne: { filter: { _id: doc._id }, replacement } });
    changed.push({ uid, flags, modSeq });
    tx.log({
      kind: 'flags',
      uid,
      folder,
      entryId: doc._id as EntryId,
      messageId: doc.messageId as MessageId,
      owner: doc.owner,
      level,
      flags: { [level]: flags },
    });
  }
  return { changed, modified, modSeq: tx.takenModSeq as ModSeq };
}
