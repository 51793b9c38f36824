/**
 * Microsoft 365 and Exchange: `NAME:value;` lists, a spam confidence level (SCL −1…9, spam from 5 on) and a category.
 *
 *     X-Forefront-Antispam-Report: CIP:198.51.100.7;CTRY:NL;LANG:en;SCL:9;SRV:;IPV:NLI;SFV:SPM;H:mail.spam.test;
 *         PTR:mail.spam.test;CAT:HPHSH;SFS:(13230040)(4636009);DIR:INB;
 *     X-Microsoft-Antispam: BCL:7;ARA:1234;
 *
 * What Microsoft marks as `-Untrusted` came with the message and is not read.
 */
import type { Reason, RuleHit } from '#store/model';
import { fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { maxRules } from './rules.ts';
import { toNumber } from './spam-status.ts';

const spamFrom = 5;
/** Bulk complaint level from which Microsoft's own default policy takes a message for bulk mail. */
const bulkFrom = 7;

const byCategory: Readonly<Record<string, Reason>> = {
  MALW: 'virus',
  AMP: 'virus',
  SAP: 'attachment',
  PHSH: 'phish',
  HPHSH: 'phish',
  HPHISH: 'phish',
  UIMP: 'phish',
  DIMP: 'phish',
  GIMP: 'phish',
  BIMP: 'phish',
  SPOOF: 'auth',
  BULK: 'bulk',
  SPM: 'spam',
  HSPM: 'spam',
  OSPM: 'spam',
  FTBP: 'attachment',
};
const byFilter: Readonly<Record<string, Reason>> = { SPM: 'spam', SKB: 'rule', SKS: 'rule', BLK: 'rule' };

export const microsoft365: Family = {
  its: (name) =>
    /^(?:x-forefront-antispam-report|x-microsoft-antispam(?:-.{1,60})?|x-ms-.{1,100}|x-eop.{1,60}|x-originatororg)$/.test(
      name,
    ) && !name.endsWith('-untrusted'),
  telling: (name) => /^(?:x-forefront-antispam-report|x-ms-exchange-organization-scl)$/.test(name),
  read(block) {
    const report = pairs(fieldText(block, 'x-forefront-antispam-report') ?? '');
    const bulk = toNumber(pairs(fieldText(block, 'x-microsoft-antispam') ?? '').get('BCL'));
    const scl = toNumber(report.get('SCL')) ?? toNumber(fieldText(block, 'x-ms-exchange-organization-scl'));
    const category = report.get('CAT') ?? '';
    const filter = report.get('SFV') ?? '';
    const known = (table: Readonly<Record<string, Reason>>, key: string) =>
      Object.hasOwn(table, key) ? table[key] : undefined;
    const byLevel =
      scl !== undefined && scl >= spamFrom ? 'spam' : bulk !== undefined && bulk >= bulkFrom ? 'bulk' : undefined;
    const country = report.get('CTRY');
    const rules: RuleHit[] = [
      ...(bulk === undefined ? [] : [{ name: 'BCL', score: bulk, words: 'bulk complaint level' }]),
      ...(country && /^[A-Z]{2}$/.test(country) ? [{ name: 'CTRY', words: `sent from ${country}` }] : []),
      ...[...(report.get('SFS') ?? '').matchAll(/\((\w{1,20})\)/g)].slice(0, maxRules).map(([, id]) => ({
        name: `SFS:${id}`,
      })),
    ];
    return {
      verdict: {
        reason: known(byCategory, category) ?? known(byFilter, filter) ?? byLevel ?? 'unknown',
        source: 'microsoft365',
        ...(scl === undefined ? {} : { score: scl, scale: 'scl', required: spamFrom }),
        ...(/^\w{1,20}$/.test(filter) ? { action: filter } : {}),
        ...(/^\w{1,20}$/.test(category) && category !== 'NONE' ? { class: category } : {}),
        rules,
      },
      ...(report.get('DIR') === 'OUT' ? { direction: 'outgoing' as const } : {}),
    };
  },
};

function pairs(value: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const piece of value.split(';', 200)) {
    const colon = piece.indexOf(':');
    const name = piece.slice(0, Math.max(0, colon)).trim();
    if (colon > 0 && name.length <= 20 && !found.has(name)) found.set(name, piece.slice(colon + 1).trim());
  }
  return found;
}
