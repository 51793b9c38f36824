/**
 * A message on its way into the store, in one pass: the filter's block is taken off its header, and what is left is handed
 * on, hashed and summarised as it goes by. The header is held back until it is whole (or 1 MiB of it is there), the rest
 * is never whole in memory.
 */
import { createHash, type Hash } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import { fieldsOf, latin1, unfoldLatin1 } from '#imap/mime/header';
import { type Summarized, Summarizer } from '#imap/mime/summary';
import { type Block, type FilterSetting, fieldText, findBlock } from './block.ts';
import { HeaderEnd } from './header-end.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const headerRead = channel('lazaret:intake.header');

/** As much of a header as is read for its meaning; a longer one is stored whole all the same (INTEGRATIONS §8.2 row 17). */
const headerLimit = 1024 * 1024;
/** Signed headers that are looked at: one is ours, a forger's hundred cost nothing. */
const maxReleaseHeaders = 4;

export interface Arrived {
  readonly block: Block | undefined;
  /** The octets of the block, none when it stays in the message. */
  readonly filterBlock: Uint8Array;
  readonly summary: Summarized;
  /** SHA-256 of the octets below the header, hex. */
  readonly bodySha256: string;
  /**
   * SHA-256 that is the same when the same message comes again (DESIGN §7.9), hex; undefined where it is that of all
   * octets kept.
   */
  readonly repeatSha256: string | undefined;
  /** Below what is new in every try there is a Received: an MTA's, the same in all tries. */
  readonly hasTrace: boolean;
  readonly receivedCount: number;
  /** Values of X-Lazaret-Release, unfolded. */
  readonly releaseHeaders: readonly string[];
}

export class Arrival {
  readonly #filter: FilterSetting;
  readonly #summarizer = new Summarizer();
  readonly #body = createHash('sha256');
  readonly #headerEnd = new HeaderEnd();
  #repeat: Hash | undefined;
  /** Octets that the repeat hash has yet to pass over. */
  #repeatSkip = 0;
  #block: Block | undefined;
  #filterBlock: Uint8Array = new Uint8Array(0);
  #facts = { hasTrace: false, receivedCount: 0, releaseHeaders: [] as string[] };

  constructor(filter: FilterSetting) {
    this.#filter = filter;
  }

  /** The octets to keep. To be read to its end, once, before `end`. */
  async *octets(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    const end = new HeaderEnd();
    let head: Uint8Array[] | undefined = [];
    let length = 0;
    for await (const chunk of source) {
      if (!head) {
        yield this.#pass(chunk);
        continue;
      }
      const bodyAt = end.push(chunk);
      head.push(chunk);
      if (bodyAt === undefined && length + chunk.length < headerLimit) length += chunk.length;
      else {
        yield* this.#open(head, bodyAt === undefined ? undefined : length + bodyAt);
        head = undefined;
      }
    }
    if (head) yield* this.#open(head, undefined);
  }

  end(): Arrived {
    return {
      block: this.#block,
      filterBlock: this.#filterBlock,
      summary: this.#summarizer.end(),
      bodySha256: this.#body.digest('hex'),
      repeatSha256: this.#repeat?.digest('hex'),
      ...this.#facts,
    };
  }

  /** The header is here, and perhaps a part of the body. */
  *#open(chunks: readonly Uint8Array[], bodyAt: number | undefined): Generator<Uint8Array, void> {
    const head = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
    const header = head.subarray(0, Math.min(bodyAt ?? head.length, headerLimit));
    const block = findBlock(header, this.#filter);
    const { start, end } = block ?? { start: 0, end: 0 };
    this.#block = block;
    this.#filterBlock = Uint8Array.from(head.subarray(start, end));
    this.#look(header, block);
    headerRead.publish(block);
    if (start > 0) yield this.#pass(head.subarray(0, start));
    if (end < head.length) yield this.#pass(head.subarray(end));
  }

  /** Everything that is known from the fields of the header. */
  #look(header: Uint8Array, block: Block | undefined): void {
    const text = latin1(header);
    const { start, end } = block ?? { start: 0, end: 0 };
    const quarantineId =
      block?.filter === 'amavis' ? fieldText(block, 'x-quarantine-id')?.replace(/^<|>$/g, '') : undefined;
    for (const field of fieldsOf(text)) {
      if (field.start >= start && field.end <= end) continue;
      const name = field.name.toLowerCase();
      if (name === 'received') {
        this.#facts.receivedCount++;
        // amavis makes a new id, and a new Received with it, each time it tries to hand the same message over.
        const isAmavisOwn =
          this.#facts.receivedCount === 1 &&
          quarantineId &&
          idOf(text.slice(field.valueStart, field.end)) === quarantineId;
        if (isAmavisOwn) {
          this.#repeat = createHash('sha256');
          this.#repeatSkip = field.end - end;
        } else this.#facts.hasTrace = true;
      } else if (name === 'x-lazaret-release' && this.#facts.releaseHeaders.length < maxReleaseHeaders)
        this.#facts.releaseHeaders.push(unfoldLatin1(text.slice(field.valueStart, field.end)));
    }
  }

  #pass(chunk: Uint8Array): Uint8Array {
    this.#summarizer.push(chunk);
    const bodyAt = this.#headerEnd.push(chunk);
    if (bodyAt !== undefined && bodyAt < chunk.length) this.#body.update(bodyAt === 0 ? chunk : chunk.subarray(bodyAt));
    if (this.#repeat) {
      if (this.#repeatSkip < chunk.length) this.#repeat.update(chunk.subarray(this.#repeatSkip));
      this.#repeatSkip = Math.max(0, this.#repeatSkip - chunk.length);
    }
    return chunk;
  }
}

/** The `id` clause of a Received value (RFC 5321 §4.4). */
function idOf(received: string): string | undefined {
  return /\sid\s+([^\s;]{1,64})/.exec(received)?.[1];
}
