/**
 * ENVELOPE (RFC 3501 §7.4.2), rendered once at intake. Fields are raw: unfolded, encoded words left to the client.
 * Several fields of one name count as one list for addresses (what one reader checks is then what another shows), and
 * for anything else the first one counts.
 */
import { parseAddresses } from './addresses.ts';
import { type Field, unfoldLatin1 } from './header.ts';
import { quote, quoteOrNil } from './quote.ts';

/** Octets of address lists in one ENVELOPE; further addresses are left out. The header that holds them is capped as well. */
export const MAX_ENVELOPE_ADDRESSES = 1024 * 1024;

const ADDRESS_FIELDS = ['from', 'sender', 'reply-to', 'to', 'cc', 'bcc'] as const;
type AddressField = (typeof ADDRESS_FIELDS)[number];
const TEXT_FIELDS = ['date', 'subject', 'in-reply-to', 'message-id'] as const;
type TextField = (typeof TEXT_FIELDS)[number];

const addressFields = new Set<string>(ADDRESS_FIELDS);
const textFields = new Set<string>(TEXT_FIELDS);

export const EMPTY_ENVELOPE = '(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)';

export class EnvelopeBuilder {
  private readonly texts = new Map<TextField, string>();
  private readonly lists = new Map<AddressField, string[]>();
  private room = MAX_ENVELOPE_ADDRESSES;

  /** `key`: the field's name in lower case; `header`: the Latin-1 string it stands in. */
  add(key: string, field: Field, header: string): void {
    if (addressFields.has(key)) {
      const name = key as AddressField;
      const value = unfoldLatin1(header.slice(field.valueStart, field.end));
      const values = this.lists.get(name);
      if (values) values.push(value);
      else this.lists.set(name, [value]);
    } else if (textFields.has(key)) {
      const name = key as TextField;
      if (!this.texts.has(name)) this.texts.set(name, unfoldLatin1(header.slice(field.valueStart, field.end)));
    }
  }

  render(): string {
    const from = this.list('from');
    const sender = this.list('sender', from);
    const replyTo = this.list('reply-to', from);
    return (
      `(${this.text('date')} ${this.text('subject')} ${from} ${sender} ${replyTo} ` +
      `${this.list('to')} ${this.list('cc')} ${this.list('bcc')} ${this.text('in-reply-to')} ${this.text('message-id')})`
    );
  }

  private text(name: TextField): string {
    return quoteOrNil(this.texts.get(name));
  }

  /** RFC 3501 §7.4.2: absent or empty Sender and Reply-To are the same as From. */
  private list(name: AddressField, fallback = 'NIL'): string {
    const values = this.lists.get(name);
    if (!values) return fallback;
    const sink = new RenderedAddresses(this.room);
    for (const value of values) parseAddresses(value, sink);
    this.room -= sink.rendered.length;
    return sink.rendered === '' ? fallback : `(${sink.rendered})`;
  }
}

class RenderedAddresses {
  rendered = '';
  private readonly room: number;
  constructor(room: number) {
    this.room = room;
  }
  get full(): boolean {
    return this.rendered.length >= this.room;
  }
  address(a: { name: string | undefined; route: string | undefined; mailbox: string; host: string }): void {
    this.rendered += `(${quoteOrNil(a.name)} ${quoteOrNil(a.route)} ${quote(a.mailbox)} ${quote(a.host)})`;
  }
  groupStart(name: string): void {
    this.rendered += `(NIL NIL ${quote(name)} NIL)`;
  }
  groupEnd(): void {
    this.rendered += '(NIL NIL NIL NIL)';
  }
}
