/**
 * Messages as SQLite keeps them: bytes in chunks of 256 KiB, what clients ask about in `summaries`, the rest in
 * `messages`. A message of one chunk comes with its `admit`; a larger one is written chunk by chunk beforehand, under the
 * id that it will have, and listed in `uploads` until it is admitted or swept.
 */
import { NotFound, StoreError } from '../errors.ts';
import type { Message, MessageId, SummarySection } from '../model.ts';
import type { NewMessage, PackedSections, StoredBytes } from '../port.ts';
import { type MessageRow, messageColumns, rowToMessage } from './rows.ts';
import type { Snapshot, Tx } from './tx.ts';

export const chunkSize = 256 * 1024;
/** Chunk numbers have 16 bits: messages up to 16 GiB. */
const chunkIds = 65536;

/** What `put` answers: small bytes stay in it, and are written in the transaction that makes the message. */
export interface BytesHandle extends StoredBytes {
  readonly inline?: Uint8Array;
}

/** A message that comes with an `admit` or `appendForTraining`. */
export interface ArrivedMessage extends NewMessage {
  readonly bytes: BytesHandle;
}

// ----------------------------------------------------------------------------------------------------------- writing

/**
 * Writes one chunk of a large message; number 0 begins it. Answers the buffer, which goes back to be filled again: new ones
 * would be collected only after tens of megabytes of them.
 */
export function uploadChunk(tx: Tx, token: string, number: number, bytes: Uint8Array): Uint8Array {
  let id: MessageId;
  if (number === 0) {
    id = tx.nextMessageId();
    tx.sql('INSERT INTO uploads (message_id, token, began_at) VALUES (?, ?, ?)').run(id, token, tx.now);
  } else {
    const known = uploaded(tx, token);
    if (known === undefined) throw new StoreError('These bytes were given up while they were written', true);
    id = known;
  }
  tx.sql('INSERT INTO chunks (id, bytes) VALUES (?, ?)').run(id * chunkIds + number, bytes);
  return bytes;
}

function uploaded(tx: Snapshot, token: string): MessageId | undefined {
  return tx.sql('SELECT message_id FROM uploads WHERE token = ?').get(token)?.message_id;
}

export function discardUpload(tx: Tx, token: string): void {
  const id = uploaded(tx, token);
  if (id === undefined) return;
  dropChunks(tx, id);
  tx.sql('DELETE FROM uploads WHERE message_id = ?').run(id);
}

function dropChunks(tx: Tx, id: MessageId): void {
  tx.sql('DELETE FROM chunks WHERE id BETWEEN ? AND ?').run(id * chunkIds, id * chunkIds + chunkIds - 1);
}

/** Bytes of a message that is not needed after all. */
export function giveUp(tx: Tx, message: ArrivedMessage): void {
  if (!message.bytes.inline) discardUpload(tx, message.bytes.token);
}

