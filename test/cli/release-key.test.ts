/** `lazaret release-key`: the key that filters verify with, printed or in a file of its owner's. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { signRelease, verifyRelease } from '#app/quarantine/release-token';
import { openStore } from '#store/open';
import { world } from './world.ts';

t.test('the release key is the one that releases are signed with', async (t) => {
  const { run, folder, store } = world(t);
  const { code, out } = await run('release-key');
  t.equal(code, 0);
  t.match(out, /^[0-9a-f]{64}\n$/);
  t.equal((await run('release-key')).out, out, 'the same each time');
  t.same(JSON.parse((await run('release-key', '--json')).out), { key: out.trim() });

  const file = join(folder, 'lazaret-release.key');
  t.match(await run('release-key', '--file', file), { code: 0, out: `${file}\n` });
  t.equal(readFileSync(file, 'utf8'), out);
  t.equal(statSync(file).mode & 0o777, 0o600, 'for its owner only');
  t.match(
    await run('release-key', '--file', file),
    { code: 1, out: '', err: /is there already/ },
    'nothing is written over',
  );
  t.match(await run('release-key', '--file', join(folder, 'no/where')), { code: 1, err: /ENOENT/ });
  t.equal((await run('release-key', '--file', '')).code, 2);

  const opened = await openStore(`sqlite:${store}`);
  const key = (await opened.settings.get('releaseKey'))!;
  await opened.close();
  const token = {
    entryId: 1,
    drop: 'd'.repeat(16),
    attempt: 1,
    until: 1,
    recipient: 'a@b',
    bodySha256: 'a'.repeat(64),
  };
  t.same(verifyRelease(Buffer.from(out.trim(), 'hex'), signRelease(key, token)), token);

  t.match(await run('release-key', '--new', '--file', file), { code: 1 }, 'nowhere to put it');
  t.equal((await run('release-key')).out, out, 'then it is not made');
  const renewed = await run('release-key', '--new');
  t.match(renewed, { code: 0, out: /^[0-9a-f]{64}\n$/, err: /until it is started again/ });
  t.not(renewed.out, out);
  t.equal((await run('release-key')).out, renewed.out);
});
