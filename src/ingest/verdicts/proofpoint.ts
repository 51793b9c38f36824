/**
 * Two services that say little more than a number.
 *
 *     X-Proofpoint-Spam-Details: rule=spam policy=default score=99 phishscore=0 bulkscore=0 … classifier=spam reason=mlx
 *     X-Mimecast-Spam-Score: 0.003
 */
import type { Reason, RuleHit } from '#store/model';
import { fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { toNumber } from './spam-status.ts';

/** Proofpoint's own detectors, in this order; each counts to 100. */
const detectors: readonly (readonly [string, Reason, string])[] = [
  ['malwarescore', 'virus', 'malware'],
  ['phishscore', 'phish', 'phishing'],
  ['impostorscore', 'phish', 'a forged sender'],
  ['spamscore', 'spam', 'spam'],
  ['bulkscore', 'bulk', 'bulk mail'],
  ['suspectscore', 'unsure', 'suspect'],
  ['adultscore', 'policy', 'adult content'],
];

export const proofpoint: Family = {
  its: (name) => name.startsWith('x-proofpoint-') || name.startsWith('x-pp-'),
  telling: (name) => name === 'x-proofpoint-spam-details',
  read(block) {
    const details = new Map<string, string>();
    for (const word of (fieldText(block, 'x-proofpoint-spam-details') ?? '').split(/\s+/, 100)) {
      const equals = word.indexOf('=');
      if (equals > 0 && equals <= 30) details.set(word.slice(0, equals).toLowerCase(), word.slice(equals + 1));
    }
    const score = toNumber(details.get('score'));
    const rule = details.get('rule') ?? '';
    const rules: RuleHit[] = detectors.flatMap(([name, , words]) => {
      const points = toNumber(details.get(name));
      return points === undefined || points <= 0 ? [] : [{ name, score: points, words }];
    });
    const isOutgoing = /^outbound/i.test(rule) || /^outbound/i.test(details.get('policy') ?? '');
    return {
      verdict: {
        reason: proofpointReason(rule.toLowerCase(), rules),
        source: 'proofpoint',
        ...(score === undefined ? {} : { score, scale: 'percent' }),
        ...(/^[\w-]{1,60}$/.test(rule) ? { class: rule } : {}),
        rules,
      },
      ...(isOutgoing ? { direction: 'outgoing' as const } : {}),
    };
  },
};

/** `notspam`, `outbound_notspam`, `definite_spam`, `phish`, `bulk` …; the detectors say which kind of bad it is. */
function proofpointReason(rule: string, rules: readonly RuleHit[]): Reason {
  if (rule === '' || /not_?spam$|safe|^outbound_policy/.test(rule)) return 'unknown';
  const named = detectors.find(([name]) => rule.includes(name.replace('score', '')) && name !== 'spamscore')?.[1];
  if (named) return named;
  if (/virus/.test(rule)) return 'virus';
  if (/spam/.test(rule)) {
    const worst = rules.find(({ name, score }) => score !== undefined && score >= 90 && name !== 'spamscore');
    return detectors.find(([name]) => name === worst?.name)?.[1] ?? 'spam';
  }
  return 'rule';
}

export const mimecast: Family = {
  its: (name) => name.startsWith('x-mimecast-') || name.startsWith('x-mc-'),
  telling: (name) => name === 'x-mimecast-spam-score',
  read(block) {
    const score = toNumber(fieldText(block, 'x-mimecast-spam-score'));
    return {
      verdict: {
        // It says how much, not what it makes of it: whoever set it up knows at how many points it holds.
        reason: 'unknown',
        source: 'mimecast',
        ...(score === undefined ? {} : { score }),
        rules: [],
      },
    };
  },
};
