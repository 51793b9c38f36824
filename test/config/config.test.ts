import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, configFrom, findConfig, load, loadConfig } from '#app/config/load';
import { configPage, initialFile, shownSettings, withoutSecrets } from '#app/config/print';
import { environmentName, table } from '#app/config/schema';

const folder = mkdtempSync(join(tmpdir(), 'lazaret-config-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

/** What is told about a file: `LINE: text`, or `VARIABLE: text`. */
function problems(yaml: string, env: NodeJS.ProcessEnv = {}): string[] {
  const file = join(folder, `${count++}.yaml`);
  writeFileSync(file, yaml);
  try {
    load({ file, env });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ place, text }) => `${place.replace(`${file}:`, '')}: ${text}`);
  }
}

t.test('what is wrong in a file is told with its line, what was expected and what was found', async (t) => {
  const listen = 'expected host:port or host:port/tls with a port from 0 to 65535, like 127.0.0.1:143';
  const cases: readonly (readonly [yaml: string, ...told: string[]])[] = [
    // keys
    ['hostnam: a.example', '1: hostnam: unknown setting; did you mean hostname?'],
    ['\nimap:\n  listne: []', '3: imap.listne: unknown setting; did you mean imap.listen?'],
    ['maxConnections: 5', '1: maxConnections: unknown setting; did you mean imap.maxConnections?'],
    ['frobnicate: 5', '1: frobnicate: unknown setting'],
    ['constructor: 5', '1: constructor: unknown setting'],
    [
      'intake: { lmtp: [{ listen: "[::1]:24", fliter: amavis }] }',
      '1: intake.lmtp[1].fliter: unknown setting; did you mean intake.lmtp[1].filter?',
    ],
    [
      'domains: { a.example: { nexthop: x } }',
      '1: domains.a.example.nexthop: unknown setting; did you mean domains.a.example.nextHop?',
    ],
    // kinds
    [
      'imap:\n  maxConnections: many',
      '2: imap.maxConnections: expected a whole number from 1 to 1000000, found "many"',
    ],
    ['imap: { maxConnections: 0 }', '1: imap.maxConnections: expected a whole number from 1 to 1000000, found 0'],
    ['imap: { maxConnections: 1.5 }', '1: imap.maxConnections: expected a whole number from 1 to 1000000, found 1.5'],
    ['imap: { allowCleartextLogin: yes }', '1: imap.allowCleartextLogin: expected true or false, found "yes"'],
    ['imap: 5', '1: imap: expected settings, one a line, found 5'],
    ['imap: []', '1: imap: expected settings, one a line, found []'],
    ['actionFolders: full', '1: actionFolders: expected one of empty, strict, found "full"'],
    ['release: { showAfter: 5 }', '1: release.showAfter: expected a duration like 30s, 10m, 1h or 5d, found 5'],
    [
      'release: { showAfter: 5 weeks }',
      '1: release.showAfter: expected a duration like 30s, 10m, 1h or 5d, found "5 weeks"',
    ],
    ['hostname: a b', '1: hostname: expected a host name like quarantine.example.com, found "a b"'],
    [
      'store: postgres://x',
      '1: store: expected a store like sqlite:./data/lazaret.db or mongodb://HOST/DATABASE?replicaSet=rs0, found "postgres://x"',
    ],
    [
      'training: { trainers: [{ type: command, spam: sa-learn, ham: [] }] }',
      '1: training.trainers[1].spam: expected a command as a list of its words, like ["sa-learn", "--spam"], found "sa-learn"',
      '1: training.trainers[1].ham: expected a command as a list of its words, like ["sa-learn", "--spam"], found []',
    ],
    [
      'training: { trainers: [{ type: rspamc }, spamd, { spam: [x] }] }',
      '1: training.trainers[1].type: expected one of command, sa-learn, rspamd, spamd, webhook, arf, maildir, mbox, found "rspamc"',
      '1: training.trainers[2]: expected a trainer with its type, one of command, sa-learn, rspamd, spamd, webhook, arf, maildir, mbox, found "spamd"',
      '1: training.trainers[3].type: expected one of command, sa-learn, rspamd, spamd, webhook, arf, maildir, mbox, found nothing',
    ],
    [
      'training: { trainers: [{ type: webhook, url: "file:///etc/passwd", secret: short }] }',
      '1: training.trainers[1].url: expected an address like https://reports.example.com/learned, without user and password, found "file:///etc/passwd"',
      '1: training.trainers[1].secret: expected a text of at least 16 characters, found something else',
    ],
    [
      'training: { trainers: [{ type: rspamd, pasword: "5ecret" }] }',
      '1: training.trainers[1].pasword: unknown setting; did you mean training.trainers[1].password?',
    ],
    [
      'training: { spam: [x] }',
      '1: training.spam: unknown setting; a command is now written training.trainers: [{ type: command, spam: […], ham: […] }]',
    ],
    [
      'training: { learn: { released: [imap, phone] } }',
      '1: training.learn.released[2]: expected one of imap, cli, web, found "phone"',
    ],
    ['roles: []', '1: roles: expected one or more of imap, intake, worker, found []'],
    ['roles: [imap, web]', '1: roles[2]: expected one or more of imap, intake, worker, found "web"'],
    ['roles: imap', '1: roles: expected one or more of imap, intake, worker, found "imap"'],
    [
      'proxyProtocol: { trusted: [balancer] }',
      '1: proxyProtocol.trusted[1]: expected an address or a range like 10.0.0.0/8 or ::1/128, found "balancer"',
    ],
    ['shutdown: { grace: 2h }', '1: shutdown.grace: expected no more than 1h'],
    // listeners
    [
      'imap:\n  listen:\n    - 127.0.0.1:143\n    - 127.0.0.1:70000',
      `4: imap.listen[2]: ${listen}, found "127.0.0.1:70000"`,
    ],
    [
      'imap: { listen: 127.0.0.1:143 }',
      '1: imap.listen: expected a list of host:port or host:port/tls, found "127.0.0.1:143"',
    ],
    [
      'imap: { listen: [143, "::1:143", "1.2.3:4", "[1.2.3.4]:5", "a b:1"] }',
      `1: imap.listen[1]: ${listen}, found 143`,
      `1: imap.listen[2]: ${listen}, found "::1:143"`,
      `1: imap.listen[3]: ${listen}, found "1.2.3:4"`,
      `1: imap.listen[4]: ${listen}, found "[1.2.3.4]:5"`,
      `1: imap.listen[5]: ${listen}, found "a b:1"`,
    ],
    [
      'intake:\n  lmtp:\n    - listen: 127.0.0.1:24\n      direction: both',
      '4: intake.lmtp[1].direction: expected one of auto, incoming, outgoing, found "both"',
    ],
    [
      'intake: { smtp: [{ filter: amavis }] }',
      '1: intake.smtp[1].listen: expected host:port with a port from 0 to 65535, like 127.0.0.1:24, found nothing',
    ],
    [
      'intake: { smtp: ["127.0.0.1:25/tls"] }',
      '1: intake.smtp[1]: expected host:port with a port from 0 to 65535, like 127.0.0.1:24, found "127.0.0.1:25/tls"',
    ],
    [
      'intake: { smtp: [true] }',
      '1: intake.smtp[1]: expected host:port, or { listen: host:port, direction: …, filter: …, also: […], disposition: …, class: … }, found true',
    ],
    [
      'intake: { lmtp: [{ listen: "[::1]:24", disposition: bounced 550 }] }',
      '1: intake.lmtp[1].disposition: expected rejected, accepted, discarded or delivered, with the reply to the sender behind it, found "bounced 550"',
    ],
    ['intake: { lmtp: ["[::1]:24"], smtp: ["[::1]:24"] }', '1: [::1]:24 is already used by intake.lmtp'],
    [
      'intake: { trusted: [10.0.0.0/33, nobody] }',
      '1: intake.trusted[1]: expected an address or a range like 10.0.0.0/8 or ::1/128, found "10.0.0.0/33"',
      '1: intake.trusted[2]: expected an address or a range like 10.0.0.0/8 or ::1/128, found "nobody"',
    ],
    // what cannot be true together
    [
      'domains:\n  a.example: { aliases: [b.example] }\n  b.example:',
      '2: b.example is a domain itself, it cannot be an alias of a.example',
    ],
    [
      'domains: { a.example: { aliases: [c.example] }, b.example: { aliases: [C.example] } }',
      '1: c.example is already an alias of a.example',
    ],
    ['domains: { a.example: , A.Example: }', '1: a.example stands here twice'],
    ['domains: { "a b": {} }', '1: domains: expected a domain like harbour.example, found "a b"'],
    ['domains: { a.example: }\naliases:\n  x@a.example: y@b.example', '3: y@b.example is not in any of `domains`'],
    [
      'domains: { a.example: }\naliases:\n  x@b.example: y@a.example',
      '3: x@b.example is not in any of `domains`, so it would never be looked up',
    ],
    [
      'aliases:\n  x@a.example: y@a.example\n  y@a.example: z@a.example\n  z@a.example: x@a.example',
      '2: x@a.example → y@a.example → z@a.example → x@a.example: an alias of itself',
    ],
    ['aliases: { x@a.example: X+tag@A.example }', '1: x@a.example → x@a.example: an alias of itself'],
    [
      'aliases: { x@a.example: y@a.example, X@a.example: z@a.example }',
      '1: X@a.example is the same address as another one here',
    ],
    ['aliases: { info: y@a.example }', '1: aliases: expected an address like info@quay.example, found "info"'],
    [
      'aliases: { x@a.example: info }',
      '1: aliases.x@a.example: expected an address like ada@harbour.example, found "info"',
    ],
    [
      'domains: { a.example: }\nintake: { handOverDomains: [a.example] }',
      '2: addresses of a.example would name no person, but it is one of `domains`',
    ],
    [`tls: { cert: ${import.meta.filename} }`, '1: tls.cert stands here without tls.key'],
    [
      'tls: { cert: /no/c.pem, key: /no/k.pem }',
      '1: tls.cert: there is no file /no/c.pem',
      '1: tls.key: there is no file /no/k.pem',
    ],
    [
      'training: { trainers: [{ type: spamd }, { type: spamd, name: SPAMD, timeout: 1h }] }',
      '1: training.trainers[2]: number 1 is called SPAMD too; give one of them another `name`',
      '1: training.trainers[2].timeout: expected 100ms to 10m',
    ],
    [
      'training: { trainers: [{ type: command, spam: [a, "{user}"], ham: [a] }, { type: mbox, scope: user, spam: "a/{user}", ham: b }] }',
      '1: training.trainers[1].spam: {user} has a meaning only with `scope: domain` or `scope: user`',
      '1: training.trainers[2].ham: with `scope: user` {user} has to stand in it, in the path',
    ],
    [
      'training: { trainers: [{ type: webhook, url: "https://h/", secret: 0123456789abcdef, ca: /no/ca.pem }] }',
      '1: training.trainers[1].ca: there is no file /no/ca.pem',
    ],
    [
      'training: { trainers: [{ type: arf, scope: domain }, { type: rspamd, bayes: false }, { type: maildir, spam: a, ham: a }] }',
      '1: training.trainers[1].scope: reports by mail know no other than global',
      '1: training.trainers[1]: expected `spam`, the address that gets reports of spam, or `ham`, or both',
      '1: training.trainers[2]: with `bayes: false` and no `fuzzy` flag nothing is learned',
      '1: training.trainers[3].ham: expected another place than `spam`',
    ],
    ['imap: { loginFailures: { delayMs: 20000 } }', '1: expected no less than imap.loginFailures.delayMs'],
    // what is no YAML
    ['hostname: a.example\nhostname: b.example', '2: Map keys must be unique'],
    ['- a', '1: expected settings like `hostname: quarantine.example.com`'],
    ...(['exchange', 'amavis@top', 'exim:X-Own'] as const).map((name): readonly [string, string] => [
      `intake: { smtp: [{ listen: "127.0.0.1:25", filter: "${name}" }] }`,
      `1: intake.smtp[1].filter: expected one of auto, none, amavis, rspamd, rspamd-milter, spamassassin, spamassassin-milter, rspamd-haraka, exim, mailscanner, proxmox, spamexperts, icewarp, microsoft365, barracuda, proofpoint, mimecast, kaspersky, trendmicro, sophos, ironport, bogofilter, dspam, spambayes, found "${name}"`,
    ]),
    [
      'intake: { smtp: [{ listen: "127.0.0.1:25", also: [auto] }] }',
      '1: intake.smtp[1].also[1]: expected one of amavis, rspamd, rspamd-milter, spamassassin, spamassassin-milter, rspamd-haraka, exim, mailscanner, proxmox, spamexperts, icewarp, microsoft365, barracuda, proofpoint, mimecast, kaspersky, trendmicro, sophos, ironport, bogofilter, dspam, spambayes, found "auto"',
    ],
    [
      'intake: { authservIds: ["mx 1"] }',
      '1: intake.authservIds[1]: expected a host name like quarantine.example.com, found "mx 1"',
    ],
    ['language: fr', '1: language: expected one of en, nl, found "fr"'],
    ['imap: {', '1: Flow map in block collection must be sufficiently indented and end with a }'],
  ];
  for (const [yaml, ...told] of cases) t.same(problems(yaml), told, JSON.stringify(yaml));
});

