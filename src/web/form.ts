/**
 * multipart/form-data (RFC 7578), read as it comes: one part after the other, none of them whole in memory. A form that
 * ends without its last boundary was cut, and is no form.
 */
import { BadRequest } from './bad-request.ts';

export interface Part {
  readonly name: string;
  /** In lower case, without parameters; '' where there is none. */
  readonly type: string;
  /** To be read before the next part is asked for; what is not read is passed over. */
  readonly body: AsyncIterable<Uint8Array>;
}

const maxHeaderOctets = 16 * 1024;
/** RFC 2046 §5.1.1. */
const boundaryForm = /^[\w'()+,\-./:=? ]{1,70}$/;

/** Undefined: the type of content names no usable boundary. */
export function boundaryOf(contentType: string): string | undefined {
  const [, quoted, token] = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;"]+))/i.exec(contentType.slice(0, 1000)) ?? [];
  const boundary = quoted ?? token ?? '';
  return boundaryForm.test(boundary) && !boundary.endsWith(' ') ? boundary : undefined;
}

/** @throws BadRequest  no form, or one that was cut */
export async function* partsOf(source: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Part, void> {
  const input = new Input(source);
  try {
    yield* partsIn(input, boundary);
  } finally {
    await input.leave();
  }
}

async function* partsIn(input: Input, boundary: string): AsyncGenerator<Part, void> {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  // The first one has no line before it.
  input.unread(Buffer.from('\r\n'));
  await skip(input.until(delimiter));
  while (!(await isLast(input))) {
    const header = await input.line(Buffer.from('\r\n\r\n'), maxHeaderOctets);
    const body = input.until(delimiter);
    yield { ...described(header), body };
    await skip(body);
  }
  // Nothing that follows is part of the form, but it is part of the request.
  await input.drain();
}

async function skip(octets: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of octets);
}

/** Behind a delimiter: `--` for the end, or the end of its line. The CRLF stays: an empty header is the end of it. */
async function isLast(input: Input): Promise<boolean> {
  const two = await input.take(2);
  if (two === '--') return true;
  let next = two;
  for (let blanks = 0; next !== '\r\n'; blanks++) {
    // RFC 2046 §5.1.1 allows blanks there.
    if (!/^[ \t][ \t\r]$/.test(next) || blanks > 100)
      throw new BadRequest('a boundary of the form is followed by something else');
    next = next[1] + (await input.take(1));
  }
  input.unread(Buffer.from('\r\n'));
  return false;
}

function described(header: string): { readonly name: string; readonly type: string } {
  const fields = new Map<string, string>();
  for (const line of header.replace(/\r\n[ \t]+/g, ' ').split('\r\n')) {
    if (line === '') continue;
    const colon = line.indexOf(':');
    if (colon < 1) throw new BadRequest('a part of the form has a broken header');
    fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const disposition = fields.get('content-disposition') ?? '';
  const [, quoted, token] = /;\s*name\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i.exec(disposition) ?? [];
  const name = quoted ?? token;
  if (!/^form-data\s*;/i.test(disposition) || name === undefined)
    throw new BadRequest('a part of the form has no name (Content-Disposition: form-data; name="message")');
  const coding = fields.get('content-transfer-encoding')?.toLowerCase() ?? 'binary';
  // RFC 7578 §4.7: not to be used.
  if (!['7bit', '8bit', 'binary'].includes(coding)) throw new BadRequest('parts of the form must not be encoded', 415);
  const [type = ''] = (fields.get('content-type') ?? '').split(';');
  return { name: name.replace(/\\(.)/gs, '$1'), type: type.trim().toLowerCase() };
}

const cut = () => new BadRequest('the form ends in the middle');

/** Octets that come in pieces, of which some are held back until one knows what they are. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  unread(octets: Buffer): void {
    this.#held = Buffer.concat([octets, this.#held]);
  }

  /** Nothing more will be read; the source may be somebody else's from now on. */
  async leave(): Promise<void> {
    await this.#source.return?.();
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#source.next();
    if (done) return false;
    const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return true;
  }

  /** All up to a mark, which is taken as well. Each octet is looked at once and moved at most twice. */
  async *until(mark: Buffer): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const at = this.#held.indexOf(mark);
      if (at >= 0) {
        const octets = this.#held.subarray(0, at);
        this.#held = this.#held.subarray(at + mark.length);
        if (octets.length > 0) yield octets;
        return;
      }
      const sure = this.#held.length - (mark.length - 1);
      if (sure > 0) {
        const octets = this.#held.subarray(0, sure);
        this.#held = this.#held.subarray(sure);
        yield octets;
      }
      if (!(await this.#more())) throw cut();
    }
  }

  /** The same for something short, as text. */
  async line(mark: Buffer, max: number): Promise<string> {
    let at = this.#held.indexOf(mark);
    for (let from = 0; at < 0; at = this.#held.indexOf(mark, from)) {
      if (this.#held.length > max) throw new BadRequest('the header of a part of the form is too long');
      from = Math.max(0, this.#held.length - mark.length);
      if (!(await this.#more())) throw cut();
    }
    if (at > max) throw new BadRequest('the header of a part of the form is too long');
    const text = this.#held.toString('utf8', 0, at);
    this.#held = this.#held.subarray(at + mark.length);
    return text;
  }

  async take(count: number): Promise<string> {
    while (this.#held.length < count) if (!(await this.#more())) throw cut();
    const text = this.#held.toString('latin1', 0, count);
    this.#held = this.#held.subarray(count);
    return text;
  }

  /** Reads on to the end, and forgets it. */
  async drain(): Promise<void> {
    this.#held = Buffer.alloc(0);
    while (await this.#more()) this.#held = Buffer.alloc(0);
  }
}
