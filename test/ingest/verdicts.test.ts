/** Every filter family that can be named, by lines that the real ones wrote (or, where none could be had, that their manuals show). */
import t from 'tap';
import { blockIn, type FilterSetting, findBlock } from '#app/ingest/block';
import { type Reading, readVerdict } from '#app/ingest/verdict';
import { filterNames, isMarking, type NamedFilter, parseFilter } from '#app/lib/filter-names';
import { normalizedScore } from '#app/quarantine/score';
import type { Verdict } from '#store/model';

const received = 'Received: from mail.spam.test (mail.spam.test [198.51.100.7])\n\tby mx.example.test; date\n';
const sender = 'From: a@spam.test\nSubject: s\n';
/** Where each filter writes: below the sender's lines, or next to the topmost Received. */
const atTheEnd = (lines: string) => `${received}${sender}${lines}`;
const atTheTop = (lines: string) => `${lines}${received}${sender}`;

function read(filter: FilterSetting, header: string): Reading {
  return readVerdict(findBlock(Buffer.from(`${header.replaceAll('\n', '\r\n')}\r\n`, 'utf8'), filter));
}

interface Case {
  readonly filter: NamedFilter;
  readonly lines: string;
  readonly expected: Partial<Verdict>;
  readonly rules?: number;
  readonly normalized?: number;
  readonly direction?: 'outgoing';
}

