/** ID: RFC 2971. What clients say about themselves is read and not kept: it proves nothing. */
import { Bad } from '../errors.ts';
import { quote } from '../wire/quote.ts';
import type { Command } from './command.ts';

const mostFields = 30; // RFC 2971 §3.3

export const id: Command<void> = {
  name: 'ID',
  states: ['not authenticated', 'authenticated', 'selected'],
  parse(args) {
    args.sp();
    if (args.peek() !== 0x28) {
      if (args.nstring() !== null) throw new Bad('ID wants a list or NIL');
      return;
    }
    let fields = 0;
    args.list(() => {
      args.string();
      args.sp().nstring();
      if (++fields > mostFields) throw new Bad('Too many fields');
    }, 0);
  },
  run(_, ctx) {
    const { name, version } = ctx.product;
    ctx.out.text(`* ID ("name" ${quote(name)} "version" ${quote(version)})\r\n`);
    return ctx.ok('Pleased to meet you');
  },
};
