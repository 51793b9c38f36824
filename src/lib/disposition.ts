/**
 * What the filter told the sender of a message, as people write it in settings, headers and options: one word, and the
 * filter's reply behind it where one wants to say it.
 *
 *     rejected 554 5.7.0 Reject, id=16171-03 - spam
 */
import { cleanLine } from './terminal.ts';

export const dispositions = ['rejected', 'accepted', 'discarded', 'delivered'] as const;

export interface ToldTheSender {
  readonly kind: (typeof dispositions)[number];
  readonly said?: string;
}

/** For error messages: what may stand there. */
export const dispositionForm = 'rejected, accepted, discarded or delivered, with the reply to the sender behind it';

/** Undefined for what is none. */
export function parseDisposition(text: string): ToldTheSender | undefined {
  const [, word = '', rest = ''] = /^\s*([A-Za-z]+)(?:\s+(\S.*)?|)$/s.exec(text.slice(0, 1000)) ?? [];
  const kind = dispositions.find((one) => one === word.toLowerCase());
  const said = cleanLine(rest).trim();
  if (!kind) return undefined;
  return said === '' ? { kind } : { kind, said };
}
