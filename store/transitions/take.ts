/** What a drop does to an entry (DESIGN §7.3, §7.5, §7.6): one function for each way an entry can stand. */
import type { ActionFolder, ActionName, DropMode, Level, ReadableFolder, Step, Uid } from '../model.ts';
import type { RefusalReason } from '../port.ts';
import {
  becomes,
  type Changes,
  discards,
  hiddenBit,
  homeOf,
  inEffect,
  isTraining,
  leaves,
  type Next,
  returns,
  type Standing,
  unfinished,
  withFlag,
  without,
} from './next.ts';

/** What is asked of an entry by a drop. */
export interface Onto {
  readonly action: ActionName;
  /** Of this drop: those of the action, or more. */
  readonly steps: readonly Step[];
  readonly mode: DropMode;
  readonly dropId: string;
  /** The folder the entry is taken from, and the level of the account that does it. */
  readonly folder: ReadableFolder;
  readonly level: Level;
  readonly restoreTo: ReadableFolder | undefined;
  /** What was released is to be delivered once more. */
  readonly again: boolean;
}

export type Answer =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused'; readonly reason: RefusalReason }
  /** Explained by an earlier drop: its pair again (none where a copy merely leaves the view). */
  | { readonly kind: 'known'; readonly to: Uid | undefined; readonly next?: Next }
  /** Taken by this drop; the pair names the new stay in the action folder or the one in the readable folder. */
  | { readonly kind: 'taken'; readonly next: Next; readonly to: 'action' | 'stay' };

const unknown: Answer = { kind: 'unknown' };
const refused = (reason: RefusalReason): Answer => ({ kind: 'refused', reason });

/**
 * A drop of the stay `asked`, which is or was one of this entry in `on.folder` and in the account's scope (the driver
 * answers 'unknown' for all others by itself).
 */
export function take(entry: Standing, asked: Uid, on: Onto): Answer {
  if (on.again && entry.state === 'released') return takeAgain(entry, on);
  if (entry.uid !== asked) return takeGone(entry, on);
  if (entry.hidden & hiddenBit(on.level)) return unknown;
  switch (entry.state) {
    case 'held':
      return takeHeld(entry, on, []);
    case 'dropped':
    case 'released':
      return entry.waiting ? takeWaiting(entry, on) : takeCopied(entry, on);
    case 'discarded':
    case 'trained':
      return takeFromTrash(entry, on);
    case 'expired':
      return unknown;
  }
}

/** The stay is over: the same action explains it, another one refuses it, and what came back since is another UID. */
function takeGone(entry: Standing, on: Onto): Answer {
  const target = entry.targets.find((each) => each.action === on.action && inEffect(entry, each));
  if (target) return { kind: 'known', to: target.uid };
  switch (entry.state) {
    case 'dropped':
    case 'released':
      return refused('released');
    case 'discarded':
    case 'trained':
      return refused(entry.state);
    case 'held':
    case 'expired':
      return unknown;
  }
}

/** `cancel`: jobs of a put-off delivery that this drop takes the place of. */
function takeHeld(entry: Standing, on: Onto, cancel: readonly string[]): Answer {
  const { action, dropId } = on;
  const moves = on.mode === 'move';
  switch (action) {
    case 'restore':
      return refused('not-allowed');
    case 'discard': {
      // What a copy on Spam or Not Spam taught is what a person said of it.
      const add = entry.copiedBy === undefined ? on.steps : [];
      const next = discards(entry, dropId, { add, cancel: [...cancel, ...superseded(entry, add)] });
      return { kind: 'taken', to: 'stay', next };
    }
    case 'release':
    case 'release-train': {
      if (entry.class === 'training') return refused('not-allowed');
      if (entry.recipient === '') return refused('no-recipient');
      const add = on.steps;
      const changes: Changes = { state: 'dropped', dropId, onto: action, add, cancel: superseded(entry, add) };
      const next = moves
        ? leaves(entry, changes)
        : becomes(entry, { ...changes, flags: withFlag(entry.flags, '$Releasing') });
      return { kind: 'taken', to: 'action', next };
    }
    case 'spam':
    case 'not-spam': {
      const earlier = entry.targets.find((each) => each.dropId === entry.copiedBy && each.action === action);
      // Copied onto it before: a MOVE now only does what the EXPUNGE after that COPY would have done.
      if (earlier) {
        const known = { kind: 'known', to: earlier.uid } as const;
        if (moves) return { ...known, next: discards(entry, dropId, { cancel }) };
        return cancel.length === 0 ? known : { ...known, next: becomes(entry, { ...heldAgain(entry), cancel }) };
      }
      return {
        kind: 'taken',
        to: 'action',
        next: moves ? trains(entry, action, on, cancel) : trainsCopy(entry, action, on, cancel),
      };
    }
  }
}

