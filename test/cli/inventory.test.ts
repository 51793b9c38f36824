/** What `lazaret show` says of attachments and links. */
import { join } from 'node:path';
import t from 'tap';
import { createKeeper } from '#app/inventory/keeper';
import { silent } from '#app/observe/log';
import { openStore } from '#store/open';
import { attached, mixed, zip } from '../inventory/reading.ts';
import { world } from './world.ts';

t.test('attachments and where links lead, in words and for programs', async (t) => {
  const here = world(t);
  const raw = mixed(
    {
      header: 'Content-Type: text/html',
      body: '<a href="https://bit.ly/x">1</a><a href="http://a.example/1">2</a>http://a.example',
    },
    attached(
      'invoice\x1b[31m.zip',
      zip([{ name: 'invoice.pdf.exe', flags: 1 }, ...Array.from({ length: 24 }, (_, n) => ({ name: `${n}` }))]),
      'application/zip',
    ),
    attached('', Buffer.from('hello'), 'image/png'),
  );
  const injected = await here.pipe(raw.toString('latin1'), 'inject', '--rcpt', 'ada@harbour.example');
  t.equal(injected.code, 0, injected.err);
  t.match((await here.run('show', '1')).out, /\n\nattachments and links are not listed yet\n\n/);

  const store = await openStore(`sqlite:${join(here.folder, 'data/lazaret.db')}`);
  const keeper = createKeeper({ store, log: silent });
  keeper.start();
  await keeper.idle();
  await keeper.stop(1000);
  await store.close();

  const { out } = await here.run('show', '1');
  const [, attachments = '', links = ''] = out.split('\n\n');
  t.match(attachments.split('\n'), [
    /^attachment {2,}type {2,}size {2,}SHA-256$/,
    /^invoice\[31m\.zip {2,}application\/zip {2,}\d+ bytes {2}[0-9a-f]{64}$/,
    /^ {2}holds invoice\.pdf\.exe, 0, 1, .*, 18 and 5 more$/,
    /^ {2}encrypted$/,
    /^\(no name\) {2,}image\/png {2,}5 bytes {2,}2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824$/,
  ]);
  t.equal(links, 'links to  a.example (2 times), bit.ly (shortens addresses: leads elsewhere)');
  const json = JSON.parse((await here.run('show', '1', '--json')).out);
  t.match(json.inventory, {
    attachments: [
      { name: 'invoice[31m.zip', note: 'encrypted' },
      { name: '', size: 5 },
    ],
    links: [
      { domain: 'a.example', count: 2 },
      { domain: 'bit.ly', count: 1, shortener: true },
    ],
  });
  t.equal(json.inventory.attachments[0].names.length, 25);
});

t.test('what is not whole says why', async (t) => {
  const here = world(t);
  await here.pipe('Subject: x\n\nx\n', 'inject', '--rcpt', 'ada@harbour.example');
  const store = await openStore(`sqlite:${join(here.folder, 'data/lazaret.db')}`);
  const [id] = await store.messages.withoutInventory(1);
  await store.messages.putInventory(id!, { attachments: [], links: [], problem: 'took too long' });
  await store.close();
  t.match((await here.run('show', '1')).out, /\n\nnot all is listed: took too long\n\n/);
});
