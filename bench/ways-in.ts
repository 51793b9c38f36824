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

export async function waysIn({ figures, entries, runs, wanted }: Bench, lazaret: LazaretPeer): Promise<void> {
  const user = 'ways-in@harbour.example';
  const plain = await lazaret.another('intake,worker');
  const listing = await lazaret.another('intake,worker', { LAZARET_JOBS_INVENTORY: 'true' });
  const at = ({ lmtpPort, intakeHttp }: Pick<LazaretPeer, 'lmtpPort' | 'intakeHttp'>) => ({
    ...lazaret,
    lmtpPort,
    intakeHttp,
  });
  type HandOver = (from: number, to: number) => Promise<number>;
  const byLmtp: HandOver = (from, to) => handOver(at(plain), user, from, to, connections);
  const all: readonly (readonly [what: string, HandOver])[] = [
    ['HTTP intake, against LMTP', (from, to) => handOverByHttp(at(plain), user, from, to, connections)],
    [
      "LMTP intake with a filter's block, against plain mail",
      (from, to) => handOverMarked(at(plain), user, from, to, connections),
    ],
    ['LMTP intake with inventories, against none', (from, to) => handOver(at(listing), user, from, to, connections)],
    [
      'LMTP intake with block and inventories, against plain mail',
      (from, to) => handOverMarked(at(listing), user, from, to, connections),
    ],
  ];
  const asked = all.filter(([what]) => wanted(what));
  const ratios = new Map<string, number[]>(asked.map(([what]) => [what, []]));
  let next = 80_000_000;
  const rate = (way: HandOver) => {
    next += messages;
    return way(next - messages, next);
  };
  const store = await openStore(lazaret.store);
  // What is listed behind the intake must not be in the way of the others.
  const listed = async () => {
    while ((await store.messages.withoutInventory(1)).length > 0) await delay(100);
  };
  // The first round is to warm.
  for (let run = 0; asked.length > 0 && run <= runs; run++)
    for (const [what, way] of asked) {
      // Around it, so that what grows or tires in between counts on both sides.
      await listed();
      const before = await rate(byLmtp);
      await listed();
      const its = await rate(way);
      await listed();
      const after = await rate(byLmtp);
      if (run > 0) ratios.get(what)!.push((its * 2) / (before + after));
    }
  await store.close();
  await listing.end();
  await plain.end();
  for (const [what, seen] of ratios) figures.add(lazaret.name, { what, entries, unit: '×', value: median(seen) });
}
