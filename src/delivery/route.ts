/**
 * Where a release goes: what amavis keeps itself, to amavis; other incoming mail to the next hop of its recipient's domain,
 * under whichever of its names the mail was sent, else to the one for all; outgoing mail to the one for all.
 */
import type { AddressBook } from '#app/policy/addresses';
import { splitAddress } from '#app/policy/addresses';
import type { DeliveryClient } from '#smtp/client';
import { parseNextHop } from '#smtp/client';
import type { Entry, EnvelopeParams, Message } from '#store/model';
import { byAmavis } from './by-amavis.ts';
import { byImap } from './by-imap.ts';
import { bySmtp, type Transport } from './transport.ts';
import { parseAmavisSocket, parseWay } from './way.ts';

export interface Routes {
  readonly domains?: Readonly<Record<string, { readonly nextHop?: string | undefined }>> | undefined;
  readonly delivery: { readonly nextHop?: string | undefined; readonly amavis?: string | undefined };
}

export type WayOf = (
  entry: Pick<Entry, 'direction' | 'recipient'>,
  message: { readonly params: Pick<EnvelopeParams, 'amavis'> } | Message,
) => Transport | undefined;

/** @throws NextHopError  one of the routes cannot be read */
export function createRouter(
  { domains, delivery }: Routes,
  book: Pick<AddressBook, 'domain'>,
  client: Pick<DeliveryClient, 'deliver'>,
): WayOf {
  // Domains that name the same way share it, with the limits it keeps.
  const ways = new Map<string, Transport>();
  const open = (text: string): Transport => {
    const way = parseWay(text);
    const transport = ways.get(text) ?? (way.protocol === 'imap' ? byImap(way) : bySmtp(client, way));
    ways.set(text, transport);
    return transport;
  };
  const amavis = delivery.amavis === undefined ? undefined : byAmavis(parseAmavisSocket(delivery.amavis));
  const usual = delivery.nextHop === undefined ? undefined : bySmtp(client, parseNextHop(delivery.nextHop));
  const own = new Map<string, Transport>();
  for (const [domain, { nextHop }] of Object.entries(domains ?? {}))
    if (nextHop !== undefined) own.set(book.domain(domain), open(nextHop));
  return ({ direction, recipient }, { params }) => {
    if (amavis && params.amavis) return amavis;
    if (direction === 'outgoing') return usual;
    return own.get(book.domain(splitAddress(recipient).domain)) ?? usual;
  };
}
