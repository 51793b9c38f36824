/**
 * Texts compared regardless of case: RFC 3501 §6.4.4, RFC 5255's i;unicode-casemap in effect. Both sides are folded, then
 * compared as substrings. An empty text is in everything.
 */

const ASCII = /^[\x00-\x7f]*$/;

export function fold(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase();
  // By way of capitals: ß and ẞ are found by SS, and a final ς by Σ, as in Unicode's full case folding, which JavaScript lacks.
  return text.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC');
}

/** Folded text held back at most: for a cut that fell between a letter and the marks on it. */
const MAX_HELD = 1024;

/** Looks for one text in a stream of text. */
export class Finder {
  found: boolean;
  private readonly needle: string;
  /** The end of what was looked at, as long as the needle may reach. */
  private tail = '';
  /** Not folded yet: the last letter may still get a mark. */
  private held = '';

  constructor(text: string) {
    this.needle = fold(text);
    this.found = this.needle === '';
  }

  feed(text: string): void {
    if (this.found || text === '') return;
    const all = this.held + text;
    let cut = all.length;
    // From the last ASCII character on, everything belongs together.
    while (cut > 0 && all.charCodeAt(cut - 1) > 0x7f && all.length - cut < MAX_HELD) cut--;
    cut = all.length - cut < MAX_HELD ? Math.max(0, cut - 1) : all.length;
    this.held = all.slice(cut);
    this.look(all.slice(0, cut));
  }

  /** The stream ends: nothing is found across this border. */
  end(): void {
    if (!this.found) this.look(this.held);
    this.held = '';
    this.tail = '';
  }

  private look(text: string): void {
    if (text === '') return;
    const where = this.tail + fold(text);
    this.found = where.includes(this.needle);
    const keep = this.needle.length - 1;
    this.tail = keep > 0 ? where.slice(-keep) : '';
  }
}
