/**
 * What somebody types as a login name, and which account that is (DESIGN §1, §7.2): `global`, a domain, an address, each
 * with a person in front where several share one (`ann*global`). Names take the same way to their normal form as the
 * addresses of mail do, so `Ada+news@Harbor.Example` is `ada@harbour.example`.
 */
import type { Scope } from '#store/model';

/** What is asked of policy's AddressBook. */
export interface NameRules {
  readonly hasDomains: boolean;
  isOurs(addressOrDomain: string): boolean;
  owner(address: string): string;
  domain(name: string): string;
}

export interface AccountName {
  /** Normal form, as the store has it. The account that sees everything is always `global` there. */
  readonly name: string;
  readonly scope: Scope;
  readonly person?: string;
}

/** Longest address of RFC 5321 §4.5.3.1, and a person in front of it. */
const maxLength = 64 + 1 + 64 + 1 + 255;

/** Undefined for what can be no account here: no address, no domain, or one that is not ours. */
export function parseAccountName(text: string, book: NameRules, globalName: string): AccountName | undefined {
  const typed = text.trim().normalize('NFC');
  if (typed.length > maxLength || /[\s\p{Cc}\p{Cf}]/u.test(typed)) return undefined;
  const star = typed.indexOf('*');
  const person = star < 0 ? undefined : typed.slice(0, star).toLowerCase();
  if (person !== undefined && !/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u.test(person)) return undefined;
  const scope = parseScope(typed.slice(star + 1), book, globalName);
  if (!scope) return undefined;
  const shared = scopeName(scope);
  return person === undefined ? { name: shared, scope } : { name: `${person}*${shared}`, scope, person };
}

/** The name that all persons of a scope share: `global`, a domain, an address. */
export function scopeName(scope: Scope): string {
  if (scope.level === 'global') return 'global';
  return scope.level === 'domain' ? scope.domain : scope.address;
}

const domainForm = /^[\p{L}\p{N}_-]+(\.[\p{L}\p{N}_-]+)*\.?$/u;

function parseScope(text: string, book: NameRules, globalName: string): Scope | undefined {
  if (text.toLowerCase() === globalName.toLowerCase()) return { level: 'global' };
  const at = text.lastIndexOf('@');
  const domain = text.slice(at + 1);
  // Without configured domains any name with a dot is a domain; one without would be a slip in `global`.
  if (at === 0 || !domainForm.test(domain) || (at < 0 && !book.hasDomains && !domain.includes('.'))) return undefined;
  if (!book.isOurs(domain)) return undefined;
  return at < 0 ? { level: 'domain', domain: book.domain(domain) } : { level: 'recipient', address: book.owner(text) };
}