const cases: readonly Case[] = [
  {
    filter: 'spamexperts',
    lines:
      'X-SpamExperts-Class: unsure\nX-SpamExperts-Evidence: Combined (0.20)\nX-Recommended-Action: accept\nX-Filter-ID: Mvzo4OR0dZXEDF/gcnlw0f6PTQ==\n\tabc=\nX-Report-Abuse-To: spam@quarantine1.antispamcloud.com\n',
    expected: {
      reason: 'unsure',
      source: 'spamexperts',
      score: 0.2,
      scale: 'probability',
      class: 'unsure',
      action: 'accept',
    },
    rules: 1,
    normalized: 20,
  },
  ...(
    [
      ['spam', 'spam'],
      ['virus', 'virus'],
      ['phish', 'phish'],
      ['ham', 'unknown'],
      ['Phishing', 'phish'],
    ] as const
  ).map(
    ([word, reason]): Case => ({
      filter: 'spamexperts',
      lines: `X-SpamExperts-Class: ${word}\nX-SpamExperts-Evidence: SB/mailspamprotection_com (0.00234768760834)\n`,
      expected: { reason, score: 0.00234768760834, scale: 'probability' },
      normalized: 0,
    }),
  ),
  {
    filter: 'spamexperts',
    lines:
      'X-SpamExperts-Domain: smtp.example.test\nX-SpamExperts-Username: 192.0.2.5\nX-SpamExperts-Outgoing-Class: unsure\nX-SpamExperts-Outgoing-Evidence: Combined (0.75)\nX-Recommended-Action: accept\n',
    expected: { reason: 'unsure', score: 0.75, class: 'unsure' },
    direction: 'outgoing',
    normalized: 75,
  },
  {
    filter: 'icewarp:X-SPAM-Reasons',
    lines: 'X-Spam-Reasons: score 10.00 reason [SpamAssassin=10.00,Bayes=99.99,Body=PE] action SPAM\n',
    expected: {
      reason: 'spam',
      source: 'icewarp',
      score: 10,
      action: 'spam',
      rules: [
        { name: 'SpamAssassin', score: 10 },
        { name: 'Bayes', score: 99.99 },
        { name: 'Body=P' },
        { name: 'Body=E' },
      ],
    },
  },
  {
    filter: 'icewarp',
    lines: 'X-Spam-Reasons: [Bypass=T] action NONE\n',
    expected: { reason: 'unknown', action: 'none', rules: [{ name: 'Bypass=T' }] },
  },
  {
    filter: 'icewarp',
    lines: 'X-Spam-Reasons: score 4.10 reason [Live=H,Charset=M,Body=\n\tNI] action SPAM\n',
    expected: { reason: 'bulk', score: 4.1 },
  },
  {
    filter: 'icewarp',
    lines: 'X-Spam-Reasons: Intrusion Prevention=D\n',
    expected: { reason: 'policy', rules: [{ name: 'Intrusion=D' }] },
  },
  {
    filter: 'icewarp@top',
    lines: 'X-Spam-Reasons: score 1.00 reason [Body=N]\n',
    expected: { reason: 'unknown', score: 1 },
  },
  {
    filter: 'mailscanner',
    lines:
      'X-Example-MailScanner-Information: Please contact the ISP\nX-Example-MailScanner-ID: 4AbC.A1\nX-Example-MailScanner: Found to be clean\nX-Example-MailScanner-SpamCheck: not spam (whitelisted), SpamAssassin (score=-2.599,\n\trequired 5, autolearn=not spam, BAYES_00 -2.60)\nX-Example-MailScanner-From: a@spam.test\n',
    expected: {
      reason: 'unknown',
      source: 'mailscanner',
      score: -2.599,
      required: 5,
      class: 'not spam (whitelisted)',
      rules: [{ name: 'BAYES_00', score: -2.6 }],
    },
    normalized: 0,
  },
  {
    filter: 'mailscanner',
    lines:
      'X-MailScanner: Found to be clean\nX-MailScanner-SpamCheck: spam, SBL+XBL, SpamAssassin (not cached, score=7.2,\n\trequired 6, autolearn=no, BAYES_99 3.50, HTML_MESSAGE 0.00)\nX-MailScanner-SpamScore: sssssss\n',
    expected: {
      reason: 'spam',
      score: 7.2,
      required: 6,
      rules: [{ name: 'SBL+XBL' }, { name: 'BAYES_99', score: 3.5 }, { name: 'HTML_MESSAGE', score: 0 }],
    },
  },
  {
    filter: 'mailscanner',
    lines: 'X-My-Own-Org-MailScanner: Found to be infected\nX-My-Own-Org-MailScanner-SpamCheck: \n',
    expected: { reason: 'virus', detail: 'Found to be infected' },
  },
  {
    filter: 'mailscanner@top',
    lines: 'X-Example-MailScanner-SpamCheck: spam (blacklisted)\n',
    expected: { reason: 'rule', class: 'spam (blacklisted)' },
  },
  {
    filter: 'proxmox',
    lines:
      'X-SPAM-LEVEL: Spam detection results:  0\n\tAWL                     0.130 Adjusted score from AWL reputation of From: address\n\tBAYES_00                 -1.9 Bayes spam probability is 0 to 1%\n\tKAM_DMARC_STATUS         0.01 Test Rule for DKIM or SPF Failure with Strict\n\t   Alignment\n',
    expected: {
      reason: 'unknown',
      source: 'proxmox',
      score: 0,
      rules: [
        { name: 'AWL', score: 0.13, words: 'Adjusted score from AWL reputation of From: address' },
        { name: 'BAYES_00', score: -1.9, words: 'Bayes spam probability is 0 to 1%' },
        { name: 'KAM_DMARC_STATUS', score: 0.01, words: 'Test Rule for DKIM or SPF Failure with Strict Alignment' },
      ],
    },
  },
  {
    filter: 'proxmox',
    lines:
      'X-Proxmox-Broken-Message: yes\nX-SPAM-LEVEL: Spam detection results:  7 BAYES_99 3.5 Bayes spam probability is 99 to 100% KAM_DMARC_REJECT 3 DKIM has Failed HTML_MESSAGE 0.001 HTML included in message\n',
    expected: {
      reason: 'auth',
      score: 7,
      rules: [
        { name: 'BAYES_99', score: 3.5, words: 'Bayes spam probability is 99 to 100%' },
        { name: 'KAM_DMARC_REJECT', score: 3, words: 'DKIM has Failed' },
        { name: 'HTML_MESSAGE', score: 0.001, words: 'HTML included in message' },
      ],
    },
  },
  {
    filter: 'exim',
    lines:
      'X-Spam-Status: No, score=-1.0\nX-Spam-Score: -10\nX-Spam-Bar: -\nX-Ham-Report: Spam detection software, running on the system "host",\nX-Spam-Flag: NO\n',
    expected: { reason: 'unknown', source: 'exim', score: -1 },
  },
  {
    filter: 'exim',
    lines: 'X-Spam-Status: \nX-Spam-Score: 52\nX-Spam-Bar: +++++\nX-Spam-Flag: YES\n',
    expected: { reason: 'spam', score: 5.2 },
  },
  {
    filter: 'exim',
    lines: 'X-Spam-Status:\nX-Spam-Score:\nX-Spam-Bar:\nX-Ham-Report:\nX-Spam-Flag: NO\n',
    expected: { reason: 'unknown', source: 'exim', rules: [] },
  },
  {
    filter: 'spamassassin-milter',
    lines:
      'X-Spam-Flag: YES\nX-Spam-Status: Yes, score=7.1 required=5.0 tests=BAYES_99,HTML_MESSAGE\n\tautolearn=no autolearn_force=no version=4.0.1\nX-Spam-Report:\n\t*  3.5 BAYES_99 BODY: Bayes spam probability is 99 to 100%\n\t*      [score: 0.9999]\n\t*  0.0 HTML_MESSAGE BODY: HTML included in message\nX-Spam-Level: *******\nX-Spam-Checker-Version: SpamAssassin 4.0.1 (2024-03-25) on mx\n',
    expected: {
      reason: 'spam',
      source: 'spamassassin',
      score: 7.1,
      required: 5,
      rules: [
        { name: 'BAYES_99', score: 3.5, words: 'BODY: Bayes spam probability is 99 to 100% [score: 0.9999]' },
        { name: 'HTML_MESSAGE', score: 0, words: 'BODY: HTML included in message' },
      ],
    },
  },
  {
    filter: 'exim@top',
    lines: 'X-Spam-Flag: YES\nX-Spam-Score: 12\nX-Spam-Bar: ++++++++++++\n',
    expected: { reason: 'spam', score: 12 },
  },
  {
    filter: 'microsoft365',
    lines:
      'X-MS-Exchange-Organization-SCL: 9\nX-Microsoft-Antispam: BCL:0;ARA:13230040|4636009;\nX-Forefront-Antispam-Report: CIP:198.51.100.7;CTRY:NL;LANG:en;SCL:9;SRV:;IPV:NLI;SFV:SPM;H:mail.spam.test;\n\tPTR:mail.spam.test;CAT:HPHSH;SFS:(13230040)(4636009);DIR:INB;SFP:1101;\nX-OriginatorOrg: example.test\n',
    expected: {
      reason: 'phish',
      source: 'microsoft365',
      score: 9,
      scale: 'scl',
      required: 5,
      class: 'HPHSH',
      action: 'SPM',
      rules: [
        { name: 'BCL', score: 0, words: 'bulk complaint level' },
        { name: 'CTRY', words: 'sent from NL' },
        { name: 'SFS:13230040' },
        { name: 'SFS:4636009' },
      ],
    },
    normalized: 100,
  },
  ...(
    [
      ['SCL:1; SFV:NSPM; CAT:NONE', 'unknown'],
      ['SCL:5; SFV:SPM; CAT:SPM', 'spam'],
      ['SCL:-1; SFV:SKN; CAT:NONE', 'unknown'],
      ['SFV:SKB;CAT:NONE', 'rule'],
      ['SCL:9;CAT:MALW', 'virus'],
      ['SCL:6;SFV:BULK;CAT:BULK', 'bulk'],
      ['SCL:5;CAT:SPOOF', 'auth'],
      ['SCL:7', 'spam'],
      ['CAT:constructor;SFV:toString', 'unknown'],
    ] as const
  ).map(
    ([report, reason]): Case => ({
      filter: 'microsoft365',
      lines: `X-Forefront-Antispam-Report: ${report}\n`,
      expected: { reason },
    }),
  ),
  {
    filter: 'microsoft365',
    lines: 'X-Forefront-Antispam-Report: SCL:9;CAT:OSPM;DIR:OUT;\n',
    expected: { reason: 'spam' },
    direction: 'outgoing',
  },
  {
    filter: 'microsoft365',
    lines: 'X-Forefront-Antispam-Report: SCL:1;CAT:NONE\nX-Microsoft-Antispam: BCL:8;\n',
    expected: { reason: 'bulk' },
  },
  {
    filter: 'barracuda',
    lines:
      'X-ASG-Debug-ID: 1\nX-Barracuda-Envelope-From: a@spam.test\nX-Barracuda-Spam-Score: 4.83\nX-Barracuda-Spam-Status: No, SCORE=4.83 using global scores of TAG_LEVEL=1000.0 QUARANTINE_LEVEL=1000.0 KILL_LEVEL=7.0 tests=BSF_RULE7568M, HTML_MESSAGE\nX-Barracuda-Spam-Report: Code version 3.2, rules version 3.2.3.76836\n\tRule breakdown below\n\t pts rule name              description\n\t---- ---------------------- --------------------------------------------------\n\t0.50 BSF_RULE7568M          Custom Rule 7568M\nX-Barracuda-Bayes: SPAM GLOBAL 0.9987 1.0000 4.3274\nX-Barracuda-BRTS-Status: 1\n',
    expected: {
      reason: 'unknown',
      source: 'barracuda',
      score: 4.83,
      required: 7,
      bands: { reject: 7 },
      rules: [{ name: 'BSF_RULE7568M', score: 0.5, words: 'Custom Rule 7568M' }, { name: 'HTML_MESSAGE' }],
    },
    normalized: 35,
  },
  {
    filter: 'barracuda@end',
    lines:
      'X-Barracuda-Spam-Status: Yes, SCORE=5.10 using account scores of TAG_LEVEL=3.5 QUARANTINE_LEVEL=5.0 KILL_LEVEL=9.0 tests=A_B\n',
    expected: {
      reason: 'spam',
      score: 5.1,
      required: 5,
      action: 'quarantine',
      bands: { tag: 3.5, quarantine: 5, reject: 9 },
    },
  },
  {
    filter: 'proofpoint',
    lines:
      'X-Proofpoint-Virus-Version: vendor=baseguard engine=ICAP:2.0.205 definitions=2022-01-01\nX-Proofpoint-GUID: abc-DEF\nX-Proofpoint-Spam-Details: rule=notspam policy=default score=0 phishscore=0 bulkscore=0\n malwarescore=0 suspectscore=0 mlxlogscore=999 classifier=spam adjust=0 reason=mlx\n scancount=1 engine=8.19.0-2104190000 definitions=main-2107140042\n',
    expected: { reason: 'unknown', source: 'proofpoint', score: 0, scale: 'percent', class: 'notspam', rules: [] },
  },
  {
    filter: 'proofpoint',
    lines: 'X-Proofpoint-Spam-Details: rule=spam policy=default score=99 phishscore=98 bulkscore=0 spamscore=99\n',
    expected: { reason: 'phish', score: 99 },
    rules: 2,
    normalized: 99,
  },
  {
    filter: 'proofpoint',
    lines: 'X-Proofpoint-Spam-Details: rule=outbound_notspam policy=outbound score=0 spamscore=0\n',
    expected: { reason: 'unknown' },
    direction: 'outgoing',
  },
  {
    filter: 'mimecast',
    lines:
      'X-Mimecast-Spam-Score: 0.003\nX-Mimecast-Originator: spam.test\nX-Mimecast-MFC-PROC-ID: AbC_1\nX-MC-Unique: x-1\n',
    expected: { reason: 'unknown', source: 'mimecast', score: 0.003 },
  },
  {
    filter: 'kaspersky',
    lines:
      'X-KSMG-Rule-ID: 1\nX-KSMG-AntiSpam-Lua-Profiles: 1 [Jan 01]\nX-KSMG-AntiSpam-Rate: 95\nX-KSMG-AntiSpam-Status: spam\nX-KSMG-AntiPhishing: not scanned\nX-KSMG-AntiVirus-Status: NotDetected\n',
    expected: { reason: 'spam', source: 'kaspersky', score: 95, scale: 'percent' },
    normalized: 95,
  },
  {
    filter: 'kaspersky',
    lines: 'X-KLMS-AntiSpam-Status: not_detected\nX-KLMS-AntiSpam-Rate: 0\nX-KLMS-AntiPhishing: Clean, 2014/01/01\n',
    expected: { reason: 'unknown', score: 0 },
  },
  {
    filter: 'trendmicro',
    lines: 'X-TM-AS-Product-Ver: IMSVA-9.1\nX-TM-AS-Result: No--12.5-5.0-31-10\n',
    expected: {
      reason: 'unknown',
      source: 'trendmicro',
      rules: [{ name: 'x-tm-as-result', words: 'No--12.5-5.0-31-10' }],
    },
  },
  {
    filter: 'trendmicro',
    lines: 'X-TM-AS-Result: Yes--22.5-5.0-31-10\n',
    expected: { reason: 'spam' },
  },
  {
    filter: 'sophos',
    lines: 'X-Sophos-ESA: [x]\nX-Sophos-Email-Spam-Status: suspected spam\n',
    expected: { reason: 'unsure', source: 'sophos' },
  },
  {
    filter: 'sophos',
    lines: "X-PMX-Version: 6.4\nX-PMX-Spam: Gauge=XXXXXXXXX, Probability=97%, Report='\n HTML_70 0.1'\n",
    expected: { reason: 'unknown', source: 'sophos', score: 97, scale: 'percent' },
    normalized: 97,
  },
  {
    filter: 'ironport',
    lines: 'X-IronPort-Anti-Spam-Filtered: true\nX-IronPort-AV-Verdict: infected\n',
    expected: { reason: 'virus', source: 'ironport' },
  },
  {
    filter: 'bogofilter',
    lines: 'X-Bogosity: Spam, tests=bogofilter, spamicity=0.999999, version=1.2.5\n',
    expected: { reason: 'spam', source: 'bogofilter', score: 0.999999, scale: 'probability', class: 'spam' },
    normalized: 100,
  },
  {
    filter: 'bogofilter',
    lines: 'X-Bogosity: Unsure, tests=bogofilter,\n\tspamicity=0.500000, version=1.2.5\n',
    expected: { reason: 'unsure', score: 0.5 },
    normalized: 50,
  },
  {
    filter: 'bogofilter',
    lines: 'X-Bogosity: Ham, spamicity=2.1e-05\n',
    expected: { reason: 'unknown', score: 0.000021 },
  },
  {
    filter: 'dspam',
    lines:
      'X-DSPAM-Result: Spam\nX-DSPAM-Processed: Sun Nov 22 01:00:00 2026\nX-DSPAM-Confidence: 0.9997\nX-DSPAM-Probability: 1.0000\nX-DSPAM-Signature: 1,4a\n',
    expected: { reason: 'spam', source: 'dspam', score: 1, scale: 'probability' },
  },
  {
    filter: 'dspam',
    lines: 'X-DSPAM-Result: ada; result="Innocent"; class="Innocent"; probability=0.0023; confidence=0.99\n',
    expected: { reason: 'unknown', score: 0.0023, class: 'innocent' },
  },
  {
    filter: 'spambayes',
    lines: 'X-Spambayes-Classification: unsure; 0.53\n',
    expected: { reason: 'unsure', source: 'spambayes', score: 0.53 },
  },
  {
    filter: 'rspamd-haraka',
    lines:
      'X-Rspamd-Bar: ++++++++\nX-Rspamd-Report: XM_UA_NO_VERSION(0.01) MIME_GOOD(-0.1) RCVD_COUNT_ZERO(0)\n R_SPF_FAIL(1)\nX-Rspamd-Score: 8.2\nX-Rspamd-Spam: Yes\n',
    expected: {
      reason: 'spam',
      source: 'rspamd',
      score: 8.2,
      rules: [
        { name: 'XM_UA_NO_VERSION', score: 0.01 },
        { name: 'MIME_GOOD', score: -0.1 },
        { name: 'RCVD_COUNT_ZERO', score: 0 },
        { name: 'R_SPF_FAIL', score: 1 },
      ],
    },
  },
];

