/**
 * The one way by which mail comes in: from the listeners, `lazaret import` and `lazaret inject` alike. Bytes first, then
 * message and entries in one transaction, then the answer; whatever fails leaves nothing behind, and what is thrown is
 * for the caller to turn into a temporary refusal.
 */
import { createHash } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import { BadMail } from '#app/lib/bad-mail';
import type { NamedFilter } from '#app/lib/filter-names';
import type { Listener } from '#app/observe/events';
import type { Log } from '#app/observe/log';
import { type AddressBook, splitAddress } from '#app/policy/addresses';
import { renderPrefix } from '#app/quarantine/prefix';
import { type ReleaseToken, verifyRelease } from '#app/quarantine/release-token';
import { releasedBodySha256 } from '#app/quarantine/released-body';
import type { EntryId, EnvelopeParams, Verdict } from '#store/model';
import type { Admitted, NewEntry, Store, StoredBytes } from '#store/port';
import { Arrival, type Arrived } from './arrival.ts';
import type { Believed } from './authentication.ts';
import type { FilterSetting } from './block.ts';
import { type Addressee, type DirectionSetting, type Envelope, ownerOf, trueEnvelope } from './recipients.ts';
import { putOffBy, readVerdict } from './verdict.ts';

export interface AdmitOptions {
  readonly store: Store;
  readonly book: AddressBook;
  /** Addresses there name no person: whom a message was for stands in the filter's block. */
  readonly handOverDomains: readonly string[];
  /** By it our own released messages are recognised when a filter hands them back. */
  readonly releaseKey: Uint8Array;
  /** Copies of mail that was delivered: who wants them, and for how long they stay. Absent: nobody does. */
  readonly trainingRequested?: {
    wants(owner: string): Promise<boolean>;
    readonly keepForMs: number;
  };
  /** Whose Authentication-Results are believed. Absent: nobody's. */
  readonly believed?: Believed;
  /** In which language people are told why; English if none is named. */
  readonly language?: 'nl';
  readonly onEvent: Listener;
  readonly log: Log;
}

export interface IncomingMail {
  readonly source: AsyncIterable<Uint8Array>;
  /** '' is the null sender. */
  readonly sender: string;
  readonly recipients: readonly Addressee[];
  readonly params: EnvelopeParams;
  readonly direction: DirectionSetting;
  readonly filter: FilterSetting;
  /** Further filters whose marks are believed. */
  readonly also?: readonly NamedFilter[];
  /** Where it is put; by its direction when left out. */
  readonly folder?: 'caught' | 'outgoing' | 'training';
  /** A copy of mail that was delivered, which a filter is unsure about: kept for those owners who want such copies. */
  readonly class?: 'training';
  readonly internalDate?: Date;
  readonly flags?: readonly string[];
  /** What somebody who puts it in by hand knows about it; goes above what a filter wrote. */
  readonly verdict?: Partial<Verdict>;
  /** true: handed over, folds as DESIGN §7.9 says; 'import': always folds; false: never. */
  readonly repeat: boolean | 'import';
  /** Refuse with BadMail what nobody is named for, rather than keep it for `global`: its bytes are kept elsewhere. */
  readonly named?: true;
  /** What stood behind its octets; asked for when they are all here, and goes above the rest. @throws and nothing is kept */
  readonly told?: () => Told;
}

/** What may be known of a message only when its octets are here: of what is no part of it. */
export type Told = Partial<
  Pick<IncomingMail, 'sender' | 'recipients' | 'params' | 'direction' | 'class' | 'verdict' | 'filter'>
>;

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const put = channel('lazaret:intake.put');

/** RFC 5321 §6.3: at 100 it is most likely going in circles. It is kept all the same. */
const manyReceived = 100;
/** Without an MTA's trace two messages that look the same may be two (DESIGN §7.9). */
const foldWithoutTraceMs = 60 * 60 * 1000;

/**
 * One answer for each entry, in the order of the recipients; none for an owner who does not want it.
 * @throws whatever the store or the source throws
 */
