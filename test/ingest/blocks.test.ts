import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Arrival } from '#app/ingest/arrival';
import { type FilterSetting, findBlock } from '#app/ingest/block';
import { HeaderEnd } from '#app/ingest/header-end';
import { trueEnvelope } from '#app/ingest/recipients';
import { verdictOf } from '#app/ingest/verdict';
import { readSpamStatus } from '#app/ingest/verdicts/spam-status';
import type { Verdict } from '#store/model';

const samples = join(import.meta.dirname, '../fixtures/filtered');
const sample = (name: string) => readFileSync(join(samples, `${name}.eml`));
const namesNobody = (address: string) => address.endsWith('@quarantine.test');
const toQuarantine = { sender: 'handover@mx.test', recipients: [{ address: 'spam-quarantine@quarantine.test' }] };

async function* pieces(octets: Uint8Array, size = octets.length || 1): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size);
}

async function arrive(octets: Uint8Array, filter: FilterSetting, size?: number) {
  const arrival = new Arrival(filter);
  const kept: Uint8Array[] = [];
  for await (const chunk of arrival.octets(pieces(octets, size))) kept.push(Buffer.from(chunk));
  return { ...arrival.end(), kept: Buffer.concat(kept) };
}

const two = ['alice@example.test', 'bob@example.test'];
const amavis = (id: string, score: number, more: Partial<Verdict> = {}): Partial<Verdict> => ({
  reason: 'spam',
  source: 'amavis',
  score,
  required: 6.31,
  filterId: id,
  ...more,
});
const unknown: Partial<Verdict> = { reason: 'unknown', source: 'none', rules: [] };

