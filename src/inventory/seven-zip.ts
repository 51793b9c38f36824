/**
 * Names in a 7-Zip archive, from its directory, which stands at the end and mostly is packed itself: that alone is unpacked.
 * Linear; every sequence of octets gives some answer.
 *
 * 7zFormat.txt of the LZMA SDK, and https://py7zr.readthedocs.io/en/latest/archive_format.html. Where a checksum is wrong,
 * the directory is read all the same, and said to be damaged.
 */
import { crc32 } from 'node:zlib';
import { allEncrypted, cleanName, damaged, encrypted, type Listing, Names, tooLong, withSlash } from './listing.ts';
import { unpackLzma, unpackLzma2 } from './lzma.ts';

/** Octets that directories may have, packed and unpacked: some hundred thousand files. Whoever unpacks takes them from there. */
export interface Room {
  left: number;
}

/** Of one message. A few seconds of work for the worst there is, a quarter of one for names. */
export const unpackedOctets = 8 * 1024 * 1024;

/** 7-Zip packs a directory once; others may do so again. */
const maxPacked = 4;
/** 7-Zip itself takes no more steps of packing, or streams between them. */
const maxCoders = 64;

export const startOctets = 32;

/** Where the directory ends, by the archive's first octets: what comes behind does not count. */
export const endOf7z = (start: Buffer): number =>
  start.length < startOctets ? 0 : startOctets + numberAt(start, 12) + numberAt(start, 20);

/** `start`: its first octets; `tail`: its last ones, up to `end` as far as they are there; the first of them is number `from`. */
export function list7z(start: Buffer, tail: Buffer, from: number, room: Room): Listing {
  try {
    return new SevenZip(tail, from, room).list(start);
  } catch (error) {
    if (error instanceof Unreadable) return { names: [], notes: [error.message] };
    throw error;
  }
}

/** The message is the note. */
class Unreadable extends Error {}

const numberAt = (octets: Buffer, at: number): number => Number(octets.readBigUInt64LE(at));

class SevenZip {
  readonly #tail: Buffer;
  readonly #from: number;
  readonly #room: Room;
  #isBroken = false;

  constructor(tail: Buffer, from: number, room: Room) {
    this.#tail = tail;
    this.#from = from;
    this.#room = room;
  }

