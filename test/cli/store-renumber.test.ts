/** `lazaret store copy --renumber`: as a mail client sees it, and what goes on afterwards. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import t, { type Test } from 'tap';
import { openStore } from '#store/open';
import * as d from '../store/dropping.ts';
import type { ImapClient } from '../support/imap-client.ts';
import { freshDatabase, hasMongo, howToHaveIt } from '../support/mongod.ts';
import { fill, inStore, places, withClient } from './store-world.ts';
import { type World, world } from './world.ts';

interface Seen {
  readonly uidValidity: number;
  readonly uidNext: number;
  readonly uids: readonly number[];
  /** Flags, envelopes and octets, in the order of the messages. */
  readonly messages: readonly string[];
}

async function seen(client: ImapClient, folder: string): Promise<Seen> {
  const selected = (await client.ok(`SELECT ${folder}`)).join('\n');
  const fetched = /^\* 0 EXISTS/m.test(selected) ? [] : await client.ok('UID FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])');
  return {
    uidValidity: Number(/UIDVALIDITY (\d+)/.exec(selected)?.[1]),
    uidNext: Number(/UIDNEXT (\d+)/.exec(selected)?.[1]),
    uids: fetched.map((line) => Number(/\bUID (\d+)/.exec(line)?.[1])),
    messages: fetched.map((line) => withoutNumbers(line)),
  };
}

/** But for the message's number: the id above it is a UID, and its digits count. */
const withoutNumbers = (line: string): string =>
  line.replace(/UID \d+ ?|\{\d+\}/g, '').replace(/(?<=^X-Lazaret-Id: )\d+/m, '');

const folders = ['INBOX', 'Caught', 'Trash', 'Release'];
const allSeen = async (client: ImapClient): Promise<Seen[]> => {
  const all = [];
  for (const folder of folders) all.push(await seen(client, folder));
  return all;
};

/** A store of which three billion UIDs were given out. */
async function anOldOne(t: Test, w: World): Promise<string> {
  mkdirSync(dirname(w.store), { recursive: true });
  await inStore(w.store, async () => {});
  const db = new DatabaseSync(w.store);
  db.exec('UPDATE counters SET last_uid = 3000000000');
  db.close();
  await fill(w.store);
  const { from } = places(w);
  await withClient(t, w, from, async (client) => {
    await client.ok('SELECT INBOX');
    await client.ok('STORE 1 +FLAGS (\\Seen \\Flagged)');
  });
  return from;
}

const kinds: Readonly<Record<string, (t: Test, w: World) => Promise<string> | string>> = {
  SQLite: (_, w) => places(w).to,
  MongoDB: (t) => freshDatabase(t),
};

for (const [kind, place] of Object.entries(kinds)) {
  const skip = kind === 'MongoDB' && !hasMongo() && !process.env.CI && howToHaveIt;
  t.test(
    `renumbered into ${kind}: the same mail under another UIDVALIDITY, and it can be released`,
    { skip },
    async (t) => {
      const w = world(t);
      const from = await anOldOne(t, w);
      const to = await place(t, w);
      const before = await withClient(t, w, from, allSeen);
      const copied = await w.run('store', 'copy', from, to, '--renumber');
      t.match(copied, { code: 0, err: /^UIDs were given anew, under the UIDVALIDITY \d+/m });
      t.match(copied.out, /messages +6 +6 +[0-9a-f]{16} +the same/);
      t.notMatch(copied.out, /differs|changes/);

      const after = await withClient(t, w, to, allSeen);
      for (const [at, is] of after.entries()) {
        const was = before[at]!;
        t.ok(is.uidValidity > was.uidValidity, `another UIDVALIDITY in ${folders[at]}`);
        t.strictSame(is.messages, was.messages, 'the same messages, in the same order, with their flags');
        t.strictSame(
          is.uids,
          [...is.uids].sort((a, b) => a - b),
        );
        t.ok(is.uids.every((uid) => uid < 100) && was.uids.every((uid) => uid > 3e9));
        t.ok(is.uidNext > (is.uids.at(-1) ?? 0) && is.uidNext < 100);
      }
      t.ok(
        before[0]!.messages[0]!.includes('\\Flagged') && before[1]!.uids.length > 1,
        'there was something to compare',
      );

      const uid = after[1]!.uids.at(-1)!;
      await withClient(t, w, to, async (client) => {
        const onto = async (number: number, folder: string): Promise<number> => {
          const said = (await client.ok(`UID MOVE ${number} ${folder}`)).join('\n');
          return Number(new RegExp(`COPYUID ${after[1]!.uidValidity} ${number} (\\d+)\\]`).exec(said)?.[1]);
        };
        await client.ok('SELECT Caught');
        const there = await onto(uid, 'Release');
        await client.ok('SELECT Release');
        const back = await onto(there, 'Caught');
        t.ok(uid < there && there < back, 'dropped, and undone');
        await client.ok('SELECT Caught');
        t.ok((await onto(back, 'Release')) > back, 'and dropped again');
      });
      const store = await openStore(to, {});
      const entry = await store.entries.byUid(uid as never);
      t.equal(await d.stands(store, entry!.id), 'dropped none -');
      const unfinished = (await store.entries.history(entry!.id))!.jobs.filter(({ state }) => state === 'ready');
      t.match(unfinished, [{ step: 'deliver', key: `${entry!.dropId}/${entry!.id}/deliver` }]);
      await store.close();
    },
  );
}
