/**
 * CHECK: RFC 3501 §6.4.1. There is nothing to keep in order here. It tells what is new, but takes nobody's numbers away: a client
 * that goes on by number after a COPY onto Trash is told at its next EXPUNGE, NOOP, IDLE or CLOSE (DESIGN §7.5).
 */
import type { Command } from './command.ts';

export const check: Command<void> = {
  name: 'CHECK',
  states: ['selected'],
  refreshes: true,
  parse: () => undefined,
  run: (_, ctx) => ctx.ok('Checked'),
};
