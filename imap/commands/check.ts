/** CHECK: RFC 3501 §6.4.1. There is nothing to keep in order here, so it is a NOOP. */
import type { Command } from './command.ts';

export const check: Command<void> = {
  name: 'CHECK',
  states: ['selected'],
  mayExpunge: true,
  refreshes: true,
  parse: () => undefined,
  run: (_, ctx) => ctx.ok('Checked'),
};
