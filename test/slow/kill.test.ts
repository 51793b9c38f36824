/**
 * INTEGRATIONS §8.2 rows 1 and 7 at random: the built server is ended by kill -9 again and again, at any moment, while four
 * senders hand mail over and two mail clients drop it. A model knows what was acknowledged; at the end the store, IMAP and the
 * next hop are held against it. ROUNDS says how many kills, SEED repeats their times.
 */
import t from 'tap';
import { randomFrom } from '../imap/random.ts';
import { LmtpClient } from '../support/lmtp.ts';
import { Audit, addAccounts, copiesIn, type Found, isLost, Mta, people, Reader } from '../support/peers.ts';
import { ServerProcess } from '../support/server-process.ts';
import { Sink } from '../support/sink.ts';
import { faultsOf } from '../support/store.ts';

const rounds = Number(process.env.ROUNDS ?? 120);
const leasesMs = 61_000;
/** Deliveries at a time: so many may be between the 250 and our record when it dies. */
const concurrency = 8;

const random = randomFrom(t);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const oneOf = <T>(list: readonly T[]): T => list[random(list.length)]!;

const sink = await Sink.start(t, { behave: ({ phase }) => (phase === 'end' ? { afterMs: random(15) } : undefined) });
const server = await ServerProcess.prepare(
  t,
  sink.port,
  `release: { undoSeconds: 1 }\njobs: { concurrency: ${concurrency} }`,
);
await addAccounts(server.storeUrl);
const mta = new Mta(server.ports.lmtp);
const faults: string[] = [];
let over = false;

// -------------------------------------------------------------------------------------------------------------- peers

let highestAcknowledged = 0;

/** Sends until it is acknowledged, then the next one. */
async function sender(): Promise<void> {
  let client: LmtpClient | undefined;
  while (!over) {
    const first = random(people.length);
    const mail = mta.write('kill', people.slice(first, first + 1 + random(2)));
    const how = { octets: random(30) === 0 ? 300_000 : 200 + random(4000), amavis: random(3) === 0 };
    while (!mail.acknowledged)
      try {
        client ??= await LmtpClient.connect(server.ports.lmtp);
        const before = highestAcknowledged;
        const [reply = ''] = await mta.send(mail, { ...how, client });
        if (!mail.acknowledged) faults.push(`${mail.id}: ${reply}`);
        const id = Number(/kept as (\d+)/.exec(reply)?.[1]);
        if (!reply.includes('(again)') && !(id > before)) faults.push(`${mail.id} is ${id}, after ${before}`);
        highestAcknowledged = Math.max(highestAcknowledged, id);
      } catch (error) {
        if (!isLost(error)) throw error;
        client?.close();
        client = undefined;
        await pause(20);
      }
    await pause(random(20));
  }
  client?.close();
}

type Kind = 'release' | 'spam' | 'discard' | 'copy' | 'undo';

interface Act {
  readonly kind: Kind;
  readonly account: string;
  /** UIDs in Caught; for undo those in Release. */
  readonly uids: readonly number[];
  /** By the UIDs asked for: where they went, by an answer that came. */
  readonly pairs: Map<number, number>;
  answered: 'OK' | 'NO' | undefined;
}

const acts: Act[] = [];
const targets: Record<Exclude<Kind, 'undo'>, string> = {
  release: 'Release',
  spam: 'Spam',
  discard: 'Trash',
  copy: 'Release',
};
const kinds: readonly Exclude<Kind, 'undo'>[] = ['release', 'release', 'release', 'spam', 'discard', 'copy'];

