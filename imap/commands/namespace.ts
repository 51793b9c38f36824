/** NAMESPACE: RFC 2342. One namespace, the person's own. */
import type { Command } from './command.ts';

export const namespace: Command<void> = {
  name: 'NAMESPACE',
  states: ['authenticated', 'selected'],
  parse: () => undefined,
  run(_, ctx) {
    ctx.out.text('* NAMESPACE (("" "/")) NIL NIL\r\n');
    return ctx.ok('There is one');
  },
};