export async function admitMessage(o: AdmitOptions, mail: IncomingMail): Promise<readonly Admitted[]> {
  // With `none` every line is the sender's.
  const believed = mail.filter === 'none' ? undefined : o.believed;
  const arrival = new Arrival(mail.filter, { also: mail.also, believed });
  const bytes = await o.store.messages.put(arrival.octets(mail.source));
  put.publish(bytes);
  try {
    const told = mail.told ? { ...mail, ...mail.told() } : mail;
    const arrived = arrival.end();
    const { verdict, direction } = understood(o, told, arrived);
    // Which way, if nobody else says: the filter may know.
    const m = direction && told.direction === 'auto' ? { ...told, direction } : told;
    const envelope = trueEnvelope(m, arrived.block, m.filter, namesNobody(o));
    const putOff = m.verdict?.source === undefined ? putOffBy(arrived.block) : undefined;
    if (putOff) {
      await o.store.messages.discard(bytes);
      for (const { address } of envelope.recipients)
        o.onEvent({ kind: 'put-off', owner: o.book.owner(address), said: putOff });
      return [];
    }
    if (m.named && envelope.recipients.some(({ address }) => address === ''))
      throw new BadMail("nothing tells whom it was sent to: there is no such filter's block on top of it");
    const all = await Promise.all(
      envelope.recipients.map((recipient) => newEntry(o, m, { arrived, bytes, envelope, verdict, recipient })),
    );
    const entries = m.class === 'training' ? await onlyWanted(o, arrived, all) : all;
    if (entries.length === 0) {
      await o.store.messages.discard(bytes);
      return [];
    }
    const { summary, bodySha256, filterBlock } = arrived;
    const admitted = await o.store.entries.admit(
      {
        bytes,
        bodySha256,
        headerSize: summary.headerSize,
        sender: envelope.sender,
        params: m.params,
        filterBlock,
        summary,
      },
      entries,
    );
    tell(o, arrived, entries, admitted);
    return admitted;
  } catch (error) {
    await o.store.messages.discard(bytes);
    throw error;
  }
}

function understood(o: AdmitOptions, m: IncomingMail, arrived: Arrived) {
  const { verdict: found, direction } = readVerdict(arrived.block, arrived.also);
  // Who hands over what a filter found, beside the message, has it from before any server wrote into the header.
  const authentication = m.verdict?.source === undefined ? arrived.authentication : undefined;
  const verdict: Verdict = {
    ...found,
    ...(authentication ? { authentication: { ...found.authentication, ...authentication } } : {}),
    ...m.verdict,
    ...(o.language ? { language: o.language } : {}),
  };
  return { verdict, direction };
}

/** A copy that nobody asked for would be in the way; its message was delivered, so nothing is lost. */
async function onlyWanted(o: AdmitOptions, arrived: Arrived, entries: readonly NewEntry[]): Promise<NewEntry[]> {
  const owners = [...new Set(entries.map(({ owner }) => owner))];
  const wanted = new Map<string, boolean>();
  for (const owner of owners) wanted.set(owner, (await o.trainingRequested?.wants(owner)) ?? false);
  const { subject } = arrived.summary;
  return entries.filter(({ owner }) => {
    if (wanted.get(owner)) return true;
    o.onEvent({ kind: 'not-wanted', owner, subject });
    return false;
  });
}

function namesNobody({ book, handOverDomains }: AdmitOptions): (address: string) => boolean {
  const domains = new Set(handOverDomains.map((domain) => book.domain(domain)));
  return (address) => domains.has(book.domain(splitAddress(address).domain));
}

interface Facts {
  readonly arrived: Arrived;
  readonly bytes: StoredBytes;
  readonly envelope: Envelope;
  readonly verdict: Verdict;
  readonly recipient: Addressee;
}