const placed = (filter: NamedFilter, lines: string) => {
  const parsed = parseFilter(filter);
  return parsed?.place === 'top' ? atTheTop(lines) : atTheEnd(lines);
};

t.test('every family, as it was written', async (t) => {
  const seen = new Set<string>();
  for (const { filter, lines, expected, rules, normalized, direction } of cases) {
    seen.add(parseFilter(filter)?.name ?? '');
    const header = placed(filter, lines);
    const reading = read(filter, header);
    const at = `${filter}: ${lines.slice(0, 70)}`;
    const { rules: expectedRules, ...plain } = expected;
    t.match(reading.verdict, plain, at);
    if (expectedRules) t.strictSame(reading.verdict.rules, expectedRules, at);
    if (rules !== undefined) t.equal(reading.verdict.rules.length, rules, at);
    if (normalized !== undefined) t.equal(normalizedScore(reading.verdict), normalized, at);
    t.equal(reading.direction, direction, at);
    t.strictSame(read(filter, `${header}X-Other: y\n`), reading, `${at}: with more below`);
  }
  for (const name of filterNames) if (isMarking(name)) t.ok(seen.has(name), name);
});

t.test('folds at other places change nothing', async (t) => {
  for (const { filter, lines } of cases) {
    if (/proxmox|barracuda|exim|milter/.test(filter)) continue; // their line breaks separate rows
    const refolded = lines.replaceAll(/\n[ \t]+/g, ' ').replaceAll(/([,;]) /g, '$1\n\t ');
    t.strictSame(read(filter, placed(filter, refolded)).verdict, read(filter, placed(filter, lines)).verdict, lines);
  }
});

