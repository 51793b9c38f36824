/** LOGIN: RFC 3501 §6.2.3; the code of RFC 5530 §3 where TLS is wanted first. */
import type { Credentials } from '../backend.ts';
import { No } from '../errors.ts';
import type { Command, Context } from './command.ts';

export const login: Command<Credentials> = {
  name: 'LOGIN',
  states: ['not authenticated'],
  parse: (args) => ({ user: args.sp().astring(), password: args.sp().astring() }),
  async run(credentials, ctx) {
    needPrivacy(ctx);
    await ctx.login(credentials);
    return ctx.ok('Logged in', `CAPABILITY ${ctx.capabilities}`);
  },
};

/** @throws No PRIVACYREQUIRED */
export function needPrivacy(ctx: Context): void {
  if (!ctx.mayLogin) throw new No('PRIVACYREQUIRED', 'Passwords are taken over TLS only; use STARTTLS first');
}
