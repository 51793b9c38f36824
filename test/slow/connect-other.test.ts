/** docs/connect/other.md, word for word: its settings, and its lines with the real curl. Needs curl; where it is missing it says so. */
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { parse } from 'yaml';
import { login, mailAbout } from '../stories/hand-over.ts';
import { startApp } from '../support/app.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';

const page = 'docs/connect/other.md';
const sh = promisify(execFile);

if (existsSync('/usr/bin/curl')) stories();
else if (process.env.CI) t.fail('curl must be there in CI');
else t.pass('skipped: apt-get install curl', { skip: 'needs curl' });

function stories(): void {
  t.test('every line of the page does what the page says', async (t) => {
    const settings = fill(blockOf(page, 'lazaret.yaml'), {
      '127.0.0.1:8025': '127.0.0.1:0',
      '127.0.0.1:8081': '127.0.0.1:0',
    });
    const { intake, api } = parse(settings) as { intake: Record<string, unknown>; api: unknown };
    const server = await startApp(t, { intake: { lmtp: [], smtp: [], ...intake }, api });
    const folder = t.testdir({ 'message.eml': '' });
    let count = 0;
    const run = async (file: string) => {
      writeFileSync(join(folder, 'message.eml'), mailAbout(`message ${++count}`));
      const at: Record<string, string> = file.startsWith('api')
        ? { '127.0.0.1:8081': `127.0.0.1:${server.addresses.api[0]!.port}` }
        : { '127.0.0.1:8025': `127.0.0.1:${server.addresses.intakeHttp[0]!.port}` };
      const { stdout } = await sh('/bin/sh', ['-ec', fill(blockOf(page, file), at)], { cwd: folder });
      return JSON.parse(stdout) as unknown;
    };
    const kept = { entryId: Number, uid: Number, how: 'new' };
    t.match(await run('raw.sh'), [kept, kept]);
    t.match(await run('form.sh'), [kept]);
    t.match(await run('json.sh'), [kept]);
    t.match(await run('api.sh'), { name: 'quay.example', state: 'on', by: 'name' });

    const entries = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 10 });
    const of = (subject: string, owner: string) =>
      entries.find(({ message, ...entry }) => message.subject === subject && entry.owner === owner);
    t.match(of('message 1', 'ben@quay.example'), {
      verdict: {
        reason: 'spam',
        score: 9.3,
        required: 6,
        rules: [
          { name: 'BAYES_99', score: 3.5 },
          { name: 'URIBL_BLACK', score: 1.7 },
        ],
        disposition: { kind: 'rejected', said: '554 5.7.1 Spam message rejected' },
      },
      message: {
        sender: 'promo@spam.example',
        params: { client: { addr: '198.51.100.7', helo: 'mail.spam.example', ident: '4AbCdEfGhI' } },
      },
    });
    t.match(of('message 2', 'ada@harbour.example'), { verdict: { reason: 'phish', score: 12 } });
    t.match(of('message 3', 'ada@harbour.example'), {
      verdict: { reason: 'bulk', rules: [{ name: 'LIST', score: 2 }] },
    });
    const client = await login(t, server, 'ada@harbour.example');
    t.ok((await client.ok('SELECT Caught')).includes('* 3 EXISTS'));
  });
}
