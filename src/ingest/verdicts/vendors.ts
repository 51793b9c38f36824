/**
 * Appliances of which no more is known than the names of their fields: what such a field is called, and whether it holds a
 * number or a word that everybody uses, has to do.
 *
 *     X-KSMG-AntiSpam-Status: spam / X-KSMG-AntiSpam-Rate: 95
 *     X-TM-AS-Result: No--12.5-5.0-31-10
 *     X-PMX-Spam: Gauge=IIIIIIII, Probability=8%, Report='…'
 *     X-IronPort-AV: E=Sophos;i="5.60,… / X-Ironport-Anti-Spam-Result: A2…
 */

import { clean } from '#imap/mime/words';
import type { Reason, RuleHit } from '#store/model';
import type { Family } from './families.ts';
import { toNumber } from './spam-status.ts';

const words: readonly (readonly [RegExp, Reason])[] = [
  [/\b(?:virus|malware|infected)\b/i, 'virus'],
  [/\b(?:phish|phishing)\b/i, 'phish'],
  [/\b(?:massmail|bulk|mass[ -]mail|marketing)\b/i, 'bulk'],
  [/\b(?:blacklisted|blocklisted|denylisted)\b/i, 'rule'],
  [/\b(?:probable[ _-]?spam|suspect(?:ed)?(?:[ _-]?spam)?)\b/i, 'unsure'],
  [/^\s*(?:yes|spam)\b/i, 'spam'],
];
const denied =
  /\b(?:not[ _-]?(?:spam|detected|scanned|infected)|no(?:t)?[ _-]virus|clean|skipped|disabled)\b|^\s*no\b/i;
const judging = /(?:status|result|verdict|flag|class|detected|spam|phish|virus)s?$/;
const counting = /(?:score|rate|level|rating)$/;

function vendor(source: string, form: RegExp): Family {
  return {
    its: (name) => form.test(name),
    telling: (name) => form.test(name) && (judging.test(name) || counting.test(name)),
    read({ fields }) {
      let reason: Reason = 'unknown';
      let score: number | undefined;
      let isRate = false;
      const rules: RuleHit[] = [];
      for (const { name, value } of fields) {
        if (counting.test(name) && score === undefined) {
          score = toNumber(value);
          isRate = name.endsWith('rate');
        }
        if (!judging.test(name)) continue;
        const head = value.slice(0, 200).replace(/\s+/g, ' ');
        const found = denied.test(head) ? undefined : words.find(([said]) => said.test(head))?.[1];
        if (found && (reason === 'unknown' || order.indexOf(found) < order.indexOf(reason))) reason = found;
        rules.push({ name, words: clean(head, 100) });
        const percent = /\bProbability=(\d{1,3})%/i.exec(head)?.[1];
        if (percent !== undefined && score === undefined) {
          score = Number(percent);
          isRate = true;
        }
      }
      const percent = isRate && score !== undefined && score >= 0 && score <= 100;
      return {
        verdict: {
          reason,
          source,
          ...(score === undefined ? {} : { score, ...(percent ? { scale: 'percent' as const } : {}) }),
          rules,
        },
      };
    },
  };
}

/** The worst first. */
const order: readonly Reason[] = ['virus', 'phish', 'rule', 'spam', 'bulk', 'unsure'];

export const kaspersky = vendor('kaspersky', /^x-(?:ksmg|klms|kse|ksg)-/);
export const trendmicro = vendor('trendmicro', /^x-tm(?:-as|ase|-snts|-authentication|-deliver|-received)?-/);
export const sophos = vendor('sophos', /^x-(?:sophos|pmx|sea)-/);
export const ironport = vendor('ironport', /^(?:x-)?ironport-/);
