/** LOGOUT: RFC 3501 §6.1.3. */
import type { Command } from './command.ts';

export const logout: Command<void> = {
  name: 'LOGOUT',
  states: ['not authenticated', 'authenticated', 'selected'],
  parse: () => undefined,
  run(_, ctx) {
    ctx.select(undefined); // what happened there interests nobody any more
    ctx.out.text('* BYE Logging out\r\n');
    ctx.logout();
    return ctx.ok('Goodbye');
  },
};
