/**
 * APPEND: RFC 3501 §6.3.11, APPENDUID RFC 4315 §3, TOOBIG RFC 4469 §4.2 and RFC 7889. One message a command (no MULTIAPPEND).
 *
 * The backend is asked before the literal is invited, so a refusal costs nobody a transfer; then the octets go through as they come.
 */
import { No } from '../errors.ts';
import type { Command } from './command.ts';
import { storable } from './store.ts';

interface Appending {
  readonly folder: string;
  readonly flags: readonly string[];
  readonly internalDate: Date | undefined;
}

export const append: Command<Appending> = {
  name: 'APPEND',
  states: ['authenticated', 'selected'],
  streams: true,

  parse(args) {
    const folder = args.sp().mailbox();
    args.sp();
    let flags: string[] = [];
    let internalDate: Date | undefined;
    if (args.peek() === 0x28) {
      flags = args.flagList().map(storable);
      args.sp();
    }
    if (args.peek() === 0x22) {
      internalDate = args.dateTime();
      args.sp();
    }
    args.char('{');
    args.number();
    args.tryChar('+');
    args.char('}');
    args.char('\r');
    args.char('\n');
    args.end();
    return { folder, flags, internalDate };
  },

  async run({ folder, flags, internalDate }, ctx) {
    const { incoming, limits } = ctx;
    const { size } = incoming;
    if (size === 0) throw new No('CANNOT', 'An empty message cannot be kept');
    if (size > limits.appendOctets) throw new No('TOOBIG', `Messages of up to ${limits.appendOctets} octets are taken`);
    const take = await ctx.session.append(
      internalDate ? { folder, size, flags, internalDate } : { folder, size, flags },
    );
    const { uid } = await take(incoming.take());
    return uid ? ctx.ok('Appended', `APPENDUID ${uid.uidValidity} ${uid.uid}`) : ctx.ok('Appended');
  },
};