/** What each real sample must give: the settings, the first words that are kept, the verdict, the envelope. */
const table: {
  file: string;
  settings: FilterSetting[];
  kept: string | undefined;
  verdict: Partial<Verdict>;
  rules?: number;
  sender?: string;
  recipients?: string[];
}[] = [
  ...[
    'amavis-lmtp-gtube:01l91CPzaQeR',
    'amavis-smtp-gtube:6WD5nirhjJEq',
    'amavis-sql-gtube:BYCVg5u2bCTh',
    'amavis-local-file-gtube:Ldis47rxT5TJ',
  ].map((entry) => {
    const [file = '', id = ''] = entry.split(':');
    return {
      file,
      settings: ['auto', 'amavis'] as FilterSetting[],
      kept: 'Received: from client',
      verdict: amavis(id, 1001.3),
      rules: 2,
      sender: 'promo@spam.test',
      recipients: two,
    };
  }),
  {
    file: 'amavis-lmtp-five-recipients',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: amavis('56oRotDJJu-k', 1001.3),
    sender: 'promo@spam.test',
    recipients: ['a@example.test', 'b@example.org', 'c@example.com', 'd@example.test', 'hidden@example.test'],
  },
  {
    file: 'amavis-smtp-null-sender-spoofed',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: amavis('wvn0ElWJYJZD', 1001.3),
    sender: '',
    recipients: ['alice@example.test'],
  },
  {
    file: 'amavis-smtp-smtputf8',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: amavis('7WeY9pYLLxfh', 1001.301),
    rules: 3,
    sender: 'jürgen@späm.test',
    recipients: ['zoë@example.test'],
  },
  {
    file: 'amavis-smtp-60-recipients',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: { reason: 'spam', source: 'amavis' },
    sender: '"odd name, with> comma"@spam.test',
    recipients: Array.from({ length: 60 }, (_, n) => `user${String(n).padStart(2, '0')}@example.test`),
  },
  {
    file: 'amavis-lmtp-banned',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: {
      reason: 'banned',
      source: 'amavis',
      required: 6.31,
      score: 0,
      detail: 'BANNED, message contains application/octet-stream,invoice.pdf.exe',
    },
    rules: 0,
    sender: 'billing@spam.test',
    recipients: ['alice@example.test'],
  },
  {
    file: 'amavis-smtp-nul-bare-lf',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: amavis('wtFIXrmhhtYw', 1002.811),
    rules: 4,
    sender: 'm@spam.test',
    recipients: ['alice@example.test'],
  },
  {
    file: 'amavis-lmtp-long-8bit',
    settings: ['auto', 'amavis'],
    kept: 'Received: from client',
    verdict: amavis('j4BEJaOAJzBJ', 1001.301),
    rules: 3,
    sender: 'gewinn@spam.test',
    recipients: ['alice@example.test'],
  },
  { file: 'amavis-passed-ham', settings: ['auto', 'amavis'], kept: undefined, verdict: unknown },
  {
    file: 'amavis-passed-ham',
    settings: ['spamassassin'],
    kept: 'Received: from localhost',
    verdict: {
      reason: 'unknown',
      source: 'amavis',
      score: 1.3,
      required: 6.31,
      rules: [{ name: 'RCVD_ILLEGAL_IP', score: 1.3 }],
    },
  },
  {
    file: 'amavis-released-gtube',
    settings: ['auto', 'amavis', 'rspamd', 'spamassassin', 'rspamd-milter'],
    kept: undefined,
    verdict: unknown,
  },
  {
    file: 'spamassassin-process-gtube',
    settings: ['auto', 'spamassassin'],
    kept: 'Received: from dyn-7',
    verdict: { reason: 'spam', source: 'spamassassin', score: 1001.3, required: 5 },
    rules: 2,
  },
  {
    file: 'spamassassin-process-advance-fee',
    settings: ['auto', 'spamassassin'],
    kept: 'Received: from dyn-7',
    verdict: { reason: 'spam', source: 'spamassassin', score: 19.3, required: 5 },
    rules: 18,
  },
  {
    file: 'spamassassin-process-pharmacy',
    settings: ['auto', 'spamassassin'],
    kept: 'Received: from dyn-7',
    verdict: { reason: 'spam', source: 'spamassassin', score: 11.1 },
    rules: 14,
  },
  {
    file: 'spamassassin-process-ham',
    settings: ['auto', 'spamassassin'],
    kept: 'Received: from mail',
    verdict: { reason: 'unknown', source: 'spamassassin', score: 1.3, rules: [{ name: 'RCVD_ILLEGAL_IP' }] },
  },
  {
    file: 'spamassassin-report-safe-gtube',
    settings: ['auto', 'spamassassin'],
    kept: 'Received: from dyn-7',
    verdict: { reason: 'spam', source: 'spamassassin', score: 1001.3, required: 5 },
    rules: 2,
  },
  { file: 'spamassassin-report-safe-gtube', settings: ['amavis', 'rspamd'], kept: undefined, verdict: unknown },
  {
    file: 'rspamd-custom-format',
    settings: ['auto', 'rspamd'],
    kept: 'X-Test-Trigger: reject',
    verdict: { reason: 'spam', source: 'rspamd', score: 34.8, required: 15, filterId: 'D42AC230077' },
    rules: 24,
    sender: 'barrister@spam.test',
    recipients: two,
  },
  { file: 'rspamd-sendmail-default', settings: ['auto', 'rspamd'], kept: undefined, verdict: unknown },
  { file: 'rspamd-email-alert', settings: ['auto', 'rspamd'], kept: undefined, verdict: unknown },
  { file: 'rspamd-http', settings: ['auto', 'rspamd'], kept: undefined, verdict: unknown },
  { file: 'rspamd-milter-add-header', settings: ['auto', 'rspamd'], kept: undefined, verdict: unknown },
  {
    file: 'rspamd-milter-add-header',
    settings: ['rspamd-milter'],
    kept: undefined,
    verdict: { reason: 'spam', source: 'rspamd', score: 8.68, required: 15, filterId: '7F68E230082' },
    rules: 23,
  },
  { file: 'rspamd-milter-add-header-8bit', settings: ['auto'], kept: undefined, verdict: unknown },
  {
    file: 'rspamd-milter-add-header-8bit',
    settings: ['rspamd-milter'],
    kept: undefined,
    verdict: { reason: 'spam', source: 'rspamd', score: 10.14, required: 15, filterId: 'EDB48230082' },
    rules: 20,
  },
  ...['postfix-header-checks-filter', 'postfix-header-checks-redirect'].flatMap((file) => [
    {
      file,
      settings: ['auto', 'amavis', 'rspamd', 'rspamd-milter'] as FilterSetting[],
      kept: undefined,
      verdict: unknown,
    },
    {
      file,
      settings: ['spamassassin'] as FilterSetting[],
      kept: 'Received: from mail',
      verdict: { reason: 'spam' as const, source: 'spamassassin', rules: [] },
    },
  ]),
];

