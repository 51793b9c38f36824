/**
 * What is not as it should be. `flaws` reads, in one snapshot and beside everybody; `mend` is a command of the writer, which
 * looks again: what was put right meanwhile is left alone, and no octets go that anything names.
 */
import { createHash } from 'node:crypto';
import type { EntryId, MessageId } from '../model.ts';
import type { Flaw } from '../records.ts';
import * as rules from '../transitions.ts';
import { loadOne, write } from './standing.ts';
import { domainOf, type Snapshot, type Tx } from './tx.ts';
import { prune } from './upkeep-import.ts';

const chunkIds = 65536;

/** A flaw, with what mends it: the hash that damaged octets have, the top as it has to be. */
export interface Found {
  readonly flaw: Flaw;
  readonly sha256?: string;
  readonly top?: Top;
}

const text = {
  unnamed: `SELECT m.id, m.size FROM messages m
    WHERE NOT EXISTS (SELECT 1 FROM entries e WHERE e.message_id = m.id)
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.message_id = m.id AND j.entry_id IS NULL)`,
  nextChunk: 'SELECT id FROM chunks WHERE id >= ? ORDER BY id LIMIT 1',
  known: `SELECT 1 FROM messages WHERE id = ?1 UNION ALL SELECT 1 FROM uploads WHERE message_id = ?1
    UNION ALL SELECT 1 FROM entries WHERE message_id = ?1`,
  octets: 'SELECT coalesce(sum(length(bytes)), 0) AS octets FROM chunks WHERE id BETWEEN ? AND ?',
  entriesWithoutMessage: `SELECT e.id, e.message_id AS messageId FROM entries e
    WHERE e.state <> 'expired' AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = e.message_id)`,
  jobsWithoutEntry: `SELECT j.key FROM jobs j WHERE j.state IN ('ready', 'leased')
    AND CASE WHEN j.entry_id IS NULL THEN NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = j.message_id)
    ELSE NOT EXISTS (SELECT 1 FROM entries e WHERE e.id = j.entry_id) END`,
  jobsWithoutDrop: `SELECT j.key, j.entry_id AS entryId FROM jobs j
    WHERE NOT EXISTS (SELECT 1 FROM drops d WHERE d.id = j.drop_id)`,
  messages: `SELECT id, size, sha256, body_sha256 AS bodySha256, header_size AS headerSize FROM messages ORDER BY id`,
  chunks: 'SELECT bytes FROM chunks WHERE id BETWEEN ? AND ? ORDER BY id',
  entriesOf: 'SELECT id, state FROM entries WHERE message_id = ? ORDER BY id',
  appendedOf: `SELECT key FROM jobs WHERE message_id = ? AND entry_id IS NULL AND state IN ('ready', 'leased')`,
  uids: 'SELECT owner, folder, max(uid) AS uid, 0 AS r, 0 AS d, 0 AS g FROM stays GROUP BY owner, folder',
  modSeqs: `SELECT owner, folder, 0 AS uid, max(mod_r) AS r, max(mod_d) AS d, max(mod_g) AS g FROM entries
    WHERE uid IS NOT NULL GROUP BY owner, folder`,
  top: 'SELECT uid, mod_seq AS modSeq FROM tops WHERE scope = ? AND folder = ?',
  counters: 'SELECT last_uid AS lastUid, last_mod_seq AS lastModSeq, last_message_id AS lastMessageId FROM counters',
  given: `SELECT
    (SELECT max(uid) FROM (SELECT max(uid) AS uid FROM stays UNION ALL SELECT max(id) FROM entries UNION ALL
      SELECT max(uid) FROM help_texts UNION ALL SELECT max(uid) FROM tops)) AS lastUid,
    (SELECT max(mod) FROM (SELECT max(mod_seq) AS mod FROM changes UNION ALL SELECT max(mod_seq) FROM tops UNION ALL
      SELECT max(ended_mod_seq) FROM stays UNION ALL SELECT max(max(mod_r, mod_d, mod_g)) FROM entries)) AS lastModSeq,
    (SELECT max(id) FROM (SELECT max(id) AS id FROM messages UNION ALL SELECT max(id) / ${chunkIds} FROM chunks UNION ALL
      SELECT max(message_id) FROM entries)) AS lastMessageId`,
  raiseTop: `INSERT INTO tops (scope, folder, uid, mod_seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (scope, folder)
    DO UPDATE SET uid = max(uid, excluded.uid), mod_seq = max(mod_seq, excluded.mod_seq)`,
};

