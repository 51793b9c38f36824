import t from 'tap';
import { Bad } from '#imap/errors';
import { formatDateTime } from '#imap/wire/date-time';
import { type Item, Lexer } from '#imap/wire/lexer';
import { mailbox, quote } from '#imap/wire/quote';
import { argsOf, Reader } from '#imap/wire/reader';
import { format, resolve } from '#imap/wire/sequence-set';
import { decode, encode } from '#imap/wire/utf7';
import { randomFrom } from './random.ts';

const limits = { lineOctets: 100, setOctets: 400, skipOctets: 10_000 };

t.test('arguments are read as RFC 3501 has them', async (t) => {
  t.equal(argsOf('abc').atom(), 'abc');
  t.equal(argsOf('a]b c').astring(), 'a]b');
  t.equal(argsOf('"a \\"b\\\\ c"').string(), 'a "b\\ c');
  t.equal(argsOf('""').string(), '');
  t.equal(argsOf('{3}\r\na"b').string(), 'a"b');
  t.equal(argsOf('{3+}\r\na\r\n').string(), 'a\r\n');
  t.equal(argsOf(Buffer.from('"grün"')).string(), 'grün', 'UTF-8 in quotes');
  t.equal(argsOf(Buffer.from('"gr\xfcn"', 'latin1')).string(), 'grün', 'Latin-1 where it is not UTF-8');
  t.equal(argsOf('nil').nstring(), null);
  t.equal(argsOf('"nil"').nstring(), 'nil');
  t.equal(argsOf('4294967295').number(), 4294967295);
  t.equal(argsOf('9007199254740991').modSeq(), 9007199254740991);
  t.equal(argsOf('body.peek[]').keyword(), 'BODY.PEEK');
  t.same(argsOf('(\\seen $x \\ANSWERED)').flagList(), ['\\Seen', '$x', '\\Answered']);
  t.same(argsOf('\\Seen Junk').flagList(true), ['\\Seen', 'Junk']);
  t.same(argsOf('()').flagList(), []);
  t.equal(argsOf('" 1-Feb-2026 10:20:30 +0130"').dateTime().toISOString(), '2026-02-01T08:50:30.000Z');
  t.equal(argsOf('1-Jan-1970').date(), 0);
  t.equal(argsOf('"31-dec-1969"').date(), -1);
  t.same(argsOf('1,3:5,*:7').sequenceSet().ranges, [
    { from: 1, to: 1 },
    { from: 3, to: 5 },
    { from: Number.POSITIVE_INFINITY, to: 7 },
  ]);
  t.same(argsOf('1,2,3,4:6,7').sequenceSet().ranges, [{ from: 1, to: 7 }], 'runs fold');
  t.equal(argsOf(`${'1:*,'.repeat(200_000)}1`).sequenceSet().ranges.length, 2, 'a megabyte of the same is one range');
  t.equal(argsOf('inbox').mailbox(), 'INBOX');
  t.equal(argsOf('"Gr&APwA3w-e"').mailbox(), 'Grüße');
  t.equal(argsOf('"Release & Train"').mailbox(), 'Release & Train');
  t.equal(argsOf(Buffer.from('"Grüße"')).mailbox(), 'Grüße');
  t.equal(argsOf('%/*').listMailbox(), '%/*');
  const args = argsOf('(a b) c');
  const seen: string[] = [];
  args.list(() => seen.push(args.atom()));
  args.sp().atom();
  args.end();
  t.same(seen, ['a', 'b']);
});

t.test('what is not so is Bad, and nothing else', async (t) => {
  const refused: [string | Uint8Array, (args: Reader) => unknown][] = [
    ['', (a) => a.atom()],
    ['(', (a) => a.atom()],
    ['"abc', (a) => a.string()],
    ['"a\rb"', (a) => a.string()],
    ['"a\\b"', (a) => a.string()],
    ['"a\0b"', (a) => a.string()],
    ['{-1}', (a) => a.string()],
    ['{5}\r\nabc', (a) => a.string()],
    ['{99999999999}\r\n', (a) => a.string()],
    ['{3}\r\na\0b', (a) => a.string()],
    ['{3}abc', (a) => a.string()],
    ['abc', (a) => a.string()],
    ['abc', (a) => a.nstring()],
    ['-1', (a) => a.number()],
    ['4294967296', (a) => a.number()],
    ['0', (a) => a.nzNumber()],
    ['01', (a) => a.nzNumber()],
    ['9007199254740992', (a) => a.modSeq()],
    ['0', (a) => a.sequenceSet()],
    ['1:', (a) => a.sequenceSet()],
    ['1,,2', (a) => a.sequenceSet()],
    ['4294967296', (a) => a.sequenceSet()],
    ['"30-Feb-2026 10:00:00 +0000"', (a) => a.dateTime()],
    ['"1-Feb-2026 10:00:00 +0000"', (a) => a.dateTime()],
    ['" 1-Feb-2026 24:00:00 +0000"', (a) => a.dateTime()],
    ['31-Apr-2026', (a) => a.date()],
    ['1-Foo-2026', (a) => a.date()],
    ['()', (a) => a.list(() => a.atom())],
    ['(a  b)', (a) => a.list(() => a.atom())],
    ['(a', (a) => a.list(() => a.atom())],
    [Buffer.from([0xff, 0xfe]), (a) => a.astring()],
    ['a b', (a) => a.end()],
    ['{4}\r\na\r\nb', (a) => a.mailbox()],
    ['\\', (a) => a.flag()],
  ];
  for (const [text, read] of refused)
    t.throws(
      () => read(new Reader(Buffer.from(text as string))),
      Bad,
      JSON.stringify(Buffer.from(text as string).toString('latin1')),
    );
  const deep = new Reader(Buffer.from('('.repeat(10_000)));
  const nest = (): void => deep.list(nest);
  t.throws(nest, Bad, 'ten thousand lists within lists');
});

