/**
 * Barracuda, which says at which points it tags, quarantines and blocks; 1000 is its way to say never.
 *
 *     X-Barracuda-Spam-Status: No, SCORE=4.83 using global scores of TAG_LEVEL=1000.0 QUARANTINE_LEVEL=1000.0
 *         KILL_LEVEL=7.0 tests=BSF_RULE7568M, HTML_MESSAGE
 *     X-Barracuda-Spam-Report: Code version 3.2, rules version 3.2.3.76836
 *         Rule breakdown below
 *          pts rule name              description
 *         ---- ---------------------- --------------------------------------------------
 *         0.50 BSF_RULE7568M          Custom Rule 7568M
 */
import type { RuleHit } from '#store/model';
import { type BlockField, fieldText, linesOf } from '../fields.ts';
import type { Family } from './families.ts';
import { maxRules, reasonOfRules } from './rules.ts';
import { toNumber } from './spam-status.ts';

const never = 1000;

export const barracuda: Family = {
  its: (name) => name.startsWith('x-barracuda-') || name.startsWith('x-asg-'),
  telling: (name) => /^x-barracuda-spam-(?:status|score|flag)$/.test(name),
  read(block) {
    const status = fieldText(block, 'x-barracuda-spam-status') ?? '';
    const at = status.search(/(?:^|\s)tests=/i);
    const head = at < 0 ? status : status.slice(0, at);
    const level = (name: string) => {
      const points = toNumber(new RegExp(`(?:^|\\s)${name}=(\\S{1,20})`, 'i').exec(head)?.[1]);
      return points === undefined || points >= never ? undefined : points;
    };
    const score =
      toNumber(/(?:^|[\s,])SCORE=(\S{1,20})/i.exec(head)?.[1]) ?? toNumber(fieldText(block, 'x-barracuda-spam-score'));
    const [tag, quarantine, reject] = [level('TAG_LEVEL'), level('QUARANTINE_LEVEL'), level('KILL_LEVEL')];
    const reached = (points: number | undefined) => score !== undefined && points !== undefined && score >= points;
    const action = reached(reject) ? 'block' : reached(quarantine) ? 'quarantine' : reached(tag) ? 'tag' : undefined;
    const required = quarantine ?? reject ?? tag;
    const rules = rulesOf(
      at < 0 ? '' : status.slice(status.indexOf('=', at) + 1),
      block.fields.find(({ name }) => name === 'x-barracuda-spam-report'),
    );
    const isSpam =
      action !== undefined ||
      /^\s*yes\b/i.test(status) ||
      /^\s*yes\b/i.test(fieldText(block, 'x-barracuda-spam-flag') ?? '');
    const bands = {
      ...(tag === undefined ? {} : { tag }),
      ...(quarantine === undefined ? {} : { quarantine }),
      ...(reject === undefined ? {} : { reject }),
    };
    return {
      verdict: {
        reason: isSpam ? reasonOfRules(rules, required) : 'unknown',
        source: 'barracuda',
        ...(score === undefined ? {} : { score }),
        ...(required === undefined ? {} : { required }),
        ...(Object.keys(bands).length === 0 ? {} : { bands }),
        ...(action === undefined ? {} : { action }),
        rules,
      },
    };
  },
};

/** Names from the status, points and words from the report's table. */
function rulesOf(tests: string, report: BlockField | undefined): RuleHit[] {
  const rules = new Map<string, RuleHit>();
  for (const name of tests.split(/[\s,]+/, maxRules)) if (/^\w{1,100}$/.test(name)) rules.set(name, { name });
  let last: RuleHit | undefined;
  for (const line of linesOf(report, 2 * maxRules)) {
    const match = /^(-?\d{1,6}\.\d{1,6})\s{1,40}(\w{1,100})(?:\s(.*))?$/.exec(line);
    if (match?.[2]) {
      last = { name: match[2], score: Number(match[1]), ...(match[3]?.trim() ? { words: match[3].trim() } : {}) };
      rules.set(last.name, last);
    } else if (last && line !== '' && !line.startsWith('--')) {
      last = { ...last, words: `${last.words ?? ''} ${line}`.trim() };
      rules.set(last.name, last);
    }
  }
  return [...rules.values()];
}
