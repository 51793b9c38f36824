/**
 * How an entry stands, what it can become, and the few ways in which any transition changes it. Ending or beginning a
 * stay resets here, and only here, what belongs to the stay.
 */
import type {
  ActionFolder,
  ActionName,
  Direction,
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
} from '../model.ts';
import { levels } from '../model.ts';

/** Flags of each level, blank-separated. */
export type Flags = Readonly<Record<Level, string>>;

export interface JobStanding {
  readonly key: string;
  readonly dropId: string;
  readonly step: Step;
  readonly state: JobState;
  /** The drop that cancelled it by taking its place. */
  readonly cancelledBy?: string | null;
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
  /** What the entry was when the drop took it: an undo makes it that again. No state: it was held. */
  readonly wasState?: State | null;
  readonly wasDropId?: string | null;
  readonly wasCopiedBy?: string | null;
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
  /** Keys of cancelled trainings to do after all: what took their place was taken back. */
  readonly revive: readonly string[];
  /** Keys of jobs to try at once. */
  readonly dueNow: readonly string[];
  /** UIDs of stays in action folders that stand for nothing any more. */
  readonly over: readonly Uid[];
  /** UIDs of stays in action folders that stand for something again. */
  readonly reopen: readonly Uid[];
}
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

export const isTraining = (job: Pick<JobStanding, 'step'>): boolean => job.step !== 'deliver';

export const unfinished = (job: JobStanding): boolean => job.state === 'ready' || job.state === 'leased';

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

export function without(flags: Flags, ...gone: readonly string[]): Flags {
  return eachLevel(flags, (set) =>
    gone.some((flag) => set.includes(flag))
      ? set
          .split(' ')
          .filter((flag) => !gone.includes(flag))
          .join(' ')
      : set,
  );
}

export function withFlag(flags: Flags, flag: string): Flags {
  return eachLevel(flags, (set) => (set === '' ? flag : set.split(' ').includes(flag) ? set : `${set} ${flag}`));
}

export function sameFlags(a: Flags, b: Flags): boolean {
  return levels.every((level) => a[level] === b[level]);
}

/** What a returning entry keeps (DESIGN §7.4). */
export const returning = (flags: Flags): Flags => without(flags, '\\Seen', '\\Deleted', '$Releasing');

// ------------------------------------------------------------------------------------------------- building a Next

export type Changes = Partial<Omit<Next, 'over' | 'reopen'>>;

/** The entry as it is, but for these changes. Ending or beginning a stay resets what belongs to the stay. */
export function becomes(entry: Standing, changes: Changes): Next {
  const stay = changes.stay ?? 'goes-on';
  const begins = typeof stay === 'object';
  const next: Omit<Next, 'over' | 'reopen'> = {
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
    revive: [],
    dueNow: [],
    ...changes,
  };
  const uid = stay === 'goes-on' ? entry.uid : undefined;
  const targets = entry.targets.filter((target) => isAction(target.folder));
  const stands = (target: Target): boolean => inEffect({ ...next, uid }, target);
  const revived = entry.jobs.filter((job) => next.revive.includes(job.key)).map((job) => job.dropId);
  return {
    ...next,
    over: targets.filter((target) => inEffect(entry, target) && !stands(target)).map((target) => target.uid),
    reopen: targets.filter((target) => revived.includes(target.dropId) && stands(target)).map((target) => target.uid),
  };
}

export function isAction(folder: Folder): folder is ActionFolder {
  return folder === 'release' || folder === 'release-train' || folder === 'spam' || folder === 'not-spam';
}

/** Out of every view; nothing else changes. */
export function leaves(entry: Standing, more: Changes = {}): Next {
  return becomes(entry, { stay: 'ends', ...more });
}

/** Held again, in its own folder, under a new UID. */
export function returns(entry: Standing, more: Changes = {}): Next {
  return becomes(entry, { state: 'held', stay: { folder: homeOf(entry) }, flags: returning(entry.flags), ...more });
}

/** What EXPUNGE does to a held entry: discarded, or as trained as the MOVE would have left it (DESIGN §7.5). */
export function discards(entry: Standing, dropId: string | undefined, more: Changes = {}): Next {
  const stay = { folder: 'trash' } as const;
  return entry.copiedBy === undefined
    ? becomes(entry, { state: 'discarded', stay, dropId, ...more })
    : becomes(entry, { state: 'trained', stay, dropId: entry.copiedBy, copiedBy: undefined, ...more });
}
