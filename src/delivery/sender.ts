/**
 * Whom a release is from in its envelope (AC-16). As received is the truth, and SPF of a strict next hop refuses it; where
 * that is so, an operator chooses another. A message without a sender stays without one, and what our own people send is
 * from themselves.
 */
import type { AddressBook } from '#app/policy/addresses';
import { splitAddress } from '#app/policy/addresses';
import type { Entry, Message } from '#store/model';
import { rewriteSender, type SrsOptions } from './srs.ts';

export type SenderMode =
  | { readonly kind: 'original' | 'empty' | 'srs' }
  | { readonly kind: 'fixed'; readonly address: string };

/** As in the settings. */
export interface SenderRules {
  readonly hostname: string;
  readonly release: {
    readonly sender: string;
    readonly srsDomain?: string | undefined;
    /** Needed where a mode is `srs`. */
    readonly srsSecret?: string | undefined;
  };
  readonly domains?: Readonly<Record<string, { readonly sender?: string | undefined }>> | undefined;
}

export type SenderOf = (entry: Pick<Entry, 'direction' | 'recipient'>, message: Pick<Message, 'sender'>) => string;

/** `srs`, `fixed:postmaster@quarantine.example`; undefined for what is no mode. */
export function parseSenderMode(text: string): SenderMode | undefined {
  const kind = (['original', 'empty', 'srs'] as const).find((mode) => mode === text);
  if (kind) return { kind };
  const [, address] = /^fixed:([^\s<>@"\p{Cc}]+@[\p{L}\p{N}.-]+)$/u.exec(text) ?? [];
  return address === undefined ? undefined : { kind: 'fixed', address };
}

export function createSenderOf(
  { hostname, release, domains }: SenderRules,
  book: Pick<AddressBook, 'domain' | 'isOurs' | 'hasDomains'>,
): SenderOf {
  const { srsSecret: secret, srsDomain = hostname } = release;
  const srs: SrsOptions | undefined = secret === undefined ? undefined : { secret, domain: srsDomain };
  const modeOf = (text: string): SenderMode => parseSenderMode(text) ?? { kind: 'original' };
  const usual = modeOf(release.sender);
  const own = new Map<string, SenderMode>();
  for (const [domain, { sender }] of Object.entries(domains ?? {}))
    if (sender !== undefined) own.set(book.domain(domain), modeOf(sender));
  return (entry, { sender }) => {
    if (sender === '' || entry.direction === 'outgoing') return sender;
    const mode = own.get(book.domain(splitAddress(entry.recipient).domain)) ?? usual;
    switch (mode.kind) {
      case 'original':
        return sender;
      case 'empty':
        return '';
      case 'fixed':
        return mode.address;
      case 'srs':
        // Our own domains let us send for them; without `domains` nobody knows which those are.
        return !srs || (book.hasDomains && book.isOurs(sender)) ? sender : rewriteSender(sender, srs, Date.now());
    }
  };
}
