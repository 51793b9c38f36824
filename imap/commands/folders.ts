/** CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE: RFC 3501 §6.3.3 to §6.3.7. Whether any of it may be is the backend's to say. */
import type { Command } from './command.ts';

const states = ['authenticated', 'selected'] as const;

export const create: Command<string> = {
  name: 'CREATE',
  states,
  // A delimiter at the end only announces that there will be folders below (§6.3.3).
  parse: (args) => args.sp().mailbox().replace(/\/$/, ''),
  async run(folder, ctx) {
    await ctx.session.create(folder);
    return ctx.ok('Created');
  },
};

export const remove: Command<string> = {
  name: 'DELETE',
  states,
  parse: (args) => args.sp().mailbox(),
  async run(folder, ctx) {
    await ctx.session.delete(folder);
    return ctx.ok('Deleted');
  },
};

export const rename: Command<{ from: string; to: string }> = {
  name: 'RENAME',
  states,
  parse: (args) => ({ from: args.sp().mailbox(), to: args.sp().mailbox() }),
  async run({ from, to }, ctx) {
    await ctx.session.rename(from, to);
    return ctx.ok('Renamed');
  },
};

export const subscribe = subscription('SUBSCRIBE', true);
export const unsubscribe = subscription('UNSUBSCRIBE', false);

function subscription(name: string, subscribed: boolean): Command<string> {
  return {
    name,
    states,
    parse: (args) => args.sp().mailbox(),
    async run(folder, ctx) {
      await ctx.session.setSubscribed(folder, subscribed);
      return ctx.ok(subscribed ? 'Subscribed' : 'Unsubscribed');
    },
  };
}
