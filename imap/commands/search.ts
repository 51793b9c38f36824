/** SEARCH and UID SEARCH: RFC 3501 §6.4.4, RFC 4731. Keys and matching are search/'s; this says which messages there are. */
import { parseSearch, runSearch, type SearchPlan } from '#imap/search/index';
import type { Command } from './command.ts';

export const search: Command<SearchPlan> = {
  name: 'SEARCH',
  states: ['selected'],
  uid: 'optional',
  refreshes: true,
  parse: (args) => parseSearch(args),
  async run(plan, ctx) {
    if (plan.enablesCondstore) ctx.condstore = true;
    const { mailbox, uids, count } = ctx.selected;
    const { tag, uid: uidCommand, condstore, out } = ctx;
    await runSearch({ plan, mailbox, uids, count, tag, uidCommand, condstore, out });
    return ctx.ok('Searched');
  },
};