t.test('every sample of a real filter', async (t) => {
  const seen = new Set<string>();
  for (const { file, settings, kept, verdict, rules, sender, recipients } of table)
    for (const setting of settings) {
      seen.add(`${file}.eml`);
      const octets = sample(file);
      const arrived = await arrive(octets, setting);
      const at = `${file}, ${setting}`;
      const found = verdictOf(arrived.block);
      t.match(found, verdict, at);
      if (rules !== undefined) t.equal(found.rules.length, rules, `${at}: rules`);
      const cut = Buffer.from(arrived.filterBlock).toString('latin1');
      t.ok(
        kept === undefined ? arrived.kept.equals(octets) : arrived.kept.toString('latin1').startsWith(kept),
        `${at}: kept`,
      );
      t.equal(cut === '', kept === undefined, `${at}: block`);
      const whole = octets.toString('latin1');
      t.equal(
        // Out of a report the message is taken: what is behind it goes, too.
        cut.includes('x-spam-type=original')
          ? whole.replace(cut, '').replace(/\r\n-{12}=_6B024183\.23A35325--\r\n\r\n$/, '')
          : whole.replace(cut, ''),
        arrived.kept.toString('latin1'),
        `${at}: nothing else is gone`,
      );
      const envelope = trueEnvelope(toQuarantine, arrived.block, setting, namesNobody);
      t.equal(envelope.sender, sender ?? 'handover@mx.test', at);
      t.same(
        envelope.recipients.map(({ address }) => address),
        recipients ?? [''],
        at,
      );
      for (const size of [1, 7, 100]) {
        const again = await arrive(octets, setting, size);
        t.ok(again.kept.equals(arrived.kept), `${at}: in pieces of ${size}`);
        t.same(
          [again.bodySha256, again.repeatSha256, again.hasTrace, again.receivedCount],
          [arrived.bodySha256, arrived.repeatSha256, arrived.hasTrace, arrived.receivedCount],
        );
      }
      t.equal(arrived.summary.size, arrived.kept.length);
    }
  for (const file of readdirSync(samples).filter((name) => name.endsWith('.eml'))) t.ok(seen.has(file), file);
});

t.test('points and words of SpamAssassin rules come from its report', async (t) => {
  const { block } = await arrive(sample('spamassassin-process-advance-fee'), 'auto');
  const { rules } = verdictOf(block);
  t.same(
    rules.find(({ name }) => name === 'ADVANCE_FEE_5_NEW_MONEY'),
    { name: 'ADVANCE_FEE_5_NEW_MONEY', score: 3, words: 'Advance Fee fraud and lots of money' },
  );
  t.same(
    rules.find(({ name }) => name === 'T_MONEY_PERCENT'),
    { name: 'T_MONEY_PERCENT', score: 0, words: 'X% of a lot of money for you' },
  );
});

