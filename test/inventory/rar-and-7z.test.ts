/** Names in RAR and 7-Zip archives: those of real programs (test/fixtures/archives), and what nobody but an attacker makes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { ArchiveReader } from '#app/inventory/archive';
import type { Listing } from '#app/inventory/listing';
import { unpackLzma, unpackLzma2 } from '#app/inventory/lzma';
import { attached, inventoryOf, mixed } from './reading.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const folder = join(import.meta.dirname, '../fixtures/archives');
const fixtures = readdirSync(folder).filter((name) => /\.(rar|7z)$/.test(name));
const fixture = (name: string): Buffer => readFileSync(join(folder, name));

function list(octets: Uint8Array, piece = octets.length): Listing | undefined {
  const reader = new ArchiveReader();
  for (let at = 0; at < octets.length; at += piece) reader.push(Uint8Array.from(octets.subarray(at, at + piece)));
  return reader.end();
}

function said(octets: Uint8Array): string {
  const listing = list(octets);
  return listing === undefined ? '-' : [listing.names.join(','), ...listing.notes].join(' | ');
}

const made = 'dir/,dir/sub/,void/,empty.txt,dir/invoice.pdf.exe,dir/sub/Größe.txt,уии.js';
const subdirs =
  'sub/dir2/file2.txt,sub/with space/long fn.txt,sub/üȵĩöḋè/file.txt,sub/dir1/file1.txt,' +
  'sub/dir2/,sub/with space/,sub/empty/,sub/üȵĩöḋè/,sub/dir1/,sub/';
const expected: Readonly<Record<string, string>> = {
  'plain.7z': made,
  'header-not-packed.7z': made,
  'password.7z': `${made} | encrypted`,
  'password-names.7z': ' | encrypted, names included',
  'py7zr.7z': 'top/dir/,top/dir/invoice.pdf.exe,top/dir/sub/,top/dir/sub/Größe.txt,top/empty.txt,top/void/,top/уии.js',
  'rar15-comment.rar': 'FILE1.TXT,FILE2.TXT',
  'rar202-comment-psw.rar': 'FILE1.TXT,FILE2.TXT | encrypted',
  'rar3-comment-psw.rar': 'file1.txt,file2.txt | encrypted',
  'rar3-comment-hpsw.rar': ' | encrypted, names included',
  'rar3-subdirs.rar': subdirs,
  'unicode.rar': 'уииоотивл.txt,𝐀𝐁𝐁𝐂.txt',
  'unicode2.rar': '𝐀𝐁𝐁𝐂.txt,уииоотивл.txt',
  'rar5-psw.rar': 'stest1.txt,stest2.txt | encrypted',
  'rar5-hpsw.rar': ' | encrypted, names included',
  'rar5-subdirs.rar': subdirs,
};

t.test('archives of real programs', async (t) => {
  for (const name of fixtures) {
    const octets = fixture(name);
    for (const piece of [1, 7, 600]) t.strictSame(list(octets, piece), list(octets), `${name} in pieces of ${piece}`);
    if (name !== 'many.7z') t.equal(said(octets), expected[name], name);
  }
  const many = list(fixture('many.7z'))!;
  t.strictSame([many.names.length, many.notes], [100, ['200 more names']]);
  t.ok(many.names.every((name) => /^some-file-name-\d+\.txt$/.test(name)));
});

t.test('any of them cut, or with an octet changed, gives some answer', async (t) => {
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const began = performance.now();
  for (const name of fixtures) {
    const whole = fixture(name);
    let told = 0;
    for (let length = 0; length < whole.length; length += 1)
      if (list(whole.subarray(0, length))?.notes.length) told += 1;
    t.ok(told > whole.length / 2, `${name}: that it is cut is told`);
    for (let n = 0; n < 2000; n += 1) {
      const changed = Buffer.from(whole);
      changed[random(changed.length)] = random(256);
      list(changed);
    }
  }
  t.ok(performance.now() - began < 30_000, `(SEED=${seed})`);
});

t.test('a wrong checksum hides no names', async (t) => {
  const changed = (name: string, at: number): Buffer => {
    const octets = fixture(name);
    octets[at] = (octets[at] as number) ^ 0xff;
    return octets;
  };
  t.equal(said(changed('plain.7z', 28)), `${made} | damaged or cut`);
  t.equal(said(changed('unicode2.rar', 20)), `${expected['unicode2.rar']} | damaged or cut`);
  t.equal(said(changed('rar5-subdirs.rar', 8)), `${subdirs} | damaged or cut`);
});

t.test('7-Zip: what stands behind an archive does not count', async (t) => {
  t.equal(said(Buffer.concat([fixture('plain.7z'), Buffer.alloc(2_000_000)])), made);
});

// ---------------------------------------------------------------------------------------------------------- by hand

/** A header of version 4 and what is packed behind it. */
function rar4(type: number, flags: number, fields: Uint8Array, data = 0): Buffer {
  const header = Buffer.concat([Buffer.alloc(7), fields]);
  header[2] = type;
  header.writeUInt16LE(flags, 3);
  header.writeUInt16LE(header.length, 5);
  header.writeUInt16LE(crc32(header.subarray(2)) & 0xffff);
  return Buffer.concat([header, Buffer.alloc(data)]);
}

