/**
 * What every transition of an entry means (DESIGN §7.3–§7.8), without any database: from how an entry stands and what is
 * asked of it, to what it becomes. A driver loads Standings, asks here, and writes the Next it is given; two drivers
 * that do so cannot differ in meaning.
 *
 * What must stay true: nothing here reads a clock or a number sequence; a Next is complete (a driver never guesses); an
 * entry is taken by at most one drop at a time, and `inEffect` is the only test of which one that is.
 */
import type {
  ActionFolder,
  ActionName,
  Direction,
  DropMode,
  EntryClass,
  EntryId,
  Folder,
  JobState,
  Level,
  Place,
  ReadableFolder,
  State,
  Step,
  Uid,
} from './model.ts';
import { levels, stepsOf } from './model.ts';
import type { RefusalReason } from './port.ts';

/** Flags of each level, blank-separated. */
export type Flags = Readonly<Record<Level, string>>;

export interface JobStanding {
  readonly key: string;
  readonly dropId: string;
  readonly step: Step;
  readonly state: JobState;
}

/** A stay that a drop began: on an action folder, in Trash by a discard, back home by a restore. */
export interface Target {
  readonly uid: Uid;
  readonly folder: Folder;
  readonly dropId: string;
  readonly action: ActionName;
  readonly account: string;
  /** The folder and the stay it was taken from. */
  readonly cameFrom: ReadableFolder;
  readonly from: Uid;
}

/** The fields of an entry that transitions change. */
export interface Fields {
  readonly state: State;
  readonly place: Place;
  readonly flags: Flags;
  /** The open stay shows a put-off delivery (DESIGN §7.6); belongs to the stay. */
  readonly waiting: boolean;
  /** Levels that expunged the open stay in Trash, as bits (see hiddenBit); belongs to the stay. */
  readonly hidden: number;
  /** The drop that took it last. */
  readonly dropId: string | undefined;
  /** The drop that copied it onto Spam or Not Spam while it stayed. */
  readonly copiedBy: string | undefined;
  /** When a released copy leaves its folder, in milliseconds since 1970. */
  readonly leaveAt: number | undefined;
}

/** How an entry stands. */
export interface Standing extends Fields {
  readonly id: EntryId;
  readonly class: EntryClass;
  readonly direction: Direction;
  readonly recipient: string;
  /** The open stay in a readable folder. */
  readonly uid: Uid | undefined;
  readonly folder: ReadableFolder | undefined;
  /** All its jobs that may still matter: of its last drop, and every unfinished one. */
  readonly jobs: readonly JobStanding[];
  readonly targets: readonly Target[];
}

/** What an entry becomes. */
export interface Next extends Fields {
  /** Of the open stay: it goes on, it ends, or it ends (if there is one) and another begins. */
  readonly stay: 'goes-on' | 'ends' | { readonly folder: ReadableFolder; readonly prefix?: string };
  /** A stay in this action folder begins, for the drop that takes the entry. */
  readonly onto?: ActionFolder;
  /** Jobs to insert for the drop that takes the entry. */
  readonly add: readonly Step[];
  /** Keys of unfinished jobs to cancel; the lease of a running one is void from then on. */
  readonly cancel: readonly string[];
  /** Keys of jobs to try at once. */
  readonly dueNow: readonly string[];
  /** UIDs of stays in action folders that stand for nothing any more. */
  readonly over: readonly Uid[];
}

/** What is asked of an entry by a drop. */
export interface Onto {
  readonly action: ActionName;
  readonly mode: DropMode;
  readonly dropId: string;
  /** The folder the entry is taken from, and the level of the account that does it. */
  readonly folder: ReadableFolder;
  readonly level: Level;
  readonly restoreTo: ReadableFolder | undefined;
}

export type Answer =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused'; readonly reason: RefusalReason }
  /** Explained by an earlier drop: its pair again (none where a copy merely leaves the view). */
  | { readonly kind: 'known'; readonly to: Uid | undefined; readonly next?: Next }
  /** Taken by this drop; the pair names the new stay in the action folder or the one in the readable folder. */
  | { readonly kind: 'taken'; readonly next: Next; readonly to: 'action' | 'stay' };

const bits: Readonly<Record<Level, number>> = { recipient: 1, domain: 2, global: 4 };

export function hiddenBit(level: Level): number {
  return bits[level];
}