async function newEntry(o: AdmitOptions, m: IncomingMail, facts: Facts): Promise<NewEntry> {
  const { arrived, bytes, envelope, recipient } = facts;
  const asked = m.folder === 'outgoing' ? 'outgoing' : m.folder === 'caught' ? 'incoming' : m.direction;
  const { direction, owner } = ownerOf(o.book, asked, envelope.sender, recipient.address);
  // Nobody knows whom it was for: what the filter found is kept, but nobody is told a reason that may not be theirs.
  const verdict: Verdict = recipient.address === '' ? { ...facts.verdict, reason: 'unknown' } : facts.verdict;
  const key = repeatKey(arrived.repeatSha256 ?? bytes.sha256, envelope.sender, recipient.address);
  const forAnHour = m.repeat === true && !arrived.hasTrace;
  const isCopy = m.class === 'training' || m.folder === 'training';
  return {
    owner,
    direction,
    recipient: recipient.address,
    ...(recipient.orcpt === undefined ? {} : { orcpt: recipient.orcpt }),
    class: isCopy ? 'training' : 'held',
    ...(isCopy && o.trainingRequested ? { leaveAfterMs: o.trainingRequested.keepForMs } : {}),
    verdict,
    prefix: renderPrefix({ verdict }),
    ...(m.internalDate ? { internalDate: m.internalDate } : {}),
    ...(m.flags ? { flags: m.flags } : {}),
    ...(m.repeat === false ? {} : { repeat: forAnHour ? { key, withinMs: foldWithoutTraceMs } : { key } }),
    // A copy is no hand-back: what was released has been delivered.
    ...(m.repeat === true && !isCopy ? await returned(o, facts) : {}),
  };
}

function repeatKey(sha256: string, sender: string, recipient: string): string {
  return createHash('sha256')
    .update(JSON.stringify([sha256, sender, recipient]))
    .digest('hex');
}

/**
 * Only a header that we signed, for this recipient, says that a message is one of ours. With these very octets it is the
 * entry that comes back; with another body a new one that is linked to it (DESIGN §7.6).
 */
async function returned(
  o: AdmitOptions,
  { arrived, recipient, verdict }: Facts,
): Promise<Pick<NewEntry, 'handBack' | 'linkTo'>> {
  for (const value of arrived.releaseHeaders) {
    const token = verifyRelease(o.releaseKey, value);
    if (!token || o.book.owner(token.recipient) !== o.book.owner(recipient.address)) continue;
    if (!(await isOfItsEntry(o, token))) continue;
    const entryId = token.entryId as EntryId;
    if (token.bodySha256 !== arrived.bodySha256) return { linkTo: entryId };
    return { handBack: { entryId, prefix: renderPrefix({ verdict, status: 'the filter handed it back' }) } };
  }
  return {};
}

/** Not if its id is another entry's by now: a restore gives the last ones out again, a renumbering all of them. */
async function isOfItsEntry({ store, book }: AdmitOptions, token: ReleaseToken): Promise<boolean> {
  const entry = await store.entries.get(token.entryId as EntryId);
  if (!entry || book.owner(entry.recipient) !== book.owner(token.recipient)) return false;
  if (entry.state === 'expired') return true; // its octets may be gone
  const message = await store.messages.get(entry.messageId);
  if (!message) return false;
  const released = await releasedBodySha256(message, (from) => store.messages.read(message.id, from));
  return released === token.bodySha256;
}

const eventKinds = { new: 'arrived', repeat: 'repeated', 'handed-back': 'handed-back' } as const;

function tell(o: AdmitOptions, arrived: Arrived, entries: readonly NewEntry[], admitted: readonly Admitted[]): void {
  const { subject } = arrived.summary;
  for (const [index, { entryId, how }] of admitted.entries()) {
    const entry = entries[index];
    if (!entry) continue;
    o.onEvent({ kind: eventKinds[how], entryId, owner: entry.owner, subject, reason: entry.verdict.reason });
  }
  if (arrived.receivedCount > manyReceived)
    o.log.warn(
      { entryIds: admitted.map(({ entryId }) => entryId), received: arrived.receivedCount },
      'A message with very many Received fields was kept; it may be going in circles',
    );
}
