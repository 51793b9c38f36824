/**
 * A trainer that runs a command of the operator's, the message on its standard input (program.ts). What its exit means
 * (DESIGN §7.11): 0 learned; 69 unavailable, 71 system error, 74 I/O error, 75 try again
 * (sysexits.h), a signal and a timeout: later; everything else refused. Its words are the last line it printed.
 *
 * A command that cannot be started (not installed, not executable, too many processes) is the operator's or the machine's
 * trouble and says nothing about the message: later, so that nothing is lost until somebody looks at the log.
 */
import { linesOf, type ProgramEnd, runProgram } from './program.ts';
import type { Lesson, Trainer, TrainingOutcome } from './trainer.ts';

export interface CommandTrainerOptions {
  readonly name: string;
  /** An argument `{user}` is replaced by the lesson's user; nothing else is put into a command. */
  readonly spam: readonly string[];
  readonly ham: readonly string[];
  /** Then it is killed, with everything it started. */
  readonly timeoutMs: number;
}

const what = 'the training command';
const temporary: ReadonlySet<number> = new Set([69, 71, 74, 75]);

export function createCommandTrainer({ name, spam, ham, timeoutMs }: CommandTrainerOptions): Trainer {
  return {
    name,
    async train(lesson, signal) {
      const argv = withUser(lesson.class === 'spam' ? spam : ham, lesson.user);
      if (typeof argv === 'string') return { kind: 'refused', said: argv };
      const end = await runProgram(argv, lesson.message(), { timeoutMs, signal, what });
      return 'neverBegan' in end ? { kind: 'later', said: end.neverBegan } : judge(end);
    },
  };
}

/**
 * The command with its user, or why there is none. A whole argument and never a part of one: neither a shell nor quoting is
 * between us and the command. A name that looks like an option is only taken where `--` has ended the options.
 */
function withUser(argv: readonly string[], user: Lesson['user']): readonly string[] | string {
  const place = argv.indexOf('{user}');
  if (place < 0) return argv;
  if (user === undefined) return 'the command wants a user, and nobody knows whose message it is';
  if (user.startsWith('-') && !argv.slice(1, place).includes('--'))
    return 'the name of the user begins with -, and the command has no -- before {user}';
  return argv.map((argument) => (argument === '{user}' ? user : argument));
}

function judge({ code, by, ended, output }: Exclude<ProgramEnd, { neverBegan: string }>): TrainingOutcome {
  const words = (otherwise: string): string => linesOf(output).at(-1) ?? otherwise;
  // Learned is learned, also if it came just before we lost patience.
  if (code === 0) return { kind: 'learned', said: words('learned') };
  if (ended !== undefined) return { kind: 'later', said: ended };
  if (code === null) return { kind: 'later', said: `${what} was ended by ${by}` };
  return { kind: temporary.has(code) ? 'later' : 'refused', said: words(`${what} ended with ${code}`) };
}
