/** CAPABILITY: RFC 3501 §6.1.1. */
import type { Command } from './command.ts';

export const capability: Command<void> = {
  name: 'CAPABILITY',
  states: ['not authenticated', 'authenticated', 'selected'],
  parse: () => undefined,
  run(_, ctx) {
    ctx.out.text(`* CAPABILITY ${ctx.capabilities}\r\n`);
    return ctx.ok('That is what there is');
  },
};
