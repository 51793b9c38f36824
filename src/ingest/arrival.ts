/**
 * A message on its way into the store, in one pass: the filter's block is taken off its header, and what is left is handed
 * on, hashed and summarised as it goes by. The header is held back until it is whole (or 1 MiB of it is there), the rest
 * is never whole in memory.
 */
import { createHash, type Hash } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import type { NamedFilter } from '#app/lib/filter-names';
import { fieldsOf, latin1, unfoldLatin1 } from '#imap/mime/header';
import { type Summarized, Summarizer } from '#imap/mime/summary';
import type { Authentication } from '#store/model';
import { type Believed, readAuthentication } from './authentication.ts';
import { type Block, blockIn, type FilterSetting, fieldText } from './block.ts';
import { HeaderEnd } from './header-end.ts';
import { findOriginal, findReport, original, type Report, reportLimit } from './report-safe.ts';

/** Named steps, for tests that end the process at them (test/support/kill-at.mjs) and for whoever traces. */
const headerRead = channel('lazaret:intake.header');

/** As much of a header as is read for its meaning; a longer one is stored whole all the same (INTEGRATIONS §8.2 row 17). */
const headerLimit = 1024 * 1024;
/** Signed headers that are looked at: one is ours, a forger's hundred cost nothing. */
const maxReleaseHeaders = 4;

export interface Arrived {
  readonly block: Block | undefined;
  /** What the other filters wrote that this listener is told to believe; it stays in the message. */
  readonly also: readonly Block[];
  /** What our own servers found. */
  readonly authentication: Authentication | undefined;
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

export interface Reading {
  /** Further filters whose fields are read. */
  readonly also?: readonly NamedFilter[] | undefined;
  readonly believed?: Believed | undefined;
}

/** The header is on its way; what came of it is here. */
interface Head {
  readonly octets: Uint8Array;
  readonly bodyAt: number | undefined;
}

export class Arrival {
  readonly #filter: FilterSetting | 'none';
  readonly #reading: Reading;
  readonly #summarizer = new Summarizer();
  readonly #body = createHash('sha256');
  readonly #headerEnd = new HeaderEnd();
  #repeat: Hash | undefined;
  /** Octets that the repeat hash has yet to pass over. */
  #repeatSkip = 0;
  #block: Block | undefined;
  #also: readonly Block[] = [];
  #authentication: Authentication | undefined;
  #filterBlock: Uint8Array = new Uint8Array(0);
  #facts = { hasTrace: false, receivedCount: 0, releaseHeaders: [] as string[] };
  /** The message that was taken out of a report. */
  #inner: Arrival | undefined;

  /** 'none': no filter wrote into this header. */
  constructor(filter: FilterSetting | 'none', reading: Reading = {}) {
    this.#filter = filter;
    this.#reading = reading;
  }

  /** The octets to keep. To be read to its end, once, before `end`. */
  async *octets(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      const head = await readHead(iterator);
      const report = this.#filter === 'none' ? undefined : reportIn(head, this.#filter);
      if (report) yield* this.#unwrap(report, head, iterator);
      else {
        yield* this.#open(head);
        for await (const chunk of rest(iterator)) yield this.#pass(chunk);
      }
    } finally {
      await iterator.return?.();
    }
  }

  end(): Arrived {
    if (this.#inner) return { ...this.#inner.end(), block: this.#block, filterBlock: this.#filterBlock };
    return {
      block: this.#block,
      also: this.#also,
      authentication: this.#authentication,
      filterBlock: this.#filterBlock,
      summary: this.#summarizer.end(),
      bodySha256: this.#body.digest('hex'),
      repeatSha256: this.#repeat?.digest('hex'),
      ...this.#facts,
    };
  }

  /** Looks for the original in as much of the body as is needed; without one this is a message like any other. */
  async *#unwrap(report: Report, head: Head, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    const bodyAt = head.bodyAt as number;
    let octets = head.octets;
    let found = findOriginal(latin1(octets, bodyAt), report.boundary);
    for (let seen = 0; found === 'more' && octets.length - bodyAt < reportLimit; ) {
      const { done, value } = await iterator.next();
      if (done) break;
      octets = Buffer.concat([octets, value]);
      // Looked through again only when it has doubled: never more than twice the work.
      if (octets.length - bodyAt < 2 * seen) continue;
      seen = octets.length - bodyAt;
      found = findOriginal(latin1(octets, bodyAt), report.boundary);
    }
    if (found === 'more') found = findOriginal(latin1(octets, bodyAt), report.boundary);
    if (found === 'more' || found === undefined) {
      yield* this.#open({ octets, bodyAt });
      for await (const chunk of rest(iterator)) yield this.#pass(chunk);
      return;
    }
    const start = bodyAt + found.start;
    this.#block = { ...report.block, report: found.report };
    this.#filterBlock = Uint8Array.from(octets.subarray(0, start));
    this.#inner = new Arrival('none', this.#reading);
    yield* this.#inner.octets(original(before(octets.subarray(start), iterator), report.boundary));
  }

  /** The header is here, and perhaps a part of the body. */
  *#open({ octets: head, bodyAt }: Head): Generator<Uint8Array, void> {
    const header = head.subarray(0, Math.min(bodyAt ?? head.length, headerLimit));
    const text = latin1(header);
    const block = this.#filter === 'none' ? undefined : blockIn(text, this.#filter, this.#reading.believed?.isOurs);
    const { start, end } = block ?? { start: 0, end: 0 };
    this.#block = block;
    this.#filterBlock = Uint8Array.from(head.subarray(start, end));
    this.#look(text, block);
    headerRead.publish(block);
    if (start > 0) yield this.#pass(head.subarray(0, start));
    if (end < head.length) yield this.#pass(head.subarray(end));
  }

  /** Everything that is known from the fields of the header. */
  #look(text: string, block: Block | undefined): void {
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
    const kept = start === end ? text : text.slice(0, start) + text.slice(end);
    const { also = [], believed } = this.#reading;
    this.#also = also.flatMap((filter) => blockIn(kept, filter, believed?.isOurs) ?? []);
    // What Rspamd hands over by itself it has seen before the server wrote anything above it: those lines are the sender's.
    if (believed && block?.filter !== 'rspamd') this.#authentication = readAuthentication(kept, 0, believed);
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

/** All of the header, or as much as is read of one, and what came with it. */
async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Head> {
  const end = new HeaderEnd();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let bodyAt: number | undefined;
  while (bodyAt === undefined && length < headerLimit) {
    const { done, value } = await iterator.next();
    if (done) break;
    const at = end.push(value);
    if (at !== undefined) bodyAt = length + at;
    chunks.push(value);
    length += value.length;
  }
  return { octets: chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks), bodyAt };
}

/** By its header this is a report of SpamAssassin, with a message in it. */
function reportIn({ octets, bodyAt }: Head, filter: FilterSetting): Report | undefined {
  if (bodyAt === undefined || bodyAt > headerLimit) return undefined;
  // Of most mail no more than this is looked at.
  if (filter === 'auto' && !latin1(octets, 0, Math.min(bodyAt, 600)).includes('with SpamAssassin (version'))
    return undefined;
  return findReport(latin1(octets, 0, bodyAt), filter);
}

async function* rest(iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const { done, value } = await iterator.next();
    if (done) return;
    yield value;
  }
}

async function* before(first: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  yield first;
  yield* rest(iterator);
}

/** The `id` clause of a Received value (RFC 5321 §4.4). */
function idOf(received: string): string | undefined {
  return /\sid\s+([^\s;]{1,64})/.exec(received)?.[1];
}
