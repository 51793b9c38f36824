/**
 * MailScanner. The name of the organisation stands in the names of its fields, so they are told by what surrounds it.
 *
 *     X-Example-MailScanner: Found to be clean
 *     X-Example-MailScanner-SpamCheck: spam, SBL+XBL, SpamAssassin (not cached, score=7.2,
 *         required 6, autolearn=no, BAYES_99 3.50, HTML_MESSAGE 0.00)
 */
import { clean } from '#imap/mime/words';
import type { Reason, RuleHit } from '#store/model';
import type { Block } from '../fields.ts';
import type { Family } from './families.ts';
import { maxRules, reasonOfRules } from './rules.ts';
import { toNumber } from './spam-status.ts';

const form = /^x-(?:.{1,100}-)?mailscanner(?:-|$)/;

export const mailscanner: Family = {
  its: (name) => form.test(name),
  telling: (name) => form.test(name) && /mailscanner(?:-spamcheck)?$/.test(name),
  read(block) {
    const scan = lastThatEnds(block, 'mailscanner');
    const check = lastThatEnds(block, '-spamcheck');
    const isInfected = /infected/i.test(scan) && !/\bnot infected\b/i.test(scan);
    const isSpam = /^\s*spam\b/i.test(check);
    const list = check.toLowerCase().indexOf('spamassassin');
    const before = list < 0 ? check : check.slice(0, list);
    const inside = list < 0 ? '' : check.slice(check.indexOf('(', list) + 1);
    const score = toNumber(/(?:^|[\s,(])score=(-?[\d.]{1,12})/.exec(inside)?.[1]);
    const required = toNumber(/(?:^|[\s,])required[\s=](-?[\d.]{1,12})/.exec(inside)?.[1]);
    const rules = [...listsIn(before), ...testsIn(inside)];
    const word = /^\s{0,9}((?:not )?spam(?: \([a-z -]{1,40}\))?)/i.exec(check)?.[1]?.toLowerCase();
    const reason: Reason = isInfected
      ? 'virus'
      : !isSpam
        ? 'unknown'
        : word?.includes('(black') || word?.includes('(block')
          ? 'rule'
          : reasonOfRules(rules, required);
    return {
      verdict: {
        reason,
        source: 'mailscanner',
        ...(score === undefined ? {} : { score }),
        ...(required === undefined ? {} : { required }),
        ...(word ? { class: word } : {}),
        rules,
        ...(isInfected ? { detail: clean(scan, 500) } : {}),
      },
    };
  },
};

function lastThatEnds(block: Block, end: string): string {
  return block.fields.findLast(({ name }) => name.endsWith(end))?.value ?? '';
}

/** Block lists that had the sender: words of their own before SpamAssassin's part. */
function listsIn(text: string): RuleHit[] {
  const names = text.split(',', maxRules).slice(1);
  return names.map((name) => name.trim()).flatMap((name) => (/^[\w+. -]{1,100}$/.test(name) ? [{ name }] : []));
}

function testsIn(text: string): RuleHit[] {
  return text.split(/[,)]/, maxRules).flatMap((piece) => {
    const match = /^\s{0,20}([A-Z][A-Z0-9_]{1,99})\s{1,20}(-?\d{1,6}(?:\.\d{1,6})?)\s{0,20}$/.exec(piece);
    return match?.[1] ? [{ name: match[1], score: Number(match[2]) }] : [];
  });
}
