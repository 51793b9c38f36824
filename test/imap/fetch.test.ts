import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Bad, Bye } from '#imap/errors';
import { parseFetch, runFetch } from '#imap/fetch/index';
import { InternalDates } from '#imap/fetch/internal-date';
import { Lines } from '#imap/fetch/lines';
import { Summarizer } from '#imap/mime/summary';
import { formatDateTime } from '#imap/wire/date-time';
import { argsOf } from '#imap/wire/reader';
import { type Behaviour, type Content, ContentMailbox, KeptOutput } from './content-mailbox.ts';

interface How extends Behaviour {
  readonly uid?: boolean;
  readonly condstore?: boolean;
  readonly slow?: boolean;
}

async function fetch(contents: readonly Content[], items: string, how: How = {}) {
  const mailbox = new ContentMailbox(contents, how);
  const out = new KeptOutput(how.slow);
  const uids = Uint32Array.from(contents, ({ uid }) => uid);
  const run = runFetch({
    plan: parseFetch(argsOf(` ${items}`)),
    mailbox,
    uids,
    numbers: uids.map((_, i) => i + 1),
    uidCommand: how.uid === true,
    condstore: how.condstore === true,
    out,
  });
  return { mailbox, out, run };
}

async function lines(contents: readonly Content[], items: string, how: How = {}): Promise<string> {
  const { out, run, mailbox } = await fetch(contents, items, how);
  await run;
  if (mailbox.open !== 0) throw new Error('A stream was left open');
  return out.written;
}

const message = 'From: a@b\r\nSubject: s\r\nX-Own: 1\r\n\r\nbody\r\n';
const one: Content = { uid: 7, message, flags: '\\Seen' };

t.test('what FETCH understands', async (t) => {
  const understood: [items: string, labels: string][] = [
    ['FLAGS', 'FLAGS'],
    ['(flags uid)', 'FLAGS UID'],
    ['ALL', 'FLAGS INTERNALDATE RFC822.SIZE ENVELOPE'],
    ['fast', 'FLAGS INTERNALDATE RFC822.SIZE'],
    ['FULL', 'FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY'],
    ['BODY', 'BODY'],
    ['(BODY BODYSTRUCTURE)', 'BODY BODYSTRUCTURE'],
    ['BODY[]', 'BODY[]!'],
    ['body.peek[]', 'BODY[]'],
    ['BODY.PEEK[1.2.mime]', 'BODY[1.2.MIME]'],
    ['BODY[12]<0.10>', 'BODY[12]<0>!'],
    ['BODY[1.HEADER]', 'BODY[1.HEADER]!'],
    ['BODY[TEXT]<5.6>', 'BODY[TEXT]<5>!'],
    ['BODY.PEEK[HEADER.FIELDS (From subject)]', 'BODY[HEADER.FIELDS (From subject)]'],
    ['BODY.PEEK[header.fields ("From" {7}\r\nSubject)]<1.2>', 'BODY[HEADER.FIELDS (From Subject)]<1>'],
    ['BODY.PEEK[HEADER.FIELDS.NOT ("a b" "\\"")]', 'BODY[HEADER.FIELDS.NOT ("a b" "\\"")]'],
    ['BODY.PEEK[3.HEADER.FIELDS (To)]', 'BODY[3.HEADER.FIELDS (To)]'],
    ['(RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)', 'RFC822! RFC822.HEADER RFC822.TEXT! RFC822.SIZE'],
    ['(FLAGS FLAGS)', 'FLAGS'],
    ['FLAGS (CHANGEDSINCE 17)', 'FLAGS MODSEQ >17'],
    ['(UID MODSEQ)', 'UID MODSEQ +'],
  ];
  for (const [items, expected] of understood) {
    const plan = parseFetch(argsOf(` ${items}`));
    const labels = plan.items.map((item) =>
      typeof item === 'string' ? item : `${Buffer.from(item.label).toString().trimEnd()}${item.marksSeen ? '!' : ''}`,
    );
    if (plan.changedSince !== undefined) labels.push(`>${plan.changedSince}`);
    else if (plan.enablesCondstore) labels.push('+');
    t.equal(labels.join(' '), expected, items);
  }
  for (const items of [
    '',
    'NOTHING',
    '()',
    '(ALL)',
    '(FLAGS',
    'FLAGS UID',
    '(FLAGS  UID)',
    'BODY[',
    'BODY[0]',
    'BODY[1.]',
    'BODY[.1]',
    'BODY[MIME]',
    'BODY[HEADER.1]',
    'BODY[HEADER.FIELDS]',
    'BODY[HEADER.FIELDS ()]',
    'BODY[]<5>',
    'BODY[]<5.0>',
    'BODY[]<-1.5>',
    'BODY.PEEK',
    'ENVELOPE[]',
    'FLAGS[]',
    'FLAGS (VANISHED)',
    'FLAGS (CHANGEDSINCE x)',
    'FLAGS (CHANGEDSINCE 1) x',
    `(${Array.from({ length: 1000 }, (_, i) => `BODY[${i + 1}]`).join(' ')})`,
  ])
    t.throws(() => parseFetch(argsOf(` ${items}`)), Bad, `${items.slice(0, 40)} is refused`);
});