t.test('next hops are read as smtp/ reads them, and their passwords are never told', async (t) => {
  const [told = ''] = problems('delivery: { nextHop: "http://user:secret@host" }');
  t.match(
    told,
    /^1: delivery\.nextHop: expected a next hop like smtp:\/\/10\.0\.0\.5:25 \(.*\), found "http:\/\/user:\*\*\*@host"$/,
  );
  t.match(problems('domains: { a.example: { nextHop: "smtp://h:99999" } }'), [
    /^1: domains\.a\.example\.nextHop: expected a next hop/,
  ]);
  t.match(problems('delivery: { nextHop: "imaps://{user}*m:hush@h" }'), [
    /^1: delivery\.nextHop: expected a next hop .*"imaps:\/\/" is none of/,
  ]);
  t.same(problems('domains: { a.example: { nextHop: "imaps://{user}*m:hush@h/INBOX" } }'), [], 'of a domain');
  t.match(problems('delivery: { amavis: "127.0.0.1:9998" }'), [/^1: delivery\.amavis: expected a socket of amavis/]);
  t.match(problems('release: { sender: "nobody" }'), [
    '1: release.sender: expected original, empty, srs or fixed:ADDRESS, found "nobody"',
  ]);
  t.match(problems('release: { sender: srs }\ndomains: { a.example: { sender: srs }, b.example: { sender: empty } }'), [
    '1: release.sender: srs needs release.srsSecret',
    '2: domains.a.example.sender: srs needs release.srsSecret',
  ]);
  t.same(problems('release: { sender: srs, srsSecret: 12charsecret }'), []);
  t.match(problems('delivery: { nextHop: "smtp://h?tls=maybe" }'), [/tls=maybe is none of/]);
  for (const good of ['smtp://h', 'smtps://u:p@h:465', 'lmtp://[::1]:24', 'smtp://10.0.0.1:25?tls=verify'])
    t.same(problems(`delivery: { nextHop: "${good}" }`), [], good);
});