t.test('names of mailboxes travel in modified UTF-7, both ways', async (t) => {
  for (const [name, wire] of [
    ['Caught', 'Caught'],
    ['Release & Train', 'Release &- Train'],
    ['~peter/mail/台北/日本語', '~peter/mail/&U,BTFw-/&ZeVnLIqe-'],
    ['Grüße', 'Gr&APwA3w-e'],
    ['📬&é', '&2D3c7A-&-&AOk-'],
  ] as const) {
    t.equal(encode(name), wire);
    t.equal(decode(wire), name);
  }
  for (const raw of ['a&b', 'a & b', '&AGE-', '&A-', '&!-', 'ä&-'])
    t.equal(decode(raw), raw, `${raw} is taken as it stands`);
  t.equal(mailbox('a"b\\c'), '"a\\"b\\\\c"');
  t.equal(quote('a\r\nb'), '"a??b"');
});

t.test('sequence sets resolve and format', async (t) => {
  const infinity = Number.POSITIVE_INFINITY;
  t.same(
    resolve({ ranges: [{ from: 9, to: infinity }] }, 5),
    [{ first: 5, last: 9 }],
    'n:* holds the last, RFC 3501 §6.4.8',
  );
  t.same(
    resolve(
      {
        ranges: [
          { from: 5, to: 3 },
          { from: 1, to: 2 },
        ],
      },
      9,
    ),
    [{ first: 1, last: 5 }],
  );
  t.equal(format([1, 2, 3, 7, 9, 10]), '1:3,7,9:10');
  t.equal(formatDateTime(new Date('2026-02-01T08:05:03Z')), ' 1-Feb-2026 08:05:03 +0000');
});

/** What a lexer makes of a stream: at each literal `decide` says what becomes of it. */
function itemsOf(chunks: Buffer[], decide: (size: number) => 'accept' | 'skip' | 'refuse' | 'stream'): string[] {
  const lexer = new Lexer({ ...limits });
  const items: string[] = [];
  let streamed: Buffer[] | undefined;
  for (const chunk of chunks) {
    lexer.push(chunk);
    for (;;) {
      if (streamed) {
        const taken = lexer.take();
        if (!taken) break;
        if (taken !== 'end') streamed.push(Buffer.from(taken));
        else {
          items.push(`streamed ${Buffer.concat(streamed).toString('latin1')}`);
          streamed = undefined;
        }
        continue;
      }
      const item: Item | undefined = lexer.next();
      if (!item) break;
      if (item.kind === 'flood') return [...items, 'flood'];
      items.push(
        `${item.kind} ${(item.kind === 'spoiled' ? item.head.subarray(0, 8) : item.bytes).toString('latin1')}`,
      );
      if (item.kind !== 'literal') continue;
      const choice = decide(item.size);
      if (choice === 'accept') lexer.accept();
      else if (choice === 'skip') lexer.skip('no');
      else if (choice === 'refuse') lexer.refuse();
      else {
        lexer.stream();
        streamed = [];
      }
    }
  }
  items.push(`pending ${lexer.pending}`);
  return items;
}

