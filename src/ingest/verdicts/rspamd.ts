/** Reads what Rspamd writes, by our formatter (INTEGRATIONS §3.3) or as a milter (§3.4). */
import { textOfLatin1 } from '#imap/mime/header';
import { clean } from '#imap/mime/words';
import type { Reason, RuleHit, Verdict } from '#store/model';
import { type Block, fieldText } from '../block.ts';
import { readSpamStatus, toNumber } from './spam-status.ts';

interface Hit extends RuleHit {
  readonly options: string;
}

const maxSymbols = 500;

export function rspamdVerdict(block: Block): Verdict {
  const result = block.fields.find(({ name }) => name === 'x-spamd-result');
  const [, first, second] = /\[([-\d.]{1,20}) \/ ([-\d.]{1,20})\]/.exec(result?.value ?? '') ?? [];
  const status = readSpamStatus(fieldText(block, 'x-spam-status') ?? '');
  const score = toNumber(first) ?? status.score ?? toNumber(fieldText(block, 'x-spam-score'));
  const required = toNumber(second);
  const symbols = readSymbols(result?.raw ?? '');
  const virus = symbols.find(({ name }) => /(?:^|_)VIRUS(?:_|$)/.test(name));
  const action = (fieldText(block, 'x-spam-action') ?? fieldText(block, 'x-rspamd-action') ?? '').toLowerCase();
  const isSpam = status.isSpam || /^yes\b/i.test(fieldText(block, 'x-spam') ?? '');
  const id = /^<?([^<>\s]{1,64})>?$/.exec(
    fieldText(block, 'x-quarantine-id') ?? fieldText(block, 'x-rspamd-queue-id') ?? '',
  );
  return {
    reason: virus ? 'virus' : reasonOf(action, isSpam),
    source: 'rspamd',
    ...(score === undefined ? {} : { score }),
    ...(required === undefined ? {} : { required }),
    rules: symbols.map(({ name, score }) => (score === undefined ? { name } : { name, score })),
    ...(virus?.options ? { detail: clean(virus.options, 500) } : {}),
    ...(id?.[1] === undefined ? {} : { filterId: id[1] }),
  };
}

function reasonOf(action: string, isSpam: boolean): Reason {
  if (isSpam || /^(?:reject|add header|rewrite subject|quarantine|discard)$/.test(action)) return 'spam';
  return /^(?:greylist|soft reject)$/.test(action) ? 'unsure' : 'unknown';
}

/**
 * One symbol a line: `\tNAME(1.00)[options];`. Options hold strangers' words, brackets and semicolons too, but no line
 * break, so the lines are what separates symbols. Only where an MTA has joined the lines are the semicolons.
 */
function readSymbols(raw: string): Hit[] {
  const folded = raw.trim().split(/\r?\n[ \t]+/, maxSymbols);
  const pieces = folded.length > 1 ? folded : raw.split(/;\s/, maxSymbols);
  const symbols: Hit[] = [];
  for (const piece of pieces) {
    const match = /^\s{0,8}([A-Za-z0-9_]{1,100})\((-?\d{1,9}(?:\.\d{1,9})?)\)/.exec(piece);
    if (!match?.[1]) continue;
    const options = /^\[(.*)\];?\s*$/s.exec(piece.slice(match[0].length))?.[1] ?? '';
    symbols.push({ name: match[1], score: Number(match[2]), options: textOfLatin1(options) });
  }
  return symbols;
}
