/** A lesson for a trainer: a small message, learned as spam for everybody, unless a test says otherwise. */
import type { Lesson } from '#app/training/trainer';

const small = 'From: promo@spam.example\r\nSubject: Offer\r\nMessage-ID: <1@spam.example>\r\n\r\nBuy now.\r\n';

export function lessonOf(
  message: string | Uint8Array = small,
  more: Partial<Omit<Lesson, 'message' | 'size'>> = {},
): Lesson {
  const octets = typeof message === 'string' ? Buffer.from(message, 'latin1') : message;
  return {
    id: 'drop/17/train',
    class: 'spam',
    async *message() {
      // In pieces, as the store yields them.
      for (let at = 0; at < octets.length; at += 65_536) yield octets.subarray(at, at + 65_536);
    },
    size: octets.length,
    sender: 'promo@spam.example',
    recipient: 'ada@harbour.example',
    subject: 'Offer',
    account: 'ada@harbour.example',
    entryId: 17,
    ...more,
  };
}

/** A try that nobody gives up. */
export const patience = (): AbortSignal => new AbortController().signal;