/** undefined: nothing found just now, but time has gone by. */
export function* flaws(snapshot: Snapshot): Generator<Found | undefined> {
  const found = (rows: readonly Omit<Flaw, 'kind'>[], kind: Flaw['kind']): Found[] =>
    rows.map((row) => ({ flaw: { kind, ...row } as Flaw }));
  for (const says of database(snapshot)) yield { flaw: { kind: 'database', says } };
  yield* unnamed(snapshot);
  for (const row of snapshot.sql(text.entriesWithoutMessage).all())
    yield { flaw: { kind: 'entry-without-message', entryId: row.id, messageId: row.messageId } };
  yield* found(snapshot.sql(text.jobsWithoutEntry).all(), 'job-without-entry');
  for (const { key, entryId } of snapshot.sql(text.jobsWithoutDrop).all())
    yield { flaw: { kind: 'job-without-drop', key, ...(entryId === null ? {} : { entryId }) } };
  yield* counters(snapshot);
  yield* octets(snapshot);
}

function* database(snapshot: Snapshot): Generator<string> {
  for (const { integrity_check: says } of snapshot.sql('PRAGMA integrity_check(20)').all() as {
    integrity_check: string;
  }[])
    if (says !== 'ok') yield says;
  // What jobs, entries and summaries may name in vain is looked for below, and can be mended.
  const named = new Set(['jobs', 'entries', 'summaries']);
  for (const { table, parent } of snapshot.sql('PRAGMA foreign_key_check').iterate() as Iterable<{
    table: string;
    parent: string;
  }>)
    if (!named.has(table)) yield `a row of ${table} names one of ${parent} that is gone`;
}

function* unnamed(snapshot: Snapshot): Generator<Found | undefined> {
  for (const { id, size } of snapshot.sql(text.unnamed).iterate() as Iterable<{ id: MessageId; size: number }>)
    yield { flaw: { kind: 'orphan-message', messageId: id, size } };
  // A message has its chunks side by side: one look-up for each message, whatever its size.
  for (let at = 0; ; ) {
    const row: { id: number } | undefined = snapshot.sql(text.nextChunk).get(at);
    if (!row) return;
    const id = Math.floor(row.id / chunkIds) as MessageId;
    if (!snapshot.sql(text.known).get(id))
      yield { flaw: { kind: 'orphan-message', messageId: id, size: octetsOf(snapshot, id) } };
    at = (id + 1) * chunkIds;
    yield undefined;
  }
}

const range = (id: number): [number, number] => [id * chunkIds, id * chunkIds + chunkIds - 1];

const octetsOf = (snapshot: Snapshot, id: number): number => snapshot.sql(text.octets).get(...range(id)).octets;

function* counters(snapshot: Snapshot): Generator<Found> {
  const is: Record<string, number> = snapshot.sql(text.counters).get();
  const given: Record<string, number | null> = snapshot.sql(text.given).get();
  for (const [name, value] of Object.entries(is)) {
    const needed = given[name] ?? 0;
    if (value < needed) yield { flaw: { kind: 'counter-behind', name, is: value, needed } };
  }
  for (const top of topsBehind(snapshot)) {
    const [is, needed] = top.is.uid < top.uid ? [top.is.uid, top.uid] : [top.is.modSeq, top.modSeq];
    yield { flaw: { kind: 'counter-behind', name: `${top.scope} ${top.folder}`, is, needed }, top };
  }
}

interface Top {
  readonly scope: string;
  readonly folder: string;
  uid: number;
  modSeq: number;
}

/** Tops as stays and entries want them, where those that are noted are smaller. */
function topsBehind(snapshot: Snapshot): (Top & { readonly is: { uid: number; modSeq: number } })[] {
  const tops = new Map<string, Top>();
  const raise = (scope: string, folder: string, uid: number, modSeq: number): void => {
    const key = `${folder} ${scope}`;
    const top = tops.get(key) ?? { scope, folder, uid: 0, modSeq: 0 };
    top.uid = Math.max(top.uid, uid);
    top.modSeq = Math.max(top.modSeq, modSeq);
    tops.set(key, top);
  };
  interface Grouped {
    owner: string;
    folder: string;
    uid: number;
    r: number;
    d: number;
    g: number;
  }
  for (const query of [text.uids, text.modSeqs])
    for (const { owner, folder, uid, r, d, g } of snapshot.sql(query).iterate() as Iterable<Grouped>) {
      raise('g', folder, uid, g);
      if (owner === '') continue;
      raise(`d:${domainOf(owner)}`, folder, uid, d);
      raise(`r:${owner}`, folder, uid, r);
    }
  return [...tops.values()].flatMap((top) => {
    const is = snapshot.sql(text.top).get(top.scope, top.folder) ?? { uid: 0, modSeq: 0 };
    return is.uid < top.uid || is.modSeq < top.modSeq ? [{ ...top, is }] : [];
  });
}

interface Kept {
  readonly id: MessageId;
  readonly size: number;
  readonly sha256: string;
  readonly bodySha256: string;
  readonly headerSize: number;
}