t.test('what the columns answer', async (t) => {
  const two: Content[] = [
    one,
    { uid: 4294967295, message: 'A: b\r\n\r\n', modSeq: 2 ** 40, date: '2026-02-03T23:59:59.999Z' },
  ];
  t.equal(await lines(two, 'FLAGS'), '* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS ())\r\n');
  t.equal(
    await lines(two, '(FLAGS)', { uid: true }),
    '* 1 FETCH (UID 7 FLAGS (\\Seen))\r\n* 2 FETCH (UID 4294967295 FLAGS ())\r\n',
  );
  t.equal(
    await lines(two, '(RFC822.SIZE UID INTERNALDATE MODSEQ)'),
    `* 1 FETCH (RFC822.SIZE ${message.length} UID 7 INTERNALDATE "22-Nov-2026 01:02:03 +0000" MODSEQ (1))\r\n` +
      `* 2 FETCH (RFC822.SIZE 8 UID 4294967295 INTERNALDATE " 3-Feb-2026 23:59:59 +0000" MODSEQ (${2 ** 40}))\r\n`,
  );
  t.equal(await lines(two, 'FLAGS (CHANGEDSINCE 1)'), `* 2 FETCH (FLAGS () MODSEQ (${2 ** 40}))\r\n`);
  const { mailbox, run } = await fetch(two, '(FLAGS UID INTERNALDATE RFC822.SIZE MODSEQ)');
  await run;
  t.strictSame(mailbox.calls, [], 'nothing is read for it');
});

t.test('numbers and dates as digits', async (t) => {
  const out = new KeptOutput();
  const written = new Lines(out);
  const numbers = [0, 1, 9, 10, 99, 100, 12345, 999999999, 1000000000, 2147483647, 2147483648, 4294967295, 2 ** 53 - 1];
  for (const number of numbers) {
    written.number(number);
    written.text(' ');
  }
  written.flush();
  t.equal(out.written, `${numbers.join(' ')} `);
  const dates = new InternalDates();
  for (const date of [
    '1970-01-01T00:00:00Z',
    '1969-12-31T23:59:59.5Z',
    '2026-11-22T12:34:56Z',
    '2026-11-22T00:00:00Z',
    '2024-02-29T09:08:07Z',
    '0999-05-01T00:00:01Z',
  ])
    t.equal(
      Buffer.from(dates.quoted(Date.parse(date))).toString(),
      `"${formatDateTime(Math.floor(Date.parse(date) / 1000) * 1000)}"`,
    );
});

t.test('summaries go out as they are', async (t) => {
  const summarizer = new Summarizer();
  summarizer.push(Buffer.from(message));
  const { envelope, body, bodyStructure } = summarizer.end();
  t.equal(
    await lines([one], '(ENVELOPE BODY UID BODYSTRUCTURE)'),
    `* 1 FETCH (ENVELOPE ${Buffer.from(envelope)} BODY ${Buffer.from(body)} UID 7 BODYSTRUCTURE ${Buffer.from(bodyStructure)})\r\n`,
  );
  t.equal(await lines([one], 'ENVELOPE', { without: ['envelope'] }), '* 1 FETCH (ENVELOPE NIL)\r\n');
  const { mailbox, run } = await fetch([one, { uid: 9, message, modSeq: 5 }], 'ENVELOPE (CHANGEDSINCE 4)');
  await run;
  t.strictSame(mailbox.calls, ['fetch 9 envelope'], 'only what changed is read');
});

