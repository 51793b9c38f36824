/**
 * Names in a RAR archive, from the headers that stand before each file: version 4 (in use since 1.5) and version 5. What is
 * packed is passed over. At most one header is kept; linear; every sequence of octets gives some answer.
 *
 * https://www.rarlab.com/technote.htm has version 5, technote.txt of RAR 2.9 to 4.x version 4, all but its packed names.
 * A header whose checksum is wrong is read all the same: programs that unpack do so, too, and a name must not hide this way.
 */
import { crc32 } from 'node:zlib';
import { allEncrypted, cleanName, damaged, encrypted, type Listing, Names, nameOf, withSlash } from './listing.ts';

/** The fixed beginning of a header in version 4; in version 5 the checksum and the longest length there may be. */
const startOctets = 7;

export class RarReader {
  readonly #version: 4 | 5;
  readonly #names = new Names();
  readonly #start = Buffer.alloc(startOctets);
  #header = this.#start;
  #filled = 0;
  /** Octets that are passed over. */
  #skip: number;
  #isOver = false;
  #isDamaged = false;
  #isEncrypted = false;
  #areNamesEncrypted = false;
  #isVolume = false;

  constructor(version: 4 | 5) {
    this.#version = version;
    this.#skip = version === 5 ? 8 : 7; // the signature
  }

  push(octets: Uint8Array): void {
    let at = 0;
    while (at < octets.length && !this.#isOver) {
      const isSkipped = this.#skip > 0;
      const some = Math.min(isSkipped ? this.#skip : this.#header.length - this.#filled, octets.length - at);
      if (isSkipped) this.#skip -= some;
      else {
        this.#header.set(octets.subarray(at, at + some), this.#filled);
        this.#filled += some;
        if (this.#filled === this.#header.length && !this.#take()) {
          this.#isOver = true;
          this.#isDamaged = true;
        }
      }
      at += some;
    }
  }

  end(): Listing {
    // RAR 2 ended with the last file.
    const isCut = !this.#isOver && (this.#version === 5 || this.#filled > 0 || this.#skip > 0);
    const notes: string[] = [];
    if (this.#areNamesEncrypted) notes.push(allEncrypted);
    else if (this.#isEncrypted) notes.push(encrypted);
    notes.push(...this.#names.more());
    if (this.#isVolume) notes.push('one of several volumes');
    if (this.#isDamaged || isCut) notes.push(damaged);
    return { names: this.#names.kept, notes };
  }

  /** The beginning of a header is there, or all of it. Answers whether it says where the next one is. */
  #take(): boolean {
    const header = this.#header;
    const length = this.#version === 5 ? lengthOf5(header) : header.readUInt16LE(5);
    if (length === undefined || length < startOctets) return false;
    if (length > header.length) {
      this.#header = Buffer.alloc(length);
      this.#header.set(header);
      return true;
    }
    this.#header = this.#start;
    this.#filled = 0;
    return this.#version === 5 ? this.#take5(new Fields(header)) : this.#take4(header);
  }

  #stopAtEncrypted(): void {
    this.#areNamesEncrypted = true;
    this.#isOver = true;
  }

  // --------------------------------------------------------------------------------------------------------- version 4

  #take4(header: Buffer): boolean {
    const type = header[2] as number;
    const flags = header.readUInt16LE(3);
    if (type < 0x72 || type > 0x7b) return false;
    if (type === 0x7b) this.#isOver = true;
    else if (type === 0x74 || type === 0x7a) {
      if (header.length < 32) return false;
      const isLarge = (flags & 0x100) !== 0 && header.length >= 40;
      this.#skip = header.readUInt32LE(7) + (isLarge ? header.readUInt32LE(32) * 2 ** 32 : 0);
      if (type === 0x74) this.#takeFile4(header, flags, isLarge ? 40 : 32);
    } else {
      if (flags & 0x8000) {
        if (header.length < 11) return false;
        this.#skip = header.readUInt32LE(7);
      }
      if (type === 0x73) this.#takeMain4(header, flags);
    }
    return true;
  }

  #takeMain4(header: Buffer, flags: number): void {
    if (!(flags & 0x02)) this.#check4(header);
    if (flags & 0x01) this.#isVolume = true;
    if (flags & 0x80) this.#stopAtEncrypted();
  }

  #takeFile4(header: Buffer, flags: number, nameAt: number): void {
    const nameLength = header.readUInt16LE(26);
    if (nameAt + nameLength > header.length) this.#isDamaged = true;
    if (!(flags & 0x08)) this.#check4(header);
    if (flags & 0x04) this.#isEncrypted = true;
    // Until RAR 2.0 a directory was known by the attribute of DOS only.
    const isDirectory = (flags & 0xe0) === 0xe0 || ((header[24] as number) < 20 && (header[28] as number) & 0x10);
    this.#names.add(() => {
      const octets = header.subarray(nameAt, nameAt + nameLength);
      const name = (flags & 0x200 ? unpackName(octets) : nameOf(octets)).replaceAll('\\', '/');
      return isDirectory ? withSlash(name) : name;
    });
  }

