/**
 * Where a release goes: incoming mail to the next hop of its recipient's domain, under whichever of its names the mail
 * was sent, else to the one for all; outgoing mail to the one for all.
 */
import type { AddressBook } from '#app/policy/addresses';
import { splitAddress } from '#app/policy/addresses';
import { type NextHop, parseNextHop } from '#smtp/client';
import type { Entry } from '#store/model';

export interface Routes {
  readonly domains?: Readonly<Record<string, { readonly nextHop?: string | undefined }>> | undefined;
  readonly delivery: { readonly nextHop?: string | undefined };
}

export type RouteOf = (entry: Pick<Entry, 'direction' | 'recipient'>) => NextHop | undefined;

/** @throws NextHopError  one of the routes cannot be read */
export function createRouter({ domains, delivery }: Routes, book: Pick<AddressBook, 'domain'>): RouteOf {
  const usual = delivery.nextHop === undefined ? undefined : parseNextHop(delivery.nextHop);
  const own = new Map<string, NextHop>();
  for (const [domain, { nextHop }] of Object.entries(domains ?? {}))
    if (nextHop !== undefined) own.set(book.domain(domain), parseNextHop(nextHop));
  return ({ direction, recipient }) => {
    if (direction === 'outgoing') return usual;
    return own.get(book.domain(splitAddress(recipient).domain)) ?? usual;
  };
}
