import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { parseAddresses } from '#imap/mime/addresses';
import { coversAll } from '#imap/mime/common-fields';
import { TextDecoding } from '#imap/mime/decode';
import { fields, headerEnd, latin1, unfold } from '#imap/mime/header';
import { parseValued } from '#imap/mime/params';
import { DEFAULT_LIMITS } from '#imap/mime/parser';
import { PartTable, type SectionKind } from '#imap/mime/part-table';
import { quote } from '#imap/mime/quote';
import { type Summarized, Summarizer } from '#imap/mime/summary';
import { clean, decodeParameter, decodeWords } from '#imap/mime/words';
import { checkBody, checkEnvelope, imapValue } from './imap-value.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const rawFolder = new URL('../fixtures/raw/', import.meta.url);
const goldenFolder = new URL('../golden/mime/', import.meta.url);
const samples = readdirSync(rawFolder)
  .filter((name) => name.endsWith('.eml'))
  .sort();
const sample = (name: string) => readFileSync(new URL(name, rawFolder));

function summarize(message: Uint8Array, cut: (at: number) => number = () => message.length): Summarized {
  const summarizer = new Summarizer();
  for (let at = 0; at < message.length; ) {
    const length = Math.max(1, cut(at));
    // A copy, as a socket would give: the parser may keep nothing of it.
    const piece = Uint8Array.from(message.subarray(at, at + length));
    summarizer.push(piece);
    piece.fill(0x2d);
    at += length;
  }
  return summarizer.end();
}