function rar4File(name: string | Uint8Array, { flags = 0x8000, data = 0, high = 0 } = {}): Buffer {
  const octets = Buffer.from(name);
  const fields = Buffer.alloc(flags & 0x100 ? 33 : 25);
  fields.writeUInt32LE(data);
  fields[17] = 29;
  fields.writeUInt16LE(octets.length, 19);
  if (flags & 0x100) fields.writeUInt32LE(high, 25);
  return rar4(0x74, flags, Buffer.concat([fields, octets]), data);
}

const rar4Archive = (...headers: readonly Buffer[]): Buffer =>
  Buffer.concat([Buffer.from('Rar!\x1a\x07\x00'), rar4(0x73, 0, Buffer.alloc(6)), ...headers]);
const rar4End = rar4(0x7b, 0x4000, Buffer.alloc(0));

t.test('RAR 4: each header', async (t) => {
  const packed = Buffer.from([...Buffer.from('____.exe'), 0, 4, 0x55, 0x38, 0x38, 0x38, 0x38, 0xc0, 2]);
  t.equal(
    said(rar4Archive(rar4File('a\\b.txt', { data: 300 }), rar4File('dir', { flags: 0x80e0 }), rar4End)),
    'a/b.txt,dir/',
  );
  t.equal(said(rar4Archive(rar4File(packed, { flags: 0x8200 }), rar4End)), `${'ии'.replaceAll('и', 'ии')}.exe`);
  t.equal(said(rar4Archive(rar4File('a'))), 'a', 'without an end, as RAR 2 made them');
  t.equal(said(rar4Archive(rar4File('a', { data: 9 })).subarray(0, -1)), 'a | damaged or cut');
  t.equal(said(rar4Archive(rar4File('a', { flags: 0x8100, high: 0xffffffff }), rar4End)), 'a | damaged or cut');
  t.equal(said(rar4Archive(rar4File('a'), Buffer.alloc(100))), 'a | damaged or cut');
  t.equal(said(Buffer.from('Rar!\x1a\x07\x02...')), ' | RAR archive: names are not read', 'a version to come');
});

