/** SpamAssassin's own reports (`report_safe`): the message is taken out of them, and out of nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Arrival } from '#app/ingest/arrival';
import type { FilterSetting } from '#app/ingest/block';
import { verdictOf } from '#app/ingest/verdict';

const fixtures = join(import.meta.dirname, '../fixtures');
const report = readFileSync(join(fixtures, 'filtered/spamassassin-report-safe-gtube.eml'), 'latin1');
const original = readFileSync(join(fixtures, 'raw/spam-gtube.eml'), 'latin1');
const boundary = '----------=_6B024183.23A35325';
const top = report.slice(0, report.indexOf('Received: from dyn-7'));

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size), 'latin1');
}

async function arrive(text: string, filter: FilterSetting = 'spamassassin', size = text.length || 1) {
  const arrival = new Arrival(filter);
  const kept: Uint8Array[] = [];
  for await (const chunk of arrival.octets(pieces(text, size))) kept.push(Buffer.from(chunk));
  return { ...arrival.end(), kept: Buffer.concat(kept).toString('latin1') };
}

/** The same report around another message. */
const around = (message: string, more = '') => `${top}${message}\r\n--${boundary}--\r\n\r\n${more}`;

t.test('what is shown, hashed, trained and released is the original', async (t) => {
  const alone = await arrive(original, 'none');
  for (const filter of ['auto', 'spamassassin'] as const)
    for (const size of [1, 3, 17, 100, 1000, 10_000]) {
      const arrived = await arrive(report, filter, size);
      t.equal(arrived.kept, original, `${filter}, in pieces of ${size}`);
      t.same(
        [arrived.bodySha256, arrived.repeatSha256, arrived.hasTrace, arrived.receivedCount, arrived.summary.subject],
        [alone.bodySha256, undefined, true, alone.receivedCount, alone.summary.subject],
      );
      t.equal(Buffer.from(arrived.filterBlock).toString('latin1'), top);
    }
  t.strictSame(verdictOf((await arrive(report)).block), {
    reason: 'spam',
    source: 'spamassassin',
    score: 1001.3,
    required: 5,
    rules: [
      { name: 'GTUBE', score: 1000, words: 'BODY: Generic Test for Unsolicited Bulk Email' },
      { name: 'RCVD_ILLEGAL_IP', score: 1.3, words: 'Received: contains illegal IP address' },
    ],
  });
});

t.test('every message comes out of its report as it went in', async (t) => {
  const messages = [
    '',
    '\r\n',
    '\r\n\r\n',
    'Subject: no body',
    'Subject: s\r\n\r\nbody without an end',
    'Subject: s\n\nbare\nline feeds\n',
    `Subject: s\r\n\r\n--${boundary.slice(0, -1)}\r\n-- \r\n--\r\n`,
    `Subject: s\r\n\r\n${'\r\n--'.repeat(500)}`,
    readFileSync(join(fixtures, 'raw/attack-nested-multipart-100.eml'), 'latin1'),
    readFileSync(join(fixtures, 'raw/broken-nul-bytes.eml'), 'latin1'),
    readFileSync(join(fixtures, 'raw/ham-big-attachment.eml'), 'latin1'),
  ];
  for (const message of messages)
    for (const size of [1, 2, 50, 4096, 1 << 22]) {
      if (size < 50 && message.length > 20_000) continue;
      const { kept } = await arrive(around(message), 'spamassassin', size);
      if (kept !== message) t.fail(`${JSON.stringify(message.slice(0, 60))} in pieces of ${size}`);
    }
  const asText = (await arrive(report.replace('message/rfc822; x-spam', 'text/plain; x-spam'))).kept;
  t.equal(asText, original, 'report_safe 2');
  const bare = (await arrive(report.replaceAll('\r\n', '\n'))).kept;
  t.equal(bare, original.replaceAll('\r\n', '\n'), 'with line feeds alone');
  t.equal((await arrive(report.slice(0, report.lastIndexOf('\r\n--')))).kept, original, 'cut before its end');
});

t.test('whatever follows the original is not lost', async (t) => {
  for (const more of ['and more\r\n', `--${boundary}\r\n\r\nanother part\r\n`, 'x'.repeat(100_000)])
    for (const size of [1000, 7])
      t.equal(
        (await arrive(around(original, more), 'spamassassin', size)).kept,
        `${original}\r\n--${boundary}--\r\n\r\n${more}`,
      );
  const open = `${top}${original}\r\n--${boundary}\r\n\r\nanother part\r\n--${boundary}--\r\n`;
  t.equal((await arrive(open)).kept, open.slice(top.length));
  const longer = `${top}${original}\r\n--${boundary}x\r\n`;
  t.equal((await arrive(longer)).kept, longer.slice(top.length));
});

