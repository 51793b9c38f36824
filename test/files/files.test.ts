import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DatabaseSync } from '@photostructure/sqlite';
import t, { type Test } from 'tap';
import { AmavisDatabase, type AmavisRow, fileOfAmavis, mailOfRow } from '#app/files/amavis';
import { type Handling, handOver } from '#app/files/hand-over';
import { type FoundMail, findMail, messagesIn, messagesOf } from '#app/files/mail-files';
import { readQueueFile } from '#app/files/queue-file';
import { readAddress } from '#app/files/sql/address';
import { amavisTables } from './amavis-tables.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const sample = (name: string) => readFileSync(join(fixtures, 'filtered', name));

async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('latin1');
}

function folderOf(t: Test, files: Readonly<Record<string, string | Buffer>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-files-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, content);
  }
  return folder;
}

async function found(folder: string): Promise<FoundMail[]> {
  const mail: FoundMail[] = [];
  for (const file of (await findMail([folder])).files)
    for await (const one of messagesOf(file, () => {})) mail.push({ ...one, name: relative(folder, one.name) });
  return mail;
}

const mail = (subject: string) => `Subject: ${subject}\n\nbody\n`;
const anybody: Handling<'amavis' | 'rspamd'> = {
  recipients: [],
  filter: 'auto',
  direction: 'auto',
  maxMessageBytes: 1e6,
};

t.test('a queue file of Postfix gives its envelope, and the message as postcat shows it', async (t) => {
  const file = join(fixtures, 'files/postfix-hold');
  const read = await readQueueFile(file, () => {});
  t.match(read, {
    sender: 'promo@spam.example',
    recipients: [
      { address: 'Ada@harbour.example', orcpt: 'rfc822;Ada@harbour.example' },
      { address: 'ben+x@harbour.example', orcpt: 'rfc822;ben+x@harbour.example' },
    ],
    params: { ret: 'HDRS', client: { addr: '127.0.0.1', helo: 'client.example', proto: 'ESMTP' } },
    arrivedAt: new Date('2026-11-28T13:45:41Z'),
  });
  const shown = readFileSync(`${file}.postcat`).toString('latin1');
  t.equal(await text(read.message), shown.replaceAll('\n', '\r\n'));
  t.match(shown, /^Subject: changed, and a good deal longer/m, 'what the milter changed in place is seen');

  const folder = folderOf(t, { 'a queue file': readFileSync(file) });
  const size = readFileSync(file).length;
  for (const length of [4, 60, 900, Math.floor(size / 2), size - 1]) {
    copyFileSync(file, join(folder, 'cut'));
    truncateSync(join(folder, 'cut'), length);
    await t.rejects(
      readQueueFile(join(folder, 'cut'), () => {}),
      { name: 'BadMail' },
      `${length} of ${size} octets`,
    );
  }
  const damaged = Buffer.from(readFileSync(file));
  damaged.fill(0xff, 100, 130);
  writeFileSync(join(folder, 'damaged'), damaged);
  await t.rejects(
    readQueueFile(join(folder, 'damaged'), () => {}),
    { name: 'BadMail' },
  );
  t.match(await found(join(folder, 'a queue file')), [{ sender: 'promo@spam.example', recipients: { length: 2 } }]);
});

t.test('a pointer that leads back to itself is a damaged file, not a loop', async (t) => {
  const record = (type: string, data: string) => Buffer.from(`${type}${String.fromCharCode(data.length)}${data}`);
  const start = Buffer.concat([
    record('C', ' '.repeat(14) + '1'.padEnd(81, ' 1').slice(0, 81)),
    record('S', 'a@b.example'),
    record('R', 'c@d.example'),
    record('M', ''),
  ]);
  const folder = folderOf(t, { loop: Buffer.concat([start, record('p', String(start.length).padStart(15))]) });
  await t.rejects(
    readQueueFile(join(folder, 'loop'), () => {}),
    /circles/,
  );
});