t.test('a bus is a Redis, and its password is not shown', async (t) => {
  const bad = [
    'http://h',
    'redis:h',
    'redis://',
    'redis://u:secret@h:99999',
    'redis://h/x',
    'redis://u:secret@h?family=6',
  ];
  for (const url of bad) {
    const [told = ''] = problems(`bus: "${url}"`);
    t.match(told, /^1: bus: expected a Redis like redis:\/\/10\.0\.0\.7:6379, or rediss:/, url);
    t.notMatch(told, /secret/);
  }
  for (const good of ['redis://h', 'redis://h:6380/3', 'rediss://u:p%40ss@h', 'redis://:p@[::1]:6379/'])
    t.same(problems(`bus: "${good}"`), [], good);
});

t.test('all that is wrong is told at once, in the order of the lines', async (t) => {
  t.same(
    problems(
      'imap:\n  listen: 5\n  maxConnections: x\nfoo: 1\nrelease:\n  undoSeconds: -1\ntraining: { learn: { released: x } }',
    ).map((text) => text.slice(0, text.indexOf(':'))),
    ['2', '3', '4', '6', '7'],
  );
});

t.test('a file that is not there or is a folder stops it', async (t) => {
  t.throws(
    () => loadConfig({ file: join(folder, 'none.yaml'), env: {} }),
    /none\.yaml: cannot be read: there is no such file/,
  );
  t.throws(() => loadConfig({ file: folder, env: {} }), /cannot be read: it is a folder/);
});

