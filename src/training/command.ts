/**
 * A trainer that runs a command of the operator's: argv without a shell, the message on standard input, a clean
 * environment. What its exit means (DESIGN §7.11): 0 learned; 69 unavailable, 71 system error, 74 I/O error, 75 try again
 * (sysexits.h), a signal and a timeout: later; everything else refused.
 *
 * A command that cannot be started (not installed, not executable, too many processes) is the operator's or the machine's
 * trouble and says nothing about the message: later, so that nothing is lost until somebody looks at the log.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Trainer, TrainingOutcome } from './trainer.ts';

export interface CommandTrainerOptions {
  readonly spam: readonly string[];
  readonly ham: readonly string[];
  /** Then it is killed, with everything it started. */
  readonly timeoutMs: number;
}

const temporary: ReadonlySet<number> = new Set([69, 71, 74, 75]);
/** Enough for its last line, however much it prints. */
const keptOctets = 4096;
const longestWords = 200;

export function createCommandTrainer({ spam, ham, timeoutMs }: CommandTrainerOptions): Trainer {
  return {
    train: (klass, message, signal) => run(klass === 'spam' ? spam : ham, message, timeoutMs, signal),
  };
}

async function run(
  argv: readonly string[],
  message: AsyncIterable<Uint8Array>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TrainingOutcome> {
  const [program, ...rest] = argv;
  if (program === undefined) return { kind: 'later', said: 'the training command is empty' };
  if (signal.aborted) return { kind: 'later', said: 'the try was given up' };
  let child: ChildProcess;
  try {
    // A group of its own, so that a timeout reaches what the command has started, too.
    child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], env: environment(), detached: true });
  } catch (error) {
    return { kind: 'later', said: cannotStart(error) };
  }
  const output = new Tail();
  for (const stream of [child.stdout, child.stderr]) output.read(stream);

  let ended: string | undefined;
  const end = (why: string): void => {
    ended ??= why;
    killGroup(child);
  };
  const timer = setTimeout(() => end('the training command took too long'), timeoutMs);
  const onAbort = (): void => end('the try was given up');
  signal.addEventListener('abort', onAbort);
  try {
    const exit = exited(child);
    const fed = feed(child.stdin, message).catch(() => end('the stored message could not be read'));
    const result = await exit;
    // A child that left does not read any more; one that left its own children behind keeps the pipes open.
    child.stdin?.destroy();
    await fed;
    await output.ended(200);
    if (typeof result === 'string') return { kind: 'later', said: result };
    return judge(result, ended, output.lastLine);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

interface Exit {
  readonly code: number | null;
  readonly by: NodeJS.Signals | null;
}

function judge({ code, by }: Exit, ended: string | undefined, lastLine: string): TrainingOutcome {
  const words = (otherwise: string): string => (lastLine === '' ? otherwise : lastLine);
  // Learned is learned, also if it came just before we lost patience.
  if (code === 0) return { kind: 'learned', said: words('learned') };
  if (ended !== undefined) return { kind: 'later', said: ended };
  if (code === null) return { kind: 'later', said: `the training command was ended by ${by}` };
  const said = words(`the training command ended with ${code}`);
  return temporary.has(code) ? { kind: 'later', said } : { kind: 'refused', said };
}

/** How it ended, or in words why it never began. */
function exited(child: ChildProcess): Promise<Exit | string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(cannotStart(error)));
    child.once('exit', (code, by) => resolve({ code, by }));
  });
}

function cannotStart(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
  return `the training command could not be started${code}`;
}

/** Throws what the message's source throws; a command that does not want to read it all is no error. */
async function feed(stdin: Writable | null, message: AsyncIterable<Uint8Array>): Promise<void> {
  if (!stdin) return;
  let closed = false;
  let wake: (() => void) | undefined;
  const onClose = (): void => {
    closed = true;
    wake?.();
  };
  stdin.on('error', onClose); // EPIPE
  stdin.on('close', onClose);
  stdin.on('drain', () => wake?.());
  for await (const chunk of message) {
    if (closed) return;
    if (!stdin.write(chunk)) await new Promise<void>((resolve) => (wake = resolve));
  }
  if (!closed) stdin.end();
}

/** The whole group: with the group gone, or never there, nothing is left to do. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // ESRCH: all of them have ended
  }
}

function environment(): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG } = process.env;
  return {
    ...(PATH !== undefined && { PATH }),
    ...(HOME !== undefined && { HOME }),
    ...(LANG !== undefined && { LANG }),
  };
}

/** The end of what it printed, on both streams. */
class Tail {
  #text = Buffer.alloc(0);
  readonly #streams: Readable[] = [];

  read(stream: Readable | null): void {
    if (!stream) return;
    this.#streams.push(stream);
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      this.#text = Buffer.from(Buffer.concat([this.#text, chunk]).subarray(-keptOctets));
    });
  }

  /** Waits for what is still in the pipes, but not for processes that hold them open. */
  async ended(limitMs: number): Promise<void> {
    const over = (stream: Readable): boolean => stream.readableEnded || stream.destroyed;
    const open = this.#streams.filter((stream) => !over(stream));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      const look = (): void => {
        if (!open.every(over)) return;
        clearTimeout(timer);
        resolve();
      };
      for (const stream of open) stream.once('end', look).once('close', look);
      look();
    });
    for (const stream of this.#streams) stream.destroy();
  }

  get lastLine(): string {
    const lines = this.#text
      .toString('utf8')
      .split(/[\r\n]+/)
      .map((line) => line.replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim());
    return (lines.findLast((line) => line !== '') ?? '').slice(0, longestWords);
  }
}
