import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { verbs } from '#app/cli/verbs';
import { run, world } from './world.ts';

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
    [
      ['import', '/no/such/file', '--rcpt', 'ada@harbour.example'],
      1,
      /\/no\/such\/file cannot be read: there is no such file or folder/,
    ],
    [['import', 'package.json'], 2, /--rcpt, --rcpt-field or --filter is needed/],
    [
      ['import', 'package.json', '--rcpt', 'a@b.example', '--direction', 'up'],
      2,
      /--direction: expected one of auto, incoming, outgoing, found "up"/,
    ],
    [['inject', '--rcpt', 'a@b.example', '--date', 'yesterday'], 2, /--date: expected a date like/],
    [['inject', '--rcpt', 'a@b.example', '--flags', '\\Recent'], 2, /--flags: "\\Recent" is no flag/],
    [['inject', '--rcpt', 'a@b.example', '--flags', '$Releasing'], 2, /--flags: "\$Releasing" is no flag/],
    [
      ['inject', '--rcpt', 'a@b.example', '--reason', 'ugly'],
      2,
      /--reason: expected one of spam, virus, .*found "ugly"/,
    ],
    [['inject', '--rcpt', 'a@b.example', '--score', 'high'], 2, /--score: expected a number like 7\.5, found "high"/],
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

t.test('the account that sees everything is called by its login name', async (t) => {
  const { run } = world(t, 'accounts: { global: postmaster }\n');
  t.match(await run('account', 'add', 'global', '--generate'), { code: 1, err: /neither `postmaster`, nor a domain/ });
  t.match(await run('account', 'add', 'Postmaster', '--generate'), {
    code: 0,
    out: /^added postmaster, who sees every/,
  });
  t.match(await run('account', 'add', 'ann*postmaster', '--generate'), { code: 0, out: /^added ann\*postmaster, who/ });
  t.match(await run('account', 'add', 'postmaster', '--generate'), { code: 1, err: /^lazaret: postmaster is there/ });
  t.match(
    (await run('account', 'list')).out,
    /^postmaster +global(.*\n)+ann\*postmaster +global|^ann\*postmaster +global(.*\n)+postmaster +global/m,
  );
  t.match(await run('account', 'remove', 'postmaster'), { code: 0, out: 'removed postmaster\n' });
});
