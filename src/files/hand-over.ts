/**
 * From a message that was found in a file to one that is handed over: whom it was sent to, by whom, which way. Mail about
 * which nobody can tell for whom it was is not taken: in a file it is not lost.
 */
import { BadMail } from '#app/lib/bad-mail';
import { fieldsOf, latin1, textOfLatin1, unfoldLatin1 } from '#imap/mime/header';
import { parsePathList } from '#smtp/address';
import type { EnvelopeParams, Verdict } from '#store/model';
import { withCrlf } from './line-ends.ts';
import type { FoundMail } from './mail-files.ts';

/** What whoever takes mail out of files says about all of it. Generic over the names of filters: ingest has the list. */
export interface Handling<Filter extends string> {
  /** Whom it was sent to; goes before everything that files say. */
  readonly recipients: readonly string[];
  /** The field in which the server that wrote the files has put the recipients: Delivered-To, X-Original-To … */
  readonly recipientField?: string | undefined;
  readonly sender?: string | undefined;
  /** Who wrote the fields on top. One that is named is believed about the recipients, too; `auto` is not. */
  readonly filter: Filter | 'auto';
  readonly direction: 'auto' | 'incoming' | 'outgoing';
  readonly verdict?: Partial<Verdict> | undefined;
  readonly maxMessageBytes: number;
}

/** Fits what admits mail (src/ingest/admit.ts). */
export interface HandedOver<Filter extends string> {
  readonly source: AsyncIterable<Uint8Array>;
  readonly sender: string;
  readonly recipients: readonly { readonly address: string; readonly orcpt?: string }[];
  readonly params: EnvelopeParams;
  readonly direction: 'auto' | 'incoming' | 'outgoing';
  readonly filter: Filter | 'auto';
  readonly internalDate: Date;
  readonly flags: readonly string[];
  readonly verdict?: Partial<Verdict>;
  readonly repeat: 'import';
  readonly named: true;
}

/** @throws BadMail  nothing says whom it was sent to */
export function handOver<Filter extends string>(mail: FoundMail, how: Handling<Filter>): HandedOver<Filter> {
  const recipients = recipientsOf(mail, how);
  const verdict = mail.verdict || how.verdict ? { ...mail.verdict, ...how.verdict } : undefined;
  return {
    source: limited(withCrlf(mail.source), how.maxMessageBytes),
    sender: how.sender ?? mail.sender,
    recipients,
    params: mail.params,
    direction: how.direction,
    // A filter that is named would be asked for the recipients as well; what is known here goes before that.
    filter: recipients.length > 0 && tellsRecipients.has(how.filter) ? 'auto' : how.filter,
    internalDate: mail.date,
    flags: mail.flags,
    ...(verdict ? { verdict } : {}),
    repeat: 'import',
    named: true,
  };
}

/** Filters in whose blocks recipients stand (src/ingest/recipients.ts); `auto` recognises both. */
const tellsRecipients: ReadonlySet<string> = new Set(['amavis', 'rspamd']);

function recipientsOf(mail: FoundMail, how: Handling<string>): HandedOver<string>['recipients'] {
  if (how.recipients.length > 0) return how.recipients.map((address) => ({ address }));
  if (how.recipientField !== undefined) return fieldRecipients(mail.head, how.recipientField);
  if (mail.recipients && mail.recipients.length > 0) return mail.recipients;
  if (tellsRecipients.has(how.filter)) return [];
  throw new BadMail('nothing tells whom it was sent to');
}

const maxRecipients = 10_000;

/** The topmost field of that name: a sender's own one stands below what the server wrote. */
function fieldRecipients(head: Uint8Array, name: string): HandedOver<string>['recipients'] {
  const text = latin1(head);
  for (const field of fieldsOf(text)) {
    if (field.name.toLowerCase() !== name.toLowerCase()) continue;
    const value = textOfLatin1(unfoldLatin1(text.slice(field.valueStart, field.end)));
    const found = value.includes('<') ? parsePathList(value) : plainList(value);
    if (found && found.length > 0 && found.length <= maxRecipients) return found.map((address) => ({ address }));
    throw new BadMail(`its field ${name} holds no addresses`);
  }
  throw new BadMail(`it has no field ${name}, which would tell whom it was sent to`);
}

/** `ada@harbour.example, ben@quay.example`, as delivery agents write them. */
function plainList(value: string): string[] | undefined {
  const found = value.split(/[,\s]+/, maxRecipients + 1).filter((word) => word !== '');
  return found.every((word) => /^[^@\p{Cc}]{1,64}@[^@\p{Cc}]{1,255}$/u.test(word)) ? found : undefined;
}

async function* limited(source: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  let octets = 0;
  for await (const chunk of source) {
    octets += chunk.length;
    if (octets > limit) throw new BadMail('it is larger than intake.maxMessageBytes');
    yield chunk;
  }
}
