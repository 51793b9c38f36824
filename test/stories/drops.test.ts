/** What drops do and undo, by the rules of DESIGN §7.5 to §7.10, as a client would meet them. */
import t from 'tap';
import type { Transferred } from '#imap/backend';
import { No } from '#imap/errors';
import {
  ada,
  adasScopes,
  allOf,
  answerOf,
  ben,
  buildHouse,
  bySequence,
  byUid,
  flagsOf,
  inPieces,
  pairsOf,
  quiet,
  shownText,
  uidsOf,
} from '../mailbox/house.ts';
import { after, give, lyingIn, readable, table } from './cells.ts';

t.test('undo: out of the action folder, back to where it came from', async (t) => {
  const house = await buildHouse(t);
  for (const user of adasScopes)
    for (const target of ['Release', 'Release & Train', 'Spam', 'Not Spam'] as const)
      for (const command of ['COPY', 'UID MOVE'] as const) {
        const cell = `${user}: ${command} onto ${target}, and back`;
        const entry = await house.hold({ flags: ['\\Seen', '\\Flagged'] });
        const from = await house.open(user, 'Caught');
        const dropped = (await give(command, from, [entry.uid], target)) as Transferred;
        const there = await house.open(user, target);
        t.equal(there.view.count, 0);
        t.ok(there.permanentFlags.includes('\\Deleted') && there.permanentFlags.includes('\\*'));
        const uid = dropped.copyUid!.to[0]!;
        t.equal(there.view.uidNext, uid + 1);

        const wrong = await there.move(byUid(there, uid), 'Caught (Outgoing)', quiet);
        t.strictSame(wrong, { left: [] }, `${cell}: not to another folder`);
        t.strictSame(await there.move(byUid(there, uid), 'Trash', quiet), { left: [] });
        t.strictSame(await there.copy(byUid(there, uid), 'Caught', quiet), { left: [] });
        t.strictSame(await there.move(bySequence(), 'Caught', quiet), { left: [] });
        t.strictSame(await there.store(byUid(there, uid), { op: 'remove', flags: ['\\Deleted'] }), { modified: [] });

        const undone =
          command === 'COPY'
            ? await there.store(byUid(there, uid), { op: 'add', flags: ['\\Deleted', '\\Seen'] })
            : await there.move(byUid(there, uid, 4_000_000), 'Caught', quiet);
        t.strictSame(undone.copyUid?.from, [uid], cell);
        const now = await house.entry(entry.id);
        t.match(now, { state: 'held', uid: undone.copyUid!.to[0]!, folder: 'caught', prefix: entry.prefix }, cell);
        t.strictSame([...new Set((await house.jobs(entry.id)).map((job) => job.split(' ')[1]))], ['cancelled']);
        t.equal(there.view.count, 0);
        t.notOk(uidsOf(from).includes(entry.uid), `${cell}: the old UID is gone`);
        t.equal(flagsOf(from, now.uid!), '\\Flagged', `${cell}: the others flags are kept`);
        t.strictSame(await there.move(byUid(there, uid), 'Caught', quiet), { left: [] }, `${cell}: again does nothing`);
      }

  t.test('what was put on Spam or Not Spam out of Trash goes back there, as it was', async (t) => {
    for (const [target, command] of [
      ['Spam', 'UID MOVE'],
      ['Not Spam', 'UID COPY'],
    ] as const) {
      const entry = await lyingIn(house, 'Trash');
      const trash = await house.open(ada, 'Trash');
      const dropped = (await give(command, trash, [entry.uid], target)) as Transferred;
      const there = await house.open(ada, target);
      const uid = dropped.copyUid!.to[0]!;
      t.strictSame(await there.move(byUid(there, uid), 'Caught', quiet), { left: [] }, 'it did not come from Caught');
      const undone = await there.move(byUid(there, uid), 'Trash', quiet);
      t.strictSame(undone.copyUid?.from, [uid], `${command} onto ${target}, and back`);
      t.match(await house.entry(entry.id), { state: 'discarded', folder: 'trash', uid: undone.copyUid!.to[0]! });
      t.ok((await house.jobs(entry.id)).every((job) => job.endsWith('cancelled')));
    }
  });

  t.test('too late, somebody else, read only', async (t) => {
    const [one, two] = [await house.hold(), await house.hold()];
    const from = await house.open(ada, 'Caught');
    const dropped = (await give('UID MOVE', from, [one.uid, two.uid], 'Release')) as Transferred;
    const uids = dropped.copyUid!.to;
    const readOnly = await house.open(ada, 'Release', true);
    t.match(await answerOf(readOnly.move(byUid(readOnly, ...uids), 'Caught', quiet)), { code: 'CANNOT' });
    for (const other of ['global', 'harbour.example', ben]) {
      const there = await house.open(other, 'Release');
      t.strictSame(await there.move(byUid(there, ...uids), 'Caught', quiet), { left: [] }, `${other} did not drop it`);
    }
    house.advance(10_000);
    await house.store.housekeep();
    const [claimed] = await house.store.jobs.claim({ steps: ['deliver'], limit: 1, leaseMs: 60_000 });
    t.equal(claimed!.entryId, one.id);
    const there = await house.open(ada, 'Release');
    const undone = await there.move(byUid(there, ...uids), 'Caught', quiet);
    t.match(undone.refusal, { code: 'CANNOT', message: '1 of 2 was already on its way' });
    t.strictSame(undone.copyUid?.from, [uids[1]], 'the other one is back, also after the window');
    t.equal((await house.entry(one.id)).state, 'dropped');
  });
});