t.test('header fields as Thunderbird asks for them, without reading a message', async (t) => {
  const names =
    'From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received';
  const contents: Content[] = [
    {
      uid: 1,
      message: 'Received: x\r\n\ty\r\nX: 1\r\nFROM: a\r\nTo : b\r\nList-Id: l\r\nreceived: z\r\n\r\nFrom: body',
    },
    { uid: 2, message: 'From: last' },
    { uid: 3, message: '' },
    { uid: 4, message: 'Subject: a\0b\r\n\r\n', prefix: 'X-Lazaret-Id: 4\r\n' },
  ];
  const label = `BODY[HEADER.FIELDS (${names})]`;
  const { mailbox, out, run } = await fetch(contents, `(UID BODY.PEEK[HEADER.FIELDS (${names})])`);
  await run;
  t.equal(
    out.written,
    `* 1 FETCH (UID 1 ${label} {49}\r\nReceived: x\r\n\ty\r\nFROM: a\r\nTo : b\r\nreceived: z\r\n\r\n)\r\n` +
      `* 2 FETCH (UID 2 ${label} {14}\r\nFrom: last\r\n\r\n)\r\n` +
      `* 3 FETCH (UID 3 ${label} {2}\r\n\r\n)\r\n` +
      `* 4 FETCH (UID 4 ${label} {16}\r\nSubject: a\x80b\r\n\r\n)\r\n`,
  );
  t.strictSame(mailbox.calls, ['fetch 1,2,3,4 commonFields']);
  t.equal(mailbox.octetsRead, 0);
  t.equal(
    await lines(contents, `(UID BODY.PEEK[HEADER.FIELDS (${names})])`, { without: ['commonFields', 'parts'] }),
    out.written,
    'and by reading where nothing is kept',
  );
});

t.test('header fields that are not kept are read', async (t) => {
  const shown: Content = { uid: 1, prefix: 'X-Lazaret-Id: 1\r\nX-Lazaret-Reason: spam\r\n', message };
  const table: [items: string, expected: string][] = [
    ['BODY.PEEK[HEADER.FIELDS (X-Own x-lazaret-id)]', 'X-Lazaret-Id: 1\r\nX-Own: 1\r\n\r\n'],
    ['BODY.PEEK[HEADER.FIELDS.NOT (From X-Lazaret-Reason)]', 'X-Lazaret-Id: 1\r\nSubject: s\r\nX-Own: 1\r\n\r\n'],
    ['BODY.PEEK[HEADER.FIELDS (None)]', '\r\n'],
    ['BODY.PEEK[HEADER.FIELDS (From X-Own)]<3.9>', 'm: a@b\r\nX'],
    ['BODY.PEEK[HEADER.FIELDS (From)]<0.4>', 'From'],
    ['BODY.PEEK[HEADER.FIELDS (From)]<100.4>', ''],
  ];
  for (const [items, expected] of table)
    for (const without of [[], ['parts', 'commonFields']] as const) {
      const label = items.replace('.PEEK', '').replace(/<(\d+)\.\d+>/, '<$1>');
      t.equal(
        await lines([shown], items, { without }),
        `* 1 FETCH (${label} {${expected.length}}\r\n${expected})\r\n`,
        items,
      );
    }
});

