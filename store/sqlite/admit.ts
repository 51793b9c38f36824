/**
 * Admission: a message and an entry for each recipient, or what stands for them already. Which entry a message folds onto
 * is DESIGN §7.9; who comes back instead of being made anew, §7.6.
 */
import { parseFlags } from '../flags.ts';
import type { EntryId, MessageId, Uid } from '../model.ts';
import type { Admitted, NewEntry } from '../port.ts';
import { expiryOf } from '../standing.ts';
import { homeOf, placeOf } from '../transitions.ts';
import { handBack } from './handback.ts';
import { type ArrivedMessage, giveUp, keepMessage } from './messages.ts';
import { domainOf, type Tx } from './tx.ts';

/** A key is kept at least this long, also when its entry is gone. */
const keepKeyMs = 5 * 24 * 60 * 60 * 1000;

export function admit(tx: Tx, message: ArrivedMessage, entries: readonly NewEntry[]): readonly Admitted[] {
  let messageId: MessageId | undefined;
  const admitted = entries.map((entry) => {
    const back = entry.handBack && handBack(tx, entry.handBack);
    if (back) {
      if (entry.repeat) remember(tx, entry.repeat.key, back.entryId);
      return back;
    }
    const earlier = entry.repeat && findEarlier(tx, entry.repeat);
    if (earlier?.folds) return repeated(tx, earlier.id);
    messageId ??= keepMessage(tx, message);
    const linkedTo = earlier?.first ?? entry.handBack?.entryId ?? entry.linkTo;
    const made = makeEntry(tx, messageId, message.bytes.size, entry, linkedTo);
    if (entry.repeat) remember(tx, entry.repeat.key, made.entryId);
    return made;
  });
  if (messageId === undefined) giveUp(tx, message);
  return admitted;
}

interface Earlier {
  readonly id: EntryId;
  /** The one that `id` itself repeats, if it does. */
  readonly first: EntryId;
  readonly folds: boolean;
}

function findEarlier(tx: Tx, repeat: NonNullable<NewEntry['repeat']>): Earlier | undefined {
  const row: { entry_id: EntryId; held_at: number; exists_: number; linked_to: EntryId | null } | undefined = tx
    .sql(
      `SELECT r.entry_id, r.held_at, e.id IS NOT NULL AS exists_, e.linked_to FROM repeats r
        LEFT JOIN entries e ON e.id = r.entry_id WHERE r.key = ?`,
    )
    .get(repeat.key);
  if (!row) return undefined;
  const age = tx.now - row.held_at;
  if (row.exists_ === 0 && age > keepKeyMs) return undefined;
  return {
    id: row.entry_id,
    first: row.linked_to ?? row.entry_id,
    folds: repeat.withinMs === undefined || age <= repeat.withinMs,
  };
}

/** The key stands for the newest entry that has it. */
function remember(tx: Tx, key: string, entryId: EntryId): void {
  tx.sql(
    `INSERT INTO repeats (key, entry_id, held_at) VALUES (?, ?, ?)
      ON CONFLICT (key) DO UPDATE SET entry_id = excluded.entry_id, held_at = excluded.held_at`,
  ).run(key, entryId, tx.now);
}

function repeated(tx: Tx, entryId: EntryId): Admitted {
  const row: { uid: Uid | null } | undefined = tx.sql('SELECT uid FROM entries WHERE id = ?').get(entryId);
  return { how: 'repeat', entryId, ...(row?.uid ? { uid: row.uid } : {}) };
}

function makeEntry(
  tx: Tx,
  messageId: MessageId,
  messageSize: number,
  entry: NewEntry,
  linkedTo: EntryId | undefined,
): Admitted {
  const uid = tx.nextUid();
  const entryId = Number(uid) as EntryId;
  const modSeq = tx.modSeq();
  const folder = homeOf(entry);
  const prefix = entry.prefix.replaceAll('{id}', String(entryId));
  const size = Buffer.byteLength(prefix) + messageSize;
  const flags = parseFlags(entry.flags ?? []);
  const internalDate = entry.internalDate?.getTime() ?? tx.now;
  tx.sql(
    `INSERT INTO entries (id, message_id, owner, owner_domain, recipient, orcpt, direction, class, place, state, uid,
      folder, prefix, size, verdict, internal_date, held_at, linked_to, expires_at, flags_r, flags_d, flags_g, mod_r, mod_d, mod_g)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'held', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    entryId,
    messageId,
    entry.owner,
    domainOf(entry.owner),
    entry.recipient,
    entry.orcpt ?? null,
    entry.direction,
    entry.class,
    placeOf(folder),
    uid,
    folder,
    prefix,
    size,
    JSON.stringify(entry.verdict),
    internalDate,
    tx.now,
    linkedTo ?? null,
    expiryOf(entry, tx.now) ?? null,
    flags,
    flags,
    flags,
    modSeq,
    modSeq,
    modSeq,
  );
  tx.sql('INSERT INTO stays (uid, entry_id, folder, owner, began_at) VALUES (?, ?, ?, ?, ?)').run(
    uid,
    entryId,
    folder,
    entry.owner,
    tx.now,
  );
  tx.log({
    kind: 'enter',
    uid,
    folder,
    entryId,
    messageId,
    owner: entry.owner,
    flags: { recipient: flags, domain: flags, global: flags },
    size,
    internalDate,
  });
  return { how: 'new', entryId, uid };
}