t.test('dated folders: what their places tell, and what is no mail of its own', async (t) => {
  const haraka =
    'Received: from client.example (client.example [192.0.2.7])\n\tby mx.example.com (Haraka/3.0.5) with ESMTPS id B1946AC9\n\tenvelope-from <promo@spam.example>;\n\tTue, 24 Nov 2026 10:00:00 +0000\nSubject: haraka\n\nx\n';
  const folder = folderOf(t, {
    '2026/11/24/abc123-spam.eml': mail('mailborder spam'),
    '2026/11/24/def456-virus.eml': mail('mailborder virus'),
    '2026/11/24/ghi789-whatever.eml': mail('mailborder'),
    '20261124/4FzR2x0abc/message': mail('mailscanner infected'),
    '20261124/4FzR2x0abc/letter.eml': mail('an attachment that was taken out'),
    '20261124/spam/4FzR2x0abd': mail('mailscanner spam'),
    '20261124/B1946AC92492D2347C6235B4D2611184.1': haraka,
  });
  t.same(
    (await found(folder)).map(({ name, sender, verdict }) => [name, sender, verdict?.reason]),
    [
      ['2026/11/24/abc123-spam.eml', '', 'spam'],
      ['2026/11/24/def456-virus.eml', '', 'virus'],
      ['2026/11/24/ghi789-whatever.eml', '', undefined],
      ['20261124/4FzR2x0abc/message', '', undefined],
      ['20261124/B1946AC92492D2347C6235B4D2611184.1', 'promo@spam.example', undefined],
      ['20261124/spam/4FzR2x0abd', '', 'spam'],
    ],
  );
});

t.test('gzipped files are read, damaged ones and bombs are not', async (t) => {
  const box = `From a@a.example Tue Nov 24 18:00:00 2026\n${mail('one')}\nFrom b@b.example Tue Nov 24 18:00:01 2026\n${mail('two')}`;
  const whole = gzipSync(mail('packed'));
  const folder = folderOf(t, {
    'a.eml.gz': whole,
    'b.mbox.gz': gzipSync(box),
    'c.gz': gzipSync('no mail'),
    'bomb.eml.gz': gzipSync(Buffer.concat([Buffer.from(mail('bomb')), Buffer.alloc(3e6)])),
    'cut.eml.gz': whole.subarray(0, whole.length - 6),
  });
  const { files, skipped } = await findMail([folder]);
  t.same(
    skipped.map((path) => relative(folder, path)),
    ['c.gz'],
  );
  const outcomes: string[] = [];
  for (const file of files)
    try {
      for await (const one of messagesOf(file, () => {})) {
        const { source } = handOver(one, { ...anybody, recipients: ['ada@harbour.example'] });
        outcomes.push(/Subject: (.*)\r/.exec(await text(source))![1]!);
      }
    } catch (error) {
      outcomes.push((error as Error).message);
    }
  t.match(outcomes, ['packed', 'one', 'two', /larger than intake\.maxMessageBytes/, /gzip data are damaged/]);
});

t.test('whom a message was sent to: what is typed, a field, a queue file, a filter that is named', async (t) => {
  const head =
    'Return-Path: <s@elsewhere.example>\nDelivered-To: ada@harbour.example\nX-To: <a@b.example\nX-To: <"b c"@x.example>, <d@e.example>\nDelivered-To: victim@harbour.example\n\nx\n';
  const [one] = await found(folderOf(t, { 'one.eml': head }));
  const recipients = (how: Partial<typeof anybody>, from: FoundMail = one!) =>
    handOver(from, { ...anybody, ...how }).recipients.map(({ address }) => address);
  t.same(recipients({ recipientField: 'delivered-to' }), ['ada@harbour.example'], 'the topmost one');
  t.throws(() => recipients({ recipientField: 'X-To' }), /holds no addresses/);
  t.throws(() => recipients({ recipientField: 'X-Original-To' }), /has no field X-Original-To/);
  t.throws(() => recipients({}), /nothing tells whom/);
  t.same(recipients({ filter: 'amavis' }), [], 'left to who reads the block');
  t.same(recipients({ recipients: ['x@y.example'] }), ['x@y.example']);
  const queued = { ...one!, recipients: [{ address: 'q@r.example', orcpt: 'rfc822;q' }] };
  t.same(recipients({}, queued), ['q@r.example']);
  t.equal(handOver(one!, { ...anybody, recipients: ['x@y.example'], filter: 'amavis' }).filter, 'auto');
});