t.test('half a field is half a verdict and no error', async (t) => {
  for (const { filter, lines } of cases)
    for (let cut = 0; cut < lines.length; cut += 7) {
      const { verdict } = read(filter, placed(filter, `${lines.slice(0, cut)}\n`));
      if (!Array.isArray(verdict.rules)) t.fail(`${filter} at ${cut}`);
    }
});

t.test("marks stay in the message, and only a named family's are read", async (t) => {
  for (const { filter, lines } of cases) {
    const header = Buffer.from(placed(filter, lines));
    for (const setting of ['auto', 'none', 'amavis', 'rspamd'] as const)
      t.equal(findBlock(header, setting), undefined, `${setting} does not read ${lines.slice(0, 40)}`);
    const block = findBlock(header, filter);
    t.same([block?.start, block?.end], [0, 0]);
  }
});

t.test('row 25: what stands elsewhere in the header is a stranger’s', async (t) => {
  const forged = new Map<NamedFilter, string>([
    ['spamexperts', 'X-SpamExperts-Class: ham\nX-SpamExperts-Evidence: Combined (0.00)\n'],
    ['icewarp', 'X-Spam-Reasons: [Bypass=T] action NONE\n'],
    ['mailscanner', 'X-Example-MailScanner-SpamCheck: not spam (whitelisted)\n'],
    ['proxmox', 'X-SPAM-LEVEL: Spam detection results:  0\n'],
    ['spamassassin-milter', 'X-Spam-Status: No, score=-100\nX-Spam-Flag: NO\n'],
    ['exim', 'X-Spam-Status: No, score=-100\nX-Spam-Flag: NO\nX-Spam-Score: -1000\n'],
    ['microsoft365', 'X-Forefront-Antispam-Report: SCL:-1;SFV:SKN;CAT:NONE\nX-MS-Exchange-Organization-SCL: -1\n'],
    ['barracuda', 'X-Barracuda-Spam-Status: No, SCORE=-100\nX-Barracuda-Spam-Score: -100\n'],
    ['proofpoint', 'X-Proofpoint-Spam-Details: rule=notspam score=0\n'],
    ['mimecast', 'X-Mimecast-Spam-Score: -100\n'],
    ['kaspersky', 'X-KSMG-AntiSpam-Status: not detected\nX-KSMG-AntiSpam-Rate: 0\n'],
    ['trendmicro', 'X-TM-AS-Result: No--99\n'],
    ['sophos', 'X-Sophos-Email-Spam-Status: clean\n'],
    ['ironport', 'X-IronPort-AV-Verdict: clean\n'],
    ['bogofilter', 'X-Bogosity: Ham, spamicity=0.0\n'],
    ['dspam', 'X-DSPAM-Result: Innocent\nX-DSPAM-Probability: 0.0\n'],
    ['spambayes', 'X-Spambayes-Classification: ham; 0.00\n'],
    ['rspamd-haraka', 'X-Rspamd-Score: -100\nX-Rspamd-Spam: No\n'],
  ]);
  for (const { filter, lines } of cases) {
    const { name = 'exim', place } = parseFilter(filter) ?? {};
    const forgery = forged.get(name as NamedFilter) ?? '';
    t.not(forgery, '', name);
    const honest = read(filter, placed(filter, lines)).verdict;
    // The sender's lines stand below the Received of whoever took the message in.
    const where =
      place === 'top'
        ? [`${lines}${received}${forgery}${sender}`, `${lines}${received}${sender}${forgery}`]
        : [`${received}${forgery}${sender}${lines}`, `${received}${sender}${forgery}X-Own: 1\n${lines}`];
    for (const header of where) t.strictSame(read(filter, header).verdict, honest, `${filter}: ${header}`);
  }
});

