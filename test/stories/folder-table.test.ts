/** Every cell of the folder table (DESIGN §1), by every command, in every scope. */
import t from 'tap';
import { No } from '#imap/errors';
import { adasScopes, answerOf, buildHouse, flagsOf, inPieces, shownText, uidsOf } from '../mailbox/house.ts';
import { after, commands, give, lyingIn, names, readable, table } from './cells.ts';

// One store for all: each cell has a message of its own.
const house = await buildHouse(t);

for (const user of adasScopes)
  for (const source of ['INBOX', ...readable] as const)
    t.test(`${user}: out of ${source}, onto every folder, by every command`, async (t) => {
      for (const target of names)
        for (const command of commands) {
          const cell = `${command} ${source} to ${target}`;
          const home = source === 'Trash' && (readable as readonly string[]).includes(target) ? target : 'Caught';
          const isHelp = source === 'INBOX';
          const entry = isHelp ? undefined : await lyingIn(house, source, home === 'Trash' ? 'Caught' : home);
          const from = await house.open(user, source);
          const uid = entry?.uid ?? uidsOf(from)[0]!;
          const wanted = table[source][target];
          const answer = await give(command, from, [uid], target);

          if (wanted === undefined) {
            t.ok(answer instanceof No, `${cell} is refused`);
            t.match(answer, { code: 'CANNOT', message: /^[A-Z].{15,}[^.]$/ }, cell);
            t.ok(uidsOf(from).includes(uid), `${cell} leaves it where it is`);
            if (entry) t.strictSame(await house.entry(entry.id), entry, `${cell} changes nothing`);
            from.close();
            continue;
          }
          if (answer instanceof No || !entry) {
            t.fail(`${cell}: ${answer instanceof No ? answer.message : 'no entry'}`);
            continue;
          }
          const now = await house.entry(entry.id);
          const copied = command.endsWith('COPY') && wanted !== 'discard' && wanted !== 'restore' && source !== 'Trash';
          t.strictSame(answer.copyUid?.from, [uid], `${cell} answers COPYUID`);
          t.equal(answer.copyUid?.uidValidity, house.store.uidValidity);
          t.ok(answer.copyUid!.to[0]! > uid);
          t.equal(uidsOf(from).includes(uid), copied, `${cell}: in the view`);
          t.strictSame(answer.left, command.endsWith('MOVE') ? [uid] : [], `${cell}: told at once`);
          const training = wanted.startsWith('train');
          if (copied) {
            t.equal(now.uid, uid);
            t.equal(now.state, training ? 'held' : 'dropped', cell);
            t.match(flagsOf(from, uid), training ? '$Trained' : '$Releasing', `${cell} says so`);
          } else if (wanted === 'restore') {
            t.match(now, { state: 'held', uid: answer.copyUid!.to[0]!, prefix: entry.prefix }, cell);
          } else t.match({ state: now.state, folder: now.folder }, after[wanted]!, cell);
          const steps = wanted.split(' ').filter((word) => word !== 'discard' && word !== 'restore');
          t.strictSame(
            await house.jobs(entry.id),
            steps.map((step) => `${step} ready`),
            `${cell} queues its jobs`,
          );
          from.close();
        }
    });

t.test('APPEND onto every folder', async (t) => {
  for (const user of adasScopes) {
    const session = await house.login(user);
    for (const folder of names) {
      const stranger = Buffer.from(`From: x@y.example\r\nSubject: for ${folder}\r\n\r\nHello ${folder}\r\n`);
      const put = async (bytes: Uint8Array) => {
        const take = await session.append({ folder, size: bytes.length, flags: [] });
        return take(inPieces(bytes));
      };
      const before = (await house.store.jobs.counts()).ready;
      const answer = await answerOf(put(stranger));
      if (folder === 'Spam' || folder === 'Not Spam') {
        t.strictSame(answer, {}, `${folder} takes any message, and gives it no UID`);
        const { ready } = await house.store.jobs.counts();
        t.equal(ready - before, 1, `${folder}: one job`);
        await put(stranger);
        t.equal((await house.store.jobs.counts()).ready, ready, 'the same again: none');
        continue;
      }
      t.match(answer, { code: 'CANNOT', message: /\w{3} / }, `a stranger's message onto ${folder} (row 27)`);
      if (folder !== 'Release' && folder !== 'Release & Train') {
        const refused = await answerOf(session.append({ folder, size: 10, flags: [] }));
        t.match(refused, { code: 'CANNOT' }, 'refused before the bytes are sent');
        continue;
      }

      const entry = await house.hold();
      const from = await house.open(user, 'Caught');
      const shown = Buffer.from(await shownText(from, entry.uid), 'latin1');
      const held = await answerOf(put(shown));
      t.match(held, { uid: { uidValidity: house.store.uidValidity, uid: Number } }, `${folder} takes what was shown`);
      await from.refresh();
      t.equal(flagsOf(from, entry.uid), '$Releasing', 'acts as COPY');
      t.strictSame(
        await house.jobs(entry.id),
        folder === 'Release' ? ['deliver ready'] : ['deliver ready', 'train-ham ready'],
      );
      t.strictSame(await answerOf(put(shown)), held, 'again: the same UID, and nothing new');

      const stored = await house.hold();
      await from.refresh();
      const raw = Buffer.from(await shownText(from, stored.uid), 'latin1').subarray(stored.prefix.length);
      const strange = Buffer.concat([Buffer.from(stored.prefix), raw.subarray(0, -3), Buffer.from('!\r\n')]);
      t.match(await answerOf(put(strange)), { code: 'CANNOT' }, 'not with another octet in it');
      const foreign = Buffer.concat([Buffer.from(stored.prefix.replace('spam', 'ham!')), raw]);
      t.match(await answerOf(put(foreign)), { code: 'CANNOT' }, 'nor with other lines of ours above it');
      t.equal((await house.entry(stored.id)).state, 'held');
      t.match(
        await answerOf(put(raw.subarray(0, -2))),
        { uid: { uid: Number } },
        'the stored bytes, but the last CRLF',
      );
      t.equal((await house.entry(stored.id)).state, 'dropped');
    }
  }
});
