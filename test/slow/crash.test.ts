/**
 * The built server ends, as by kill -9, at named steps of the ways of intake, drop and delivery (test/support/kill-at.mjs), and is
 * started again; its peers do what real ones do. Nothing acknowledged is lost, and nothing is delivered twice but in the one
 * window of DESIGN §4.4. INTEGRATIONS §8.2 rows 1, 3, 4, 7 and 39, step by step; test/slow/kill.test.ts does it at random.
 *
 * All cases share one store, which so goes through some hundred deaths; the last test looks at all of it once more.
 */
import t, { type Test } from 'tap';
import { LmtpClient } from '../support/lmtp.ts';
import {
  Audit,
  addAccounts,
  copiesIn,
  type Found,
  isLost,
  keyOf,
  type Mail,
  Mta,
  type Pairs,
  people,
  Reader,
} from '../support/peers.ts';
import { ServerProcess } from '../support/server-process.ts';
import { Sink } from '../support/sink.ts';
import { faultsOf, jobsDoneOn, onMongo } from '../support/store.ts';

/** Longer than the leases of a dead process: 60 s on jobs, 30 s on drops; and than a copy stays after its delivery. */
const leasesMs = 61_000;

const ada = people[0];
const sink = await Sink.start(t);
const server = await ServerProcess.prepare(t, sink.port, 'release: { undoSeconds: 0 }');
await addAccounts(server.storeUrl);
const mta = new Mta(server.ports.lmtp);
const audit = new Audit(server, mta, sink);

/** Ends it, however it runs, and starts it so that it will end by itself at that step. */
async function startFor(killAt: string, env: Record<string, string> = {}): Promise<void> {
  await server.kill();
  await server.start({ killAt, env });
}

/** It has ended, and just there. Then it is started again, its leases run out; if `next`, only to die there. */
async function diedAt(t: Test, killAt: string, next?: string): Promise<void> {
  await endedAt(t, killAt);
  if (next) {
    server.clockOffsetMs += leasesMs;
    await server.start({ killAt: next });
    await endedAt(t, next);
    await again(t, 0);
  } else await again(t, leasesMs);
}

async function endedAt(t: Test, killAt: string): Promise<void> {
  await server.ended();
  if (!t.ok(server.diedAt(killAt), `it died at ${killAt}`)) throw new Error(server.log);
}

async function again(t: Test, later: number): Promise<void> {
  server.clockOffsetMs += later;
  await server.start();
  t.ok(server.startTimesMs.at(-1)! < 5000, `up again after ${server.startTimesMs.at(-1)} ms`);
}

/** Messages of one recipient, held and acknowledged. The server has to run. */
async function hold(tag: string, count: number, octets = 600): Promise<Mail[]> {
  const mails = Array.from({ length: count }, () => mta.write(tag, [ada]));
  const queue = [...mails];
  const lanes = Array.from({ length: Math.min(4, count) }, async () => {
    const client = await LmtpClient.connect(server.ports.lmtp);
    for (let mail = queue.shift(); mail; mail = queue.shift()) await mta.send(mail, { client, octets });
    client.close();
  });
  await Promise.all(lanes);
  if (!mails.every((mail) => mail.acknowledged)) throw new Error(`${tag}: not all were acknowledged`);
  return mails;
}

/** Does it as a mail client; undefined when the connection was lost before the answer. */
async function asClient<T>(what: (reader: Reader) => Promise<T>, folder = 'Caught'): Promise<T | undefined> {
  let reader: Reader | undefined;
  try {
    reader = await Reader.open(server.ports.imap, ada, folder);
    return await what(reader);
  } catch (error) {
    if (!isLost(error)) throw error;
    return undefined;
  } finally {
    reader?.close();
  }
}

/** What was delivered without X-Lazaret-Release, which each try signs anew (docs/decisions/0011). */
const unsigned = ({ message }: { readonly message: { readonly bytes: Buffer } }): string =>
  message.bytes.toString('latin1').replace(/^X-Lazaret-Release:.*\r\n(?:[ \t].*\r\n)*/m, '');

