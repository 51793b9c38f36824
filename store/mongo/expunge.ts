/**
 * EXPUNGE (DESIGN §7.5, §7.6, §7.8). What it does to each entry is decided in ../transitions.ts.
 *
 * Queries (filter): entries `folder, uid`.
 */
import { randomUUID } from 'node:crypto';
import type { Actor, ModSeq, Uid } from '../model.ts';
import type { StaySet } from '../port.ts';
import { owns } from '../scope.ts';
import { lineOf } from '../standing.ts';
import * as rules from '../transitions.ts';
import { insertDrop } from './drops.ts';
import { type LoadedRow, standingsOf, type Taker, write } from './standing.ts';
import type { Tx } from './tx.ts';

export async function expunge(
  tx: Tx,
  stays: StaySet,
  actor: Actor,
): Promise<{ readonly left: readonly Uid[]; readonly modSeq: ModSeq }> {
  const { scope, folder, uids } = stays;
  const { level } = scope;
  const found = await tx.find('entries', { folder, uid: { $in: [...uids] } });
  const visible = found.filter((doc) => (doc.hidden & rules.hiddenBit(level)) === 0 && owns(scope, doc.owner));
  const rows = [...(await standingsOf(tx, visible)).values()];
  const left: Uid[] = [];
  // A discard is written down as a drop of its own, so that the history can say whose it was.
  const id = randomUUID();
  const taker: Taker = { dropId: id, dueAt: undefined, action: 'discard', account: actor.account, cameFrom: folder };
  if (rows.some((row) => row.state === 'held'))
    insertDrop(
      tx,
      { id, lease: '', actor, scope, folder, action: 'discard', mode: 'move', undoMs: 0, hostname: '' },
      { sealed: true, ripe: true },
    );
  for (const row of rows.sort(byUid)) {
    write(tx, row, rules.expunge(row, level, id), taker);
    left.push(row.uid!);
    if (folder === 'trash') tx.log({ kind: 'leave', ...lineOf(row, row.uid!, folder), level });
  }
  return { left, modSeq: tx.takenModSeq as ModSeq };
}

const byUid = (a: LoadedRow, b: LoadedRow): number => a.uid! - b.uid!;
