/** STARTTLS: RFC 3501 §6.2.1. Only before login, so nothing that was said in plaintext outlives it but the connection. */
import { Bad } from '../errors.ts';
import type { Command } from './command.ts';

export const starttls: Command<void> = {
  name: 'STARTTLS',
  states: ['not authenticated'],
  parse: () => undefined,
  run(_, ctx) {
    if (ctx.secure) throw new Bad('TLS is on already');
    ctx.startTls();
    return ctx.ok('Begin TLS now');
  },
};