/** Small, seeded, the same everywhere (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const ascii = (octets: Uint8Array) => latin1(octets);
const bodyOf = (message: string) => ascii(summarize(bytes(message)).bodyStructure);
const envelopeOf = (header: string) => ascii(summarize(bytes(`${header}\r\n\r\n`)).envelope);

t.test('the fields of a header, whatever it looks like', async (t) => {
  const table: [header: string, names: string, why: string][] = [
    ['A: 1\r\nB: 2\r\n\r\nC: 3\r\n', 'A=1|B=2', 'up to the empty line'],
    ['A: 1\nB: 2\n\nC: 3\n', 'A=1|B=2', 'bare LF'],
    ['A: 1\r\n 2\r\n\t3\r\nB:4', 'A=1 2\t3|B=4', 'folded; no line break at the end'],
    ['A: 1\r\n \r\n 2\r\nB: 4\r\n', 'A=1  2|B=4', 'a line of blanks continues the field'],
    ['no colon\r\nA: 1\r\n', 'A=1', 'a line without a colon is passed over'],
    ['From me Mon 10:00:00\r\n more\r\nA: 1\r\n', 'A=1', "mbox's line is no field, nor what continues it"],
    [' first\r\nA: 1\r\n', 'A=1', 'a continuation of nothing'],
    ['A : 1\r\nB\t: 2\r\n', 'A=1|B=2', 'blanks before the colon (RFC 5322 §4.5.8)'],
    [': 1\r\nA: 1', 'A=1', 'no name'],
    ['A:\r\nB:  \r\n', 'A=|B=', 'empty values'],
    ['A: x\rB: y\r\n', 'A=x B: y', 'a bare CR is no line end'],
    ['A: \xc3\xa4\r\nB: \xe4\r\n', 'A=ä|B=ä', 'UTF-8 where valid, else Latin-1'],
    ['A\x80: 1\r\nB: 2', 'B=2', '8-bit names are none'],
    ['', '', 'nothing'],
    ['\r\nA: 1', '', 'an empty header'],
    ['A', '', 'a name at the very end'],
    ['A:', 'A=', 'a colon at the very end'],
  ];
  for (const [header, expected, why] of table) {
    const found = [...fields(bytes(header))].map(
      (f) => `${f.name}=${unfold(bytes(header).subarray(f.valueStart, f.end))}`,
    );
    t.equal(found.join('|'), expected, why);
  }
  t.equal(headerEnd(bytes('A: 1\r\n\r\nbody')), 8);
  t.equal(headerEnd(bytes('A: 1\n\nbody')), 6);
  t.equal(headerEnd(bytes('\r\nbody')), 2);
  t.equal(headerEnd(bytes('A: 1\r\n \r\nB: 2')), 13, 'a line of a blank is not empty');
});

t.test('encoded words become text', async (t) => {
  const table: [text: string, expected: string, why: string][] = [
    ['plain', 'plain', 'none'],
    ['=?utf-8?q?Gr=C3=BC=C3=9Fe?=', 'Grüße', 'Q'],
    ['=?UTF-8?B?R3LDvMOfZQ==?=', 'Grüße', 'B'],
    ['=?iso-8859-1?q?a_b?= =?iso-8859-1?q?c?=', 'a bc', 'blanks between words vanish'],
    ['a =?utf-8?q?b?= c', 'a b c', 'other blanks stay'],
    ['=?utf-8?b?w7w=?==?utf-8?b?w7w=?=', 'üü', 'no blank between'],
    ['=?utf-8?q?=C3?= =?utf-8?q?=BC?=', 'ü', 'a character cut between two words'],
    ['=?utf-8?q?=C3?= =?iso-8859-1?q?=FC?=', '\ufffdü', 'but not of two charsets'],
    ['=?koi8-r?b?8M/S1A==?=', 'Порт', 'KOI8-R'],
    ['=?iso-2022-jp?b?GyRCMnE1RBsoQg==?=', '会議', 'ISO-2022-JP'],
    ['=?gb18030?b?xOO6ww==?=', '你好', 'GB18030'],
    ['=?utf-7?q?+APw-?=', 'ü', 'UTF-7'],
    ['=?x-unknown?q?=E4?=', 'ä', 'unknown: Latin-1'],
    ['=?utf-8*en?q?x?=', 'x', 'with a language (RFC 2231 §5)'],
    ['"=?utf-8?q?in_quotes?=" <a@b>', '"in quotes" <a@b>', 'in a quoted string'],
    ['=?utf-8?q?Really??=', 'Really?', 'an unencoded question mark at the end'],
    ['=?utf-8?q?=ZZ=4?=', '=ZZ=4', 'what encodes nothing stays'],
    ['=?utf-8?x?abc?= =?utf-8?q?open', '=?utf-8?x?abc?= =?utf-8?q?open', 'no encoded words'],
    ['=?utf-8?b?!!!?=', '', 'B of nothing'],
    ['ü =?utf-8?q?ü?=', 'ü ü', 'raw UTF-8 in between and inside'],
  ];
  for (const [text, expected, why] of table) t.equal(decodeWords(text), expected, why);
});

t.test('text made safe to show', async (t) => {
  t.equal(clean('a\r\nBcc: x\0\x1b[31m\x9b', 500), 'a Bcc: x[31m', 'no control characters, one line');
  t.equal(clean('exe.\u202efdp\u2066x\u200f', 500), 'exe.fdpx', 'no reordering');
  t.equal(clean('  a  ', 500), 'a');
  t.equal(clean('abcdef', 3), 'abc');
  t.equal(clean('ab😀', 3), 'ab', 'never half a character');
  t.equal(clean('a\ud800b', 500), 'a\ufffdb');
  t.equal(clean('\0'.repeat(1_000_000), 500), '');
});

t.test('parameters, as written and decoded', async (t) => {
  const table: [value: string, expected: string][] = [
    ['text/plain; charset=utf-8', 'text/plain charset=utf-8'],
    ['TEXT/Plain ; CHARSET = "a b" ;x', 'TEXT/Plain charset=a b'],
    ['multipart/mixed (comment); boundary="a\\"b"', 'multipart/mixed boundary=a"b'],
    ['a/b; name=my file (1).pdf; x=y z', 'a/b name=my file (1).pdf x=y'],
    ['a/b; x="unclosed', 'a/b x=unclosed'],
    ['a/b;;;; =x; y=', 'a/b y='],
    ['', ''],
    ['attachment;\r\n\tfilename="x\r\n y"', 'attachment filename=x y'],
  ];
  for (const [value, expected] of table) {
    const parsed = parseValued(value);
    t.equal([parsed.value, ...parsed.params.map(([name, text]) => `${name}=${text}`)].join(' '), expected, value);
  }
  const decoded = (value: string, name: string) => decodeParameter(parseValued(value).params, name);
  t.equal(decoded("a/b; name*=utf-8'de'%C3%9Cber%20x", 'name'), 'Über x');
  t.equal(decoded("a/b; name*0*=utf-8''%C3%9C; name*1=b%20; name*2*=%C3%BC", 'name'), 'Üb%20ü');
  t.equal(decoded('a/b; name*1=b; name*0=a; name*3=lost', 'name'), 'ab', 'any order; nothing after a gap');
  t.equal(decoded('a/b; name="=?utf-8?q?=C3=BC?="', 'name'), 'ü');
  t.equal(decoded('a/b; name*2=x', 'name'), undefined);
  t.equal(decoded('a/b; name*=%41', 'name'), 'A', 'no charset');
});

t.test('addresses, broken ones too', async (t) => {
  const table: [list: string, expected: string][] = [
    ['ann@example.org', '<ann@example.org>'],
    ['Ann B. Example <ann@example.org>', 'Ann B. Example<ann@example.org>'],
    ['"Ann, B" <ann@example.org>, b@c', 'Ann, B<ann@example.org> <b@c>'],
    ['"a \\"q\\" b" <a@b>', 'a "q" b<a@b>'],
    ['ann@example.org (Ann \\( Example)', 'Ann ( Example<ann@example.org>'],
    ['G: a@b, C <c@d>;, e@f', '{G <a@b> C<c@d> } <e@f>'],
    ['undisclosed-recipients:;', '{undisclosed-recipients }'],
    ['G: a@b', '{G <a@b> }'],
    ['<@r1,@r2:a@b>', '<@r1,@r2:a@b>'],
    ['"a b"@c', '<a b@c>'],
    ['a @ b', '<a@b>'],
    ['a@b@c', '<a@b@c>'],
    ['nobody', '<nobody@>'],
    ['Ann Example ann@example.org', 'Ann Example<ann@example.org>'],
    ['<>', ''],
    ['Name <>', 'Name<@>'],
    [',,;,', ''],
    ['"unclosed <f@g>', '"unclosed<f@g>'],
    ['(unclosed <f@g>', '(unclosed<f@g>'],
    ['<a@b, <c@d', '<a@b> <c@d>'],
    ['a@[192.0.2.1]', '<a@[192.0.2.1]>'],
    ['J\xfcrgen <j@x>', 'J\xfcrgen<j@x>'],
    ['=?utf-8?q?x,y?= <a@b>', '=?utf-8?q?x<@> y?=<a@b>'],
  ];
  for (const [list, expected] of table) {
    const out: string[] = [];
    parseAddresses(list, {
      full: false,
      address: (a) => out.push(`${a.name ?? ''}<${a.route === undefined ? '' : `${a.route}:`}${a.mailbox}@${a.host}>`),
      groupStart: (name) => out.push(`{${name}`),
      groupEnd: () => out.push('}'),
    });
    if (list.startsWith('=?utf-8?q?x,y')) t.ok(out.length > 0, 'commas in encoded words are the senders fault');
    else t.equal(out.join(' '), expected, list);
  }
});

t.test('ENVELOPE says NIL, empty and From where RFC 3501 says so', async (t) => {
  t.equal(envelopeOf('X: y'), '(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)');
  t.equal(
    envelopeOf('From: a@b\r\nSubject:\r\nSender:\r\nReply-To: <>'),
    '(NIL "" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)',
  );
  t.equal(
    envelopeOf('From: a@b\r\nSender: s@b\r\nReply-To: r@b\r\nTo: c@d\r\nTo: e@f\r\nSubject: 1\r\nSubject: 2'),
    '(NIL "1" ((NIL NIL "a" "b")) ((NIL NIL "s" "b")) ((NIL NIL "r" "b")) ((NIL NIL "c" "d")(NIL NIL "e" "f")) NIL NIL NIL NIL)',
    'several To are one list, the first Subject counts',
  );
  t.equal(quote('a"b\\c'), '"a\\"b\\\\c"');
  t.equal(quote('a\0\r\nb'), '{5}\r\na\x80  b');
  t.equal(quote('\xfc'), '{1}\r\n\xfc');
  const many = envelopeOf(`To: ${Array.from({ length: 1000 }, (_, i) => `r${i}@example.org`).join(',\r\n ')}`);
  t.equal(many.match(/"example\.org"/g)?.length, 1000, 'a thousand recipients are all there');
});

t.test('BODYSTRUCTURE of parts that are right, and of parts that are not', async (t) => {
  const text = '"text" "plain" ("charset" "us-ascii") NIL NIL "7bit"';
  const table: [message: string, expected: string, why: string][] = [
    ['', `(${text} 0 0 NIL NIL NIL NIL)`, 'nothing at all'],
    ['\r\nhello\r\n', `(${text} 7 1 NIL NIL NIL NIL)`, 'no header'],
    ['A: b', `(${text} 0 0 NIL NIL NIL NIL)`, 'no empty line'],
    ['Content-Type: nonsense\r\n\r\nx', `(${text} 1 0 NIL NIL NIL NIL)`, 'an invalid type'],
    ['Content-Type: multipart/mixed\r\n\r\nx', `(${text} 1 0 NIL NIL NIL NIL)`, 'no boundary'],
    [
      'Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n',
      `((${text} 0 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`,
      'a boundary that never comes',
    ],
    [
      'Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\n\n--b--',
      `((${text} 3 0 NIL NIL NIL NIL)(${text} 0 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`,
      'bare LF; an empty part; no line break at the end',
    ],
    [
      'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b\r\n--b--\r\n',
      `(("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)(${text} 0 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`,
      'boundaries within headers',
    ],
    [
      'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--bx\r\n--b--x\r\n --b\r\n--b \t\r\n\r\ntwo\r\n--b--\r\nepilogue\r\n--b\r\n\r\nthree',
      `((${text} 18 2 NIL NIL NIL NIL)(${text} 3 0 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`,
      'what is almost a boundary is text; after the last one nothing counts',
    ],
    [
      'Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\n\r\nx\r\n--b--\r\n',
      `(("message" "rfc822" NIL NIL NIL "7bit" 15 (NIL "s" NIL NIL NIL NIL NIL NIL NIL NIL) (${text} 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) "digest" ("boundary" "b") NIL NIL NIL)`,
      'a digest holds messages',
    ],
    [
      'Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n--a--\r\n',
      `(((${text} 1 0 NIL NIL NIL NIL) "mixed" ("boundary" "a") NIL NIL NIL) "mixed" ("boundary" "a") NIL NIL NIL)`,
      'the same boundary twice: the inner one first',
    ],
    [
      'Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nx\r\n--o--\r\n',
      `(("message" "rfc822" NIL NIL NIL "7bit" 53 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ((${text} 1 0 NIL NIL NIL NIL) "mixed" ("boundary" "i") NIL NIL NIL) 4 NIL NIL NIL NIL) "mixed" ("boundary" "o") NIL NIL NIL)`,
      'an outer boundary closes whatever is open',
    ],
    [
      'Content-Type: image/PNG; name="a\\"b"\r\nContent-Transfer-Encoding: BASE64\r\nContent-ID: <i@x>\r\nContent-Description: d\r\nContent-MD5: m\r\nContent-Disposition: INLINE; filename=x\r\nContent-Language: de, en\r\nContent-Location: l\r\n\r\nAA==',
      '("image" "png" ("name" "a\\"b") "<i@x>" "d" "base64" 4 "m" ("inline" ("filename" "x")) ("de" "en") "l")',
      'extension data',
    ],
  ];
  for (const [message, expected, why] of table) {
    t.equal(bodyOf(message), expected, why);
    for (const size of [1, 2, 3])
      t.equal(ascii(summarize(bytes(message), () => size).bodyStructure), expected, `${why}, ${size} at a time`);
  }
});

t.test('sections of RFC 3501 §6.4.5, its example', async (t) => {
  const message = [
    'Subject: top\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n',
    '--m\r\n\r\nP1\r\n',
    '--m\r\nContent-Type: application/octet-stream\r\n\r\nP2\r\n',
    '--m\r\nContent-Type: message/rfc822\r\nX: mime3\r\n\r\n',
    'Subject: s3\r\nContent-Type: multipart/mixed; boundary=m3\r\n\r\n',
    '--m3\r\n\r\nP31\r\n--m3\r\nContent-Type: application/octet-stream\r\n\r\nP32\r\n--m3--\r\n',
    '--m\r\nContent-Type: multipart/mixed; boundary=m4\r\n\r\n',
    '--m4\r\nContent-Type: image/gif\r\n\r\nP41\r\n',
    '--m4\r\nContent-Type: message/rfc822\r\nX: mime42\r\n\r\n',
    'Subject: s42\r\nContent-Type: multipart/mixed; boundary=m42\r\n\r\n',
    '--m42\r\n\r\nP421\r\n--m42\r\nContent-Type: multipart/alternative; boundary=m422\r\n\r\n',
    '--m422\r\n\r\nP4221\r\n--m422\r\nContent-Type: text/richtext\r\n\r\nP4222\r\n--m422--\r\n--m42--\r\n--m4--\r\n',
    '--m\r\nContent-Type: message/rfc822\r\n\r\nSubject: s5\r\n\r\nP5\r\n--m--\r\n',
  ].join('');
  const table = new PartTable(summarize(bytes(message)).parts);
  const section = (path: string, what: SectionKind = '') => {
    const range = table.find(path === '' ? [] : path.split('.').map(Number), what);
    return range && message.slice(range.start, range.end);
  };
  t.equal(section(''), message);
  t.match(section('', 'HEADER'), /^Subject: top[\s\S]*\r\n\r\n$/);
  t.match(section('', 'TEXT'), /^--m\r\n[\s\S]*--m--\r\n$/);
  for (const [path, body] of Object.entries({
    '1': 'P1',
    '2': 'P2',
    '3.1': 'P31',
    '3.2': 'P32',
    '4.1': 'P41',
    '4.2.1': 'P421',
    '4.2.2.1': 'P4221',
    '4.2.2.2': 'P4222',
    '5.1': 'P5',
  }))
    t.equal(section(path), body, path);
  t.equal(section('3', 'HEADER'), 'Subject: s3\r\nContent-Type: multipart/mixed; boundary=m3\r\n\r\n');
  t.match(section('3', 'TEXT'), /^--m3\r\n[\s\S]*--m3--$/);
  t.equal(section('3', 'MIME'), 'Content-Type: message/rfc822\r\nX: mime3\r\n\r\n');
  t.equal(section('4.2', 'MIME'), 'Content-Type: message/rfc822\r\nX: mime42\r\n\r\n');
  t.match(section('4.2', 'HEADER'), /^Subject: s42\r\n/);
  t.match(section('4.2.2'), /^--m422\r\n[\s\S]*--m422--$/);
  t.equal(section('4.2.2', 'MIME'), 'Content-Type: multipart/alternative; boundary=m422\r\n\r\n');
  t.equal(section('5.1', 'MIME'), 'Subject: s5\r\n\r\n');
  for (const [path, what] of [
    ['6', ''],
    ['1.1', ''],
    ['4.3', ''],
    ['5.2', ''],
    ['5.1.1', ''],
    ['1', 'HEADER'],
    ['1', 'TEXT'],
    ['4', 'HEADER'],
    ['6', 'MIME'],
  ] as const)
    t.equal(section(path, what), undefined, `there is no ${path} ${what}`);
  const plain = new PartTable(summarize(bytes('A: b\r\n\r\nbody')).parts);
  t.strictSame(plain.find([1], ''), { start: 8, end: 12 }, 'a message that is no multipart has the one part 1');
  t.strictSame(plain.find([1], 'MIME'), { start: 0, end: 8 });
  t.equal(plain.find([2], ''), undefined);
  t.throws(() => new PartTable(new Uint8Array(3)), RangeError);
});

t.test('the common fields are kept as they came', async (t) => {
  const header = 'From: a@b\r\nX-Other: 1\r\nRECEIVED: x\r\n\ty\r\nReceived : z\r\nTo: last';
  t.equal(
    ascii(summarize(bytes(header)).commonFields),
    'From: a@b\r\nRECEIVED: x\r\n\ty\r\nReceived : z\r\nTo: last\r\n',
  );
  t.ok(coversAll(['From', 'MESSAGE-ID', 'references', 'X-Priority']));
  t.notOk(coversAll(['From', 'X-Lazaret-Id']));
});

function describe(s: Summarized): string {
  const table = new PartTable(s.parts);
  const rows: string[] = [];
  for (let i = 0; i < table.rows; i++) {
    const { kind, headerStart, bodyStart, bodyEnd, lines } = table.row(i);
    rows.push(`${kind} ${headerStart} ${bodyStart} ${bodyEnd} ${lines}`);
  }
  const shown = {
    size: `${s.size}`,
    headerSize: `${s.headerSize}`,
    subject: JSON.stringify(s.subject),
    from: JSON.stringify(s.from),
    envelope: JSON.stringify(ascii(s.envelope)),
    body: JSON.stringify(ascii(s.body)),
    bodyStructure: JSON.stringify(ascii(s.bodyStructure)),
    commonFields: JSON.stringify(ascii(s.commonFields)),
    parts: rows.join(', '),
  };
  return Object.entries(shown)
    .map(([name, text]) => `${name}: ${text.length > 4000 ? `${text.length} sha256 ${hash(text)}` : text}\n`)
    .join('');
}

const hash = (text: string) => createHash('sha256').update(text).digest('hex');

t.test('every sample has a structure, the same however it is cut', async (t) => {
  t.equal(samples.length, 77);
  const seed = Number(process.env.SEED) || Date.now() % 1_000_000_000;
  t.comment(`SEED=${seed}`);
  const next = random(seed);
  for (const name of samples) {
    const message = sample(name);
    const whole = summarize(message);
    const text = describe(whole);
    const file = new URL(name.replace(/\.eml$/, '.txt'), goldenFolder);
    if (process.env.UPDATE_GOLDEN) writeFileSync(file, text);
    t.equal(
      text,
      existsSync(file) ? readFileSync(file, 'utf8') : '',
      `${name}: as in ${file.pathname.split('/').pop()}`,
    );
    checkEnvelope(imapValue(whole.envelope));
    const parts = checkBody(imapValue(whole.bodyStructure), true);
    t.equal(checkBody(imapValue(whole.body), false), parts, `${name}: well formed`);
    t.equal(new PartTable(whole.parts).rows >= parts, true);
    // A copy of each octet of 1.5 MB would take longer than all the rest.
    for (const most of message.length < 300_000 ? [1, 7, 5000] : [5000])
      t.strictSame(
        summarize(message, () => 1 + Math.floor(next() * most)),
        whole,
        `${name}: in pieces of up to ${most} octets, SEED=${seed}`,
      );
  }
});

t.test('row 16: nested and many parts are cut, and stay well formed', async (t) => {
  const deep = summarize(sample('attack-nested-multipart-2000.eml'));
  let value = imapValue(deep.bodyStructure);
  let depth = 0;
  while (Array.isArray(value) && Array.isArray(value[0])) {
    value = value[0];
    depth++;
  }
  t.equal(depth, DEFAULT_LIMITS.depth);
  t.strictSame(
    Array.isArray(value) && value.slice(0, 3),
    ['application', 'octet-stream', null],
    'shown as something to save',
  );
  const nested = 'Content-Type: message/rfc822\r\n\r\n'.repeat(3000);
  checkBody(imapValue(summarize(bytes(nested)).bodyStructure), true);
  const many = `Content-Type: multipart/mixed; boundary=q\r\n\r\n${'--q\r\n\r\nx\r\n'.repeat(30_000)}--q--\r\n`;
  const cut = summarize(bytes(many));
  t.equal(new PartTable(cut.parts).rows, DEFAULT_LIMITS.parts);
  t.equal(checkBody(imapValue(cut.bodyStructure), true), DEFAULT_LIMITS.parts);
  const headers = summarize(
    bytes(
      `Content-Type: multipart/mixed; boundary=q\r\n\r\n${`--q\r\nContent-Type: a/b; x="${'y'.repeat(2000)}"\r\n\r\nx\r\n`.repeat(5000)}`,
    ),
  );
  t.ok(headers.bodyStructure.length < 3_000_000, 'the headers of parts are looked at up to a sum');
});

t.test('row 17: a header is looked at up to 1 MiB, and counted whole', async (t) => {
  const message = bytes(`Subject: s\r\n${'X: y\r\n'.repeat(2_000_000)}To: too@late\r\n\r\nbody`);
  const s = summarize(message);
  t.equal(s.headerSize, message.length - 4);
  t.equal(s.subject, 's');
  t.notMatch(ascii(s.envelope), /late/);
});

/** Milliseconds of this process, whatever others do. */
function time(run: () => void): number {
  const start = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** 16 times the octets may take some 16 times as long; what is quadratic would take 256 times. Tried again, for what the runtime does besides. */
function growth(small: () => void, large: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3 && least > 50; i++) {
    const few = Math.max(0.5, Math.min(time(small), time(small), time(small)));
    const many = time(large);
    if (many > 1000) continue;
    least = Math.min(least, many / few);
  }
  return least;
}

