/**
 * The messages that a report has attached: in ARF form (RFC 5965, RFC 6430), or as mail clients forward them "as
 * attachment". Only what is attached to the report itself: what lies inside an attached message is a part of that one.
 */
import { openTransfer } from '#imap/mime/decode';
import { fieldsOf, latin1, unfoldLatin1 } from '#imap/mime/header';
import { param, parseValued } from '#imap/mime/params';
import { PartTable } from '#imap/mime/part-table';

export interface Attached {
  readonly start: number;
  readonly end: number;
  /** In lower case. */
  readonly encoding: string;
}

export interface Contents {
  readonly messages: readonly Attached[];
  /** More than `maxMessages`: so many are not in `messages`. */
  readonly more: number;
  /** RFC 5965 §3.1 Feedback-Type, in lower case. */
  readonly feedback?: string;
}

export type Read = (from: number, to: number) => AsyncIterable<Uint8Array>;

/** A part's header is looked at so far. */
const maxHeader = 16 * 1024;
const maxFeedback = 16 * 1024;

/** `table` is the report's part table (imap/mime/part-table.ts), `read` gives its octets. */
export async function contentsOf(table: Uint8Array, read: Read, maxMessages: number): Promise<Contents> {
  const parts = new PartTable(table);
  const messages: Attached[] = [];
  let more = 0;
  let feedback: string | undefined;
  for (let at = 0; at < parts.rows; ) {
    const row = parts.row(at);
    if (row.kind === 'multipart') {
      at++;
      continue;
    }
    const { type, encoding, name } = await headerOf(read, row.headerStart, row.bodyStart);
    if (type === 'message/feedback-report')
      feedback ??= feedbackType(await text(read, row.bodyStart, Math.min(row.bodyEnd, row.bodyStart + maxFeedback)));
    // Some clients know no better type for a message than that of any file.
    const isMessage =
      /^message\/(?:rfc822|global)$/.test(type) ||
      (type === 'application/octet-stream' && name.toLowerCase().endsWith('.eml'));
    if (isMessage && row.bodyEnd > row.bodyStart) {
      if (messages.length < maxMessages) messages.push({ start: row.bodyStart, end: row.bodyEnd, encoding });
      else more++;
    }
    at += Math.max(1, row.rows); // past everything inside
  }
  return { messages, more, ...(feedback === undefined ? {} : { feedback }) };
}

async function headerOf(read: Read, from: number, to: number) {
  const header = await text(read, from, Math.min(to, from + maxHeader));
  let type = 'text/plain';
  let encoding = '';
  let name = '';
  for (const field of fieldsOf(header)) {
    const value = header.slice(field.valueStart, field.end);
    switch (field.name.toLowerCase()) {
      case 'content-type': {
        const read = parseValued(value);
        type = read.value.trim().toLowerCase();
        name ||= param(read.params, 'name') ?? '';
        break;
      }
      case 'content-transfer-encoding':
        encoding = unfoldLatin1(value).toLowerCase();
        break;
      case 'content-disposition':
        name ||= param(parseValued(value).params, 'filename') ?? '';
        break;
    }
  }
  return { type, encoding, name };
}

function feedbackType(body: string): string | undefined {
  for (const field of fieldsOf(body))
    if (field.name.toLowerCase() === 'feedback-type')
      return unfoldLatin1(body.slice(field.valueStart, field.end)).toLowerCase().slice(0, 64);
  return undefined;
}

async function text(read: Read, from: number, to: number): Promise<string> {
  let text = '';
  for await (const piece of read(from, to)) text += latin1(piece);
  return text;
}

/** The octets of an attached message, with the line end that its last line lost to the boundary. */
export async function* octetsOf({ start, end, encoding }: Attached, read: Read): AsyncGenerator<Uint8Array, void> {
  const transfer = openTransfer(encoding);
  let last = 0;
  for await (const piece of read(start, end)) {
    const decoded = transfer.decode(piece);
    if (decoded.length === 0) continue;
    last = decoded.at(-1) as number;
    yield decoded;
  }
  const rest = transfer.end();
  if (rest.length > 0) {
    last = rest.at(-1) as number;
    yield rest;
  }
  if (last !== 0x0a) yield Buffer.from(last === 0x0d ? '\n' : '\r\n');
}
