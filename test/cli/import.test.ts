import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openStore } from '#store/open';
import { amavisTables } from '../files/amavis-tables.ts';
import { startApp } from '../support/app.ts';
import { mail, world } from './world.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const sample = (name: string) => readFileSync(join(fixtures, 'filtered', name));
const ours = 'domains: { example.test: }\n';

async function entriesIn(store: string) {
  const open = await openStore(`sqlite:${store}`);
  try {
    const list = await open.entries.list({ scope: { level: 'global' }, limit: 100 });
    const params = await Promise.all(list.map(async ({ messageId }) => (await open.messages.get(messageId))?.params));
    return list
      .map(({ recipient, owner, verdict, message }, i) => ({ recipient, owner, verdict, message, params: params[i] }))
      .reverse();
  } finally {
    await open.close();
  }
}

/** amavis' folder and tables about three messages. */
function quarantine(folder: string): { readonly files: string; readonly tables: string } {
  const files = join(folder, 'virusmails');
  mkdirSync(join(files, 'L'), { recursive: true });
  writeFileSync(join(files, 'L/spam-Ldis47rxT5TJ.eml'), sample('amavis-local-file-gtube.eml'));
  const tables = join(folder, 'amavis.db');
  amavisTables(tables, [
    { mailId: 'Ldis47rxT5TJ', secretId: 'urSBgji10Jjr', quarType: 'F', to: [{ address: 'bob@example.test' }] },
    {
      mailId: 'BYCVg5u2bCTh',
      secretId: 'd8v1AcDV_6Ua',
      quarType: 'Q',
      sender: 'promo@spam.test',
      to: [{ address: 'alice@example.test' }, { address: 'bob@example.test', rs: 'R' }],
      chunks: [
        Buffer.from(
          sample('amavis-sql-gtube.eml')
            .toString('latin1')
            .replace(/^Subject: .*$/m, 'Subject: other'),
        ),
      ],
    },
    {
      mailId: 'aaaaaaaaaaaa',
      quarType: 'Q',
      to: [{ address: 'bob@example.test', rs: 'D' }],
      chunks: [Buffer.from('x')],
    },
  ]);
  return { files, tables };
}

t.test("amavis' quarantine comes in with the names by which amavis releases it, once", async (t) => {
  const { folder, run, store, config } = world(t);
  writeFileSync(config, readFileSync(config, 'utf8').replace(/domains: .*\n/, ours));
  const { files, tables } = quarantine(folder);
  t.match(await run('import', '--amavis', files), { code: 0, out: 'imported 1, already there 0, failed 0\n' });
  t.match(await entriesIn(store), [
    {
      recipient: 'alice@example.test',
      verdict: { reason: 'spam', source: 'amavis', filterId: 'Ldis47rxT5TJ' },
      params: { amavis: { mailId: 'Ldis47rxT5TJ', quarType: 'F', mailFile: 'L/spam-Ldis47rxT5TJ.eml' } },
    },
    { recipient: 'bob@example.test', message: { sender: 'promo@spam.test' } },
  ]);
  t.match(await run('import', '--amavis', `sqlite:${tables}`), {
    code: 0,
    out: 'imported 1, already there 0, failed 0\n',
    err: /^1 of amavis' for which nobody waits any more\n1 of amavis' are kept in files; give its folder/,
  });
  t.match((await entriesIn(store)).slice(2), [
    {
      recipient: 'alice@example.test',
      verdict: { reason: 'spam', filterId: 'BYCVg5u2bCTh' },
      message: { sender: 'promo@spam.test' },
      params: { amavis: { mailId: 'BYCVg5u2bCTh', secretId: 'd8v1AcDV_6Ua', quarType: 'Q' } },
    },
  ]);
  t.match(await run('import', '--amavis', files, '--amavis', `sqlite:${tables}`, '--json'), {
    code: 0,
    out: /"imported": 0,\n {2}"known": 2,.*"nobodyWaits": 1/s,
  });
  for (const [address, code, err] of [
    [
      'DBI:mysql:database=amavis;password=geheim',
      2,
      /write a database as .* mysql:\/\/HOST\/DATABASE; found a DBI: address/,
    ],
    ['mysql://amavis:geheim@127.0.0.1:1/amavis', 1, /mysql:\/\/127\.0\.0\.1:1\/amavis cannot be read: .*ECONNREFUSED/],
    [
      'postgres://amavis:geheim@localhost:1/amavis',
      1,
      /postgres:\/\/localhost:1\/amavis cannot be read: .*ECONNREFUSED/,
    ],
  ] as const) {
    const foreign = await run('import', '--amavis', address);
    t.match(foreign, { code, err });
    t.notMatch(foreign.err, /geheim|\n +at /, 'neither the password nor a stack');
  }
  t.match(await run('import', '--amavis', `sqlite:${join(folder, 'none.db')}`), {
    code: 1,
    err: /none\.db cannot be read: /,
  });
  t.match(await run('import', '--amavis', join(folder, 'none')), { code: 1, err: /no such file or folder/ });
  const shown = await run('show', '3', '--json');
  t.notMatch(shown.out + shown.err, /d8v1AcDV_6Ua/, 'whoever knows the secret may release: it is not shown');
});

