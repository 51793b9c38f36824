/** What is measured, of one server at a time while the other rests. Every figure is a median of runs after one that warms. */
import { setTimeout as delay } from 'node:timers/promises';
import { Imap, Lmtp } from './clients.ts';
import { type Figures, median } from './figures.ts';
import { message } from './mail.ts';
import type { Peer } from './peer.ts';

export interface Bench {
  readonly peer: Peer;
  readonly figures: Figures;
  readonly user: string;
  readonly entries: number;
  readonly runs: number;
  /** Whether this is among what was asked for. */
  wanted(what: string): boolean;
}

/** The fields that Thunderbird 153 asks for when it opens a folder. */
const headerFetch =
  'UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority ' +
  'X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received)])';

async function selected({ peer, user }: Bench): Promise<Imap> {
  const client = await Imap.connect(peer.imapPort);
  await client.login(user, peer.password);
  await client.command(`SELECT ${peer.folder}`);
  return client;
}

/** Right after a start, nobody having looked into the folder yet; the files are still in the machine's memory. */
export async function firstOpen(bench: Bench): Promise<void> {
  const { peer, user, entries, figures } = bench;
  const what = ['first SELECT after a start', 'header fetch, first'] as const;
  if (!what.some((name) => bench.wanted(name))) return;
  const client = await Imap.connect(peer.imapPort);
  await client.login(user, peer.password);
  const { ms, tail } = await client.command(`SELECT ${peer.folder}`);
  const held = Number(/\* (\d+) EXISTS/.exec(tail)?.[1] ?? Number.NaN);
  if (held !== entries) throw new Error(`${peer.name} has ${held} messages instead of ${entries}`);
  figures.add(peer.name, { what: what[0], entries, unit: 'ms', value: ms });
  const fetched = await client.command(headerFetch);
  figures.add(peer.name, { what: what[1], entries, unit: 'ms', value: fetched.ms, octets: fetched.bytes });
  client.end();
}

async function times(bench: Bench, what: string, text: (run: number) => string, runs = bench.runs): Promise<void> {
  if (!bench.wanted(what)) return;
  const client = await selected(bench);
  const taken: number[] = [];
  let octets = 0;
  await client.command(text(0));
  for (let run = 0; run < runs; run++) {
    const { ms, bytes } = await client.command(text(run));
    taken.push(ms);
    octets = bytes;
  }
  client.end();
  bench.figures.add(bench.peer.name, { what, entries: bench.entries, unit: 'ms', value: median(taken), octets });
}

export async function reads(bench: Bench): Promise<void> {
  await times(bench, 'SELECT', () => `SELECT ${bench.peer.folder}`, bench.runs * 4);
  await times(bench, 'FETCH FLAGS', () => 'UID FETCH 1:* (UID FLAGS)');
  await times(bench, 'header fetch', () => headerFetch);
  await times(bench, 'ENVELOPE BODYSTRUCTURE', () => 'FETCH 1:* (UID ENVELOPE BODYSTRUCTURE)');
  await times(bench, 'BODY.PEEK[] of 100', (run) => `FETCH ${run * 100 + 1}:${run * 100 + 100} (BODY.PEEK[])`);
  await times(bench, 'SEARCH UNSEEN', () => 'UID SEARCH UNSEEN');
  await times(bench, 'SEARCH SUBJECT', () => 'UID SEARCH SUBJECT "lantern tide"');
  await times(bench, 'SEARCH FROM', () => 'UID SEARCH FROM "ledger50"');
}

/** A plain move for Dovecot; for Lazaret the drop: each message leaves, is given a UID there, and has its job, durably. */
export async function moves(bench: Bench): Promise<void> {
  if (bench.entries >= 5000) await moveMany(bench, 1000, Math.min(bench.runs, 3));
  if (bench.entries >= 100_000) await moveMany(bench, 10_000, 1);
}

async function moveMany(bench: Bench, count: number, runs: number): Promise<void> {
  const what = `UID MOVE of ${count.toLocaleString('en')} onto Release`;
  if (!bench.wanted(what)) return;
  const { peer, figures, entries } = bench;
  const client = await selected(bench);
  const uidOf = async (number: number) => /UID (\d+)/.exec((await client.command(`FETCH ${number} (UID)`)).tail)?.[1];
  const taken: number[] = [];
  for (let run = 0; run < runs; run++) {
    // UIDs grow with message numbers: one range holds the first so many.
    const range = `${await uidOf(1)}:${await uidOf(count)}`;
    taken.push((await client.command(`UID MOVE ${range} Release`)).ms);
  }
  client.end();
  figures.add(peer.name, { what, entries, unit: 'ms', value: median(taken) });
}

/** From the first octet of the hand-over to the EXISTS of a client in IDLE. */
export async function arrivals(bench: Bench): Promise<void> {
  const what = 'arrival to EXISTS';
  if (!bench.wanted(what)) return;
  const { peer, figures, entries, user } = bench;
  const watcher = await selected(bench);
  const sender = await Lmtp.connect(peer.lmtpPort);
  const taken: number[] = [];
  watcher.write('idle IDLE\r\n');
  await watcher.until(/\+ [^\r\n]*\r\n$/);
  for (let run = 0; run <= bench.runs * 2; run++) {
    const seen = watcher.until(/EXISTS\r\n(\* \d+ RECENT\r\n)?$/);
    const start = performance.now();
    await sender.send(user, message(50_000_000 + entries + run));
    await seen;
    if (run > 0) taken.push(performance.now() - start);
    await delay(50);
  }
  watcher.end();
  sender.end();
  figures.add(peer.name, { what, entries, unit: 'ms', value: median(taken) });
}

/**
 * Connections that logged in, selected the folder and went idle, at a server that did nothing else before: memory that it
 * had not given back yet would hide what they cost.
 */
export async function idleMemory(bench: Bench): Promise<void> {
  const what = 'memory of an idle connection, of 1,000';
  if (!bench.wanted(what)) return;
  const { peer, figures, entries } = bench;
  await peer.stop();
  await peer.start();
  const idle: Imap[] = [await selected(bench)];
  await delay(1000);
  const before = peer.memoryKilobytes();
  for (let at = 0; at < 1000; at++) {
    const client = await selected(bench);
    client.write('idle IDLE\r\n');
    await client.until(/\+ [^\r\n]*\r\n$/);
    idle.push(client);
  }
  await delay(3000);
  const value = (peer.memoryKilobytes() - before) / 1000;
  for (const client of idle) client.end();
  await delay(1000);
  figures.add(peer.name, { what, entries, unit: 'KB', value });
}

/** A connection, a greeting, a LOGIN, an end: as often as sixteen clients get through. */
export async function logins(bench: Bench): Promise<void> {
  const what = 'logins, 16 connections';
  if (!bench.wanted(what)) return;
  const { peer, figures, entries, user } = bench;
  const seconds = 4;
  const until = performance.now() + seconds * 1000;
  let count = 0;
  const one = async () => {
    while (performance.now() < until) {
      const client = await Imap.connect(peer.imapPort);
      await client.login(user, peer.password);
      client.end();
      count++;
    }
  };
  await Promise.all(Array.from({ length: 16 }, one));
  figures.add(peer.name, { what, entries, unit: '/s', value: count / seconds });
}
