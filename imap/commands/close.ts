/** CLOSE and UNSELECT: RFC 3501 §6.4.2, RFC 3691. CLOSE takes out those with \\Deleted, without a word; UNSELECT does not. */
import type { Command } from './command.ts';

export const close: Command<void> = {
  name: 'CLOSE',
  states: ['selected'],
  parse: () => undefined,
  async run(_, ctx) {
    const { selected } = ctx;
    const uids = selected.readOnly ? [] : selected.deleted();
    if (uids.length > 0) await selected.mailbox.expunge(uids);
    ctx.select(undefined);
    return ctx.ok('Closed');
  },
};

export const unselect: Command<void> = {
  name: 'UNSELECT',
  states: ['selected'],
  parse: () => undefined,
  run(_, ctx) {
    ctx.select(undefined);
    return ctx.ok('Left');
  },
};
