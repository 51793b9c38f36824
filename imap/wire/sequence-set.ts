/** RFC 3501 `sequence-set`: ranges as written, not yet resolved. */

/** `*` is Infinity until resolved. Ends may be in either order as written. */
export interface SequenceSet {
  readonly ranges: readonly { readonly from: number; readonly to: number }[];
}

/** Ranges with `*` replaced by `largest`, ends in order, sorted and merged. */
export function resolve(set: SequenceSet, largest: number): { first: number; last: number }[] {
  const ranges = set.ranges
    .map(({ from, to }) => {
      const a = from === Number.POSITIVE_INFINITY ? largest : from;
      const b = to === Number.POSITIVE_INFINITY ? largest : to;
      return a <= b ? { first: a, last: b } : { first: b, last: a };
    })
    .sort((a, b) => a.first - b.first);
  const merged: { first: number; last: number }[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last && range.first <= last.last + 1) last.last = Math.max(last.last, range.last);
    else merged.push(range);
  }
  return merged;
}

/** Ascending numbers as the shortest set: 1:3,7. Empty for none. */
export function format(numbers: readonly number[] | Uint32Array): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    const first = numbers[i]!;
    let last = first;
    while (++i < numbers.length && numbers[i] === last + 1) last++;
    parts.push(first === last ? `${first}` : `${first}:${last}`);
  }
  return parts.join(',');
}
