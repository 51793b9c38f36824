/** Names in archives, read without unpacking anything. */
import t, { type Test } from 'tap';
import { ArchiveReader } from '#app/inventory/archive';
import { type Listing, maxNames } from '#app/inventory/listing';
import { tarEnd, tarFile, zip } from './reading.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

function list(octets: Uint8Array, cut: () => number): Listing | undefined {
  const reader = new ArchiveReader();
  for (let at = 0; at < octets.length; ) {
    const piece = Math.max(1, cut());
    reader.push(Uint8Array.from(octets.subarray(at, at + piece)));
    at += piece;
  }
  return reader.end();
}

function randomCuts(): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % 700;
  };
}

/** Names and notes in one line, the same however the octets come. */
function said(t: Test, octets: Uint8Array): string {
  const whole = list(octets, () => octets.length);
  if (octets.length < 20_000)
    t.strictSame(
      list(octets, () => 1),
      whole,
      'octet by octet',
    );
  t.strictSame(list(octets, randomCuts()), whole, `at random (SEED=${seed})`);
  return whole === undefined ? '-' : [whole.names.join(','), ...whole.notes].join(' | ');
}

t.test('zip: the central directory', async (t) => {
  const two = [{ name: 'a.txt', data: Buffer.from('PK\x03\x04 not a header') }, { name: 'dir/b.exe' }];
  t.equal(said(t, zip(two)), 'a.txt,dir/b.exe');
  t.equal(said(t, zip(two, { zip64: true })), 'a.txt,dir/b.exe', 'zip64');
  t.equal(said(t, zip(two, { comment: 'A comment PK\x05\x06 that lies' })), 'a.txt,dir/b.exe');
  t.equal(said(t, zip([])), '', 'empty');
  t.equal(said(t, zip([{ name: 'ä.txt', flags: 0x800 }, { name: Uint8Array.of(0xfc, 0x2e, 0x74) }])), 'ä.txt,ü.t');
  t.equal(said(t, zip([{ name: 'x\u202etxt.exe' }, { name: 'a\r\nb\x1b[31m' }])), 'xtxt.exe,a b[31m', 'no controls');
  t.equal(said(t, zip([{ name: 'secret.doc', flags: 1 }, { name: 'plain' }])), 'secret.doc,plain | encrypted');
  t.equal(said(t, zip([{ name: '1', flags: 0x2001 }])), '1 | encrypted, names included');
  const many = Array.from({ length: 130 }, (_, n) => ({ name: `n${n}` }));
  const listing = list(zip(many), () => 4096)!;
  t.strictSame([listing.names.length, listing.notes], [maxNames, ['30 more names']]);
});

t.test('zip: broken ones', async (t) => {
  const whole = zip([{ name: 'a.txt' }, { name: 'b.txt' }]);
  t.equal(said(t, whole.subarray(0, -10)), ' | a zip without a directory: damaged or cut');
  t.equal(said(t, Buffer.from('PK\x03\x04')), ' | a zip without a directory: damaged or cut');
  const lying = Buffer.from(whole);
  lying.writeUInt16LE(9, lying.length - 22 + 10);
  t.equal(said(t, lying), 'a.txt,b.txt | damaged: 2 of 9 files in its directory');
  const long = Buffer.from(whole);
  long.writeUInt32LE(0x7fffffff, long.length - 22 + 12);
  t.match(said(t, long), /^a\.txt,b\.txt \| damaged: its directory is longer than it is/);
  // Nothing but ends of directories, each saying another thing: looked through once.
  const ends = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(2_000_000, 'PK\x05\x06')]);
  const began = performance.now();
  list(ends, () => 256 * 1024);
  t.ok(performance.now() - began < 1000);
});

t.test('zip: a directory longer than what is kept of it', async (t) => {
  const files = Array.from({ length: 20_000 }, (_, n) => ({ name: `${'x'.repeat(60)}${n}` }));
  const listing = list(zip(files), () => 256 * 1024)!;
  t.equal(listing.names.length, maxNames);
  t.match(listing.names[0], /^x{60}\d+$/);
  t.match(listing.notes, ['the first names are left out', /^\d+ more names$/]);
});

t.test('tar: each header', async (t) => {
  const long = `${'deep/'.repeat(30)}name.txt`;
  const pax = Buffer.from(`${`path=päx.txt`.length + 5} path=päx.txt\n`);
  const tar = Buffer.concat([
    tarFile('a.txt', Buffer.alloc(700, 'x')),
    tarFile('b.txt', undefined, { prefix: 'some/where' }),
    tarFile('././@LongLink', Buffer.from(`${long}\0`), { type: 'L' }),
    tarFile('short', Buffer.from('y')),
    tarFile('PaxHeader', pax, { type: 'x' }),
    tarFile('short'),
    tarFile('global', Buffer.from('12 comment=x\n'), { type: 'g' }),
    tarFile('dir/', undefined, { type: '5' }),
  ]);
  t.equal(said(t, Buffer.concat([tar, tarEnd])), `a.txt,some/where/b.txt,${long},päx.txt,dir/`);
  t.match(said(t, tar), /\| damaged or cut$/, 'without its end');
  t.equal(said(t, Buffer.concat([tarFile('a'), Buffer.alloc(512, 'z'), tarEnd])), 'a | damaged or cut');
  t.equal(said(t, Buffer.alloc(2048, 'z')), '-', 'no tar');
});

t.test('gzip: its own name; others: that they are not read', async (t) => {
  const gzip = (flags: number, ...rest: readonly (string | Uint8Array)[]): Buffer =>
    Buffer.concat([Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3]), ...rest.map((piece) => Buffer.from(piece))]);
  t.equal(said(t, gzip(8, 'invoice.pdf\0', 'data')), 'invoice.pdf');
  t.equal(said(t, gzip(12, Uint8Array.of(3, 0, 1, 2, 3), 'after-extra\0')), 'after-extra');
  t.equal(said(t, gzip(0, 'data')), '');
  t.equal(said(t, gzip(8, 'x'.repeat(10_000))), ' | the name in it is not read: too long');
  t.equal(said(t, gzip(4, Uint8Array.of(255, 255))), '');
  t.equal(said(t, Buffer.from('BZh9...')), ' | bzip2 archive: names are not read');
  t.equal(said(t, Buffer.from('%PDF-1.7')), '-');
  t.equal(said(t, Buffer.alloc(0)), '-');
});
