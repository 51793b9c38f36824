/** What Lazaret alone has to say of its memory: what an entry costs in a folder that is open, and that others cost nothing. */
import { setTimeout as delay } from 'node:timers/promises';
import { Imap } from './clients.ts';
import { fillStore } from './fill.ts';
import type { LazaretPeer } from './lazaret.ts';
import type { Bench } from './measure.ts';

const open = 200;
const entriesEach = 100;

/** The columns of one open folder. */
export async function viewMemory({ figures, entries, user, wanted }: Bench, lazaret: LazaretPeer): Promise<void> {
  const what = 'memory of an entry in an open folder';
  if (!wanted(what)) return;
  const client = await selected(lazaret, user);
  const gauges = await lazaret.gauges();
  client.end();
  const value = gauges.get('lazaret_view_bytes')! / gauges.get('lazaret_view_entries')!;
  figures.add(lazaret.name, { what, entries, unit: 'B', value });
}

/** So many accounts with a hundred entries each, of which two hundred are looked at. */
export async function manyAccounts(
  { figures, wanted }: Pick<Bench, 'figures' | 'wanted'>,
  lazaret: LazaretPeer,
  accounts: number,
): Promise<void> {
  const [rest, looked] = ['memory at rest', `memory with ${open} accounts open`];
  if (!wanted(rest) && !wanted(looked)) return;
  const addresses = Array.from({ length: accounts }, (_, at) => `a${at}.${accounts}@harbour.example`);
  for (const address of addresses.slice(0, open)) lazaret.addUser(address);
  await lazaret.stop();
  await fillStore(lazaret.store, (at) => addresses[at % accounts]!, 0, accounts * entriesEach, 'short');
  await lazaret.start();
  await delay(3000);
  const entries = accounts * entriesEach;
  figures.add(lazaret.name, { what: rest, entries, unit: 'MB', value: lazaret.memoryKilobytes() / 1024 });
  const clients: Imap[] = [];
  for (const address of addresses.slice(0, open)) clients.push(await selected(lazaret, address));
  await delay(3000);
  figures.add(lazaret.name, { what: looked, entries, unit: 'MB', value: lazaret.memoryKilobytes() / 1024 });
  for (const client of clients) client.end();
}

async function selected(lazaret: LazaretPeer, user: string): Promise<Imap> {
  const client = await Imap.connect(lazaret.imapPort);
  await client.login(user, lazaret.password);
  await client.command(`SELECT ${lazaret.folder}`);
  return client;
}