/** Makes the message of its bytes, wherever they are, and its summary. */
export function keepMessage(tx: Tx, message: ArrivedMessage): MessageId {
  const { bytes, summary } = message;
  const id = bytes.inline ? tx.nextMessageId() : uploaded(tx, bytes.token);
  if (id === undefined) throw new NotFound('The bytes of this message were given up, or admitted already');
  tx.sql(
    `INSERT INTO messages (id, size, sha256, body_sha256, header_size, sender, params, filter_block, subject, from_,
      received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    id,
    bytes.size,
    bytes.sha256,
    message.bodySha256,
    message.headerSize,
    message.sender,
    JSON.stringify(message.params),
    message.filterBlock,
    summary.subject,
    summary.from,
    tx.now,
  );
  if (!bytes.inline) tx.sql('DELETE FROM uploads WHERE message_id = ?').run(id);
  else if (bytes.inline.length > 0)
    tx.sql('INSERT INTO chunks (id, bytes) VALUES (?, ?)').run(id * chunkIds, bytes.inline);
  tx.sql(
    `INSERT INTO summaries (message_id, common_fields, envelope, body_structure, body, parts)
      VALUES (?, ?, ?, ?, ?, ?)`,
  ).run(id, summary.commonFields, summary.envelope, summary.bodyStructure, summary.body, summary.parts);
  tx.sql('INSERT INTO uninventoried (message_id) VALUES (?)').run(id);
  return id;
}

/** Removes bytes that were written longer ago than `olderThanMs` and never admitted. Answers whether there are more. */
export function sweepUploads(tx: Tx, olderThanMs: number, limit: number): boolean {
  const rows: { message_id: MessageId }[] = tx
    .sql('SELECT message_id FROM uploads WHERE began_at < ? LIMIT ?')
    .all(tx.now - olderThanMs, limit + 1);
  for (const { message_id } of rows.slice(0, limit)) {
    dropChunks(tx, message_id);
    tx.sql('DELETE FROM uploads WHERE message_id = ?').run(message_id);
  }
  return rows.length > limit;
}

// ----------------------------------------------------------------------------------------------------------- reading

export function getMessage(snapshot: Snapshot, id: MessageId): Message | undefined {
  const row: MessageRow | undefined = snapshot
    .sql(`SELECT ${messageColumns('m')} FROM messages m WHERE id = ?`)
    .get(id);
  return row && rowToMessage(row);
}

export function filterBlock(snapshot: Snapshot, id: MessageId): Uint8Array {
  const row: { filter_block: Uint8Array } | undefined = snapshot
    .sql('SELECT filter_block FROM messages WHERE id = ?')
    .get(id);
  return row?.filter_block ?? new Uint8Array();
}

export interface Piece {
  readonly bytes: Uint8Array;
  /** Octets of the whole message. */
  readonly size: number;
}

/** Octets from `offset`, at most `length` of them and no more than the chunk has; undefined: no such message. */
export function readPiece(snapshot: Snapshot, id: MessageId, offset: number, length: number): Piece | undefined {
  const number = Math.floor(offset / chunkSize);
  const row: { size: number; bytes: Uint8Array | null } | undefined = snapshot
    .sql(`SELECT m.size, substr(c.bytes, ?, ?) AS bytes FROM messages m LEFT JOIN chunks c ON c.id = ? WHERE m.id = ?`)
    .get((offset % chunkSize) + 1, Math.min(length, chunkSize), id * chunkIds + number, id);
  if (!row) return undefined;
  if (row.bytes === null && offset < row.size) return undefined;
  return { bytes: row.bytes ?? new Uint8Array(), size: row.size };
}

const sectionColumn: Readonly<Record<SummarySection, string>> = {
  commonFields: 'common_fields',
  envelope: 'envelope',
  bodyStructure: 'body_structure',
  body: 'body',
  parts: 'parts',
};

/**
 * All in one row: a row for each message costs ten times the look-up (100,000 messages: 70 ms instead of 700 ms). The left
 * side of a LEFT JOIN is its outer loop, and json_each goes through `ids` in their order, so that nothing has to be sorted.
 * Concatenation takes blobs as they are, NUL and invalid UTF-8 included, and a cast makes them one blob again.
 */
export function summaries(
  snapshot: Snapshot,
  ids: readonly MessageId[],
  sections: readonly SummarySection[],
): PackedSections {
  const columns = sections.map((section) => `coalesce(s.${sectionColumn[section]}, x'')`);
  const lengths = columns.map((column) => `length(${column})`);
  const row: { bytes: Uint8Array | null; lengths: string | null } = snapshot
    .sql(
      `SELECT cast(group_concat(${columns.join(' || ')}, '') AS BLOB) AS bytes,
        group_concat(${lengths.join(" || ',' || ")}) AS lengths
        FROM json_each(?) wanted LEFT JOIN summaries s ON s.message_id = wanted.value`,
    )
    .get(JSON.stringify(ids));
  const ends = Uint32Array.from(row.lengths?.split(',') ?? [], Number);
  let end = 0;
  for (let at = 0; at < ends.length; at += 1) {
    end += ends[at]!;
    ends[at] = end;
  }
  return { bytes: row.bytes ?? new Uint8Array(), ends };
}
