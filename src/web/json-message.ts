/**
 * JSON with a whole message in it, `{"from": …, "message": "<base64>"}`, read as it comes: the text of the member `message`
 * of the outermost object is decoded and handed on in pieces, everything else is gathered, which is little, and parsed at
 * the end. So a message of 60 MB is never in memory, and JSON.parse never holds up everybody else.
 *
 * What stands between the pieces is checked by JSON.parse, with an empty text in the place of the message.
 */
import { BadRequest } from './bad-request.ts';

const maxRestOctets = 1024 * 1024;
const maxKeyOctets = 1024;

const [quote, backslash, colon, comma, open, close, openList, closeList] = Buffer.from('"\\:,{}[]');

export class JsonMessage {
  #rest: Buffer[] = [];
  #restOctets = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** At depth 1: what comes next is a key, or the value of one. */
  #expects: 'key' | 'value' = 'key';
  /** The key that is being read, or the one whose value comes next. */
  #key: number[] | undefined;
  #isMessage = false;
  #found = false;

  /** The message. @throws BadRequest  it is no JSON, no base64, or too much besides */
  async *octets(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    let base64: Base64Text | undefined;
    for await (const chunk of source) {
      const octets = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = 0; at < octets.length; ) {
        if (base64) {
          const { decoded, next, ended } = base64.push(octets, at);
          if (decoded.length > 0) yield decoded;
          at = next;
          if (ended) {
            base64 = undefined;
            this.#keep(Buffer.from('"'));
          }
        } else {
          const from = at;
          at = this.#pass(octets, at);
          this.#keep(octets.subarray(from, at));
          if (this.#found && this.#isMessage) {
            this.#isMessage = false;
            base64 = new Base64Text();
          }
        }
      }
    }
    if (base64) throw new BadRequest('the JSON ends in the middle of its message');
    if (!this.#found) throw new BadRequest('there is no message in the JSON: expected "message", a text in base64');
  }

  /** What else it says. To be asked for when `octets` has ended. @throws BadRequest */
  rest(): unknown {
    const text = Buffer.concat(this.#rest).toString('utf8');
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'message'))
        Reflect.deleteProperty(value, 'message');
      return value;
    } catch {
      throw new BadRequest('this is not JSON');
    }
  }

  #keep(octets: Buffer): void {
    this.#restOctets += octets.length;
    if (this.#restOctets > maxRestOctets) throw new BadRequest('the JSON says too much besides the message', 413);
    this.#rest.push(Buffer.from(octets));
  }

  /** Looks at octets from `at` on; answers where it stopped: behind the quote that opens the message, or at the end. */
  #pass(octets: Buffer, start: number): number {
    for (let at = start; at < octets.length; at++) {
      const octet = octets[at] as number;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (octet === backslash) this.#escaped = true;
        else if (octet === quote) {
          this.#inString = false;
          continue;
        }
        if (this.#depth === 1 && this.#expects === 'key' && this.#key && this.#key.length < maxKeyOctets)
          this.#key.push(octet);
      } else if (octet === quote) {
        if (this.#depth === 1 && this.#expects === 'value' && this.#isKeyMessage()) {
          if (this.#found) throw new BadRequest('the JSON has two messages');
          this.#found = true;
          this.#isMessage = true;
          return at + 1;
        }
        this.#inString = true;
        if (this.#depth === 1 && this.#expects === 'key') this.#key = [];
      } else if (octet === open || octet === openList) this.#depth++;
      else if (octet === close || octet === closeList) this.#depth--;
      else if (this.#depth === 1 && octet === colon) this.#expects = 'value';
      else if (this.#depth === 1 && octet === comma) {
        this.#expects = 'key';
        this.#key = undefined;
      }
    }
    return octets.length;
  }

  #isKeyMessage(): boolean {
    if (!this.#key) return false;
    try {
      // A key may be written with escapes.
      return JSON.parse(`"${Buffer.from(this.#key).toString('utf8')}"`) === 'message';
    } catch {
      return false;
    }
  }
}

/** The inside of a JSON text that is base64 (RFC 4648, either alphabet), up to its closing quote, in pieces. */
class Base64Text {
  /** Digits that are not yet a group of four. */
  #digits = '';
  #padding = 0;
  /** The beginning of an escape, `\` or `\u00…`, that goes on in the next piece. */
  #escape = '';

  push(octets: Buffer, start: number): { decoded: Buffer; next: number; ended: boolean } {
    const text: string[] = [];
    let at = start;
    let ended = false;
    while (at < octets.length && !ended) {
      if (this.#escape !== '') {
        this.#escape += String.fromCharCode(octets[at++] as number);
        const char = escaped(this.#escape);
        if (char === undefined) continue;
        text.push(char);
        this.#escape = '';
        continue;
      }
      const end = octets.indexOf(quote as number, at);
      const piece = octets.toString('latin1', at, end < 0 ? octets.length : end);
      const slash = piece.indexOf('\\');
      if (slash >= 0) {
        text.push(piece.slice(0, slash));
        this.#escape = '\\';
        at += slash + 1;
      } else {
        text.push(piece);
        ended = end >= 0;
        at = ended ? end + 1 : octets.length;
      }
    }
    return { decoded: this.#decode(text.join(''), ended), next: at, ended };
  }

  #decode(text: string, ended: boolean): Buffer {
    const bare = text.replace(/\s+/g, '');
    const [, digits = '', padding = ''] = /^([A-Za-z0-9+/_-]*)(=*)$/.exec(bare) ?? [];
    const isWrong = digits.length + padding.length !== bare.length || (this.#padding > 0 && digits !== '');
    this.#padding += padding.length;
    const all = this.#digits + digits;
    const whole = ended ? all.length : all.length - (all.length % 4);
    this.#digits = all.slice(whole);
    const isCut = ended && (all.length % 4 === 1 || (this.#padding > 0 && (all.length + this.#padding) % 4 !== 0));
    if (isWrong || isCut || this.#padding > 2) throw new BadRequest('the message in the JSON is not base64');
    return Buffer.from(all.slice(0, whole), 'base64');
  }
}

/** Undefined while it goes on. @throws BadRequest  nothing that base64 may hold */
function escaped(text: string): string | undefined {
  if (text === '\\u' || /^\\u[0-9a-fA-F]{1,3}$/.test(text)) return undefined;
  const char = { '\\/': '/', '\\n': '\n', '\\r': '\r', '\\t': '\t' }[text];
  if (char !== undefined) return char;
  if (/^\\u00[0-7][0-9a-fA-F]$/.test(text)) return String.fromCharCode(Number.parseInt(text.slice(2), 16));
  throw new BadRequest('the message in the JSON is not base64');
}
