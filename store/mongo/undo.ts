/**
 * Undo, and the pairs of drops that can still be undone (DESIGN §7.5). What each entry becomes is decided in
 * ../transitions.ts.
 *
 * Queries (filter): few UIDs: entries `stays.uid` or `stays.from`; many: drops `account`, then entries `stays.dropId`.
 */
import type { ActionFolder, ActionName, Actor, Folder, ModSeq, ReadableFolder, Scope, Uid } from '../model.ts';
import { stepsOf } from '../model.ts';
import type { Pair, Refusal, Taken, UidRange } from '../port.ts';
import { owns } from '../scope.ts';
import { trainedBy } from '../standing.ts';
import type { Target } from '../transitions.ts';
import * as rules from '../transitions.ts';
import type { EntryDoc } from './documents.ts';
import { type LoadedRow, standingsOf, write } from './standing.ts';
import { unteach } from './trainings.ts';
import type { Snapshot, Tx } from './tx.ts';

/** Those UIDs that stand for something an undo could take back or be too late for. All others of `1:*` are long over. */
export async function undoable(
  snapshot: Snapshot,
  actor: Actor,
  scope: Scope,
  folder: Folder,
  ranges: readonly UidRange[],
  backTo?: ReadableFolder,
): Promise<readonly Uid[]> {
  if (!stepsOf[folder as ActionFolder]) return [];
  const found = await targetsIn(snapshot, 'uid', actor, scope, folder, ranges);
  return found
    .filter(({ row, target }) => rules.undo(row, target, { account: actor.account, backTo }).kind !== 'ignored')
    .map(({ target }) => target.uid);
}

export async function undo(
  tx: Tx,
  actor: Actor,
  scope: Scope,
  folder: Folder,
  uids: readonly Uid[],
  backTo?: ReadableFolder,
): Promise<Taken> {
  const ranges = uids.map((uid) => ({ first: uid, last: uid }));
  const pairs: Pair[] = [];
  const left: Uid[] = [];
  const refused: Refusal[] = [];
  const untaught: number[] = [];
  for (const { row, target } of await targetsIn(tx, 'uid', actor, scope, folder, ranges)) {
    const { uid } = target;
    const undone = rules.undo(row, target, { account: actor.account, backTo });
    if (undone.kind === 'refused') refused.push({ uid, reason: undone.reason });
    if (undone.kind !== 'undone') continue;
    const { stay } = write(tx, row, undone.next);
    if (stay !== undefined) pairs.push({ from: uid, to: stay });
    left.push(uid);
    if (trainedBy(row, target.dropId)) untaught.push(row.messageId);
  }
  await unteach(tx, actor.account, untaught);
  return { pairs, left, refused, unknown: [], modSeq: tx.takenModSeq as ModSeq };
}

export async function earlierPairs(
  snapshot: Snapshot,
  actor: Actor,
  scope: Scope,
  folder: ReadableFolder,
  action: ActionName,
  ranges: readonly UidRange[],
): Promise<readonly Pair[]> {
  const onto: Folder | undefined = action === 'discard' ? 'trash' : action === 'restore' ? undefined : action;
  const pairs = new Map<Uid, Uid>();
  for (const { row, target } of await targetsIn(snapshot, 'from', actor, scope, onto, ranges))
    if (target.action === action && target.cameFrom === folder && rules.canBeTakenBack(row, target))
      pairs.set(target.from, target.uid);
  return [...pairs].map(([from, to]) => ({ from, to })).sort((a, b) => a.from - b.from);
}

interface Found {
  readonly row: LoadedRow;
  readonly target: Target;
}

/** Stays that drops of this account began, by their UID or the UID they were taken from; ascending by it. */
async function targetsIn(
  snapshot: Snapshot,
  by: 'uid' | 'from',
  actor: Actor,
  scope: Scope,
  folder: Folder | undefined,
  ranges: readonly UidRange[],
): Promise<readonly Found[]> {
  const docs = await entriesWith(snapshot, by, actor, folder, ranges);
  const rows = await standingsOf(
    snapshot,
    docs.filter((doc) => owns(scope, doc.owner)),
  );
  const found: Found[] = [];
  for (const row of rows.values())
    for (const target of row.targets)
      if (target.account === actor.account && (folder === undefined || target.folder === folder))
        found.push({ row, target });
  found.sort((a, b) => a.target[by] - b.target[by]);
  // Both ascend, so one walk finds the range of each.
  const sorted = [...ranges].sort((a, b) => a.first - b.first);
  let at = 0;
  return found.filter(({ target }) => {
    while (at < sorted.length && sorted[at]!.last < target[by]) at++;
    return at < sorted.length && sorted[at]!.first <= target[by];
  });
}

/** Up to so many UIDs are looked up one by one; more of them (1:*, or many thousand sparse ones) go through the account's drops. */
const narrow = 5000;
/** Drops whose entries are read at once. */
const dropsAtOnce = 1000;

async function entriesWith(
  snapshot: Snapshot,
  by: 'uid' | 'from',
  actor: Actor,
  folder: Folder | undefined,
  ranges: readonly UidRange[],
): Promise<readonly EntryDoc[]> {
  const count = ranges.reduce((sum, range) => sum + range.last - range.first + 1, 0);
  if (count <= narrow) {
    const uids = ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, n) => first + n));
    return snapshot.find('entries', { [`stays.${by}`]: { $in: uids } });
  }
  const drops = await snapshot.find('drops', { account: actor.account }, { projection: { action: 1 } });
  const ids = drops.filter((drop) => isOnto(drop.action, folder)).map((drop) => drop._id);
  const docs = new Map<number, EntryDoc>();
  for (let at = 0; at < ids.length; at += dropsAtOnce) {
    const some = ids.slice(at, at + dropsAtOnce);
    for (const doc of await snapshot.find('entries', { 'stays.dropId': { $in: some } })) docs.set(doc._id, doc);
  }
  return [...docs.values()];
}

/** Whether stays that this action begins can lie in the folder; those of a restore lie where the entries came from. */
function isOnto(action: ActionName, folder: Folder | undefined): boolean {
  if (folder === undefined) return action === 'restore';
  return folder === 'trash' ? action === 'discard' : action === folder;
}