/** A later training takes the place of an unfinished earlier one (DESIGN §7.3). */
function superseded(entry: Standing, steps: readonly Step[]): readonly string[] {
  if (!steps.some((step) => step !== 'deliver')) return [];
  return entry.jobs.filter((job) => isTraining(job) && unfinished(job)).map((job) => job.key);
}

/**
 * What a discard was to teach is not meant any more when it is taken back. What has ended has been learned. (What was put
 * onto Spam or Not Spam was put there to be learned.)
 */
function calledOff(entry: Standing): Pick<Changes, 'cancel' | 'revive'> {
  if (entry.state !== 'discarded') return {};
  const lessons = entry.jobs.filter((job) => job.dropId === entry.dropId && isTraining(job) && unfinished(job));
  if (lessons.length === 0) return {};
  const revive = entry.jobs.filter(
    (job) => isTraining(job) && job.state === 'cancelled' && job.cancelledBy === entry.dropId,
  );
  return { cancel: lessons.map((job) => job.key), revive: revive.map((job) => job.key) };
}

/** MOVE onto Spam or Not Spam, and everything onto them out of Trash. */
function trains(entry: Standing, action: ActionFolder, on: Onto, cancel: readonly string[]): Next {
  const { dropId, steps: add } = on;
  return becomes(entry, {
    state: 'trained',
    stay: { folder: 'trash' },
    dropId,
    copiedBy: undefined,
    onto: action,
    add,
    cancel: [...cancel, ...superseded(entry, add)],
  });
}

/** A put-off delivery that is cancelled leaves its stay behind as an ordinary held one. */
function heldAgain(entry: Standing): Changes {
  return { state: 'held', waiting: false, flags: without(entry.flags, '$Releasing') };
}

/** COPY onto Spam or Not Spam: the stay goes on. */
function trainsCopy(entry: Standing, action: ActionFolder, on: Onto, cancel: readonly string[]): Next {
  const { dropId, steps: add } = on;
  return becomes(entry, {
    ...heldAgain(entry),
    flags: withFlag(without(entry.flags, '$Releasing'), '$Trained'),
    copiedBy: dropId,
    onto: action,
    add,
    cancel: [...cancel, ...superseded(entry, add)],
  });
}

/** DESIGN §7.6: dropped, and shown again because its delivery has been put off for long. */
function takeWaiting(entry: Standing, on: Onto): Answer {
  const deliver = entry.jobs.find((job) => job.dropId === entry.dropId && job.step === 'deliver' && unfinished(job));
  switch (on.action) {
    case 'release':
    case 'release-train': {
      const target = entry.targets.find((each) => each.action === on.action && inEffect(entry, each));
      if (!target) return refused('released');
      const dueNow = deliver?.state === 'ready' ? [deliver.key] : [];
      const next = on.mode === 'move' ? leaves(entry, { dueNow }) : becomes(entry, { dueNow });
      return { kind: 'known', to: target.uid, next };
    }
    case 'discard':
    case 'spam':
    case 'not-spam':
      // Without an unfinished delivery it would not be waiting: somebody ended it in a way that is not ours to undo.
      if (deliver?.state !== 'ready') return refused(deliver ? 'being-delivered' : 'released');
      return takeHeld(entry, on, [deliver.key]);
    case 'restore':
      return refused('not-allowed');
  }
}

/** On its way or delivered by a COPY, and still in view. */
function takeCopied(entry: Standing, on: Onto): Answer {
  const next = leaves(entry);
  if (on.action === 'discard') return { kind: 'known', to: undefined, next };
  if (on.action === 'restore') return refused('not-allowed');
  const target = entry.targets.find((each) => each.action === on.action && inEffect(entry, each));
  if (!target) return refused('released');
  return on.mode === 'move' ? { kind: 'known', to: target.uid, next } : { kind: 'known', to: target.uid };
}

/** A delivery of its own for what was delivered before; a copy that is still in view leaves. */
function takeAgain(entry: Standing, on: Onto): Answer {
  const { action, dropId } = on;
  if (action !== 'release' && action !== 'release-train') return refused('not-allowed');
  const add = on.steps;
  const next = leaves(entry, { state: 'dropped', dropId, onto: action, add, cancel: superseded(entry, add) });
  return { kind: 'taken', to: 'action', next };
}

function takeFromTrash(entry: Standing, on: Onto): Answer {
  switch (on.action) {
    case 'spam':
    case 'not-spam':
      return { kind: 'taken', to: 'action', next: trains(entry, on.action, on, []) };
    case 'restore':
      if (on.restoreTo !== homeOf(entry)) return refused('not-allowed');
      return { kind: 'taken', to: 'stay', next: returns(entry, { dropId: on.dropId, ...calledOff(entry) }) };
    case 'release':
    case 'release-train':
    case 'discard':
      return refused('not-allowed');
  }
}
