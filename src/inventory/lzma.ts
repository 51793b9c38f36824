/**
 * Unpacks LZMA and LZMA2, whole and in memory: for directories of 7-Zip archives, which are small. The caller says how many
 * octets come of it, and has to bound that; nothing beyond them is kept, or worked for. Every sequence of octets gives an answer.
 *
 * After lzma-specification.txt of the LZMA SDK, whose names for the models are kept. The packages there are take the size of
 * their buffers from the input, go on behind its end, and know no LZMA2.
 */

/** `properties`: the five octets beside each stream. undefined: damaged. */
export function unpackLzma(packed: Uint8Array, properties: Uint8Array, size: number): Uint8Array | undefined {
  const decoder = new Decoder(size);
  const isWhole =
    properties.length >= 5 &&
    decoder.configure(properties[0] as number) &&
    decoder.open(packed) &&
    decoder.decode(size);
  return isWhole ? decoder.out : undefined;
}

/** Pieces, each with a head: https://github.com/tukaani-project/xz, lzma2_decoder.c. undefined: damaged. */
export function unpackLzma2(packed: Uint8Array, size: number): Uint8Array | undefined {
  const decoder = new Decoder(size);
  /** The next piece has to say how it is packed. */
  let isNew = true;
  for (let at = 0; decoder.written < size; ) {
    const control = packed[at] ?? 0;
    const length = wordAt(packed, at + 1) + 1;
    if (control < 0x80) {
      // Octets as they are.
      if (control !== 1 && control !== 2) return undefined;
      if (control === 1) {
        isNew = true;
        decoder.forget();
      }
      if (!decoder.copy(packed.subarray(at + 3, at + 3 + length), length)) return undefined;
      at += 3 + length;
      continue;
    }
    if (control >= 0xe0) decoder.forget();
    const until = decoder.written + (control & 0x1f) * 0x10000 + length;
    const from = at + (control >= 0xc0 ? 6 : 5);
    if (control >= 0xc0) {
      if (!decoder.configure(packed[at + 5] ?? 0xff)) return undefined;
      isNew = false;
    } else if (control >= 0xa0) decoder.reset();
    if (isNew) return undefined;
    at = from + wordAt(packed, at + 3) + 1;
    if (!decoder.open(packed.subarray(from, at)) || !decoder.decode(until)) return undefined;
  }
  return decoder.out;
}

const wordAt = (octets: Uint8Array, at: number): number => ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);

const states = 12;
const posStates = 16;
const lenModels = 2 + 2 * posStates * 8 + 256;
/** Where each model's probabilities begin. */
const isMatch = 0;
const isRep = isMatch + states * posStates;
const isRepG0 = isRep + states;
const isRepG1 = isRepG0 + states;
const isRepG2 = isRepG1 + states;
const isRep0Long = isRepG2 + states;
const posSlot = isRep0Long + states * posStates;
const posSpecial = posSlot + 4 * 64;
const posAlign = posSpecial + 115;
const matchLen = posAlign + 16;
const repLen = matchLen + lenModels;
const literal = repLen + lenModels;
const literalModels = 0x300;

class Decoder {
  /** Also the window that matches are copied from. */
  readonly out: Uint8Array;
  written = 0;
  /** Matches do not reach back before it, and positions count from it. */
  #base = 0;
  #models = new Uint16Array();
  #lc = 0;
  #lpMask = 0;
  #pbMask = 0;
  #state = 0;
  /** The last four distances, less 1. */
  #reps = [0, 0, 0, 0] as [number, number, number, number];
  #packed: Uint8Array = new Uint8Array();
  #at = 0;
  #range = 0;
  #code = 0;

  constructor(size: number) {
    this.out = new Uint8Array(size);
  }