t.test('a filter behind machines of ours is found, and not behind a stranger’s', async (t) => {
  const isOurs = (address: string) => address === '127.0.0.1' || address === '10.1.0.7';
  const own = (address: string) =>
    `Received: from x (x [${address}])\n\tby mx.example.test (Postfix) with ESMTP id 2; date\n`;
  const its = 'X-Barracuda-Spam-Score: 7.5\n';
  const score = (header: string, filter: NamedFilter = 'barracuda') => {
    const block = blockIn(`${header}\n`.replaceAll('\n', '\r\n'), filter, isOurs);
    return readVerdict(block).verdict.score;
  };
  t.equal(score(`${own('127.0.0.1')}${received}${its}${sender}`), 7.5);
  t.equal(score(`${own('127.0.0.1')}X-Own: 1\n${own('10.1.0.7')}${its}${received}${sender}`), 7.5);
  t.equal(score(`${own('127.0.0.1')}${received}${received}${its}${sender}`), undefined, 'below the border');
  t.equal(score(`${own('127.0.0.1')}${received}${sender}${its}${received}`), undefined);
  t.equal(score(`${received}${own('127.0.0.1')}${its}`), undefined, 'a Received of ours that a stranger wrote');
  t.equal(score(`${own('127.0.0.1')}X-Spam-Score: 7.5\n${received}`, 'spamassassin'), 7.5);
  t.equal(score(`${own('127.0.0.1')}${received}X-Spam-Score: 7.5\n`, 'spamassassin'), 7.5);
  t.equal(score(`${own('127.0.0.1').repeat(50)}${its}`), undefined, 'nor for ever');
});

