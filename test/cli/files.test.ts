import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import t from 'tap';
import { withCrlf } from '#app/files/line-ends';
import { findMail, messagesOf } from '#app/files/mail-files';
import { readMbox } from '#app/files/mbox';
import { cleanLine, columns, cut, width } from '#app/lib/terminal';
import { createLogger } from '#app/observe/logger';

/** The same octets whole, one by one, and cut at random. */
function cuts(text: string): { how: string; source: () => AsyncIterable<Uint8Array> }[] {
  const bytes = Buffer.from(text, 'latin1');
  const seed = randomInt(1e6);
  const cut = (size: () => number) =>
    async function* () {
      for (let at = 0; at < bytes.length; ) {
        const end = at + size();
        yield bytes.subarray(at, end);
        at = end;
      }
    };
  let state = seed;
  const random = () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % 9;
  };
  return [
    { how: 'whole', source: cut(() => bytes.length || 1) },
    { how: 'byte by byte', source: cut(() => 1) },
    { how: `cut at random, seed ${seed}`, source: cut(random) },
  ];
}

async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('latin1');
}

t.test('LF becomes CRLF in a file that has LF; one that has CRLF stays as it is', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['', ''],
    ['a\nb\n', 'a\r\nb\r\n'],
    ['a\n\n\nb', 'a\r\n\r\n\r\nb\r\n'],
    ['a\r\nb\r\n', 'a\r\nb\r\n'],
    ['a\r\nb\nc\rd\r\n', 'a\r\nb\nc\rd\r\n'],
    ['a\nb\r\nc\rd\n', 'a\r\nb\r\nc\rd\r\n'],
    ['no end', 'no end\r\n'],
    ['half an end\r', 'half an end\r\n'],
    ['\n', '\r\n'],
    ['\xff\x00\n\x80', '\xff\x00\r\n\x80\r\n'],
  ];
  for (const [from, to] of cases)
    for (const { how, source } of cuts(from))
      t.equal(await text(withCrlf(source())), to, `${JSON.stringify(from)} ${how}`);
});

t.test('an mbox gives its messages, unquoted, and takes prose for prose', async (t) => {
  const long = 'x'.repeat(70_000);
  const mbox = [
    'From ann@a.example Tue Nov 24 18:00:00 2026',
    'Subject: one',
    '',
    'From the desk of nobody, 12:30, in the year 2026', // no empty line above it
    '>From here on',
    '>>From there on',
    '> From not',
    '',
    'From now on it is prose, as no time follows',
    '',
    '',
    'From MAILER-DAEMON Wed Nov 25 09:30:01 2026 +0100',
    'Subject: two',
    '',
    long,
    'From x@y.example Tue Nov 24 18:00:00 2026', // inside a paragraph
    '',
    'From <b@b.example> Thu Jan  1 00:00:00 1970',
    '',
    'From c@c.example Thu Jan  1 00:00:01 1970',
    'Subject: four',
    '',
    'end',
    '',
  ].join('\n');
  const bodies = [
    'Subject: one\n\nFrom the desk of nobody, 12:30, in the year 2026\nFrom here on\n>From there on\n> From not\n\nFrom now on it is prose, as no time follows\n\n',
    `Subject: two\n\n${long}\nFrom x@y.example Tue Nov 24 18:00:00 2026\n`,
    '',
    'Subject: four\n\nend\n',
  ];
  for (const crlf of [false, true])
    for (const { how, source } of cuts(crlf ? mbox.replaceAll('\n', '\r\n') : mbox)) {
      if (how === 'byte by byte' && crlf) continue;
      const found: { sender: string; date: string | undefined; body: string }[] = [];
      for await (const { sender, date, source: body } of readMbox(source()))
        found.push({ sender, date: date?.toISOString(), body: await text(body) });
      t.same(
        found.map(({ body }) => body),
        crlf ? bodies.map((body) => body.replaceAll('\n', '\r\n')) : bodies,
        `${how}${crlf ? ', CRLF' : ''}`,
      );
      t.same(
        found.map(({ sender, date }) => [sender, date]),
        [
          ['ann@a.example', '2026-11-24T18:00:00.000Z'],
          ['', '2026-11-25T08:30:01.000Z'],
          ['b@b.example', '1970-01-01T00:00:00.000Z'],
          ['c@c.example', '1970-01-01T00:00:01.000Z'],
        ],
        how,
      );
    }
});

t.test('what a reader leaves of a message is skipped', async (t) => {
  const mbox =
    'From a@a.example Tue Nov 24 18:00:00 2026\nA: 1\n\nbody\n\nFrom b@b.example Tue Nov 24 18:00:00 2026\nB: 2\n';
  const senders: string[] = [];
  for await (const { sender } of readMbox(cuts(mbox)[1]!.source())) senders.push(sender);
  t.same(senders, ['a@a.example', 'b@b.example']);
});

