/**
 * What Rspamd's metadata_exporter says about a message, in `X-Rspamd-…` fields (3.4, formatter default with meta_headers), or
 * as JSON beside or around the message (multipart, json_with_message; newer ones). Known by its source, and INTEGRATIONS
 * §3.3: `unknown` stands for nothing, also for a null sender; lists are JSON in a header field; the subject is encoded twice
 * and is not looked at. What a newer one says besides is left alone. Nothing here refuses a message that can be kept: a
 * recipient that cannot be read is nobody, whose mail `global` sees.
 */
import { isIP } from 'node:net';
import { clean, decodeWords } from '#imap/mime/words';
import type { Disposition, Reason, RuleHit, Verdict } from '#store/model';
import type { Told } from './admit.ts';
import { addressesIn, type Facts, listOf, maxPoints } from './http-facts.ts';
import { maxRecipients, PutOff } from './http-told.ts';
import type { Addressee } from './recipients.ts';
import { authenticationBy } from './verdicts/rspamd.ts';
import { bounded, maxRules, reasonOfRules } from './verdicts/rules.ts';

/** What each action means for the sender; other actions, an admin's own, say nothing about it. */
const dispositions: Readonly<Record<string, Disposition['kind'] | 'put-off'>> = {
  reject: 'rejected',
  discard: 'discarded',
  quarantine: 'accepted',
  'add header': 'accepted',
  'rewrite subject': 'accepted',
  'no action': 'accepted',
  greylist: 'put-off',
  'soft reject': 'put-off',
};

/** @throws PutOff */
export function toldByRspamd(facts: Facts): Told {
  const recipients = recipientsOf(facts.get('rcpt'));
  const action = known(facts, 'action')?.toLowerCase();
  const kind = action !== undefined && Object.hasOwn(dispositions, action) ? dispositions[action] : undefined;
  if (kind === 'put-off') throw new PutOff(action, recipients);
  const client = clientOf(facts);
  return {
    sender: addressesIn(known(facts, 'from') ?? '')?.[0] ?? '',
    recipients,
    verdict: { ...verdictOf(facts, action), ...(kind ? { disposition: { kind } } : {}) },
    ...(Object.keys(client).length > 0 ? { params: { client } } : {}),
  };
}

/** A text that is there and says something; a number as its text. */
function known(facts: Facts, name: string): string | undefined {
  const value = facts.get(name);
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string') return undefined;
  // Newer ones encode what is not ASCII as a header field has it.
  const text = clean(value.includes('=?') ? decodeWords(value) : value, 1000);
  return text === '' || text === 'unknown' ? undefined : text;
}

/** A list, or the JSON of one. */
function listIn(value: unknown): readonly unknown[] {
  if (typeof value !== 'string') return listOf(value);
  if (!value.trimStart().startsWith('[')) return [value];
  try {
    return listOf(JSON.parse(value));
  } catch {
    return []; // cut on its way
  }
}

function recipientsOf(value: unknown): Addressee[] {
  const found: Addressee[] = [];
  for (const item of listIn(value)) {
    if (item === 'unknown' || item === '') continue;
    const addresses = (typeof item === 'string' ? addressesIn(item) : undefined) ?? [''];
    for (const address of addresses) found.push({ address });
    if (found.length >= maxRecipients) break;
  }
  return found;
}

function verdictOf(facts: Facts, action: string | undefined): Partial<Verdict> {
  const score = pointsOf(facts.get('score'));
  const required = pointsOf(facts.get('required_score'));
  const symbols = symbolsOf(facts.get('symbols'));
  const id = known(facts, 'qid');
  return {
    source: 'rspamd',
    reason: reasonOf(action, symbols, required),
    rules: bounded(symbols),
    ...authenticationBy(symbols),
    ...(score === undefined ? {} : { score }),
    ...(required === undefined ? {} : { required }),
    ...(action === undefined ? {} : { action: clean(action, 40) }),
    ...(id === undefined ? {} : { filterId: clean(id, 64) }),
  };
}

function reasonOf(action: string | undefined, symbols: readonly RuleHit[], required: number | undefined): Reason {
  // A virus scanner acts by itself, whatever the points.
  const virus = symbols.some(({ name, score = 0 }) => /(?:^|_)VIRUS(?:_|$)/.test(name) && score > 0);
  if (virus) return 'virus';
  if (action === 'no action' || action === undefined) return 'unsure';
  return reasonOfRules(symbols, required);
}

function pointsOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\s*-?\d{1,9}(?:\.\d{1,15})?\s*$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Math.abs(number) < maxPoints ? Math.round(number * 1000) / 1000 : undefined;
}

/** `[{"name": "R_SPF_FAIL", "score": 1, "options": ["-all"], …}]`; those that weigh nothing last. */
function symbolsOf(value: unknown): RuleHit[] {
  const symbols: RuleHit[] = [];
  for (const item of listIn(value).slice(0, 10 * maxRules)) {
    if (typeof item !== 'object' || item === null) continue;
    const facts: Facts = new Map(Object.entries(item));
    const name = known(facts, 'name');
    if (name === undefined) continue;
    const score = pointsOf(facts.get('score'));
    const options = listOf(facts.get('options')).filter((option) => typeof option === 'string');
    const words = [known(facts, 'description'), options.slice(0, 20).join(', ')].filter(Boolean).join(': ');
    symbols.push({ name, ...(score === undefined ? {} : { score }), ...(words ? { words } : {}) });
  }
  const weight = ({ score = 0 }: RuleHit) => Math.abs(score);
  return symbols.sort((a, b) => weight(b) - weight(a));
}

/** By the names that XFORWARD has for them. */
function clientOf(facts: Facts): Record<string, string> {
  const [addr, helo, ident, login] = ['ip', 'helo', 'qid', 'user'].map((name) => known(facts, name));
  return {
    ...(addr && isIP(addr) ? { addr } : {}),
    ...(helo ? { helo: clean(helo, 255) } : {}),
    ...(ident ? { ident: clean(ident, 100) } : {}),
    ...(login ? { login: clean(login, 255) } : {}),
  };
}
