/** Reads the X-Spam-* fields of SpamAssassin (INTEGRATIONS §2.3), and of amavis where it passed a message on. */
import type { RuleHit, Verdict } from '#store/model';
import { type Block, fieldText } from '../block.ts';
import { readSpamStatus, toNumber } from './spam-status.ts';

export function spamassassinVerdict(block: Block): Verdict {
  const status = readSpamStatus(fieldText(block, 'x-spam-status') ?? '');
  const isSpam = status.isSpam || /^yes\b/i.test(fieldText(block, 'x-spam-flag') ?? '');
  const score = status.score ?? toNumber(fieldText(block, 'x-spam-score'));
  return {
    reason: isSpam ? 'spam' : 'unknown',
    source: 'spamassassin',
    ...(score === undefined ? {} : { score }),
    ...(status.required === undefined ? {} : { required: status.required }),
    rules: withPoints(status.rules, fieldText(block, 'x-spam-report') ?? ''),
  };
}

/** The status has names only; the report, where there is one, has `*  1.3 NAME words`. */
function withPoints(rules: readonly RuleHit[], report: string): readonly RuleHit[] {
  const points = new Map<string, number>();
  for (const [, score = '', name = ''] of report.matchAll(/\*\s{1,4}(-?\d{1,6}(?:\.\d{1,6})?)\s([A-Z0-9_]{1,100})\s/g))
    points.set(name, Number(score));
  return rules.map((rule) => {
    const score = rule.score ?? points.get(rule.name);
    return score === undefined ? rule : { ...rule, score };
  });
}
