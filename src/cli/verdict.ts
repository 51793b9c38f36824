/** `--reason` and `--score`: why a message is held, told by whoever puts it in. */
import type { Reason, Verdict } from '#store/model';
import { type Call, UsageError } from './verb.ts';

const reasons: readonly Reason[] = [
  'spam',
  'virus',
  'banned',
  'bad-header',
  'policy',
  'phish',
  'bulk',
  'unsure',
  'manual',
  'unknown',
];

export const verdictOptions = [
  { flags: '--reason <why>', help: "why it is held; else what a filter's block on top says", choices: reasons },
  { flags: '--score <points>', help: 'how many points a filter gave it' },
] as const;

/** Undefined where neither was given. */
export function verdictIn(call: Call): Partial<Verdict> | undefined {
  const reason = reasons.find((one) => one === call.text('reason'));
  const points = call.text('score');
  if (points !== undefined && !/^\s*[-+]?\d{1,9}(\.\d{1,9})?\s*$/.test(points))
    throw new UsageError(`--score: expected a number like 7.5, found "${points}"`);
  if (reason === undefined && points === undefined) return undefined;
  return { source: 'cli', ...(reason ? { reason } : {}), ...(points === undefined ? {} : { score: Number(points) }) };
}