t.test('the grammars of X-Spam-Status', async (t) => {
  const cases: [string, ReturnType<typeof readSpamStatus>][] = [
    ['Yes, score=6.00', { isSpam: true, score: 6, rules: [] }],
    [
      'No, score=x tag=-999 tag2=6.31 kill=6.31 tests=[] autolearn=unavailable',
      { isSpam: false, required: 6.31, tag: 6.31, byAmavis: true, rules: [] },
    ],
    ['No, score=-1.9 required=5.0 tests=none version=4.0.1', { isSpam: false, score: -1.9, required: 5, rules: [] }],
    [
      'Yes, score=7 required=5 tests=A,B, C autolearn=no',
      { isSpam: true, score: 7, required: 5, rules: [{ name: 'A' }, { name: 'B' }, { name: 'C' }] },
    ],
    [
      'Yes, score=7 tagged_above=-9 required=5 tests=[A=1, B=-0.5',
      {
        isSpam: true,
        score: 7,
        required: 5,
        byAmavis: true,
        rules: [
          { name: 'A', score: 1 },
          { name: 'B', score: -0.5 },
        ],
      },
    ],
    ['yesterday', { isSpam: false, rules: [] }],
    ['', { isSpam: false, rules: [] }],
  ];
  for (const [value, expected] of cases) t.same(readSpamStatus(value), expected, value);
});

const withBlock = (lines: string) =>
  Buffer.from(
    `${lines.replaceAll('\n', '\r\n')}Received: from x by y id ABC; date\r\nSubject: s\r\n\r\nbody\r\n`,
    'utf8',
  );
const amavisHead = 'X-Envelope-From: <s@x.test>\nX-Envelope-To: <a@x.test>\nX-Quarantine-ID: <ABC>\n';

t.test('reasons by amavis, the worst first', async (t) => {
  const cases: [string, string][] = [
    ['X-Amavis-Alert: INFECTED, message contains virus: Eicar\nX-Spam-Flag: YES\n', 'virus'],
    ['X-Amavis-Alert: BANNED, x\nX-Amavis-Alert: BAD HEADER SECTION, y\nX-Spam-Flag: YES\n', 'banned'],
    ['X-Amavis-Alert: BAD HEADER SECTION, y\nX-Spam-Flag: YES\n', 'spam'],
    ['X-Amavis-Alert: BAD HEADER SECTION, y\nX-Spam-Flag: NO\n', 'bad-header'],
    ['X-Spam-Status: Yes, score=9\n', 'spam'],
    ['X-Spam-Flag: NO\n', 'unknown'],
  ];
  for (const [lines, reason] of cases)
    t.equal(verdictOf(findBlock(withBlock(amavisHead + lines), 'auto')).reason, reason, lines);
  const both = verdictOf(
    findBlock(withBlock(`${amavisHead}X-Amavis-Alert: BANNED, a\u0007\nX-Amavis-Alert: BAD HEADER, b\n`), 'auto'),
  );
  t.equal(both.detail, 'BANNED, a; BAD HEADER, b');
});

t.test('reasons by Rspamd, and options that look like symbols', async (t) => {
  const head = 'X-Envelope-From: <>\nX-Envelope-To: <a@x.test>\nX-Quarantine-ID: <>\nX-Spam-Action: ACTION\n';
  const verdict = (action: string, result: string) =>
    verdictOf(findBlock(withBlock(`${head.replace('ACTION', action)}X-Spamd-Result: ${result}\n`), 'auto'));
  t.match(verdict('reject', 'default: True [20.10 / 15.00];\n\tA(20.00)[x];\n\tB(0.10)[]'), {
    reason: 'spam',
    score: 20.1,
    required: 15,
    rules: [
      { name: 'A', score: 20 },
      { name: 'B', score: 0.1 },
    ],
  });
  t.match(verdict('greylist', 'default: False [5.00 / 15.00];\n\tA(5.00)[]').reason, 'unsure');
  t.match(verdict('no action', 'default: False [1.00 / 15.00];\n\tA(1.00)[]').reason, 'unknown');
  t.match(verdict('reject', 'default: True [1.00 / 15.00];\n\tCLAM_VIRUS(0.00)[Eicar-Test];\n\tA(1.00)[]'), {
    reason: 'virus',
    detail: 'Eicar-Test',
  });
  t.same(
    verdict('reject', 'default: True [1.00 / 15.00];\n\tA(1.00)[];FAKE_VIRUS(-99.00)[x]; B(9)[;\n\tC(-1.50)[]]').rules,
    [
      { name: 'A', score: 1, words: '];FAKE_VIRUS(-99.00)[x' },
      { name: 'C', score: -1.5, words: ']' },
    ],
  );
  t.same(verdict('reject', 'default: True [3.00 / 15.00]; A(1.00)[a,b]; B(2.00)[]').rules, [
    { name: 'A', score: 1, words: 'a,b' },
    { name: 'B', score: 2 },
  ]);
});

