/** Reads what Rspamd writes, by our formatter (INTEGRATIONS §3.3), as a milter (§3.4), or by way of Haraka (§5). */
import { textOfLatin1, unfoldLatin1 } from '#imap/mime/header';
import { clean } from '#imap/mime/words';
import type { Authentication, Disposition, Reason, RuleHit, Verdict } from '#store/model';
import { type Block, fieldText } from '../fields.ts';
import type { Family } from './families.ts';
import { maxRules, reasonOfRules } from './rules.ts';
import { readSpamStatus, toNumber } from './spam-status.ts';

interface Hit extends RuleHit {
  readonly options: string;
}

export function rspamdVerdict(block: Block): Verdict {
  const result = block.fields.find(({ name }) => name === 'x-spamd-result');
  const [, first, second] = /\[([-\d.]{1,20}) \/ ([-\d.]{1,20})\]/.exec(result?.value ?? '') ?? [];
  const status = readSpamStatus(fieldText(block, 'x-spam-status') ?? '');
  const score = toNumber(first) ?? status.score ?? toNumber(fieldText(block, 'x-spam-score'));
  const required = toNumber(second);
  const symbols = readSymbols(result?.raw ?? '');
  const action = (fieldText(block, 'x-spam-action') ?? fieldText(block, 'x-rspamd-action') ?? '').trim().toLowerCase();
  const isSpam = status.isSpam || /^yes\b/i.test(fieldText(block, 'x-spam') ?? '');
  const id = /^<?([^<>\s]{1,64})>?$/.exec(
    fieldText(block, 'x-quarantine-id') ?? fieldText(block, 'x-rspamd-queue-id') ?? '',
  );
  const told = block.filter === 'rspamd' ? toldBy(action) : undefined;
  return {
    ...rspamdReason(action, isSpam, symbols, required),
    source: 'rspamd',
    ...(score === undefined ? {} : { score }),
    ...(required === undefined ? {} : { required, bands: { reject: required } }),
    ...(/^[a-z][a-z _-]{0,40}$/.test(action) ? { action } : {}),
    rules: symbols.map(({ name, score, options }) => ({
      name,
      ...(score === undefined ? {} : { score }),
      ...(options ? { words: options } : {}),
    })),
    ...authenticationBy(symbols),
    ...(told ? { disposition: told } : {}),
    ...(id?.[1] === undefined ? {} : { filterId: id[1] }),
  };
}

const checks: Readonly<Record<keyof Authentication, readonly (readonly [RegExp, string])[]>> = {
  spf: [
    [/^R_SPF_ALLOW$/, 'pass'],
    [/^R_SPF_FAIL$/, 'fail'],
    [/^R_SPF_SOFTFAIL$/, 'softfail'],
    [/^R_SPF_NEUTRAL$/, 'neutral'],
    [/^R_SPF_DNSFAIL$/, 'temperror'],
    [/^R_SPF_PERMFAIL$/, 'permerror'],
    [/^R_SPF_NA$/, 'none'],
  ],
  dkim: [
    [/^R_DKIM_ALLOW$/, 'pass'],
    [/^R_DKIM_REJECT$/, 'fail'],
    [/^R_DKIM_TEMPFAIL$/, 'temperror'],
    [/^R_DKIM_PERMFAIL$/, 'permerror'],
    [/^R_DKIM_NA$/, 'none'],
  ],
  dmarc: [
    [/^DMARC_POLICY_ALLOW(?:_WITH_FAILURES)?$/, 'pass'],
    [/^DMARC_POLICY_(?:REJECT|QUARANTINE|SOFTFAIL)$/, 'fail'],
    [/^DMARC_DNSFAIL$/, 'temperror'],
    [/^DMARC_BAD_POLICY$/, 'permerror'],
    [/^DMARC_NA$/, 'none'],
  ],
  arc: [
    [/^ARC_ALLOW$/, 'pass'],
    [/^ARC_(?:REJECT|INVALID)$/, 'fail'],
    [/^ARC_DNSFAIL$/, 'temperror'],
    [/^ARC_NA$/, 'none'],
  ],
};

/** What Rspamd itself found of SPF, DKIM, DMARC and ARC. */
export function authenticationBy(symbols: readonly RuleHit[]): Pick<Verdict, 'authentication'> {
  const found: Partial<Record<keyof Authentication, string>> = {};
  for (const method of ['spf', 'dkim', 'dmarc', 'arc'] as const) {
    const check = checks[method].find(([form]) => symbols.some(({ name }) => form.test(name)));
    if (check) found[method] = check[1];
  }
  return Object.keys(found).length > 0 ? { authentication: found } : {};
}

/** What Rspamd asks for with this action is what the sender is told: by the milter, at the end of the message. */
export function toldBy(action: string): Disposition | undefined {
  if (action === 'reject') return { kind: 'rejected' };
  if (action === 'discard') return { kind: 'discarded' };
  return /^(?:no action|add header|rewrite subject|quarantine)$/.test(action) ? { kind: 'accepted' } : undefined;
}

/** Put off by a 4xx, to come again: no message of its own (DESIGN §7.9). */
export const isPutOff = (action: string) => /^(?:greylist|soft reject)$/.test(action);

