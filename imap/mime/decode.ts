/**
 * The text of a part: transfer encoding and character set undone, piece by piece, in bounded memory. Tolerant: octets that are
 * no base64 are passed over, a `=` that encodes nothing stays.
 */
import { type CharsetDecoder, openCharset } from './charset.ts';
import { hexValue } from './words.ts';

/** Undoes a Content-Transfer-Encoding. */
export interface TransferDecoder {
  decode(bytes: Uint8Array): Uint8Array;
  end(): Uint8Array;
}

const NOTHING = new Uint8Array(0);

const BASE64 = new Int8Array(256).fill(-1);
for (let i = 0; i < 64; i++)
  BASE64['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charCodeAt(i)] = i;

/** RFC 2045 §6.8. Padding ends a quantum, and more may follow: some senders encode in pieces. */
class Base64Decoder implements TransferDecoder {
  private bits = 0;
  private count = 0;

  decode(bytes: Uint8Array): Uint8Array {
    const out = new Uint8Array(((bytes.length * 3) >> 2) + 3);
    let length = 0;
    for (const byte of bytes) {
      const value = BASE64[byte]!;
      if (value < 0) {
        if (byte === 0x3d) this.count = 0;
        continue;
      }
      this.bits = ((this.bits << 6) | value) & 0xffffff;
      this.count += 6;
      if (this.count >= 8) {
        this.count -= 8;
        out[length++] = (this.bits >>> this.count) & 0xff;
      }
    }
    return out.subarray(0, length);
  }

  end(): Uint8Array {
    return NOTHING;
  }
}

/** Blanks between a `=` and the end of its line; with more it was no soft line break. */
const MAX_PADDING = 1000;

/** RFC 2045 §6.7. */
class QuotedPrintableDecoder implements TransferDecoder {
  /** A `=` and what followed it so far: one digit, or blanks. */
  private pending: number[] = [];

  decode(bytes: Uint8Array): Uint8Array {
    const out = new Uint8Array(bytes.length + this.pending.length);
    let length = 0;
    for (const byte of bytes) {
      const { pending } = this;
      if (pending.length === 0) {
        if (byte === 0x3d) pending.push(byte);
        else out[length++] = byte;
        continue;
      }
      const digit = pending.length === 2 ? hexValue(pending[1]!) : -1;
      if (digit >= 0 && hexValue(byte) >= 0) {
        out[length++] = digit * 16 + hexValue(byte);
        this.pending = [];
      } else if (digit < 0 && byte === 10) {
        this.pending = []; // a soft line break: `=`, perhaps blanks, the end of the line
      } else if (digit < 0 && (byte === 13 || byte === 32 || byte === 9) && pending.length < MAX_PADDING) {
        pending.push(byte);
      } else if (pending.length === 1 && hexValue(byte) >= 0) {
        pending.push(byte);
      } else {
        // What looked like an encoded octet is none.
        for (const kept of pending) out[length++] = kept;
        this.pending = [];
        if (byte === 0x3d) this.pending.push(byte);
        else out[length++] = byte;
      }
    }
    return out.subarray(0, length);
  }

  end(): Uint8Array {
    const rest = Uint8Array.from(this.pending);
    this.pending = [];
    return rest;
  }
}

const PLAIN: TransferDecoder = { decode: (bytes) => bytes, end: () => NOTHING };

/** `encoding` in lower case; octets in another one come out as they are. */
export function openTransfer(encoding: string): TransferDecoder {
  if (encoding === 'base64') return new Base64Decoder();
  if (encoding === 'quoted-printable') return new QuotedPrintableDecoder();
  return PLAIN;
}

/** A text part's octets in, its text out. */
export class TextDecoding {
  private readonly transfer: TransferDecoder;
  private readonly charset: CharsetDecoder;

  /** `encoding` in lower case. */
  constructor(encoding: string, charset: string) {
    this.transfer = openTransfer(encoding);
    this.charset = openCharset(charset);
  }

  decode(bytes: Uint8Array): string {
    return this.charset.decode(this.transfer.decode(bytes));
  }

  end(): string {
    return this.charset.decode(this.transfer.end()) + this.charset.end();
  }
}
