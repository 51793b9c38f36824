/** HAProxy's proxy-protocol.txt, versions 1 and 2: each header whole, octet by octet and cut at random. */
import t from 'tap';
import { networks, plainAddress } from '#app/lib/networks';
import { type Judgement, judge } from '#app/net/proxy-header';
import { randomFrom } from '../imap/random.ts';
import { v2 } from './headers.ts';

const random = randomFrom(t);
const line = (text: string) => Buffer.from(text, 'latin1');

/** What is judged of a stream that comes in these pieces: the first judgement that is not `more`. */
function fed(octets: Buffer, size: () => number): Judgement {
  for (let end = 0; end < octets.length; ) {
    end = Math.min(octets.length, end + Math.max(1, size()));
    const judged = judge(octets.subarray(0, end));
    if (judged.kind !== 'more') return judged;
  }
  return { kind: 'more' };
}

const cuts: readonly [how: string, size: () => number][] = [
  ['whole', () => Number.POSITIVE_INFINITY],
  ['octet by octet', () => 1],
  ...Array.from({ length: 5 }, (): [string, () => number] => ['cut at random', () => 1 + random(30)]),
];

const v6 = '2001:db8::7';
const tlvs = Buffer.concat([Buffer.from([0x01, 0, 2]), line('h2'), Buffer.from([0x20, 0, 5, 1, 0, 0, 0, 0])]);

const good: readonly [what: string, header: Buffer, origin: { address: string; port: number } | undefined][] = [
  ['v1, IPv4', line('PROXY TCP4 192.0.2.7 198.51.100.1 56324 993\r\n'), { address: '192.0.2.7', port: 56324 }],
  ['v1, port 0', line('PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\n'), { address: '192.0.2.7', port: 0 }],
  ['v1, IPv6', line(`PROXY TCP6 ${v6} 2001:db8::1 1 2\r\n`), { address: v6, port: 1 }],
  [
    'v1, the longest',
    line(`PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`),
    { address: `${'ffff:'.repeat(7)}ffff`, port: 65535 },
  ],
  ['v1, IPv6 in another spelling', line('PROXY TCP6 2001:0DB8:0:0:0:0:0:7 ::1 1 2\r\n'), { address: v6, port: 1 }],
  ['v1, IPv4 mapped into IPv6', line('PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n'), { address: '192.0.2.7', port: 1 }],
  ['v1, unknown', line('PROXY UNKNOWN\r\n'), undefined],
  ['v1, unknown with words', line(`PROXY UNKNOWN ${'ffff:'.repeat(7)}ffff what ever\r\n`), undefined],
  ['v2, IPv4', v2({ from: '192.0.2.7', port: 56324 }), { address: '192.0.2.7', port: 56324 }],
  ['v2, IPv6', v2({ from: v6, port: 443 }), { address: v6, port: 443 }],
  ['v2, IPv4 mapped into IPv6', v2({ from: '::ffff:192.0.2.7', port: 1 }), { address: '192.0.2.7', port: 1 }],
  ['v2, with TLVs', v2({ from: '192.0.2.7', port: 1, tlvs }), { address: '192.0.2.7', port: 1 }],
  ['v2, IPv6 with many TLVs', v2({ from: v6, port: 1, tlvs: Buffer.alloc(9000, 4) }), { address: v6, port: 1 }],
  ['v2, LOCAL', v2({ command: 0, family: 0 }), undefined],
  ['v2, LOCAL with addresses', v2({ command: 0, from: '192.0.2.7', port: 1 }), undefined],
  ['v2, unspecified', v2({ family: 0 }), undefined],
  ['v2, unspecified with TLVs', v2({ family: 0, tlvs }), undefined],
  ['v2, from a UNIX socket', v2({ family: 0x31, addresses: Buffer.alloc(216) }), undefined],
];

t.test('a header is read to its end and not further', async (t) => {
  for (const [what, header, origin] of good)
    for (const [how, size] of cuts)
      for (const rest of [Buffer.alloc(0), line('a LOGIN x y\r\n'), Buffer.from([0x16, 3, 1]), header]) {
        const judged = fed(Buffer.concat([header, rest]), size);
        t.same(judged, { kind: 'header', octets: header.length, ...(origin && { origin }) }, `${what}, ${how}`);
      }
});

