/**
 * Reports by mail: what known users send to a reporting address counts as if they had put it on Spam or Not Spam. The
 * messages are attached, in ARF form or as clients forward them; what is quoted inside a text cannot be learned from.
 *
 * What is learned here changes the filter for everybody, so a sender has to be believed: an address with an account here,
 * and, unless the settings waive it, one that a password was shown for. Everybody else is answered with the same 250, and
 * nothing is learned: a refusal would have to go to a sender who may be forged.
 */
import type { Listener } from '#app/observe/events';
import type { Log } from '#app/observe/log';
import type { AddressBook } from '#app/policy/addresses';
import { headerEnd, latin1 } from '#imap/mime/header';
import { Summarizer } from '#imap/mime/summary';
import type { Reply, Transaction } from '#smtp/receiver';
import { replies, saying } from '#smtp/reply';
import type { Account } from '#store/model';
import type { Store } from '#store/port';
import { Arrival } from './arrival.ts';
import { type Attached, contentsOf, octetsOf, type Read } from './attached.ts';
import { hasLoggedIn } from './logged-in.ts';
import type { Spool } from './spool.ts';

export interface ReportSettings {
  readonly spam: readonly string[];
  readonly ham: readonly string[];
  /** Only from users who had logged in when they sent it. */
  readonly loggedIn: boolean;
}

export interface ReportOptions extends ReportSettings {
  readonly store: Pick<Store, 'accounts' | 'messages' | 'drops'>;
  readonly book: AddressBook;
  readonly hostname: string;
  /** Machines whose Received fields are believed. */
  readonly isTrusted: (address: string) => boolean;
  /** Takes our own lines off a message that was dragged out of a folder here. */
  readonly withoutOwnLines: (source: AsyncIterable<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>;
  readonly onEvent: Listener;
  readonly log: Log;
}

type Class = 'spam' | 'ham';

/** In one report; the rest is told in the log, and can be sent in another. */
export const maxMessages = 100;
const maxHeader = 256 * 1024;

export class Reports {
  readonly #o: ReportOptions;
  readonly #classes = new Map<string, Class>();

  constructor(options: ReportOptions) {
    this.#o = options;
    for (const kind of ['spam', 'ham'] as const)
      for (const address of options[kind]) this.#classes.set(options.book.owner(address), kind);
  }

  /** What an address asks for; undefined if it is no reporting address. */
  classOf(address: string): Class | undefined {
    return this.#classes.size === 0 ? undefined : this.#classes.get(this.#o.book.owner(address));
  }

  /**
   * Takes a report that lies in the spool. May be repeated: what this account had learned last it is not asked to learn
   * again. `kind` is undefined for what was sent to addresses of both kinds. @throws what the store throws, and then nobody was told that anything is kept
   */
  async take(report: Spool, table: Uint8Array, kind: Class | undefined, from: Transaction): Promise<Reply> {
    const { log, onEvent } = this.#o;
    const unused = (why: string, more: object = {}): Reply => {
      log.info({ sender: from.sender, why, ...more }, 'a report by mail was not learned from');
      return saying(replies.kept, 'Ok: not learned from');
    };
    const read: Read = (start, end) => report.read(start, end);
    const header = await headerOf(report);
    const account = await this.#reporter(from.sender);
    if (!account) return unused('the sender has no account here');
    if (this.#o.loggedIn && !hasLoggedIn(header, from.client.forwarded, this.#o.isTrusted))
      return unused('the sender had not logged in', { account: account.name });
    const { messages, more, feedback } = await contentsOf(table, read, maxMessages);
    const asked = feedback === undefined ? kind : classOfFeedback(feedback, kind);
    if (!asked) {
      const why =
        feedback === undefined ? 'it was sent to addresses for both' : `it is feedback of the type ${feedback}`;
      return unused(why, { account: account.name });
    }
    if (messages.length === 0) return unused('no message is attached to it', { account: account.name });
    let queued = 0;
    for (const message of messages) if (await this.#learn(message, asked, account, read)) queued++;
    if (more > 0)
      log.warn({ account: account.name, learned: messages.length, more }, 'a report held more messages than are taken');
    onEvent({ kind: 'dropped', account: account.name, action: actionOf[asked], count: messages.length });
    return saying(replies.kept, `Ok: ${queued} of ${messages.length + more} to be learned as ${asked}`);
  }

  async #reporter(sender: string): Promise<Account | undefined> {
    const { store, book } = this.#o;
    if (sender === '' || !sender.includes('@') || !book.isOurs(sender)) return undefined;
    const name = book.owner(sender);
    const account = await store.accounts.get(name);
    return account?.scope.level === 'recipient' && account.scope.address === name ? account : undefined;
  }

  async #learn(attached: Attached, kind: Class, account: Account, read: Read): Promise<boolean> {
    const { store, hostname, withoutOwnLines } = this.#o;
    // What a filter wrote on top is no block of ours here: whoever forwarded it may have written it.
    const arrival = new Arrival('none');
    const bytes = await store.messages.put(arrival.octets(await withoutOwnLines(octetsOf(attached, read))));
    try {
      const { summary, bodySha256, filterBlock } = arrival.end();
      const { queued } = await store.drops.appendForTraining(
        { bytes, bodySha256, headerSize: summary.headerSize, sender: '', params: {}, filterBlock, summary },
        {
          actor: { account: account.name, via: 'report' },
          scope: account.scope,
          action: actionOf[kind],
          undoMs: 0,
          hostname,
        },
      );
      return queued;
    } catch (error) {
      await store.messages.discard(bytes);
      throw error;
    }
  }
}

const actionOf = { spam: 'spam', ham: 'not-spam' } as const;

/** RFC 5965 §7.3, RFC 6430: what the reporter says goes before what the address asks. Undefined: it is not about spam. */
function classOfFeedback(feedback: string, otherwise: Class | undefined): Class | undefined {
  if (feedback === 'not-spam') return 'ham';
  if (/^(?:abuse|fraud|virus)$/.test(feedback)) return 'spam';
  return feedback === 'other' ? otherwise : undefined;
}

async function headerOf(report: Spool): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of report.read(0, Math.min(report.size, maxHeader))) pieces.push(piece);
  const head = Buffer.concat(pieces);
  return latin1(head.subarray(0, headerEnd(head)));
}

/** What a spool shows each piece to, and what comes of it. */
export function partsSeen(): { readonly see: (piece: Uint8Array) => void; readonly table: () => Uint8Array } {
  const summarizer = new Summarizer();
  return { see: (piece) => summarizer.push(piece), table: () => summarizer.end().parts };
}
