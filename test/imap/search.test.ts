import { readFileSync } from 'node:fs';
import t from 'tap';
import { Bad, No } from '#imap/errors';
import { sentDay } from '#imap/search/dates';
import { Finder } from '#imap/search/fold';
import { parseSearch, runSearch } from '#imap/search/index';
import { argsOf } from '#imap/wire/reader';
import { type Behaviour, type Content, ContentMailbox, KeptOutput } from './content-mailbox.ts';

const utf8 = (text: string) => Buffer.from(text).toString('latin1');

async function search(
  contents: readonly Content[],
  keys: string,
  how: Behaviour & { uid?: boolean; tag?: string } = {},
) {
  const mailbox = new ContentMailbox(contents, how);
  const out = new KeptOutput();
  await runSearch({
    plan: parseSearch(argsOf(` ${keys}`)),
    mailbox,
    uids: Uint32Array.from(contents, ({ uid }) => uid),
    count: contents.length,
    tag: how.tag ?? 'a1',
    uidCommand: how.uid === true,
    condstore: false,
    out,
  });
  if (mailbox.open !== 0) throw new Error('A stream was left open');
  return { mailbox, answer: out.written };
}

/** The numbers found, blank-separated. */
async function found(contents: readonly Content[], keys: string, how: Behaviour = {}): Promise<string> {
  const { answer } = await search(contents, keys, how);
  const match = /^\* SEARCH((?: \d+)*)\r\n$/.exec(answer);
  if (!match) throw new Error(`Answered ${answer}`);
  return match[1]!.trim();
}

const contents: readonly Content[] = [
  {
    uid: 11,
    flags: '\\Seen $Label1',
    date: '2026-11-20T23:59:59Z',
    modSeq: 5,
    message:
      'From: Ann <ann@example.org>\r\nTo: bob@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus\r\n K=?utf-8?q?=C3=B6ln?=\r\nDate: Fri, 20 Nov 2026 01:00:00 +0900\r\n\r\nHello World\r\n',
  },
  {
    uid: 12,
    flags: '\\Flagged',
    date: '2026-11-21T00:00:00Z',
    modSeq: 9,
    message: `From: =?koi8-r?b?6dfBzg==?= <ivan@example.ru>\r\nCc: ann@example.org\r\nSubject: ${utf8('Счёт')}\r\nX-Spam: YES\r\nX-Empty:\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n8M/S1A==\r\n`,
  },
  {
    uid: 15,
    date: '2026-11-22T12:00:00Z',
    modSeq: 7,
    message: [
      'From: c@d\r\nBcc: hidden@x\r\nSubject: parts\r\nDate: 5 Jan 99 10:00 GMT\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble secret\r\n',
      '--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>f=FCr lan=\r\nge Zeilen</p>\r\n',
      '--b\r\nContent-Type: application/pdf; name="=?utf-8?q?=C3=9Cbersicht=2Epdf?="\r\nContent-Transfer-Encoding: base64\r\n\r\nHIDDENINPDF\r\n',
      '--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: forwarded thing\r\n\r\ninner text\r\n--b--\r\n',
    ].join(''),
  },
  {
    uid: 20,
    prefix: 'X-Lazaret-Reason: spam\r\n',
    flags: '\\Deleted \\Draft \\Answered',
    date: '2026-11-23T00:00:00Z',
    message: 'no header at all',
  },
];

