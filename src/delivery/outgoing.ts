/**
 * The octets of a release below its trace: the stored message, its spam fields under other names where that is asked for.
 * A delivery needs the header (signatures), the end (whether SMTP will add CRLF), and all of it twice; a small message,
 * which most are, is therefore read from the store once, and only when it is about to be sent.
 */
import { createHash } from 'node:crypto';
import { gather } from '#app/lib/gather';
import type { Message } from '#store/model';
import type { Store } from '#store/port';
import { withRenamedSpamFields } from './spam-fields.ts';
import { signedFields } from './trace.ts';

const smallOctets = 256 * 1024;

export class Outgoing {
  readonly #messages: Pick<Store['messages'], 'read'>;
  readonly #message: Message;
  readonly #renameHeaders: boolean;
  #whole: Promise<Buffer> | undefined;

  constructor(
    messages: Pick<Store['messages'], 'read'>,
    message: Message,
    { renameHeaders }: { readonly renameHeaders: boolean },
  ) {
    this.#messages = messages;
    this.#message = message;
    this.#renameHeaders = renameHeaders;
  }

  /** As it is sent. @throws NotFound  the bytes were purged */
  async *released(): AsyncGenerator<Uint8Array> {
    const { headerSize } = this.#message;
    // A header too long to be searched for signatures stays as it is.
    const signed = this.#renameHeaders ? await this.signedFields() : undefined;
    if (!signed) return yield* this.#read();
    yield withRenamedSpamFields(await gather(this.#read(0, headerSize)), signed);
    yield* this.#read(headerSize);
  }

  /** Fields that signatures in the header name; see trace.ts. */
  signedFields(): Promise<ReadonlySet<string> | undefined> {
    return signedFields(this.#read(0, this.#message.headerSize));
  }

  /** The body's hash as a receiver will compute it: SMTP puts CRLF behind a message that has none (DESIGN §7.12). */
  async bodySha256(): Promise<string> {
    const { size, headerSize, bodySha256 } = this.#message;
    if (size <= headerSize) return bodySha256;
    const end = await gather(this.#read(Math.max(headerSize, size - 2)));
    if (end.toString('latin1') === '\r\n') return bodySha256;
    const hash = createHash('sha256');
    for await (const chunk of this.#read(headerSize)) hash.update(chunk);
    return hash.update('\r\n').digest('hex');
  }

  /** As stored. */
  async *#read(from = 0, to = this.#message.size): AsyncGenerator<Uint8Array> {
    const { id, size } = this.#message;
    if (from >= to) return;
    if (size > smallOctets) yield* this.#messages.read(id, from, to - from);
    else {
      this.#whole ??= gather(this.#messages.read(id));
      yield (await this.#whole).subarray(from, to);
    }
  }
}
