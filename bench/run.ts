/**
 * `npm run bench`: Lazaret beside Dovecot, one run, the same messages, the same clients. Quote the ratios, machines differ.
 * Each size has a mailbox of its own. docs/performance.md says what the figures mean.
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { ReplicaSet } from '../test/support/mongod.ts';
import { makeDovecot } from './dovecot.ts';
import { Figures, median } from './figures.ts';
import { fillStore, handOver } from './fill.ts';
import { makeLazaret } from './lazaret.ts';
import { arrivals, type Bench, firstOpen, idleMemory, logins, moves, reads } from './measure.ts';
import { manyAccounts, viewMemory } from './memory.ts';
import { fourIntakes, otherNode } from './nodes.ts';
import type { Peer } from './peer.ts';
import { waysIn } from './ways-in.ts';

const usage = `npm run bench -- [options]
  --entries 10000,100000  sizes of the folder
  --accounts 1000,10000   only memory, of so many accounts with a hundred entries each
  --runs 5                runs of which the median is taken
  --only WORDS            only what has these words in its name; a comma between several
  --store mongodb         on a MongoDB of its own (one node, started for it), also as several nodes
  --alone                 without Dovecot
  --short                 short messages, no intake: for very large folders
  --json                  figures as JSON
`;

const { values: options } = parseArgs({
  options: {
    entries: { type: 'string', default: '10000,100000' },
    accounts: { type: 'string' },
    runs: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    store: { type: 'string', default: 'sqlite' },
    alone: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const sizes = options.entries.split(',').map(Number);
const accounts = options.accounts?.split(',').map(Number);
const runs = Number(options.runs);
if (
  options.help ||
  !sizes.every((size) => size >= 1000) ||
  accounts?.some((count) => !(count >= 200)) ||
  !(runs >= 1) ||
  !['sqlite', 'mongodb'].includes(options.store)
) {
  process.stderr.write(usage);
  process.exit(options.help ? 0 : 2);
}
const length = options.short ? 'short' : 'usual';
const words = options.only.split(',');
const wanted = (what: string) => words.some((word) => what.includes(word));
const say = (text: string) => process.stderr.write(`${text}\n`);

const figures = new Figures();
const endings: (() => Promise<void>)[] = [];

/** A replica set of one node, on the disk where the others keep theirs. */
async function mongodb(): Promise<string> {
  const set = await ReplicaSet.start({ teardown: (end) => endings.unshift(end) }, { under: tmpdir() });
  return set.url;
}
const onMongo = options.store === 'mongodb';
const lazaret = await makeLazaret(onMongo ? await mongodb() : undefined);
const peers: Peer[] = [lazaret];
const missing = options.alone || accounts ? 'not asked for' : await makeDovecot();
if (typeof missing !== 'string') peers.push(missing);

/** Connections, and messages handed over on them in one go. */
const intakes: readonly (readonly [number, number])[] = onMongo
  ? [
      [1, 300],
      [8, 1000],
      [32, 1500],
    ]
  : [
      [1, 300],
      [8, 1000],
    ];

async function fill(size: number, user: string): Promise<void> {
  let at = 0;
  for (const [connections, count] of intakes) {
    const what = `LMTP intake, ${connections} connection${connections > 1 ? 's' : ''}`;
    if (options.short || size < at + count * (runs + 1)) continue;
    // In turns, and the first is to warm: a disk's speed changes from second to second.
    const rates = peers.map((): number[] => []);
    for (let run = 0; run <= runs; run++, at += count)
      for (const [index, peer] of peers.entries()) {
        const rate = await handOver(peer, user, at, at + count, connections);
        if (run > 0) rates[index]!.push(rate);
      }
    for (const [index, peer] of peers.entries())
      if (wanted(what)) figures.add(peer.name, { what, entries: size, unit: '/s', value: median(rates[index]!) });
  }
  // What was measured was durable; the rest need not be, on a slow disk it would take an hour.
  for (const peer of peers) {
    say(`  filling ${peer.name}`);
    await peer.stop();
    if (peer === lazaret) await fillStore(lazaret.store, () => user, at, size, length);
    else {
      await peer.start(true);
      await handOver(peer, user, at, size, 8, length);
      await peer.stop();
    }
    await peer.start();
  }
}

async function measure(size: number): Promise<void> {
  const user = `n${size}@harbour.example`;
  say(`${size} messages`);
  for (const peer of peers) peer.addUser(user);
  await fill(size, user);
  for (const peer of peers) {
    const bench: Bench = { peer, figures, user, entries: size, runs, wanted };
    for (const step of [firstOpen, reads, arrivals, logins, idleMemory, moves]) await step(bench);
  }
  const bench: Bench = { peer: lazaret, figures, user, entries: size, runs, wanted };
  await viewMemory(bench, lazaret);
  if (!onMongo) {
    if (!options.short) await waysIn(bench, lazaret);
    return;
  }
  await fourIntakes(bench, lazaret);
  await otherNode(bench, lazaret);
}

async function stop(): Promise<void> {
  for (const peer of peers) {
    await peer.stop();
    peer.remove();
  }
  for (const ending of endings.splice(0)) await ending();
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop().finally(() => process.exit(1)));
try {
  for (const peer of peers) await peer.start();
  if (accounts) for (const count of accounts) await manyAccounts({ figures, wanted }, lazaret, count);
  else for (const size of sizes) await measure(size);
} finally {
  await stop();
}

const doubts = figures.doubts();
const skipped = typeof missing === 'string' ? [`Without Dovecot: ${missing}`] : [];
if (options.json) console.log(JSON.stringify({ figures: figures.lines(), doubts, skipped }, null, 1));
else console.log([figures.table(), ...doubts.map((doubt) => `Not the same answer? ${doubt}`), ...skipped].join('\n'));
