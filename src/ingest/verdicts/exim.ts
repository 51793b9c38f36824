/**
 * Exim with SpamAssassin, as cPanel sets it up, Haraka's plugin, and spamass-milter: SpamAssassin's fields at the end of the
 * header, some of them empty, and the points times ten where Exim's `$spam_score_int` was written.
 *
 *     X-Spam-Status: No, score=-1.0 / X-Spam-Score: -10 / X-Spam-Bar: - / X-Ham-Report: Spam detection software …
 */
import { fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { reasonOfRules } from './rules.ts';
import { readSpamStatus, toNumber } from './spam-status.ts';
import { withReport } from './spamassassin.ts';

const names = new Set([
  'x-spam-status',
  'x-spam-score',
  'x-spam-bar',
  'x-spam-report',
  'x-ham-report',
  'x-spam-flag',
  'x-spam-subject',
  'x-spam-level',
  'x-spam-checker-version',
  'x-spam-tests',
]);

const family = (source: string): Family => ({
  its: (name) => names.has(name),
  telling: (name) => /^x-spam-(?:status|score|flag|bar)$/.test(name),
  read(block) {
    const status = readSpamStatus(fieldText(block, 'x-spam-status') ?? '');
    const score = status.score ?? pointsOf(fieldText(block, 'x-spam-score'), fieldText(block, 'x-spam-bar'));
    const isSpam = status.isSpam || /^\s*yes\b/i.test(fieldText(block, 'x-spam-flag') ?? '');
    const report = block.fields.find(({ name }) => name === (isSpam ? 'x-spam-report' : 'x-ham-report'));
    const rules = withReport(status.rules, report);
    return {
      verdict: {
        reason: isSpam ? reasonOfRules(rules, status.required) : 'unknown',
        source,
        ...(score === undefined ? {} : { score }),
        ...(status.required === undefined ? {} : { required: status.required }),
        rules,
      },
    };
  },
});

export const exim = family('exim');
export const spamassassinMilter = family('spamassassin');

/** A whole number is the points times ten, unless the bar, a sign for each point, says otherwise. */
function pointsOf(text: string | undefined, bar: string | undefined): number | undefined {
  const score = toNumber(text);
  if (score === undefined || text?.includes('.')) return score;
  const signs = /^\s*(?:\++|-+)\s*$/.test(bar ?? '') ? (bar ?? '').trim().length : undefined;
  return signs !== undefined && signs === Math.abs(score) ? score : score / 10;
}