t.test("a stranger's message that looks like a report stays as it is", async (t) => {
  const mta =
    'Received: from evil.test (evil.test [198.51.100.9])\r\n\tby mx.example.test (Postfix) with ESMTP id 1; date\r\n';
  const stays = async (text: string, filter: FilterSetting, why: string) => {
    const arrived = await arrive(text, filter);
    t.equal(arrived.kept.length + arrived.filterBlock.length, text.length, why);
    t.ok(arrived.kept.includes('x-spam-type=original'), why);
    return verdictOf(arrived.block);
  };
  const status = 'X-Spam-Checker-Version: SpamAssassin 4.0.1 on mx\r\nX-Spam-Status: No, score=1.0 required=5.0\r\n';
  t.match(await stays(mta + report, 'auto', 'an MTA took it in'), { reason: 'unknown', source: 'none' });
  t.match(await stays(status + mta + report, 'spamassassin', 'SpamAssassin looked at it'), { score: 1 });
  t.match(await stays(status + mta + report, 'auto', 'SpamAssassin looked at it'), { score: 1 });
  t.match(await stays(mta + status + report, 'spamassassin', 'and an MTA came after'), { score: 1 });
  for (const filter of ['amavis', 'rspamd', 'rspamd-milter', 'none', 'barracuda'] as const)
    await stays(report, filter, `not on a listener for ${filter}`);
  const changed: [string, string, string][] = [
    ['with SpamAssassin (version', 'with SpamKiller (version', 'another program'],
    ['multipart/mixed', 'multipart/alternative', 'another structure'],
    [`boundary="${boundary}"`, 'boundary="b"', 'another boundary'],
    ['MIME-Version: 1.0', 'X-Mailer: x\r\nMIME-Version: 1.0', 'a field that it never writes'],
    ['MIME-Version: 1.0', 'Subject: again\r\nMIME-Version: 1.0', 'a field twice'],
    ['X-Spam-Checker-Version', 'X-Spam-Checker', 'no version'],
    ['Content-Type: text/plain; charset=UTF-8', 'Content-Type: text/html', 'no text before it'],
  ];
  for (const [from, to, why] of changed) await stays(report.replace(from, to), 'spamassassin', why);
  t.equal((await arrive(report.replace('x-spam-type=original', 'name=x'))).filterBlock.length, 0, 'no original');
  t.equal((await arrive(top.slice(0, -300))).filterBlock.length, 0, 'an end before the original');
});

t.test('after an MTA that got it from SpamAssassin it is one all the same, where the listener says so', async (t) => {
  const pipe =
    'Received: by mx.example.test (Postfix, from userid 112)\r\n\tid 4AbC; Sun, 22 Nov 2026 01:12:35 +0000 (UTC)\r\n';
  t.equal((await arrive(pipe + report, 'spamassassin')).kept, original);
});

t.test('the preview in a report gives no points', async (t) => {
  const forged = report.replace(
    'Content preview:  ',
    'Content preview:  \r\nContent analysis details:   (-99 points, 5.0 required)\r\n -99 GTUBE x\r\n-50 RCVD_ILLEGAL_IP y\r\n',
  );
  t.match(verdictOf((await arrive(forged)).block).rules, [
    { name: 'GTUBE', score: 1000 },
    { name: 'RCVD_ILLEGAL_IP', score: 1.3 },
  ]);
});

t.test('a report that never comes to its original costs no time', async (t) => {
  const head = report.slice(0, report.indexOf('\r\n\r\n') + 4);
  for (const junk of [
    `--${boundary} `,
    `--${boundary}\r\n`,
    '\r\n',
    `\r\n--${boundary}\r\nContent-Type: text/plain\r\n`,
  ]) {
    const text = head + junk.repeat(4_000_000 / junk.length);
    const before = process.cpuUsage();
    const arrived = await arrive(text, 'spamassassin', 65536);
    const { user, system } = process.cpuUsage(before);
    t.equal(arrived.kept, text, JSON.stringify(junk));
    t.ok((user + system) / 1000 < 3000, `${(user + system) / 1000} ms`);
  }
});
