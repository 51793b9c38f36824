/** EXPUNGE (DESIGN §7.5, §7.6, §7.8). What it does to each entry is decided in ../transitions.ts. */
import { randomUUID } from 'node:crypto';
import type { Actor, Folder, ModSeq, Uid } from '../model.ts';
import type { StaySet } from '../port.ts';
import { owns } from '../scope.ts';
import { lineOf, type StandingRow } from '../standing.ts';
import * as rules from '../transitions.ts';
import { insertDrop } from './drops.ts';
import { load, type Taker, write } from './standing.ts';
import type { Tx } from './tx.ts';

const text = {
  stays: `SELECT s.entry_id AS entryId, s.uid, s.folder FROM json_each(?) i CROSS JOIN stays s ON s.uid = i.value`,
};

export function expunge(
  tx: Tx,
  stays: StaySet,
  actor: Actor,
): { readonly left: readonly Uid[]; readonly modSeq: ModSeq } {
  const { scope, folder } = stays;
  const level = scope.level;
  const asked = new Set(stays.uids);
  const found: { entryId: number; uid: Uid; folder: Folder }[] = tx.sql(text.stays).all(JSON.stringify([...asked]));
  const ids = found.filter((stay) => stay.folder === folder).map((stay) => stay.entryId);
  const rows = [...load(tx, [...new Set(ids)]).values()].filter(
    (row) =>
      row.folder === folder &&
      asked.has(row.uid!) &&
      (row.hidden & rules.hiddenBit(level)) === 0 &&
      owns(scope, row.owner),
  );
  const left: Uid[] = [];
  // A discard is written down as a drop of its own, so that the history can say whose it was.
  const taker: Taker = { dropId: randomUUID(), dueAt: null };
  if (rows.some((row) => row.state === 'held'))
    insertDrop(
      tx,
      { id: taker.dropId, lease: '', actor, scope, folder, action: 'discard', mode: 'move', undoMs: 0, hostname: '' },
      { sealed: true, ripe: true },
    );
  for (const row of rows.sort(byUid)) {
    const next = rules.expunge(row, level, taker.dropId);
    write(tx, row, next, taker);
    left.push(row.uid!);
    if (folder === 'trash') tx.log({ kind: 'leave', ...lineOf(row, row.uid!, folder), level });
  }
  return { left, modSeq: tx.takenModSeq as ModSeq };
}

const byUid = (a: StandingRow, b: StandingRow): number => a.uid! - b.uid!;