t.test('whom it was sent to has to be said by somebody', async (t) => {
  const { folder, run, pipe, store, config } = world(t);
  writeFileSync(config, readFileSync(config, 'utf8').replace(/domains: .*\n/, ours));
  const box = join(folder, 'box');
  mkdirSync(box);
  writeFileSync(join(box, 'forged.eml'), sample('amavis-local-file-gtube.eml'));
  t.match(await run('import', box), { code: 2, err: /--rcpt, --rcpt-field or --filter is needed/ });
  t.match(await run('import'), { code: 2, err: /Name a file or a folder/ });
  writeFileSync(join(box, 'plain.eml'), mail('plain'));
  t.match(await run('import', box, '--filter', 'amavis'), {
    code: 1,
    out: 'imported 1, already there 0, failed 1\n',
    err: /plain\.eml: nothing tells whom it was sent to: there is no such filter's block/,
  });
  t.match(await run('import', box, '--filter', 'nonsense'), { code: 2, err: /--filter: expected one of auto/ });
  t.match(await run('import', box, '--rcpt', 'a@example.test', '--rcpt-field', 'To'), { code: 2, err: /one of them/ });
  t.equal((await entriesIn(store)).length, 2, 'nothing was kept for nobody');

  t.match(await pipe(mail('piped'), 'import', '-', '--rcpt', 'carol@example.test', '--reason', 'phish'), {
    code: 0,
    out: 'imported 1, already there 0, failed 0\n',
  });
  t.match(await pipe(mail('piped'), 'import', '-', '--rcpt', 'carol@example.test'), {
    out: /imported 0, already there 1/,
  });
  t.match((await entriesIn(store)).at(-1), { recipient: 'carol@example.test', verdict: { reason: 'phish' } });
  const hold = join(folder, 'hold');
  mkdirSync(hold);
  cpSync(join(fixtures, 'files/postfix-hold'), join(hold, 'ABC123'));
  t.match(await run('import', hold), { code: 0, out: /imported 1/ }, 'a queue file says it itself');
  t.match((await entriesIn(store)).at(-1), { recipient: 'ben+x@harbour.example' });
});

t.test('watch --once takes what is there, and nothing twice', async (t) => {
  const { folder, run, store } = world(t);
  const box = join(folder, 'in');
  mkdirSync(box);
  writeFileSync(join(box, 'one.eml'), mail('one'));
  writeFileSync(join(box, 'notes.jpg'), '\xff');
  const once = (...more: string[]) =>
    run('watch', box, '--once', '--settle', '0s', '--rcpt', 'ada@harbour.example', ...more);
  t.match(await once(), { code: 1, out: 'taken 1, already there 0, bad 1\n' });
  t.match(await once(), { out: /taken 0, already there 0/ });
  t.match(await once('--done', join(folder, 'done')), { out: /taken 0, already there 0/ }, 'remembered');
  writeFileSync(join(box, 'two.eml'), mail('two'));
  t.match(await once('--done', join(folder, 'done')), { out: /taken 1/ });
  t.same(readdirSync(join(folder, 'done')), ['two.eml']);
  t.same(
    (await entriesIn(store)).map(({ message }) => message.subject),
    ['one', 'two'],
  );
  t.match(await once('--delete', '--done', 'x'), { code: 2, err: /--done and --delete/ });
  t.match(await run('watch', join(folder, 'none'), '--once', '--rcpt', 'ada@harbour.example'), {
    code: 1,
    err: /no such folder/,
  });
  t.match(await once('--every', 'soon'), { code: 2, err: /--every: expected a time/ });
});

t.test('a server takes mail out of the folders of `intake.watch`', async (t) => {
  const { folder } = world(t);
  const box = join(folder, 'in');
  for (const name of ['new', 'cur', 'tmp']) mkdirSync(join(box, name), { recursive: true });
  const { app, until } = await startApp(t, {
    intake: {
      lmtp: ['127.0.0.1:0'],
      smtp: [],
      watch: [{ folder: box, rcptField: 'Delivered-To', delete: true }],
    },
  });
  writeFileSync(join(box, 'new/1.host'), `Delivered-To: Ben@quay.example\n${mail('from a Maildir')}`);
  await until('arrived');
  const [entry] = await app.store.entries.list({ scope: { level: 'global' }, limit: 10 });
  t.match(entry, { owner: 'ben@quay.example', message: { subject: 'from a Maildir' } });
  while (existsSync(join(box, 'new/1.host'))) await new Promise((resolve) => setImmediate(resolve));
  t.same(readdirSync(join(box, 'new')), []);
});
