/**
 * Whom a message is for, and who owns each of its entries (DESIGN §7.1, §7.2). One entry per envelope recipient; the
 * envelope is the filter's word where it hands over to an address that names no person, else that of MAIL and RCPT.
 */
import { type AddressBook, splitAddress } from '#app/policy/addresses';
import { parsePathList } from '#smtp/address';
import type { Direction } from '#store/model';
import { type Block, type FilterSetting, fieldText } from './block.ts';

export type DirectionSetting = 'auto' | Direction;

export interface Addressee {
  /** As received; '' when nobody could tell. */
  readonly address: string;
  readonly orcpt?: string;
}

export interface Envelope {
  readonly sender: string;
  readonly recipients: readonly Addressee[];
}

/** The envelope as the filter knew it. Each recipient once; mail for nobody known has one recipient, ''. */
export function trueEnvelope(
  handedOver: { readonly sender: string; readonly recipients: readonly Addressee[] },
  block: Block | undefined,
  setting: FilterSetting,
  namesNobody: (address: string) => boolean,
): Envelope {
  const { sender, recipients } = handedOver;
  const named = recipients.filter(({ address }) => !namesNobody(address));
  const toNobody = named.length < recipients.length;
  // Who names the filter of a listener trusts its block; recognised by itself, it is only believed about such addresses.
  const told = block && (setting !== 'auto' || toNobody) ? envelopeIn(block) : undefined;
  if (told && told.recipients.length > 0)
    return {
      sender: told.sender ?? sender,
      recipients: once(setting === 'auto' ? [...told.recipients, ...named] : told.recipients),
    };
  return {
    sender: told?.sender ?? sender,
    recipients: once(toNobody || named.length === 0 ? [...named, { address: '' }] : named),
  };
}

function envelopeIn(block: Block): { sender: string | undefined; recipients: Addressee[] } | undefined {
  if (block.filter !== 'amavis' && block.filter !== 'rspamd') return undefined;
  // X-Envelope-To has all recipients, -Blocked those that did not get the message (INTEGRATIONS §1.2).
  const to =
    (block.filter === 'amavis' ? fieldText(block, 'x-envelope-to-blocked') : undefined) ??
    fieldText(block, 'x-envelope-to');
  return {
    sender: senderIn(fieldText(block, 'x-envelope-from')),
    recipients: (parsePathList(to ?? '') ?? []).map((address) => ({ address })),
  };
}

/** '' for `<>`; undefined if nothing can be read. */
function senderIn(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const paths = parsePathList(value);
  return paths && paths.length <= 1 && value.trim() !== '' ? (paths[0] ?? '') : undefined;
}

/** The domain is the same in any case, the local part is its own business. The first of two is kept. */
function once(recipients: readonly Addressee[]): Addressee[] {
  const seen = new Map<string, Addressee>();
  for (const recipient of recipients) {
    const { local, domain } = splitAddress(recipient.address);
    const key = `${local}@${domain.toLowerCase()}`;
    if (!seen.has(key)) seen.set(key, recipient);
  }
  return [...seen.values()];
}

/** Which way a message goes, and whose entry it is; '' is nobody's, seen by `global` only. */
export function ownerOf(
  book: AddressBook,
  setting: DirectionSetting,
  sender: string,
  recipient: string,
): { readonly direction: Direction; readonly owner: string } {
  const ours = (address: string) => (book.isOurs(address) && address.includes('@') ? book.owner(address) : '');
  // For nobody knows whom, by nobody knows which way: for the eyes of `global`.
  if (recipient === '') return { direction: setting === 'outgoing' ? 'outgoing' : 'incoming', owner: '' };
  if (setting === 'outgoing') return { direction: 'outgoing', owner: ours(sender) };
  const owner = ours(recipient);
  // Whoever the sender claims to be: mail to one of us is incoming.
  if (setting === 'auto' && owner === '' && book.hasDomains && ours(sender) !== '')
    return { direction: 'outgoing', owner: ours(sender) };
  return { direction: 'incoming', owner };
}
