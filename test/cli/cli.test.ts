import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { verbs } from '#app/cli/verbs';
import { openStore } from '#store/open';
import { mail, run, world } from './world.ts';

t.test('every verb has a help with an example', async (t) => {
  for (const { name, summary, examples } of verbs) {
    for (const argv of [
      ['help', ...name.split(' ')],
      [...name.split(' '), '--help'],
    ]) {
      const { code, out } = await run(...argv);
      t.equal(code, 0, argv.join(' '));
      t.ok(out.includes(summary.slice(0, 40)) && out.includes('Examples:'), `${argv.join(' ')} explains it`);
      t.ok(out.includes('--config <file>') && out.includes('--json'), `${name} takes --config and --json`);
    }
    t.ok(
      examples.length > 0 && examples.every(([line]) => line.includes(`lazaret ${name}`) || line.includes('systemctl')),
      `${name} has examples of itself`,
    );
  }
  const { code, out } = await run('help');
  t.equal(code, 0);
  for (const { name } of verbs) t.ok(out.includes(name.split(' ')[0]!), `help lists ${name}`);
});

t.test('what is not understood is told, and is no success', async (t) => {
  const { run } = world(t);
  const cases: readonly (readonly [argv: string[], code: number, told: RegExp])[] = [
    [['frobnicate'], 2, /unknown command 'frobnicate'/],
    [['lits'], 2, /Did you mean list/],
    [['list', '--frob'], 2, /unknown option '--frob'/],
    [['list', 'more'], 2, /too many arguments/],
    [
      ['list', '--folder', 'Nowhere'],
      2,
      /--folder: expected Caught, Caught \(Outgoing\), Training Requested, Trash, found "Nowhere"/,
    ],
    [['list', '--limit', '0'], 2, /--limit: expected a number from 1, found "0"/],
    [['list', '--state', 'held,lost'], 2, /--state: expected held, .*, found "lost"/],
    [['list', '--owner', 'ada@elsewhere.example'], 2, /--owner: .* neither an address nor a domain of ours/],
    [['release'], 2, /missing required argument 'id'/],
    [['show', '17'], 1, /There is no entry 17/],
    [['import', '/no/such/file', '--rcpt', 'ada@harbour.example'], 1, /\/no\/such\/file cannot be read: ENOENT/],
    [['import', '/tmp'], 2, /--rcpt is needed/],
    [
      ['import', '/tmp', '--rcpt', 'a@b.example', '--direction', 'up'],
      2,
      /--direction: expected one of auto, incoming, outgoing, found "up"/,
    ],
    [['inject', '--rcpt', 'a@b.example', '--date', 'yesterday'], 2, /--date: expected a date like/],
    [['inject', '--rcpt', 'a@b.example', '--flags', '\\Recent'], 2, /--flags: "\\Recent" is no flag/],
    [['inject', '--rcpt', 'a@b.example', '--flags', '$Releasing'], 2, /--flags: "\$Releasing" is no flag/],
    [['inject', '--rcpt', 'a@b.example', '--folder', 'Trash'], 2, /nothing is put into Trash/],
    [
      ['account', 'add', 'ada@elsewhere.example', '--generate'],
      1,
      /can be no account: it is neither `global`, nor a domain that stands under `domains`, nor an address in one/,
    ],
    [['account', 'add', 'global', '--generate', '--password-stdin'], 2, /exclude each other/],
    [['account', 'remove', 'global'], 1, /There is no account global/],
    [['account', 'frob'], 2, /unknown command 'frob'/],
  ];
  for (const [argv, code, told] of cases) {
    const ran = await run(...argv);
    t.equal(ran.code, code, argv.join(' '));
    t.match(ran.err, told, argv.join(' '));
    t.equal(ran.out, '', 'nothing stands where an answer would');
  }
});

