/**
 * What the filters wrote → why the message is held, in one form for all of them. Without anything to read nothing is known.
 *
 * Several may have looked at one message: the filter of the listener, and those that it is told to believe besides (`also`).
 * All are kept; the one that decided names the reason. That is the listener's filter if it says why; else the first of the
 * others that does; else the listener's filter, if it said anything; else the one with the highest score.
 */

import { isMarking } from '#app/lib/filter-names';
import { normalizedScore } from '#app/quarantine/score';
import type { Direction, Finding, Verdict } from '#store/model';
import { type Block, fieldText } from './fields.ts';
import { amavisVerdict } from './verdicts/amavis.ts';
import { families, type Reading } from './verdicts/families.ts';
import { isPutOff, rspamdVerdict } from './verdicts/rspamd.ts';
import { bounded } from './verdicts/rules.ts';
import { spamassassinVerdict } from './verdicts/spamassassin.ts';

export type { Reading } from './verdicts/families.ts';

/** The block of the listener's filter alone. */
export function verdictOf(block: Block | undefined): Verdict {
  return readVerdict(block).verdict;
}

export function readVerdict(block: Block | undefined, also: readonly Block[] = []): Reading {
  const own = block && reading(block);
  const others = also.map(reading);
  const all = own ? [own, ...others] : others;
  const decided = all.find(({ verdict }) => verdict.reason !== 'unknown') ?? own ?? highest(others);
  if (!decided) return { verdict: { reason: 'unknown', source: 'none', rules: [] } };
  const rest = all.filter((one) => one !== decided);
  const direction: Direction | undefined = all.find((one) => one.direction)?.direction;
  // What only the filter that hands over knows: what it calls the message, and what it told the sender.
  const { disposition, filterId } = own?.verdict ?? {};
  const authentication = all.find(({ verdict }) => verdict.authentication)?.verdict.authentication;
  return {
    verdict: {
      ...(disposition ? { disposition } : {}),
      ...(filterId ? { filterId } : {}),
      ...(authentication ? { authentication } : {}),
      ...decided.verdict,
      ...(rest.length > 0 ? { others: rest.map(({ verdict }) => findingOf(verdict)) } : {}),
    },
    ...(direction ? { direction } : {}),
  };
}

function reading(block: Block): Reading {
  const { verdict, ...rest } = rawReading(block);
  return { verdict: { ...verdict, rules: bounded(verdict.rules) }, ...rest };
}

function rawReading(block: Block): Reading {
  const { filter } = block;
  if (isMarking(filter)) return families[filter](block.reasonsIn).read(block);
  if (filter === 'amavis') return { verdict: amavisVerdict(block) };
  return { verdict: filter === 'spamassassin' ? spamassassinVerdict(block) : rspamdVerdict(block) };
}

function highest(readings: readonly Reading[]): Reading | undefined {
  let found: Reading | undefined;
  let most = -1;
  for (const one of readings) {
    const score = normalizedScore(one.verdict) ?? 0;
    if (score <= most) continue;
    found = one;
    most = score;
  }
  return found;
}

/** Without what is said once for a message. */
function findingOf({ source, score, scale, required, bands, rules, action, class: itsClass }: Verdict): Finding {
  return {
    source,
    ...(score === undefined ? {} : { score }),
    ...(scale ? { scale } : {}),
    ...(required === undefined ? {} : { required }),
    ...(bands ? { bands } : {}),
    rules: rules.slice(0, maxRulesOfOthers),
    ...(action ? { action } : {}),
    ...(itsClass ? { class: itsClass } : {}),
  };
}

/** Of those that did not decide. */
const maxRulesOfOthers = 50;

/**
 * Rspamd only put the message off: it comes again, and is no message of its own before that (DESIGN §7.9). Its words then.
 * Of a milter's fields this cannot be: what was put off does not get as far.
 */
export function putOffBy(block: Block | undefined): string | undefined {
  const action = block?.filter === 'rspamd' ? fieldText(block, 'x-spam-action')?.trim().toLowerCase() : undefined;
  return action !== undefined && isPutOff(action) ? action : undefined;
}