t.test('out of Trash only to the folder it came from', async (t) => {
  const house = await buildHouse(t);
  const [mine, asked] = [await lyingIn(house, 'Trash'), await lyingIn(house, 'Trash', 'Training Requested')];
  const trash = await house.open(ada, 'Trash');
  const moved = await trash.move(byUid(trash, mine.uid, asked.uid), 'Caught', quiet);
  t.match(moved.refusal, { code: 'CANNOT', message: '1 of 2 came from another folder and can only go back there' });
  t.strictSame(moved.left, [mine.uid]);
  const copied = await answerOf(trash.copy(byUid(trash, asked.uid), 'Caught', quiet));
  t.match(copied, { code: 'CANNOT', message: 'The message came from another folder and can only go back there' });
  t.equal((await house.entry(mine.id)).folder, 'caught');
  t.equal((await house.entry(asked.id)).folder, 'trash');
  // Restored and discarded again it is there in all scopes, whoever had expunged it before (DESIGN §7.8).
  const global = await house.open('global', 'Trash');
  await global.expunge([asked.uid]);
  await trash.refresh();
  t.notOk(uidsOf(global).includes(asked.uid));
  t.ok(uidsOf(trash).includes(asked.uid), "an EXPUNGE in Trash is one level's affair");
  const back = await trash.move(byUid(trash, asked.uid), 'Training Requested', quiet);
  const training = await house.open(ada, 'Training Requested');
  await training.move(byUid(training, back.copyUid!.to[0]!), 'Trash', quiet);
  await global.refresh();
  t.ok(uidsOf(global).includes((await house.entry(asked.id)).uid!));
});

t.test('Outlook: COPY, \\Deleted, EXPUNGE is the action and nothing else', async (t) => {
  const house = await buildHouse(t);
  for (const user of adasScopes)
    for (const source of ['Caught', 'Caught (Outgoing)', 'Training Requested'] as const)
      for (const target of ['Release', 'Release & Train', 'Spam', 'Not Spam', 'Trash'] as const) {
        const wanted = table[source][target];
        if (wanted === undefined) continue;
        const cell = `${user}: ${source} to ${target}`;
        const entry = await lyingIn(house, source);
        const from = await house.open(user, source);
        await give('UID COPY', from, [entry.uid], target);
        const jobs = await house.jobs(entry.id);
        const deleted = { op: 'add', flags: ['\\Deleted', '\\Seen'] } as const;
        t.strictSame(await from.store(bySequence(entry.uid), deleted), { modified: [] }, `${cell}: STORE is OK`);
        await from.expunge([entry.uid]);
        const now = await house.entry(entry.id);
        t.notOk(uidsOf(from).includes(entry.uid), cell);
        t.match({ state: now.state, folder: now.folder }, after[wanted]!, cell);
        t.strictSame(await house.jobs(entry.id), jobs, `${cell}: the jobs are as they were`);
        from.close();
      }
});

t.test('EXPUNGE alone discards', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  const from = await house.open('harbour.example', 'Caught');
  await from.store(bySequence(entry.uid), { op: 'add', flags: ['\\Deleted'] });
  await from.expunge([entry.uid]);
  t.match(await house.entry(entry.id), { state: 'discarded', folder: 'trash' });
  t.strictSame(uidsOf(from), []);
  t.strictSame(await house.jobs(entry.id), []);
});

