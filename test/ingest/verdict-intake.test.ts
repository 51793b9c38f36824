/** What comes in, with what filters wrote: entries, their verdicts and the lines above them. Row 25 on every way. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type AdmitOptions, admitMessage, type IncomingMail } from '#app/ingest/admit';
import { filterNames, isMarking, type NamedFilter, parseFilter } from '#app/lib/filter-names';
import { networks } from '#app/lib/networks';
import type { ProductEvent } from '#app/observe/events';
import { silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { openStore } from '#store/open';

const fixtures = join(import.meta.dirname, '../fixtures');
const spoofed = readFileSync(join(fixtures, 'raw/spam-spoofed-filter-headers.eml'), 'latin1');

async function world(t: Test, more: Partial<AdmitOptions> = {}) {
  const store = await openStore(`sqlite:${join(t.testdir(), 'store.db')}`, { durable: false });
  t.teardown(() => store.close());
  const events: ProductEvent[] = [];
  const options: AdmitOptions = {
    store,
    book: new AddressBook({ domains: { 'example.test': { aliases: [] } }, aliases: {} }),
    handOverDomains: ['quarantine.test'],
    releaseKey: Buffer.alloc(32, 7),
    believed: { authservIds: ['mx.example.test'], isOurs: networks(['127.0.0.0/8']) },
    onEvent: (event) => events.push(event),
    log: silent,
    ...more,
  };
  const admit = async (text: string, mail: Partial<IncomingMail> = {}) => {
    async function* source() {
      yield Buffer.from(text, 'latin1');
    }
    const admitted = await admitMessage(options, {
      source: source(),
      sender: 'promo@spam.test',
      recipients: [{ address: 'alice@example.test' }],
      params: {},
      direction: 'auto',
      filter: 'auto',
      repeat: false,
      ...mail,
    });
    const found = await store.entries.list({ scope: { level: 'global' }, limit: 100 });
    return admitted.map(({ entryId }) => found.find(({ id }) => id === entryId)!);
  };
  return { store, events, admit };
}

const crlf = (text: string) => text.replaceAll('\n', '\r\n');
const endOfHeader = spoofed.indexOf('\r\n\r\n') + 2;
const atTheEnd = (lines: string) => spoofed.slice(0, endOfHeader) + crlf(lines) + spoofed.slice(endOfHeader);
const atTheTop = (lines: string) => crlf(lines) + spoofed;
/** As each filter would write it above or below the sender's own lines. */
const honest: Readonly<Record<string, string>> = {
  spamexperts: 'X-SpamExperts-Class: spam\nX-SpamExperts-Evidence: Combined (0.99)\n',
  icewarp: 'X-Spam-Reasons: score 9.00 reason [Body=P] action SPAM\n',
  mailscanner: 'X-Example-MailScanner-SpamCheck: spam, SpamAssassin (score=9, required 5, A 9.00)\n',
  proxmox: 'X-SPAM-LEVEL: Spam detection results:  9\n\tA 9.0 words\n',
  'spamassassin-milter': 'X-Spam-Flag: YES\nX-Spam-Status: Yes, score=9 required=5 tests=A\nX-Spam-Score: 9\n',
  exim: 'X-Spam-Flag: YES\nX-Spam-Status: Yes, score=9\nX-Spam-Score: 90\n',
  microsoft365: 'X-Forefront-Antispam-Report: SCL:9;CAT:SPM;\n',
  barracuda: 'X-Barracuda-Spam-Status: Yes, SCORE=9.00 KILL_LEVEL=7.0 tests=\n',
  proofpoint: 'X-Proofpoint-Spam-Details: rule=spam score=99\n',
  mimecast: 'X-Mimecast-Spam-Score: 9\n',
  kaspersky: 'X-KSMG-AntiSpam-Rate: 99\nX-KSMG-AntiSpam-Status: spam\n',
  trendmicro: 'X-TM-AS-Result: Yes--9\n',
  sophos: 'X-Sophos-Spam-Status: spam\n',
  ironport: 'X-IronPort-AV-Verdict: infected\n',
  bogofilter: 'X-Bogosity: Spam, spamicity=0.99\n',
  dspam: 'X-DSPAM-Result: Spam\nX-DSPAM-Probability: 0.99\n',
  spambayes: 'X-Spambayes-Classification: spam; 0.99\n',
  'rspamd-haraka': 'X-Rspamd-Score: 9\nX-Rspamd-Spam: Yes\n',
};