const copiesOf = (tag: string) => copiesIn(sink).filter(({ id }) => id.startsWith(tag));
const states = (found: ReadonlyMap<string, Found>): string[] => [
  ...new Set([...found.values()].map(({ entry }) => `${entry.state} ${entry.folder ?? '-'}`)),
];

// ------------------------------------------------------------------------------------------------------------- intake

const intakes: readonly { step: string; octets?: number; amavis?: boolean; kept: boolean }[] = [
  { step: 'intake.header', octets: 3_000_000, kept: false },
  ...(onMongo
    ? ['store.piece:chunk@2', 'store.piece:file']
    : ['store.committing:messages.upload', 'store.committed:messages.upload@2']
  ).map((step) => ({ step, octets: 1_000_000, kept: false })),
  { step: 'intake.put', kept: false },
  { step: 'intake.put', octets: 1_000_000, amavis: true, kept: false },
  { step: 'store.committing:entries.admit', kept: false },
  { step: 'store.committing:entries.admit', octets: 1_000_000, kept: false },
  { step: 'store.committed:entries.admit', kept: true },
  { step: 'store.committed:entries.admit', octets: 1_000_000, amavis: true, kept: true },
  { step: 'intake.admitted', kept: true },
  { step: 'intake.admitted', amavis: true, kept: true },
];

t.test('intake: what got no 250 is sent again, and is there once for each recipient', async (t) => {
  let number = 0;
  for (const { step, kept, ...how } of intakes)
    await t.test(`${step}, ${how.octets ?? 600} octets${how.amavis ? ', amavis' : ''}`, async (t) => {
      const tag = `intake${++number}`;
      await startFor(step);
      const mail = mta.write(tag, people);
      await t.rejects(mta.send(mail, how), /closed/, 'no reply');
      await endedAt(t, step);
      await again(t, 0);
      const before = await audit.now(t, `${tag}-`);
      t.equal(before.size, kept ? people.length : 0, kept ? 'all of it was kept' : 'nothing of it is there');
      const replies = await mta.send(mail, how);
      t.equal(replies.length, people.length);
      t.ok(mail.acknowledged, replies.join());
      if (kept) t.match(replies[0], /\(again\)/);
      t.equal((await audit.now(t, `${tag}-`)).size, people.length);
    });
});

// --------------------------------------------------------------------------------------------------------------- drop

interface DropCase {
  readonly step: string;
  readonly folder: string;
  readonly command?: 'COPY' | 'MOVE';
  readonly count?: number;
  /** How many of them the drop has hold of when the server is back and the leases have run out. */
  readonly done: number;
  /** Where it dies once more: while it seals or rolls back what the first one left behind. */
  readonly next?: string;
}

const dropped: Record<string, string> = {
  Release: 'released -',
  'Release & Train': 'released -',
  Spam: 'trained trash',
  'Not Spam': 'trained trash',
  Trash: 'discarded trash',
};

const many = 2100;
const moves: readonly DropCase[] = [
  { step: 'store.committing:drops.take', folder: 'Release', done: 0 },
  { step: 'store.committed:drops.take', folder: 'Release', done: 3 },
  { step: 'drop.chunk', folder: 'Release & Train', done: 3 },
  { step: 'imap.answering:MOVE', folder: 'Release', done: 3 },
  { step: 'store.committing:drops.take', folder: 'Spam', done: 0 },
  { step: 'store.committed:drops.take', folder: 'Not Spam', done: 3 },
  { step: 'imap.answering:MOVE', folder: 'Trash', done: 3 },
  { step: 'store.committing:drops.take@2', folder: 'Release', count: many, done: 1000 },
  { step: 'drop.chunk@2', folder: 'Spam', count: many, done: 2000 },
  { step: 'store.committing:drops.take@3', folder: 'Release', count: many, done: 2000 },
  { step: 'store.committed:drops.take@3', folder: 'Spam', count: many, done: many },
  { step: 'drop.chunk', next: 'store.abandoned>store.committing', folder: 'Trash', count: 1001, done: 1000 },
  { step: 'drop.chunk', next: 'store.abandoned>store.committed', folder: 'Spam', count: 1001, done: 1000 },
];