t.test('standard input is a message or an mbox', async (t) => {
  const read = async (content: string) => {
    const all: [string, string][] = [];
    async function* stream() {
      for (let at = 0; at < content.length; at += 7) yield Buffer.from(content.slice(at, at + 7));
    }
    for await (const { name, source } of messagesIn(stream(), new Date(0))) all.push([name, await text(source)]);
    return all;
  };
  t.same(await read(mail('one')), [['standard input', mail('one')]]);
  t.same(await read(''), []);
  t.same(
    await read(
      `From a@a.example Tue Nov 24 18:00:00 2026\n${mail('1')}\nFrom b@b.example Tue Nov 24 18:00:01 2026\n${mail('2')}`,
    ),
    [
      ['standard input #1', mail('1')],
      ['standard input #2', mail('2')],
    ],
  );
});

t.test("amavis' tables give what is kept in them, for those who still wait for it", async (t) => {
  const folder = folderOf(t, {});
  const file = join(folder, 'amavis.db');
  const octets = sample('amavis-sql-gtube.eml');
  amavisTables(file, [
    {
      mailId: 'BYCVg5u2bCTh',
      secretId: 'd8v1AcDV_6Ua',
      quarType: 'Q',
      sender: 'promo@spam.test',
      to: [
        { address: 'alice@example.test' },
        { address: 'bob@example.test' },
        { address: 'released@example.test', rs: 'R' },
        { address: 'passed@example.test', ds: 'P' },
      ],
      chunks: [octets.subarray(0, 700), octets.subarray(700)],
    },
    { mailId: 'aaaaaaaaaaaa', quarType: 'Q', to: [{ address: 'bob@example.test', rs: 'D' }], chunks: [octets] },
    { mailId: 'Ldis47rxT5TJ', secretId: 'urSBgji10Jjr', quarType: 'F', to: [{ address: 'bob@example.test' }] },
  ]);
  const database = await AmavisDatabase.open(`sqlite:${file}`, {});
  t.teardown(() => database.close());
  const rows = await rowsOf(database);
  t.same(
    rows.map(({ mailId, quarType }) => [mailId, quarType]),
    [
      ['BYCVg5u2bCTh', 'Q'],
      ['Ldis47rxT5TJ', 'F'],
      ['aaaaaaaaaaaa', 'Q'],
    ],
  );
  const one = (await mailOfRow(database, rows[0]!))!;
  t.match(one, {
    sender: 'promo@spam.test',
    recipients: [{ address: 'alice@example.test' }, { address: 'bob@example.test' }],
    params: { amavis: { mailId: 'BYCVg5u2bCTh', secretId: 'd8v1AcDV_6Ua', quarType: 'Q' } },
  });
  t.equal(await text(one.source), octets.toString('latin1'), 'chunk after chunk');
  t.equal(await mailOfRow(database, rows[2]!), undefined, 'nobody waits for it');
  await t.rejects(text((await mailOfRow(database, rows[1]!))!.source), /not in the table/);

  const quarantine = folderOf(t, { 'L/spam-Ldis47rxT5TJ.eml': sample('amavis-local-file-gtube.eml') });
  const { files } = await findMail([quarantine]);
  for await (const mail of messagesOf(files[0]!, () => {})) {
    t.match(await fileOfAmavis(mail, files[0]!, quarantine, database), {
      recipients: [{ address: 'bob@example.test' }],
      params: {
        amavis: {
          mailId: 'Ldis47rxT5TJ',
          secretId: 'urSBgji10Jjr',
          quarType: 'F',
          mailFile: 'L/spam-Ldis47rxT5TJ.eml',
        },
      },
    });
    const alone = (await fileOfAmavis(mail, files[0]!, quarantine, undefined))!;
    t.match(alone.params, { amavis: { mailId: 'Ldis47rxT5TJ', quarType: 'F' } });
    t.equal(alone.recipients, undefined, 'the block tells');
    const forged = { ...mail, head: Buffer.from('Received: x\nX-Quarantine-ID: <abc>\n\n') };
    await t.rejects(fileOfAmavis(forged, files[0]!, quarantine, undefined), /amavis did not write it/);
  }
  writeFileSync(join(folder, 'other.db'), 'no database');
  const open = (name: string) => AmavisDatabase.open(`sqlite:${join(folder, name)}`, {});
  await t.rejects(open('other.db'), { name: 'TablesError' });
  await t.rejects(open('none.db'), { name: 'TablesError' });
});

async function rowsOf(database: AmavisDatabase): Promise<AmavisRow[]> {
  const rows: AmavisRow[] = [];
  for await (const row of database.rows()) rows.push(row);
  return rows;
}