/** Reads and hashes all octets. */
function* octets(snapshot: Snapshot): Generator<Found | undefined> {
  for (const message of snapshot.sql(text.messages).iterate() as Iterable<Kept>) {
    yield undefined;
    const { id } = message;
    const has = hashed(snapshot, message);
    const entries: { id: EntryId; state: string }[] = snapshot.sql(text.entriesOf).all(id);
    if (has.size === 0 && message.size > 0) {
      for (const entry of entries)
        if (entry.state !== 'expired')
          yield { flaw: { kind: 'entry-without-bytes', entryId: entry.id, messageId: id } };
      for (const { key } of snapshot.sql(text.appendedOf).all(id)) yield { flaw: { kind: 'job-without-entry', key } };
      continue;
    }
    if (has.size === message.size && has.sha256 === message.sha256) continue;
    const what = has.size !== message.size ? 'size' : has.bodySha256 !== message.bodySha256 ? 'body' : 'hash';
    const entryIds = entries.map((entry) => entry.id);
    yield { flaw: { kind: 'damaged', messageId: id, entryIds, what }, sha256: has.sha256 };
  }
}

function hashed(snapshot: Snapshot, { id, headerSize }: Kept) {
  const whole = createHash('sha256');
  const body = createHash('sha256');
  let size = 0;
  for (const { bytes } of snapshot.sql(text.chunks).iterate(...range(id)) as Iterable<{ bytes: Uint8Array }>) {
    whole.update(bytes);
    body.update(bytes.subarray(Math.max(0, headerSize - size)));
    size += bytes.length;
  }
  return { size, sha256: whole.digest('hex'), bodySha256: body.digest('hex') };
}

// ----------------------------------------------------------------------------------------------------------- mending

/** Answers whether this is right now. */
export function mend(tx: Tx, { flaw, sha256, top }: Found): boolean {
  switch (flaw.kind) {
    case 'orphan-message':
      return removeOrphan(tx, flaw.messageId);
    case 'entry-without-message':
    case 'entry-without-bytes':
      return octetsOf(tx, flaw.messageId) === 0 && expire(tx, flaw.entryId);
    case 'job-without-entry':
      tx.sql(
        "UPDATE jobs SET state = 'cancelled', lease = NULL, ended_at = ?, outcome = ? WHERE key = ? AND state IN ('ready', 'leased')",
      ).run(tx.now, 'the mail is gone', flaw.key);
      return true;
    case 'job-without-drop':
      return removeJob(tx, flaw.key, flaw.entryId);
    case 'counter-behind':
      return raise(tx, flaw.name, flaw.needed, top);
    case 'damaged':
      if (flaw.what !== 'hash' || sha256 === undefined) return false;
      tx.sql('UPDATE messages SET sha256 = ? WHERE id = ?').run(sha256, flaw.messageId);
      return true;
    case 'database':
      return false;
  }
}

function removeOrphan(tx: Tx, id: MessageId): boolean {
  const named = `SELECT 1 FROM entries WHERE message_id = ?1 UNION ALL SELECT 1 FROM uploads WHERE message_id = ?1
    UNION ALL SELECT 1 FROM jobs WHERE message_id = ?1 AND entry_id IS NULL`;
  if (tx.sql(named).get(id) === undefined) prune(tx, id - 1, id + 1);
  return true;
}

function expire(tx: Tx, id: EntryId): boolean {
  const entry = loadOne(tx, id);
  if (entry && entry.state !== 'expired') write(tx, entry, rules.expires(entry));
  return true;
}

function removeJob(tx: Tx, key: string, entryId: EntryId | undefined): boolean {
  const job = tx.sql('SELECT drop_id, step FROM jobs WHERE key = ?').get(key);
  if (!job || tx.sql('SELECT 1 FROM drops WHERE id = ?').get(job.drop_id)) return true;
  tx.sql('DELETE FROM jobs WHERE key = ?').run(key);
  const entry = entryId === undefined ? undefined : loadOne(tx, entryId);
  // What was dropped has nobody to deliver it now; it comes back as after a delivery that failed.
  if (job.step === 'deliver' && entry?.state === 'dropped' && entry.dropId === job.drop_id)
    write(tx, entry, rules.comesBack(entry, undefined));
  return true;
}

/** What was given once was given: no need to look again. */
function raise(tx: Tx, name: string, needed: number, top: Top | undefined): boolean {
  if (top) tx.sql(text.raiseTop).run(top.scope, top.folder, top.uid, top.modSeq);
  else if (name === 'lastUid') tx.raise({ uid: needed });
  else if (name === 'lastModSeq') tx.raise({ modSeq: needed });
  else tx.raise({ messageId: needed });
  return true;
}
