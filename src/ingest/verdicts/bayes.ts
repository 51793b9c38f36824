/**
 * Filters that are nothing but a Bayesian classifier: their score is a probability.
 *
 *     X-Bogosity: Spam, tests=bogofilter, spamicity=0.999999, version=1.2.5
 *     X-DSPAM-Result: Spam / X-DSPAM-Probability: 0.9997
 *     X-Spambayes-Classification: unsure; 0.53
 */
import type { Reason, Verdict } from '#store/model';
import { fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { toProbability } from './spam-status.ts';

const reasons: Readonly<Record<string, Reason>> = {
  spam: 'spam',
  yes: 'spam',
  virus: 'virus',
  blacklisted: 'rule',
  blocklisted: 'rule',
  unsure: 'unsure',
};

function verdict(source: string, word: string | undefined, score: number | undefined): Verdict {
  const said = word?.toLowerCase();
  return {
    reason: (said !== undefined && Object.hasOwn(reasons, said) && reasons[said]) || 'unknown',
    source,
    ...(score === undefined ? {} : { score, scale: 'probability' }),
    ...(said ? { class: said } : {}),
    rules: [],
  };
}

const first = (text: string | undefined) => /^\s{0,9}([A-Za-z]{1,30})/.exec(text ?? '')?.[1];

export const bogofilter: Family = {
  its: (name) => name === 'x-bogosity',
  telling: (name) => name === 'x-bogosity',
  read(block) {
    const value = fieldText(block, 'x-bogosity') ?? '';
    return {
      verdict: verdict('bogofilter', first(value), toProbability(/\bspamicity=([\d.e+-]{1,20})/.exec(value)?.[1])),
    };
  },
};

export const dspam: Family = {
  its: (name) => name.startsWith('x-dspam-'),
  telling: (name) => name === 'x-dspam-result',
  read(block) {
    // `Spam`, or `ada; result="Spam"; class="Spam"; probability=1.0000; confidence=1.00`
    const value = fieldText(block, 'x-dspam-result') ?? '';
    const word = /\bresult="?([A-Za-z]{1,30})/.exec(value)?.[1] ?? first(value);
    const score =
      toProbability(fieldText(block, 'x-dspam-probability')) ??
      toProbability(/\bprobability=([\d.e+-]{1,20})/.exec(value)?.[1]);
    return { verdict: verdict('dspam', word, score) };
  },
};

export const spambayes: Family = {
  its: (name) => name.startsWith('x-spambayes-'),
  telling: (name) => name === 'x-spambayes-classification',
  read(block) {
    const value = fieldText(block, 'x-spambayes-classification') ?? '';
    return { verdict: verdict('spambayes', first(value), toProbability(/;\s{0,9}([\d.e+-]{1,20})/.exec(value)?.[1])) };
  },
};