t.test('every key of RFC 3501', async (t) => {
  const table: [keys: string, expected: string][] = [
    ['ALL', '1 2 3 4'],
    ['SEEN', '1'],
    ['UNSEEN', '2 3 4'],
    ['FLAGGED', '2'],
    ['UNFLAGGED', '1 3 4'],
    ['DELETED', '4'],
    ['UNDELETED', '1 2 3'],
    ['DRAFT', '4'],
    ['UNDRAFT', '1 2 3'],
    ['ANSWERED', '4'],
    ['UNANSWERED', '1 2 3'],
    ['NEW', ''],
    ['RECENT', ''],
    ['OLD', '1 2 3 4'],
    ['KEYWORD $label1', '1'],
    ['UNKEYWORD $Label1', '2 3 4'],
    ['KEYWORD \\Seen', '1'],
    ['2:3', '2 3'],
    ['*', '4'],
    ['4:2,1', '1 2 3 4'],
    ['99', ''],
    ['UID 12:15', '2 3'],
    ['UID 13:14', ''],
    ['UID 16:*', '4'],
    ['UID 99:*', '4'],
    ['LARGER 200', '3'],
    ['SMALLER 41', '4'],
    ['SMALLER 40', ''],
    ['BEFORE 21-Nov-2026', '1'],
    ['ON 21-Nov-2026', '2'],
    ['SINCE "21-Nov-2026"', '2 3 4'],
    ['ON 22-nov-2026', '3'],
    ['SENTON 20-Nov-2026', '1'],
    ['SENTBEFORE 1-Jan-2000', '3'],
    ['SENTSINCE 6-Jan-1999', '1'],
    ['FROM ann', '1'],
    ['FROM "ANN <ANN@"', '1'],
    ['TO bob', '1'],
    ['CC ann', '2'],
    ['BCC HIDDEN', '3'],
    ['FROM ""', '1 2 3'],
    ['SUBJECT "grüsse"', '1'],
    ['SUBJECT "GRÜẞE AUS"', '1'],
    ['CHARSET utf-8 SUBJECT "köln"', '1'],
    [`SUBJECT {${Buffer.byteLength('счёт')}}\r\nсчёт`, '2'],
    ['FROM "Иван"', '2'],
    ['HEADER x-spam yes', '2'],
    ['HEADER X-Empty ""', '2'],
    ['HEADER Subject ""', '1 2 3'],
    ['HEADER X-None ""', ''],
    ['HEADER X-Lazaret-Reason SPAM', '4'],
    ['BODY "hello w"', '1'],
    ['BODY "порт"', '2'],
    ['BODY "für lange"', '3'],
    ['BODY "übersicht"', '3'],
    ['BODY forwarded', '3'],
    ['BODY "inner TEXT"', '3'],
    ['BODY hiddeninpdf', ''],
    ['BODY parts', ''],
    ['TEXT parts', '3'],
    ['TEXT "Subject: parts"', '3'],
    ['TEXT ann', '1 2'],
    ['TEXT spam', '2 4'],
    ['BODY ""', '1 2 3 4'],
    ['NOT SEEN', '2 3 4'],
    ['NOT NOT SEEN', '1'],
    ['OR SEEN FLAGGED', '1 2'],
    ['OR SEEN BODY lange', '1 3'],
    ['OR FROM ann OR X 1', 'BAD'],
    ['(SEEN)', '1'],
    ['(UNSEEN (OR 2 3))', '2 3'],
    ['UNSEEN 2:* NOT FLAGGED', '3 4'],
    ['NOT (SEEN BODY hello)', '2 3 4'],
    ['UNSEEN TEXT spam NOT HEADER X-Spam yes', '4'],
    ['MODSEQ 100', ''],
  ];
  for (const [keys, expected] of table) {
    if (expected === 'BAD') t.throws(() => parseSearch(argsOf(` ${keys}`)), Bad, keys);
    else
      for (const how of [{}, { without: ['commonFields'] as const, piece: 1, batch: 1 }, { piece: 1000, batch: 10 }])
        t.equal(await found(contents, keys, how), expected, keys);
  }
});

t.test('what SEARCH does not understand', async (t) => {
  for (const keys of [
    '',
    'ALL ',
    'NOTHING',
    'SUBJECT',
    'SUBJECT a b',
    'OR ALL',
    'NOT',
    '()',
    '(ALL',
    'BEFORE 31-Feb-2026',
    'LARGER x',
    'RETURN (SAVE) ALL',
    'RETURN ALL',
    'MODSEQ',
    'MODSEQ "/flags/\\\\Seen" mine 5',
    `${'NOT '.repeat(10_000)}ALL`,
    `${'OR '.repeat(10_000)}ALL`,
    `${'('.repeat(10_000)}ALL`,
    `${'NOT ('.repeat(90)}ALL${')'.repeat(90)}`,
  ])
    t.throws(() => parseSearch(argsOf(` ${keys}`)), Bad, keys.slice(0, 40));
  for (const charset of ['KOI8-R', '"utf-16"']) {
    const parse = () => parseSearch(argsOf(` CHARSET ${charset} ALL`));
    t.throws(parse, No);
    t.throws(parse, { code: 'BADCHARSET' });
  }
  t.doesNotThrow(() => parseSearch(argsOf(` ${'NOT '.repeat(98)}ALL`)));
  t.doesNotThrow(() => parseSearch(argsOf(` ${'ALL '.repeat(9999)}ALL`)), 'many keys are no depth');
});

