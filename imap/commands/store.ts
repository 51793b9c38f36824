/**
 * STORE and UID STORE: RFC 3501 §6.4.6; UNCHANGEDSINCE and MODIFIED, RFC 7162 §3.1.3. A message that is gone, but this client could
 * not be told yet, is passed over: OK, and nothing changes.
 */
import type { StoreChange } from '../backend.ts';
import { Bad } from '../errors.ts';
import { format, type SequenceSet } from '../wire/sequence-set.ts';
import type { Command } from './command.ts';
import { copyUidCode, isIdleTalk, needWritable, targetsOf } from './transfer.ts';

interface Storing {
  readonly set: SequenceSet;
  readonly change: StoreChange;
  readonly silent: boolean;
}

export const store: Command<Storing> = {
  name: 'STORE',
  states: ['selected'],
  uid: 'optional',

  parse(args) {
    const set = args.sp().sequenceSet();
    args.sp();
    let unchangedSince: number | undefined;
    if (args.peek() === 0x28) {
      args.list(() => {
        if (args.keyword() !== 'UNCHANGEDSINCE') throw new Bad('Only UNCHANGEDSINCE is known here');
        unchangedSince = args.sp().modSeq();
      });
      args.sp();
    }
    const op = args.tryChar('+') ? 'add' : args.tryChar('-') ? 'remove' : 'replace';
    const item = args.keyword();
    if (item !== 'FLAGS' && item !== 'FLAGS.SILENT') throw new Bad('STORE knows FLAGS and FLAGS.SILENT');
    const flags = args.sp().flagList(true).map(storable);
    const change = unchangedSince === undefined ? { op, flags } : { op, flags, unchangedSince };
    return { set, change: change as StoreChange, silent: item === 'FLAGS.SILENT' };
  },

  async run({ set, change, silent }, ctx) {
    const { selected, out } = ctx;
    const picked = selected.pick(set, ctx.uid);
    needWritable(selected);
    if (change.unchangedSince !== undefined) ctx.condstore = true; // RFC 7162 §3.1: a command that shows it
    if (isIdleTalk(picked)) return ctx.ok('Nothing to change');
    // What others changed is told first, so that a silent client does not take it for its own.
    await selected.tellFlags(out, ctx.condstore);
    const { modified, refusal, copyUid } = await selected.mailbox.store(targetsOf(picked), change);
    if (copyUid) out.text(`* OK [${copyUidCode(copyUid)}] Moved back\r\n`);
    await selected.stored(out, picked, { silent, uids: ctx.uid, condstore: ctx.condstore, modified });
    if (refusal) throw refusal;
    if (modified.length === 0) return ctx.ok('Stored');
    return ctx.ok('Some had changed before', `MODIFIED ${format(ctx.uid ? modified : selected.numbersOf(modified))}`);
  },
};

/** RFC 3501 §9 `flag`: \\Recent is the server's, and other system flags there are none. Shared with APPEND. @throws Bad */
export function storable(flag: string): string {
  if (flag.startsWith('\\') && !settable.has(flag)) throw new Bad(`${flag.slice(0, 20)} cannot be set`);
  return flag;
}

const settable = new Set(['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft']);
