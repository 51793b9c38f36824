/**
 * What lies in an archive, by name, without unpacking any file: the directory of a zip or 7-Zip archive, the headers of a tar
 * or RAR, the name a gzip carries. Takes the decoded octets as they come; keeps the first few, and the last mebibyte of those
 * whose directory is there. Linear; every sequence of octets gives some answer.
 */
import { allEncrypted, damaged, encrypted, type Listing, Names, nameOf, tooLong } from './listing.ts';
import { RarReader } from './rar.ts';
import { endOf7z, list7z, type Room, startOctets, unpackedOctets } from './seven-zip.ts';

/** Octets at the beginning: enough for a tar header, and a gzip's with a name. */
const headOctets = 4096;
/** Octets at the end: the directory of some ten thousand files. */
const tailOctets = 1024 * 1024;

/** Reads one attachment. */
export class ArchiveReader {
  readonly #head = new Uint8Array(headOctets);
  #headLength = 0;
  readonly #tail: Uint8Array[] = [];
  #tailLength = 0;
  #size = 0;
  /** Of those with headers among their files. */
  #headers: TarReader | RarReader | undefined;
  #kind: 'unknown' | 'zip' | '7z' | 'other' = 'unknown';
  /** Octets that count; a 7-Zip archive says so itself. */
  #end = Number.POSITIVE_INFINITY;
  /** Pieces that came before it was known what they are. */
  #early: Uint8Array[] = [];
  readonly #room: Room;

  constructor(room: Room = { left: unpackedOctets }) {
    this.#room = room;
  }

