/**
 * Admission: a message and an entry for each recipient, or what stands for them already. Which entry a message folds onto
 * is DESIGN §7.9; who comes back instead of being made anew, §7.6. All that wait together are looked up together.
 */

import { parseFlags } from '../flags.ts';
import type { EntryId, Uid } from '../model.ts';
import type { Admitted, NewEntry } from '../port.ts';
import { expiryOf } from '../standing.ts';
import { homeOf, placeOf } from '../transitions.ts';
import type { Batch } from './batch.ts';
import type { EntryDoc, RepeatDoc } from './documents.ts';
import { handBack } from './handback.ts';
import { type Arriving, checkUpload, endUpload, openUploads } from './messages.ts';
import { type Outcome, outcomeOf } from './queue.ts';
import { domainOf, type Tx } from './tx.ts';

/** A key is kept at least this long, also when its entry is gone. */
const keepKeyMs = 5 * 24 * 60 * 60 * 1000;

export interface Admission extends Arriving {
  readonly entries: readonly NewEntry[];
}

export interface AdmissionAnswer {
  readonly admitted: readonly Admitted[];
  /** Whether an entry names the message now. */
  readonly needed: boolean;
}

/** What is known of entries that keys stand for, kept current while the batch runs. */
interface Known {
  readonly repeats: Map<string, RepeatDoc>;
  readonly entries: Map<number, Pick<EntryDoc, '_id' | 'uid' | 'linkedTo'>>;
}

export async function admitTogether(batch: Batch, admissions: readonly Admission[]): Promise<readonly Outcome[]> {
  const open = await openUploads(
    batch,
    admissions.map(({ message }) => message),
  );
  const known = await lookUp(batch, admissions);
  const outcomes: Outcome[] = [];
  for (const admission of admissions) {
    batch.needs(admission.written);
    outcomes.push(
      await outcomeOf(() =>
        batch.run((tx) => {
          checkUpload(open, admission.message);
          return admit(tx, admission, known);
        }),
      ),
    );
  }
  return outcomes;
}

async function lookUp(tx: Tx, admissions: readonly Admission[]): Promise<Known> {
  const keys = new Set(admissions.flatMap(({ entries }) => entries.flatMap(({ repeat }) => repeat?.key ?? [])));
  const repeats = keys.size === 0 ? [] : await tx.find('repeats', { _id: { $in: [...keys] } });
  const ids = repeats.map(({ entryId }) => entryId);
  const projection = { uid: 1, linkedTo: 1 };
  const entries = ids.length === 0 ? [] : await tx.find('entries', { _id: { $in: ids } }, { projection });
  return {
    repeats: new Map(repeats.map((doc) => [doc._id, doc])),
    entries: new Map(entries.map((doc) => [doc._id, doc])),
  };
}

async function admit(tx: Tx, { message, entries }: Admission, known: Known): Promise<AdmissionAnswer> {
  const admitted: Admitted[] = [];
  let needed = false;
  for (const entry of entries) {
    const back = entry.handBack && (await handBack(tx, entry.handBack));
    if (back) {
      if (entry.repeat) remember(tx, known, entry.repeat.key, back.entryId);
      const { linkedTo } = known.entries.get(back.entryId) ?? (await linkOf(tx, back.entryId));
      note(known, back.entryId, back.uid, linkedTo);
      admitted.push(back);
      continue;
    }
    const earlier = entry.repeat && findEarlier(tx, known, entry.repeat);
    if (earlier?.folds) {
      const uid = known.entries.get(earlier.id)?.uid as Uid | undefined;
      admitted.push({ how: 'repeat', entryId: earlier.id, ...(uid === undefined ? {} : { uid }) });
      continue;
    }
    const linkedTo = earlier?.first ?? entry.handBack?.entryId ?? entry.linkTo;
    const made = makeEntry(tx, message, entry, linkedTo);
    note(known, made.entryId, made.uid, linkedTo);
    if (entry.repeat) remember(tx, known, entry.repeat.key, made.entryId);
    needed = true;
    admitted.push(made);
  }
  if (needed) endUpload(tx, message);
  return { admitted, needed };
}

async function linkOf(tx: Tx, id: EntryId): Promise<Pick<EntryDoc, 'linkedTo'>> {
  return (await tx.findOne('entries', { _id: id }, { projection: { linkedTo: 1 } })) ?? {};
}

function note(known: Known, _id: number, uid: number | undefined, linkedTo: number | undefined): void {
  known.entries.set(_id, {
    _id,
    ...(uid === undefined ? {} : { uid }),
    ...(linkedTo === undefined ? {} : { linkedTo }),
  });
}

interface Earlier {
  readonly id: EntryId;
  /** The one that `id` itself repeats, if it does. */
  readonly first: EntryId;
  readonly folds: boolean;
}

function findEarlier(tx: Tx, known: Known, repeat: NonNullable<NewEntry['repeat']>): Earlier | undefined {
  const found = known.repeats.get(repeat.key);
  if (!found) return undefined;
  const entry = known.entries.get(found.entryId);
  const age = tx.now - found.heldAt;
  if (!entry && age > keepKeyMs) return undefined;
  return {
    id: found.entryId as EntryId,
    first: (entry?.linkedTo ?? found.entryId) as EntryId,
    folds: repeat.withinMs === undefined || age <= repeat.withinMs,
  };
}

/** The key stands for the newest entry that has it. */
function remember(tx: Tx, known: Known, key: string, entryId: EntryId): void {
  const { now: heldAt } = tx;
  if (known.repeats.has(key))
    tx.write('repeats', { replaceOne: { filter: { _id: key }, replacement: { entryId, heldAt } } });
  else tx.write('repeats', { insertOne: { document: { _id: key, entryId, heldAt } } });
  known.repeats.set(key, { _id: key, entryId, heldAt });
}

function makeEntry(
  tx: Tx,
  message: Arriving['message'],
  entry: NewEntry,
  linkedTo: EntryId | undefined,
): Admitted & { readonly uid: Uid } {
  const uid = tx.nextUid();
  const entryId = Number(uid) as EntryId;
  const modSeq = tx.modSeq();
  const folder = homeOf(entry);
  const prefix = entry.prefix.replaceAll('{id}', String(entryId));
  const size = Buffer.byteLength(prefix) + message.size;
  const flags = parseFlags(entry.flags ?? []);
  const internalDate = entry.internalDate?.getTime() ?? tx.now;
  const expiresAt = expiryOf(entry, tx.now);
  const allFlags = { recipient: flags, domain: flags, global: flags };
  const document: EntryDoc = {
    _id: entryId,
    messageId: message.id,
    owner: entry.owner,
    domain: domainOf(entry.owner),
    recipient: entry.recipient,
    ...(entry.orcpt === undefined ? {} : { orcpt: entry.orcpt }),
    direction: entry.direction,
    class: entry.class,
    place: placeOf(folder),
    state: 'held',
    ...{ uid, folder, hidden: 0, prefix, size },
    verdict: entry.verdict,
    internalDate,
    heldAt: tx.now,
    ...(linkedTo === undefined ? {} : { linkedTo }),
    waiting: false,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    flags: allFlags,
    mod: { recipient: modSeq, domain: modSeq, global: modSeq },
    stays: [{ uid, folder, beganAt: tx.now }],
  };
  tx.write('entries', { insertOne: { document } });
  const { id: messageId } = message;
  tx.log({ kind: 'enter', uid, folder, entryId, messageId, owner: entry.owner, flags: allFlags, size, internalDate });
  return { how: 'new', entryId, uid };
}