t.test('the environment goes above the file, whatever the kind of value', async (t) => {
  const file = join(folder, 'env.yaml');
  writeFileSync(file, 'imap: { listen: ["127.0.0.1:1"], maxConnections: 7 }\nhostname: file.example\n');
  const config = loadConfig({
    file,
    env: {
      LAZARET_IMAP_LISTEN: '["127.0.0.1:143", "[::1]:993/tls"]',
      LAZARET_INTAKE_TRUSTED: ' 10.0.0.0/8, ::1 ',
      LAZARET_INTAKE_LMTP:
        '[{ "listen": "127.0.0.1:24", "direction": "outgoing", "filter": "rspamd" }, "127.0.0.1:25"]',
      LAZARET_IMAP_ALLOW_CLEARTEXT_LOGIN: 'true',
      LAZARET_IMAP_LOGINFAILURES_DELAYMS: '5',
      LAZARET_DOMAINS: '{ "Quay.Example": {} }',
      LAZARET_ALIASES: '',
      LAZARET_HOSTNAME: '',
      LAZARET_CONFIG: 'something',
      LAZARET_PORT_24_TCP_ADDR: '10.0.0.1', // Kubernetes, for a service called lazaret
      LAZARET_SERVICE_HOST: '10.0.0.1',
      PATH: '/bin',
    },
  });
  t.same(config.imap.listen, [
    { host: '127.0.0.1', port: 143, tls: false },
    { host: '::1', port: 993, tls: true },
  ]);
  t.same(config.intake.trusted, ['10.0.0.0/8', '::1/128']);
  t.same(config.intake.lmtp, [
    { host: '127.0.0.1', port: 24, direction: 'outgoing', filter: 'rspamd' },
    { host: '127.0.0.1', port: 25, direction: 'auto', filter: 'auto' },
  ]);
  t.equal(config.imap.allowCleartextLogin, true);
  t.equal(config.imap.loginFailures.delayMs, 5);
  t.equal(config.imap.maxConnections, 7, 'the file');
  t.equal(config.hostname, 'file.example', 'an empty variable is an absent one');
  t.same(config.domains, { 'quay.example': { aliases: [] } });

  t.same(problems('', { LAZARET_IMAP_LISTNE: 'x' }), [
    'LAZARET_IMAP_LISTNE: unknown setting; did you mean LAZARET_IMAP_LISTEN?',
  ]);
  t.same(problems('imap: { maxConnections: 1 }', { LAZARET_IMAP_MAX_CONNECTIONS: 'x' }), [
    'LAZARET_IMAP_MAX_CONNECTIONS: imap.maxConnections: expected a whole number from 1 to 1000000, found "x"',
  ]);
  t.same(problems('', { LAZARET_DOMAINS: 'a.example' }), ['LAZARET_DOMAINS: expected JSON, found "a.example"']);
  t.match(problems('', { LAZARET_IMAP_LISTEN: '127.0.0.1:1,nowhere' }), [
    /^LAZARET_IMAP_LISTEN: imap\.listen\[2\]: expected/,
  ]);
});

