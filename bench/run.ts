/**
 * `npm run bench`: Lazaret beside Dovecot, one run, the same messages, the same clients. Prints medians and ratios; quote
 * the ratios, machines differ. Options: --entries 10000,100000  --only WORD  --json  --runs N.
 */
import { parseArgs } from 'node:util';
import { Imap, Lmtp } from './clients.ts';
import { startDovecot } from './dovecot.ts';
import { startLazaret } from './lazaret.ts';
import { message } from './mail.ts';
import type { Peer } from './peer.ts';

const { values: options } = parseArgs({
  options: {
    entries: { type: 'string', default: '10000,100000' },
    only: { type: 'string', default: '' },
    runs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const runs = Number(options.runs);
const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const say = (text: string) => process.stderr.write(`${text}\n`);

interface Row {
  readonly what: string;
  readonly entries: number;
  readonly unit: string;
  readonly [peer: string]: number | string;
}
const rows: Row[] = [];
const figures = new Map<string, { what: string; entries: number; unit: string; peers: Map<string, number> }>();
function note(what: string, entries: number, unit: string, peer: Peer, value: number): void {
  const key = `${what}/${entries}`;
  const row = figures.get(key) ?? { what, entries, unit, peers: new Map() };
  row.peers.set(peer.name, value);
  figures.set(key, row);
  say(`  ${peer.name}: ${what} @${entries}: ${value.toFixed(2)} ${unit}`);
}

/** Hands over messages from `from` to `to` on so many connections; answers messages a second. */
async function fill(peer: Peer, from: number, to: number, connections: number): Promise<number> {
  const lines = await Promise.all(Array.from({ length: connections }, () => Lmtp.connect(peer.lmtpPort)));
  const ready = Array.from({ length: Math.min(to - from, 2000) }, (_, at) => message(from + at));
  let next = from;
  const start = performance.now();
  await Promise.all(
    lines.map(async (line) => {
      while (next < to) {
        const at = next++;
        await line.send(peer.recipient, ready[at - from] ?? message(at));
      }
      line.end();
    }),
  );
  return ((to - from) / (performance.now() - start)) * 1000;
}

const headerFetch =
  'UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority ' +
  'X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received)])';

async function selected(peer: Peer): Promise<Imap> {
  const client = await Imap.connect(peer.imapPort);
  await client.login(peer.user, peer.password);
  await client.command(`SELECT ${peer.folder}`);
  return client;
}

async function times(peer: Peer, what: string, entries: number, text: (run: number) => string): Promise<void> {
  if (options.only && !what.includes(options.only)) return;
  const client = await selected(peer);
  const taken: number[] = [];
  for (let run = 0; run < runs; run++) taken.push((await client.command(text(run))).ms);
  client.end();
  note(what, entries, 'ms', peer, median(taken));
}

async function folderFigures(peer: Peer, entries: number): Promise<void> {
  const client = await selected(peer);
  const selects: number[] = [];
  for (let run = 0; run < runs * 2; run++) selects.push((await client.command(`SELECT ${peer.folder}`)).ms);
  note('SELECT', entries, 'ms', peer, median(selects));
  client.end();
  await times(peer, 'FETCH FLAGS', entries, () => 'UID FETCH 1:* (UID FLAGS)');
  await times(peer, 'header fetch', entries, () => headerFetch);
  await times(peer, 'ENVELOPE BODYSTRUCTURE', entries, () => 'FETCH 1:* (UID ENVELOPE BODYSTRUCTURE)');
  await times(peer, 'BODY.PEEK[] of 100', entries, (run) => `FETCH ${run * 100 + 1}:${run * 100 + 100} (BODY.PEEK[])`);
  await times(peer, 'SEARCH UNSEEN', entries, () => 'UID SEARCH UNSEEN');
  await times(peer, 'SEARCH SUBJECT', entries, () => 'UID SEARCH SUBJECT "lantern tide 12"');
  await times(peer, 'SEARCH FROM', entries, () => 'UID SEARCH FROM "ledger500@"');
  const mover = await selected(peer);
  const moves: number[] = [];
  for (let run = 0; run < Math.min(runs, 3); run++) {
    const uids = await firstUids(mover, 1000);
    moves.push((await mover.command(`UID MOVE ${uids} Release`)).ms);
  }
  note('UID MOVE of 1,000', entries, 'ms', peer, median(moves));
  mover.end();
}

/** `a:b` spanning the first `count` messages (UIDs grow with message numbers, so one range does). */
async function firstUids(client: Imap, count: number): Promise<string> {
  const uid = async (number: number) => /UID (\d+)/.exec((await client.command(`FETCH ${number} (UID)`)).tail)?.[1];
  return `${await uid(1)}:${await uid(count)}`;
}

async function arrival(peer: Peer, entries: number): Promise<void> {
  const watcher = await selected(peer);
  const sender = await Lmtp.connect(peer.lmtpPort);
  const taken: number[] = [];
  watcher.write('idle IDLE\r\n');
  await watcher.until(/\+ [^\r\n]*\r\n$/);
  for (let run = 0; run < runs * 2; run++) {
    const seen = watcher.until(/EXISTS\r\n(\* \d+ RECENT\r\n)?$/);
    const start = performance.now();
    await sender.send(peer.recipient, message(5_000_000 + entries + run));
    await seen;
    taken.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  note('arrival to EXISTS', entries, 'ms', peer, median(taken));
  watcher.end();
  sender.end();
}

async function idleMemory(peer: Peer, entries: number): Promise<void> {
  const first = await selected(peer);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const before = peer.memoryKilobytes();
  const clients: Imap[] = [];
  for (let at = 0; at < 1000; at++) {
    const client = await selected(peer);
    client.write('idle IDLE\r\n');
    await client.until(/\+ [^\r\n]*\r\n$/);
    clients.push(client);
  }
  await new Promise((resolve) => setTimeout(resolve, 3000));
  note('memory of an idle connection', entries, 'KB', peer, (peer.memoryKilobytes() - before) / 1000);
  for (const client of clients) client.end();
  first.end();
  await new Promise((resolve) => setTimeout(resolve, 1000));
}

async function logins(peer: Peer, entries: number): Promise<void> {
  const end = performance.now() + 4000;
  let count = 0;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (performance.now() < end) {
        const client = await Imap.connect(peer.imapPort);
        await client.login(peer.user, peer.password);
        client.end();
        count++;
      }
    }),
  );
  note('logins, 16 connections', entries, '/s', peer, count / 4);
}

const peers: Peer[] = [await startLazaret()];
const dovecot = await startDovecot();
if (typeof dovecot === 'string') say(`Without Dovecot: ${dovecot}`);
else peers.push(dovecot);
try {
  let filled = 0;
  for (const size of options.entries.split(',').map(Number)) {
    const probes = size > filled + 2500 ? [1, 8] : [];
    let at = filled;
    for (const connections of probes) {
      const count = connections === 1 ? 500 : 2000;
      for (const peer of peers)
        note(
          `LMTP intake, ${connections} connections`,
          size,
          '/s',
          peer,
          await fill(peer, at, at + count, connections),
        );
      at += count;
    }
    for (const peer of peers) {
      say(`filling ${peer.name} up to ${size}`);
      await fill(peer, at, size, 8);
    }
    filled = size;
    for (const peer of peers) await arrival(peer, size);
    for (const peer of peers) await folderFigures(peer, size);
    for (const peer of peers) await logins(peer, size);
    for (const peer of peers) await idleMemory(peer, size);
  }
} finally {
  for (const peer of peers) await peer.stop();
}

for (const { what, entries, unit, peers: values } of figures.values()) {
  const ours = values.get('lazaret')!;
  const theirs = values.get('dovecot');
  rows.push({ what, entries, unit, lazaret: ours, ...(theirs ? { dovecot: theirs, ratio: ours / theirs } : {}) });
}
if (options.json) console.log(JSON.stringify(rows, null, 1));
else
  console.table(
    rows.map((row) => ({
      ...row,
      ...Object.fromEntries(
        Object.entries(row)
          .filter(([, v]) => typeof v === 'number')
          .map(([k, v]) => [k, Number((v as number).toFixed(k === 'entries' ? 0 : 2))]),
      ),
    })),
  );
