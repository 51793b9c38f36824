/** What only several processes on one store can show; Dovecot has no counterpart. */
import { setTimeout as delay } from 'node:timers/promises';
import { Imap, Lmtp } from './clients.ts';
import { median } from './figures.ts';
import { handOver } from './fill.ts';
import type { LazaretPeer } from './lazaret.ts';
import { message } from './mail.ts';
import type { Bench } from './measure.ts';

/** One intake process against four, each with eight connections. */
export async function fourIntakes(
  { figures, entries, user, runs, wanted }: Bench,
  lazaret: LazaretPeer,
): Promise<void> {
  const what = 'intake of four processes, 8 connections each';
  if (!wanted(what)) return;
  const others = await Promise.all(Array.from({ length: 3 }, () => lazaret.another('intake')));
  const processes = [lazaret, ...others.map(({ lmtpPort }) => ({ ...lazaret, lmtpPort }))];
  const each = 400;
  const rates: number[] = [];
  let next = 60_000_000;
  for (let run = 0; run <= runs; run++) {
    const start = performance.now();
    await Promise.all(processes.map((peer, at) => handOver(peer, user, next + at * each, next + (at + 1) * each, 8)));
    if (run > 0) rates.push((processes.length * each * 1000) / (performance.now() - start));
    next += processes.length * each;
  }
  for (const other of others) await other.end();
  figures.add(lazaret.name, { what, entries, unit: '/s', value: median(rates) });
}

/** From the first octet of a hand-over to the EXISTS of a client in IDLE at another process. */
export async function otherNode({ figures, entries, user, runs, wanted }: Bench, lazaret: LazaretPeer): Promise<void> {
  const what = 'arrival to EXISTS on another node';
  if (!wanted(what)) return;
  const other = await lazaret.another('imap');
  const watcher = await Imap.connect(other.imapPort);
  await watcher.login(user, lazaret.password);
  await watcher.command(`SELECT ${lazaret.folder}`);
  watcher.write('idle IDLE\r\n');
  await watcher.until(/\+ [^\r\n]*\r\n$/);
  const sender = await Lmtp.connect(lazaret.lmtpPort);
  const taken: number[] = [];
  for (let run = 0; run <= runs * 2; run++) {
    const seen = watcher.until(/EXISTS\r\n(\* \d+ RECENT\r\n)?$/);
    const start = performance.now();
    await sender.send(user, message(70_000_000 + entries + run));
    await seen;
    if (run > 0) taken.push(performance.now() - start);
    await delay(50);
  }
  watcher.end();
  sender.end();
  await other.end();
  figures.add(lazaret.name, { what, entries, unit: 'ms', value: median(taken) });
}