t.test('a drop repeated after a lost answer is OK, with the same UIDs', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  for (const command of ['UID COPY', 'COPY', 'MOVE', 'UID MOVE'] as const) {
    const from = await house.open(ada, 'Caught');
    // This session saw the message before; the others of the account have dropped it since.
    const first = command === 'UID COPY';
    const answer = await give(command, from, [entry.uid], 'Release');
    t.notOk(answer instanceof No, command);
    t.equal(pairsOf(answer), `${entry.uid}>${entry.uid + 1}`, `${command} ${first ? 'gives' : 'gives again'} its UID`);
  }
  t.strictSame(await house.jobs(entry.id), ['deliver ready'], 'one delivery');

  const from = await house.open(ada, 'Caught');
  const again = { uids: [], ranges: [{ first: 1, last: 4_294_967_295 }] };
  t.equal(pairsOf(await from.move(again, 'Release', quiet)), `${entry.uid}>${entry.uid + 1}`, 'not in view any more');
  t.equal(pairsOf(await from.move(again, 'Spam', quiet)), '', 'another action is another matter');
  const global = await house.open('global', 'Caught');
  t.equal(pairsOf(await global.move(again, 'Release', quiet)), '', 'and so is another account');
  const late = { uids: [entry.uid] };
  t.match(await from.move(late, 'Trash', quiet), {
    refusal: { code: 'EXPUNGEISSUED', message: 'The message was already released elsewhere' },
  });
  await house.work(['deliver'], () => ({ kind: 'done', said: '250 ok', leaveAfterMs: 60_000 }));
  house.advance(10_000);
  await house.work(['deliver'], () => ({ kind: 'done', said: '250 ok', leaveAfterMs: 60_000 }));
  t.strictSame(await from.move(again, 'Release', quiet), { left: [] }, 'done long ago: OK, nothing to undo');
});

t.test('nobody knows whom to deliver it to', async (t) => {
  const house = await buildHouse(t);
  const nobodys = await house.hold({ owner: '', recipient: '' });
  const known = await house.hold();
  const from = await house.open('global', 'Caught');
  const moved = await from.move(bySequence(nobodys.uid, known.uid), 'Release', quiet);
  t.match(moved.refusal, { code: 'CANNOT', message: '1 of 2 cannot be released: nobody knows whom to deliver it to' });
  t.strictSame(moved.left, [known.uid]);
  t.strictSame(uidsOf(from), [nobodys.uid]);
  for (const user of ['harbour.example', ada]) t.strictSame(uidsOf(await house.open(user, 'Caught')), []);
});

t.test('a release that fails for good comes back, and its account is told once', async (t) => {
  const house = await buildHouse(t);
  const held = [await house.hold(), await house.hold(), await house.hold()];
  const session = await house.login(ada);
  const from = await session.open('Caught', false);
  await from.move(bySequence(held[0]!.uid, held[1]!.uid), 'Release', quiet);
  await from.copy(bySequence(held[2]!.uid), 'Release & Train', quiet);
  // Those that fail together are told together; how many that are depends on how fast this machine is.
  const told: string[] = [];
  let count = 0;
  const allTold = new Promise<void>((resolve) => {
    session.onNotice((sentence) => {
      told.push(sentence);
      count += Number(/^(\d+) messages could not be delivered/.exec(sentence)?.[1] ?? 1);
      if (count >= 3) resolve();
    });
  });
  house.advance(10_000);
  const status = 'X-Lazaret-Id: {id}\r\nX-Lazaret-Reason: spam\r\nX-Lazaret-Status: 550 5.1.1 No such user\r\n';
  await house.work(['deliver'], (job) => ({
    kind: 'failed',
    said: '550 5.1.1 No such user',
    prefix: status,
    notice: `Offer ${job.entryId} was refused`,
  }));
  await from.refresh();
  t.equal(from.view.count, 3, 'the copied one, too, once');
  for (const { id, uid } of held) {
    const now = await house.entry(id);
    t.match(now, { state: 'held', folder: 'caught' });
    t.ok(now.uid! > uid, 'under a new UID');
    t.match(flagsOf(from, now.uid!), /\$ReleaseFailed/);
    t.match(await shownText(from, now.uid!), /^X-Lazaret-Status: 550 5\.1\.1 No such user\r$/m);
    t.notOk(uidsOf(from).includes(uid));
  }
  await allTold;
  t.equal(count, 3, 'each once');
  for (const sentence of told)
    t.match(sentence, /^(\d messages could not be delivered and are back .*: )?Offer \d+ was refused$/);

  const again = await from.move(bySequence(...uidsOf(from).slice(0, 1)), 'Release', quiet);
  t.equal(again.left.length, 1, 'and can be released again');
  house.advance(10_000);
  await house.work(['deliver'], () => ({ kind: 'failed', said: '550 no', prefix: status, notice: 'Refused again' }));
  session.close();
});