t.test('drop: a MOVE without an answer did all or nothing of each message, and is sent again', async (t) => {
  let number = 0;
  for (const { step, next, folder, count = 3, done } of moves)
    await t.test(`${step}${next ? `, then ${next}` : ''}, ${count} onto ${folder}`, async (t) => {
      const tag = `move${++number}`;
      await hold(tag, count);
      await startFor(step);
      const uids = (await asClient((reader) => reader.uids(`${tag}-`))) ?? [];
      t.equal(uids.length, count);
      const answer = await asClient((reader) => reader.put('MOVE', uids, folder));
      t.equal(answer, undefined, 'no answer');
      await diedAt(t, step, next);

      const found = await audit.settled(t, `${tag}-`);
      const there = [...found.values()].filter(({ entry }) => entry.state === 'held');
      t.equal(there.length, count - done, `${count - done} stand as before`);
      const left = (await asClient((reader) => reader.uids(`${tag}-`))) ?? [];
      t.strictSame(
        left,
        there.map(({ entry }) => entry.uid).sort((a, b) => a! - b!),
        'under their old UIDs',
      );
      t.strictSame(
        left.filter((uid) => !uids.includes(uid)),
        [],
      );

      const said = await asClient((reader) => reader.put('MOVE', uids, folder));
      t.match(said, { status: 'OK' });
      const after = await audit.settled(t, `${tag}-`);
      t.strictSame(states(after), [dropped[folder]!], 'all are where they were put');
      const delivers = folder.startsWith('Release');
      t.equal(copiesOf(`${tag}-`).length, delivers ? count : 0);
      t.equal(new Set(copiesOf(`${tag}-`).map(({ id }) => id)).size, delivers ? count : 0, 'each once');
    });
});

const copies: readonly DropCase[] = [
  { step: 'store.committing:drops.take', folder: 'Release', done: 0 },
  { step: 'store.committed:drops.take', folder: 'Release', done: 3 },
  { step: 'imap.answering:COPY', folder: 'Release', done: 3 },
  { step: 'store.committing:drops.take', folder: 'Spam', done: 0 },
  { step: 'imap.answering:COPY', folder: 'Spam', done: 3 },
  { step: 'store.committed:drops.take@2', folder: 'Release', count: many, done: 0 },
  { step: 'store.committing:drops.take@3', folder: 'Spam', count: many, done: 0 },
  { step: 'drop.chunk@2', next: 'store.abandoned>store.committing', folder: 'Release', count: many, done: 0 },
  { step: 'drop.chunk@2', next: 'store.abandoned@2>store.committed', folder: 'Spam', count: many, done: 0 },
];

t.test('drop: a COPY without an answer did all or nothing', async (t) => {
  const mails = await hold('copy', many);
  let number = 0;
  for (const { step, next, folder, count = 3, done } of copies)
    await t.test(`${step}${next ? `, then ${next}` : ''}, ${count} onto ${folder}`, async (t) => {
      const tag = count === many ? 'copy' : `copy${++number}`;
      if (count !== many) await hold(tag, count);
      await startFor(step);
      const uids = (await asClient((reader) => reader.uids(`${tag}-`))) ?? [];
      t.equal(uids.length, count);
      t.equal(await asClient((reader) => reader.put('COPY', uids, folder)), undefined, 'no answer');
      await diedAt(t, step, next);

      await takenBack(t);
      const found = await audit.settled(t, `${tag}-`);
      const marked = [...found.values()].filter(({ jobs }) => jobs.some(({ state }) => state === 'done'));
      t.equal(marked.length, done, done === 0 ? 'nothing of it is left' : 'all of it was done');
      if (folder === 'Release') t.equal(copiesOf(`${tag}-`).length, done);
      if (done > 0) return;
      t.strictSame(states(found), ['held caught']);
      const flags = await asClient((reader) => reader.client.ok('UID SEARCH OR KEYWORD $Releasing KEYWORD $Trained'));
      t.notOk(
        uids.some((uid) => flags?.join().split(/[ ,]/).includes(String(uid))),
        'no mark is left',
      );
      t.strictSame(await asClient((reader) => reader.uids(`${tag}-`)), uids, 'under the old UIDs');
      if (count === many) return;
      const said = await asClient((reader) => reader.put('COPY', uids, folder));
      t.match(said, { status: 'OK' });
      const after = await audit.settled(t, `${tag}-`);
      t.ok([...after.values()].every(({ jobs }) => jobs.some(({ state }) => state === 'done')));
      if (folder === 'Release') t.equal(copiesOf(`${tag}-`).length, count, 'now each once');
    });
  t.equal(mails.length, many);
});

