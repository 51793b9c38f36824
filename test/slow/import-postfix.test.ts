/** Postfix's hold queue, with mail that a milter has changed in place, is imported as Postfix itself reads it. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openStore } from '#store/open';
import { run, world } from '../cli/world.ts';
import { RawClient, stuffed } from '../smtp/raw-client.ts';
import { startMilter } from '../support/milter.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';

t.test('a message that a milter had held comes in with its envelope, as postcat shows it', async (t) => {
  if (!postfixOrSkip(t)) return;
  const milter = await startMilter(t, {
    headers: { 'X-Spam': 'Yes', 'X-Long': `${'word '.repeat(400)}end` },
    changed: { Subject: 'changed, and a good deal longer than it was before the milter came by' },
  });
  const postfix = await Postfix.start(t, { sinkPort: 9, main: `smtpd_milters = inet:127.0.0.1:${milter}\n` });
  const client = await RawClient.connect(postfix.port);
  t.teardown(() => client.close());
  await client.command('EHLO client.example');
  await client.command('MAIL FROM:<promo@spam.example> RET=HDRS');
  for (const name of ['Ada', 'ben+x']) await client.command(`RCPT TO:<${name}@harbour.example>`);
  await client.command('DATA');
  const body = `${'a long line '.repeat(900)}\r\n.dots\r\n\xff\xfe8bit\r\n`;
  client.write(stuffed(Buffer.from(`From: promo@spam.example\r\nSubject: short\r\n\r\n${body}`, 'latin1')));
  t.match(await client.replies(1), [/^250/]);
  await postfix.logs(/milter-hold/);

  const hold = postfix.holdFolder;
  const [file] = readdirSync(hold).map((name) => join(hold, name));
  const shown = execFileSync('postcat', ['-c', postfix.configFolder, '-bh', file!]);
  if (process.env.SAVE_QUEUE_FILE) execFileSync('cp', ['-p', file!, process.env.SAVE_QUEUE_FILE]);

  const { config, store } = world(t);
  t.match(await run('import', hold, '--config', config), { code: 0, out: 'imported 1, already there 0, failed 0\n' });
  const kept = await openStore(`sqlite:${store}`);
  t.teardown(() => kept.close());
  const entries = await kept.entries.list({ scope: { level: 'global' }, limit: 10 });
  t.same(entries.map(({ recipient }) => recipient).sort(), ['Ada@harbour.example', 'ben+x@harbour.example']);
  t.match(entries[0]!.message, { sender: 'promo@spam.example', params: { client: { addr: '127.0.0.1' } } });
  const octets: Uint8Array[] = [];
  for await (const part of kept.messages.read(entries[0]!.messageId)) octets.push(Buffer.from(part));
  t.equal(
    Buffer.concat(octets).toString('latin1'),
    shown.toString('latin1').replaceAll('\n', '\r\n'),
    'the same octets, but for the line ends',
  );
  t.match(Buffer.concat(octets).toString('latin1'), /Subject: changed, and a good deal longer/);
});