t.test('the answers', async (t) => {
  const table: [keys: string, uid: boolean, expected: string][] = [
    ['SEEN', false, '* SEARCH 1\r\n'],
    ['ALL', true, '* SEARCH 11 12 15 20\r\n'],
    ['NEW', true, '* SEARCH\r\n'],
    ['RETURN () ALL', false, '* ESEARCH (TAG "a1") ALL 1:4\r\n'],
    ['RETURN (ALL) UNSEEN', true, '* ESEARCH (TAG "a1") UID ALL 12,15,20\r\n'],
    ['RETURN (COUNT MIN MAX ALL) 1:3', true, '* ESEARCH (TAG "a1") UID MIN 11 MAX 15 ALL 11:12,15 COUNT 3\r\n'],
    ['RETURN (MIN) UNSEEN', false, '* ESEARCH (TAG "a1") MIN 2\r\n'],
    ['RETURN (MIN MAX ALL COUNT) NEW', true, '* ESEARCH (TAG "a1") UID COUNT 0\r\n'],
    ['RETURN (ALL) CHARSET UTF-8 SEEN', false, '* ESEARCH (TAG "a1") ALL 1\r\n'],
    ['MODSEQ 7', true, '* SEARCH 12 15 (MODSEQ 9)\r\n'],
    ['MODSEQ "/flags/\\\\Seen" all 6 NOT 2', false, '* SEARCH 3 (MODSEQ 7)\r\n'],
    ['OR MODSEQ 8 SEEN', false, '* SEARCH 1 2 (MODSEQ 9)\r\n'],
    ['MODSEQ 100', false, '* SEARCH\r\n'],
    ['RETURN (ALL COUNT) MODSEQ 6', false, '* ESEARCH (TAG "a1") ALL 2:3 COUNT 2 MODSEQ 9\r\n'],
    ['RETURN (MAX) MODSEQ 6', false, '* ESEARCH (TAG "a1") MAX 3 MODSEQ 7\r\n'],
    ['RETURN (MIN MAX) MODSEQ 6', false, '* ESEARCH (TAG "a1") MIN 2 MAX 3 MODSEQ 9\r\n'],
  ];
  for (const [keys, uid, expected] of table) t.equal((await search(contents, keys, { uid })).answer, expected, keys);
  t.equal((await search(contents, 'RETURN (COUNT) ALL', { tag: 'a"]' })).answer, '* ESEARCH (TAG "a\\"]") COUNT 4\r\n');
  t.equal(parseSearch(argsOf(' NOT (OR SEEN MODSEQ 1)')).enablesCondstore, true);
  t.equal(parseSearch(argsOf(' SEEN')).enablesCondstore, false);
});

t.test('no more is read than is needed', async (t) => {
  const calls = async (keys: string) => (await search(contents, keys)).mailbox.calls;
  t.strictSame(await calls('UNSEEN LARGER 10 SINCE 1-Jan-2026'), [], 'columns');
  t.strictSame(await calls('SUBJECT x'), ['fetch 11,12,15,20 commonFields'], 'no bodies for a subject');
  t.strictSame(await calls('SUBJECT x SEEN'), ['fetch 11 commonFields'], 'only where it can matter');
  t.strictSame(await calls('OR SEEN SUBJECT x'), ['fetch 12,15,20 commonFields']);
  t.strictSame(await calls('BODY lange SUBJECT parts UNSEEN'), [
    'fetch 12,15,20 commonFields',
    'fetch 15 commonFields parts',
  ]);
  t.strictSame(await calls('NOT SEEN NOT SEEN SEEN BODY x'), []);
  const big: Content = {
    uid: 1,
    message: `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n\r\n${'x'.repeat(1_000_000)}\r\n--b\r\n\r\nend\r\n--b--\r\n`,
  };
  const { mailbox, answer } = await search([big], 'BODY end', { piece: 10_000 });
  t.equal(answer, '* SEARCH 1\r\n');
  t.ok(mailbox.octetsRead < 50_000, `${mailbox.octetsRead} octets: the image is stepped over`);
  const early: Content = { uid: 1, message: `A: b\r\n\r\nfound${'x'.repeat(1_000_000)}` };
  const stopped = await search([early], 'BODY found', { piece: 10_000 });
  t.ok(stopped.mailbox.octetsRead < 50_000, `${stopped.mailbox.octetsRead} octets: it stops when all is found`);
});

