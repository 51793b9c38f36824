/**
 * The octets of a release: trace headers, then the stored message. A delivery needs its header (signatures), its end
 * (whether SMTP will add CRLF), and all of it twice; a small message, which most are, is therefore read from the store
 * once, and only when it is about to be sent.
 */
import { createHash } from 'node:crypto';
import type { Message } from '#store/model';
import type { Store } from '#store/port';
import { signedFields } from './trace.ts';

const smallOctets = 256 * 1024;

export class Outgoing {
  readonly #messages: Pick<Store['messages'], 'read'>;
  readonly #message: Message;
  #whole: Promise<Buffer> | undefined;

  constructor(messages: Pick<Store['messages'], 'read'>, message: Message) {
    this.#messages = messages;
    this.#message = message;
  }

  /** @throws NotFound  the bytes were purged */
  async *read(from = 0, to = this.#message.size): AsyncGenerator<Uint8Array> {
    const { id, size } = this.#message;
    if (size > smallOctets) yield* this.#messages.read(id, from, to - from);
    else {
      this.#whole ??= gather(this.#messages.read(id));
      yield (await this.#whole).subarray(from, to);
    }
  }

  /** Fields that signatures in the header name; see trace.ts. */
  signedFields(): Promise<ReadonlySet<string> | undefined> {
    return signedFields(this.read(0, this.#message.headerSize));
  }

  /** The body's hash as a receiver will compute it: SMTP puts CRLF behind a message that has none (DESIGN §7.12). */
  async bodySha256(): Promise<string> {
    const { size, headerSize, bodySha256 } = this.#message;
    if (size <= headerSize) return bodySha256;
    const end = await gather(this.read(Math.max(headerSize, size - 2)));
    if (end.toString('latin1') === '\r\n') return bodySha256;
    const hash = createHash('sha256');
    for await (const chunk of this.read(headerSize)) hash.update(chunk);
    return hash.update('\r\n').digest('hex');
  }
}

async function gather(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}
