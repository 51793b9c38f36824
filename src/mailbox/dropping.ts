/**
 * Puts messages on an action, in chunks, by the rules of DESIGN §7.5: a MOVE does what can be done and says what could
 * not; a COPY does all or nothing (RFC 3501 §6.4.7). Nothing is answered before it is durable and in the view.
 */
import { channel } from 'node:diagnostics_channel';
import { stepsLearned } from '#app/quarantine/actions';
import { explain, type LeftOut } from '#app/quarantine/refusals';
import type { Targets, Transferred } from '#imap/backend';
import { No } from '#imap/errors';
import { LeaseLost } from '#store/errors';
import type { ActionName, ReadableFolder, Uid } from '#store/model';
import type { DropRequest, OpenDrop, Pair, Taken } from '#store/port';
import type { Who, World } from './account.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const chunkTaken = channel('lazaret:drop.chunk');

/** One transaction each; the store takes no more at once. */
const chunkSize = 1_000;

export interface Drop {
  readonly from: ReadableFolder;
  readonly action: ActionName;
  /** For `restore`: the folder a message has to have come from. */
  readonly restoreTo?: ReadableFolder;
  readonly progress: (sentence: string) => void;
}

/** Undo is for what lies in action folders; Trash has its own way back. */
const hasUndo = (action: ActionName): boolean => action !== 'discard' && action !== 'restore';

function request(world: World, who: Who, { from, action }: Drop, mode: DropRequest['mode']): DropRequest {
  const { hostname, undoMs, learn } = world;
  const steps = stepsLearned(action, who.actor.via, learn);
  return {
    actor: who.actor,
    scope: who.scope,
    folder: from,
    action,
    mode,
    // What a discard teaches waits as well: who restores at once has taught nothing.
    undoMs: hasUndo(action) || steps ? undoMs : 0,
    hostname,
    ...(steps && { steps }),
  };
}

export async function moveStays(world: World, who: Who, targets: Targets, on: Drop): Promise<Transferred> {
  const { store } = world;
  const uids = targets.uids as readonly Uid[];
  const pairs: Pair[] = [];
  const left: number[] = [];
  const leftOut: LeftOut[] = [];
  let modSeq = 0;
  let interrupted: unknown;
  let drop = store.drops.begin(request(world, who, on, 'move'));

  for (let at = 0; at < uids.length; at += chunkSize) {
    const chunk = uids.slice(at, at + chunkSize);
    const last = at + chunkSize >= uids.length;
    let taken: Taken;
    try {
      [drop, taken] = await takeChunk(world, drop, chunk, last, on);
    } catch (error) {
      interrupted = error;
      break;
    }
    for (const pair of taken.pairs) pairs.push(pair);
    for (const uid of taken.left) left.push(uid);
    for (const { reason } of taken.refused) leftOut.push(reason);
    for (const _ of taken.unknown) leftOut.push('gone');
    modSeq = Math.max(modSeq, taken.modSeq);
    chunkTaken.publish(taken);
    if (!last) on.progress(`${at + chunk.length} of ${uids.length} messages are done`);
  }

  if (interrupted !== undefined) {
    // What the earlier chunks took stays taken. If this fails too, whoever finds the drop's lease run out seals it.
    if (left.length === 0) throw interrupted;
    await store.drops.seal(drop).catch(() => undefined);
    world.log.warn({ err: interrupted, account: who.name, done: left.length, asked: uids.length }, 'a drop broke off');
  }
  if (left.length > 0) tell(world, who, on.action, left.length);

  // What somebody dropped there before leaves this client's folder as well, if it was still shown it (DESIGN §7.5).
  const over = pairs.length > left.length ? [...new Set([...left, ...pairs.map(({ from }) => from)])] : left;

  // A client that lost the answer of this same command may ask again for what is no longer in its view.
  if (targets.ranges && hasUndo(on.action) && interrupted === undefined) {
    const asked = new Set<number>(uids);
    const earlier = await store.drops.earlierPairs(who.actor, who.scope, on.from, on.action, targets.ranges);
    for (const pair of earlier) if (!asked.has(pair.from)) pairs.push(pair);
  }
  await world.feed.upTo(modSeq);

  const said = explain(leftOut, uids.length, { restoring: on.action === 'restore' });
  const refusal =
    interrupted !== undefined
      ? new No('UNAVAILABLE', `Only ${left.length} of ${uids.length} messages are done, please try the others again`, {
          cause: interrupted,
        })
      : said && new No(said.code, said.text);
  return { left: over, ...copyUid(store.uidValidity, pairs), ...(refusal && { refusal }) };
}