t.test('config init, check and show', async (t) => {
  const { folder, config, run: inWorld } = world(t);
  const printed = await run('config', 'init');
  t.match(printed.out, /^imap:$/m);
  const file = join(folder, 'new.yaml');
  t.same(await run('config', 'init', file), { code: 0, out: '', err: '' });
  t.equal(readFileSync(file, 'utf8'), printed.out);
  t.match(await run('config', 'init', file), { code: 1, err: /is there already; nothing was written/ });
  t.match(await run('config', 'check', '--config', file), { code: 0, out: /new\.yaml: nothing is wrong/ });
  writeFileSync(file, 'imap:\n  listne: []\n\u001b: 1\n');
  t.match(await run('config', 'check', '--config', file), {
    code: 1,
    err: /new\.yaml:2: imap\.listne: unknown setting; did you mean imap\.listen\?/,
  });
  const json = await run('config', 'check', '--json', '--config', file);
  t.match(JSON.parse(json.out), { ok: false, problems: [{ text: /imap\.listne/ }] });
  t.equal(json.code, 1);
  t.match(await run('list', '--config', file), { code: 1, err: /new\.yaml:2: imap\.listne/ });
  t.match(await inWorld('config', 'show'), { code: 0, out: /undoSeconds: 0 +# .*lazaret\.yaml:5/ });
  t.match(JSON.parse((await inWorld('config', 'show', '--json')).out), {
    hostname: 'quarantine.example',
    store: `sqlite:${join(folder, 'data/lazaret.db')}`,
  });
  t.match(await run('config', 'check', '--config', ''), { code: 0 }, 'an empty value is an absent one');
  t.ok(config);
});

t.test('accounts are added before the first start, changed, listed and removed', async (t) => {
  const { run, pipe } = world(t);
  const added = await run('account', 'add', 'Ada+x@Harbor.Example', '--generate');
  t.match(added, {
    code: 0,
    out: /^added ada@harbour\.example, who sees what belongs to ada@harbour\.example\npassword (\w{5}-){3}\w{5}\n$/,
  });
  t.match(await run('account', 'add', 'ada@harbour.example', '--generate'), { code: 1, err: /is there already/ });
  t.match(await pipe('a long one\nmore', 'account', 'add', 'ann*global', '--password-stdin', '--json'), {
    code: 0,
    out: /"name": "ann\*global"/,
  });
  t.match(await pipe('short\n', 'account', 'passwd', 'ann*global', '--password-stdin'), {
    code: 1,
    err: /at least 8 characters/,
  });
  t.match(await pipe('', 'account', 'passwd', 'ann*global'), { code: 2, err: /no terminal to ask for the password/ });
  t.match(await run('account', 'passwd', 'ann*global', '--generate'), {
    code: 0,
    out: /changed the password of ann\*global/,
  });
  const { out } = await run('account', 'list');
  t.match(out, /^NAME +SEES +ADDED +PASSWORD OF\n/);
  t.match(out, /^ada@harbour\.example +recipient +20\d\d-/m);
  t.same(
    JSON.parse((await run('account', 'list', '--json')).out)
      .map(({ name }: { name: string }) => name)
      .sort(),
    ['ada@harbour.example', 'ann*global'],
  );
  t.match(await run('account', 'remove', 'ANN*global'), { code: 0, out: 'removed ann*global\n' });
  t.match(await run('account', 'passwd', 'ann*global', '--generate'), {
    code: 1,
    err: /There is no account ann\*global/,
  });
});

t.test('injected mail is listed, shown, discarded, restored and put on its way', async (t) => {
  const { run, pipe } = world(t);
  t.match(await pipe('', 'inject', '--rcpt', 'ada@harbour.example'), { code: 1, err: /held no message/ });
  t.match(
    await pipe(
      mail('one \x1b[31m'),
      'inject',
      '--rcpt',
      'Ada+x@harbor.example',
      '--from',
      'shop@elsewhere.example',
      '--flags',
      '\\Seen $x',
      '--date',
      '2026-01-02T03:04:05Z',
    ),
    { code: 0, out: '1\n', err: '' },
  );
  t.match(
    await pipe(
      mail('two'),
      'inject',
      '--rcpt',
      'ben@quay.example',
      '--rcpt',
      'ada@harbour.example',
      '--folder',
      'training requested',
    ),
    { code: 0, out: '2\n3\n' },
  );
  t.match(
    await pipe(
      mail('three'),
      'inject',
      '--rcpt',
      'friend@elsewhere.example',
      '--from',
      'ben@quay.example',
      '--folder',
      'Caught (Outgoing)',
      '--json',
    ),
    { code: 0, out: /"uid": 4/ },
  );

  const { out } = await run('list');
  t.match(
    out,
    /^ID +HELD SINCE +WHERE +WHY +OWNER +FROM +SUBJECT\n4 .*Caught \(Outgoing\).*ben@quay\.example.*three\n3 .*\n2 .*\n1 .*ada@harbour\.example.*one/,
  );
  t.notMatch(out, /\x1b/);
  t.equal((await run('list', '--ids', '--owner', 'harbor.example')).out, '3\n1\n');
  t.equal((await run('list', '--ids', '--folder', 'caught', '--limit', '1')).out, '1\n');
  t.equal(
    (await run('list', '--ids', '--folder', '', '--owner=', '--limit', '2')).out,
    '4\n3\n',
    'empty options are absent',
  );
  const [listed] = JSON.parse((await run('list', '--folder', 'Caught', '--json')).out);
  t.match(listed, {
    id: 1,
    recipient: 'Ada+x@harbor.example',
    owner: 'ada@harbour.example',
    internalDate: '2026-01-02T03:04:05.000Z',
    message: { sender: 'shop@elsewhere.example', size: Buffer.byteLength(mail('one \x1b[31m')) + 4 },
  });

  t.match(await run('discard', '1', '01', '99', 'x'), {
    code: 1,
    out: '1  discarded\n01  discarded\n99  there is no such entry\nx  is no id\n',
    err: '',
  });
  t.match(await run('discard', '1'), { code: 0, out: '1  it is in Trash already\n' });
  t.match(await run('release', '1'), { code: 1, out: /Put it back into the folder it came from first/ });
  t.match(await run('restore', '1'), { code: 0, out: /^1 {2}back in Caught, as UID \d+\n$/ });
  t.match(await run('restore', '1'), { code: 0, out: '1  it is in Caught\n' });
  t.match(await run('release', '2'), { code: 1, out: /needs no release/ });

  t.match(await run('release', '1'), {
    code: 0,
    out: '1  queued for delivery to Ada+x@harbor.example\n',
    err: 'no server is running: it will be delivered when one starts\n',
  });
  t.match(await run('release', '1'), { code: 0 }, 'said twice it is done once');
  t.match(await run('spam', '1'), { code: 1, out: /already released/ });
  t.match(await run('release', '1', '--wait'), { code: 1, err: /no server is running/ }, 'nobody is there to wait for');
  t.match(
    JSON.parse((await run('restore', '1', '--json')).out),
    [{ id: '1', ok: true, said: /^back in Caught/ }],
    'taken back before anybody did it',
  );
  t.match(await pipe('2\n\n 3 \n', 'not-spam', '-'), {
    code: 0,
    out: '2  queued to be learned as ham\n3  queued to be learned as ham\n',
  });

  const shown = await run('show', '1');
  t.match(shown.out, /^state +held, in Caught as UID \d+$/m);
  const story = shown.out
    .split('\n\n')[1]!
    .replace(/^\S+ {2}/gm, '')
    .replace(/^.*, as global/gm, 'somebody, as global');
  t.match(
    story,
    /^into Caught as UID 1\nsomebody, as global \(cli\) put it on Trash\nout of Caught\ninto Trash as UID \d+\n.*out of Trash\ninto Caught as UID \d+\n.*put it on Release\n/s,
  );
  t.match(story, /deliver cancelled/);
  const any = /in Caught as UID (\d+)/.exec(shown.out)![1]!;
  t.equal((await run('show', any)).out, shown.out, 'any UID of an entry names it');
  t.match(JSON.parse((await run('show', '1', '--json')).out), {
    entry: { id: 1 },
    stays: Array,
    drops: Array,
    jobs: Array,
  });
});

t.test('import takes files, mbox and Maildir once, however often it runs', async (t) => {
  const { folder, run } = world(t);
  const box = join(folder, 'box');
  for (const name of ['cur', 'new']) mkdirSync(join(box, 'Maildir', name), { recursive: true });
  writeFileSync(join(box, 'one.eml'), mail('one'));
  writeFileSync(join(box, 'crlf.eml'), mail('two').replaceAll('\n', '\r\n'));
  writeFileSync(join(box, 'notes.jpg'), '\xff\xd8');
  writeFileSync(join(box, 'Maildir/cur/3:2,FS'), mail('three'));
  writeFileSync(
    join(box, 'spam.mbox'),
    `From x@elsewhere.example Tue Nov 24 18:00:00 2026\n${mail('four')}\nFrom y@elsewhere.example Tue Nov 24 18:00:01 2026\n${mail('five')}>From me\n\n`,
  );
  const first = await run('import', box, '--rcpt', 'ada@harbour.example');
  t.match(first, {
    code: 0,
    out: 'imported 5, already there 0, failed 0\n',
    err: /skipped .*notes\.jpg: it does not look like mail/,
  });
  t.match(await run('import', box, '--rcpt', 'ada@harbour.example'), {
    code: 0,
    out: 'imported 0, already there 5, failed 0\n',
  });
  writeFileSync(join(box, 'six.eml'), mail('six'));
  const again = await run('import', box, '--rcpt', 'ada@harbour.example', '--json');
  t.match(JSON.parse(again.out), { imported: 1, known: 5, failed: 0, skipped: [/notes\.jpg$/] });

  const entries = JSON.parse((await run('list', '--json')).out) as {
    internalDate: string;
    message: { subject: string; size: number; sender: string };
  }[];
  const five = entries.find(({ message }) => message.subject === 'five')!;
  t.match(five, {
    internalDate: '2026-11-24T18:00:01.000Z',
    message: { sender: 'y@elsewhere.example', size: mail('five').length + 4 + 'From me\r\n'.length },
  });
  const store = await openStore(`sqlite:${join(folder, 'data/lazaret.db')}`);
  t.teardown(() => store.close());
  const view = await store.views.load({ level: 'recipient', address: 'ada@harbour.example' }, 'caught');
  t.ok(
    view.flagSets.some((flags) => flags.includes('\\Flagged') && flags.includes('\\Seen')),
    'flags of the Maildir',
  );
});
