/** NOOP: RFC 3501 §6.1.2. What it is for, telling of changes, is the sync point's work. */
import type { Command } from './command.ts';

export const noop: Command<void> = {
  name: 'NOOP',
  states: ['not authenticated', 'authenticated', 'selected'],
  mayExpunge: true,
  refreshes: true,
  parse: () => undefined,
  run: (_, ctx) => ctx.ok('Nothing done'),
};