t.test('row 25: nothing below the filter is believed', async (t) => {
  const spoof =
    'X-Envelope-To: <victim@x.test>\r\nX-Quarantine-ID: <AAA>\r\nX-Spam-Status: No, score=-100\r\nX-Spam-Flag: NO\r\n';
  const spoofed = Buffer.from(
    `Received: from evil\r\n${spoof}X-Spamd-Result: default: False [-9.00 / 15.00];\r\n\tA(-9.00)[]\r\n\r\nbody\r\n`,
  );
  t.equal(findBlock(spoofed, 'auto'), undefined);
  t.equal(findBlock(spoofed, 'amavis'), undefined);
  t.equal(findBlock(spoofed, 'rspamd'), undefined);
  // Rspamd's formatter puts its fields right above those of the sender: the first repeated name is the sender's.
  const rspamd =
    'X-Envelope-From: <s@x.test>\r\nX-Envelope-To: <a@x.test>\r\nX-Quarantine-ID: <Q>\r\nX-Quarantine-Client: [::1]\r\nX-Spam-Action: reject\r\nX-Spam-Score: 20\r\nX-Spamd-Result: default: True [20.00 / 15.00]\r\n';
  const block = findBlock(Buffer.from(`${rspamd}${spoof}\r\nbody`), 'auto');
  t.equal(block?.end, rspamd.length);
  t.same(trueEnvelope(toQuarantine, block, 'auto', namesNobody).recipients, [{ address: 'a@x.test' }]);
  t.match(verdictOf(block), { reason: 'spam', score: 20 });
  // The milter's fields come last, also where the sender wrote some of the same at the end of his.
  const milter = Buffer.from(
    'Received: x\r\nSubject: s\r\nX-Spamd-Result: default: False [-9.00 / 15.00]\r\nX-Spam: No\r\nX-Spamd-Result: default: False [8.00 / 15.00]\r\nX-Rspamd-Action: add header\r\nX-Spam: Yes\r\n\r\nbody',
  );
  t.match(verdictOf(findBlock(milter, 'rspamd-milter')), { reason: 'spam', score: 8 });
  // A line that is no field ends the block.
  t.equal(
    findBlock(Buffer.from(`X-Quarantine-ID: <A>\r\nno field\r\nX-Envelope-To: <v@x.test>\r\n\r\n`), 'amavis')?.end,
    22,
  );
});

