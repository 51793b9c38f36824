/** Out of every report that the real SpamAssassin makes (`report_safe` 1 and 2) the message comes as it went in. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Arrival } from '#app/ingest/arrival';
import { verdictOf } from '#app/ingest/verdict';
import { programOrSkip } from '../support/programs.ts';

const fixtures = join(import.meta.dirname, '../fixtures/raw');
const files = [
  'spam-gtube',
  'ham-smime-signed',
  'spam-chinese-gb2312',
  'spam-spoofed-filter-headers',
  'attack-nested-multipart-100',
  'broken-no-final-newline',
  'broken-empty-body',
  'broken-no-headers',
];

if (programOrSkip(t, 'spamassassin', 'spamassassin', false)) {
  const home = mkdtempSync(join(tmpdir(), 'lazaret-reports-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));

  /** With the line ends of a pipe: the MTA makes them CRLF again. */
  const report = (message: string, reportSafe: number): string => {
    const args = ['-L', '-x', '--cf=required_score -100', `--cf=report_safe ${reportSafe}`, '--cf=use_bayes 0'];
    const { status, stdout, stderr } = spawnSync('spamassassin', args, {
      input: Buffer.from(message.replaceAll('\r\n', '\n'), 'latin1'),
      maxBuffer: 100_000_000,
      env: { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8' },
    });
    if (status !== 0) throw new Error(`spamassassin ended with ${status}: ${stderr}`);
    return stdout.toString('latin1').replaceAll('\n', '\r\n');
  };

  for (const reportSafe of [1, 2])
    t.test(`report_safe ${reportSafe}`, async (t) => {
      for (const file of files) {
        const original = readFileSync(join(fixtures, `${file}.eml`), 'latin1').replace(/\r?\n/g, '\r\n');
        const arrival = new Arrival('auto');
        const kept: Uint8Array[] = [];
        const wire = Buffer.from(report(original, reportSafe), 'latin1');
        async function* source() {
          for (let at = 0; at < wire.length; at += 1000) yield wire.subarray(at, at + 1000);
        }
        for await (const chunk of arrival.octets(source())) kept.push(Buffer.from(chunk));
        t.ok(Buffer.concat(kept).equals(Buffer.from(original, 'latin1')), file);
        const { reason, source: filter, rules } = verdictOf(arrival.end().block);
        t.match([reason, filter], ['spam', 'spamassassin']);
        t.ok(rules.length > 0 && rules.every(({ score, words }) => score !== undefined && words), `${file}: rules`);
        t.notOk(
          rules.some(({ words }) => words?.includes('original message')),
          `${file}: no other text in them`,
        );
      }
    });
}