t.test('rows 17, 18: time grows with the octets, and not faster', async (t) => {
  const shapes =
    '=?|(|<|;|"\\"\\|a,|QUJDREVG|=?a?q?|=?a?q???|()|<a@b>|@|[| |\r\n |"|a:b;|; a*0="x"|\\|a<|(a|>|:;<>|=?utf-8?b?w7w=?= |\r\n\t=?|; x*1*=%|\''.split(
      '|',
    );
  const names = ['From: ', 'Subject: ', 'Content-Type: a/b'];
  const size = 1_000_000;
  for (const shape of shapes)
    for (const name of names) {
      const header = (length: number) => bytes(`${name}${shape.repeat(Math.floor(length / shape.length))}\r\n\r\nx`);
      const [small, large] = [header(size / 16), header(size)];
      const ratio = growth(
        () => summarize(small),
        () => summarize(large),
      );
      t.ok(ratio < 100, `${name}${JSON.stringify(shape)}: ${ratio.toFixed(1)} times`);
      const summary = summarize(small);
      checkEnvelope(imapValue(summary.envelope));
      checkBody(imapValue(summary.bodyStructure), true);
    }
  for (const shape of ['=?', '=?a?q?', '=?a?q???', '=?utf-8?b?w7w=?= ', '=', '=?=?utf-8?q?']) {
    const ratio = growth(
      () => decodeWords(shape.repeat(Math.floor(size / 16 / shape.length))),
      () => decodeWords(shape.repeat(Math.floor(size / shape.length))),
    );
    t.ok(ratio < 100, `decodeWords ${shape}: ${ratio.toFixed(1)} times`);
  }
  const lines = (count: number) => bytes(`${'To: a@b.example\r\n'.repeat(count)}\r\n`);
  const [few, many] = [lines(6_250), lines(100_000)];
  const ratio = growth(
    () => summarize(few),
    () => summarize(many),
  );
  t.ok(ratio < 100, `100,000 To: ${ratio.toFixed(1)} times`);
});

