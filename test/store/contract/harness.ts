/**
 * What a contract file is given: a store of its own with a clock that the test moves, and builders for mail. Each file in
 * this folder exports `default function contract(t, open): Promise<void>`; the test of a driver runs all of them.
 */
import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import type { Entry, EntryId, EnvelopeParams, MessageId, Scope, Uid } from '#store/model';
import type { Admitted, NewEntry, NewMessage, Store, StoredBytes } from '#store/port';

export interface Harness {
  readonly store: Store;
  /** Moves the clock of every store of this harness forward. */
  advance(ms: number): void;
  /** A second Store on the same place, as another process would have it; closed when the test ends. */
  again(options?: { readonly unfinished?: boolean }): Promise<Store>;
  /** Ways to damage the store behind its back, by whatever means the database has. */
  readonly damage?: Damage;
}

export interface Damage {
  /** The octets of a message are gone, what is known of it stays. */
  removeOctets(id: MessageId): Promise<void>;
  /** One octet of it is another one. */
  changeOctet(id: MessageId, offset: number): Promise<void>;
  /** Another hash of the whole is noted for it. */
  changeHash(id: MessageId): Promise<void>;
  /** What is known of a message is gone, octets and all. */
  removeMessage(id: MessageId): Promise<void>;
  /** The entry and its stays are gone, its jobs stay. */
  removeEntry(id: EntryId): Promise<void>;
  removeDrop(id: string): Promise<void>;
  /** Last UID, last mod-sequence, last message id and all tops are what they were at the beginning. */
  resetCounters(): Promise<void>;
}

/** An empty store of the test's own; everything is closed and removed when `t` ends. */
export type OpenHarness = (t: Test) => Promise<Harness>;
export type Contract = (t: Test, open: OpenHarness) => Promise<void>;

/** What `admit` takes, but for the bytes, which have to be put first. */
export interface Mail {
  readonly raw: Uint8Array;
  readonly message: Omit<NewMessage, 'bytes'>;
  readonly entries: readonly NewEntry[];
}

export interface SpamOverrides extends Partial<NewEntry> {
  /** Body of the message; different texts make different messages. */
  readonly text?: string;
  readonly subject?: string;
  readonly sender?: string;
  readonly params?: EnvelopeParams;
  readonly filterBlock?: Uint8Array;
}

const encoder = new TextEncoder();
export const bytesOf = (text: string): Uint8Array => encoder.encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const header = (subject: string): string =>
  `From: Mallory <mallory@elsewhere.example>\r\nSubject: ${subject}\r\nMIME-Version: 1.0\r\n\r\n`;

/** The octets of a small message. */
export function aMessage(text = 'Buy now.', subject = 'Offer'): Uint8Array {
  return bytesOf(`${header(subject)}${text}\r\n`);
}

/** A spam held for `owner` (an address in normal form): one message with one entry. */
export function aSpamFor(owner: string, overrides: SpamOverrides = {}): Mail {
  const {
    text = 'Buy now.',
    subject = 'Offer',
    sender = 'mallory@elsewhere.example',
    params = {},
    filterBlock = new Uint8Array(),
    ...entry
  } = overrides;
  const raw = aMessage(text, subject);
  return {
    raw,
    message: {
      bodySha256: sha256(bytesOf(`${text}\r\n`)),
      headerSize: header(subject).length,
      sender,
      params,
      filterBlock,
      summary: {
        envelope: bytesOf(`(NIL "${subject}")`),
        bodyStructure: bytesOf('("TEXT" "PLAIN" NIL NIL NIL "7BIT" 10 1 NIL NIL NIL NIL)'),
        body: bytesOf('("TEXT" "PLAIN" NIL NIL NIL "7BIT" 10 1)'),
        commonFields: bytesOf(`Subject: ${subject}\r\n`),
        parts: Uint8Array.of(1, 2, 3),
        subject,
        from: 'Mallory',
      },
    },
    entries: [
      {
        owner,
        recipient: owner,
        direction: 'incoming',
        class: 'held',
        verdict: { reason: 'spam', source: 'none', rules: [] },
        prefix: 'X-Lazaret-Id: {id}\r\n',
        ...entry,
      },
    ],
  };
}

/** One piece of bytes as a source for `messages.put`. */
export async function* from(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

export const put = (store: Store, raw: Uint8Array): Promise<StoredBytes> => store.messages.put(from(raw));

/** Puts the bytes and admits them. */
export async function admit(store: Store, mail: Mail): Promise<readonly Admitted[]> {
  return store.entries.admit({ ...mail.message, bytes: await put(store, mail.raw) }, mail.entries);
}

/** Admits a spam and answers the entry as the store has it. */
export async function held(
  store: Store,
  owner: string,
  overrides: SpamOverrides = {},
): Promise<Entry & { readonly uid: Uid }> {
  const [admitted] = await admit(store, aSpamFor(owner, overrides));
  const entry = await store.entries.get(admitted!.entryId);
  return { ...entry!, uid: entry!.uid! };
}

export const everything: Scope = { level: 'global' };
export const domain = (name: string): Scope => ({ level: 'domain', domain: name });
export const recipient = (address: string): Scope => ({ level: 'recipient', address });

/** Everything that an async iterable of bytes yields, in one piece. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}
