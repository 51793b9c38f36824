/**
 * What a learner says, as it is kept and shown: strangers have a say in it (Rspamd's reason phrase holds the sender's
 * Message-ID), so nothing in it may act on a terminal or a log, and there is an end to it.
 */
import { cleanLine } from '#app/lib/terminal';

/** What the store takes (store/port.ts, Outcome). */
export const longestWords = 1000;

/** One line, control characters escaped, at most `most` characters. */
export function oneLine(said: string, most = longestWords): string {
  // Escapes make a text longer: cut before, so that nothing long is looked at, and after.
  const line = cleanLine(said.slice(0, 4 * longestWords).trim()).replace(/ {2,}/g, ' ');
  if (line.length <= most) return line;
  // Not between the halves of a character.
  return `${line.slice(0, most - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
