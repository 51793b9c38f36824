/**
 * Why some of what was asked for was not done, in one sentence. People see it: Thunderbird shows the text of a NO verbatim
 * and puts a full stop behind it, so there is none here. Codes are RFC 5530's.
 */
import type { RefusalReason } from '#store/port';

export interface Sentence {
  readonly code: 'CANNOT' | 'EXPUNGEISSUED' | 'INUSE' | 'NOPERM';
  readonly text: string;
}

/** What can be said about each message that was left out; `gone`: it is no longer in the folder, and nobody knows more. */
export type LeftOut = RefusalReason | 'gone';

interface Words {
  readonly code: Sentence['code'];
  readonly one: string;
  readonly many: string;
}

/** In this order; the first reason that is given lends its code. */
const words: Readonly<Record<LeftOut, Words>> = {
  'being-delivered': { code: 'INUSE', one: 'is being delivered', many: 'are being delivered' },
  'on-its-way': { code: 'CANNOT', one: 'was already on its way', many: 'were already on their way' },
  'no-recipient': {
    code: 'CANNOT',
    one: 'cannot be released: nobody knows whom to deliver it to',
    many: 'cannot be released: nobody knows whom to deliver them to',
  },
  'not-allowed': { code: 'NOPERM', one: 'cannot be put there', many: 'cannot be put there' },
  released: {
    code: 'EXPUNGEISSUED',
    one: 'was already released elsewhere',
    many: 'were already released elsewhere',
  },
  discarded: {
    code: 'EXPUNGEISSUED',
    one: 'was already discarded elsewhere',
    many: 'were already discarded elsewhere',
  },
  trained: {
    code: 'EXPUNGEISSUED',
    one: 'was already put on Spam or Not Spam elsewhere',
    many: 'were already put on Spam or Not Spam elsewhere',
  },
  gone: { code: 'EXPUNGEISSUED', one: 'is no longer here', many: 'are no longer here' },
};
const order = Object.keys(words) as LeftOut[];

const cameFromElsewhere: Words = {
  code: 'CANNOT',
  one: 'came from another folder and can only go back there',
  many: 'came from another folder and can only go back there',
};

/**
 * One sentence for all that was left out of `total` messages: `3 of 500 were already discarded elsewhere`. Undefined if
 * nothing was.
 */
export function explain(
  leftOut: readonly LeftOut[],
  total: number,
  options: { readonly restoring?: boolean; readonly allOrNothing?: boolean } = {},
): Sentence | undefined {
  const counts = new Map<LeftOut, number>();
  for (const reason of leftOut) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const parts: string[] = [];
  let code: Sentence['code'] | undefined;
  for (const reason of order) {
    const count = counts.get(reason);
    if (count === undefined) continue;
    const said = reason === 'not-allowed' && options.restoring ? cameFromElsewhere : words[reason];
    code ??= said.code;
    parts.push(total === 1 ? `The message ${said.one}` : `${count} of ${total} ${count === 1 ? said.one : said.many}`);
  }
  if (code === undefined) return undefined;
  if (options.allOrNothing && total > 1) parts.push('so nothing was done');
  return { code, text: parts.join(', ') };
}
