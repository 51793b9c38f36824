/**
 * The header fields that clients ask for in lists. They are kept apart at intake, so that a list of messages is shown
 * without reading one message. Thunderbird 153, Apple Mail, Outlook, imapflow and K-9 ask for no others.
 */

/** In lower case. Changing this list changes what later arrivals keep; earlier ones keep what they have. */
export const COMMON_FIELDS: ReadonlySet<string> = new Set([
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'bcc',
  'subject',
  'date',
  'message-id',
  'in-reply-to',
  'references',
  'newsgroups',
  'priority',
  'x-priority',
  'importance',
  'content-type',
  'content-transfer-encoding',
  'mime-version',
  'received',
  'return-path',
  'list-id',
  'list-post',
  'list-unsubscribe',
  'delivered-to',
  'disposition-notification-to',
  'auto-submitted',
  'resent-from',
  'resent-to',
  'resent-date',
]);

/** True if all of these (any case) are kept, so that no message has to be opened for them. */
export function coversAll(names: Iterable<string>): boolean {
  for (const name of names) if (!COMMON_FIELDS.has(name.toLowerCase())) return false;
  return true;
}