t.test('empty values are absent ones, and what is absent has its meaning', async (t) => {
  const config = configFrom(
    { imap: null, domains: null, tls: { cert: '', key: null } as object, hostname: 'q.example' },
    folder,
  );
  t.match(config, {
    hostname: 'q.example',
    store: `sqlite:${join(folder, 'data/lazaret.db')}`,
    imap: { maxConnections: 10_000, maxConnectionsPerUser: 50, loginFailures: { delayMs: 1000, maxDelayMs: 15_000 } },
    intake: { maxMessageBytes: 67_108_864, handOverDomains: ['q.example'] },
    delivery: { nextHop: 'smtp://127.0.0.1:10026', retryForDays: 5 },
    release: { undoSeconds: 10, showAfter: 3_600_000 },
    actionFolders: 'empty',
    accounts: { global: 'global' },
    aliases: {},
  });
  t.notOk('domains' in config || 'tls' in config);
  t.same(
    configFrom({ hostname: 'q.example', domains: { 'q.example': {} } }).intake.handOverDomains,
    [],
    'the hostname is a domain of people',
  );
  t.same(
    configFrom({ intake: { direction: 'outgoing', lmtp: ['[::1]:0', { listen: '[::1]:0', direction: 'incoming' }] } })
      .intake.lmtp,
    [
      { host: '::1', port: 0, direction: 'outgoing', filter: 'auto' },
      { host: '::1', port: 0, direction: 'incoming', filter: 'auto' },
    ],
  );
  t.same(
    configFrom({ intake: { smtp: [{ listen: '[::1]:0', disposition: 'Rejected  554 5.7.0 No\x1b' }] } }).intake.smtp,
    [
      {
        host: '::1',
        port: 0,
        direction: 'auto',
        filter: 'auto',
        disposition: { kind: 'rejected', said: '554 5.7.0 No\\x1b' },
      },
    ],
  );
  const trainers = [
    { type: 'command', spam: ['a', 'b'], ham: ['c'], timeout: '5s' },
    { type: 'mbox', name: 'files', scope: 'user', spam: 'spam/{user}', ham: '/var/ham/{user}' },
    { type: 'spamd' },
  ];
  t.match(configFrom({ training: { trainers, learn: { released: ['cli'] } } }, '/etc/lazaret').training, {
    trainers: [
      { type: 'command', scope: 'global', timeout: 5000, spam: ['a', 'b'], ham: ['c'] },
      {
        type: 'mbox',
        name: 'files',
        scope: 'user',
        timeout: 30_000,
        spam: '/etc/lazaret/spam/{user}',
        ham: '/var/ham/{user}',
      },
      { type: 'spamd', scope: 'global', timeout: 30_000, address: '127.0.0.1:783', report: false },
    ],
    learn: { released: ['cli'], discarded: [] },
  });
});

