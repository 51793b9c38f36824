/**
 * The lines of ours that a held message is shown with, above its own header (DESIGN §7.7). Rendered at arrival and at a
 * return, then never changed: nothing that can change later belongs here. Everything in it but our own words comes from
 * strangers (rule names, a next hop's 550), so whatever could end a line or a header, or turn text around, is taken out.
 *
 *     X-Lazaret-Id: {id}          the store puts the entry's id there
 *     X-Lazaret-Reason: banned (amavis): it holds a kind of file that is not let in; BANNED, message contains …
 *     X-Lazaret-Score: 9.3 of 6.31 points (66 of 100)
 *     X-Lazaret-Rules: GTUBE=1000 (Generic Test for Unsolicited Bulk Email), NO_RELAYS=-0.001
 *     X-Lazaret-Also: rspamd: add header, 8.68 of 15 points (29 of 100)
 *     X-Lazaret-Authentication: spf=pass dkim=fail dmarc=fail
 *     X-Lazaret-Disposition: it was refused, and the sender told: 554 5.7.1 Spam message rejected
 *     X-Lazaret-Status: 550 5.1.1 No such user
 *
 * Scripts may read the first word of a reason, the first number of a score, and rules as a list; the rest is for people, in
 * the language of the settings at arrival.
 */
import type { Verdict } from '#store/model';
import {
  authenticationInWords,
  dispositionInWords,
  findingInWords,
  languageOf,
  plainNumber,
  reasonInWords,
  ruleInWords,
  scoreInWords,
} from './in-words.ts';

/** A header list that nobody reads to its end costs every download: so many octets of rules, then "and 12 more". */
const maxRulesOctets = 2000;
const maxTextOctets = 1000;
const maxOthers = 10;

export function renderPrefix(p: { readonly verdict: Verdict; readonly status?: string }): string {
  const { verdict, status } = p;
  const language = languageOf(verdict);
  let prefix = field('X-Lazaret-Id', '{id}');
  prefix += field('X-Lazaret-Reason', reason(verdict));
  const score = scoreInWords(verdict, language);
  if (score) prefix += field('X-Lazaret-Score', oneLine(score, 200));
  if (verdict.rules.length > 0) prefix += field('X-Lazaret-Rules', rules(verdict));
  if (verdict.others?.length)
    prefix += field(
      'X-Lazaret-Also',
      verdict.others
        .slice(0, maxOthers)
        .map((other) => oneLine(findingInWords(other, language), 200))
        .join('; '),
    );
  const authentication = verdict.authentication ? authenticationInWords(verdict.authentication) : '';
  if (authentication) prefix += field('X-Lazaret-Authentication', oneLine(authentication, 200));
  if (verdict.disposition)
    prefix += field('X-Lazaret-Disposition', oneLine(dispositionInWords(verdict.disposition, language), maxTextOctets));
  if (status) prefix += field('X-Lazaret-Status', oneLine(status, maxTextOctets));
  return prefix;
}

/** The same lines for an entry whose id has become another one. */
export const withId = (prefix: string, id: number): string => prefix.replace(/^(X-Lazaret-Id: )\d+/, `$1${id}`);

function reason(verdict: Verdict): string {
  const source = oneLine(verdict.source, 60);
  const words = [reasonInWords(verdict.reason, languageOf(verdict)), oneLine(verdict.detail ?? '', maxTextOctets)];
  const said = words.filter((text) => text !== '').join('; ');
  return `${verdict.reason}${source && source !== 'none' ? ` (${source})` : ''}${said ? `: ${said}` : ''}`;
}

/** All names before any words: the words take the room that the names leave. */
function rules(verdict: Verdict): string {
  const hits: string[] = [];
  let length = 0;
  for (const { name, score } of verdict.rules) {
    const hit = oneLine(name, 200) + (score === undefined ? '' : `=${plainNumber(score)}`);
    length += hit.length + 2;
    if (length > maxRulesOctets) break;
    hits.push(hit);
  }
  const language = languageOf(verdict);
  for (const [at, hit] of hits.entries()) {
    const rule = verdict.rules[at];
    const words = rule ? oneLine(ruleInWords(rule, language), 120).replaceAll(',', ';') : '';
    if (words === '' || length + words.length + 3 > maxRulesOctets) continue;
    length += words.length + 3;
    hits[at] = `${hit} (${words})`;
  }
  const more = verdict.rules.length - hits.length;
  return hits.join(', ') + (more > 0 ? `, and ${more} more` : '');
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