t.test("row 25: a stranger's words never count, by whatever filter the message comes", async (t) => {
  const { admit } = await world(t);
  const envelope = 'X-Envelope-From: <promo@spam.test>\nX-Envelope-To: <alice@example.test>\n';
  const own: [NamedFilter | 'auto', string][] = [
    [
      'auto',
      `${envelope}X-Quarantine-ID: <Q>\nX-Spam-Flag: YES\nX-Spam-Score: 9\nX-Spam-Status: Yes, score=9 kill=6\n`,
    ],
    [
      'amavis',
      `${envelope}X-Quarantine-ID: <Q>\nX-Spam-Flag: YES\nX-Spam-Score: 9\nX-Spam-Status: Yes, score=9 kill=6\n`,
    ],
    [
      'rspamd',
      `${envelope}X-Quarantine-ID: <Q>\nX-Spam-Action: reject\nX-Spam-Score: 9\nX-Spamd-Result: default: True [9.00 / 8.00];\n\tA(9.00)[]\n`,
    ],
    ['spamassassin', 'X-Spam-Flag: YES\nX-Spam-Status: Yes, score=9 required=5 tests=A\n'],
    [
      'auto',
      'X-Spam-Checker-Version: SpamAssassin 4.0.1\nX-Spam-Flag: YES\nX-Spam-Status: Yes, score=9 required=5 tests=A\n',
    ],
  ];
  const ways: [NamedFilter | 'auto', string][] = [
    ...own.map(([filter, lines]): [NamedFilter | 'auto', string] => [filter, atTheTop(lines)]),
    [
      'rspamd-milter',
      atTheEnd(
        'X-Spamd-Result: default: False [9.00 / 15.00];\n\tA(9.00)[]\nX-Rspamd-Action: add header\nX-Spam-Status: Yes, score=9\nX-Spam: Yes\n',
      ),
    ],
    ...filterNames.filter(isMarking).map((name): [NamedFilter, string] => {
      const lines = honest[name] ?? t.fail(`nothing of ${name}`);
      return [name, parseFilter(name)?.place === 'top' ? atTheTop(String(lines)) : atTheEnd(String(lines))];
    }),
  ];
  for (const [filter, text] of ways) {
    // Both amavis and Rspamd may hand over to an address that names nobody.
    const nobody = filter === 'amavis' || filter === 'rspamd' ? [{ address: 'x@quarantine.test' }] : undefined;
    const entries = await admit(text, { filter, ...(nobody ? { recipients: nobody } : {}) });
    t.same(
      entries.map(({ owner }) => owner),
      ['alice@example.test'],
      `${filter}: victim@ gets nothing`,
    );
    const [entry] = entries;
    t.equal(entry?.message.sender, 'promo@spam.test', filter);
    t.ok((entry?.verdict.score ?? 9) > 0.9, `${filter}: ${entry?.verdict.score}`);
    if (filter !== 'mimecast') t.match(entry?.verdict.reason, /^(?:spam|virus)$/, `${filter}: it is not ham`);
    t.equal(entry?.verdict.authentication, undefined, filter);
    t.notMatch(entry?.prefix, /AAAAAAAAAAAA|-100|victim|=pass/, filter);
  }
});

t.test('row 25: nor where no filter wrote anything', async (t) => {
  const { admit } = await world(t);
  const byMta = `Received: from x (localhost [127.0.0.1])\r\n\tby mx.example.test (Postfix) with ESMTP id 2; date\r\n${spoofed}`;
  for (const text of [spoofed, byMta])
    for (const filter of [
      'auto',
      'none',
      'amavis',
      'rspamd',
      'spamassassin',
      ...filterNames.filter(isMarking),
    ] as const) {
      if (filter === 'exim' || filter === 'spamassassin-milter' || filter === 'rspamd-haraka') continue; // below
      const [entry, ...more] = await admit(text, { filter });
      t.equal(more.length, 0);
      t.match(
        entry,
        { owner: 'alice@example.test', verdict: { reason: 'unknown', source: 'none', rules: [] } },
        filter,
      );
      t.equal(entry?.verdict.authentication, undefined);
    }
  // Filters that write at the end are believed about the last such lines: naming one says that it looks at all mail there.
  // Even then it is a verdict that is forged, and neither a recipient nor a sender.
  for (const filter of ['exim', 'spamassassin-milter', 'rspamd-haraka', 'rspamd-milter'] as const) {
    const entries = await admit(spoofed, { filter });
    t.match(entries, [{ owner: 'alice@example.test', message: { sender: 'promo@spam.test' } }], filter);
    t.equal(entries.length, 1);
  }
});

const border =
  'Received: from mail.spam.test (mail.spam.test [198.51.100.7])\r\n\tby mx.example.test (Postfix) with ESMTP id 1; date\r\n';
const mail = 'From: a@spam.test\r\nSubject: s\r\n\r\nbody\r\n';