t.test("SpamAssassin's run is the one next to the topmost Received", async (t) => {
  const status = (words: string) => `X-Spam-Flag: YES\r\nX-Spam-Status: ${words}\r\n`;
  const cut = (header: string) => {
    const octets = Buffer.from(`${header}\r\nbody`);
    const block = findBlock(octets, 'spamassassin');
    return [verdictOf(block).score, block ? octets.subarray(block.start, block.end).toString() : ''];
  };
  const [one, other] = [status('Yes, score=1'), status('Yes, score=2')];
  t.same(cut(`${one}Received: x\r\n${other}`), [1, one], 'above');
  t.same(cut(`Received: x\r\n${one}Received: y\r\n${other}`), [1, one], 'below');
  t.same(
    cut(`${other}Subject: s\r\nReceived: x\r\n${one}To: x\r\n`),
    [1, one],
    'not one that only stands somewhere above',
  );
  t.same(cut(`Received: x\r\n${one}${other}`), [1, one], 'the second of a name is not its');
  t.same(cut(`${one}${other}Received: x\r\n`), [1, one]);
  t.same(cut(`Subject: s\r\n${one}Received: x\r\n`), [1, one]);
  t.same(cut(`${one}Subject: s\r\n`), [1, one], 'without any Received, at the top');
  t.same(cut(`Subject: s\r\n${one}`), [undefined, '']);
  t.same(cut(`Received: x\r\nSubject: s\r\n${one}`), [undefined, '']);
  const middle = Buffer.from(`Received: x\r\n${one}Subject: s\r\n\r\nbody`);
  const arrived = await arrive(middle, 'spamassassin', 5);
  t.equal(arrived.kept.toString(), 'Received: x\r\nSubject: s\r\n\r\nbody');
});

t.test('auto believes recipients only where the address names nobody', async (t) => {
  const block = findBlock(sample('amavis-lmtp-gtube'), 'auto');
  const handed = (...addresses: string[]) => ({
    sender: 'm@mx.test',
    recipients: addresses.map((address) => ({ address, orcpt: `rfc822;${address}` })),
  });
  const shown = (setting: FilterSetting, ...addresses: string[]) => {
    const { sender, recipients } = trueEnvelope(handed(...addresses), block, setting, namesNobody);
    return [sender, ...recipients.map(({ address }) => address)];
  };
  t.same(shown('auto', 'carol@example.test'), ['m@mx.test', 'carol@example.test']);
  t.same(shown('auto', 'spam@quarantine.test', 'carol@example.test'), [
    'promo@spam.test',
    ...two,
    'carol@example.test',
  ]);
  t.same(shown('auto', 'x@quarantine.test', 'y@quarantine.test'), ['promo@spam.test', ...two], 'once per transaction');
  t.same(shown('amavis', 'carol@example.test'), ['promo@spam.test', ...two], 'a named filter is trusted');
  t.same(trueEnvelope(handed('Ann@X.test', 'Ann@x.TEST', 'ann@x.test'), undefined, 'auto', namesNobody).recipients, [
    { address: 'Ann@X.test', orcpt: 'rfc822;Ann@X.test' },
    { address: 'ann@x.test', orcpt: 'rfc822;ann@x.test' },
  ]);
  t.same(
    trueEnvelope(handed('x@quarantine.test', 'ann@x.test'), undefined, 'auto', namesNobody).recipients.map(
      ({ address }) => address,
    ),
    ['ann@x.test', ''],
  );
});

t.test('recipients that cannot be read are nobody, not half of them', async (t) => {
  const lists: [string, string[]][] = [
    ['<a@x.test>,<b@x.test>', ['a@x.test', 'b@x.test']],
    ['<"a,b>c"@x.test>,\n <"q\\"x"@x.test>', ['"a,b>c"@x.test', '"q\\"x"@x.test']],
    ['<a@x.test>, <>', ['a@x.test']],
    ['<a@x.test>, b@x.test', ['']],
    ['<a@x.test> <b@x.test>', ['']],
    ['<a@x.test>, <b@x.test', ['']],
    ['<a b@x.test>', ['']],
    ['', ['']],
  ];
  for (const [list, expected] of lists) {
    const block = findBlock(withBlock(`X-Envelope-To: ${list}\nX-Quarantine-ID: <ABC>\n`), 'amavis');
    t.same(
      trueEnvelope(toQuarantine, block, 'amavis', namesNobody).recipients.map(({ address }) => address),
      expected,
      list,
    );
  }
  const blocked = findBlock(
    withBlock('X-Envelope-To: <a@x.test>, <b@x.test>\nX-Envelope-To-Blocked: <b@x.test>\nX-Quarantine-ID: <ABC>\n'),
    'amavis',
  );
  t.same(trueEnvelope(toQuarantine, blocked, 'amavis', namesNobody).recipients, [{ address: 'b@x.test' }]);
});

