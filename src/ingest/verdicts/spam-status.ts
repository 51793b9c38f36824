/**
 * X-Spam-Status in its four grammars, all linear to read:
 *
 *     Yes, score=19.3 required=5.0 tests=A,\r\n\tB autolearn=no version=4.0.1       SpamAssassin
 *     Yes, score=999.998 tag=-999 tag2=6.31 kill=6.31\r\n tests=[A=1, B=-0.1] …     amavis, quarantined
 *     No, score=2.3 tagged_above=-999 required=6.31 tests=[A=1, B=1.3] …            amavis, passed on
 *     Yes, score=6.00                                                               Rspamd
 */
import type { RuleHit } from '#store/model';
import { maxRules } from './rules.ts';

export interface SpamStatus {
  readonly isSpam: boolean;
  readonly score?: number;
  /** `kill=` before `required=`: the points at which this filter holds a message. */
  readonly required?: number;
  /** Below that, only of amavis: where it marks a message as spam and lets it pass. */
  readonly tag?: number;
  /** The grammar is amavis'. */
  readonly byAmavis?: true;
  readonly rules: readonly RuleHit[];
}

export function readSpamStatus(value: string): SpamStatus {
  const at = value.search(/(?:^|\s)tests=/);
  const head = at < 0 ? value : value.slice(0, at);
  const score = points(head, 'score');
  const kill = points(head, 'kill');
  const required = kill ?? points(head, 'required');
  const tag = points(head, 'tag2');
  return {
    isSpam: /^\s*yes\b/i.test(value),
    ...(score === undefined ? {} : { score }),
    ...(required === undefined ? {} : { required }),
    ...(tag === undefined ? {} : { tag }),
    ...(kill !== undefined || points(head, 'tagged_above') !== undefined ? { byAmavis: true } : {}),
    rules: at < 0 ? [] : readTests(value.slice(value.indexOf('tests=', at) + 6)),
  };
}

/** amavis puts brackets around the list, SpamAssassin ends it with the next `name=`. */
function readTests(text: string): RuleHit[] {
  let list = text;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    list = text.slice(1, close < 0 ? undefined : close);
  } else {
    const next = text.search(/\s[a-z_]+=/);
    if (next >= 0) list = text.slice(0, next);
  }
  const rules: RuleHit[] = [];
  for (const item of list.split(/[\s,]+/, maxRules)) {
    const equals = item.indexOf('=');
    const name = equals < 0 ? item : item.slice(0, equals);
    if (name === '' || name === 'none') continue;
    const score = equals < 0 ? undefined : toNumber(item.slice(equals + 1));
    rules.push(score === undefined ? { name } : { name, score });
  }
  return rules;
}

function points(text: string, name: string): number | undefined {
  const match = new RegExp(`(?:^|[\\s,])${name}=(\\S{1,20})`).exec(text);
  return match?.[1] === undefined ? undefined : toNumber(match[1]);
}

/** A decimal number and nothing else; amavis writes `x` for none. */
export function toNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*[-+]?\d{1,9}(?:\.\d{1,9})?\s*$/.test(text) ? Number(text) : undefined;
}

/** From 0 to 1, also with an exponent: `2.1e-05`. */
export function toProbability(text: string | undefined): number | undefined {
  if (text === undefined || !/^\s*\d{1,3}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?\s*$/i.test(text)) return undefined;
  const value = Number(text);
  return value >= 0 && value <= 1 ? value : undefined;
}
