/**
 * Octets in a named character set -> text. Knows what the runtime's ICU knows (WHATWG encodings) and UTF-7, which spam
 * still uses. An unknown name is read as Latin-1: something to search in is better than nothing.
 */
import { TextDecoder } from 'node:util';

/** Decodes a stream; `end` flushes. */
export interface CharsetDecoder {
  decode(bytes: Uint8Array): string;
  end(): string;
}

const MAX_LABEL = 64;
const known = new Map<string, TextDecoder | undefined>();

function shared(label: string): TextDecoder | undefined {
  const key = label.toLowerCase();
  if (key.length > MAX_LABEL) return undefined;
  if (known.has(key)) return known.get(key);
  const made = open(key);
  if (known.size < 500) known.set(key, made); // names come from strangers: the table must not grow with them
  return made;
}

function open(label: string): TextDecoder | undefined {
  try {
    return new TextDecoder(ALIASES[label] ?? label, { ignoreBOM: false });
  } catch {
    return undefined; // no such encoding: RangeError is how TextDecoder says so
  }
}

/** Names that mail uses and WHATWG does not list. */
const ALIASES: Readonly<Record<string, string>> = {
  cp1250: 'windows-1250',
  cp932: 'shift_jis',
  cp936: 'gbk',
  cp949: 'euc-kr',
  cp950: 'big5',
  'x-gbk': 'gbk',
  ks_c_5601: 'euc-kr',
  'iso-8859-8-e': 'iso-8859-8',
  utf8mb4: 'utf-8',
};

function isUtf7(label: string): boolean {
  return /^(?:unicode-1-1-)?utf-?7$/i.test(label);
}

/** Whole octets as text. */
export function decodeCharset(bytes: Uint8Array, label: string): string {
  if (isUtf7(label)) return decodeUtf7(bytes);
  const decoder = shared(label);
  if (!decoder) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  return decoder.decode(bytes);
}

/** A decoder of its own for a stream: characters may be cut between two pieces. */
export function openCharset(label: string): CharsetDecoder {
  if (isUtf7(label)) return new Utf7Decoder();
  const key = label.toLowerCase();
  const decoder = shared(key) && open(key);
  if (decoder)
    return {
      decode: (bytes) => decoder.decode(bytes, { stream: true }),
      end: () => decoder.decode(),
    };
  return {
    decode: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'),
    end: () => '',
  };
}

function decodeUtf7(bytes: Uint8Array): string {
  const decoder = new Utf7Decoder();
  return decoder.decode(bytes) + decoder.end();
}

const BASE64 = new Int8Array(256).fill(-1);
for (let i = 0; i < 64; i++)
  BASE64['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charCodeAt(i)] = i;

/** RFC 2152. Tolerant: what is not base64 ends the shifted run. */
class Utf7Decoder implements CharsetDecoder {
  private shifted = false;
  private fresh = false;
  private bits = 0;
  private count = 0;

  decode(bytes: Uint8Array): string {
    const units: number[] = [];
    let text = '';
    for (const byte of bytes) {
      this.take(byte, units);
      if (units.length >= 4096) text += String.fromCharCode(...units.splice(0));
    }
    return text + String.fromCharCode(...units);
  }

  end(): string {
    return '';
  }

  private take(byte: number, units: number[]): void {
    if (!this.shifted) {
      if (byte === 0x2b) {
        this.shifted = true;
        this.fresh = true;
        this.bits = 0;
        this.count = 0;
      } else units.push(byte);
      return;
    }
    const value = BASE64[byte]!;
    if (value < 0) {
      if (byte === 0x2d && this.fresh)
        units.push(0x2b); // `+-` is a plus
      else if (byte !== 0x2d) units.push(byte);
      this.shifted = false;
      return;
    }
    this.fresh = false;
    this.bits = ((this.bits << 6) | value) & 0x3fffff;
    this.count += 6;
    if (this.count >= 16) {
      this.count -= 16;
      units.push((this.bits >>> this.count) & 0xffff);
    }
  }
}
