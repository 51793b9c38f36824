/** ENABLE: RFC 5161. What is not known is passed over in silence (§3.1), so a client may ask for everything it can. */
import type { Command } from './command.ts';

export const enable: Command<string[]> = {
  name: 'ENABLE',
  states: ['authenticated', 'selected'],
  parse(args) {
    const names: string[] = [];
    do names.push(args.sp().atom().toUpperCase());
    while (!args.atEnd());
    return names;
  },
  run(names, ctx) {
    // RFC 5161 §3.2: those that were enabled before are named only if they are enabled now.
    const enabled = names.includes('CONDSTORE') && !ctx.condstore ? ' CONDSTORE' : '';
    if (enabled) ctx.condstore = true;
    ctx.out.text(`* ENABLED${enabled}\r\n`);
    return ctx.ok('Enabled');
  },
};