t.test('millions of headers, lengths that lie and runs of one octet are read in one pass', async (t) => {
  const header = rar4(0x78, 0, Buffer.alloc(0));
  const five = Buffer.from('Rar!\x1a\x07\x01\x00');
  const began = performance.now();
  list(rar4Archive(Buffer.alloc(4_000_000, header)), 256 * 1024);
  list(Buffer.concat([five, Buffer.alloc(4_000_000, Buffer.from([0, 0, 0, 0, 2, 9, 0]))]), 256 * 1024);
  for (const octet of [0x00, 0x01, 0x17, 0x7f, 0x80, 0xff])
    for (const head of [rar4Archive(), five, fixture('plain.7z').subarray(0, 32)])
      list(Buffer.concat([head, Buffer.alloc(1_000_000, octet)]), 256 * 1024);
  t.ok(performance.now() - began < 5000);
});

/** A 7-Zip archive of nothing but this directory. */
function sevenZip(directory: Buffer): Buffer {
  const start = Buffer.alloc(32);
  Buffer.from('7z\xbc\xaf\x27\x1c\0\x04', 'latin1').copy(start);
  start.writeBigUInt64LE(BigInt(directory.length), 20);
  start.writeUInt32LE(crc32(directory), 28);
  start.writeUInt32LE(crc32(start.subarray(12)), 8);
  return Buffer.concat([start, directory]);
}

t.test('7-Zip: directories that lie', async (t) => {
  /** Says that it is packed itself, into so many octets (four of them). */
  const packedIn = (size: readonly number[]): Buffer =>
    Buffer.from([0x17, 6, 0, 1, 9, 20, 0, 7, 0x0b, 1, 0, 1, 0x23, 3, 1, 1, 5, 0x5d, 0, 0, 1, 0, 0x0c, ...size, 0, 0]);
  t.equal(said(sevenZip(packedIn([0xe0 + 0x0f, 0xff, 0xff, 0xff]))), ' | its directory was not read: too long');
  t.equal(said(sevenZip(packedIn([20]))), ' | damaged or cut');
  t.equal(
    said(sevenZip(Buffer.from([0x17, 6, 0, 1, 9, 29, 0, 7, 0x0b, 1, 0, 1, 1, 0, 0x0c, 29, 0, 0]))).slice(0, 3),
    ' | ',
  );
  t.equal(
    said(sevenZip(Buffer.from([1, 5, 2, 0x11, 5, 0, 97, 0, 0, 0, 0, 0]))),
    'a | damaged: 1 of 2 files in its directory',
  );
  t.equal(
    said(sevenZip(Buffer.from([1, 4, 7, 0x0b, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0]))),
    ' | damaged or cut',
  );
  t.equal(said(sevenZip(Buffer.alloc(0))), '', 'empty');
});

t.test('directories of all attachments together are unpacked up to a limit only', async (t) => {
  const half = Buffer.from([0x17, 6, 0, 1, 9, 0, 0, 7, 0x0b, 1, 0, 1, 1, 0x21, 0x0c, 0xe0, 0, 0, 0x50, 0, 0]);
  const files = [1, 2].map((n) => attached(`${n}.7z`, sevenZip(half)));
  t.strictSame(
    inventoryOf(mixed(...files)).attachments.map(({ note }) => note),
    ['damaged or cut', 'its directory was not read: those of the others were too long'],
  );
});

t.test('LZMA: damaged ones end', async (t) => {
  t.equal(unpackLzma(Buffer.alloc(10), Buffer.of(225, 0, 0, 0, 0), 5), undefined, 'no such models');
  t.equal(unpackLzma(Buffer.alloc(4), Buffer.of(93, 0, 0, 0, 0), 5), undefined, 'too short');
  t.equal(unpackLzma(Buffer.alloc(10), Buffer.of(93, 0, 0, 0, 0), 1_000_000), undefined, 'read to its end');
  t.strictSame(unpackLzma2(Buffer.from([1, 0, 1, 97, 98, 0]), 2), new Uint8Array([97, 98]), 'not packed');
  t.equal(unpackLzma2(Buffer.from([1, 0, 1, 97, 98, 0]), 3), undefined, 'shorter than said');
  t.equal(unpackLzma2(Buffer.from([0x80, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0]), 2), undefined, 'models that were never said');
});