  /** Not asked where an old comment stands in the header, which the sum leaves out. */
  #check4(header: Buffer): void {
    if ((crc32(header.subarray(2)) & 0xffff) !== header.readUInt16LE(0)) this.#isDamaged = true;
  }

  // --------------------------------------------------------------------------------------------------------- version 5

  #take5(header: Fields): boolean {
    if (crc32(header.octets.subarray(4)) !== header.octets.readUInt32LE(0)) this.#isDamaged = true;
    header.at = 4;
    header.number(); // its length
    const type = header.number();
    const flags = header.number();
    const extra = flags & 1 ? header.number() : 0;
    this.#skip = flags & 2 ? header.number() : 0;
    if (type === 1) this.#isVolume ||= (header.number() & 1) !== 0;
    else if (type === 2) this.#takeFile5(header, extra);
    else if (type === 4) this.#stopAtEncrypted();
    else if (type === 5) this.#isOver = true;
    return !header.isShort;
  }

  #takeFile5(header: Fields, extra: number): void {
    const flags = header.number();
    header.number(); // size
    header.number(); // attributes
    header.at += (flags & 2 ? 4 : 0) + (flags & 4 ? 4 : 0); // time, checksum
    header.number(); // method
    header.number(); // system
    const nameLength = header.number();
    if (header.isShort) return;
    const name = header.octets.subarray(header.at, header.at + nameLength);
    this.#names.add(() => (flags & 1 ? withSlash(nameOf(name)) : nameOf(name)));
    header.at += nameLength;
    const end = header.octets.length;
    // Records of any kind stand at the end; one of kind 1 is there if the file is encrypted.
    for (let next = Math.max(header.at, end - extra); next < end && !header.isShort; ) {
      header.at = next;
      const length = header.number();
      next = header.at + length;
      if (header.number() === 1) this.#isEncrypted = true;
    }
  }
}

/** Octets of the whole header, by its beginning; undefined where it is longer than may be. */
function lengthOf5(start: Buffer): number | undefined {
  const fields = new Fields(start.subarray(0, startOctets));
  fields.at = 4;
  const length = fields.number();
  return fields.isShort ? undefined : fields.at + length;
}

/** Numbers of version 5: seven bits an octet, the lowest first. */
class Fields {
  readonly octets: Buffer;
  at = 0;

  constructor(octets: Buffer) {
    this.octets = octets;
  }

  /** More was read than there is. */
  get isShort(): boolean {
    return this.at > this.octets.length;
  }

  /** Beyond the end 0. */
  number(): number {
    let value = 0;
    for (let digit = 1; digit < 2 ** 70; digit *= 128) {
      const octet = this.octets[this.at] ?? 0;
      this.at += 1;
      value += (octet & 0x7f) * digit;
      if (octet < 0x80) break;
    }
    return value;
  }
}

/**
 * The name in octets, a zero, and how UTF-16 is made of it: two bits each say whether one octet is given, one octet in the
 * page of most of them, two octets, or a run that is like the name in octets. Without a zero it is UTF-8.
 */
function unpackName(octets: Buffer): string {
  const zero = octets.indexOf(0);
  if (zero < 0) return nameOf(octets);
  const plain = octets.subarray(0, zero);
  const packed = octets.subarray(zero + 1);
  let at = 0;
  const next = (): number => packed[at++] ?? 0;
  const page = next() << 8;
  let text = '';
  let length = 0;
  const put = (unit: number): void => {
    text += String.fromCharCode(unit);
    length += 1;
  };
  for (let kinds = 0, left = 0; at < packed.length; left -= 2) {
    if (left === 0) {
      kinds = next();
      left = 8;
      if (at >= packed.length) break;
    }
    const kind = (kinds >> (left - 2)) & 3;
    if (kind === 0) put(next());
    else if (kind === 1) put(page | next());
    else if (kind === 2) put(next() | (next() << 8));
    else {
      const run = next();
      const shift = run & 0x80 ? next() : 0;
      const high = run & 0x80 ? page : 0;
      for (let n = (run & 0x7f) + 2; n > 0 && length < plain.length; n -= 1)
        put((((plain[length] as number) + shift) & 0xff) | high);
    }
  }
  return text === '' ? nameOf(plain) : cleanName(text);
}
