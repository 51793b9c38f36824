/**
 * What every transition of an entry means (DESIGN §7.3–§7.8), without any database: from how an entry stands and what is
 * asked of it, to what it becomes. A driver loads Standings, asks here, and writes the Next it is given; two drivers
 * that do so cannot differ in meaning.
 *
 * What must stay true: nothing here reads a clock or a number sequence; a Next is complete (a driver never guesses); an
 * entry is taken by at most one drop at a time, and `inEffect` is the only test of which one that is.
 */
import type { ActionName, Level, ReadableFolder } from './model.ts';
import { stepsOf } from './model.ts';
import type { RefusalReason } from './port.ts';
import {
  becomes,
  discards,
  type Flags,
  hiddenBit,
  homeOf,
  inEffect,
  isAction,
  isTraining,
  leaves,
  type Next,
  returning,
  returns,
  type Standing,
  type Target,
  unfinished,
  withFlag,
  without,
} from './transitions/next.ts';

export {
  type Fields,
  type Flags,
  hiddenBit,
  homeOf,
  inEffect,
  isAction,
  isTraining,
  type JobStanding,
  type Next,
  placeOf,
  type Standing,
  sameFlags,
  type Target,
} from './transitions/next.ts';
export { type Answer, type Onto, take } from './transitions/take.ts';

// ---------------------------------------------------------------------------------------------------- undo, roll back

export type Undone =
  | { readonly kind: 'ignored' }
  | { readonly kind: 'refused'; readonly reason: RefusalReason }
  | { readonly kind: 'undone'; readonly next: Next };

/** Back to what it was when the drop behind `target` took it, and to the folder it was in. Always a stay of its own. */
function takenBack(entry: Standing, target: Target): Next {
  const cancel = entry.jobs.filter((job) => job.dropId === target.dropId && unfinished(job)).map((job) => job.key);
  const revive = entry.jobs
    .filter((job) => isTraining(job) && job.state === 'cancelled' && job.cancelledBy === target.dropId)
    .map((job) => job.key);
  const flags = returning(entry.flags);
  if (target.cameFrom === 'trash') {
    const state = target.wasState ?? 'discarded';
    const dropId = target.wasDropId ?? undefined;
    return becomes(entry, { state, stay: { folder: 'trash' }, flags, dropId, copiedBy: undefined, cancel, revive });
  }
  // A release leaves it as it is whether the entry is a trained copy; everything else has to put it back.
  if (isRelease(target.action)) return returns(entry, { flags, cancel, revive });
  const copiedBy = target.wasCopiedBy ?? undefined;
  return returns(entry, { flags: untrained(flags, copiedBy), copiedBy, cancel, revive });
}

/** `$Trained` belongs to a copy on Spam or Not Spam. */
function untrained(flags: Flags, copiedBy: string | undefined): Flags {
  return copiedBy === undefined ? without(flags, '$Trained') : flags;
}

const isRelease = (action: ActionName): boolean => action === 'release' || action === 'release-train';

/** Undo by the account that dropped it (DESIGN §7.5). `target` is a stay in an action folder. */
export function undo(
  entry: Standing,
  target: Target,
  by: { readonly account: string; readonly backTo: ReadableFolder | undefined },
): Undone {
  if (target.account !== by.account || !isAction(target.folder)) return { kind: 'ignored' };
  if (by.backTo !== undefined && by.backTo !== target.cameFrom) return { kind: 'ignored' };
  if (!inEffect(entry, target)) return { kind: 'ignored' };
  return canBeTakenBack(entry, target)
    ? { kind: 'undone', next: takenBack(entry, target) }
    : { kind: 'refused', reason: 'on-its-way' };
}

/** Whether the drop behind this target can still be undone; a discard and a restore have no job that could be too far. */
export function canBeTakenBack(entry: Standing, target: Target): boolean {
  if (!inEffect(entry, target)) return false;
  const step = stepsOf[target.action][0];
  if (step === undefined) return true;
  // Copied onto Spam and released since: the release is what would have to be undone first.
  if ((entry.state === 'dropped' || entry.state === 'released') && entry.dropId !== target.dropId) return false;
  const deciding = entry.jobs.find((job) => job.dropId === target.dropId && job.step === step);
  return deciding?.state === 'ready';
}

/** Takes one entry of an unsealed drop back (RFC 3501 §6.4.7); undefined if something else has become of it. */
export function rollBack(entry: Standing, target: Target): Next | undefined {
  if (!inEffect(entry, target)) return undefined;
  const back = takenBack(entry, target);
  const { state, copiedBy, cancel, revive } = back;
  const copied = entry.copiedBy === target.dropId;
  const flags = copied ? untrained(entry.flags, copiedBy) : without(entry.flags, '$Releasing');
  // Another drop has taken the copied entry since: only the training goes.
  if (copied && entry.state !== 'held') return becomes(entry, { copiedBy, cancel, revive, flags });
  if (entry.uid !== target.from) return back;
  return becomes(entry, { state, copiedBy, cancel, revive, flags });
}

// ----------------------------------------------------------------------------------------------------------- expunge

/** EXPUNGE of the open stay at one level (DESIGN §7.5, §7.6, §7.8); `dropId` names the act for the record. */
export function expunge(entry: Standing, level: Level, dropId: string): Next {
  if (entry.folder === 'trash') return becomes(entry, { hidden: entry.hidden | hiddenBit(level) });
  return entry.state === 'held' ? discards(entry, dropId) : leaves(entry);
}

// -------------------------------------------------------------------------------------------------------- deliveries

/** Delivered: a waiting stay ends at once, a copied one at `leaveAt`. */
export function delivered(entry: Standing, leaveAt: number | undefined): Next {
  const state = 'released';
  if (entry.uid === undefined) return becomes(entry, { state });
  return entry.waiting || leaveAt === undefined ? leaves(entry, { state }) : becomes(entry, { state, leaveAt });
}

/** Will not be delivered: failed for good, or handed back by the filter; its other tries are over. */
export function comesBack(entry: Standing, prefix: string | undefined): Next {
  const cancel = entry.jobs.filter((job) => job.step === 'deliver' && unfinished(job)).map((job) => job.key);
  return returns(entry, {
    stay: { folder: homeOf(entry), ...(prefix === undefined ? {} : { prefix }) },
    flags: withFlag(returning(entry.flags), '$ReleaseFailed'),
    cancel,
  });
}

/** Put off for long: still dropped, and shown. */
export function shown(entry: Standing, prefix: string): Next {
  return becomes(entry, {
    stay: { folder: homeOf(entry), prefix },
    flags: withFlag(without(returning(entry.flags), '$ReleaseFailed'), '$Releasing'),
    waiting: true,
  });
}

/** Its octets are lost: out of every view for good, and nothing more is done with it. */
export function expires(entry: Standing): Next {
  return leaves(entry, { state: 'expired', cancel: entry.jobs.filter(unfinished).map((job) => job.key) });
}

/** An entry in Training Requested that nobody took in its time. A copy on Spam or Not Spam was its judgement. */
export function timeIsUp(entry: Standing): Next {
  const { copiedBy } = entry;
  return copiedBy === undefined
    ? leaves(entry, { state: 'expired' })
    : leaves(entry, { state: 'trained', dropId: copiedBy, copiedBy: undefined });
}

/** A released copy's time in view is over. */
export function leavesView(entry: Standing): Next {
  return leaves(entry);
}
