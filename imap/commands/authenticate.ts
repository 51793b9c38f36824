/** AUTHENTICATE: RFC 3501 §6.2.2, initial response RFC 4959. The exchange itself is auth/'s. */
import { mechanisms } from '../auth/index.ts';
import { Bad, No } from '../errors.ts';
import type { Command } from './command.ts';
import { needPrivacy } from './login.ts';

export const authenticate: Command<{ name: string; initial: string | undefined }> = {
  name: 'AUTHENTICATE',
  states: ['not authenticated'],
  parse(args) {
    const name = args.sp().atom().toUpperCase();
    return { name, initial: args.atEnd() ? undefined : args.sp().atom() };
  },
  async run({ name, initial }, ctx) {
    const mechanism = mechanisms.find((known) => known.name === name);
    if (!mechanism) throw new No('CANNOT', 'This way to log in is not known here');
    needPrivacy(ctx);
    const first = initial === undefined ? undefined : decode(initial === '=' ? '' : initial);
    const credentials = await mechanism.converse(first, async (challenge) => {
      const line = (await ctx.ask(Buffer.from(challenge).toString('base64'))).toString('latin1');
      if (line === '*') throw new Bad('Cancelled');
      return decode(line);
    });
    await ctx.login(credentials);
    return ctx.ok('Logged in', `CAPABILITY ${ctx.capabilities}`);
  },
};

function decode(base64: string): Buffer {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64))
    throw new Bad('This is no base64');
  return Buffer.from(base64, 'base64');
}