t.test("amavis' tables are read in pages: all messages of all partitions, and large ones", async (t) => {
  const file = join(folderOf(t, {}), 'amavis.db');
  const chunks = Array.from({ length: 40 }, (_, at) => Buffer.from(`part ${at}\n`));
  const mails = Array.from({ length: 1203 }, (_, at) => ({
    mailId: `m${(at * 7919) % 1203}`,
    quarType: at % 3 === 0 ? ' ' : 'Q',
    // Tables from before there were partitions have NULL.
    partitionTag: [null, 0, 48][Math.trunc(at / 401)]!,
    to: [{ address: `r${at}@example.test` }],
    chunks: at % 400 === 0 ? chunks : [Buffer.from('x')],
  }));
  amavisTables(file, mails);
  const database = await AmavisDatabase.open(`sqlite:${file}`, {});
  t.teardown(() => database.close());
  const seen: [string, string, string][] = [];
  for (const row of await rowsOf(database)) {
    const mail = (await mailOfRow(database, row))!;
    seen.push([row.mailId, mail.recipients![0]!.address, await text(mail.source)]);
  }
  const expected = mails
    .filter(({ quarType }) => quarType === 'Q')
    .map(({ mailId, to, chunks }) => [mailId, to[0]!.address, Buffer.concat(chunks).toString()]);
  t.same(seen.sort(), expected.sort());

  const broken = join(folderOf(t, {}), 'amavis.db');
  amavisTables(broken, [{ mailId: 'gap', quarType: 'Q', to: [{ address: 'a@example.test' }], chunks }]);
  const db = new DatabaseSync(broken);
  db.exec('DELETE FROM quarantine WHERE chunk_ind = 20');
  db.close();
  const gap = await AmavisDatabase.open(`sqlite:${broken}`, {});
  t.teardown(() => gap.close());
  await t.rejects(text(gap.message((await rowsOf(gap))[0]!)), { name: 'BadMail', message: /parts of its text/ });
});

t.test('the address of a database is read without telling its password', async (t) => {
  const of = (address: string, env = {}) => readAddress(address, env);
  t.match(of('postgres://ada:p%40%2F%23@db.example/amavis'), {
    kind: 'postgres',
    host: 'db.example',
    port: 5432,
    user: 'ada',
    password: 'p@/#',
    database: 'amavis',
    tls: 'prefer',
    name: 'postgres://db.example/amavis',
  });
  t.match(of('mariadb://ada@[::1]:3307/a?ssl-mode=VERIFY_IDENTITY', { MYSQL_PWD: 'p', PGPASSWORD: 'no' }), {
    kind: 'mysql',
    host: '::1',
    port: 3307,
    password: 'p',
    tls: 'verify-full',
  });
  const socket = { kind: 'postgres', host: '/run/pg', database: 'a', tls: 'disable' };
  for (const address of [
    'postgresql:///a?host=/run/pg',
    'postgres://ada@/a?host=/run/pg',
    'postgres://ada:p@:5433/a?host=/run/pg',
    'postgres://%2Frun%2Fpg/a',
  ])
    t.match(of(address), socket, address);
  t.equal(of('mysql://h/a?ssl=true').tls, 'require');
  t.equal(of('mysql://h/a?ssl=0').tls, 'disable');
  const ca = join(folderOf(t, { 'ca.pem': 'PEM' }), 'ca.pem');
  t.match(of(`postgres://h/a?sslmode=require&sslrootcert=${ca}`), { tls: 'verify-ca', certificates: { ca: 'PEM' } });
  for (const [address, why] of [
    ['postgres://ada:se#cret@h/a', /cannot be read; write .* %23 for #/],
    ['postgres://ada:1/secret@h/a', /cannot be read/],
    ['postgres://ada:1?secret@h/a', /cannot be read/],
    ['mysql://ada:secret%zz@h/a', /cannot be read/],
    ['mysql://ada:secret@h', /has to end with the name of the database/],
    ['mysql://ada:secret@h/a?sslmode=perhaps', /sslmode has to be one of disable, /],
    ['mysql://ada:secret@h/a?ssl=perhaps', /sslmode has to be one of/],
    ['mysql://ada:secret@h/a?debug=true', /unknown parameter debug; known are host, /],
    ['mysql://ada:secret@h/a?ssl-ca=/none.pem', /\/none\.pem cannot be read: ENOENT/],
  ] as const) {
    const error = t.throws(() => of(address), { name: 'TablesError', message: why }, address);
    t.notMatch(String(error), /secret|cret/, address);
  }
});