/** Nothing says to the outside that a drop was rolled back; whoever runs the housekeeping does it in a moment. */
async function takenBack(t: Test): Promise<void> {
  const deadline = performance.now() + 20_000;
  const open = async () => (await faultsOf(server.storeUrl)).filter((fault) => fault.includes('unsealed'));
  while ((await open()).length > 0 && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 50));
  t.strictSame(await open(), [], 'no drop is left open');
}

t.test('drop: APPEND onto Spam, undo, EXPUNGE', async (t) => {
  const strange = (name: string) => Buffer.from(`Subject: ${name}\r\n\r\nA spam from elsewhere.\r\n`);
  for (const step of [
    'store.committing:drops.appendForTraining',
    'store.committed:drops.appendForTraining',
    'imap.answering:APPEND',
  ])
    await t.test(`APPEND onto Spam: ${step}`, async (t) => {
      await startFor(step);
      t.equal(await asClient((reader) => reader.append('Spam', strange(step))), undefined, 'no answer');
      await endedAt(t, step);
      await again(t, 0);
      t.equal((await asClient((reader) => reader.append('Spam', strange(step))))?.status, 'OK');
      await audit.settled(t, 'none');
      t.equal(await trainingsOf(strange(step)), 1, 'learned once');
    });

  await t.test('APPEND onto Release: imap.answering:APPEND', async (t) => {
    const step = 'imap.answering:APPEND';
    const [mail] = await hold('append', 1);
    await startFor(step);
    t.equal(await asClient((reader) => reader.append('Release', mail!.tried[0]!)), undefined, 'no answer');
    await diedAt(t, step);
    await audit.settled(t, 'append-');
    // Bytes alone name only what is held (DESIGN §7.10), and this is on its way or delivered.
    t.match(await asClient((reader) => reader.append('Release', mail!.tried[0]!)), {
      status: 'NO',
      text: /^\[CANNOT\]/,
    });
    await audit.settled(t, 'append-');
    t.equal(copiesOf('append-').length, 1);
  });

  let number = 0;
  for (const step of ['store.committing:drops.undo', 'store.committed:drops.undo', 'imap.answering:MOVE@2'])
    await t.test(`undo: ${step}`, async (t) => {
      const tag = `undo${++number}`;
      const env = { LAZARET_RELEASE_UNDO_SECONDS: '40' };
      await hold(tag, 3);
      await startFor(step, env);
      const pairs: Pairs | undefined = await asClient(
        async (reader) => (await reader.put('MOVE', await reader.uids(`${tag}-`), 'Release')).pairs,
      );
      const to = pairs?.to ?? [];
      t.equal(to.length, 3);
      t.equal(await asClient((reader) => reader.put('MOVE', to, 'Caught'), 'Release'), undefined, 'no answer');
      await endedAt(t, step);
      await server.start({ env });
      t.equal((await asClient((reader) => reader.put('MOVE', to, 'Caught'), 'Release'))?.status, 'OK');
      t.strictSame(states(await audit.settled(t, `${tag}-`)), ['held caught']);
      await server.kill();
      await again(t, leasesMs); // long after the window
      t.strictSame(states(await audit.settled(t, `${tag}-`)), ['held caught'], 'once each, in Caught');
      t.equal(copiesOf(`${tag}-`).length, 0, 'nothing was delivered');
    });

  for (const step of ['store.committing:entries.expunge', 'store.committed:entries.expunge'])
    await t.test(`EXPUNGE: ${step}`, async (t) => {
      const tag = `expunge${++number}`;
      await hold(tag, 3);
      await startFor(step);
      const expunge = async (reader: Reader) => {
        const uids = await reader.uids(`${tag}-`);
        if (uids.length > 0) await reader.client.ok(`UID STORE ${uids.join()} +FLAGS.SILENT (\\Deleted)`);
        return reader.client.says('EXPUNGE');
      };
      t.equal(await asClient(expunge), undefined, 'no answer');
      await endedAt(t, step);
      await again(t, 0);
      const [state] = states(await audit.now(t, `${tag}-`));
      t.equal(state, step.includes('committed') ? 'discarded trash' : 'held caught');
      t.equal((await asClient(expunge))?.status, 'OK');
      t.strictSame(states(await audit.now(t, `${tag}-`)), ['discarded trash']);
    });
});

