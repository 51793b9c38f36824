/** Stores for the tests of verbs on whole stores. */
import { join } from 'node:path';
import type { Test } from 'tap';
import { hashPassword } from '#app/accounts/passwords';
import { assemble } from '#app/assemble';
import { contentsOf } from '#app/cli/store-contents';
import { configFrom } from '#app/config/load';
import { silent } from '#app/observe/log';
import { openStore } from '#store/open';
import type { Store } from '#store/port';
import { held, recipient } from '../store/contract/harness.ts';
import * as d from '../store/dropping.ts';
import { ada } from '../store/dropping.ts';
import { ImapClient } from '../support/imap-client.ts';
import type { World } from './world.ts';

export async function inStore<T>(file: string, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(`sqlite:${file}`, { durable: false });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Some mail, one of it large, one released and delivered, one on its way, one to be learned from. */
export function fill(file: string): Promise<void> {
  return inStore(file, async (store) => {
    const uids = [];
    for (const n of [1, 2, 3, 4, 5]) uids.push((await held(store, ada, { text: `Number ${n}.` })).uid);
    await held(store, ada, { text: 'A large one.\r\n'.repeat(40_000), flags: ['\\Seen', '$x'] });
    await d.drop(store, 'release', [uids[0]!]);
    await d.run(store, d.done());
    await d.drop(store, 'release-train', [uids[1]!]);
    await d.drop(store, 'release', [uids[2]!], { mode: 'copy', undoMs: 60_000 });
    await d.drop(store, 'spam', [uids[3]!]);
    for (const job of await d.claim(store, ['train-spam'])) {
      await store.jobs.noteTraining(job, { trainer: 'rspamd', class: 'spam', kind: 'learned', said: '200', user: ada });
      await store.jobs.release(job);
    }
    const [id] = await store.messages.withoutInventory(1);
    await store.messages.putInventory(id!, { attachments: [], links: [{ domain: 'a.example', count: 1 }] });
    await store.accounts.add({ name: ada, scope: recipient(ada), passwordHash: await hashPassword('a long password') });
  });
}

export const places = (w: World) => ({
  from: `sqlite:${w.store}`,
  other: join(w.folder, 'other.db'),
  to: `sqlite:${join(w.folder, 'other.db')}`,
});

export const same = async (t: Test, a: string, b: string): Promise<void> => {
  const [one, other] = [await inStore(a, (store) => contentsOf(store, () => {})), b];
  t.ok(one.isSame(await inStore(other, (store) => contentsOf(store, () => {}))), 'both have the same in them');
};

/** What a session of ada's says on a server on that store. */
export async function withClient<T>(
  t: Test,
  w: World,
  store: string,
  use: (client: ImapClient) => Promise<T>,
): Promise<T> {
  const config = configFrom(
    {
      hostname: 'quarantine.example',
      store,
      imap: { listen: ['127.0.0.1:0'], allowCleartextLogin: true },
      intake: { lmtp: [], smtp: [] },
      domains: { 'harbour.example': {} },
      roles: ['imap'],
    },
    w.folder,
  );
  const app = await assemble(config, { log: silent, version: 'test', onEvent: () => {} });
  try {
    const { imap } = await app.start();
    const client = await ImapClient.connect(t, imap[0]!.port);
    await client.ok(`LOGIN ${ada} "a long password"`);
    const answer = await use(client);
    await client.ok('LOGOUT');
    return answer;
  } finally {
    await app.stop(1000);
  }
}
