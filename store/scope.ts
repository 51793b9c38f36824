/** Scopes as drivers write them down, and which owners' entries a scope has. */
import type { Scope } from './model.ts';

export function scopeKey(scope: Scope): string {
  if (scope.level === 'global') return 'g';
  return scope.level === 'domain' ? `d:${scope.domain}` : `r:${scope.address}`;
}

export function scopeOf(key: string): Scope {
  if (key === 'g') return { level: 'global' };
  return key.startsWith('d:')
    ? { level: 'domain', domain: key.slice(2) }
    : { level: 'recipient', address: key.slice(2) };
}

/** The domain of an owner in normal form; '' for the owner ''. */
export function domainOf(owner: string): string {
  return owner.slice(owner.lastIndexOf('@') + 1);
}

/** Whether an entry of this owner exists for the scope. */
export function owns(scope: Scope, owner: string): boolean {
  if (scope.level === 'global') return true;
  return scope.level === 'domain' ? domainOf(owner) === scope.domain : owner === scope.address;
}
