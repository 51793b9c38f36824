/** SPF, DKIM, DMARC and ARC: only from our own servers, only from where they write (row 25 for these fields). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Arrival } from '#app/ingest/arrival';
import { type Believed, clientOf, readAuthentication } from '#app/ingest/authentication';
import type { FilterSetting } from '#app/ingest/block';
import { readVerdict } from '#app/ingest/verdict';
import { networks } from '#app/lib/networks';

const fixtures = join(import.meta.dirname, '../fixtures');
const believed: Believed = {
  authservIds: ['mx.example.test', 'filter.example.test'],
  isOurs: networks(['127.0.0.0/8', '::1/128', '10.1.0.0/16']),
};
const read = (header: string, who = believed) => readAuthentication(header.replaceAll('\n', '\r\n'), 0, who);

const border =
  'Received: from mail.spam.test (mail.spam.test [198.51.100.7])\n\tby mx.example.test (Postfix) with ESMTP id 1; date\n';
const inner =
  'Received: from mx.example.test (localhost [127.0.0.1])\n\tby mx.example.test (Postfix) with ESMTP id 2; date\n';
const results = (words: string, host = 'mx.example.test') => `Authentication-Results: ${host};\n\t${words}\n`;
const bad = results('spf=fail smtp.mailfrom=spam.test; dkim=none; dmarc=fail (p=reject) header.from=spam.test');
const found = { spf: 'fail', dkim: 'none', dmarc: 'fail' };
const forged = results('spf=pass; dkim=pass header.d=bank.test; dmarc=pass; arc=pass');
const from = 'From: a@bank.test\nSubject: s\n';

t.test('our own word is read where our servers write it', async (t) => {
  t.same(read(`${border}${bad}${from}`), found, 'below the Received of the border, as Postfix puts it for milters');
  t.same(read(`${bad}${border}${from}`), found, 'above it, as others do');
  t.same(read(`${inner}${border}${bad}${from}`), found, 'behind a filter that came after');
  t.same(read(`${inner}X-Spam-Flag: NO\n${inner.replace('127.0.0.1', '10.1.2.3')}${border}${bad}${from}`), found);
  t.same(read(`Return-Path: <>\n${border}DKIM-Filter: x\n${bad}${from}`), found);
  t.same(
    read(`${border}${results('dmarc=fail')}${results('dkim=pass')}${results('spf=softfail')}${from}`),
    { dmarc: 'fail', dkim: 'pass', spf: 'softfail' },
    'of several programs of one server',
  );
  t.same(
    read(`${border}${results('dkim=fail', 'filter.example.test')}${bad}${from}`),
    { ...found, dkim: 'fail' },
    'the topmost counts',
  );
});

t.test("a stranger's does not count", async (t) => {
  const strangers: [string, string][] = [
    [`${border}${from}${forged}`, 'among his own lines'],
    [`${border}X-Own: 1\n${forged}${from}`, 'below another line of his'],
    [
      `${border}Received: from x (localhost [127.0.0.1])\n\tby mx.example.test; date\n${forged}${from}`,
      'below a Received that he forged',
    ],
    [`${inner}${border}Received: by mx.example.test; date\n${forged}${from}`, 'the same, behind a filter'],
    [`${from}${border}${forged}`, 'where no server has written above'],
    [`${border}${results('spf=pass', 'mx.evil.test')}${from}`, 'in his own name'],
    [`${border}${results('spf=pass', 'mx.example.test.evil.test')}${from}`, 'in nearly our name'],
    [`${border}ARC-Authentication-Results: i=1; mx.evil.test; spf=pass\n${from}`, 'in an ARC set of his'],
    [
      `${border}Received-SPF: pass (mx.evil.test: domain of x) receiver=mx.evil.test; client-ip=1.2.3.4\n${from}`,
      'in a Received-SPF',
    ],
    [
      `${border}${results('(spf=pass) ; x="; dmarc=pass"; (dkim=pass; (arc=pass)')}${from}`,
      'within comments and quotes',
    ],
  ];
  for (const [header, where] of strangers) t.equal(read(header), undefined, where);
  for (const [header, where] of strangers.slice(0, 5))
    if (header.startsWith(border))
      t.same(read(header.replace(border, `${border}${bad}`)), found, `${where}, below ours`);
  t.same(
    read(`${border}${bad}${forged}${from}`),
    { ...found, arc: 'pass' },
    'right below ours: nothing that we said is changed',
  );
  t.equal(
    read(`${border}${bad}`, { ...believed, authservIds: [] }),
    undefined,
    'unless names are listed, nobody is believed',
  );
});

t.test('HELO of a client is not taken for its address', async (t) => {
  const clients: [string, string | undefined][] = [
    ['from mail.spam.test (mail.spam.test [198.51.100.7]) by mx', '198.51.100.7'],
    ['from [127.0.0.1] (unknown [198.51.100.7]) by mx', '198.51.100.7'],
    ['from localhost (unknown [IPv6:2001:db8::1]) by mx', '2001:db8::1'],
    ['from client.spam.test ([127.0.0.1]) by localhost (amavis)', '127.0.0.1'],
    ['from mail.spam.test ([198.51.100.7]:1234 helo=[127.0.0.1]) by mx with esmtp (Exim)', '198.51.100.7'],
    ['from [198.51.100.7] (helo=[127.0.0.1]) by mx with esmtp (Exim)', undefined],
    ['from localhost (helo=x [127.0.0.1]) by mx', undefined],
    ['from x (u@host [198.51.100.7] (may be forged)) by mx', '198.51.100.7'],
    ['from unknown (HELO [127.0.0.1]) (198.51.100.7) by mx', undefined],
    ['by mx (Postfix, from userid 0)', undefined],
    [`from ${'('.repeat(5000)}`, undefined],
  ];
  for (const [received, expected] of clients) t.equal(clientOf(received), expected, received.slice(0, 60));
});

t.test('values as they are written', async (t) => {
  const values: [string, object | undefined][] = [
    ['spf=pass', { spf: 'pass' }],
    ['SPF = Pass ; DKIM=FAIL', { spf: 'pass', dkim: 'fail' }],
    ['dkim=fail (a; dkim=pass) header.d=a; dkim=pass header.d=b', { dkim: 'pass' }],
    ['auth=pass (login) smtp.auth=@domain', undefined],
    ['none', undefined],
    ['spf', undefined],
    ['spf=', undefined],
    ['xspf=pass; spf2=pass', undefined],
    ['dmarc=pass\\', { dmarc: 'pass' }],
    ['spf=pass (never closed; dmarc=pass', { spf: 'pass' }],
  ];
  for (const [words, expected] of values) t.same(read(`${border}${results(words)}${from}`), expected, words);
  t.same(read(`${border}Authentication-Results:  MX.example.test 1;  spf=pass\n${from}`), { spf: 'pass' });
  t.same(read(`${border}ARC-Authentication-Results: i=2; mx.example.test; arc=pass; dmarc=fail\n${from}`), {
    arc: 'pass',
    dmarc: 'fail',
  });
  t.same(
    read(
      `${border}Received-SPF: softfail (mx.example.test: domain of transitioning a@b) client-ip=1.2.3.4; helo=x\n${from}`,
    ),
    { spf: 'softfail' },
  );
  t.same(
    read(`${border}Received-SPF: Pass (x) identity=mailfrom; receiver=mx.example.test; client-ip=1.2.3.4\n${from}`),
    { spf: 'pass' },
  );
});

async function arrive(file: string, filter: FilterSetting) {
  const arrival = new Arrival(filter, { believed });
  async function* source() {
    yield readFileSync(join(fixtures, file));
  }
  for await (const _ of arrival.octets(source()));
  const arrived = arrival.end();
  return { read: arrived.authentication, ...readVerdict(arrived.block).verdict };
}

t.test('real messages', async (t) => {
  t.same((await arrive('filtered/rspamd-milter-add-header.eml', 'auto')).read, {
    dkim: 'none',
    spf: 'pass',
    dmarc: 'none',
  });
  t.equal((await arrive('raw/spam-spoofed-filter-headers.eml', 'auto')).read, undefined);
  t.equal((await arrive('filtered/amavis-smtp-null-sender-spoofed.eml', 'amavis')).read, undefined);
  const bySymbols = await arrive('filtered/rspamd-custom-format.eml', 'rspamd');
  t.equal(bySymbols.read, undefined, 'above what Rspamd hands over no server has written yet');
  t.match(
    bySymbols.authentication,
    { spf: /^\w+$/, dkim: /^\w+$/, dmarc: /^\w+$/ },
    'but it says itself what it found',
  );
  t.same((await arrive('filtered/rspamd-milter-add-header.eml', 'rspamd-milter')).authentication, {
    spf: 'pass',
    dkim: 'none',
    dmarc: 'none',
    arc: 'none',
  });
});

/** What it costs, whatever else this machine has to do. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

t.test('costs no time', async (t) => {
  for (const junk of ['(', '"', '\\', ';', '; spf=', ' ', '((\\"', '\n '])
    for (const name of ['Authentication-Results', 'ARC-Authentication-Results', 'Received-SPF', 'Received']) {
      const header = `${border}${name}: mx.example.test; ${junk.repeat(1_000_000 / junk.length)}\n`;
      const wire = header.replaceAll('\n', '\r\n');
      const ms = cpuMs(() => readAuthentication(wire, 0, believed));
      t.ok(ms < 200, `${name} ${JSON.stringify(junk)}: ${ms} ms`);
    }
  const many = `${border}${bad.repeat(20_000)}`;
  t.same(read(many), found);
  t.ok(cpuMs(() => read(many)) < 500);
});
