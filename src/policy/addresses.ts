/**
 * Who an address is (DESIGN §7.2). The normal form decides who owns an entry and who may log in for it, so both ask here,
 * and it is computed once, at arrival: what a configuration says later acts on later mail only.
 *
 * Normal form of `"Ada"+Tag@Harbor.Example`: domain in lower case as A-labels, alias domain → main domain, local part in
 * lower case and quoted only where RFC 5321 §4.1.2 needs it, `+tag` cut (our domains only), then `aliases`. It is never
 * what mail is delivered to: delivery uses the recipient as received.
 */
import { domainToASCII } from 'node:url';

export interface AddressRules {
  /** Absent or empty: every domain is ours. */
  readonly domains?: Readonly<Record<string, { readonly aliases?: readonly string[] | undefined }>> | undefined;
  readonly aliases?: Readonly<Record<string, string>> | undefined;
}

export class AddressBook {
  /** False: no domains are configured, and every domain counts as ours. */
  readonly hasDomains: boolean;
  /** Any name of a domain of ours → its main name. */
  readonly #mainNames = new Map<string, string>();
  readonly #aliases = new Map<string, string>();

  constructor(rules: AddressRules) {
    const domains = Object.entries(rules.domains ?? {});
    this.hasDomains = domains.length > 0;
    // Main names first: one that is also listed as somebody's alias stays itself.
    for (const [name] of domains) this.#mainNames.set(asciiDomain(name), asciiDomain(name));
    for (const [name, { aliases }] of domains)
      for (const alias of aliases ?? [])
        if (!this.#mainNames.has(asciiDomain(alias))) this.#mainNames.set(asciiDomain(alias), asciiDomain(name));
    for (const [from, to] of Object.entries(rules.aliases ?? {})) this.#aliases.set(this.#plain(from), this.#plain(to));
  }

  /** Is this domain, or this address's domain, one we are responsible for? Without configured domains each one is. */
  isOurs(addressOrDomain: string): boolean {
    const domain = addressOrDomain.includes('@') ? splitAddress(addressOrDomain).domain : addressOrDomain;
    if (domain === '') return false;
    return !this.hasDomains || this.#mainNames.has(asciiDomain(domain));
  }

  /** The address's normal form; '' for ''. Aliases of aliases are followed, and a circle of them is left where it closes. */
  owner(address: string): string {
    let owner = this.#plain(address);
    const seen = new Set<string>();
    for (let next = this.#aliases.get(owner); next !== undefined; next = this.#aliases.get(owner)) {
      if (seen.has(next)) return [...seen].sort()[0] ?? owner; // all members of a circle get the same owner
      seen.add(next);
      owner = next;
    }
    return owner;
  }

  /** The main name of a domain, in lower case as A-labels. A domain that is not ours comes back as itself. */
  domain(name: string): string {
    const ascii = asciiDomain(name);
    return this.#mainNames.get(ascii) ?? ascii;
  }

  /** Normal form without the aliases. */
  #plain(address: string): string {
    const { local, domain } = splitAddress(address);
    const name = unquote(local).toLowerCase().normalize('NFC');
    if (domain === '') return quote(name);
    return `${quote(this.isOurs(domain) ? withoutTag(name) : name)}@${this.domain(domain)}`;
  }
}

/** At the last `@`: a quoted local part may hold others. An address without one has no domain. */
export function splitAddress(address: string): { readonly local: string; readonly domain: string } {
  const at = address.lastIndexOf('@');
  return at < 0 ? { local: address, domain: '' } : { local: address.slice(0, at), domain: address.slice(at + 1) };
}

/** `user+tag` → `user`. A name that begins with `+` has no other part to be known by and stays. */
function withoutTag(local: string): string {
  const plus = local.indexOf('+');
  return plus > 0 ? local.slice(0, plus) : local;
}

/** RFC 5321 §4.1.2: `"a\b"` and `ab` name the same mailbox. */
function unquote(local: string): string {
  return /^".*"$/s.test(local) ? local.slice(1, -1).replace(/\\(.)/gs, '$1') : local;
}

/** Quotes what is no dot-string (RFC 5321 §4.1.2, RFC 6531 §3.3). */
function quote(local: string): string {
  const dotString = /^[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10FFFF}]+(\.[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10FFFF}]+)*$/u;
  return local === '' || dotString.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * Lower case, A-labels, no final dot. domainToASCII reads a URL's host: it would decode `%61`, cut at `/` and make an IP
 * address of `1`. So it only sees non-ASCII names of harmless characters; what it refuses is compared as written.
 */
function asciiDomain(name: string): string {
  const lower = name.trim().toLowerCase().replace(/\.$/, '');
  if (/^[\x00-\x7F]*$/.test(lower)) return lower;
  if (/[\x00-\x2C/:-@[-^`{-\x7F]/.test(lower.normalize('NFKC'))) return lower;
  return domainToASCII(lower) || lower;
}
