/** STATUS: RFC 3501 §6.3.10; HIGHESTMODSEQ RFC 7162 §3.1.7; SIZE RFC 8438; APPENDLIMIT RFC 7889 §5. */
import type { FolderStatus } from '../backend.ts';
import { Bad } from '../errors.ts';
import type { Args } from '../wire/args.ts';
import { mailbox } from '../wire/quote.ts';
import type { Command, Context } from './command.ts';

const items: Readonly<Record<string, (status: FolderStatus, ctx: Context) => number>> = {
  MESSAGES: (status) => status.messages,
  RECENT: () => 0,
  UIDNEXT: (status) => status.uidNext,
  UIDVALIDITY: (status) => status.uidValidity,
  UNSEEN: (status) => status.unseen,
  HIGHESTMODSEQ: (status) => Math.max(1, status.highestModSeq),
  SIZE: (status) => status.size,
  APPENDLIMIT: (_, ctx) => ctx.limits.appendOctets,
};

export const status: Command<{ folder: string; wanted: string[] }> = {
  name: 'STATUS',
  states: ['authenticated', 'selected'],
  parse: (args) => ({ folder: args.sp().mailbox(), wanted: statusItems(args.sp()) }),
  async run({ folder, wanted }, ctx) {
    await writeStatus(folder, wanted, ctx);
    return ctx.ok('That is how it is');
  },
};

/** `(MESSAGES UNSEEN …)`, shared with LIST … RETURN (STATUS …). */
export function statusItems(args: Args): string[] {
  const wanted = new Set<string>();
  args.list(() => {
    const item = args.keyword();
    if (!Object.hasOwn(items, item)) throw new Bad('STATUS does not know this item');
    wanted.add(item);
  });
  return [...wanted];
}

export async function writeStatus(folder: string, wanted: readonly string[], ctx: Context): Promise<void> {
  if (wanted.includes('HIGHESTMODSEQ')) ctx.condstore = true; // RFC 7162 §3.1: a command that shows it
  const state = await ctx.session.status(folder);
  const values = wanted.map((item) => `${item} ${items[item]!(state, ctx)}`);
  ctx.out.text(`* STATUS ${mailbox(folder)} (${values.join(' ')})\r\n`);
}
