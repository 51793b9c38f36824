/**
 * IceWarp, also as DMA runs it: reasons as groups of letters. The name of the header is the administrator's business
 * (`icewarp:X-Own-Header`), its tokens are those of the server's log:
 *
 *     score 10.00 reason [SpamAssassin=10.00,Bayes=99.99,Body=PE] action SPAM
 *     [Bypass=T] action NONE
 *
 * What each letter means is said in quarantine/reason-codes.ts.
 */

import { groupOf } from '#app/quarantine/reason-codes';
import type { Reason, RuleHit } from '#store/model';
import { fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { maxRules } from './rules.ts';
import { toNumber } from './spam-status.ts';

const usualHeader = 'x-spam-reasons';
/** From so many of 10 points on a message is marked as spam there, unless the action says otherwise. */
const marked = 3.5;

export function icewarp(header = usualHeader): Family {
  return {
    its: (name) => name === header,
    telling: (name) => name === header,
    read(block) {
      const value = fieldText(block, header) ?? '';
      const score = toNumber(/(?:^|\s)score\s{1,9}([\d.]{1,12})/i.exec(value)?.[1]);
      const action = /(?:^|[\s\]])action\s{1,9}([A-Za-z]{1,20})/i.exec(value)?.[1]?.toLowerCase();
      const rules = reasonsIn(value);
      return {
        verdict: {
          reason: reasonOf(rules, score, action),
          source: 'icewarp',
          ...(score === undefined ? {} : { score }),
          ...(action ? { action } : {}),
          rules,
        },
      };
    },
  };
}

/** `Body=PE` is two: `Body=P` and `Body=E`. */
function reasonsIn(value: string): RuleHit[] {
  const rules: RuleHit[] = [];
  const open = value.indexOf('[');
  const close = value.indexOf(']', open);
  const list = open < 0 ? value : value.slice(open + 1, close < 0 ? undefined : close);
  for (const piece of list.split(/[,;]/, maxRules)) {
    const match = /^\s{0,9}([A-Za-z][A-Za-z ]{0,29})=([A-Za-z0-9.]{1,40})\s{0,9}$/.exec(piece);
    if (!match?.[1] || match[2] === undefined) continue;
    const [, name, said] = match;
    const points = toNumber(said);
    const group = groupOf(name);
    if (group && points === undefined)
      for (const letter of said.toUpperCase()) rules.push({ name: `${group}=${letter}` });
    else rules.push(points === undefined ? { name: `${name}=${said}` } : { name, score: points });
  }
  return rules.slice(0, maxRules);
}

function reasonOf(rules: readonly RuleHit[], score: number | undefined, action: string | undefined): Reason {
  const has = (...names: string[]) => rules.some(({ name }) => names.includes(name));
  if (rules.some(({ name }) => name.startsWith('Intrusion='))) return 'policy';
  if (action === 'none' || rules.some(({ name }) => name.startsWith('Bypass='))) return 'unknown';
  if (has('Charset=F', 'Charset=M') && (score ?? 0) < marked && !has('Live=Y')) return 'policy';
  if (has('Live=H') && !has('Live=Y')) return 'bulk';
  if (action !== undefined) return 'spam';
  return (score ?? 0) >= marked || has('Live=Y', 'Body=F', 'Body=K') ? 'spam' : 'unknown';
}