/** Chooses what to do, does it, and asks again, with the same words, until it is answered. */
async function reader(account: string): Promise<void> {
  let session: Reader | undefined;
  let act: Act | undefined;
  let known = { uidNext: 0, modSeq: 0 };
  while (!over || act)
    try {
      session ??= await Reader.open(server.ports.imap, account);
      const folder = act?.kind === 'undo' ? 'Release' : 'Caught';
      if (folder !== session.selected || random(10) === 0) {
        const now = await session.select(folder);
        if (folder === 'Caught') {
          if (now.uidNext < known.uidNext || now.modSeq < known.modSeq)
            faults.push(
              `${account}: UIDNEXT ${now.uidNext}, HIGHESTMODSEQ ${now.modSeq} after ${JSON.stringify(known)}`,
            );
          known = now;
        }
      }
      if (!act) {
        const uids = await session.uids();
        const from = random(uids.length || 1);
        const chosen = uids.slice(from, from + 25).filter(() => random(2) === 0);
        if (chosen.length === 0) {
          await pause(random(30));
          continue;
        }
        act = { kind: oneOf(kinds), account, uids: chosen, pairs: new Map(), answered: undefined };
        acts.push(act);
      }
      const { kind } = act;
      const said =
        kind === 'undo'
          ? await session.put('MOVE', act.uids, 'Caught')
          : await session.put(kind === 'copy' ? 'COPY' : 'MOVE', act.uids, targets[kind]);
      said.pairs.from.forEach((uid, index) => {
        act!.pairs.set(uid, said.pairs.to[index]!);
      });
      if (said.status === 'BAD' || /SERVERBUG|UNAVAILABLE/.test(said.text)) faults.push(`${kind}: ${said.text}`);
      act.answered = said.status === 'OK' ? 'OK' : 'NO';
      const done: Act = act;
      act = undefined;
      // A person who sees a mistake at once.
      if (done.kind === 'release' && done.pairs.size > 0 && random(6) === 0) {
        act = { kind: 'undo', account, uids: [...done.pairs.values()], pairs: new Map(), answered: undefined };
        acts.push(act);
      }
    } catch (error) {
      if (!isLost(error)) throw error;
      session?.close();
      session = undefined;
      await pause(20);
    }
  session?.close();
}

// ------------------------------------------------------------------------------------------------------------- rounds

/** So many messages had the next hop when each of the lives was over. */
const ends: number[] = [];

const peers = [sender(), sender(), sender(), sender(), reader('global'), reader(people[0])];
let failed: unknown;
for (const peer of peers)
  peer.catch((error) => {
    failed ??= error;
  });

for (let round = 0; round < rounds && !failed; round++) {
  if (random(2) === 0) server.clockOffsetMs += leasesMs;
  const starting = server.start();
  if (random(10) === 0) {
    starting.catch(() => undefined); // it is not let to
    await pause(random(400));
  } else {
    await starting;
    await pause(random(800));
  }
  await server.kill();
  // The next hop reads, and takes, what the dead one had sent.
  await sink.sees(({ open }) => open.size === 0);
  await pause(40);
  ends.push(sink.messages.length);
}

server.clockOffsetMs += leasesMs;
await server.start();
over = true;
await Promise.all(peers);

// -------------------------------------------------------------------------------------------------------------- model

const outcomes: Record<Kind, string> = {
  release: 'released',
  copy: 'released',
  spam: 'trained',
  discard: 'discarded',
  undo: 'held',
};

interface Fact {
  readonly act: Act;
  readonly from: number;
  readonly to: number;
}

/** In which states an entry may be, by what was answered about it and what was asked and never answered in so many words. */
function allowed({ stays }: Found): { states: Set<string>; certain: boolean } {
  const uids = new Set<number>(stays.map(({ uid }) => uid));
  const facts = [...uids].flatMap((uid) => factsFrom.get(uid) ?? []);
  // UIDs are given in the order of what happened.
  const last = facts.reduce<Fact | undefined>((best, fact) => (!best || fact.to > best.to ? fact : best), undefined);
  const states = new Set([last ? outcomes[last.act.kind] : 'held']);
  // What was asked of a later stay may have been done, too: the stay is there by something that was done and not answered.
  for (const uid of uids)
    if (!last || uid >= last.to)
      for (const act of attempts.get(uid) ?? []) if (!act.pairs.has(uid)) states.add(outcomes[act.kind]);
  return { states, certain: states.size === 1 };
}

/** For whoever looks for the fault: every stay, and what was asked of it. */
function trailOf({ stays }: Found): string {
  return stays
    .map(({ uid, folder }) => {
      const asked = (attempts.get(uid) ?? []).map(
        ({ kind, account, pairs, answered }) => `${kind} by ${account}: ${answered} ${pairs.get(uid) ?? ''}`,
      );
      return `${uid} ${folder} (${asked.join(', ')})`;
    })
    .join('; ');
}

const factsFrom = new Map<number, Fact[]>();
const attempts = new Map<number, Act[]>();
for (const act of acts) {
  for (const uid of act.uids) attempts.set(uid, [...(attempts.get(uid) ?? []), act]);
  for (const [from, to] of act.pairs) factsFrom.set(from, [...(factsFrom.get(from) ?? []), { act, from, to }]);
}