  /** Begins anew with this kind of models. */
  configure(properties: number): boolean {
    if (properties >= 9 * 5 * 5) return false;
    const lp = Math.floor(properties / 9) % 5;
    this.#lc = properties % 9;
    this.#lpMask = (1 << lp) - 1;
    this.#pbMask = (1 << Math.floor(properties / 45)) - 1;
    const models = literal + (literalModels << (this.#lc + lp));
    if (this.#models.length !== models) this.#models = new Uint16Array(models);
    this.reset();
    return true;
  }

  reset(): void {
    this.#models.fill(1024);
    this.#state = 0;
    this.#reps = [0, 0, 0, 0];
  }

  forget(): void {
    this.#base = this.written;
  }

  copy(octets: Uint8Array, length: number): boolean {
    if (octets.length < length || length > this.out.length - this.written) return false;
    this.out.set(octets, this.written);
    this.written += length;
    return true;
  }

  /** What is to be decoded next. */
  open(packed: Uint8Array): boolean {
    if (packed.length < 5 || packed[0] !== 0) return false;
    this.#packed = packed;
    this.#range = 0xffffffff;
    this.#code = wordAt(packed, 1) * 0x10000 + wordAt(packed, 3);
    this.#at = 5;
    return true;
  }

  /** Until so many octets are written. */
  decode(until: number): boolean {
    const { out } = this;
    if (until > out.length) return false;
    while (this.written < until && this.#at <= this.#packed.length) {
      const position = this.written - this.#base;
      const posState = position & this.#pbMask;
      const state = this.#state;
      if (this.#bit(isMatch + state * posStates + posState) === 0) {
        out[this.written] = this.#literal(position);
        this.written += 1;
        this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }
      const afterLiteral = state < 7;
      let length = 1;
      if (this.#bit(isRep + state) === 0) {
        length = this.#length(matchLen, posState);
        this.#reps = [this.#distance(length), this.#reps[0], this.#reps[1], this.#reps[2]];
        this.#state = afterLiteral ? 7 : 10;
      } else if (this.#repeatsOne(posState)) {
        this.#state = afterLiteral ? 9 : 11;
      } else {
        length = this.#length(repLen, posState);
        this.#state = afterLiteral ? 8 : 11;
      }
      const distance = this.#reps[0] + 1; // past any position at the mark that ends a stream
      if (distance > position || length > until - this.written) return false;
      for (const end = this.written + length; this.written < end; this.written += 1)
        out[this.written] = out[this.written - distance] as number;
    }
    return this.#at <= this.#packed.length;
  }

  /** Moves the distance that is used again to the front; answers whether it is for a single octet. */
  #repeatsOne(posState: number): boolean {
    const state = this.#state;
    const [first, second, third, fourth] = this.#reps;
    if (this.#bit(isRepG0 + state) === 0) return this.#bit(isRep0Long + state * posStates + posState) === 0;
    if (this.#bit(isRepG1 + state) === 0) this.#reps = [second, first, third, fourth];
    else if (this.#bit(isRepG2 + state) === 0) this.#reps = [third, first, second, fourth];
    else this.#reps = [fourth, first, second, third];
    return false;
  }

  #literal(position: number): number {
    const before = position > 0 ? (this.out[this.written - 1] as number) : 0;
    const context = ((position & this.#lpMask) << this.#lc) + (before >> (8 - this.#lc));
    const at = literal + literalModels * context;
    let symbol = 1;
    if (this.#state >= 7) {
      let match = this.out[this.written - this.#reps[0] - 1] as number;
      while (symbol < 0x100) {
        const expected = (match >> 7) & 1;
        match <<= 1;
        const bit = this.#bit(at + ((1 + expected) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (bit !== expected) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(at + symbol);
    return symbol;
  }

  #length(at: number, posState: number): number {
    if (this.#bit(at) === 0) return 2 + this.#tree(at + 2 + posState * 8, 3);
    if (this.#bit(at + 1) === 0) return 10 + this.#tree(at + 2 + posStates * 8 + posState * 8, 3);
    return 18 + this.#tree(at + 2 + 2 * posStates * 8, 8);
  }

  #distance(length: number): number {
    const slot = this.#tree(posSlot + Math.min(length - 2, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const high = (2 + (slot & 1)) * 2 ** bits;
    if (slot < 14) return high + this.#reverseTree(posSpecial + high - slot, bits);
    return high + this.#direct(bits - 4) * 16 + this.#reverseTree(posAlign, 4);
  }

  #tree(at: number, bits: number): number {
    let symbol = 1;
    for (let n = 0; n < bits; n += 1) symbol = (symbol << 1) | this.#bit(at + symbol);
    return symbol - (1 << bits);
  }

  #reverseTree(at: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let n = 0; n < bits; n += 1) {
      const bit = this.#bit(at + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << n;
    }
    return value;
  }

  #bit(at: number): number {
    const probability = this.#models[at] as number;
    const bound = (this.#range >>> 11) * probability;
    const isOne = this.#code >= bound;
    if (isOne) {
      this.#range -= bound;
      this.#code -= bound;
      this.#models[at] = probability - (probability >> 5);
    } else {
      this.#range = bound;
      this.#models[at] = probability + ((2048 - probability) >> 5);
    }
    this.#normalize();
    return isOne ? 1 : 0;
  }

  /** Bits that are as likely 0 as 1. */
  #direct(bits: number): number {
    let value = 0;
    for (let n = 0; n < bits; n += 1) {
      this.#range >>>= 1;
      const isOne = this.#code >= this.#range;
      if (isOne) this.#code -= this.#range;
      value = value * 2 + (isOne ? 1 : 0);
      this.#normalize();
    }
    return value;
  }

  /** Behind the end zeros are read; decode() sees it. */
  #normalize(): void {
    if (this.#range >= 0x1000000) return;
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | (this.#packed[this.#at] ?? 0)) >>> 0;
    this.#at += 1;
  }
}
