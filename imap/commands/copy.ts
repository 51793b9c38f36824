/**
 * COPY and UID COPY: RFC 3501 §6.4.7, COPYUID RFC 4315 §3. All or nothing, as the RFC has it; what a copy means is the mailbox's
 * business. Messages that leave by it are told of later: scripts go on by message number after a COPY.
 */
import type { SequenceSet } from '../wire/sequence-set.ts';
import type { Command } from './command.ts';
import { copyUidCode, isIdleTalk, targetsOf } from './transfer.ts';

export const copy: Command<{ set: SequenceSet; to: string }> = {
  name: 'COPY',
  states: ['selected'],
  uid: 'optional',
  parse: (args) => ({ set: args.sp().sequenceSet(), to: args.sp().mailbox() }),
  async run({ set, to }, ctx) {
    const picked = ctx.selected.pick(set, ctx.uid);
    if (isIdleTalk(picked)) return ctx.ok('Nothing to copy');
    const { copyUid, refusal } = await ctx.selected.mailbox.copy(targetsOf(picked), to, (text) => ctx.progress(text));
    if (refusal) {
      if (copyUid) ctx.out.text(`* OK [${copyUidCode(copyUid)}] Copied\r\n`);
      throw refusal;
    }
    return copyUid ? ctx.ok('Copied', copyUidCode(copyUid)) : ctx.ok('Copied');
  },
};
