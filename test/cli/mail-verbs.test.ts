import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openStore } from '#store/open';
import { mail, world } from './world.ts';

t.test('injected mail is listed, shown, discarded, restored and put on its way', async (t) => {
  const { run, pipe } = world(t);
  t.match(await pipe('', 'inject', '--rcpt', 'ada@harbour.example'), { code: 1, err: /held no message/ });
  t.match(
    await pipe(
      mail('one \x1b[31m'),
      'inject',
      '--rcpt',
      'Ada+x@harbor.example',
      '--from',
      'shop@elsewhere.example',
      '--flags',
      '\\Seen $x',
      '--date',
      '2026-01-02T03:04:05Z',
    ),
    { code: 0, out: '1\n', err: '' },
  );
  t.match(
    await pipe(
      mail('two'),
      'inject',
      '--rcpt',
      'ben@quay.example',
      '--rcpt',
      'ada@harbour.example',
      '--folder',
      'training requested',
      '--reason',
      'phish',
      '--score=7.5',
    ),
    { code: 0, out: '2\n3\n' },
  );
  t.match(
    await pipe(
      mail('three'),
      'inject',
      '--rcpt',
      'friend@elsewhere.example',
      '--from',
      'ben@quay.example',
      '--folder',
      'Caught (Outgoing)',
      '--json',
    ),
    { code: 0, out: /"uid": 4/ },
  );

  const { out } = await run('list');
  t.match(
    out,
    /^ID +HELD SINCE +WHERE +WHY +OWNER +FROM +SUBJECT\n4 .*Caught \(Outgoing\).*ben@quay\.example.*three\n3 .*\n2 .*\n1 .*ada@harbour\.example.*one/,
  );
  t.notMatch(out, /\x1b/);
  t.match(out, /^2 .* phish 7\.5 .*two$/m, 'why, as whoever injected it said');
  t.equal((await run('list', '--ids', '--owner', 'harbor.example')).out, '3\n1\n');
  t.equal((await run('list', '--ids', '--folder', 'caught', '--limit', '1')).out, '1\n');
  t.equal(
    (await run('list', '--ids', '--folder', '', '--owner=', '--limit', '2')).out,
    '4\n3\n',
    'empty options are absent',
  );
  const [listed] = JSON.parse((await run('list', '--folder', 'Caught', '--json')).out);
  t.match(listed, {
    id: 1,
    recipient: 'Ada+x@harbor.example',
    owner: 'ada@harbour.example',
    internalDate: '2026-01-02T03:04:05.000Z',
    message: { sender: 'shop@elsewhere.example', size: Buffer.byteLength(mail('one \x1b[31m')) + 4 },
  });

  t.match(await run('discard', '1', '01', '99', 'x'), {
    code: 1,
    out: '1  discarded\n01  discarded\n99  there is no such entry\nx  is no id\n',
    err: '',
  });
  t.match(await run('discard', '1'), { code: 0, out: '1  it is in Trash already\n' });
  t.match(await run('release', '1'), { code: 1, out: /Put it back into the folder it came from first/ });
  t.match(await run('restore', '1'), { code: 0, out: /^1 {2}back in Caught, as UID \d+\n$/ });
  t.match(await run('restore', '1'), { code: 0, out: '1  it is in Caught\n' });
  t.match(await run('release', '2'), { code: 1, out: /needs no release/ });

  t.match(await run('release', '1'), {
    code: 0,
    out: '1  queued for delivery to Ada+x@harbor.example\n',
    err: 'no server is running: it will be delivered when one starts\n',
  });
  t.match(await run('release', '1'), { code: 0 }, 'said twice it is done once');
  t.match(await run('spam', '1'), { code: 1, out: /already released/ });
  t.match(await run('release', '1', '--wait'), { code: 1, err: /no server is running/ }, 'nobody is there to wait for');
  t.match(
    JSON.parse((await run('restore', '1', '--json')).out),
    [{ id: '1', ok: true, said: /^back in Caught/ }],
    'taken back before anybody did it',
  );
  t.match(await pipe('2\n\n 3 \n', 'not-spam', '-'), {
    code: 0,
    out: '2  queued to be learned as ham\n3  queued to be learned as ham\n',
  });

  const shown = await run('show', '1');
  t.match(shown.out, /^state +held, in Caught as UID \d+$/m);
  const story = shown.out
    .split('\n\n')
    .at(-1)!
    .replace(/^\S+ {2}/gm, '')
    .replace(/^.*, as global/gm, 'somebody, as global');
  t.match(
    story,
    /^into Caught as UID 1\nsomebody, as global \(cli\) put it on Trash\nout of Caught\ninto Trash as UID \d+\n.*out of Trash\ninto Caught as UID \d+\n.*put it on Release\n/s,
  );
  t.match(story, /deliver cancelled/);
  const any = /in Caught as UID (\d+)/.exec(shown.out)![1]!;
  t.equal((await run('show', any)).out, shown.out, 'any UID of an entry names it');
  t.match(JSON.parse((await run('show', '1', '--json')).out), {
    entry: { id: 1 },
    stays: Array,
    drops: Array,
    jobs: Array,
  });
});

t.test('import takes files, mbox and Maildir once, however often it runs', async (t) => {
  const { folder, run } = world(t);
  const box = join(folder, 'box');
  for (const name of ['cur', 'new']) mkdirSync(join(box, 'Maildir', name), { recursive: true });
  writeFileSync(join(box, 'one.eml'), mail('one'));
  writeFileSync(join(box, 'crlf.eml'), mail('two').replaceAll('\n', '\r\n'));
  writeFileSync(join(box, 'notes.jpg'), '\xff\xd8');
  writeFileSync(join(box, 'Maildir/cur/3:2,FS'), mail('three'));
  writeFileSync(
    join(box, 'spam.mbox'),
    `From x@elsewhere.example Tue Nov 24 18:00:00 2026\n${mail('four')}\nFrom y@elsewhere.example Tue Nov 24 18:00:01 2026\n${mail('five')}>From me\n\n`,
  );
  const first = await run('import', box, '--rcpt', 'ada@harbour.example');
  t.match(first, {
    code: 0,
    out: 'imported 5, already there 0, failed 0\n',
    err: /skipped .*notes\.jpg: it does not look like mail/,
  });
  t.match(await run('import', box, '--rcpt', 'ada@harbour.example'), {
    code: 0,
    out: 'imported 0, already there 5, failed 0\n',
  });
  writeFileSync(join(box, 'six.eml'), mail('six'));
  const again = await run('import', box, '--rcpt', 'ada@harbour.example', '--json');
  t.match(JSON.parse(again.out), { imported: 1, known: 5, failed: 0, skipped: [/notes\.jpg$/] });

  const entries = JSON.parse((await run('list', '--json')).out) as {
    internalDate: string;
    message: { subject: string; size: number; sender: string };
  }[];
  const five = entries.find(({ message }) => message.subject === 'five')!;
  t.match(five, {
    internalDate: '2026-11-24T18:00:01.000Z',
    message: { sender: 'y@elsewhere.example', size: mail('five').length + 4 + 'From me\r\n'.length },
  });
  const store = await openStore(`sqlite:${join(folder, 'data/lazaret.db')}`);
  t.teardown(() => store.close());
  const view = await store.views.load({ level: 'recipient', address: 'ada@harbour.example' }, 'caught');
  t.ok(
    view.flagSets.some((flags) => flags.includes('\\Flagged') && flags.includes('\\Seen')),
    'flags of the Maildir',
  );
});
