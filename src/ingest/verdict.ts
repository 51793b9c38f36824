/** The block that a filter wrote → why the message is held, in one form for all filters. Without a block nothing is known. */
import type { Verdict } from '#store/model';
import type { Block } from './block.ts';
import { amavisVerdict } from './verdicts/amavis.ts';
import { rspamdVerdict } from './verdicts/rspamd.ts';
import { spamassassinVerdict } from './verdicts/spamassassin.ts';

export function verdictOf(block: Block | undefined): Verdict {
  if (!block) return { reason: 'unknown', source: 'none', rules: [] };
  if (block.filter === 'amavis') return amavisVerdict(block);
  return block.filter === 'spamassassin' ? spamassassinVerdict(block) : rspamdVerdict(block);
}