/** An entry's own folder: where it arrived, and where it comes back to. */
export function homeOf(entry: Pick<Standing, 'class' | 'direction'>): ReadableFolder {
  if (entry.class === 'training') return 'training';
  return entry.direction === 'incoming' ? 'caught' : 'outgoing';
}

export function placeOf(folder: ReadableFolder): Place {
  return folder === 'outgoing' ? 'caught' : folder;
}

const unfinished = (job: JobStanding): boolean => job.state === 'ready' || job.state === 'leased';
const isTraining = (job: JobStanding): boolean => job.step !== 'deliver';

/** Whether the drop behind this target is what the entry's present state comes from. */
export function inEffect(
  entry: Pick<Standing, 'state' | 'dropId' | 'copiedBy'> & { readonly uid: Uid | undefined },
  target: Target,
): boolean {
  switch (target.action) {
    case 'release':
    case 'release-train':
      return entry.dropId === target.dropId && (entry.state === 'dropped' || entry.state === 'released');
    case 'spam':
    case 'not-spam':
      return entry.copiedBy === target.dropId || (entry.dropId === target.dropId && entry.state === 'trained');
    case 'discard':
    case 'restore':
      return entry.uid === target.uid;
  }
}

// ------------------------------------------------------------------------------------------------------------- flags

function eachLevel(flags: Flags, change: (set: string) => string): Flags {
  return { recipient: change(flags.recipient), domain: change(flags.domain), global: change(flags.global) };
}

function without(flags: Flags, ...gone: readonly string[]): Flags {
  return eachLevel(flags, (set) =>
    gone.some((flag) => set.includes(flag))
      ? set
          .split(' ')
          .filter((flag) => !gone.includes(flag))
          .join(' ')
      : set,
  );
}

function withFlag(flags: Flags, flag: string): Flags {
  return eachLevel(flags, (set) => (set === '' ? flag : set.split(' ').includes(flag) ? set : `${set} ${flag}`));
}

export function sameFlags(a: Flags, b: Flags): boolean {
  return levels.every((level) => a[level] === b[level]);
}

/** What a returning entry keeps (DESIGN §7.4). */
const returning = (flags: Flags): Flags => without(flags, '\\Seen', '\\Deleted', '$Releasing');

// ------------------------------------------------------------------------------------------------- building a Next

type Changes = Partial<Omit<Next, 'over'>>;

/** The entry as it is, but for these changes. Ending or beginning a stay resets what belongs to the stay. */
function becomes(entry: Standing, changes: Changes): Next {
  const stay = changes.stay ?? 'goes-on';
  const begins = typeof stay === 'object';
  const next: Omit<Next, 'over'> = {
    state: entry.state,
    place: begins ? placeOf(stay.folder) : stay === 'ends' ? 'none' : entry.place,
    flags: stay === 'goes-on' ? entry.flags : without(entry.flags, '\\Deleted', '$Releasing'),
    waiting: stay === 'goes-on' ? entry.waiting : false,
    hidden: stay === 'goes-on' ? entry.hidden : 0,
    dropId: entry.dropId,
    copiedBy: entry.copiedBy,
    leaveAt: stay === 'goes-on' ? entry.leaveAt : undefined,
    stay,
    add: [],
    cancel: [],
    dueNow: [],
    ...changes,
  };
  const uid = stay === 'goes-on' ? entry.uid : undefined;
  const over = entry.targets
    .filter((target) => isAction(target.folder) && inEffect(entry, target) && !inEffect({ ...next, uid }, target))
    .map((target) => target.uid);
  return { ...next, over };
}

function isAction(folder: Folder): folder is ActionFolder {
  return folder === 'release' || folder === 'release-train' || folder === 'spam' || folder === 'not-spam';
}

/** Out of every view; nothing else changes. */
function leaves(entry: Standing, more: Changes = {}): Next {
  return becomes(entry, { stay: 'ends', ...more });
}

/** Held again, in its own folder, under a new UID. */
function returns(entry: Standing, more: Changes = {}): Next {
  return becomes(entry, { state: 'held', stay: { folder: homeOf(entry) }, flags: returning(entry.flags), ...more });
}

/** What EXPUNGE does to a held entry: discarded, or as trained as the MOVE would have left it (DESIGN §7.5). */
function discards(entry: Standing, dropId: string | undefined, more: Changes = {}): Next {
  const stay = { folder: 'trash' } as const;
  return entry.copiedBy === undefined
    ? becomes(entry, { state: 'discarded', stay, dropId, ...more })
    : becomes(entry, { state: 'trained', stay, dropId: entry.copiedBy, copiedBy: undefined, ...more });
}

