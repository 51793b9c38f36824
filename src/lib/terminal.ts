/**
 * Text for a terminal or a log. Subjects, senders and what other servers say come from strangers: nothing in them may move
 * the cursor, change colours, turn the direction of a line or begin a new one (INTEGRATIONS §8.2 row 23).
 */

/** C0, DEL, C1; direction marks and overrides; line and paragraph separators; invisible joiners; lone surrogates. */
const obeyed =
  /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** One line that shows what it holds: control characters as `\x1b`, `\u202e`; a line end as one blank. */
export function cleanLine(text: string): string {
  return text.replace(/\r?\n/g, ' ').replace(obeyed, (c) => {
    const code = c.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Characters that take two cells (East Asian Wide and Fullwidth, emoji), or none (combining). */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}]/u;
const none = /\p{Mn}|\p{Me}/u;

const cells = (character: string): number => (none.test(character) ? 0 : wide.test(character) ? 2 : 1);

/** How many cells a text takes. */
export function width(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let sum = 0;
  for (const character of text) sum += cells(character);
  return sum;
}

/** At most `max` cells, with an ellipsis where something was cut. */
export function cut(text: string, max: number): string {
  if (width(text) <= max) return text;
  let kept = '';
  let used = 0;
  for (const character of text) {
    used += cells(character);
    if (used > max - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Rows as aligned columns, two blanks between them, nothing behind the last. The first row is the heading. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, text] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(text));
  return rows
    .map((row) =>
      row
        .map((text, i) => (i === row.length - 1 ? text : text + ' '.repeat((widths[i] as number) - width(text))))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
