/**
 * The lines of ours that a held message is shown with, above its own header (DESIGN §7.7). Rendered at arrival and at a
 * return, then never changed: nothing that can change later belongs here. Everything in it but our own words comes from
 * strangers (rule names, a next hop's 550), so whatever could end a line or a header, or turn text around, is taken out.
 *
 *     X-Lazaret-Id: {id}          the store puts the entry's id there
 *     X-Lazaret-Reason: spam (amavis)
 *     X-Lazaret-Score: 9.3 of 6.31
 *     X-Lazaret-Rules: GTUBE=1000, NO_RELAYS=-0.001
 *     X-Lazaret-Status: 550 5.1.1 No such user
 */
import type { Verdict } from '#store/model';

/** A header list that nobody reads to its end costs every download: so many octets of rules, then "and 12 more". */
const maxRulesOctets = 2000;
const maxTextOctets = 1000;

export function renderPrefix(p: { readonly verdict: Verdict; readonly status?: string }): string {
  const { verdict, status } = p;
  const source = oneLine(verdict.source, 60);
  const detail = verdict.detail ? `: ${oneLine(verdict.detail, maxTextOctets)}` : '';
  let prefix = field('X-Lazaret-Id', '{id}');
  prefix += field('X-Lazaret-Reason', `${verdict.reason}${source && source !== 'none' ? ` (${source})` : ''}${detail}`);
  if (verdict.score !== undefined)
    prefix += field(
      'X-Lazaret-Score',
      number(verdict.score) + (verdict.required === undefined ? '' : ` of ${number(verdict.required)}`),
    );
  if (verdict.rules.length > 0) prefix += field('X-Lazaret-Rules', rules(verdict));
  if (status) prefix += field('X-Lazaret-Status', oneLine(status, maxTextOctets));
  return prefix;
}

function rules({ rules }: Verdict): string {
  let text = '';
  for (const [index, { name, score }] of rules.entries()) {
    const rule = oneLine(name, 200) + (score === undefined ? '' : `=${number(score)}`);
    if (text.length + rule.length > maxRulesOctets) return `${text}, and ${rules.length - index} more`;
    text += (text && ', ') + rule;
  }
  return text;
}

/** Points as filters write them: no exponent, no long tails. */
function number(value: number): string {
  if (!Number.isFinite(value)) return '0';
  return value.toFixed(3).replace(/\.?0+$/, '');
}

/**
 * Printable ASCII and single blanks; everything else becomes `?`: header text must not need a charset. `{id}` is the
 * store's mark and may come from nobody else.
 */
function oneLine(text: string, max: number): string {
  const plain = text
    .slice(0, 4 * max)
    .replace(/[\s\x00-\x1F\x7F]+/g, ' ')
    .trim()
    .replace(/[^\x20-\x7E]/gu, '?')
    .replaceAll('{id}', '(id)');
  return plain.length > max ? `${plain.slice(0, max)}...` : plain;
}

/** Folded before blanks at 78 octets (RFC 5322 §2.1.1); a word longer than 900 is cut, so that no line passes 998. */
function field(name: string, value: string): string {
  let text = '';
  let line = `${name}:`;
  for (const word of value.split(' '))
    for (let rest = word; rest !== ''; rest = rest.slice(900)) {
      const piece = rest.slice(0, 900);
      if (line.length + 1 + piece.length > 78 && line !== ' ' && !line.endsWith(':')) {
        text += `${line}\r\n`;
        line = '';
      }
      line += ` ${piece}`;
    }
  return `${text}${line}\r\n`;
}
