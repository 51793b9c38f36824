import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImapFlow } from 'imapflow';
import t from 'tap';
import { startDemo } from '#app/demo/run';
import { line } from '#app/demo/screen';
import { silent } from '#app/observe/log';
import { openStore } from '#store/open';
import type { ListedEntry } from '#store/port';

t.test('the demo holds what its README promises, and a second run on its folder adds nothing', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'lazaret-demo-test-'));
  t.teardown(() => rm(data, { recursive: true, force: true }));
  const printed: string[] = [];
  let wake = () => {};
  const run = (everyMs: number, json = false) =>
    startDemo({
      data,
      version: 'test',
      log: silent,
      json,
      print(text) {
        printed.push(text);
        wake();
      },
      everyMs,
    });
  const entries = async (): Promise<readonly ListedEntry[]> => {
    const store = await openStore(`sqlite:${join(data, 'lazaret.db')}`);
    const all = await store.entries.list({ scope: { level: 'global' }, limit: 1000 });
    await store.close();
    return all;
  };
  const canLogIn = async (port: number, user: string, pass: string): Promise<boolean> => {
    const client = new ImapFlow({
      host: '127.0.0.1',
      port,
      secure: false,
      auth: { user, pass },
      tls: { rejectUnauthorized: false },
      logger: false,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.logout();
      return true;
    } catch {
      return false;
    }
  };

  const first = await run(3_600_000);
  const [screen = ''] = printed;
  t.equal(printed.length, 1, 'one screen, and nothing before it');
  t.same(
    first.logins.map(({ name }) => name),
    ['global', 'harbour.example', 'ada@harbour.example', 'ben@quay.example'],
  );
  for (const { name, password } of first.logins) t.match(screen, new RegExp(`${name} +${password}`));
  for (const port of Object.values(first.ports)) t.match(screen, String(port));
  const [, , ada] = first.logins;
  t.ok(await canLogIn(first.ports.imap, ada!.name, ada!.password), 'STARTTLS and the password on the screen');
  await first.stop();

  const held = await entries();
  const messages = new Map(held.map((entry) => [entry.messageId, entry]));
  t.ok(messages.size >= 60, `${messages.size} messages`);
  const all = [...messages.values()];
  t.same([...new Set(all.map(({ verdict }) => verdict.source))].sort(), ['amavis', 'rspamd', 'spamassassin']);
  for (const reason of ['spam', 'virus', 'banned'])
    t.ok(
      all.some(({ verdict }) => verdict.reason === reason),
      reason,
    );
  t.equal(all.filter((entry) => entry.class === 'training').length, 3, 'three to be judged');
  t.ok(all.some(({ direction }) => direction === 'outgoing'));
  t.ok(
    all.some(({ message }) => message.size > 2_000_000),
    'one with a large attachment',
  );
  for (const script of [/\p{Script=Cyrillic}/u, /\p{Script=Han}/u])
    t.ok(
      all.some(({ message }) => script.test(message.subject)),
      `a subject in ${script}`,
    );
  const recipients = (of: ListedEntry) => held.filter(({ messageId }) => messageId === of.messageId).length;
  t.same([...new Set(all.map(recipients))].sort(), [1, 2, 3]);
  const owners = new Set(held.map(({ owner }) => owner));
  t.ok(owners.has('ada@harbour.example') && owners.has('ben@quay.example'));

  printed.length = 0;
  const second = await run(20, true);
  // Everything was handed over again before this was printed, and folded.
  t.match(JSON.parse(printed[0]!), { waiting: held.length, logins: second.logins, imap: second.ports.imap });
  for (const [i, { password }] of second.logins.entries()) t.not(password, first.logins[i]!.password);
  t.notOk(await canLogIn(second.ports.imap, ada!.name, ada!.password), 'the old passwords are over');
  while (!printed.some((text) => text.startsWith('{"kind":"arrived"')))
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  await second.stop();
  const later = await entries();
  t.ok(later.length > held.length, 'new mail came while it ran');
  t.same(
    later.filter(({ id }) => held.some((entry) => entry.id === id)).length,
    held.length,
    'and of the first run all are there',
  );
  t.ok((await readdir(data)).includes('delivered'));
});

t.test('what happens is a line; what strangers wrote stays on it', async (t) => {
  const about = { entryId: 17, owner: 'ada@harbour.example', subject: 'Invoice for March' };
  t.equal(
    line({ kind: 'released', ...about, said: '250 2.0.0 Ok' }),
    'released  17  "Invoice for March"  ada@harbour.example  250 2.0.0 Ok',
  );
  t.equal(
    line({ kind: 'arrived', ...about, subject: 'a\r\nb\x1b[2J', reason: 'spam' }),
    'arrived  17  "a b\\x1b[2J"  ada@harbour.example  spam',
  );
  t.equal(line({ kind: 'repeated', ...about }), undefined);
});
