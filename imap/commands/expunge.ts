/** EXPUNGE and UID EXPUNGE: RFC 3501 §6.4.3, RFC 4315 §2.1. The EXPUNGEs themselves come from the sync point behind it. */
import type { SequenceSet } from '../wire/sequence-set.ts';
import type { Command } from './command.ts';
import { needWritable } from './transfer.ts';

export const expunge: Command<SequenceSet | undefined> = {
  name: 'EXPUNGE',
  states: ['selected'],
  uid: 'optional',
  mayExpunge: true,
  refreshes: true,
  parse: (args, { uid }) => (uid ? args.sp().sequenceSet() : undefined),
  async run(set, ctx) {
    needWritable(ctx.selected);
    const uids = ctx.selected.deleted(set);
    if (uids.length > 0) await ctx.selected.mailbox.expunge(uids);
    return ctx.ok('Expunged');
  },
};