t.test('a notice waits for the next login', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  const from = await house.open(ada, 'Caught');
  await from.move(bySequence(entry.uid), 'Release', quiet);
  from.close();
  house.advance(10_000);
  await house.work(['deliver'], () => ({ kind: 'failed', said: '550 no', notice: 'It was refused' }));
  const other = await house.login('global');
  other.onNotice((sentence) => t.fail(`global was told ${sentence}`));
  const session = await house.login(ada);
  t.equal(await new Promise((resolve) => session.onNotice(resolve)), 'It was refused');
});

t.test('row 28: what another account holds does not exist', async (t) => {
  const house = await buildHouse(t);
  const theirs = await house.hold();
  const bens = await house.hold({ owner: ben, recipient: ben });
  const before = await house.entry(theirs.id);
  for (const user of [ben, 'quay.example']) {
    const session = await house.login(user);
    for (const folder of readable) {
      const mailbox = await session.open(folder, false);
      const none = 3_999_999_999; // a UID that nobody ever had
      for (const uid of [theirs.uid, none]) {
        // As a client that made the UID up would have it sent, in view or not.
        for (const targets of [byUid(mailbox, uid), { uids: [uid], ranges: [{ first: uid, last: uid }] }]) {
          const change = { op: 'add', flags: ['\\Seen', '$x'] } as const;
          t.strictSame(await mailbox.store(targets, change), { modified: [] }, `${user}: STORE`);
          t.strictSame(await allOf(mailbox.fetch([uid], { envelope: true })), [], `${user}: FETCH`);
          await mailbox.expunge([uid]);
          if (folder === 'Trash') continue;
          const guessed = targets.uids.length > 0;
          const moved = await mailbox.move(targets, 'Spam', quiet);
          t.strictSame(moved.left, [], `${user}: MOVE`);
          t.equal(moved.refusal?.message, guessed ? 'The message is no longer here' : undefined);
          const copied = await answerOf(mailbox.copy(targets, 'Spam', quiet));
          if (guessed) t.match(copied, { code: 'EXPUNGEISSUED', message: 'The message is no longer here' });
          else t.strictSame(copied, { left: [] });
        }
      }
    }
    t.strictSame(await house.entry(theirs.id), before, `${user} changed nothing`);
    t.strictSame(uidsOf(await session.open('Caught', false)), [bens.uid]);

    for (const name of [
      'user/ada@harbour.example',
      'ada@harbour.example',
      '../Caught',
      'Nowhere',
      'Other Users/x',
      '',
    ]) {
      const refusal = { code: 'NONEXISTENT', message: 'There is no such folder here' };
      t.match(await answerOf(session.status(name)), refusal, `STATUS ${name}`);
      t.match(await answerOf(session.open(name, false)), refusal, `SELECT ${name}`);
      t.match(await answerOf(session.append({ folder: name, size: 1, flags: [] })), { ...refusal, code: 'TRYCREATE' });
      const mailbox = await session.open('Caught', false);
      t.match(await answerOf(mailbox.copy(bySequence(), name, quiet)), { ...refusal, code: 'TRYCREATE' });
      t.match(await answerOf(mailbox.move(bySequence(), name, quiet)), { ...refusal, code: 'TRYCREATE' });
    }

    // What ada was shown, appended by somebody who has it from her.
    const hers = await house.open(ada, 'Caught');
    const shown = Buffer.from(await shownText(hers, theirs.uid), 'latin1');
    for (const bytes of [shown, shown.subarray(theirs.prefix.length)]) {
      const take = await session.append({ folder: 'Release', size: bytes.length, flags: [] });
      t.match(await answerOf(take(inPieces(bytes))), {
        code: 'CANNOT',
        message: 'It is not identical to a message held here, and nothing else can be released',
      });
    }
    t.strictSame(await house.entry(theirs.id), before);
  }
});

