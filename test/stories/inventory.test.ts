/**
 * Attachments and links of what came in are listed behind the intake, whatever was sent: INTEGRATIONS §8.2 rows 16 to 19
 * through the whole server. What it cannot read is held and released like everything else.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Store } from '#store/port';
import { inventoryOf } from '../inventory/reading.ts';
import { collect, everything } from '../store/contract/harness.ts';
import { startApp } from '../support/app.ts';
import { handOver, mailAbout } from './hand-over.ts';

const ada = 'ada@harbour.example';
const folder = new URL('../fixtures/raw/', import.meta.url);
const samples = readdirSync(folder).filter((name) => /^(attack|broken|virus)-/.test(name));

/** Nobody is told when the last one is made: this looks until it is. */
async function allMade(store: Store): Promise<void> {
  while ((await store.messages.withoutInventory(1)).length > 0) await pause(20);
}

t.test('whatever comes in has its inventory, and the server goes on', { timeout: 120_000 }, async (t) => {
  const server = await startApp(t, { jobs: { inventory: true } });
  const { store } = server.app;
  const mails = samples.map((name) => ({ recipients: [ada], message: readFileSync(new URL(name, folder)) }));
  for (const reply of await handOver(server, 'lmtp', mails)) t.match(reply, /^250/);
  await allMade(store);
  const entries = await store.entries.list({ scope: everything, limit: 100 });
  t.equal(entries.length, samples.length);
  for (const { message } of entries)
    t.strictSame(
      await store.messages.inventory(message.id),
      inventoryOf(await collect(store.messages.read(message.id))),
      message.subject,
    );
  const named = entries.map(({ message }) => message).find(({ subject }) => subject === 'Your invoice');
  t.match(await store.messages.inventory(named!.id), { attachments: [{ name: 'invoice.pdf.exe' }] });

  const [last] = await handOver(server, 'lmtp', [
    { recipients: [ada], message: mailAbout('One more', 'www.example.com') },
  ]);
  t.match(last, /^250/);
  await allMade(store);
  const [newest] = await store.entries.list({ scope: everything, limit: 1 });
  t.strictSame(await store.messages.inventory(newest!.message.id), {
    attachments: [],
    links: [{ domain: 'www.example.com', count: 1 }],
  });
});
