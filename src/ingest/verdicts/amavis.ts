/** Reads the block of amavisd-new (INTEGRATIONS §1.2). */
import { clean } from '#imap/mime/words';
import type { Reason, Verdict } from '#store/model';
import { type Block, fieldText } from '../fields.ts';
import { reasonOfRules } from './rules.ts';
import { readSpamStatus, toNumber } from './spam-status.ts';

export function amavisVerdict(block: Block): Verdict {
  const alerts = block.fields.filter(({ name }) => name === 'x-amavis-alert').map(({ value }) => value);
  const status = readSpamStatus(fieldText(block, 'x-spam-status') ?? '');
  const isSpam = status.isSpam || /^yes\b/i.test(fieldText(block, 'x-spam-flag') ?? '');
  const score = status.score ?? toNumber(fieldText(block, 'x-spam-score'));
  const id = /^<?([^<>\s]{1,64})>?$/.exec(fieldText(block, 'x-quarantine-id') ?? '')?.[1];
  return {
    reason: reasonOf(alerts, isSpam ? reasonOfRules(status.rules, status.required) : undefined),
    source: 'amavis',
    ...(score === undefined ? {} : { score }),
    ...(status.required === undefined ? {} : { required: status.required }),
    ...(status.tag === undefined || status.required === undefined
      ? {}
      : { bands: { tag: status.tag, quarantine: status.required } }),
    rules: status.rules,
    ...(alerts.length === 0 ? {} : { detail: clean(alerts.join('; '), 500) }),
    ...(id === undefined ? {} : { filterId: id }),
  };
}

/** In amavis' own order: what it calls the content category of a message is the worst that was found. */
function reasonOf(alerts: readonly string[], spam: Reason | undefined): Reason {
  const says = (start: string) => alerts.some((alert) => alert.toUpperCase().startsWith(start));
  if (says('INFECTED')) return 'virus';
  if (says('BANNED')) return 'banned';
  if (spam) return spam;
  if (says('BAD HEADER') || says('MIME')) return 'bad-header';
  return says('OVERSIZED') || says('UNCHECKED') || says('UNDECIPHERABLE') ? 'policy' : 'unknown';
}