t.test('a message of several recipients is released for those who are named only', async (t) => {
  const house = await buildHouse(t);
  const raw = Buffer.from('Subject: for all\r\n\r\nHello\r\n');
  const eve = 'eve@harbour.example';
  const entries = await Promise.all([ada, eve].map((owner) => house.hold({ owner, recipient: owner, raw })));
  const session = await house.login('harbour.example');
  const put = async (bytes: Uint8Array) => {
    const take = await session.append({ folder: 'Release', size: bytes.length, flags: [] });
    return answerOf(take(inPieces(bytes)));
  };
  t.match(await put(raw), { code: 'CANNOT', message: /held here 2 times/ }, 'the bytes alone do not say whose');
  const from = await session.open('Caught', false);
  t.match(await put(Buffer.from(await shownText(from, entries[1]!.uid))), { uid: { uid: Number } });
  t.equal((await house.entry(entries[1]!.id)).state, 'dropped');
  t.equal((await house.entry(entries[0]!.id)).state, 'held');
  const own = await house.login(ada);
  const take = await own.append({ folder: 'Release', size: raw.length, flags: [] });
  t.match(await answerOf(take(inPieces(raw))), { uid: { uid: Number } }, 'in her scope there is one');
});

t.test('APPEND of what was shown, in whichever form it was shown', async (t) => {
  const house = await buildHouse(t);
  const session = await house.login(ada);
  const put = async (bytes: Uint8Array) => {
    const take = await session.append({ folder: 'Release', size: bytes.length, flags: [] });
    return answerOf(take(inPieces(bytes)));
  };
  // NUL may not stand in a literal, so clients have got 0x80 for it (DESIGN §7.7).
  const nul = await house.hold({ raw: Buffer.from('Subject: NUL\r\n\r\none \0 two \0\r\n') });
  const asShown = Buffer.from(`${nul.prefix}Subject: NUL\r\n\r\none \x80 two \x80\r\n`, 'latin1');
  t.match(await put(Buffer.from(asShown.toString('latin1').replace('\x80', '\x81'), 'latin1')), { code: 'CANNOT' });
  t.equal((await house.entry(nul.id)).state, 'held');
  t.match(await put(asShown), { uid: { uid: Number } });
  t.equal((await house.entry(nul.id)).state, 'dropped');

  // Kept elsewhere from before it failed: other lines of ours are above it now.
  const failed = await house.hold();
  const from = await house.open(ada, 'Caught');
  const before = Buffer.from(await shownText(from, failed.uid), 'latin1');
  await from.move(bySequence(failed.uid), 'Release', quiet);
  house.advance(10_000);
  const prefix = `${failed.prefix}X-Lazaret-Status: failed: 550\r\n`;
  await house.work(['deliver'], () => ({ kind: 'failed', said: '550', prefix }));
  t.match(await house.entry(failed.id), { state: 'held', prefix });
  t.match(await put(before), { uid: { uid: Number } });
});

t.test('APPEND of what is already on its way', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  const session = await house.login(ada);
  const from = await session.open('Caught', false);
  const shown = Buffer.from(await shownText(from, entry.uid), 'latin1');
  const put = async (folder: string) => {
    const take = await session.append({ folder, size: shown.length, flags: [] });
    return answerOf(take(inPieces(shown)));
  };
  await from.move(bySequence(entry.uid), 'Release', quiet);
  t.strictSame(await put('Release'), {}, 'the same action: OK, nothing more is done');
  const already = { code: 'CANNOT', message: /^It was already released, and only what is held here/ };
  t.match(await put('Release & Train'), already, 'another one');
  house.advance(10_000);
  await house.work(['deliver'], () => ({ kind: 'done', said: '250 ok', leaveAfterMs: 0 }));
  t.match(await put('Release'), already);
  t.equal((await house.jobs(entry.id)).length, 1);

  const [asked, discarded] = [await lyingIn(house, 'Training Requested'), await lyingIn(house, 'Trash')];
  for (const [folder, { uid }] of Object.entries({ 'Training Requested': asked, Trash: discarded })) {
    const bytes = Buffer.from(await shownText(await house.open(ada, folder), uid), 'latin1');
    const take = await session.append({ folder: 'Release', size: bytes.length, flags: [] });
    t.match(await answerOf(take(inPieces(bytes))), { code: 'CANNOT', message: new RegExp(`It lies in ${folder}`) });
  }
});

