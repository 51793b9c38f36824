/**
 * MOVE and UID MOVE: RFC 6851 §3.1 (syntax), §3.3 (effects), §4.3 (COPYUID ahead of the EXPUNGEs).
 *
 * Reads the arguments and writes the answer. What a move means is the mailbox's business. Nothing of it reaches the socket before
 * the mailbox has committed, but sentences of progress. Of other messages that are gone nothing is said: whoever moves 1:3 and then
 * 4 by number means what stood there.
 */
import type { SequenceSet } from '../wire/sequence-set.ts';
import type { Command } from './command.ts';
import { copyUidCode, isIdleTalk, needWritable, targetsOf } from './transfer.ts';

export const move: Command<{ set: SequenceSet; to: string }> = {
  name: 'MOVE',
  states: ['selected'],
  uid: 'optional',
  parse: (args) => ({ set: args.sp().sequenceSet(), to: args.sp().mailbox() }),
  async run({ set, to }, ctx) {
    const { selected } = ctx;
    const picked = selected.pick(set, ctx.uid);
    needWritable(selected);
    if (isIdleTalk(picked)) return ctx.ok('Nothing to move');
    const moved = await selected.mailbox.move(targetsOf(picked), to, (text) => ctx.progress(text));
    if (moved.copyUid) ctx.out.text(`* OK [${copyUidCode(moved.copyUid)}] Moved\r\n`);
    await selected.moved(ctx.out, moved.left);
    if (moved.refusal) throw moved.refusal; // the rest is done, and said
    return ctx.ok(moved.copyUid || moved.left.length > 0 ? 'Moved' : 'Nothing to move');
  },
};
