/**
 * Proxmox Mail Gateway: a level and a table of SpamAssassin's rules, whose descriptions may go on in the next line.
 *
 *     X-SPAM-LEVEL: Spam detection results:  4
 *         BAYES_99                  3.5 Bayes spam probability is 99 to 100%
 *         KAM_DMARC_REJECT            3 DKIM has Failed or SPF has failed on the message and the domain
 *             has a DMARC reject policy
 */
import type { RuleHit } from '#store/model';
import { type BlockField, linesOf } from '../fields.ts';
import type { Family } from './families.ts';
import { maxRules, reasonOfRules } from './rules.ts';
import { toNumber } from './spam-status.ts';

/** The level of its own rules "Mark Spam" and "Quarantine/Mark Spam (Level 3)". */
const heldFrom = 3;

export const proxmox: Family = {
  its: (name) => name === 'x-spam-level' || name.startsWith('x-proxmox-'),
  telling: (name) => name === 'x-spam-level',
  read(block) {
    const field = block.fields.find(({ name }) => name === 'x-spam-level');
    const score = toNumber(/results:\s{0,20}(-?\d{1,9})/i.exec(field?.value ?? '')?.[1]);
    const rules = tableIn(field);
    const isSpam = score !== undefined && score >= heldFrom;
    return {
      verdict: {
        reason: isSpam ? reasonOfRules(rules, heldFrom) : 'unknown',
        source: 'proxmox',
        ...(score === undefined ? {} : { score }),
        rules,
      },
    };
  },
};

function tableIn(field: BlockField | undefined): RuleHit[] {
  const rules: RuleHit[] = [];
  const lines = linesOf(field, 2 * maxRules).filter((line) => line !== '');
  // Where somebody has put the table on one line, a name in capitals and a number begin the next rule.
  const rows =
    lines.length > 1 ? lines : (field?.value ?? '').split(/\s(?=[A-Z][A-Z0-9_]{2,99}\s{1,40}-?\d)/, maxRules);
  for (const row of rows) {
    const match = /^([A-Z][A-Z0-9_]{1,99})\s{1,60}(-?\d{1,6}(?:\.\d{1,6})?)(?:\s(.*))?$/.exec(row);
    if (match?.[1]) rules.push({ name: match[1], score: Number(match[2]), words: match[3]?.trim() ?? '' });
    else {
      const last = rules.at(-1);
      if (last) rules[rules.length - 1] = { ...last, words: `${last.words ?? ''} ${row}`.trim() };
    }
  }
  return rules.map(({ words, ...rule }) => (words ? { ...rule, words } : rule));
}