t.test('the same message again has the same hash, whatever amavis writes above it', async (t) => {
  const first = sample('amavis-lmtp-gtube');
  const again = Buffer.from(
    first
      .toString('latin1')
      .replaceAll('01l91CPzaQeR', 'ZZZZZZZZZZZZ')
      .replace('Sun, 22 Nov 2026 01:12:29', 'Sun, 22 Nov 2026 01:17:31'),
    'latin1',
  );
  const one = await arrive(first, 'auto');
  const two = await arrive(again, 'auto', 50);
  t.ok(one.repeatSha256);
  t.equal(one.repeatSha256, two.repeatSha256);
  t.ok(one.hasTrace, "an MTA's Received is below");
  const other = await arrive(
    Buffer.from(first.toString('latin1').replace('01l91CPzaQeR; Sun', 'other; Sun'), 'latin1'),
    'auto',
  );
  t.equal(other.repeatSha256, undefined, 'a Received that is not of this hand-over stays in');
  t.notOk((await arrive(withBlock(amavisHead), 'auto')).hasTrace);
});

t.test('a header that never ends, or is huge, is only read so far', async (t) => {
  const huge = Buffer.concat([
    withBlock(amavisHead).subarray(0, -10),
    Buffer.from('X-Long: x\r\n'.repeat(400_000)),
    Buffer.from('\r\nbody\r\n'),
  ]);
  const arrived = await arrive(huge, 'auto', 65536);
  t.equal(arrived.block?.filter, 'amavis');
  t.equal(arrived.kept.length, huge.length - arrived.filterBlock.length);
  t.equal(arrived.bodySha256, (await arrive(Buffer.from('\r\nbody\r\n'), 'auto')).bodySha256);
  const before = performance.now();
  for (const junk of [
    '<'.repeat(1e6),
    '"\\'.repeat(5e5),
    'A(1)['.repeat(2e5),
    'tests='.repeat(2e5),
    '\t*  1.3 '.repeat(1e5),
    ';\r\n\t'.repeat(2e5),
  ])
    for (const name of [
      'X-Envelope-To',
      'X-Spam-Status',
      'X-Spamd-Result',
      'X-Spam-Report',
      'X-Amavis-Alert',
      'Received',
    ])
      for (const setting of ['auto', 'amavis', 'rspamd', 'spamassassin', 'rspamd-milter'] as const) {
        const block = findBlock(Buffer.from(`X-Quarantine-ID: <A>\r\n${name}: ${junk}\r\n\r\n`), setting);
        verdictOf(block);
        trueEnvelope(toQuarantine, block, setting, namesNobody);
      }
  t.ok(performance.now() - before < 10_000, 'linear');
});

t.test('a header ends at its first empty line, in any cut', async (t) => {
  const cases: [string, number | undefined][] = [
    ['a: b\r\n\r\nbody', 8],
    ['a: b\n\nbody', 6],
    ['a: b\n\r\nbody', 7],
    ['a: b\r\n\nbody', 7],
    ['\r\nbody', 2],
    ['\nbody', 1],
    ['a: b\r\r\n\rx\r\n\r\r\n', undefined],
    ['a: b', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of cases)
    for (const size of [1, 2, 3, 100]) {
      const end = new HeaderEnd();
      let at: number | undefined;
      let octets = 0;
      for await (const piece of pieces(Buffer.from(text), size)) {
        const found = end.push(piece);
        if (at === undefined && found !== undefined) at = octets + found;
        octets += piece.length;
      }
      t.equal(at, expected, JSON.stringify([text, size]));
    }
});