t.test('the file that is printed has every setting and, read again, gives the defaults', async (t) => {
  const text = initialFile();
  const file = join(folder, 'initial.yaml');
  writeFileSync(file, text);
  t.same(loadConfig({ file, env: {} }), configFrom({}, folder));
  for (const line of table()) {
    const key = line.path.at(-1);
    t.ok(new RegExp(`^ *(# )?${key}:`, 'm').test(text), `${line.path.join('.')} is in the file`);
    if ('about' in line)
      t.ok(configPage().includes(`\`${environmentName(line.path)}\``), `${line.path.join('.')} is on the page`);
  }
  // Its examples hold, too.
  const commented = /^( *)# ( *)(hostname|handOverDomains|domains|aliases|trainers|[\w.@]+\.example)(?=: ?[[{\w]|:$)/gm;
  const examples = text.replace(/^(aliases: \{\}| {2}trainers: \[\])$/gm, '').replace(commented, '$1$2$3');
  writeFileSync(file, examples);
  t.match(loadConfig({ file, env: {} }), {
    hostname: 'quarantine.example.com',
    domains: {
      'harbour.example': { aliases: ['harbor.example'], nextHop: 'smtp://10.0.0.5:10026' },
      'quay.example': {},
    },
    aliases: { 'info@quay.example': 'ben@quay.example' },
    training: {
      trainers: [
        { type: 'rspamd', password: 'q1' },
        { type: 'spamd', scope: 'user' },
      ],
    },
  });
});

t.test('settings are shown with where they come from and without passwords', async (t) => {
  const file = join(folder, 'shown.yaml');
  writeFileSync(
    file,
    'imap:\n  maxConnections: 5\ndomains:\n  a.example: { nextHop: "smtps://u:hush@h" }\ntraining:\n  trainers:\n' +
      '    - { type: rspamd, password: hush }\n    - { type: webhook, url: "https://h/", secret: hush hush hush hush }\n',
  );
  const loaded = load({ file, env: { LAZARET_DELIVERY_NEXT_HOP: 'smtp://ann:hush@h:25' } });
  const shown = shownSettings(loaded);
  t.match(shown, /^ {2}maxConnections: 5 +# .*shown\.yaml:2$/m);
  t.match(shown, /^ {2}nextHop: smtp:\/\/ann:\*\*\*@h:25 +# LAZARET_DELIVERY_NEXT_HOP$/m);
  t.match(shown, /^ {2}showAfter: 1h +# default$/m);
  t.match(shown, /trainers: \[\{type: "rspamd", password: "\*\*\*"\}/);
  t.notMatch(shown + JSON.stringify(withoutSecrets(loaded.config)), /hush/);
});

t.test('the settings on the pages about training hold', async (t) => {
  const page = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
  const blocks = [...page('training.md').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string);
  t.ok(blocks.length >= 4);
  for (const block of blocks)
    t.same(
      problems(block.startsWith('-') ? `training:\n  trainers:\n${block.replace(/^/gm, '    ')}` : block),
      [],
      block,
    );
});

t.test('a configuration lies where somebody says, or in the usual places', async (t) => {
  t.equal(findConfig('a.yaml', { LAZARET_CONFIG: 'b.yaml' }), 'a.yaml');
  t.equal(findConfig('', { LAZARET_CONFIG: 'b.yaml' }), 'b.yaml');
  t.equal(findConfig(undefined, { LAZARET_CONFIG: '' }), undefined);
});
