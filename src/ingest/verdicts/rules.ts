/** What the rules that hit have in common, whoever's they are: bounds, and which of them says more than "spam". */
import { clean } from '#imap/mime/words';
import type { Reason, RuleHit } from '#store/model';

/** More rules than any filter has fire on one message; a bound on what a strange header can cost. */
export const maxRules = 500;
const maxName = 100;
const maxWords = 120;
/** Octets of words of all rules together: a verdict is stored with each entry. */
const maxWordsTogether = 6000;

/** Names and words of strangers, cut and cleaned; the words of the first ones go before those of the last. */
export function bounded(rules: readonly RuleHit[]): readonly RuleHit[] {
  let room = maxWordsTogether;
  return rules.slice(0, maxRules).map(({ name, score, words }) => {
    const said = words ? clean(words, Math.min(maxWords, room)) : '';
    room -= said.length;
    return {
      name: clean(name, maxName),
      ...(score === undefined ? {} : { score }),
      ...(said ? { words: said } : {}),
    };
  });
}

/** What a rule is about, by the names that Rspamd, SpamAssassin and their usual additions give them. */
const meanings: readonly (readonly [RegExp, Reason])[] = [
  [/(?:^|_)(?:VIRUS|MALWARE|CLAMAV)(?:_|$)/, 'virus'],
  [/(?:^|_)PHISH(?:ING|ED)?(?:_|$)/, 'phish'],
  [/(?:^|_)(?:GEOIP|GEO|COUNTRY)(?:_|$)/, 'geoip'],
  [/^MIME_(?:DOUBLE_)?BAD_(?:EXTENSION|ATTACHMENT|UNICODE)$|(?:^|_)BAD_ATTACHMENTS?(?:_|$)/, 'attachment'],
  [/^(?:DMARC_POLICY_(?:REJECT|QUARANTINE)|(?:KAM_)?DMARC_(?:REJECT|QUAR)|R_SPF_FAIL|SPF_FAIL|R_DKIM_REJECT)$/, 'auth'],
  [/^(?:USER_IN_(?:BLACK|BLOCK)LIST|(?:WHITE|ALLOW)LIST_ONLY|(?:LOCAL_)?(?:BLACK|BLOCK)LIST(?:ED)?)(?:_|$)/, 'rule'],
];

export function meaningOf(name: string): Reason | undefined {
  return meanings.find(([form]) => form.test(name))?.[1];
}

/**
 * Spam, unless one rule did it alone: a rule that gave at least half of the points that were needed names the reason, if it
 * is about something else.
 */
export function reasonOfRules(rules: readonly RuleHit[], required: number | undefined): Reason {
  if (required === undefined || required <= 0) return 'spam';
  for (const { name, score } of rules) {
    const meaning = score !== undefined && score >= required / 2 ? meaningOf(name) : undefined;
    if (meaning) return meaning;
  }
  return 'spam';
}