/** How many times these bytes were learned. */
const trainingsOf = (bytes: Buffer): Promise<number> => jobsDoneOn(server.storeUrl, bytes);

// ----------------------------------------------------------------------------------------------------------- delivery

const deliveries: readonly { step: string; copies: number | 'one or two'; refused?: boolean }[] = [
  // Not the first claim, which finds nothing at the start.
  { step: 'store.committed:drops.take>store.committing:jobs.claim', copies: 1 },
  { step: 'store.committed:drops.take>store.committed:jobs.claim', copies: 1 },
  { step: 'job.claimed:deliver', copies: 1 },
  { step: 'delivery.connected', copies: 1 },
  { step: 'delivery.sending', copies: 1 },
  { step: 'delivery.ending', copies: 1 },
  { step: 'delivery.ended', copies: 'one or two' },
  { step: 'delivery.answered', copies: 2 },
  { step: 'job.ended:deliver', copies: 2 },
  { step: 'store.committing:jobs.finish', copies: 2 },
  { step: 'store.committed:jobs.finish', copies: 1 },
  { step: 'job.recorded:deliver', copies: 1 },
  { step: 'delivery.answered', copies: 0, refused: true },
  { step: 'store.committing:jobs.finish', copies: 0, refused: true },
  { step: 'store.committed:jobs.finish', copies: 0, refused: true },
];

t.test('row 7: delivery: at least once, twice only between the 250 and our record', async (t) => {
  let number = 0;
  for (const { step, copies, refused = false } of deliveries)
    await t.test(`${step}${refused ? ', refused' : ''}`, async (t) => {
      const tag = `deliver${++number}`;
      if (refused) sink.options = { behave: ({ phase }) => (phase === 'end' ? '550 5.7.1 No' : undefined) };
      await hold(tag, 1);
      await startFor(step);
      await asClient(async (reader) => reader.put('MOVE', await reader.uids(`${tag}-`), 'Release'));
      await diedAt(t, step);
      const uids = await asClient((reader) => reader.uids(`${tag}-`));
      if (!refused && uids?.length) t.fail('the MOVE was undone by the crash');
      const found = await audit.settled(t, `${tag}-`);
      sink.options = {};
      const got = copiesOf(`${tag}-`);
      if (copies === 'one or two') t.ok(got.length === 1 || got.length === 2, `${got.length} copies`);
      else t.equal(got.length, copies, `${copies} copies`);
      t.ok(new Set(got.map(({ resentMessageId }) => resentMessageId)).size <= 1, 'the same Resent-Message-ID');
      if (got.length === 2)
        t.equal(...(got.map(unsigned) as [string, string]), 'the same octets, but for the signature of each try');
      t.strictSame(states(found), [refused ? 'held caught' : 'released -']);
      if (!refused) return;
      const failed = await asClient((reader) =>
        reader.client.ok(`UID SEARCH KEYWORD $ReleaseFailed SUBJECT "${tag}-"`),
      );
      // An alert about it may come before or behind it.
      const line = failed?.find((said) => said.startsWith('* SEARCH'));
      t.match(line, /^\* SEARCH \d+$/, 'it is back once, and says so');
    });
});

