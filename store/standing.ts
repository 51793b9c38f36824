/** What drivers know of an entry beside what the rules ask for, to write and to log its transitions. */
import type { ActionName, EntryId, Folder, MessageId, Step, Uid } from './model.ts';
import { stepsOf } from './model.ts';
import type { Standing } from './transitions.ts';

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

export function trainingStep(action: ActionName): Step | undefined {
  return stepsOf[action].find((step) => step !== 'deliver');
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