t.test('input means the same whole, byte by byte and cut anywhere', async (t) => {
  const random = randomFrom(t);
  const octets = 'x'.repeat(60);
  const streams: [string, string, (size: number) => 'accept' | 'skip' | 'refuse' | 'stream', string[]][] = [
    ['lines', 'a NOOP\r\nb NOOP\r\n', () => 'accept', ['command a NOOP', 'command b NOOP']],
    ['a bare LF', 'a NOOP\nb NOOP\r\n', () => 'accept', ['spoiled a NOOP\n', 'command b NOOP']],
    [
      'literals',
      'a LOGIN {3}\r\nb\r\n {2+}\r\n{1\r\nc X\r\n',
      () => 'accept',
      [
        'literal a LOGIN {3}\r\n',
        'literal a LOGIN {3}\r\nb\r\n {2+}\r\n',
        'command a LOGIN {3}\r\nb\r\n {2+}\r\n{1',
        'command c X',
      ],
    ],
    ['an empty literal', 'a X {0}\r\n\r\n', () => 'accept', ['literal a X {0}\r\n', 'command a X {0}\r\n']],
    [
      'no literal',
      'a X {-1}\r\na X {}\r\na X {1}x\r\n',
      () => 'accept',
      ['command a X {-1}', 'command a X {}', 'command a X {1}x'],
    ],
    ['a refused literal', 'a X {9}\r\nb Y\r\n', () => 'refuse', ['literal a X {9}\r\n', 'command b Y']],
    [
      'a literal thrown away, and another behind it',
      `a X {60+}\r\n${octets} {3+}\r\n\r\n\r z\r\nb Y\r\n`,
      () => 'skip',
      ['literal a X {60+}\r\n', 'spoiled a X {60+', 'command b Y'],
    ],
    [
      'a streamed literal',
      `a APPEND x {60}\r\n${octets}\r\nb Y\r\n`,
      () => 'stream',
      ['literal a APPEND x {60}\r\n', `streamed ${octets}`, 'command ', 'command b Y'],
    ],
    ['a line too long', `a ${'x'.repeat(99)}\r\nb Y\r\n`, () => 'accept', ['spoiled a xxxxxx', 'command b Y']],
    [
      'a line too long, and a literal it announces',
      `a ${'x'.repeat(120)} {5+}\r\nb Y\r\n\r\nc Z\r\n`,
      () => 'accept',
      ['spoiled a xxxxxx', 'command c Z'],
    ],
    [
      'a long sequence set does not count',
      `a FETCH ${'1234:*,'.repeat(40)}1 FLAGS\r\nb Y\r\n`,
      () => 'accept',
      [`command a FETCH ${'1234:*,'.repeat(40)}1 FLAGS`, 'command b Y'],
    ],
    [
      'but not for ever',
      `a FETCH ${'1234:*,'.repeat(60)}1 FLAGS\r\nb Y\r\n`,
      () => 'accept',
      ['spoiled a FETCH ', 'command b Y'],
    ],
    [
      'a literal of 4 GiB that waits',
      'a X {4294967296}\r\nb Y\r\n',
      () => 'accept',
      ['spoiled a X {429', 'command b Y'],
    ],
    ['a literal of 4 GiB that comes', 'a X {4294967296+}\r\nb', () => 'accept', ['flood']],
    ['a line without end', `a ${'x'.repeat(11_000)}`, () => 'accept', ['flood']],
  ];
  for (const [name, text, decide, expected] of streams) {
    const bytes = Buffer.from(text, 'latin1');
    const whole = expected.at(-1) === 'flood' ? expected : [...expected, 'pending 0'];
    t.same(itemsOf([bytes], decide), whole, `${name}: whole`);
    t.same(
      itemsOf(
        [...bytes].map((octet) => Buffer.of(octet)),
        decide,
      ),
      whole,
      `${name}: byte by byte`,
    );
    for (let round = 0; round < 10; round++) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + random(20);
        chunks.push(bytes.subarray(at, at + size));
        at += size;
      }
      t.same(itemsOf(chunks, decide), whole, `${name}: cut anywhere`);
    }
  }
});

t.test('bytes handed out are not written to by what comes later', async (t) => {
  const lexer = new Lexer({ ...limits });
  lexer.push(Buffer.from('a NO'));
  lexer.push(Buffer.from('OP\r\n'));
  const item = lexer.next();
  lexer.push(Buffer.from('b XX'));
  lexer.push(Buffer.from('XX\r\n'));
  t.ok(item?.kind === 'command' && item.bytes.toString() === 'a NOOP');
});

t.test('any octets at all are items, and memory stays bounded', async (t) => {
  const random = randomFrom(t);
  const alphabet = Buffer.from('a {}0123456789+\r\n"\\\r\n\0\xff', 'latin1');
  for (let round = 0; round < 200; round++) {
    const lexer = new Lexer({ ...limits });
    for (let chunk = 0; chunk < 50; chunk++) {
      lexer.push(Buffer.from(Array.from({ length: 1 + random(30) }, () => alphabet[random(alphabet.length)]!)));
      for (let item = lexer.next(); item; item = lexer.next()) {
        if (item.kind === 'flood') lexer.clear();
        if (item.kind === 'literal') (item.waits && random(2) ? () => lexer.refuse() : () => lexer.skip('no'))();
      }
      if (lexer.pending > limits.setOctets + 30) t.fail(`keeps ${lexer.pending} octets`);
    }
  }
  t.pass('survived');
});
