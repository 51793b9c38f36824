import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { play } from '../support/script.ts';
import { world } from './world.ts';

const folder = join(import.meta.dirname, 'scripts');

for (const file of (await readdir(folder)).filter((name) => name.endsWith('.imap')).sort()) {
  t.test(`${file} goes as it is written`, async (t) => {
    const { backend, port, logged } = await world(t);
    await play(join(folder, file), backend, port);
    t.notMatch(logged.join('\n'), /"err"|SERVERBUG/, 'and nothing went wrong unseen');
  });
}
