/** A verdict in words, for the lines above a message and for the command line. Short, and printable ASCII where they are ours. */
import type { Authentication, Disposition, Finding, Reason, RuleHit, Verdict } from '#store/model';
import { type Language, wordsOfCode } from './reason-codes.ts';
import { normalizedScore } from './score.ts';

const reasons: Readonly<Record<Reason, readonly [en: string, nl: string]>> = {
  spam: ['it looks like spam', 'het lijkt op spam'],
  virus: ['it carries malicious software', 'er zit schadelijke software in'],
  banned: ['it holds a kind of file that is not let in', 'er zit een soort bestand in dat niet wordt doorgelaten'],
  'bad-header': ['its header is malformed', 'de berichtkop klopt niet'],
  attachment: ['it has an attachment that is not let in', 'er zit een bijlage bij die niet wordt doorgelaten'],
  rule: ['a rule holds it', 'een regel houdt het vast'],
  policy: ['it breaks a policy', 'het is in strijd met het beleid'],
  geoip: ['it comes from a country that is held', 'het komt uit een land dat wordt tegengehouden'],
  auth: ['its sender could not be verified', 'de afzender kon niet worden geverifieerd'],
  phish: ['it seems to be after passwords or data', 'het lijkt uit op wachtwoorden of gegevens'],
  bulk: ['it is mass mail', 'het is massamail'],
  unsure: ['the filter is not sure about it', 'het filter is er niet zeker van'],
  manual: ['somebody put it here', 'iemand heeft het hier geplaatst'],
  unknown: ['', ''],
};

/** Every reason, by its name. */
export const reasonNames = Object.keys(reasons) as Reason[];

const pick = (words: readonly [string, string], language: Language) => words[language === 'nl' ? 1 : 0];

/** '' where nobody knows. */
export function reasonInWords(reason: Reason, language: Language = 'en'): string {
  return pick(reasons[reason], language);
}

/** `8.68 of 15 points (29 of 100)`, `0.98 probability (98 of 100)`; '' without a score. */
export function scoreInWords(finding: Finding, language: Language = 'en'): string {
  const { score, scale = 'points', required } = finding;
  const normalized = normalizedScore(finding);
  if (score === undefined || normalized === undefined) return '';
  const of = language === 'nl' ? 'van' : 'of';
  const units: Readonly<Record<typeof scale, readonly [string, string]>> = {
    points: ['points', 'punten'],
    probability: ['probability', 'waarschijnlijkheid'],
    percent: ['per cent', 'procent'],
    scl: ['SCL', 'SCL'],
  };
  const goal = required === undefined ? '' : ` ${of} ${plainNumber(required)}`;
  return `${plainNumber(score)}${goal} ${pick(units[scale], language)} (${normalized} ${of} 100)`;
}

/** What a rule means: the filter's own words, else what its code stands for. '' where nobody says. */
export function ruleInWords({ name, words }: RuleHit, language: Language = 'en'): string {
  return words ?? wordsOfCode(name, language) ?? '';
}

export function dispositionInWords({ kind, said }: Disposition, language: Language = 'en'): string {
  const words: Readonly<Record<Disposition['kind'], readonly [string, string]>> = {
    rejected: ['it was refused, and the sender told', 'het is geweigerd, en de afzender ingelicht'],
    accepted: ['it was accepted from the sender', 'het is van de afzender aangenomen'],
    discarded: [
      'it was accepted from the sender and set aside',
      'het is van de afzender aangenomen en terzijde gelegd',
    ],
    delivered: ['it has been delivered as well', 'het is ook afgeleverd'],
  };
  return pick(words[kind], language) + (said ? `: ${said}` : '');
}

/** `spf=pass dkim=fail dmarc=fail`. */
export function authenticationInWords(authentication: Authentication): string {
  return (['spf', 'dkim', 'dmarc', 'arc'] as const)
    .flatMap((method) => (authentication[method] ? [`${method}=${authentication[method]}`] : []))
    .join(' ');
}

/** Another engine's finding on one line: `rspamd: add header, 8.68 of 15 points (29 of 100)`. */
export function findingInWords(finding: Finding, language: Language = 'en'): string {
  const { source, action, class: itsClass } = finding;
  const parts = [itsClass, action, scoreInWords(finding, language)].filter((part) => part);
  return parts.length > 0 ? `${source}: ${parts.join(', ')}` : source;
}

export const languageOf = ({ language }: Verdict): Language => language ?? 'en';

/** Points as filters write them: no exponent, no long tails. */
export function plainNumber(value: number): string {
  if (!Number.isFinite(value)) return '0';
  return value.toFixed(3).replace(/\.?0+$/, '');
}
