/**
 * Which entries exist for whom (DESIGN §1). Whoever sees an entry may do everything with it; what is outside a scope is
 * to be answered as if it did not exist.
 */
import type { Scope } from '#store/model';
import { type AddressBook, splitAddress } from './addresses.ts';

/** `owner` is an address in normal form, or '' for mail that only `global` sees. */
export function sees(scope: Scope, owner: string): boolean {
  switch (scope.level) {
    case 'global':
      return true;
    case 'domain':
      return splitAddress(owner).domain === scope.domain && owner !== '';
    case 'recipient':
      return owner === scope.address && owner !== '';
  }
}

/** With domains configured, an account of a foreign one is refused, also one made before they were (DESIGN §7.2). */
export function mayLogIn(scope: Scope, book: Pick<AddressBook, 'isOurs'>): boolean {
  if (scope.level === 'global') return true;
  return book.isOurs(scope.level === 'domain' ? scope.domain : scope.address);
}
