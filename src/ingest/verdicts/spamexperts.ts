/**
 * SpamExperts, both ways: `-Outgoing-` in the names means mail of ours. The number is a probability.
 *
 *     X-SpamExperts-Class: unsure / X-SpamExperts-Evidence: Combined (0.52) / X-Recommended-Action: accept
 *     X-SpamExperts-Outgoing-Class: ham / X-SpamExperts-Outgoing-Evidence: SB/global_tokens (0.00234768760834)
 */
import type { Reason, RuleHit } from '#store/model';
import { fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { toProbability } from './spam-status.ts';

const byClass: Readonly<Record<string, Reason>> = {
  spam: 'spam',
  unsure: 'unsure',
  virus: 'virus',
  phish: 'phish',
  phishing: 'phish',
  bulk: 'bulk',
  newsletter: 'bulk',
  blacklisted: 'rule',
  blocklisted: 'rule',
  policy: 'policy',
};

export const spamexperts: Family = {
  its: (name) => /^x-(?:spamexperts-.{1,60}|recommended-action|filter-id|report-abuse-to)$/.test(name),
  telling: (name) => /^x-spamexperts-(?:outgoing-)?class$/.test(name),
  read(block) {
    const isOutgoing = block.fields.some(({ name }) => name === 'x-spamexperts-outgoing-class');
    const prefix = isOutgoing ? 'x-spamexperts-outgoing-' : 'x-spamexperts-';
    const word = /^\s{0,9}([\w-]{1,40})/.exec(fieldText(block, `${prefix}class`) ?? '')?.[1]?.toLowerCase();
    const [, by = '', number] =
      /^\s{0,9}([^()]{0,100})\(([\d.e+-]{1,30})\)/i.exec(fieldText(block, `${prefix}evidence`) ?? '') ?? [];
    const score = toProbability(number);
    const action = /^\s{0,9}([\w-]{1,40})/.exec(fieldText(block, 'x-recommended-action') ?? '')?.[1]?.toLowerCase();
    const rules: RuleHit[] = by.trim() === '' ? [] : [{ name: by.trim(), words: 'what it was judged by' }];
    return {
      verdict: {
        reason:
          (word !== undefined && Object.hasOwn(byClass, word) && byClass[word]) ||
          (action === 'reject' && word !== 'ham' ? 'spam' : 'unknown'),
        source: 'spamexperts',
        ...(score === undefined ? {} : { score, scale: 'probability' }),
        ...(action ? { action } : {}),
        ...(word ? { class: word } : {}),
        rules,
      },
      ...(isOutgoing ? { direction: 'outgoing' as const } : {}),
    };
  },
};
