/** Options that say why a message is held, told by whoever puts it in: `--reason`, `--score`, `--rule` and so on. */
import { dispositionForm, parseDisposition } from '#app/lib/disposition';
import { cleanLine } from '#app/lib/terminal';
import { reasonNames } from '#app/quarantine/in-words';
import type { RuleHit, Verdict } from '#store/model';
import { type Call, UsageError } from './verb.ts';

export const verdictOptions = [
  { flags: '--reason <why>', help: "why it is held; else what a filter's block on top says", choices: reasonNames },
  { flags: '--score <points>', help: 'how many points a filter gave it' },
  { flags: '--required <points>', help: 'at how many points that filter acts' },
  { flags: '--rule <rule>', help: 'a rule that hit, as NAME or NAME=POINTS; may be given again', many: true },
  { flags: '--source <name>', help: 'the filter that found it; cli if not given' },
  {
    flags: '--disposition <words>',
    help: `what the sender was told: ${dispositionForm}, as in "rejected 554 5.7.1 Spam"`,
  },
] as const;

const maxRules = 500;

/** Undefined where none of them was given. @throws UsageError */
export function verdictIn(call: Call): Partial<Verdict> | undefined {
  const reason = reasonNames.find((one) => one === call.text('reason'));
  const score = points(call, 'score');
  const required = points(call, 'required');
  const rules = call.texts('rule').map(ruleIn);
  if (rules.length > maxRules) throw new UsageError(`--rule: no more than ${maxRules} of them`);
  const source = call.text('source');
  if (source !== undefined && !/^[A-Za-z0-9][\w.-]{0,39}$/.test(source))
    throw new UsageError(`--source: expected a name of letters, digits, -, . and _, found "${cleanLine(source)}"`);
  const found = {
    ...(reason ? { reason } : {}),
    ...(score === undefined ? {} : { score }),
    ...(required === undefined ? {} : { required }),
    ...(rules.length > 0 ? { rules } : {}),
  };
  const told = call.text('disposition');
  const disposition = told === undefined ? undefined : parseDisposition(told);
  if (told !== undefined && !disposition)
    throw new UsageError(`--disposition: expected ${dispositionForm}, found "${cleanLine(told)}"`);
  if (Object.keys(found).length === 0 && source === undefined) return disposition ? { disposition } : undefined;
  return { source: source?.toLowerCase() ?? 'cli', ...found, ...(disposition ? { disposition } : {}) };
}

function points(call: Call, name: string): number | undefined {
  const text = call.text(name);
  if (text === undefined) return undefined;
  if (!/^\s*[-+]?\d{1,9}(\.\d{1,9})?\s*$/.test(text))
    throw new UsageError(`--${name}: expected a number like 7.5, found "${text}"`);
  return Number(text);
}

function ruleIn(text: string): RuleHit {
  const [, name, score] = /^([^\s=,]{1,100})(?:=([-+]?\d{1,9}(?:\.\d{1,9})?))?$/.exec(text.trim()) ?? [];
  if (name === undefined) throw new UsageError(`--rule: expected NAME or NAME=POINTS, found "${cleanLine(text)}"`);
  return score === undefined ? { name } : { name, score: Number(score) };
}
