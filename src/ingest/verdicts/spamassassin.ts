/** Reads the X-Spam-* fields of SpamAssassin (INTEGRATIONS §2.3), and of amavis where it passed a message on. */
import { textOfLatin1 } from '#imap/mime/header';
import type { RuleHit, Verdict } from '#store/model';
import { type Block, type BlockField, fieldText, linesOf } from '../fields.ts';
import { amavisVerdict } from './amavis.ts';
import { maxRules, reasonOfRules } from './rules.ts';
import { readSpamStatus, toNumber } from './spam-status.ts';

export function spamassassinVerdict(block: Block): Verdict {
  if (fieldText(block, 'x-amavis-alert') !== undefined) return amavisVerdict(block);
  const status = readSpamStatus(fieldText(block, 'x-spam-status') ?? '');
  const isSpam = status.isSpam || /^yes\b/i.test(fieldText(block, 'x-spam-flag') ?? '');
  const score = status.score ?? toNumber(fieldText(block, 'x-spam-score'));
  const report = block.report
    ? tableOf(block.report)
    : wordsIn(block.fields.find(({ name }) => name === 'x-spam-report'));
  const rules = merged(status.rules, report);
  return {
    reason: isSpam ? reasonOfRules(rules, status.required) : 'unknown',
    source: status.byAmavis ? 'amavis' : 'spamassassin',
    ...(score === undefined ? {} : { score }),
    ...(status.required === undefined ? {} : { required: status.required }),
    rules,
  };
}

/** The status has names only; the report, where there is one, has `*  1.3 NAME words`. */
export function withReport(rules: readonly RuleHit[], report: BlockField | undefined): readonly RuleHit[] {
  return merged(rules, wordsIn(report));
}

function merged(rules: readonly RuleHit[], report: ReadonlyMap<string, RuleHit>): readonly RuleHit[] {
  return rules.map((rule) => {
    const told = report.get(rule.name);
    const score = rule.score ?? told?.score;
    return {
      name: rule.name,
      ...(score === undefined ? {} : { score }),
      ...(told?.words ? { words: told.words } : {}),
    };
  });
}

/** `*  1.3 NAME words`, and the words may go on in lines `*      more`. */
function wordsIn(field: BlockField | undefined): ReadonlyMap<string, RuleHit> {
  const lines = linesOf(field, 4 * maxRules);
  if (lines.filter((line) => line !== '').length > 1) return rows(lines.map((line) => line.replace(/^\*/, '')));
  // Somebody has put it on one line.
  const found = new Map<string, RuleHit>();
  const value = field?.value ?? '';
  for (const [, score = '', name = ''] of value.matchAll(/\*\s{1,4}(-?\d{1,6}(?:\.\d{1,6})?)\s([A-Z0-9_]{1,100})\s/g))
    found.set(name, { name, score: Number(score) });
  return found;
}

/** The table of a report that stands in the text (`report_safe`); above it are words of the message itself. */
function tableOf(report: string): ReadonlyMap<string, RuleHit> {
  const at = report.lastIndexOf('\nContent analysis details:');
  if (at < 0) return new Map();
  return rows(
    report
      .slice(at + 1)
      .split('\n', 4 * maxRules)
      .slice(1)
      .map(textOfLatin1),
  );
}

function rows(lines: readonly string[]): ReadonlyMap<string, RuleHit> {
  const found = new Map<string, RuleHit>();
  let last: RuleHit | undefined;
  for (const line of lines) {
    const match = /^\s{0,6}(-?\d{1,6}(?:\.\d{1,6})?)\s{1,4}([A-Z0-9_]{1,100})(?:\s(.*))?$/.exec(line.trimEnd());
    if (match?.[2]) last = { name: match[2], score: Number(match[1]), words: match[3]?.trim() ?? '' };
    else if (line.trim() === '')
      last = undefined; // below a report's table comes other text
    else if (last) last = { ...last, words: `${last.words} ${line.trim()}`.slice(0, 500).trim() };
    if (last) found.set(last.name, last);
  }
  return found;
}