t.test('sections and partials are about the shown message', async (t) => {
  const prefix = 'X-Lazaret-Id: 1\r\n';
  const multipart =
    'Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\nX: m1\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--b--\r\n';
  const header = 'Content-Type: multipart/mixed; boundary=b\r\n\r\n';
  const table: [section: string, expected: string | undefined][] = [
    ['', prefix + multipart],
    ['HEADER', prefix + header],
    ['TEXT', multipart.slice(header.length)],
    ['1', 'one'],
    ['1.MIME', 'X: m1\r\n\r\n'],
    ['2', 'Subject: inner\r\n\r\ntwo'],
    ['2.MIME', 'Content-Type: message/rfc822\r\n\r\n'],
    ['2.HEADER', 'Subject: inner\r\n\r\n'],
    ['2.TEXT', 'two'],
    ['2.1', 'two'],
    ['2.HEADER.FIELDS (subject)', 'Subject: inner\r\n\r\n'],
    ['2.HEADER.FIELDS (to)', '\r\n'],
    ['3', undefined],
    ['1.HEADER', undefined],
    ['1.HEADER.FIELDS (to)', undefined],
    ['1.1', undefined],
  ];
  const shown: Content = { uid: 1, prefix, message: multipart };
  for (const [section, expected] of table) {
    const literal = expected === undefined ? 'NIL' : `{${expected.length}}\r\n${expected}`;
    t.equal(await lines([shown], `BODY.PEEK[${section}]`), `* 1 FETCH (BODY[${section}] ${literal})\r\n`, section);
    if (expected === undefined) continue;
    for (const [offset, length] of [
      [0, 5],
      [3, 100000],
      [prefix.length - 1, 4],
      [expected.length, 1],
      [4294967295, 4294967295],
    ] as const) {
      const cut = expected.slice(offset, offset + length);
      t.equal(
        await lines([shown], `BODY.PEEK[${section}]<${offset}.${length}>`),
        `* 1 FETCH (BODY[${section}]<${offset}> {${cut.length}}\r\n${cut})\r\n`,
        `${section}<${offset}.${length}>`,
      );
    }
  }
  t.equal(
    await lines([shown], '(RFC822.HEADER RFC822.SIZE)'),
    `* 1 FETCH (RFC822.HEADER {${(prefix + header).length}}\r\n${prefix}${header} RFC822.SIZE ${(prefix + multipart).length})\r\n`,
  );
  t.equal(
    await lines([one], '(BODY.PEEK[1] BODY.PEEK[1.MIME])'),
    `* 1 FETCH (BODY[1] {6}\r\nbody\r\n BODY[1.MIME] {35}\r\n${message.slice(0, 35)})\r\n`,
    'of a message that is no multipart',
  );
  t.equal(
    await lines([{ uid: 1, message: '\r\na\0b\0' }], 'BODY.PEEK[]', { piece: 2 }),
    '* 1 FETCH (BODY[] {6}\r\n\r\na\x80b\x80)\r\n',
    'NUL is shown as 0x80',
  );
});

t.test('BODY[] sets \\Seen, and says so', async (t) => {
  const contents: Content[] = [
    one,
    { uid: 8, message: 'A: b\r\n\r\nx', flags: '$y' },
    { uid: 9, message: 'A: b\r\n\r\ny' },
  ];
  const { mailbox, out, run } = await fetch(contents, 'BODY[TEXT]', { uid: true, condstore: true });
  await run;
  t.equal(
    out.written,
    '* 1 FETCH (UID 7 BODY[TEXT] {6}\r\nbody\r\n)\r\n' +
      '* 2 FETCH (UID 8 BODY[TEXT] {1}\r\nx FLAGS ($y \\Seen) MODSEQ (1000))\r\n' +
      '* 3 FETCH (UID 9 BODY[TEXT] {1}\r\ny FLAGS (\\Seen) MODSEQ (1000))\r\n',
  );
  t.strictSame(
    mailbox.calls,
    ['fetch 7,8,9 parts', 'store 8 add \\Seen', 'store 9 add \\Seen'],
    'batch by batch, only the unseen',
  );
  t.equal(
    await lines([contents[2]!], '(FLAGS RFC822.TEXT)'),
    '* 1 FETCH (FLAGS (\\Seen) RFC822.TEXT {1}\r\ny)\r\n',
    'once',
  );
  for (const items of ['BODY.PEEK[]', 'RFC822.HEADER', 'ENVELOPE', 'FLAGS']) {
    const peek = await fetch(contents, items);
    await peek.run;
    t.notMatch(peek.mailbox.calls.join(), /store/, `${items} does not`);
  }
  const examined = await fetch(contents, 'BODY[]', { readOnly: true });
  await examined.run;
  t.notMatch(examined.mailbox.calls.join(), /store/, 'nor anything after EXAMINE');
});

