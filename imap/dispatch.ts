/**
 * One command from its bytes to its tagged answer: tag and name → state check → parse → run → sync point → answer. The only place
 * where errors become responses.
 *
 * What must stay true: every command gets exactly one tagged answer, whatever is thrown; nothing is thrown out of here but Gone and
 * Bye; what an unknown error says stays in the log.
 */
import { randomBytes } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import type { Command, Context } from './commands/command.ts';
import { commands } from './commands/index.ts';
import { Bad, Bye, No } from './errors.ts';
import { type Answer, type Log, oneLine, type State } from './types.ts';
import { Reader } from './wire/reader.ts';
import { Gone } from './wire/writer.ts';

const byName = new Map(commands.map((command) => [command.name, command]));

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const answering = channel('lazaret:imap.answering');

/** What was read of a command before it is run. */
export interface Call {
  readonly tag: string;
  readonly uid: boolean;
  readonly command: Command<unknown>;
  /** Behind the name. */
  readonly args: Reader;
}

/** How it went, for whoever counts. */
export type Outcome = 'OK' | 'NO' | 'BAD';

/** The tag if there is one, else `*`: what a BAD answer begins with. */
export function tagOf(command: Uint8Array): string {
  try {
    const reader = new Reader(command);
    const tag = reader.tag();
    return reader.atEnd() || reader.peek() === 0x20 ? tag : '*';
  } catch {
    return '*';
  }
}

/** Which command this is. The bytes may end in the middle of its arguments. @throws Bad */
export function read(command: Uint8Array, state: State): Call {
  const args = new Reader(command);
  const tag = args.tag();
  let name = args.sp().keyword();
  const uid = name === 'UID';
  if (uid) name = args.sp().keyword();
  const found = byName.get(name);
  if (!found || (uid && !found.uid)) throw new Bad(`${uid ? 'UID ' : ''}${name.slice(0, 20)} is no command here`);
  if (!found.states.includes(state)) throw new Bad(`${name} is not allowed ${stateWords[state]}`);
  return { tag, uid, command: found, args };
}

const stateWords: Record<State, string> = {
  'not authenticated': 'before login',
  authenticated: 'without a selected mailbox, or after login',
  selected: 'after login',
};

/** Runs a command and writes everything up to its tagged answer. @throws Gone, Bye */
export async function perform(call: Call, ctx: Context, log: Log): Promise<Outcome> {
  const { command, args, tag } = call;
  let answer: Answer | undefined;
  let refusal: { outcome: 'NO' | 'BAD'; code?: string; text: string } | undefined;
  try {
    const parsed = command.parse(args, { uid: call.uid });
    if (!command.streams) args.end();
    answer = await command.run(parsed, ctx);
  } catch (error) {
    refusal = refusalOf(error, command.name, log);
  }
  try {
    if (ctx.state === 'selected') {
      const { selected } = ctx;
      // Where the one had to wait in vain the other would, too.
      if (command.refreshes && refusal?.code !== 'UNAVAILABLE') await selected.mailbox.refresh();
      await selected.sync(ctx.out, command.mayExpunge === true, ctx.condstore);
    }
  } catch (error) {
    // What was asked for is done. That others' changes cannot be told now is told by the next command's failure.
    if (!refusal) refusal = refusalOf(error, command.name, log);
  }
  ctx.notices();
  answering.publish(command);
  if (refusal) writeAnswer(ctx, tag, refusal.outcome, refusal);
  else if (answer) writeAnswer(ctx, tag, 'OK', answer);
  return refusal?.outcome ?? 'OK';
}

export function writeAnswer(ctx: Pick<Context, 'out'>, tag: string, word: string, answer: Answer): void {
  ctx.out.text(`${tag} ${word} ${answer.code ? `[${answer.code}] ` : ''}${oneLine(answer.text)}\r\n`);
}

/** @throws Gone, Bye: those end the connection */
export function refusalOf(
  error: unknown,
  doing: string,
  log: Log,
): { outcome: 'NO' | 'BAD'; code?: string; text: string } {
  if (error instanceof Bye || error instanceof Gone) throw error;
  if (error instanceof Bad) return { outcome: 'BAD', text: error.message, ...(error.code && { code: error.code }) };
  if (error instanceof No) return { outcome: 'NO', text: error.message, ...(error.code && { code: error.code }) };
  const reference = randomBytes(4).toString('hex');
  const temporary = (error as { temporary?: boolean } | undefined)?.temporary === true;
  log.error({ err: error, reference, command: doing }, temporary ? 'A command has to wait' : 'A command failed');
  return temporary
    ? {
        outcome: 'NO',
        code: 'UNAVAILABLE',
        text: `This cannot be done just now, please try again later; reference ${reference}`,
      }
    : { outcome: 'NO', code: 'SERVERBUG', text: `Internal error, reference ${reference}` };
}