t.test(`rows 1 and 7: ${rounds} times kill -9, and nothing acknowledged is lost`, async (t) => {
  const audit = new Audit(server, mta, sink);
  const found = await audit.settled(t);
  t.strictSame(faults, []);
  const wrong: string[] = [];
  let certain = 0;
  const byUid = new Map<number, Found>();
  for (const each of found.values()) {
    for (const { uid } of each.stays) byUid.set(uid, each);
    const { states, certain: is } = allowed(each);
    if (is) certain++;
    if (!states.has(each.entry.state))
      wrong.push(
        `${each.entry.id} is ${each.entry.state}, and should be ${[...states].join(' or ')}: ${trailOf(each)}`,
      );
  }
  t.strictSame(wrong, [], 'each entry is where its last answered drop put it');
  t.ok(certain > found.size * 0.8, `${certain} of ${found.size} entries have one place to be`);

  const lost: string[] = [];
  for (const { kind, uids, pairs, answered, account } of acts) {
    for (const [from, to] of pairs)
      if (byUid.get(from) === undefined || byUid.get(from) !== byUid.get(to))
        lost.push(`${account}: COPYUID ${from} ${to} names two entries`);
    if (answered !== 'OK' || kind === 'copy' || kind === 'undo') continue;
    for (const uid of uids)
      if (!byUid.get(uid)?.stays.find((stay) => stay.uid === uid)?.endedAt)
        lost.push(`${account}: ${uid} was moved by ${kind} and is still there`);
  }
  t.strictSame(lost, [], 'what was answered is true');

  const byResent = new Map<string, number[]>();
  for (const [index, { resentMessageId }] of copiesIn(sink).entries())
    byResent.set(resentMessageId, [...(byResent.get(resentMessageId) ?? []), index]);
  const life = (index: number): number => ends.findIndex((end) => index < end);
  const twice = new Map<number, number>();
  const bad: string[] = [];
  for (const [id, indexes] of byResent) {
    for (const [at, index] of indexes.slice(0, -1).entries()) {
      if (life(index) === life(indexes[at + 1]!)) bad.push(`${id}: twice by one process`);
      twice.set(life(index), (twice.get(life(index)) ?? 0) + 1);
    }
  }
  for (const [which, count] of twice) if (count > concurrency) bad.push(`life ${which}: ${count} delivered again`);
  for (const { entry, drops, jobs } of found.values())
    for (const { dropId, step, state, outcome } of jobs) {
      if (step !== 'deliver') continue;
      const host = [...byResent.keys()].filter((id) => id.startsWith(`<${dropId}.${entry.id}@`));
      const copies = host.length;
      if (state === 'done' && copies === 0) bad.push(`${entry.id}: "${outcome}", and the next hop has nothing`);
      if (state === 'cancelled' && copies > 0) bad.push(`${entry.id}: taken back, and delivered all the same`);
      if (state !== 'done' && state !== 'cancelled') bad.push(`${entry.id}: ${step} is ${state}: ${outcome}`);
      if (!drops.some(({ id }) => id === dropId)) bad.push(`${entry.id}: a job of no drop`);
    }
  for (const { entry, jobs } of found.values()) {
    const delivered = jobs.some(({ step, state }) => step === 'deliver' && state === 'done');
    if (delivered !== (entry.state === 'released')) bad.push(`${entry.id} is ${entry.state}, delivered: ${delivered}`);
  }
  t.strictSame(bad, [], 'delivered once, or once more where nobody could know');
  t.strictSame(await faultsOf(server.storeUrl), []);

  const count = (kind: Kind) => acts.filter((act) => act.kind === kind).length;
  const again = [...mta.sent.values()].reduce((sum, { tried }) => sum + tried.length - 1, 0);
  const doubled = [...twice.values()].reduce((sum, n) => sum + n, 0);
  t.comment(
    `${mta.sent.size} messages, ${again} sent again, ${found.size} entries; ${count('release')} releases, ${count('copy')} copies, ` +
      `${count('spam')} spam, ${count('discard')} trash, ${count('undo')} undone; ${sink.messages.length} delivered, ${doubled} twice`,
  );
  const times = [...server.startTimesMs].sort((a, b) => a - b);
  t.comment(`${times.length} starts: median ${times[times.length >> 1]} ms, slowest ${times.at(-1)} ms`);
  t.ok(times[times.length >> 1]! < 2000, 'up again within 2 s');
});