t.test('mail is found in files and folders, with its date, flags and sender', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-files-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const at = new Date('2026-03-04T05:06:07Z');
  const write = (name: string, content: string) => {
    const file = join(folder, name);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, content, 'latin1');
    utimesSync(file, at, at);
  };
  write('box/b.eml', 'Return-Path: <bounce@b.example>\r\nSubject: b\r\n\r\n');
  write('box/a.eml', 'Subject: a\n\nReturn-Path: <not@me.example>\n');
  write('box/picture.jpg', '\xff\xd8\xff');
  write('box/empty', '');
  write('box/.hidden', 'Subject: h\n\n');
  write(
    'box/2026-03/old.mbox',
    'From m@m.example Tue Nov 24 18:00:00 2026\nS: 1\n\nFrom n@n.example Tue Nov 24 18:00:01 2026\nS: 2\n',
  );
  write('Maildir/new/1', 'Subject: new\n\n');
  write('Maildir/cur/2:2,FRST', 'Subject: cur\n\n');
  write('Maildir/cur/3;2,P', 'nothing that looks like mail');
  write('Maildir/cur/.nfs', 'x');
  write('Maildir/tmp/4', 'Subject: tmp\n\n');
  write('Maildir/dovecot.index', 'x');
  write('Maildir/.Junk/cur/5:2,', 'Subject: junk\n\n');
  mkdirSync(join(folder, 'Maildir/.Junk/new'));
  write('odd', 'no header at all');

  const findings = await findMail(['box', 'Maildir', 'odd'].map((name) => join(folder, name)));
  t.same(findings.skipped.map((path) => relative(folder, path)).sort(), ['box/empty', 'box/picture.jpg']);
  const found: unknown[] = [];
  let octets = 0;
  for (const file of findings.files)
    for await (const mail of messagesOf(file, (read) => (octets += read))) {
      found.push([
        relative(folder, mail.name),
        mail.sender,
        mail.flags.join(' '),
        mail.date.getTime() === at.getTime(),
      ]);
      await text(mail.source);
    }
  t.same(found, [
    ['box/2026-03/old.mbox #1', 'm@m.example', '', false],
    ['box/2026-03/old.mbox #2', 'n@n.example', '', false],
    ['box/a.eml', '', '', true],
    ['box/b.eml', 'bounce@b.example', '', true],
    ['Maildir/.Junk/cur/5:2,', '', '', true],
    ['Maildir/cur/2:2,FRST', '', '\\Flagged \\Answered \\Seen \\Deleted', true],
    ['Maildir/cur/3;2,P', '', '$Forwarded', true],
    ['Maildir/new/1', '', '', true],
    ['odd', '', '', true],
  ]);
  t.equal(
    octets,
    findings.files.reduce((sum, { size }) => sum + size, 0),
    'progress ends at its total',
  );
  await t.rejects(findMail([join(folder, 'none')]), { code: 'ENOENT' });
});

t.test('row 23: what strangers write moves no cursor and turns no line', async (t) => {
  t.equal(
    cleanLine('a\x1b]0;x\x07b\r\nBcc: c\0\x9b2J\u202egnp.exe'),
    'a\\x1b]0;x\\x07b Bcc: c\\x00\\x9b2J\\u202egnp.exe',
  );
  t.equal(cleanLine('zero\u200bwidth \ud800 \u2028'), 'zero\\u200bwidth \\ud800 \\u2028');
  t.equal(cleanLine('Grüße 你好 🎉'), 'Grüße 你好 🎉');
  t.equal(width('你好'), 4);
  t.equal(width('e\u0301'), 1);
  t.equal(cut('你好你好', 5), '你好…');
  t.equal(cut('short', 5), 'short');
  t.equal(
    columns([
      ['A', 'B', 'C'],
      ['你好', 'x', ''],
      ['y', 'long', 'z'],
    ]),
    'A     B     C\n你好  x\ny     long  z\n',
  );

  for (const format of ['json', 'text'] as const) {
    const lines: string[] = [];
    const log = createLogger({ level: 'info', format, to: { write: (line) => lines.push(line) } });
    log.debug({}, 'not told');
    log.info({ subject: 'x\x1b[2J\x9b\u202e\ny', password: 'hush', error: new Error('why\x07') }, 'held\x1b back');
    t.equal(lines.length, 1);
    t.match(lines[0], /^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\n]*\n$/, format);
    t.notMatch(lines[0], /hush/);
    t.match(lines[0], /\\u001b\[2J\\u009b\\u202e/);
    if (format === 'json')
      t.match(JSON.parse(lines[0]!), {
        level: 'info',
        subject: 'x\x1b[2J\x9b\u202e\ny',
        error: { message: 'why\x07' },
      });
  }
});