t.test('several engines, authentication and disposition are kept and shown', async (t) => {
  const { admit } = await world(t);
  const text = `X-Envelope-From: <>\r\nX-Envelope-To: <alice@example.test>\r\nX-Quarantine-ID: <Qid>\r\nX-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=7 tag=2 tag2=5 kill=6.31 tests=[A=7]\r\n${border}Authentication-Results: mx.example.test; spf=fail; dmarc=fail\r\n${mail.replace('\r\n\r\n', '\r\nX-Bogosity: Spam, spamicity=0.98\r\nX-Own: 1\r\nX-SPAM-LEVEL: Spam detection results:  5\r\n\r\n')}`;
  const [entry] = await admit(text, {
    filter: 'amavis',
    also: ['bogofilter', 'proxmox', 'barracuda'],
    verdict: { disposition: { kind: 'rejected', said: '554 5.7.0 Reject' } },
  });
  t.match(entry?.verdict, {
    reason: 'spam',
    source: 'amavis',
    filterId: 'Qid',
    bands: { tag: 5, quarantine: 6.31 },
    others: [
      { source: 'bogofilter', score: 0.98, scale: 'probability', class: 'spam' },
      { source: 'proxmox', score: 5 },
    ],
    authentication: { spf: 'fail', dmarc: 'fail' },
    disposition: { kind: 'rejected', said: '554 5.7.0 Reject' },
  });
  t.equal(entry?.verdict.others?.length, 2);
  for (const line of [
    'X-Lazaret-Score: 7 of 6.31 points (55 of 100)\r\n',
    'X-Lazaret-Also: bogofilter: spam, 0.98 probability (98 of 100); proxmox: 5\r\n points (50 of 100)\r\n',
    'X-Lazaret-Authentication: spf=fail dmarc=fail\r\n',
    'X-Lazaret-Disposition: it was refused, and the sender told: 554 5.7.0 Reject\r\n',
  ])
    t.ok(entry?.prefix.includes(line), line);
});

t.test('in Dutch, where the settings say so', async (t) => {
  const { admit } = await world(t, { language: 'nl' });
  const [entry] = await admit(
    `${border}${mail.replace('\r\n\r\n', '\r\nX-Reasons: score 9.1 reason [Body=P] action SPAM\r\n\r\n')}`,
    {
      filter: 'icewarp:X-Reasons',
    },
  );
  t.match(entry?.prefix, 'X-Lazaret-Reason: spam (icewarp): het lijkt op spam\r\n');
  t.match(entry?.prefix, 'Body=P (de HTML- en tekstdelen komen niet overeen)');
});

t.test('which way a message goes, where the filter says so and nobody else does', async (t) => {
  const { admit } = await world(t);
  const text = `${border}${mail.replace('\r\n\r\n', '\r\nX-SpamExperts-Outgoing-Class: spam\r\n\r\n')}`;
  const mine = { sender: 'bob@example.test', filter: 'spamexperts' as const };
  t.match(await admit(text, mine), [{ direction: 'outgoing', owner: 'bob@example.test' }]);
  t.match(await admit(text, { ...mine, direction: 'incoming' }), [
    { direction: 'incoming', owner: 'alice@example.test' },
  ]);
  t.match(await admit(text, { ...mine, filter: 'auto' }), [{ direction: 'incoming' }], 'a stranger does not say it');
});

t.test('what Rspamd only put off is not kept', async (t) => {
  const { admit, events, store } = await world(t);
  const rspamd = (action: string) =>
    `X-Envelope-From: <>\r\nX-Envelope-To: <alice@example.test>\r\nX-Quarantine-ID: <Q>\r\nX-Quarantine-Client: [::1]\r\nX-Spam-Action: ${action}\r\nX-Spam-Score: 9\r\nX-Spamd-Result: default: False [9.00 / 15.00]\r\n${mail}`;
  for (const filter of ['auto', 'rspamd'] as const)
    for (const action of ['soft reject', 'greylist']) t.same(await admit(rspamd(action), { filter }), []);
  t.same(
    events,
    Array(2)
      .fill([
        { kind: 'put-off', owner: 'alice@example.test', said: 'soft reject' },
        { kind: 'put-off', owner: 'alice@example.test', said: 'greylist' },
      ])
      .flat(),
  );
  t.same(await store.entries.list({ scope: { level: 'global' }, limit: 10 }), []);
  t.match(await admit(rspamd('reject'), { filter: 'rspamd' }), [{ verdict: { disposition: { kind: 'rejected' } } }]);
  const stranger = `${border}X-Spam-Action: greylist\r\nX-Spamd-Result: default: False [9.00 / 15.00]\r\n${mail}`;
  t.equal((await admit(stranger, { filter: 'rspamd' })).length, 1, 'a stranger cannot ask for it');
});