/** Why, by the action and by symbols that say more than "spam"; a virus whatever the points. */
export function rspamdReason(
  action: string,
  isSpam: boolean,
  symbols: readonly (RuleHit & { readonly options?: string })[],
  required: number | undefined,
): Pick<Verdict, 'reason' | 'detail'> {
  const virus = symbols.find(({ name }) => /(?:^|_)VIRUS(?:_|$)/.test(name));
  if (virus) return { reason: 'virus', ...(virus.options ? { detail: clean(virus.options, 500) } : {}) };
  return { reason: reasonOf(action, isSpam, symbols, required) };
}

function reasonOf(action: string, isSpam: boolean, symbols: readonly RuleHit[], required?: number): Reason {
  if (isSpam || /^(?:reject|add header|rewrite subject|quarantine|discard)$/.test(action))
    return reasonOfRules(symbols, required);
  return isPutOff(action) ? 'unsure' : 'unknown';
}

/**
 * One symbol a line: `\tNAME(1.00)[options];`. Options hold strangers' words, brackets and semicolons too, but no line
 * break, so the lines are what separates symbols: only the first of each line is one. Where a mail server has joined or
 * wrapped the lines, they are told apart by their brackets.
 */
function readSymbols(raw: string): Hit[] {
  const lines = raw.trim().split(/\r?\n[ \t]+/, maxRules + 1);
  if (lines.length > 1 && lines.slice(1).every((line) => symbolForm.test(line)))
    return lines.flatMap((line) => symbolAt(line, 0, line.length)?.hit ?? []);
  return scan(unfoldLatin1(raw));
}

const symbolForm = /^[A-Za-z0-9_]{1,100}\(-?\d{1,9}(?:\.\d{1,9})?\)/;
const stickyForm = /([A-Za-z0-9_]{1,100})\((-?\d{1,9}(?:\.\d{1,9})?)\)/y;

/** The symbol that begins at `at`; its options go to the last `]` before `limit`. */
function symbolAt(text: string, at: number, limit: number): { hit: Hit; end: number } | undefined {
  stickyForm.lastIndex = at;
  const match = stickyForm.exec(text);
  if (!match?.[1]) return undefined;
  const from = stickyForm.lastIndex;
  const close = text[from] === '[' ? text.lastIndexOf(']', limit - 1) : -1;
  const options = close > from ? text.slice(from + 1, close) : '';
  return { hit: { name: match[1], score: Number(match[2]), options: textOfLatin1(options) }, end: from };
}

/** `A(1.00)[a,b[c]]; B(2.00)[];…` on one line, each octet looked at once. */
function scan(text: string): Hit[] {
  const hits: Hit[] = [];
  let at = text.indexOf('];') + 2; // past `default: False [0.81 / 15.00];`
  while (at > 1 && at < text.length && hits.length < maxRules) {
    while (text[at] === ' ' || text[at] === '\t' || text[at] === ';') at++;
    stickyForm.lastIndex = at;
    const match = stickyForm.exec(text);
    if (!match?.[1]) break;
    const from = stickyForm.lastIndex;
    const end = text[from] === '[' ? closing(text, from) : from;
    hits.push({
      name: match[1],
      score: Number(match[2]),
      options: textOfLatin1(text.slice(from + 1, Math.max(from + 1, end - 1))),
    });
    at = end;
  }
  return hits;
}

/** Past the bracket that closes the one at `open`; the end of the text if none does. */
function closing(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '[') depth++;
    else if (text[at] === ']' && --depth === 0) return at + 1;
  }
  return text.length;
}

/**
 * Haraka's plugin: `X-Rspamd-Score: 12.3`, `X-Rspamd-Report: XM_UA_NO_VERSION(0.01) MIME_GOOD(-0.1)`, `X-Rspamd-Spam: Yes`,
 * `X-Rspamd-Bar: ++++`.
 */
export const rspamdHaraka: Family = {
  its: (name) => name.startsWith('x-rspamd-'),
  telling: (name) => /^x-rspamd-(?:score|report|spam|bar)$/.test(name),
  read(block) {
    const symbols = (fieldText(block, 'x-rspamd-report') ?? '').split(/[\s,]+/, maxRules).flatMap((word) => {
      const [, name, score] = /^([A-Za-z0-9_]{1,100})\((-?\d{1,9}(?:\.\d{1,9})?)\)$/.exec(word) ?? [];
      return name === undefined ? [] : [{ name, score: Number(score) }];
    });
    const score = toNumber(fieldText(block, 'x-rspamd-score'));
    const action = (fieldText(block, 'x-rspamd-action') ?? '').trim().toLowerCase();
    const isSpam = /^\s*(?:yes|true)\b/i.test(fieldText(block, 'x-rspamd-spam') ?? '');
    return {
      verdict: {
        ...rspamdReason(action, isSpam, symbols, undefined),
        source: 'rspamd',
        ...(score === undefined ? {} : { score }),
        ...(/^[a-z][a-z _-]{0,40}$/.test(action) ? { action } : {}),
        rules: symbols,
      },
    };
  },
};
