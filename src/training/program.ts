/**
 * Runs a program of the operator's with a message on its standard input: argv without a shell, a clean environment, and a
 * process group of its own, so that a timeout reaches what the program has started, too. What its end means is for the
 * trainer to say.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface ProgramOptions {
  /** Then it is killed, with everything it started. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** How it is called in words, e.g. `the training command`. */
  readonly what: string;
}

/** How it ended, and in words if we ended it; or in words why it never began. */
export type ProgramEnd =
  | {
      readonly code: number | null;
      readonly by: NodeJS.Signals | null;
      readonly ended?: string;
      /** The end of what it printed, on both streams. */
      readonly output: string;
    }
  | { readonly neverBegan: string };

/** Enough for its last lines, however much it prints. */
const keptOctets = 4096;

export async function runProgram(
  argv: readonly string[],
  message: AsyncIterable<Uint8Array>,
  { timeoutMs, signal, what }: ProgramOptions,
): Promise<ProgramEnd> {
  const [program, ...rest] = argv;
  if (program === undefined) return { neverBegan: `${what} is empty` };
  if (signal.aborted) return { neverBegan: reasonOf(signal) };
  let child: ChildProcess;
  try {
    child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], env: environment(), detached: true });
  } catch (error) {
    return { neverBegan: cannotStart(what, error) };
  }
  const output = new Tail();
  for (const stream of [child.stdout, child.stderr]) output.read(stream);

  let ended: string | undefined;
  const end = (why: string): void => {
    ended ??= why;
    killGroup(child);
  };
  const timer = setTimeout(() => end(`${what} took too long`), timeoutMs);
  const onAbort = (): void => end(reasonOf(signal));
  signal.addEventListener('abort', onAbort);
  try {
    const exit = exited(child, what);
    const fed = feed(child.stdin, message).catch(() => end('the stored message could not be read'));
    const result = await exit;
    // A child that left does not read any more; one that left its own children behind keeps the pipes open.
    child.stdin?.destroy();
    await fed;
    await output.ended(200);
    if (typeof result === 'string') return { neverBegan: result };
    return { ...result, ...(ended !== undefined && { ended }), output: output.text };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** Why a try is not gone on with, in words. */
export function reasonOf({ reason }: AbortSignal): string {
  if (reason instanceof Error && reason.name !== 'AbortError') return reason.message;
  return 'the try was given up';
}

interface Exit {
  readonly code: number | null;
  readonly by: NodeJS.Signals | null;
}

function exited(child: ChildProcess, what: string): Promise<Exit | string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(cannotStart(what, error)));
    child.once('exit', (code, by) => resolve({ code, by }));
  });
}

function cannotStart(what: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
  return `${what} could not be started${code}`;
}

/** Throws what the message's source throws; a program that does not want to read it all is no error. */
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
  #octets = Buffer.alloc(0);
  readonly #streams: Readable[] = [];

  read(stream: Readable | null): void {
    if (!stream) return;
    this.#streams.push(stream);
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      this.#octets = Buffer.from(Buffer.concat([this.#octets, chunk]).subarray(-keptOctets));
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

  get text(): string {
    return this.#octets.toString('utf8');
  }
}

const longestLine = 200;

/** What it printed, one line each, nothing in them that a terminal obeys. */
export function linesOf(output: string): string[] {
  return output
    .split(/[\r\n]+/)
    .map((line) =>
      line
        .replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')
        .trim()
        .slice(0, longestLine),
    )
    .filter((line) => line !== '');
}