  /** `octets` may be kept. */
  push(octets: Uint8Array): void {
    if (octets.length === 0) return;
    const at = this.#size;
    this.#size += octets.length;
    if (this.#headLength < headOctets) {
      const some = octets.subarray(0, headOctets - this.#headLength);
      this.#head.set(some, this.#headLength);
      this.#headLength += some.length;
    }
    if (this.#kind === 'unknown') {
      this.#early.push(octets);
      if (this.#headLength >= 512) this.#recognise();
    } else this.#feed(octets, at);
  }

  /** undefined: it is no archive that is known here. */
  end(): Listing | undefined {
    if (this.#kind === 'unknown') this.#recognise();
    const head = this.#head.subarray(0, this.#headLength);
    if (this.#kind === 'zip') return listZip(Buffer.concat(this.#tail), this.#size);
    if (this.#kind === '7z') {
      const from = Math.min(this.#size, this.#end) - this.#tailLength;
      return list7z(Buffer.from(head.subarray(0, startOctets)), Buffer.concat(this.#tail), from, this.#room);
    }
    if (this.#headers) return this.#headers.end();
    if (head[0] === 0x1f && head[1] === 0x8b && head[2] === 8) return listGzip(head);
    const unread = unreadKind(head);
    return unread === undefined ? undefined : { names: [], notes: [`${unread} archive: names are not read`] };
  }

  #recognise(): void {
    const head = this.#head.subarray(0, this.#headLength);
    this.#kind = isZip(head) ? 'zip' : is7z(head) ? '7z' : 'other';
    if (this.#kind === '7z') this.#end = endOf7z(Buffer.from(head));
    else if (startsWith(head, ...rar, 0)) this.#headers = new RarReader(4);
    else if (startsWith(head, ...rar, 1, 0)) this.#headers = new RarReader(5);
    else if (this.#kind === 'other' && isTarHeader(head)) this.#headers = new TarReader();
    let at = 0;
    for (const piece of this.#early) {
      this.#feed(piece, at);
      at += piece.length;
    }
    this.#early = [];
  }

  #feed(octets: Uint8Array, at: number): void {
    this.#headers?.push(octets);
    if (this.#kind !== 'zip' && this.#kind !== '7z') return;
    const some = octets.subarray(0, Math.max(0, this.#end - at));
    this.#tail.push(some);
    this.#tailLength += some.length;
    while (this.#tailLength - (this.#tail[0]?.length ?? 0) >= tailOctets)
      this.#tailLength -= this.#tail.shift()?.length ?? 0;
  }
}

const rar = [0x52, 0x61, 0x72, 0x21, 0x1a, 7] as const;

const startsWith = (head: Uint8Array, ...octets: readonly number[]): boolean =>
  octets.every((octet, at) => head[at] === octet);

const isZip = (head: Uint8Array): boolean =>
  startsWith(head, 0x50, 0x4b, 3, 4) || startsWith(head, 0x50, 0x4b, 5, 6) || startsWith(head, 0x50, 0x4b, 0x30, 0x30);

const is7z = (head: Uint8Array): boolean => startsWith(head, 0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c);

function unreadKind(head: Uint8Array): string | undefined {
  if (startsWith(head, ...rar)) return 'RAR'; // a version to come
  if (startsWith(head, 0x42, 0x5a, 0x68)) return 'bzip2';
  if (startsWith(head, 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)) return 'xz';
  if (startsWith(head, 0x4d, 0x53, 0x43, 0x46, 0, 0, 0, 0)) return 'cabinet';
  if (startsWith(head, 0x60, 0xea)) return 'ARJ';
  return undefined;
}

// --------------------------------------------------------------------------------------------------------------- zip

/** https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT §4.3.12, §4.3.14 to §4.3.16. `tail`: the last octets of `size`. */
export function listZip(tail: Buffer, size: number): Listing {
  const end = endOfDirectory(tail);
  if (end < 0) return { names: [], notes: ['a zip without a directory: damaged or cut'] };
  let entries = tail.readUInt16LE(end + 10);
  let length = tail.readUInt32LE(end + 12);
  let behind = end;
  // A zip64 has a locator just before, and a record before that with the true numbers.
  if (end >= 20 && tail.readUInt32LE(end - 20) === 0x07064b50) {
    const record = tail.subarray(0, end - 20).lastIndexOf(Buffer.of(0x50, 0x4b, 6, 6));
    if (record >= 0 && record + 56 <= end - 20) {
      entries = Number(tail.readBigUInt64LE(record + 32));
      length = Number(tail.readBigUInt64LE(record + 40));
      behind = record;
    }
  }
  // By its length and not by its offset: what stands before a zip does not count, and unpackers go by this, too.
  let at = behind - length;
  const notes: string[] = [];
  if (at < 0) {
    if (length > size) notes.push('damaged: its directory is longer than it is');
    // Not all of it is here: begins where the first whole entry does.
    at = tail.indexOf(Buffer.of(0x50, 0x4b, 1, 2));
    if (at < 0) return { names: [], notes: [...notes, tooLong] };
    notes.push('the first names are left out');
  }
  return readDirectory(tail.subarray(0, behind), at, entries, notes);
}

/** Of several that look like one, that whose comment ends with the file; else the last. */
function endOfDirectory(tail: Buffer): number {
  let found = -1;
  const lowest = Math.max(0, tail.length - 65_557);
  for (let at = tail.length - 22; at >= lowest; at -= 1) {
    if (tail[at] !== 0x50 || tail.readUInt32LE(at) !== 0x06054b50) continue;
    if (at + 22 + tail.readUInt16LE(at + 20) === tail.length) return at;
    if (found < 0) found = at;
  }
  return found;
}

function readDirectory(directory: Buffer, from: number, entries: number, notes: string[]): Listing {
  const names = new Names();
  let isEncrypted = false;
  let hidden = false;
  let at = from;
  while (at + 46 <= directory.length && directory.readUInt32LE(at) === 0x02014b50) {
    const flags = directory.readUInt16LE(at + 8);
    const nameLength = directory.readUInt16LE(at + 28);
    const rest = directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    if (flags & 1) isEncrypted = true;
    if (flags & 0x2000) hidden = true;
    const name = directory.subarray(at + 46, at + 46 + nameLength);
    names.add(() => nameOf(name));
    at += 46 + nameLength + rest;
  }
  if (hidden) notes.push(allEncrypted);
  else if (isEncrypted) notes.push(encrypted);
  notes.push(...names.more());
  if (names.count < entries && notes.every((note) => !note.startsWith('the first')))
    notes.push(`damaged: ${names.count} of ${entries} files in its directory`);
  return { names: names.kept, notes };
}

// -------------------------------------------------------------------------------------------------------------- gzip

/** RFC 1952 §2.3. */
function listGzip(head: Uint8Array): Listing {
  const flags = head[3] ?? 0;
  let at = 10;
  if (flags & 4) at += 2 + (head[at] ?? 0) + (head[at + 1] ?? 0) * 256;
  if (!(flags & 8) || at >= head.length) return { names: [], notes: [] };
  const end = head.indexOf(0, at);
  if (end < 0) return { names: [], notes: ['the name in it is not read: too long'] };
  const name = nameOf(head.subarray(at, end));
  return { names: name === '' ? [] : [name], notes: [] };
}

// --------------------------------------------------------------------------------------------------------------- tar

const block = 512;
/** Octets of a long name that are kept. */
const maxLong = 4096;

/** POSIX ustar: the sum of all octets, its own field taken for blanks. Old programs added signed ones. */
function isTarHeader(header: Uint8Array): boolean {
  if (header.length < block) return false;
  const written = octal(header, 148, 8);
  if (written === undefined) return false;
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < block; at += 1) {
    const octet = at >= 148 && at < 156 ? 32 : (header[at] as number);
    unsigned += octet;
    signed += octet > 127 ? octet - 256 : octet;
  }
  return unsigned > 256 && (written === unsigned || written === signed);
}

function octal(bytes: Uint8Array, from: number, length: number): number | undefined {
  const text = Buffer.from(bytes.subarray(from, from + length)).toString('latin1');
  const match = /^ *([0-7]{1,12})[ \0]*/.exec(text);
  return match ? Number.parseInt(match[1] as string, 8) : undefined;
}

/** Sizes from 8 GiB on are binary (GNU, star). */
function sizeOf(header: Uint8Array): number | undefined {
  if (!((header[124] ?? 0) & 0x80)) return octal(header, 124, 12);
  let size = 0;
  for (let at = 128; at < 136; at += 1) size = size * 256 + (header[at] ?? 0);
  return size;
}

const untilNul = (bytes: Uint8Array): Uint8Array => {
  const nul = bytes.indexOf(0);
  return nul < 0 ? bytes : bytes.subarray(0, nul);
};

/** The octets of it, as far as they are kept. */
interface LongName {
  readonly type: string;
  readonly octets: Uint8Array;
  filled: number;
}

class TarReader {
  readonly #header = new Uint8Array(block);
  #filled = 0;
  /** Octets of the present file that are passed over. */
  #skip = 0;
  /** The present file is one that holds a name. */
  #long: LongName | undefined;
  #longSkip = 0;
  /** The name that the next header's file really has. */
  #nextName: string | undefined;
  readonly #names = new Names();
  #over = false;
  #isDamaged = false;

  push(octets: Uint8Array): void {
    let at = 0;
    while (at < octets.length && !this.#over) {
      if (this.#skip > 0) {
        const some = Math.min(this.#skip, octets.length - at);
        this.#skip -= some;
        at += some;
      } else if (this.#long) {
        const long = this.#long;
        const some = Math.min(long.octets.length - long.filled, octets.length - at);
        long.octets.set(octets.subarray(at, at + some), long.filled);
        long.filled += some;
        at += some;
        if (long.filled === long.octets.length) this.#endLong(long);
      } else {
        const some = Math.min(block - this.#filled, octets.length - at);
        this.#header.set(octets.subarray(at, at + some), this.#filled);
        this.#filled += some;
        at += some;
        if (this.#filled === block) this.#takeHeader();
      }
    }
  }

  end(): Listing {
    const notes = this.#names.more();
    if (this.#isDamaged || !this.#over) notes.push(damaged);
    return { names: this.#names.kept, notes };
  }

  #takeHeader(): void {
    this.#filled = 0;
    const header = this.#header;
    if (header.every((octet) => octet === 0)) {
      this.#over = true;
      return;
    }
    const size = sizeOf(header);
    if (!isTarHeader(header) || size === undefined) {
      this.#over = true;
      this.#isDamaged = true;
      return;
    }
    const padded = Math.ceil(size / block) * block;
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === 'L' || type === 'x') {
      const length = Math.min(size, maxLong);
      this.#longSkip = padded - length;
      this.#long = { type, octets: new Uint8Array(length), filled: 0 };
      if (length === 0) this.#endLong(this.#long);
      return;
    }
    this.#skip = padded;
    if (type === 'g' || type === 'K') return; // about all files; a link's target
    this.#names.add(() => this.#nextName ?? shortName(header));
    this.#nextName = undefined;
  }

  #endLong({ type, octets }: LongName): void {
    this.#long = undefined;
    this.#skip = this.#longSkip;
    const name = type === 'L' ? untilNul(octets) : paxPath(octets);
    if (name) this.#nextName = nameOf(name);
  }
}

function shortName(header: Uint8Array): string {
  const name = untilNul(header.subarray(0, 100));
  const isUstar = Buffer.from(header.subarray(257, 263)).toString('latin1') === 'ustar\0';
  const prefix = isUstar ? untilNul(header.subarray(345, 500)) : new Uint8Array();
  return nameOf(prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]));
}

/** POSIX pax: lines of `length key=value`. */
function paxPath(octets: Uint8Array): Uint8Array | undefined {
  const all = Buffer.from(octets);
  for (let at = 0; at < all.length; ) {
    const match = /^(\d{1,6}) /.exec(all.toString('latin1', at, at + 8));
    const length = match ? Number(match[1]) : 0;
    if (!match || length <= match[0].length) return undefined;
    const record = all.subarray(at + match[0].length, at + length - 1);
    if (record.subarray(0, 5).toString('latin1') === 'path=') return record.subarray(5);
    at += length;
  }
  return undefined;
}
