/** Inventories of messages: of all samples, however they come in pieces; and what attackers send costs no time. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { Attachment, Inventory } from '#store/model';
import { attached, inventoryOf, mixed, tarEnd, tarFile, zip } from './reading.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const folder = new URL('../fixtures/raw/', import.meta.url);
const sample = (name: string): Buffer => readFileSync(new URL(`${name}.eml`, folder));
const sha256 = (octets: string | Uint8Array): string => createHash('sha256').update(octets).digest('hex');

function randomCuts(most: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % most;
  };
}

const words = ({ name, type, size, names, note }: Attachment): string =>
  [name || '(no name)', type, size, ...(names ? [`holds ${names}`] : []), ...(note ? [note] : [])].join(' ');
const listed = (raw: Uint8Array): string[] => inventoryOf(raw).attachments.map(words);
const linked = ({ links }: Inventory): string[] => links.map(({ domain, count }) => `${domain} ${count}`);

t.test('every sample has an inventory, the same however it comes, soon, and no larger than 64 KiB', async (t) => {
  for (const name of readdirSync(folder)) {
    const raw = readFileSync(new URL(name, folder));
    const began = performance.now();
    const whole = inventoryOf(raw);
    const ms = performance.now() - began;
    t.ok(ms < 1000, `${name}: ${Math.round(ms)} ms`);
    t.ok(Buffer.byteLength(JSON.stringify(whole)) <= 64 * 1024, `${name}: size`);
    t.strictSame(inventoryOf(raw, randomCuts(9000)), whole, `${name}: at random (SEED=${seed})`);
    if (raw.length < 5000)
      t.strictSame(
        inventoryOf(raw, () => 1),
        whole,
        `${name}: octet by octet`,
      );
    t.notMatch(JSON.stringify(whole), /[\u202a-\u202e\x7f-\x9f]|\\u00[01]|\\[nrtbf]/, `${name}: no control characters`);
  }
});

t.test('names as RFC 2231, RFC 2047 and everybody else writes them', async (t) => {
  t.strictSame(listed(sample('ham-rfc2231-names')), [
    'Übersicht €.pdf application/pdf 9',
    'Übersicht.pdf application/pdf 9',
    'Übersicht.pdf application/pdf 9',
  ]);
  t.equal(inventoryOf(sample('ham-rfc2231-names')).attachments[0]?.sha256, sha256('%PDF-1.4\n'));
  const climbing = inventoryOf(sample('attack-attachment-paths')).attachments.map(({ name }) => name);
  t.equal(climbing.length, 15);
  t.ok(climbing.includes('../../../../etc/passwd'), 'as declared: nobody makes a file of it');
  t.ok(climbing.every((name) => name.length <= 200));
  t.strictSame(listed(sample('virus-double-extension'))[0]?.split(' ')[0], 'invoice.pdf.exe');
});

t.test('what is an attachment, and what is the text of the message', async (t) => {
  t.strictSame(listed(sample('ham-plain-ascii')), []);
  t.strictSame(listed(sample('spam-pharmacy-html')), []);
  const raw = mixed(
    { header: 'Content-Type: text/plain', body: 'Hello' },
    { header: 'Content-Type: text/html', body: '<a href="http://a.example">x</a>' },
    { header: 'Content-Type: text/plain; name=notes.txt', body: 'http://b.example' },
    { header: 'Content-Type: text/html\r\nContent-Disposition: attachment', body: '<a href="http://c.example">x</a>' },
    { header: 'Content-Type: text/calendar', body: 'BEGIN:VCALENDAR' },
    { header: 'Content-Type: image/png', body: 'x' },
    { header: '', body: 'http://d.example' },
  );
  t.strictSame(listed(raw), [
    'notes.txt text/plain 16',
    '(no name) text/html 32',
    '(no name) text/calendar 15',
    '(no name) image/png 1',
  ]);
  t.strictSame(linked(inventoryOf(raw)), ['a.example 1', 'b.example 1', 'c.example 1', 'd.example 1']);
  const single = Buffer.from(
    'Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEs=\r\n',
  );
  t.strictSame(listed(single), ['a.zip application/zip 2'], 'the message itself');
});

t.test('encodings: decoded size and hash', async (t) => {
  const part = (encoding: string, body: string) => ({
    header: `Content-Type: application/x\r\nContent-Transfer-Encoding: ${encoding}`,
    body,
  });
  const raw = mixed(
    part('base64', 'aGVs\r\nbG8'),
    part('BASE64', 'aGVs=bG8='),
    part('quoted-printable', 'h=65l=\r\nlo'),
    part('binary', 'hello'),
    part('x-uuencode', 'hello'),
  );
  const { attachments } = inventoryOf(raw);
  t.strictSame(
    attachments.map(({ size, note }) => `${size} ${note ?? ''}`.trim()),
    ['5', '5', '5', '5', '5 not decoded: x-uuencode'],
  );
  for (const { sha256: hash } of attachments) t.equal(hash, sha256('hello'));
});

t.test('archives', async (t) => {
  const inner = zip([{ name: 'word/vbaProject.bin' }, { name: 'ä' }]);
  const raw = mixed(
    attached('a.docm', inner),
    attached('b.tar', Buffer.concat([tarFile('x/y', Buffer.from('z')), tarEnd])),
    attached('c.zip', zip([{ name: 'locked', flags: 1 }])),
    { header: 'Content-Type: application/zip; name=d.zip\r\nContent-Transfer-Encoding: 8bit', body: inner },
    attached('e.txt', Buffer.from('no archive')),
  );
  t.match(listed(raw), [
    /^a\.docm application\/octet-stream \d+ holds word\/vbaProject\.bin,ä$/,
    /^b\.tar .* holds x\/y$/,
    /^c\.zip .* holds locked encrypted$/,
    /^d\.zip .* holds word\/vbaProject\.bin,ä$/,
    /^e\.txt application\/octet-stream 10$/,
  ]);
  t.match(listed(sample('attack-zip-bomb')), [/^bomb\.zip application\/zip \d+ holds 0\.zip,1\.zip,/]);
});

t.test('messages in messages: each is an attachment, and so is what hangs on it', async (t) => {
  const forwarded = inventoryOf(sample('ham-forwarded-rfc822')).attachments;
  t.equal(forwarded[0]?.type, 'message/rfc822');
  const inside = mixed(attached('inner.pdf', Buffer.from('%PDF')));
  const outer = mixed(
    { header: 'Content-Type: message/rfc822; name=fwd.eml', body: inside },
    attached('b', Buffer.from('b')),
  );
  t.strictSame(listed(outer), [
    `fwd.eml message/rfc822 ${inside.length}`,
    'inner.pdf application/octet-stream 4',
    'b application/octet-stream 1',
  ]);
  t.equal(inventoryOf(outer).attachments[0]?.sha256, sha256(inside));
  // Twelve in each other: the same octets are hashed four times, not twelve.
  const twelve = inventoryOf(sample('ham-rfc822-12-levels')).attachments;
  t.equal(twelve.filter(({ type }) => type === 'message/rfc822').length, 4);
});

t.test('links of a real phish, and of one that hides', async (t) => {
  t.strictSame(linked(inventoryOf(sample('spam-phish-bank'))), ['login.spam.test 2', 'www.bank.example.com 1']);
  const encoded = Buffer.from(
    'Content-Type: text/html; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\n' +
      Buffer.from('<a href="https://bit.ly/x">', 'utf16le').toString('base64'),
  );
  t.strictSame(inventoryOf(encoded).links, [{ domain: 'bit.ly', count: 1, shortener: true }]);
});

t.test('more than there is room for', async (t) => {
  const many = mixed(
    ...Array.from({ length: 700 }, (_, n) => attached(`file-${n}-${'n'.repeat(100)}.bin`, Buffer.from('x'))),
  );
  const inventory = inventoryOf(many);
  t.ok(Buffer.byteLength(JSON.stringify(inventory)) <= 64 * 1024);
  t.match(inventory.problem, /^only \d+ of 700 attachments are listed$/);
  t.ok(inventory.attachments.length > 100);
  t.match(inventory.attachments[0]?.name, /^file-0-/, 'the first ones');
  const wide = zip(Array.from({ length: 100 }, (_, n) => ({ name: `\u{1f4c4}${'n'.repeat(190)}${n}` })));
  const archives = inventoryOf(mixed(...Array.from({ length: 20 }, (_, n) => attached(`${n}.zip`, wide))));
  t.ok(Buffer.byteLength(JSON.stringify(archives)) <= 64 * 1024);
  t.equal(archives.attachments.length, 20, 'names of archives go first');
  t.match(archives.attachments.at(-1)?.note, /names are left out/);
  const links = Buffer.from(
    `\r\n${Array.from({ length: 500 }, (_, n) => `http://${'l'.repeat(80)}${n}.example/`).join('\n')}`,
  );
  const cut = inventoryOf(links);
  t.ok(Buffer.byteLength(JSON.stringify(cut)) <= 64 * 1024);
  t.equal(cut.problem, 'not all links were looked at');
});

t.test('attacks: linear, whatever is in header, type, name and body', async (t) => {
  const mb = (piece: string): string => piece.repeat(Math.ceil(1_000_000 / piece.length));
  const table: Readonly<Record<string, string | Buffer>> = {
    'a 10 MB header': `X: ${'a'.repeat(10_000_000)}\r\nContent-Type: text/html\r\n\r\n<a href="http://a.example">`,
    '50,000 RFC 2231 pieces': `Content-Type: a/b${Array.from({ length: 50_000 }, (_, n) => `; name*${n}*=x`).join('')}\r\n\r\nx`,
    '100,000 header lines': `${'Content-Disposition: attachment; filename=x\r\n'.repeat(100_000)}\r\nx`,
    '10,000 parts': mixed(
      ...Array.from({ length: 10_000 }, () => ({ header: 'Content-Type: a/b; name=x', body: 'y' })),
    ),
    'long base64 without breaks': `Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n${mb('QUFB')}${mb('QUFB')}`,
    ...Object.fromEntries(
      ['=?', '(((', '<<<<', ';;;;', '"\\"\\\\', "''", '%41', '=41', ' ', '=?utf-8?b?'].flatMap((piece) => [
        [`a name of ${piece}`, `Content-Type: a/b; name="${mb(piece)}\r\n\r\nx`],
        [`a type of ${piece}`, `Content-Type: ${mb(piece)}\r\n\r\nx`],
        [`HTML of ${piece}`, `Content-Type: text/html\r\n\r\n${mb(piece)}`],
      ]),
    ),
  };
  for (const [name, raw] of Object.entries(table)) {
    const octets = Buffer.from(raw);
    const began = performance.now();
    const inventory = inventoryOf(octets);
    const ms = performance.now() - began;
    t.ok(ms < 2000, `${name}: ${Math.round(ms)} ms`);
    t.ok(Buffer.byteLength(JSON.stringify(inventory)) <= 64 * 1024, name);
  }
});
