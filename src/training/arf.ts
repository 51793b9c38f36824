/**
 * A trainer that mails a report in Abuse Reporting Format to an address of the operator's: `Feedback-Type: abuse` (RFC 5965)
 * for spam, `not-spam` (RFC 6430) for ham, the message itself as the third part, octet by octet.
 *
 * The Message-ID is the same in all tries of a training, so that a report that came twice can be told. Reports go with the
 * null sender: nothing answers them, and they answer nothing (RFC 3834).
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Lesson, Trainer, TrainingClass } from './trainer.ts';

/** The port: how a report gets on its way. Never throws but what the source throws, and the signal's reason. */
export type SendReport = (report: {
  readonly to: string;
  source(): AsyncIterable<Uint8Array>;
  /** About how many octets the source has. */
  readonly size: number;
  readonly signal: AbortSignal;
}) => Promise<{ readonly kind: 'accepted' | 'later' | 'refused'; readonly said: string }>;

export interface ArfTrainerOptions {
  readonly name: string;
  /** Who gets reports of spam, and of ham; absent: that class is not reported. */
  readonly spam?: string | undefined;
  readonly ham?: string | undefined;
  /** In `From:`; postmaster of this host when absent. */
  readonly from?: string | undefined;
  readonly hostname: string;
  readonly version: string;
  readonly send: SendReport;
  /** For tests. */
  now?(): number;
}

const nameOf: Readonly<Record<TrainingClass, string>> = { spam: 'spam', ham: 'no spam' };

export function createArfTrainer(options: ArfTrainerOptions): Trainer {
  const { name, send, now = Date.now } = options;
  return {
    name,
    async train(lesson, signal) {
      const to = options[lesson.class];
      if (to === undefined)
        return { kind: 'known', said: `no address is configured for reports of ${nameOf[lesson.class]}` };
      if (lesson.before === lesson.class) return { kind: 'known', said: 'it was reported before' };
      const [head, tail] = frame(lesson, to, options, now());
      async function* source(): AsyncGenerator<Uint8Array> {
        yield head;
        yield* lesson.message();
        yield tail;
      }
      try {
        const size = head.length + lesson.size + tail.length;
        const { kind, said } = await send({ to, source, size, signal });
        return { kind: kind === 'accepted' ? 'learned' : kind, said };
      } catch (error) {
        if (signal.aborted) return { kind: 'later', said: String(signal.reason?.message ?? 'the try was given up') };
        const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
        return { kind: 'later', said: `the report could not be sent${code}` };
      }
    },
  };
}

/** What stands above the message, and below it. The same in each call of a try, whose time is `at`. */
function frame(
  lesson: Lesson,
  to: string,
  { name, from, hostname, version }: ArfTrainerOptions,
  at: number,
): readonly [head: Buffer, tail: Buffer] {
  const { id, class: klass, sender, recipient } = lesson;
  // Nobody can guess it, so no message can hold it.
  const boundary = `lazaret-${randomBytes(16).toString('hex')}`;
  const mark = createHash('sha256').update(`${name}\n${id}`).digest('hex').slice(0, 32);
  const field = (label: string, address: string): string[] =>
    // RFC 5965 §3.2: ASCII, one each; what cannot be said in it is left out.
    /^[\x21-\x7e]{1,320}$/.test(address) ? [`${label}: <${address}>`] : [];
  const head = [
    `From: Lazaret <${from ?? `postmaster@${hostname}`}>`,
    `To: <${to}>`,
    `Subject: Report of ${nameOf[klass]}`,
    `Date: ${new Date(at).toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <report.${mark}@${hostname}>`,
    'Auto-Submitted: auto-generated',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=feedback-report;',
    ` boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain; charset=us-ascii',
    '',
    klass === 'spam'
      ? 'Somebody who may say so has called this message spam.'
      : 'This message was held, and somebody who may say so has called it no spam.',
    '',
    `--${boundary}`,
    'Content-Type: message/feedback-report',
    '',
    `Feedback-Type: ${klass === 'spam' ? 'abuse' : 'not-spam'}`,
    `User-Agent: Lazaret/${version}`,
    'Version: 1',
    ...(sender === '' ? ['Original-Mail-From: <>'] : field('Original-Mail-From', sender)),
    ...field('Original-Rcpt-To', recipient),
    '',
    `--${boundary}`,
    'Content-Type: message/rfc822',
    'Content-Transfer-Encoding: 8bit',
    'Content-Disposition: attachment',
    '',
    '',
  ];
  return [Buffer.from(head.join('\r\n')), Buffer.from(`\r\n--${boundary}--\r\n`)];
}
