/**
 * FETCH and UID FETCH: RFC 3501 §6.4.5. Items and their answers are fetch/'s; this names the messages. Of one that is gone, and whose
 * EXPUNGE this client was not told yet, nothing is said but the code of RFC 5530 §3: a NOOP will tell.
 */
import { type FetchPlan, parseFetch, runFetch } from '#imap/fetch/index';
import type { SequenceSet } from '../wire/sequence-set.ts';
import type { Command } from './command.ts';

export const fetch: Command<{ set: SequenceSet; plan: FetchPlan }> = {
  name: 'FETCH',
  states: ['selected'],
  uid: 'optional',
  parse: (args) => ({ set: args.sp().sequenceSet(), plan: parseFetch(args) }),
  async run({ set, plan }, ctx) {
    const { selected, out } = ctx;
    const { uids, numbers } = selected.pick(set, ctx.uid);
    const { mailbox } = selected;
    if (plan.enablesCondstore) ctx.condstore = true;
    const { uid: uidCommand, condstore } = ctx;
    // The answers of those that become \Seen hold their flags; the sync point need not say it again.
    const onSeen = (seen: readonly number[]) => selected.telling(seen);
    await runFetch({ plan, mailbox, uids, numbers, uidCommand, condstore, out, onSeen });
    selected.told();
    if (plan.changedSince === undefined && selected.lacks(uids))
      return ctx.ok('Fetched, but some are no longer here', 'EXPUNGEISSUED');
    return ctx.ok('Fetched');
  },
};