t.test('amavis, where it let mail pass', async (t) => {
  const passed =
    'X-Virus-Scanned: Debian amavisd-new at mx.example.test\nX-Spam-Flag: NO\nX-Spam-Score: 2.3\nX-Spam-Level: **\nX-Spam-Status: No, score=2.3 tagged_above=-999 required=6.31\n tests=[A=1, B=1.3] autolearn=no autolearn_force=no\n';
  const reinjected = `Received: from localhost (localhost [127.0.0.1])\n\tby mx.example.test (Postfix) with ESMTP id 3; date\n`;
  for (const header of [`${reinjected}${passed}${received}${sender}`, `${passed}${received}${sender}`])
    t.match(read('spamassassin', header).verdict, { source: 'amavis', reason: 'unknown', score: 2.3, required: 6.31 });
  const alerts = 'X-Amavis-Alert: BANNED, message contains a.exe\nX-Amavis-Alert: BAD HEADER SECTION, x\n';
  t.match(read('spamassassin', `${reinjected}${alerts}${passed}${received}`).verdict, {
    source: 'amavis',
    reason: 'banned',
    score: 2.3,
    detail: 'BANNED, message contains a.exe; BAD HEADER SECTION, x',
  });
  t.equal(
    read('spamassassin', `${reinjected}X-Virus-Scanned: x\n${received}`).verdict.source,
    'none',
    'a scanner is no filter',
  );
});