t.test('what is gone is left out', async (t) => {
  const contents: Content[] = [
    { uid: 1, message },
    { uid: 2, message, vanished: true },
    { uid: 3, message },
  ];
  t.equal(
    await lines(contents, 'BODY.PEEK[TEXT]<0.1>'),
    '* 1 FETCH (BODY[TEXT]<0> {1}\r\nb)\r\n* 3 FETCH (BODY[TEXT]<0> {1}\r\nb)\r\n',
  );
  const mailbox = new ContentMailbox([
    { uid: 2, message },
    { uid: 5, message },
  ]);
  for (const items of ['UID', '(UID BODY.PEEK[TEXT]<0.1>)']) {
    const out = new KeptOutput();
    const uids = Uint32Array.of(1, 2, 3, 4, 5, 6);
    const numbers = Uint32Array.of(1, 2, 3, 4, 5, 6);
    await runFetch({
      plan: parseFetch(argsOf(` ${items}`)),
      mailbox,
      uids,
      numbers,
      uidCommand: false,
      condstore: false,
      out,
    });
    t.strictSame(out.written.match(/\* \d+ FETCH \(UID \d+/g), ['* 2 FETCH (UID 2', '* 5 FETCH (UID 5']);
  }
});

t.test('a literal is never shorter than announced', async (t) => {
  const contents: Content[] = [{ uid: 1, message: `A: b\r\n\r\n${'x'.repeat(50)}` }];
  for (const trouble of [{ failsAt: 30 }, { endsAt: 30 }]) {
    const { run, mailbox } = await fetch(contents, 'BODY.PEEK[]', trouble);
    await t.rejects(run, Bye, 'the connection ends');
    t.equal(mailbox.open, 0, 'the stream is closed');
  }
  for (const trouble of [{ failsAt: 0 }, { endsAt: 0 }]) {
    const { run, out } = await fetch(contents, '(UID BODY.PEEK[])', trouble);
    await t.rejects(
      run.catch((error) => Promise.reject(error instanceof Bye ? new TypeError('Bye') : error)),
      Error,
    );
    t.equal(out.written, '', 'before the first octet it can still be answered with NO');
  }
  const late = await fetch(contents, '(BODY.PEEK[]<0.5> BODY.PEEK[TEXT])', { failsAt: 7 + 6 });
  await t.rejects(late.run, Bye, 'a second stream that cannot be opened');
});

t.test('a client that reads slowly is waited for', async (t) => {
  const contents: Content[] = Array.from({ length: 5 }, (_, i) => ({
    uid: i + 1,
    message: `A: b\r\n\r\n${'x'.repeat(200_000)}`,
  }));
  const { run, out } = await fetch(contents, 'BODY.PEEK[]', { slow: true, piece: 65_536 });
  await run;
  t.ok(out.waits >= 15, `${out.waits} times`);
  t.equal(out.octets, 5 * ('* 1 FETCH (BODY[] {200008}\r\n'.length + 200_008 + ')\r\n'.length));
  const many: Content[] = Array.from({ length: 3000 }, (_, i) => ({ uid: i + 1, message: '' }));
  const flags = await fetch(many, 'FLAGS', { slow: true });
  await flags.run;
  t.ok(flags.out.waits >= 2);
  t.equal(flags.out.written.split('\r\n').length, 3001);
});

t.test('row 8: every sample comes out octet by octet (NUL as 0x80), whole and in partials', async (t) => {
  const folder = new URL('../fixtures/raw/', import.meta.url);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.eml'))) {
    const raw = readFileSync(new URL(name, folder)).toString('latin1');
    const shown = raw.replaceAll('\0', '\x80');
    const content: Content = { uid: 1, message: raw };
    const how = { piece: 50_000 };
    t.equal(await lines([content], 'BODY.PEEK[]', how), `* 1 FETCH (BODY[] {${raw.length}}\r\n${shown})\r\n`, name);
    const halves = await lines([content], '(BODY.PEEK[HEADER] BODY.PEEK[TEXT])', how);
    const header = Number(/^\* 1 FETCH \(BODY\[HEADER\] \{(\d+)\}/.exec(halves)?.[1]);
    t.equal(
      halves,
      `* 1 FETCH (BODY[HEADER] {${header}}\r\n${shown.slice(0, header)} BODY[TEXT] {${raw.length - header}}\r\n${shown.slice(header)})\r\n`,
    );
  }
});