t.test(
  'delivery: a released copy leaves, whenever the server dies; a message that is handed back returns once',
  async (t) => {
    let number = 0;
    for (const step of ['store.leaving>store.committing', 'store.leaving>store.committed'])
      await t.test(step, async (t) => {
        const tag = `leave${++number}`;
        await hold(tag, 3);
        t.equal(
          (await asClient(async (reader) => reader.put('COPY', await reader.uids(`${tag}-`), 'Release')))?.status,
          'OK',
        );
        t.strictSame(states(await audit.settled(t, `${tag}-`)), ['released caught'], 'delivered, and still there');
        await server.kill();
        server.clockOffsetMs += leasesMs;
        await server.start({ killAt: step });
        await endedAt(t, step);
        await again(t, 0);
        const deadline = performance.now() + 10_000;
        while ((await asClient((reader) => reader.uids(`${tag}-`)))?.length && performance.now() < deadline);
        t.strictSame(states(await audit.settled(t, `${tag}-`)), ['released -'], 'gone from view');
        t.equal(copiesOf(`${tag}-`).length, 3);
      });

    for (const step of ['store.committing:entries.admit', 'store.committed:entries.admit', 'intake.admitted'])
      await t.test(`handed back: ${step}`, async (t) => {
        const tag = `back${++number}`;
        const [mail] = await hold(tag, 1);
        await asClient(async (reader) => reader.put('MOVE', await reader.uids(`${tag}-`), 'Release'));
        await audit.settled(t, `${tag}-`);
        const [copy] = copiesOf(`${tag}-`);
        await startFor(step);
        const handBack = async () => {
          const client = await LmtpClient.connect(server.ports.lmtp);
          try {
            return await client.send('spam@elsewhere.example', mail!.recipients, copy!.message.bytes);
          } finally {
            client.close();
          }
        };
        await t.rejects(handBack(), /closed/, 'no reply');
        await endedAt(t, step);
        await again(t, 0);
        t.match((await handBack())[0], /^250 /);
        const found = await audit.settled(t, `${tag}-`);
        t.strictSame(states(found), ['held caught'], 'one entry, in Caught again');
        const [entry] = found.values();
        t.match(entry!.entry.prefix, /handed it back/);
        t.equal(entry!.stays.filter(({ folder }) => folder === 'caught').length, 2, 'under one new UID');
      });
  },
);

// -------------------------------------------------------------------------------------------------------------- clock

t.test('row 39: the clock goes back an hour over a crash, and numbers still only grow', async (t) => {
  const before = await asClient((reader) => reader.select('Caught'));
  await audit.now(t);
  const highest = audit.highestUid;
  await server.kill();
  await again(t, -3600_000);
  const now = await asClient((reader) => reader.select('Caught'));
  t.strictSame(now, before, 'a restart changes no number');
  const tag = 'clock';
  const [mail] = await hold(tag, 1);
  t.match((await mta.send(mail!))[0], /\(again\)/, 'a repeat is known');
  const [uid] = (await asClient((reader) => reader.uids(`${tag}-`))) ?? [];
  t.ok(uid! > highest, `${uid} is larger than ${highest}`);
  const after = await asClient((reader) => reader.select('Caught'));
  t.ok(after!.modSeq > before!.modSeq && after!.uidNext > before!.uidNext);
  t.equal((await asClient((reader) => reader.put('MOVE', [uid!], 'Release')))?.status, 'OK');
  t.strictSame(states(await audit.settled(t, `${tag}-`)), ['released -']);
  t.equal(copiesOf(`${tag}-`).length, 1);
  server.clockOffsetMs += 3600_000;
});

t.test('row 1: at the end everything is there, and the file is sound', async (t) => {
  await server.kill();
  await again(t, 25 * 3600_000); // whatever was left half sent is swept
  const found = await audit.settled(t);
  t.equal(
    found.size,
    [...mta.sent.values()].reduce((sum, { recipients }) => sum + recipients.length, 0),
  );
  for (const { entry, mail } of found.values())
    if (!found.has(keyOf(mail.id, entry.recipient))) t.fail(`${mail.id} is missing`);
  t.strictSame(await faultsOf(server.storeUrl), []);
  const times = [...server.startTimesMs].sort((a, b) => a - b);
  t.comment(`${times.length} starts: median ${times[times.length >> 1]} ms, slowest ${times.at(-1)} ms`);
});