t.test('what is gone matches nothing; what cannot be read is no answer', async (t) => {
  const gone: Content[] = [
    { uid: 1, message: 'Subject: a\r\n\r\nx' },
    { uid: 2, message: 'Subject: a\r\n\r\nx', vanished: true },
  ];
  t.equal(await found(gone, 'SUBJECT a'), '1');
  t.equal(await found(gone, 'NOT BODY y'), '1');
  const mailbox = new ContentMailbox(gone);
  const out = new KeptOutput();
  const uids = Uint32Array.of(1, 2, 3);
  await runSearch({
    plan: parseSearch(argsOf(' NOT SEEN')),
    mailbox,
    uids,
    count: 3,
    tag: 'a',
    uidCommand: false,
    condstore: false,
    out,
  });
  t.equal(out.written, '* SEARCH 1 2\r\n', 'a UID that is not in the view');
  await t.rejects(search(gone, 'BODY x', { failsAt: 3 }), { message: 'The disk is gone' });
});

t.test('a text is found across any cut', async (t) => {
  const text = 'Straße nach Köln und zurück, cafe\u0301 ﬁn 𝒜bc';
  for (const needle of ['STRASSE', 'straße', 'köln UND', 'zurück,', 'café', 'fin', 'abc', 'KO\u0308LN', '', text])
    for (let size = 1; size < 12; size++) {
      const finder = new Finder(needle);
      for (let at = 0; at < text.length; at += size) finder.feed(text.slice(at, at + size));
      finder.end();
      t.ok(finder.found, `${needle} in pieces of ${size}`);
    }
  const border = new Finder('ab');
  border.feed('a');
  border.end();
  border.feed('b');
  border.end();
  t.notOk(border.found, 'but not half in one part and half in the next');
});

t.test('the day of a Date field', async (t) => {
  const day = (text: string) => Date.parse(text) / 86_400_000;
  const table: [value: string, expected: number | undefined][] = [
    ['Fri, 20 Nov 2026 01:00:00 +0900', day('2026-11-20')],
    ['20 Nov 2026 23:00 -1200', day('2026-11-20')],
    ['1 Feb 99', day('1999-02-01')],
    ['1 Feb 07 10:00', day('2007-02-01')],
    ['1 Feb 107 10:00', day('2007-02-01')],
    ['Fri,1-Sept-2026', day('2026-09-01')],
    ['Fri, 31 Feb 99 25:61:61', undefined],
    ['2026-11-20', undefined],
    ['nonsense', undefined],
    ['', undefined],
  ];
  for (const [value, expected] of table) t.equal(sentDay(value), expected, value);
});

t.test('every sample is found by its subject, and by words of its text', async (t) => {
  interface Sample {
    readonly file: string;
    readonly subject: string | null;
  }
  const fixtures = new URL('../fixtures/', import.meta.url);
  const index: { samples: Sample[] } = JSON.parse(readFileSync(new URL('raw/index.json', fixtures), 'utf8'));
  const all: Content[] = index.samples.map(({ file }, i) => ({
    uid: i + 1,
    message: readFileSync(new URL(file, fixtures)).toString('latin1'),
  }));
  const number = (name: string) => index.samples.findIndex(({ file }) => file === `raw/${name}.eml`) + 1;
  const how = { piece: 1000, batch: 20 };
  for (const [i, { file, subject }] of index.samples.entries()) {
    // Those with control characters, quotes or blanks of folding cannot be asked for as they are written there.
    if (!subject || !/^[^\0-\x1f"\\]+$/.test(subject) || /\.\.\.|folded/.test(subject)) continue;
    t.equal(await found([all[i]!], `SUBJECT "${subject.toUpperCase()}"`, how), '1', `${file}: ${subject}`);
  }
  for (const [name, words] of [
    ['ham-latin1-qp', 'ENVOYÉ'],
    ['ham-koi8r-8bit', 'протокол'],
    ['ham-iso2022jp', '会議'],
    ['ham-gb18030-base64', '会议纪要'],
    ['ham-shiftjis-utf16', '出荷'],
    ['ham-utf7-body', 'grüße'],
    ['ham-rfc2231-names', 'übersicht.pdf'],
    ['spam-gtube', 'GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL'],
  ] as const) {
    const numbers = (await found(all, `BODY "${words}"`, how)).split(' ');
    t.ok(numbers.includes(`${number(name)}`), `${name}: ${words} in ${numbers.join(' ')}`);
  }
});