t.test('60 MB pushed in pieces keep no more than 2 MB', async (t) => {
  const piece = Buffer.from(`${'a'.repeat(76)}\r\n`.repeat(840));
  const summarizer = new Summarizer();
  const start = bytes('Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n');
  summarizer.push(start);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 960; i++) summarizer.push(piece);
  t.ok(process.memoryUsage().arrayBuffers - before < 2_000_000);
  const { size, bodyStructure } = summarizer.end();
  t.match(ascii(bodyStructure), new RegExp(` ${960 * piece.length} ${960 * 840} `));
  t.equal(size, start.length + 960 * piece.length);
});

t.test('the text of a part, whatever its encoding, however cut', async (t) => {
  const table: [encoding: string, charset: string, octets: string, text: string][] = [
    ['7bit', 'us-ascii', 'plain', 'plain'],
    ['8bit', 'utf-8', 'Gr\xc3\xbc\xc3\x9fe', 'Grüße'],
    ['base64', 'utf-8', 'R3LD\r\nvMOf\r\nZQ==\r\n', 'Grüße'],
    ['base64', 'utf-8', 'R3LD!vM*OfZQ', 'Grüße'],
    ['base64', 'utf-8', 'QQ==QkI=', 'ABB'],
    ['quoted-printable', 'utf-8', 'Gr=C3=\r\n=BC=C3=9Fe = \r\nx=\n.', 'Grüße x.'],
    ['quoted-printable', 'iso-8859-1', '=fc=ZZ= x=4', 'ü=ZZ= x=4'],
    ['quoted-printable', 'utf-8', '==41', '=A'],
    ['7bit', 'iso-2022-jp', '\x1b$B2q5D\x1b(B', '会議'],
    ['base64', 'utf-16le', 'QQBCAA==', 'AB'],
    ['7bit', 'utf-7', 'a+APw-b +- c', 'aüb + c'],
    ['x-uuencode', 'x-nonsense', 'raw\xfc', 'rawü'],
  ];
  for (const [encoding, charset, octets, text] of table)
    for (const size of [1, 2, 3, 1000]) {
      const decoding = new TextDecoding(encoding, charset);
      let out = '';
      for (let at = 0; at < octets.length; at += size) out += decoding.decode(bytes(octets.slice(at, at + size)));
      t.equal(out + decoding.end(), text, `${encoding} ${charset} ${JSON.stringify(octets)}, ${size} at a time`);
    }
});