t.test('what was copied onto Release and then moved onto Trash only leaves the view', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  const from = await house.open(ada, 'Caught');
  await from.copy(bySequence(entry.uid), 'Release', quiet);
  t.strictSame(await from.move(bySequence(entry.uid), 'Trash', quiet), { left: [entry.uid] });
  t.match(await house.entry(entry.id), { state: 'dropped', place: 'none' });
  t.strictSame(await house.jobs(entry.id), ['deliver ready']);
});

t.test('a session in an action folder is told of each drop of its account', async (t) => {
  const house = await buildHouse(t);
  const idle = await house.open(ada, 'Release');
  const other = await house.open('global', 'Release');
  const spam = await house.open(ada, 'Spam');
  await Promise.all([idle, other, spam].map((mailbox) => mailbox.refresh()));
  let rang = 0;
  idle.onChange(() => rang++);
  t.notOk(idle.takeNudge());
  const [one, two] = [await house.hold(), await house.hold()];
  const from = await house.open(ada, 'Caught');
  await from.move(bySequence(one.uid), 'Release', quiet);
  t.ok(rang > 0);
  t.ok(idle.takeNudge());
  t.notOk(idle.takeNudge(), 'once');
  t.notOk(other.takeNudge());
  t.notOk(spam.takeNudge());
  t.equal(idle.view.count, 0);
  t.equal(idle.view.uidNext, (await house.store.views.top({ level: 'recipient', address: ada }, 'release')).uidNext);
  await from.copy(bySequence(two.uid), 'Release', quiet);
  t.ok(idle.takeNudge());
  const session = await house.login(ada);
  const take = await session.append({ folder: 'Spam', size: 20, flags: [] });
  await take(inPieces(Buffer.from('Subject: x\r\n\r\nbuy\r\n')));
  t.ok(spam.takeNudge(), 'an appended message, too');
});

t.test('put off for long, a release is shown again, and can be called off until it is being delivered', async (t) => {
  const house = await buildHouse(t);
  const held = await Promise.all(Array.from({ length: 5 }, () => house.hold()));
  const from = await house.open(ada, 'Caught');
  await from.move(bySequence(...held.map(({ uid }) => uid)), 'Release', quiet);
  house.advance(10_000);
  const show = { prefix: 'X-Lazaret-Id: {id}\r\nX-Lazaret-Status: waiting: 451 later\r\n' };
  await house.work(['deliver'], () => ({ kind: 'later', said: '451 later', afterMs: 1000_000, show }));
  await from.refresh();
  t.equal(from.view.count, 5);
  const [discarded, trained, again, expunged, busy] = uidsOf(from);
  t.match(flagsOf(from, busy!), /\$Releasing/);
  t.match(await shownText(from, busy!), /^X-Lazaret-Status: waiting: 451 later/m);

  const moved = await from.move(bySequence(discarded!), 'Trash', quiet);
  t.strictSame(moved.left, [discarded]);
  await from.move(bySequence(trained!), 'Spam', quiet);
  const triedNow = await from.move(bySequence(again!), 'Release', quiet);
  t.equal(triedNow.refusal, undefined);
  await from.expunge([expunged!]);
  t.strictSame(uidsOf(from), [busy]);
  const states = await Promise.all(held.map(async ({ id }) => (await house.entry(id)).state));
  t.strictSame(states, ['discarded', 'trained', 'dropped', 'dropped', 'dropped'], 'EXPUNGE does not stop a delivery');
  t.strictSame(await house.jobs(held[0]!.id), ['deliver cancelled']);
  t.strictSame(await house.jobs(held[1]!.id), ['deliver cancelled', 'train-spam ready']);

  house.advance(1000_000);
  await house.store.housekeep();
  const leased = await house.store.jobs.claim({ steps: ['deliver'], limit: 10, leaseMs: 60_000 });
  t.equal(leased.length, 3);
  const refused = await from.move(bySequence(busy!), 'Trash', quiet);
  t.match(refused.refusal, { code: 'INUSE', message: 'The message is being delivered' });
  t.strictSame(uidsOf(from), [busy]);
});
