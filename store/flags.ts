/**
 * Flags as a store keeps them: blank-separated, without repeats, system flags first in one spelling, keywords sorted, so
 * that the same set is the same text and few different texts exist.
 */
import type { FlagChange } from './port.ts';

/** Set by us at all levels; a client may only clear them, at its own (DESIGN §7.4). */
const reserved = new Set(['$releasing', '$releasefailed', '$trained']);
const system = ['\\Answered', '\\Flagged', '\\Deleted', '\\Seen', '\\Draft'];
/** Flags are compared without regard to case (RFC 9051 §2.3.2; RFC 3501 has it for system flags). */
const fold = (flag: string): string => flag.toLowerCase();
const spelling = new Map(system.map((flag) => [fold(flag), flag]));

/** The stored form of a set of flags. */
export function parseFlags(flags: Iterable<string>): string {
  const set = new Map<string, string>();
  for (const flag of flags) {
    const key = fold(flag);
    if (flag !== '' && !set.has(key)) set.set(key, spelling.get(key) ?? flag);
  }
  if (set.size < 2) return set.values().next().value ?? '';
  return [...set.values()].sort(bySystemThenName).join(' ');
}

const bySystemThenName = (a: string, b: string): number =>
  a.startsWith('\\') === b.startsWith('\\') ? (a < b ? -1 : 1) : a.startsWith('\\') ? -1 : 1;

const split = (text: string): string[] => (text === '' ? [] : text.split(' '));

const addFlags = (text: string, flags: readonly string[]): string => parseFlags([...split(text), ...flags]);

function removeFlags(text: string, flags: readonly string[]): string {
  const gone = new Set(flags.map(fold));
  return parseFlags(split(text).filter((flag) => !gone.has(fold(flag))));
}

/** What a client's STORE makes of a set. */
export function changeFlags(before: string, change: Pick<FlagChange, 'op' | 'flags'>): string {
  if (change.op === 'remove') return removeFlags(before, change.flags);
  const wanted = change.flags.filter((flag) => !reserved.has(fold(flag)));
  if (change.op === 'add') return addFlags(before, wanted);
  return parseFlags([...wanted, ...split(before).filter((flag) => reserved.has(fold(flag)))]);
}
