/** IDLE: RFC 2177. Works without a selected mailbox, too: then there is nothing to tell but notices. */
import { Bad } from '../errors.ts';
import type { Command } from './command.ts';

export const idle: Command<void> = {
  name: 'IDLE',
  states: ['authenticated', 'selected'],
  mayExpunge: true,
  parse: () => undefined,
  async run(_, ctx) {
    const line = await ctx.idle();
    if (line.toString('latin1').toUpperCase() !== 'DONE') throw new Bad('Only DONE ends IDLE');
    return ctx.ok('Idle no more');
  },
};