export async function copyStays(
  world: World,
  who: Who,
  uids: readonly number[],
  on: Drop,
  mode: 'copy' | 'append' = 'copy',
): Promise<Transferred> {
  if (uids.length === 0) return { left: [] };
  const { store } = world;
  const drop = store.drops.begin(request(world, who, on, mode));
  const pairs: Pair[] = [];
  let modSeq = 0;
  try {
    for (let at = 0; at < uids.length; at += chunkSize) {
      const chunk = uids.slice(at, at + chunkSize) as Uid[];
      const last = at + chunkSize >= uids.length;
      const taken = await store.drops.take(drop, chunk, { last, ...restoreTo(on) });
      const leftOut = [
        ...taken.refused.map(({ reason }): LeftOut => reason),
        ...taken.unknown.map((): LeftOut => 'gone'),
      ];
      const said = explain(leftOut, uids.length, { restoring: on.action === 'restore', allOrNothing: true });
      if (said) throw new No(said.code, said.text);
      for (const pair of taken.pairs) pairs.push(pair);
      modSeq = Math.max(modSeq, taken.modSeq);
      chunkTaken.publish(taken);
      if (!last) on.progress(`${at + chunk.length} of ${uids.length} messages are done`);
    }
  } catch (error) {
    // If this fails too, whoever finds the drop's lease run out rolls it back: a COPY that was not sealed never acts.
    await store.drops.rollBack(drop).catch((err: unknown) => world.log.warn({ err }, 'a drop is not rolled back yet'));
    // What was taken and given back may have a new UID; if it cannot be read now, the next command reads it.
    await world.feed.refresh().catch(() => undefined);
    if (error instanceof LeaseLost)
      throw new No('UNAVAILABLE', 'It took too long, so nothing was done. Please try again', { cause: error });
    throw error;
  }
  tell(world, who, on.action, uids.length);
  await world.feed.upTo(modSeq);
  return { left: [], ...copyUid(store.uidValidity, pairs) };
}

/** Takes a chunk; if the drop's lease ran out (and it was sealed with what it had), by a new drop for the rest. */
async function takeChunk(
  world: World,
  drop: OpenDrop,
  chunk: readonly Uid[],
  last: boolean,
  on: Drop,
): Promise<[OpenDrop, Taken]> {
  const { drops } = world.store;
  const options = { last, ...restoreTo(on) };
  try {
    return [drop, await drops.take(drop, chunk, options)];
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error;
    const { id, lease, ...again } = drop;
    world.log.warn({ drop: id, lease }, 'the lease of a drop ran out');
    const next = drops.begin(again);
    return [next, await drops.take(next, chunk, options)];
  }
}

const restoreTo = (on: Drop) => (on.restoreTo === undefined ? {} : { restoreTo: on.restoreTo });

/** RFC 4315 §3: source UIDs ascending, destinations in the order of their sources. */
export function copyUid(uidValidity: number, pairs: readonly Pair[]): Pick<Transferred, 'copyUid'> {
  if (pairs.length === 0) return {};
  const sorted = [...pairs].sort((a, b) => a.from - b.from);
  return { copyUid: { uidValidity, from: sorted.map((pair) => pair.from), to: sorted.map((pair) => pair.to) } };
}

function tell(world: World, who: Who, action: string, count: number): void {
  world.onEvent({ kind: 'dropped', account: who.name, action, count });
}
