/**
 * SpamAssassin with `report_safe 1` or `2` hands over a report of its own, with the message in it. The message is what
 * people want to see, release and train, so it is taken out again, octet by octet. Only out of what is exactly such a
 * report, written where only SpamAssassin can have written it: its own Received on top, the few fields that it copies or
 * makes, `multipart/mixed` with a boundary of its form, the text, and the original as the second part. Its boundary is new
 * for each message, so no sender can know it.
 */

import type { FilterSetting } from '#app/lib/filter-names';
import { fieldsOf, unfoldLatin1 } from '#imap/mime/header';
import { param, parseValued } from '#imap/mime/params';
import { type Block, type Found, valuesOf } from './fields.ts';

/** Above SpamAssassin's own Received: what an MTA that it handed the report to has put there. */
const byMta = new Set(['received', 'return-path', 'delivered-to', 'x-original-to']);
const maxByMta = 8;
const copied = new Set(['from', 'to', 'cc', 'subject', 'date', 'message-id', 'mime-version', 'content-type']);
/** So far into the body the original begins, or this is no report. */
export const reportLimit = 128 * 1024;

export interface Report {
  readonly block: Block;
  readonly boundary: string;
}

/** By the header alone; whether the body is one shows `findOriginal`. */
export function findReport(text: string, setting: FilterSetting): Report | undefined {
  if (setting !== 'auto' && setting !== 'spamassassin') return undefined;
  const spam: Found[] = [];
  const names = new Set<string>();
  let boundary: string | undefined;
  let isBelow = false;
  let above = 0;
  for (const field of fieldsOf(text)) {
    const name = field.name.toLowerCase();
    const value = () => unfoldLatin1(text.slice(field.valueStart, field.end));
    if (!isBelow) {
      isBelow = name === 'received' && /^from \S{1,255} by \S{1,255}\s{1,9}with SpamAssassin \(version /.test(value());
      // Unasked it is believed on top only: what an MTA took in has a Received of that MTA above it.
      if (!isBelow && (setting === 'auto' || !byMta.has(name) || ++above > maxByMta)) return undefined;
      continue;
    }
    if (names.has(name)) return undefined;
    names.add(name);
    if (name.startsWith('x-spam-')) spam.push({ name, field });
    else if (!copied.has(name)) return undefined;
    if (name === 'content-type') {
      const { value: type, params } = parseValued(text.slice(field.valueStart, field.end));
      const found = param(params, 'boundary') ?? '';
      if (type.toLowerCase() === 'multipart/mixed' && /^-{10}=_[0-9A-F]{8}\.[0-9A-F]{8}$/.test(found)) boundary = found;
    }
  }
  if (boundary === undefined || !names.has('x-spam-checker-version')) return undefined;
  return { boundary, block: { filter: 'spamassassin', fields: valuesOf(text, spam), start: 0, end: 0 } };
}

/**
 * Where the original begins, in the octets below the report's header as a Latin-1 string, and the report's text. 'more':
 * not yet to be seen.
 */
export function findOriginal(body: string, boundary: string): { start: number; report: string } | 'more' | undefined {
  const first = delimiter(body, boundary, 0);
  if (first === undefined) return 'more';
  const second = delimiter(body, boundary, first.end);
  if (second === undefined) return 'more';
  const report = body.slice(first.end, second.start);
  if (!/^(?:[^\r\n]{1,200}\r?\n){0,5}Content-Type: text\/plain\b/i.test(report)) return undefined;
  const head = /^((?:[^\r\n]{1,200}\r?\n){1,6})\r?\n/.exec(body.slice(second.end, second.end + 2000));
  if (!head?.[1]) return body.length - second.end < 2000 ? 'more' : undefined;
  if (!/^Content-Type: (?:message\/rfc822|text\/plain); x-spam-type=original\r?$/im.test(head[1])) return undefined;
  if (/^Content-Transfer-Encoding: (?!7bit|8bit|binary)/im.test(head[1])) return undefined;
  return { start: second.end + head[0].length, report: report.replaceAll('\r\n', '\n') };
}

function delimiter(text: string, boundary: string, from: number): { start: number; end: number } | undefined {
  for (let at = from; ; ) {
    const start = text.indexOf(`--${boundary}`, at);
    if (start < 0) return undefined;
    at = start + 2 + boundary.length;
    const end = text.startsWith('\r\n', at) ? at + 2 : text[at] === '\n' ? at + 1 : undefined;
    if (end !== undefined && (start === 0 || text[start - 1] === '\n')) return { start, end };
  }
}

const maxClosing = 1024;

/**
 * The original out of the octets that follow its part's header. It ends before the line break above the closing boundary
 * (RFC 2046 §5.1.1). If something other than the end of the report follows that boundary, this was none that SpamAssassin
 * wrote: then nothing is taken off, so that nothing is lost.
 */
export async function* original(source: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Uint8Array, void> {
  const mark = Buffer.from(`\n--${boundary}`);
  // A line feed that is not there, so that an empty original ends as any other.
  let held: Buffer = Buffer.from('\n');
  let skip = 1;
  let closing: Buffer | undefined;
  let isOver = false;
  for await (const chunk of source) {
    if (isOver) {
      yield chunk;
      continue;
    }
    if (closing) closing = Buffer.concat([closing, chunk]);
    else {
      held = Buffer.concat([held, chunk]);
      const at = held.indexOf(mark);
      const end = at < 0 ? Math.max(0, held.length - mark.length - 1) : at > 0 && held[at - 1] === 13 ? at - 1 : at;
      if (end > skip) yield held.subarray(skip, end);
      if (at >= 0) closing = held.subarray(end);
      else held = held.subarray(end);
      skip = Math.max(0, skip - end);
    }
    if (closing && closing.length > maxClosing + mark.length) {
      yield closing.subarray(skip);
      isOver = true;
    }
  }
  if (isOver) return;
  if (!closing) {
    if (held.length > skip) yield held.subarray(skip);
  } else if (!closes(closing.toString('latin1'), boundary)) yield closing.subarray(skip);
}

function closes(text: string, boundary: string): boolean {
  const line = text.replace(/^\r?\n/, '');
  const end = `--${boundary}--`;
  return line.startsWith(end) && /^[ \t]*(?:\r?\n\s*)?$/.test(line.slice(end.length));
}