t.test('names of filters, with their places', async (t) => {
  t.same(parseFilter('barracuda'), { name: 'barracuda', place: 'top' });
  t.same(parseFilter('barracuda@end'), { name: 'barracuda', place: 'end' });
  t.same(parseFilter('icewarp:X-Our-Reasons@top'), { name: 'icewarp', place: 'top', header: 'x-our-reasons' });
  t.same(parseFilter('amavis'), { name: 'amavis' });
  for (const wrong of [
    '',
    'auto',
    'none',
    'amavis@top',
    'Barracuda',
    'barracuda@',
    'barracuda@middle',
    'exim:X-A',
    'icewarp:',
    'icewarp:X A',
    'toString',
  ])
    t.equal(parseFilter(wrong), undefined, wrong);
});

t.test('a reason that is more than spam, where one rule did it alone', async (t) => {
  const head = 'X-Envelope-From: <>\nX-Envelope-To: <a@x.test>\nX-Quarantine-ID: <Q>\nX-Spam-Action: ACTION\n';
  const rspamd = (action: string, symbols: string) =>
    read(
      'rspamd',
      `${head.replace('ACTION', action)}X-Spamd-Result: default: True [20.00 / 15.00];\n\t${symbols}\n${received}`,
    ).verdict;
  const reasons: [string, string][] = [
    ['DMARC_POLICY_REJECT(8.00)[spam.test : no alignment];\n\tBAYES_SPAM(7.00)[]', 'auth'],
    ['DMARC_POLICY_REJECT(2.00)[];\n\tBAYES_SPAM(13.00)[]', 'spam'],
    ['MIME_BAD_EXTENSION(15.00)[exe]', 'attachment'],
    ['PHISHED_OPENPHISH(9.00)[http://spam.test]', 'phish'],
    ['LOCAL_GEOIP_BLOCK(20.00)[XX]', 'geoip'],
    ['LOCAL_BLOCKLIST(20.00)[]', 'rule'],
    ['CLAM_VIRUS(0.00)[Eicar-Test]', 'virus'],
    ['PHISHING(-9.00)[]', 'spam'],
  ];
  for (const [symbols, reason] of reasons) t.equal(rspamd('reject', symbols).reason, reason, symbols);
  t.same(rspamd('reject', 'A(1.00)[]').disposition, { kind: 'rejected' });
  t.same(rspamd('discard', 'A(1.00)[]').disposition, { kind: 'discarded' });
  t.same(rspamd('add header', 'A(1.00)[]').disposition, { kind: 'accepted' });
  t.equal(rspamd('own action', 'A(1.00)[]').disposition, undefined);
  const amavis = read(
    'amavis',
    `X-Envelope-From: <s@x.test>\nX-Envelope-To: <a@x.test>\nX-Quarantine-ID: <ABC>\nX-Spam-Flag: YES\nX-Spam-Status: Yes, score=9 tag=2 tag2=5 kill=6.31 tests=[KAM_DMARC_REJECT=6, A=3]\n${received}`,
  ).verdict;
  t.match(amavis, { reason: 'auth', required: 6.31, bands: { tag: 5, quarantine: 6.31 } });
  for (const [alert, reason] of [
    ['INFECTED, message contains virus: x', 'virus'],
    ['OVERSIZED message', 'policy'],
    ['UNCHECKED contents', 'policy'],
    ['BAD HEADER SECTION, x', 'bad-header'],
  ] as const)
    t.equal(
      read('amavis', `X-Quarantine-ID: <ABC>\nX-Amavis-Alert: ${alert}\nX-Spam-Flag: NO\n${received}`).verdict.reason,
      reason,
      alert,
    );
});

t.test("Rspamd's symbols, however somebody folded them", async (t) => {
  const symbols = [
    'MISSING_MID(2.50)[]',
    'DMARC_POLICY_ALLOW(-0.50)[gmail.com,none]',
    'MIME_TRACE(0.00)[0:+,1:+,2:~]',
    'R_DKIM_ALLOW(-0.20)[gmail.com:s=20230601]',
    'ODD(1.00)[a[b];c]',
  ];
  const verdict = (list: string) =>
    read(
      'rspamd-milter',
      `${received}${sender}X-Spamd-Result: default: False [0.81 / 15.00];${list}\nX-Rspamd-Action: no action\n`,
    ).verdict;
  const expected = verdict(`\n\t${symbols.join(';\n\t')}`);
  t.equal(expected.rules.length, 5);
  t.same(expected.rules.at(-1), { name: 'ODD', score: 1, words: 'a[b];c' });
  t.strictSame(verdict(` ${symbols.join('; ')}`), expected, 'on one line');
  t.strictSame(verdict(` ${symbols.join(';')}`), expected, 'without blanks');
  t.strictSame(
    verdict(` ${symbols.join(';').replaceAll(',', ',\n ')}`).rules[0],
    expected.rules[0],
    'wrapped anywhere',
  );
  t.equal(verdict(` ${symbols.join(';').replaceAll(',', ',\n ')}`).rules.length, 5);
  t.same(verdict('').rules, []);
});