// -------------------------------------------------------------------------------------------------------------- take

const unknown: Answer = { kind: 'unknown' };
const refused = (reason: RefusalReason): Answer => ({ kind: 'refused', reason });

/**
 * A drop of the stay `asked`, which is or was one of this entry in `on.folder` and in the account's scope (the driver
 * answers 'unknown' for all others by itself).
 */
export function take(entry: Standing, asked: Uid, on: Onto): Answer {
  if (entry.uid !== asked) return takeGone(entry, on);
  if (entry.hidden & bits[on.level]) return unknown;
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
    case 'discard':
      return { kind: 'taken', to: 'stay', next: discards(entry, dropId, { cancel }) };
    case 'release':
    case 'release-train': {
      if (entry.class === 'training') return refused('not-allowed');
      if (entry.recipient === '') return refused('no-recipient');
      const add = stepsOf[action];
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
        next: moves ? trains(entry, action, dropId, cancel) : trainsCopy(entry, action, dropId, cancel),
      };
    }
  }
}

/** A later training takes the place of an unfinished earlier one (DESIGN §7.3). */
function superseded(entry: Standing, steps: readonly Step[]): readonly string[] {
  if (!steps.some((step) => step !== 'deliver')) return [];
  return entry.jobs.filter((job) => isTraining(job) && unfinished(job)).map((job) => job.key);
}

/** MOVE onto Spam or Not Spam, and everything onto them out of Trash. */
function trains(entry: Standing, action: ActionFolder, dropId: string, cancel: readonly string[]): Next {
  const add = stepsOf[action];
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
function trainsCopy(entry: Standing, action: ActionFolder, dropId: string, cancel: readonly string[]): Next {
  const add = stepsOf[action];
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

function takeFromTrash(entry: Standing, on: Onto): Answer {
  switch (on.action) {
    case 'spam':
    case 'not-spam':
      return { kind: 'taken', to: 'action', next: trains(entry, on.action, on.dropId, []) };
    case 'restore':
      if (on.restoreTo !== homeOf(entry)) return refused('not-allowed');
      return { kind: 'taken', to: 'stay', next: returns(entry, { dropId: on.dropId }) };
    case 'release':
    case 'release-train':
    case 'discard':
      return refused('not-allowed');
  }
}

// ---------------------------------------------------------------------------------------------------- undo, roll back

export type Undone =
  | { readonly kind: 'ignored' }
  | { readonly kind: 'refused'; readonly reason: RefusalReason }
  | { readonly kind: 'undone'; readonly next: Next };

/** Back to where the drop behind `target` took it from, as far as that can be known. Always a stay of its own. */
function takenBack(entry: Standing, target: Target): Next {
  const cancel = entry.jobs.filter((job) => job.dropId === target.dropId && unfinished(job)).map((job) => job.key);
  const copied = entry.copiedBy === target.dropId;
  // A discard turned a copy on Spam into what the MOVE would have been (see `discards`): that copy comes back.
  const wasCopied = target.action === 'discard' && entry.state === 'trained';
  const copiedBy = copied ? undefined : wasCopied ? entry.dropId : entry.copiedBy;
  const flags = copied ? without(returning(entry.flags), '$Trained') : returning(entry.flags);
  return target.cameFrom === 'trash'
    ? becomes(entry, { state: 'discarded', stay: { folder: 'trash' }, flags, copiedBy, cancel })
    : returns(entry, { flags, copiedBy, cancel });
}

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
  const { state, copiedBy, cancel } = back;
  const copied = entry.copiedBy === target.dropId;
  // Another drop has taken the copied entry since: only the training goes.
  if (copied && entry.state !== 'held')
    return becomes(entry, { copiedBy, cancel, flags: without(entry.flags, '$Trained') });
  if (entry.uid !== target.from) return back;
  return becomes(entry, { state, copiedBy, cancel, flags: without(entry.flags, copied ? '$Trained' : '$Releasing') });
}

// ----------------------------------------------------------------------------------------------------------- expunge

/** EXPUNGE of the open stay at one level (DESIGN §7.5, §7.6, §7.8); `dropId` names the act for the record. */
export function expunge(entry: Standing, level: Level, dropId: string): Next {
  if (entry.folder === 'trash') return becomes(entry, { hidden: entry.hidden | bits[level] });
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

/** A released copy's time in view is over. */
export function leavesView(entry: Standing): Next {
  return leaves(entry);
}
