/**
 * The other ways in, each against plain mail by LMTP in the same round: rates change from second to second with the disk, what
 * one way costs more than another does not. Dovecot has no counterpart.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '#store/open';
import { median } from './figures.ts';
import { handOver, handOverByHttp, handOverMarked } from './fill.ts';
import type { LazaretPeer } from './lazaret.ts';
import type { Bench } from './measure.ts';

const messages = 1500;
const connections = 8;

/** How mail is handed over, and to which of two processes. */
interface Way {
  readonly by: typeof handOverByHttp;
  readonly to: 'plain' | 'listing';
}

const plainMail: Way = { by: handOver, to: 'plain' };

const ways: readonly (Way & { readonly what: string })[] = [
  { what: 'HTTP intake, against LMTP', by: handOverByHttp, to: 'plain' },
  { what: "LMTP intake with a filter's block, against plain mail", by: handOverMarked, to: 'plain' },
  { what: 'LMTP intake with inventories, against none', by: handOver, to: 'listing' },
  { what: 'LMTP intake with block and inventories, against plain mail', by: handOverMarked, to: 'listing' },
];

export async function waysIn({ figures, entries, runs, wanted }: Bench, lazaret: LazaretPeer): Promise<void> {
  const asked = ways.filter(({ what }) => wanted(what));
  if (asked.length === 0) return;
  const user = 'ways-in@harbour.example';
  const plain = await lazaret.another('intake,worker');
  const listing = await lazaret.another('intake,worker', { LAZARET_JOBS_INVENTORY: 'true' });
  const peers = { plain: { ...lazaret, ...plain }, listing: { ...lazaret, ...listing } };
  const store = await openStore(lazaret.store);
  let next = 80_000_000;
  const rate = async ({ by, to }: Way): Promise<number> => {
    // What is listed behind the intake must not be in the way of the others.
    while ((await store.messages.withoutInventory(1)).length > 0) await delay(100);
    next += messages;
    return by(peers[to], user, next - messages, next, connections);
  };
  const ratios = new Map<string, number[]>(asked.map(({ what }) => [what, []]));
  // The first round is to warm.
  for (let run = 0; run <= runs; run++)
    for (const way of asked) {
      // Around it, so that what grows or tires in between counts on both sides.
      const before = await rate(plainMail);
      const its = await rate(way);
      const after = await rate(plainMail);
      if (run > 0) ratios.get(way.what)!.push((its * 2) / (before + after));
    }
  await store.close();
  await listing.end();
  await plain.end();
  for (const [what, seen] of ratios) figures.add(lazaret.name, { what, entries, unit: '×', value: median(seen) });
}