t.test('a part of one is not judged', async (t) => {
  for (const [what, header] of good)
    for (let length = 0; length < Math.min(header.length, 200); length++)
      if (judge(header.subarray(0, length)).kind !== 'more') t.fail(`${what}: ${length} octets are judged`);
  t.same(judge(good.at(-1)![1].subarray(0, 40)), { kind: 'more' });
});

const broken: readonly [what: string, octets: Buffer][] = [
  ['no header', line('a CAPABILITY\r\n')],
  ['TLS without one', Buffer.from([0x16, 3, 1, 2, 0])],
  ['LHLO without one', line('LHLO x\r\n')],
  ['another word', line('POST / HTTP/1.1\r\n')],
  ['small letters', line('proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n')],
  ['no family', line('PROXY \r\n')],
  ['UDP', line('PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n')],
  ['two spaces', line('PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n')],
  ['an address too little', line('PROXY TCP4 192.0.2.7 1 2\r\n')],
  ['a word too much', line('PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n')],
  ['a space at the end', line('PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n')],
  ['IPv6 as IPv4', line('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['IPv4 as IPv6', line('PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n')],
  ['a zone', line('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n')],
  ['a name', line('PROXY TCP4 localhost 198.51.100.1 1 2\r\n')],
  ['a port too high', line('PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n')],
  ['a port with a sign', line('PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n')],
  ['a port with a nought', line('PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n')],
  ['LF alone', line('PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n')],
  ['108 octets', line(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
  ['no end of it', line(`PROXY UNKNOWN ${'x'.repeat(1000)}`)],
  ['a broken signature', line('\r\n\r\n\0\r\nQUIX\n')],
  ['version 1 in binary', v2({ version: 1, from: '192.0.2.7', port: 1 })],
  ['version 3', v2({ version: 3, from: '192.0.2.7', port: 1 })],
  ['an unknown command', v2({ command: 2, from: '192.0.2.7', port: 1 })],
  ['an unknown family', v2({ family: 0x41, addresses: Buffer.alloc(12) })],
  ['a datagram', v2({ family: 0x12, addresses: Buffer.alloc(12) })],
  ['IPv4 without room for it', v2({ family: 0x11, addresses: Buffer.alloc(11) })],
  ['IPv6 without room for it', v2({ family: 0x21, addresses: Buffer.alloc(35) })],
  ['longer than anything sensible', v2({ from: '192.0.2.7', port: 1, tlvs: Buffer.alloc(40_000) })],
];

t.test('what is no header is bad, at the latest when it is too long', async (t) => {
  for (const [what, octets] of broken)
    for (const [how, size] of cuts) t.match(fed(octets, size), { kind: 'bad', why: /\w/ }, `${what}, ${how}`);
});

t.test('any octets are judged without an error', async (t) => {
  const signature = v2({ family: 0 }).subarray(0, 12);
  for (let n = 0; n < 20_000; n++) {
    const tail = Buffer.from(Array.from({ length: random(60) }, () => random(256)));
    const octets = Buffer.concat([[signature, line('PROXY TCP6 '), Buffer.alloc(0)][n % 3]!, tail]);
    const judged = judge(octets);
    if (judged.kind === 'header' && judged.octets > octets.length) t.fail(octets.toString('hex'));
  }
  t.pass('20,000 tries');
});

t.test('an address has one spelling, and lists know it in all of them', async (t) => {
  for (const [written, plain] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8::', '2001:db8::'],
    ['fe80::1%lo', 'fe80::1'],
    ['', ''],
  ] as const)
    t.equal(plainAddress(written), plain);
  const has = networks(['10.1.0.0/16', '192.0.2.7', '2001:db8::/32']);
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.7', '2001:DB8:1::1']) t.ok(has(address), address);
  for (const address of ['10.2.0.1', '192.0.2.8', '::1', '2001:db9::1', '', 'x']) t.notOk(has(address), address);
  t.notOk(networks([])('127.0.0.1'));
});