t.test('several engines: all are kept, and one is said to have decided', async (t) => {
  const header = Buffer.from(
    atTheEnd(
      'X-Bogosity: Unsure, spamicity=0.70\nX-Own: 1\nX-Mimecast-Spam-Score: 30\nX-Own2: 1\nX-SPAM-LEVEL: Spam detection results:  1\n',
    ).replaceAll('\n', '\r\n'),
  );
  const block = (filter: NamedFilter) => findBlock(header, filter)!;
  const decided = (own: NamedFilter | undefined, ...also: NamedFilter[]) => {
    const { verdict } = readVerdict(own && block(own), also.map(block));
    return [verdict.source, ...(verdict.others ?? []).map(({ source }) => source)];
  };
  t.same(decided('bogofilter', 'mimecast'), ['bogofilter', 'mimecast'], "the listener's filter says why");
  t.same(decided('mimecast', 'bogofilter'), ['bogofilter', 'mimecast'], 'else another that does');
  t.same(decided('proxmox', 'mimecast'), ['proxmox', 'mimecast'], 'else the filter of the listener');
  t.same(decided(undefined, 'proxmox', 'mimecast'), ['mimecast', 'proxmox'], 'else the highest score');
  t.same(decided(undefined), ['none']);
  const { verdict } = readVerdict(block('mimecast'), [block('bogofilter')]);
  t.match(verdict, { reason: 'unsure', others: [{ source: 'mimecast', score: 30, rules: [] }] });
  t.notOk(verdict.others?.some((other) => 'reason' in other || 'others' in other));
});

/** What it costs, whatever else this machine has to do. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

t.test('a header of a megabyte is read within 50 ms', async (t) => {
  const junk = ['[', ';', 'a=', 'A(1)[', '\n\tA 1 ', '\n ', '(,'];
  const names = [
    'X-SpamExperts-Class',
    'X-SpamExperts-Evidence',
    'X-Spam-Reasons',
    'X-A-MailScanner',
    'X-A-MailScanner-SpamCheck',
    'X-SPAM-LEVEL',
    'X-Spam-Status',
    'X-Spam-Report',
    'X-Spam-Score',
    'X-Forefront-Antispam-Report',
    'X-Microsoft-Antispam',
    'X-Barracuda-Spam-Status',
    'X-Barracuda-Spam-Report',
    'X-Proofpoint-Spam-Details',
    'X-Mimecast-Spam-Score',
    'X-KSMG-AntiSpam-Status',
    'X-TM-AS-Result',
    'X-Bogosity',
    'X-DSPAM-Result',
    'X-Spambayes-Classification',
    'X-Rspamd-Report',
    'X-Spamd-Result',
    'Received',
  ];
  const slow: string[] = [];
  for (const filter of filterNames)
    for (const name of names) {
      // Names that are not this family's cost what any other header costs: one of them is enough.
      const probe = Buffer.from(`${received}X-A: b\r\n${name}: x\r\n`);
      if (
        name !== 'Received' &&
        !findBlock(probe, filter) &&
        !findBlock(Buffer.from(`${name}: x\r\n${received}`), filter)
      )
        continue;
      for (const one of junk) {
        const header = Buffer.from(`${received}X-A: b\r\n${name}: x${one.repeat(1_000_000 / one.length)}\r\n`);
        let best = Number.POSITIVE_INFINITY;
        for (let turn = 0; turn < 5 && best > 50; turn++) {
          best = Math.min(
            best,
            cpuMs(() => readVerdict(findBlock(header, filter))),
          );
        }
        if (best > 50) slow.push(`${filter} ${name} ${JSON.stringify(one)}: ${best.toFixed()} ms`);
      }
    }
  t.same(slow, []);
  // Many fields instead of long ones: each with a name of its own that the family would take.
  for (const [filter, name] of [
    ['spamassassin', 'X-Spam-'],
    ['microsoft365', 'X-MS-'],
    ['barracuda', 'X-Barracuda-'],
    ['mailscanner', 'X-MailScanner-'],
    ['kaspersky', 'X-KSMG-Status-'],
  ] as const) {
    const fields = Array.from({ length: 50_000 }, (_, n) => `${name}${n}: spam\r\n`).join('');
    const header = Buffer.from(`${fields}${received}${fields}`);
    const ms = cpuMs(() => readVerdict(findBlock(header, filter)));
    t.ok(ms < 1000, `${filter}: ${ms} ms`);
  }
});
