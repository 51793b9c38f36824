/**
 * The envelope of a release: the sender by sender.ts, this one recipient as received, the parameters as received (DSN,
 * SMTPUTF8). NOTIFY is never the stored one: with SUCCESS the next hop would write to a forged sender, with FAILURE it
 * would bounce to one. A release that fails comes back visibly instead (INTEGRATIONS §4.2).
 */
import type { DeliveryEnvelope } from '#smtp/client';
import type { Entry, Message } from '#store/model';

export function envelopeOf(entry: Entry, message: Message, sender: string): DeliveryEnvelope {
  const { smtputf8, ret, envid, client } = message.params;
  return {
    sender,
    recipients: [{ address: entry.recipient, ...(entry.orcpt !== undefined && { orcpt: entry.orcpt }) }],
    notify: 'NEVER',
    ...(smtputf8 && { smtputf8 }),
    ...(ret && { ret }),
    ...(envid !== undefined && { envid }),
    ...(client && { client }),
  };
}
