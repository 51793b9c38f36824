/** What drivers know of an entry beside what the rules ask for, to write and to log its transitions. */
import { randomUUID } from 'node:crypto';
import type { ActionName, EntryId, Folder, MessageId, Step, Uid } from './model.ts';
import { stepsOf } from './model.ts';
import type { DropRequest, NewEntry, OpenDrop } from './port.ts';
import type { Next, Standing } from './transitions.ts';
import { isTraining } from './transitions.ts';

/** How an entry stands, with what is needed to write and to log. */
export interface StandingRow extends Standing {
  readonly messageId: MessageId;
  readonly owner: string;
  readonly prefix: string;
  readonly size: number;
  readonly internalDate: number;
}

export interface Written {
  /** The new stay in the action folder, and the one in a readable folder. */
  readonly action?: Uid;
  readonly stay?: Uid;
  /** The stay that ended. */
  readonly left?: Uid;
}

/** What every line of the log says of an entry. */
export function lineOf(
  row: Pick<StandingRow, 'id' | 'messageId' | 'owner'>,
  uid: Uid,
  folder: Folder,
): { uid: Uid; folder: Folder; entryId: EntryId; messageId: MessageId; owner: string } {
  return { uid, folder, entryId: row.id, messageId: row.messageId, owner: row.owner };
}

/** What an entry shows with this prefix above it (`{id}` in it becomes its id), and how many octets that is. */
export function shownWith(row: StandingRow, prefix: string | undefined): { prefix: string; size: number } {
  if (prefix === undefined) return { prefix: row.prefix, size: row.size };
  const next = prefix.replaceAll('{id}', String(row.id));
  return { prefix: next, size: row.size + Buffer.byteLength(next) - Buffer.byteLength(row.prefix) };
}

interface Stepping {
  readonly action: ActionName;
  readonly steps?: readonly Step[];
}

/** The steps of a drop: those of its action, and one training more where it says so. @throws TypeError */
export function stepsOfDrop({ action, steps }: Stepping): readonly Step[] {
  const own = stepsOf[action];
  if (steps === undefined) return own;
  const more = steps.slice(own.length);
  const isLesson = more.length === 1 && more[0] !== 'deliver' && !own.some((step) => step !== 'deliver');
  const fits = own.every((step, at) => steps[at] === step) && (more.length === 0 || (isLesson && action !== 'restore'));
  if (!fits) throw new TypeError(`A drop on ${action} cannot have the steps ${steps.join(', ') || '(none)'}`);
  return steps;
}

/** A new drop, named, and the lease of whoever began it. @throws TypeError */
export function begin(request: DropRequest): OpenDrop {
  stepsOfDrop(request);
  return { ...request, id: randomUUID(), lease: randomUUID() };
}

export function trainingStep(drop: Stepping): Step | undefined {
  return stepsOfDrop(drop).find((step) => step !== 'deliver');
}

/** Whether this drop has had something learned of the entry. */
export const trainedBy = (row: Pick<Standing, 'jobs'>, dropId: string): boolean =>
  row.jobs.some((job) => job.dropId === dropId && isTraining(job));

/** Messages of which an account's last training was called off, by account. */
export type Untaught = Map<string, MessageId[]>;

/** A drop that takes an entry back from an earlier one calls off what that was to teach; called before it is written. */
export function noteCalledOff(untaught: Untaught, row: StandingRow, next: Next): void {
  if (next.add.length > 0) return; // a later training takes its place
  for (const job of row.jobs) {
    if (!isTraining(job) || !next.cancel.includes(job.key)) continue;
    const account = row.targets.find((target) => target.dropId === job.dropId)?.account;
    if (account === undefined) continue;
    const known = untaught.get(account);
    if (known) known.push(row.messageId);
    else untaught.set(account, [row.messageId]);
  }
}

/** Lines of the training history that are kept of one message. */
export const trainingLinesKept = 100;

/** When an entry that is held now ends by itself; undefined for never. */
export function expiryOf(entry: Pick<NewEntry, 'class' | 'leaveAfterMs'>, now: number): number | undefined {
  return entry.class === 'training' && entry.leaveAfterMs !== undefined ? now + entry.leaveAfterMs : undefined;
}

/** What a training teaches. */
export const classOf = (step: Step): 'spam' | 'ham' => (step === 'train-spam' ? 'spam' : 'ham');

/** A drop that no chunk renews for so long has lost its process. */
export const dropLeaseMs = 30_000;

/** Entries or jobs that one transaction of roll-back or housekeeping touches, so that no other writer waits long. */
export const pieceSize = 500;

/** The same in all tries (DESIGN §4.4), and another for each entry of the drop. */
export function resentMessageId(dropId: string, entryId: EntryId | undefined, hostname: string): string {
  return `<${dropId}${entryId === undefined ? '' : `.${entryId}`}@${hostname}>`;
}

/** The outcome of a training for which no trainer was configured (DESIGN §7.11). */
export const noTrainer = 'no trainer';
