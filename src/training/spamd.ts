/**
 * A trainer that teaches SpamAssassin's spamd by its TELL command. spamd relearns by itself when a message is learned the
 * other way. It says `DidSet: local` when it has learned, and nothing when there was nothing to learn.
 *
 * What is the operator's to mend (TELL switched off, a user it does not know) is put off, so that no lesson is lost until
 * somebody reads why.
 */
import { connect, type Socket } from 'node:net';
import { reasonOf } from './program.ts';
import type { Lesson, Trainer, TrainingOutcome } from './trainer.ts';

export interface SpamdTrainerOptions {
  readonly name: string;
  /** host:port, or the path of a socket. */
  readonly address: string;
  /** Reports spam to Razor, Pyzor and the like, too, and takes such a report back for ham. */
  readonly report: boolean;
  readonly timeoutMs: number;
}

const longestAnswer = 8192;

/** Of sysexits.h, those that speak about this message or our way of asking. */
const refusals: ReadonlySet<number> = new Set([64, 65, 66, 76]);
const advice = new Map([
  [67, 'spamd does not know this user'],
  [69, 'spamd has to be started with --allow-tell'],
]);

export function createSpamdTrainer({ name, address, report, timeoutMs }: SpamdTrainerOptions): Trainer {
  const where = placeOf(address);
  return {
    name,
    async train(lesson, signal) {
      if (/\p{Cc}/u.test(lesson.user ?? ''))
        return { kind: 'refused', said: 'a name with control characters is none to spamd' };
      if (signal.aborted) return { kind: 'later', said: reasonOf(signal) };
      const { answer, trouble } = await tell(where, headOf(lesson, report), lesson.message(), timeoutMs, signal);
      return judge(answer, trouble);
    },
  };
}

function placeOf(address: string): { readonly path: string } | { readonly host: string; readonly port: number } {
  if (address.startsWith('/')) return { path: address };
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

function headOf({ user, class: klass, size }: Lesson, report: boolean): string {
  return [
    'TELL SPAMC/1.5',
    ...(user === undefined ? [] : [`User: ${user}`]),
    `Message-class: ${klass}`,
    `Set: ${report && klass === 'spam' ? 'local, remote' : 'local'}`,
    ...(report && klass === 'ham' ? ['Remove: remote'] : []),
    `Content-length: ${size}`,
    '',
    '',
  ].join('\r\n');
}

interface Told {
  /** As far as it came. */
  readonly answer: string;
  /** In words, where the connection did not end as it should. */
  readonly trouble: string | undefined;
}

function tell(
  where: ReturnType<typeof placeOf>,
  head: string,
  message: AsyncIterable<Uint8Array>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Told> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let length = 0;
    let trouble: string | undefined;
    let connected = false;
    const socket = connect({ ...where, allowHalfOpen: true });
    const giveUp = (why: string): void => {
      trouble ??= why;
      socket.destroy();
    };
    const timer = setTimeout(() => giveUp('spamd took too long'), timeoutMs);
    const onAbort = (): void => giveUp(reasonOf(signal));
    signal.addEventListener('abort', onAbort);
    socket.on('connect', () => {
      connected = true;
      send(socket, head, message).catch(() => giveUp('the stored message could not be read'));
    });
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length > longestAnswer) socket.destroy();
    });
    socket.on('end', () => socket.destroy());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ? ` (${error.code})` : '';
      trouble ??= connected
        ? `spamd closed the connection${code}: it has to run with --allow-tell, and with this server in --allowed-ips`
        : `spamd could not be reached${code}`;
    });
    socket.on('close', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve({ answer: Buffer.concat(pieces).toString('utf8'), trouble });
    });
  });
}

/** Throws what the message's source throws. Stops when the other side does not listen any more. */
async function send(socket: Socket, head: string, message: AsyncIterable<Uint8Array>): Promise<void> {
  let wake: (() => void) | undefined;
  socket.on('drain', () => wake?.());
  socket.on('close', () => wake?.());
  socket.write(head);
  for await (const chunk of message) {
    if (!socket.writable) return;
    if (!socket.write(chunk) && socket.writable) await new Promise<void>((resolve) => (wake = resolve));
  }
  socket.end();
}

/** A whole answer counts, also where the connection was reset behind it: it may come before the message has been sent. */
function judge(answer: string, trouble: string | undefined): TrainingOutcome {
  const [, first, rest = ''] = /^([^\r\n]{0,1000})\r?\n(.*)$/s.exec(answer) ?? [];
  if (first === undefined && trouble !== undefined) return { kind: 'later', said: trouble };
  if (answer === '')
    return {
      kind: 'later',
      said: 'spamd closed the connection without an answer: this server has to be in its --allowed-ips',
    };
  const [, exit, words = ''] = /^SPAMD\/[\d.]{1,10} (\d{1,3}) ?(.*)$/.exec(first ?? '') ?? [];
  if (exit === undefined) return { kind: 'later', said: 'answered, but not as spamd does: is this its address?' };
  if (Number(exit) !== 0) {
    const more = advice.get(Number(exit));
    const said = `${words || 'not learned'} (${exit})${more ? `: ${more}` : ''}`;
    return { kind: refusals.has(Number(exit)) ? 'refused' : 'later', said };
  }
  const did = /^DidSet:(.*)$/im.exec(rest)?.[1] ?? '';
  const [local, remote] = [/\blocal\b/i.test(did), /\bremote\b/i.test(did)];
  // The answer has no length: one that was cut off behind its first line may have said more.
  if (trouble !== undefined && !local) return { kind: 'later', said: trouble };
  if (local) return { kind: 'learned', said: remote ? 'learned and reported' : 'learned' };
  return remote ? { kind: 'learned', said: 'reported; already learned' } : { kind: 'known', said: 'already learned' };
}