  /** @throws Unreadable */
  list(start: Buffer): Listing {
    if (start.length < startOctets) throw new Unreadable(damaged);
    const length = numberAt(start, 20);
    this.#check(start.subarray(12, startOctets), start.readUInt32LE(8));
    if (length === 0) return { names: [], notes: this.#isBroken ? [damaged] : [] };
    let directory = this.#octets(startOctets + numberAt(start, 12), length);
    this.#check(directory, start.readUInt32LE(28));
    for (let times = 0; directory[0] === kEncodedHeader; times += 1) {
      if (times === maxPacked) throw new Unreadable('its directory was not read: packed too often');
      directory = this.#unpack(readStreams(new Octets(directory.subarray(1))));
    }
    const { names, notes } = readDirectory(new Octets(directory));
    return { names, notes: this.#isBroken ? [...notes, damaged] : notes };
  }

  #check(octets: Buffer, checksum: number): void {
    if (crc32(octets) !== checksum) this.#isBroken = true;
  }

  #octets(at: number, length: number): Buffer {
    if (at + length > this.#from + this.#tail.length) throw new Unreadable(damaged);
    if (at < this.#from) throw new Unreadable(tooLong);
    return this.#tail.subarray(at - this.#from, at - this.#from + length);
  }

  #unpack({ at, length, folder, isEncrypted }: Streams): Buffer {
    if (isEncrypted) throw new Unreadable(allEncrypted);
    if (!folder) throw new Unreadable(damaged);
    const { method, properties, size, checksum } = folder;
    if (size > unpackedOctets) throw new Unreadable(tooLong);
    const packed = this.#octets(startOctets + at, length);
    // Packed octets count as well: each of them may set all models anew and give hardly anything.
    const work = size + length;
    if (work > this.#room.left) throw new Unreadable('its directory was not read: those of the others were too long');
    this.#room.left -= work;
    let unpacked: Uint8Array | undefined;
    if (method === 'lzma') unpacked = unpackLzma(packed, properties, size);
    else if (method === 'lzma2') unpacked = unpackLzma2(packed, size);
    else if (method === 'none') unpacked = size <= packed.length ? packed.subarray(0, size) : undefined;
    else throw new Unreadable('its directory was not read: packed in a way that is not known here');
    if (!unpacked) throw new Unreadable(damaged);
    const octets = Buffer.from(unpacked.buffer, unpacked.byteOffset, unpacked.length);
    if (checksum !== undefined) this.#check(octets, checksum);
    return octets;
  }
}

// --------------------------------------------------------------------------------------------------------- directory

/** Names of 7zFormat.txt. */
const kEnd = 0;
const kHeader = 0x01;
const kArchiveProperties = 0x02;
const kAdditionalStreamsInfo = 0x03;
const kMainStreamsInfo = 0x04;
const kFilesInfo = 0x05;
const kPackInfo = 0x06;
const kUnPackInfo = 0x07;
const kSubStreamsInfo = 0x08;
const kSize = 0x09;
const kCRC = 0x0a;
const kFolder = 0x0b;
const kCodersUnPackSize = 0x0c;
const kNumUnPackStream = 0x0d;
const kEmptyStream = 0x0e;
const kEmptyFile = 0x0f;
const kNames = 0x11;
const kEncodedHeader = 0x17;

function readDirectory(octets: Octets): Listing {
  octets.expect(kHeader);
  let isEncrypted = false;
  let names = new Names();
  let count = 0;
  for (let id = octets.byte(); id !== kEnd; id = octets.byte()) {
    if (id === kArchiveProperties) while (octets.byte() !== kEnd) octets.skip(octets.number());
    else if (id === kAdditionalStreamsInfo) readStreams(octets);
    else if (id === kMainStreamsInfo) isEncrypted = readStreams(octets).isEncrypted;
    else if (id === kFilesInfo) ({ names, count } = readFiles(octets));
    else throw new Unreadable(damaged);
  }
  const notes = isEncrypted ? [encrypted] : [];
  notes.push(...names.more());
  if (names.count < count) notes.push(`damaged: ${names.count} of ${count} files in its directory`);
  return { names: names.kept, notes };
}

/** `count`: how many there should be. */
function readFiles(octets: Octets): { names: Names; count: number } {
  const count = octets.number();
  let text: Buffer = Buffer.alloc(0);
  let withoutData = new Bits();
  let emptyFiles = new Bits();
  for (let id = octets.byte(); id !== kEnd; id = octets.byte()) {
    const property = octets.take(octets.number());
    if (id === kEmptyStream) withoutData = new Bits(property);
    else if (id === kEmptyFile) emptyFiles = new Bits(property);
    else if (id === kNames) {
      if (property[0] !== 0) throw new Unreadable('its names are not read: they stand elsewhere');
      text = property.subarray(1);
    }
  }
  const names = new Names();
  let empty = 0;
  for (let at = 0; at + 1 < text.length; ) {
    let end = at;
    while (end + 1 < text.length && (text[end] !== 0 || text[end + 1] !== 0)) end += 2;
    const isEmpty = withoutData.has(names.count);
    const isDirectory = isEmpty && !emptyFiles.has(empty);
    if (isEmpty) empty += 1;
    const octetsOfName = text.subarray(at, end);
    names.add(() => {
      const name = cleanName(octetsOfName.toString('utf16le'));
      return isDirectory ? withSlash(name) : name;
    });
    at = end + 2;
  }
  return { names, count };
}

// ----------------------------------------------------------------------------------------------------------- streams

interface Streams {
  /** Where the first one begins behind the archive's start, and how many octets it has. */
  readonly at: number;
  readonly length: number;
  /** How the first one is packed. */
  readonly folder: Folder | undefined;
  /** Any of them. */
  readonly isEncrypted: boolean;
}

interface Folder {
  readonly method: Method;
  readonly properties: Buffer;
  readonly size: number;
  readonly checksum: number | undefined;
}

type Method = 'lzma' | 'lzma2' | 'none' | 'aes' | 'other';

const methods: ReadonlyMap<string, Method> = new Map([
  ['00', 'none'],
  ['21', 'lzma2'],
  ['030101', 'lzma'],
  ['06f10701', 'aes'],
]);

/** All of them are read, so that what comes behind is found; nothing is kept that grows with them. */
function readStreams(octets: Octets): Streams {
  let at = 0;
  let length = 0;
  let packing: Packing | undefined;
  let id = octets.byte();
  // Each at most once: passing the last costs as many steps as there are folders.
  if (id === kPackInfo) {
    ({ at, length } = readPackInfo(octets));
    id = octets.byte();
  }
  if (id === kUnPackInfo) {
    packing = readUnPackInfo(octets);
    id = octets.byte();
  }
  if (id === kSubStreamsInfo && packing) {
    passSubStreams(octets, packing);
    id = octets.byte();
  }
  if (id !== kEnd) throw new Unreadable(damaged);
  return { at, length, folder: packing?.first, isEncrypted: packing?.isEncrypted ?? false };
}

function readPackInfo(octets: Octets): { at: number; length: number } {
  const at = octets.number();
  const count = octets.number();
  let length = 0;
  for (let id = octets.byte(); id !== kEnd; id = octets.byte()) {
    if (id === kSize) length = octets.numbers(count);
    else if (id === kCRC) octets.checksums(count);
    else octets.skip(octets.number());
  }
  return { at, length };
}

interface Packing {
  readonly folders: number;
  /** Folders with a checksum of their own. */
  readonly checked: Bits;
  readonly first: Folder | undefined;
  readonly isEncrypted: boolean;
}

function readUnPackInfo(octets: Octets): Packing {
  octets.expect(kFolder);
  const folders = octets.number();
  if (octets.byte() !== 0) throw new Unreadable('its names are not read: they stand elsewhere');
  let first: Coders | undefined;
  let isEncrypted = false;
  let sizes = 0;
  for (let folder = 0; folder < folders; folder += 1) {
    const coders = readCoders(octets);
    first ??= coders;
    isEncrypted ||= coders.isEncrypted;
    sizes += coders.outputs;
  }
  octets.expect(kCodersUnPackSize);
  const size = octets.numbers(sizes);
  let checked = new Bits();
  let checksum: number | undefined;
  for (let id = octets.byte(); id !== kEnd; id = octets.byte()) {
    if (id === kCRC) ({ which: checked, first: checksum } = octets.checksums(folders));
    else octets.skip(octets.number());
  }
  return { folders, checked, first: first && { ...first, size, checksum }, isEncrypted };
}

interface Coders {
  /** Other where there are several. */
  readonly method: Method;
  readonly properties: Buffer;
  readonly outputs: number;
  readonly isEncrypted: boolean;
}

function readCoders(octets: Octets): Coders {
  const count = octets.number();
  if (count === 0 || count > maxCoders) throw new Unreadable(damaged);
  let method: Method = 'other';
  let properties: Buffer = Buffer.alloc(0);
  let isEncrypted = false;
  let inputs = 0;
  let outputs = 0;
  for (let coder = 0; coder < count; coder += 1) {
    const flags = octets.byte();
    method = methods.get(octets.take(flags & 0x0f).toString('hex')) ?? 'other';
    isEncrypted ||= method === 'aes';
    inputs += flags & 0x10 ? octets.number() : 1;
    outputs += flags & 0x10 ? octets.number() : 1;
    if (flags & 0x20) properties = octets.take(octets.number());
  }
  if (inputs > maxCoders || outputs > maxCoders || outputs === 0) throw new Unreadable(damaged);
  const bound = outputs - 1; // an output that is an input of the next step
  octets.numbers(bound * 2);
  if (inputs - bound > 1) octets.numbers(inputs - bound);
  return { method: count === 1 ? method : 'other', properties, outputs, isEncrypted };
}

/** What of each folder is which file's. */
function passSubStreams(octets: Octets, { folders, checked }: Packing): void {
  let sizes = 0;
  let checksums = 0;
  let id = octets.byte();
  const hasCounts = id === kNumUnPackStream;
  for (let folder = 0; folder < folders; folder += 1) {
    const files = hasCounts ? octets.number() : 1;
    sizes += Math.max(0, files - 1); // that of the last is the rest
    checksums += files === 1 && checked.has(folder) ? 0 : files;
  }
  if (hasCounts) id = octets.byte();
  for (; id !== kEnd; id = octets.byte()) {
    if (id === kSize) octets.numbers(sizes);
    else if (id === kCRC) octets.checksums(checksums);
    else octets.skip(octets.number());
  }
}

/** The highest bit first. By default none is set. */
class Bits {
  readonly #octets: Uint8Array;
  readonly #all: boolean;

  constructor(octets: Uint8Array = new Uint8Array(), all = false) {
    this.#octets = octets;
    this.#all = all;
  }

  has(at: number): boolean {
    return this.#all || ((this.#octets[at >> 3] ?? 0) & (0x80 >> (at & 7))) !== 0;
  }
}

/** Whoever reads behind the end is told that it is damaged. */
class Octets {
  readonly #octets: Buffer;
  #at = 0;

  constructor(octets: Buffer) {
    this.#octets = octets;
  }

  byte(): number {
    return this.take(1)[0] as number;
  }

  take(length: number): Buffer {
    const at = this.#at;
    this.skip(length);
    return this.#octets.subarray(at, this.#at);
  }

  skip(length: number): void {
    if (length > this.#octets.length - this.#at) throw new Unreadable(damaged);
    this.#at += length;
  }

  expect(id: number): void {
    if (this.byte() !== id) throw new Unreadable(damaged);
  }

  /** As many octets follow the first as it has ones before a zero; behind that are the highest bits. */
  number(): number {
    const first = this.byte();
    let value = 0;
    let digit = 1;
    for (let mask = 0x80; mask > 0; mask >>= 1, digit *= 256) {
      if (!(first & mask)) return value + (first & (mask - 1)) * digit;
      value += this.byte() * digit;
    }
    return value;
  }

  /** Passes so many; answers the first, or 0. */
  numbers(count: number): number {
    let first = 0;
    for (let n = 0; n < count; n += 1) {
      const value = this.number();
      if (n === 0) first = value;
    }
    return first;
  }

  /** Checksums of some of so many. */
  checksums(count: number): { which: Bits; first: number | undefined } {
    const all = this.byte() !== 0;
    const which = new Bits(all ? undefined : this.take(Math.ceil(count / 8)), all);
    let defined = count;
    if (!all) {
      defined = 0;
      for (let n = 0; n < count; n += 1) if (which.has(n)) defined += 1;
    }
    const sums = this.take(defined * 4);
    return { which, first: which.has(0) && defined > 0 ? sums.readUInt32LE(0) : undefined };
  }
}
