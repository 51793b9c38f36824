/**
 * The octets of a lesson: the message as the filter first saw it (FEATURES TR-11). The filter's own block was taken off at
 * arrival; what is still to be left out are our own fields, which a message has that was released before and is reported
 * now, and those that Rspamd's milter put into the header, which stay in the stored bytes (DESIGN §7.1). Everything else
 * goes out as it is, octet by octet.
 */

import { rspamdMilterFields } from '#app/lib/filter-names';
import { gather } from '#app/lib/gather';
import type { Message } from '#store/model';
import type { Store } from '#store/port';

export interface LessonBytes {
  readonly size: number;
  read(): AsyncIterable<Uint8Array>;
}

/** From here to there, in octets. */
type Range = readonly [start: number, end: number];

/** A larger header is an attack; nobody learns less from it because of a field more. */
const longestHeader = 1024 * 1024;

const isOurs = (name: string) => name.startsWith('x-lazaret-');

/** `milter`: the verdict came from the fields of Rspamd's milter. @throws NotFound  the bytes were purged */
export async function lessonBytes(
  messages: Pick<Store['messages'], 'read'>,
  message: Message,
  milter: boolean,
): Promise<LessonBytes> {
  const { id, size, headerSize } = message;
  const cuts = headerSize > longestHeader ? [] : cutsOf(await gather(messages.read(id, 0, headerSize)), milter);
  if (cuts.length === 0) return { size, read: () => messages.read(id) };
  const kept = between(cuts, size);
  return {
    size: kept.reduce((sum, [start, end]) => sum + end - start, 0),
    async *read() {
      for (const [start, end] of kept) yield* messages.read(id, start, end - start);
    },
  };
}

/** What is to be left out of a header: whole fields, ascending. */
export function cutsOf(header: Buffer, milter: boolean): readonly Range[] {
  const cuts: Range[] = [];
  let run: Range[] = [];
  let lastRun: Range[] = [];
  let end = -1;
  for (const { name, range } of fieldsOf(header)) {
    if (isOurs(name)) cuts.push(range);
    if (!rspamdMilterFields.has(name)) continue;
    if (range[0] !== end) run = [];
    run.push(range);
    lastRun = run;
    end = range[1];
  }
  if (milter) cuts.push(...lastRun);
  return cuts.sort(([a], [b]) => a - b);
}

/** Names in lower case, each with its lines, folded ones too. Ends at the empty line. */
function* fieldsOf(header: Buffer): Generator<{ readonly name: string; readonly range: Range }> {
  let name: string | undefined;
  let start = 0;
  for (let at = 0; at < header.length; ) {
    const lineEnd = header.indexOf(0x0a, at);
    const next = lineEnd < 0 ? header.length : lineEnd + 1;
    const first = header[at];
    if (first !== 0x20 && first !== 0x09) {
      if (name !== undefined) yield { name, range: [start, at] };
      start = at;
      name = nameOf(header, at, next);
    }
    at = next;
  }
  if (name !== undefined) yield { name, range: [start, header.length] };
}

/** No field of ours has a longer name: what is longer needs no look. */
const longestName = 64;

function nameOf(header: Buffer, start: number, end: number): string | undefined {
  const beginning = header.toString('latin1', start, Math.min(end, start + longestName));
  return /^([!-9;-~]+)[ \t]*:/.exec(beginning)?.[1]?.toLowerCase();
}

function between(cuts: readonly Range[], size: number): readonly Range[] {
  const kept: Range[] = [];
  let at = 0;
  for (const [start, end] of cuts) {
    if (start > at) kept.push([at, start]);
    at = end;
  }
  if (at < size) kept.push([at, size]);
  return kept;
}
