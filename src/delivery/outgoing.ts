/**
 * The octets of a release below its trace: the stored message, its spam fields under other names where that is asked for.
 * A delivery needs the header (signatures), the end (whether SMTP will add CRLF), and all of it twice; a small message,
 * which most are, is therefore read from the store once, and only when it is about to be sent.
 */
import { gather } from '#app/lib/gather';
import { releasedBodySha256 } from '#app/quarantine/released-body';
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

  bodySha256(): Promise<string> {
    return releasedBodySha256(this.#message, (from) => this.#read(from));
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
