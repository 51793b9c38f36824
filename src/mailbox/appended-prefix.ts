/**
 * Takes our own lines (quarantine/prefix.ts) off the top of a message that a client appends: what it was shown here is
 * the stored message with those lines above it. Reads no further than they go.
 */

/** Our lines are never longer than a few kilobytes; a header that goes on and on with such names is none of ours. */
const maxPrefix = 32 * 1024;
const ours = /^X-Lazaret-(?:Id|Reason|Score|Rules|Also|Authentication|Disposition|Status):/i;

export interface Split {
  /** Fields of ours from the top, raw, as Latin-1 (an octet a character); '' if there are none. */
  readonly prefix: string;
  /** What follows them. */
  readonly rest: AsyncIterable<Uint8Array>;
}

export async function splitPrefix(source: AsyncIterable<Uint8Array>): Promise<Split> {
  const reader = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let end: number | undefined;
  while (end === undefined) {
    const { done, value } = await reader.next();
    if (value !== undefined) head = Buffer.concat([head, value]);
    end = endOfPrefix(head.toString('latin1'), done === true);
    if (end === undefined && head.length > maxPrefix) end = 0;
  }
  const from = end;
  return {
    prefix: head.toString('latin1', 0, from),
    rest: (async function* () {
      if (head.length > from) yield head.subarray(from);
      for (;;) {
        const { done, value } = await reader.next();
        if (done) return;
        yield value;
      }
    })(),
  };
}

/** Where the first line begins that is not ours; undefined while that cannot be told. */
function endOfPrefix(text: string, complete: boolean): number | undefined {
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf('\n', at);
    const line = text.slice(at, lineEnd < 0 ? undefined : lineEnd + 1);
    const folded = at > 0 && /^[ \t]/.test(line);
    if (!folded && !ours.test(line)) {
      // A piece of a line may yet become a field of ours.
      const undecided = lineEnd < 0 && !complete && line.length < 'X-Lazaret-Reason:'.length;
      return undecided ? undefined : at;
    }
    if (lineEnd < 0) return complete ? text.length : undefined;
    at = lineEnd + 1;
  }
}

/** The id that the lines name, unfolded by nobody: ours is short. */
export function idIn(prefix: string): number | undefined {
  const id = /^X-Lazaret-Id: ?(\d{1,10})\r?$/im.exec(prefix)?.[1];
  return id === undefined ? undefined : Number(id);
}

/**
 * How many octets at the top of `appended` (splitPrefix's) an entry was shown with whose prefix is `shown` now: the same,
 * or the same but for the status, which differs between an entry's stays. Undefined if neither.
 */
export function shownLength(appended: string, shown: string): number | undefined {
  if (shown !== '' && appended.startsWith(shown)) return shown.length;
  const fixed = shown.replace(statusField, '');
  if (fixed === '' || !appended.startsWith(fixed)) return undefined;
  const status = statusField.exec(appended.slice(fixed.length));
  return fixed.length + (status?.index === 0 ? status[0].length : 0);
}

const statusField = /^X-Lazaret-Status:[^\n]*\n(?:[ \t][^\n]*\n)*/im;
