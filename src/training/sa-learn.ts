/**
 * A trainer that runs SpamAssassin's `sa-learn`. Its exit code says little: 0 also when nothing was learned, 1 also when the
 * message was too large. What happened stands in its last line, `Learned tokens from 0 message(s) (1 message(s) examined)`.
 * It relearns by itself when a message is learned the other way.
 *
 * Everything but a message that it would not even examine is the machine's or the operator's trouble, and put off.
 */
import { fileNameOf } from './file-name.ts';
import { linesOf, type ProgramEnd, runProgram } from './program.ts';
import type { Lesson, Trainer, TrainingOutcome } from './trainer.ts';

export interface SaLearnTrainerOptions {
  readonly name: string;
  /** `sa-learn`, with options of the operator's own if there are any. */
  readonly command: readonly string[];
  /**
   * Its `--dbpath`. `{user}` in it stands for the lesson's user, so that each has files of its own; without it the user's
   * name goes with the call (`--username`), for databases that know users, as in SQL.
   */
  readonly dbPath?: string;
  /** Then it is killed. */
  readonly timeoutMs: number;
}

export function createSaLearnTrainer(options: SaLearnTrainerOptions): Trainer {
  return {
    name: options.name,
    async train(lesson, signal) {
      const { timeoutMs } = options;
      const end = await runProgram(argvOf(options, lesson), lesson.message(), { timeoutMs, signal, what: 'sa-learn' });
      return 'neverBegan' in end ? { kind: 'later', said: end.neverBegan } : judge(end);
    },
  };
}

function argvOf({ command, dbPath }: SaLearnTrainerOptions, { class: klass, user }: Lesson): string[] {
  const path = dbPath?.replaceAll('{user}', fileNameOf(user ?? 'global'));
  return [
    ...command,
    `--${klass}`,
    // Otherwise it passes over what is larger than 500 KB.
    '--max-size=0',
    ...(path === undefined ? [] : [`--dbpath=${path}`]),
    ...(user === undefined || path !== dbPath ? [] : [`--username=${user}`]),
  ];
}

function judge({ code, by, ended, output }: Exclude<ProgramEnd, { neverBegan: string }>): TrainingOutcome {
  const lines = linesOf(output);
  const [summary, learned, examined] =
    lines
      .map((line) => /^Learned tokens from (\d{1,9}) message\(s\) \((\d{1,9}) message.*/.exec(line))
      .findLast(Boolean) ?? [];
  // Learned is learned, also if it came just before we lost patience.
  if (summary !== undefined && Number(learned) > 0) return { kind: 'learned', said: summary };
  if (ended !== undefined) return { kind: 'later', said: ended };
  if (code === null) return { kind: 'later', said: `sa-learn was ended by ${by}` };
  // Without its database it goes on, and then says the same as of what it knows.
  const trouble = lines.find((line) => /^(?:ERROR|bayes): |^Unknown option/.test(line));
  if (summary !== undefined && trouble === undefined)
    return { kind: Number(examined) > 0 ? 'known' : 'refused', said: summary };
  return { kind: 'later', said: trouble ?? lines.at(-1) ?? `sa-learn ended with ${code}` };
}
