/** What a session sees: folders, STATUS, INBOX, messages as they are shown, flags; and who gets no session. */
import t from 'tap';
import { COMMON_FIELDS } from '#imap/mime/common-fields';
import { Summarizer } from '#imap/mime/summary';
import {
  ada,
  allOf,
  aMessage,
  answerOf,
  ben,
  buildHouse,
  bySequence,
  flagsOf,
  quiet,
  shownText,
  textOf,
  uidsOf,
} from './house.ts';

const folderNames = [
  'INBOX',
  'Caught',
  'Caught (Outgoing)',
  'Training Requested',
  'Release',
  'Release & Train',
  'Spam',
  'Not Spam',
  'Trash',
];

t.test('folders, their order and attributes', async (t) => {
  const house = await buildHouse(t);
  const session = await house.login(ada);
  const folders = await session.folders();
  t.strictSame(
    folders.map(({ name }) => name),
    folderNames,
  );
  for (const { name, attributes, subscribed } of folders) {
    t.ok(subscribed, `${name} is subscribed to from the start`);
    t.strictSame(attributes, name === 'Trash' ? ['\\HasNoChildren', '\\Trash'] : ['\\HasNoChildren'], name);
  }
  const unsubscribed = async (user: string) =>
    (await (await house.login(user)).folders()).filter(({ subscribed }) => !subscribed).map(({ name }) => name);
  await Promise.all([
    session.setSubscribed('Not Spam', false),
    session.setSubscribed('INBOX', false),
    session.setSubscribed('Elsewhere/Nowhere', true),
    session.setSubscribed('Trash', false),
    session.setSubscribed('Trash', true),
  ]);
  t.strictSame(await unsubscribed(ada), ['INBOX', 'Not Spam'], 'remembered for the account');
  t.strictSame(await unsubscribed('ann*harbour.example'), []);

  for (const [name, meant] of [
    ['INBOX/Trash', 'Trash'],
    ['INBOX.INBOX.Caught', 'Caught'],
    ['inbox', 'INBOX'],
    ['INBOX/Release & Train', 'Release & Train'],
  ] as const)
    t.equal((await session.open(name, false)).name, meant, `${name} is understood`);

  for (const [doing, refused] of Object.entries({
    CREATE: session.create('Trash2'),
    DELETE: session.delete('Caught'),
    RENAME: session.rename('Caught', 'x'),
  }))
    t.match(await answerOf(refused), { code: 'CANNOT', message: /folders/i }, doing);
});

t.test('without outgoing mail, strict, and with a limit', async (t) => {
  const house = await buildHouse(t, { outgoingFolder: false, actionFolders: 'strict', maxConnectionsPerUser: 2 });
  const session = await house.login(ada);
  t.strictSame(
    (await session.folders()).map(({ name }) => name),
    folderNames.filter((name) => !name.includes('Out')),
  );
  t.match(await answerOf(session.open('Caught (Outgoing)', false)), { code: 'NONEXISTENT' });
  for (const name of ['Release', 'Release & Train', 'Spam', 'Not Spam']) {
    t.match(await answerOf(session.open(name, false)), { code: 'NOPERM', message: /cannot be opened/ }, name);
    t.match(await session.status(name), { messages: 0 });
  }
  const entry = await house.hold();
  const from = await session.open('Caught', false);
  t.match(await from.move(bySequence(entry.uid), 'Release', quiet), { left: [entry.uid] }, 'drops work all the same');

  const second = await house.login(ada);
  t.match(await answerOf(house.login(ada)), { code: 'LIMIT', message: /2 connections/ });
  await house.login('harbour.example');
  second.close();
  second.close();
  await house.login(ada);
  t.match(await answerOf(house.login(ada)), { code: 'LIMIT' }, 'closing twice frees one place');
});

t.test('who gets no session', async (t) => {
  const house = await buildHouse(t);
  const wrong = { code: 'AUTHENTICATIONFAILED', message: 'The user name or the password is wrong' };
  t.match(await answerOf(house.login('nobody@harbour.example')), wrong);
  const foreign = await buildHouse(t, { book: { isOurs: () => false } });
  t.match(await answerOf(foreign.login(ada)), wrong, 'an account outside of our domains');
  t.ok(await foreign.login('global'));
  await house.login('ann*global');
  t.match(house.events, [
    { kind: 'login-refused', why: 'wrong', address: '127.0.0.1' },
    { kind: 'login', account: 'ann*global', address: '127.0.0.1' },
  ]);
});

t.test('operators who share an account share its drops and keep their names', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  const caught = await house.open('ann*global', 'Caught');
  const moved = await caught.move(bySequence(entry.uid), 'Release', quiet);
  const { drops } = (await house.store.entries.history(entry.id))!;
  t.match(drops, [{ actor: { account: 'global', person: 'ann', via: 'imap' } }]);
  const release = await house.open('bob*global', 'Release');
  const uid = moved.copyUid!.to[0]!;
  await release.move({ uids: [], ranges: [{ first: uid, last: uid }] }, 'Caught', quiet);
  t.equal((await house.entry(entry.id)).state, 'held');
});

t.test('STATUS', async (t) => {
  const house = await buildHouse(t);
  const session = await house.login('harbour.example');
  t.match(await session.status('Caught'), { messages: 0, unseen: 0, size: 0, uidNext: 1, highestModSeq: 1 });
  const [one, two] = [await house.hold(), await house.hold({ flags: ['\\Seen'] })];
  await house.hold({ owner: ben, recipient: ben });
  const caught = await session.open('Caught', false);
  const size = caught.view.sizes[0]! + caught.view.sizes[1]!;
  const { uidValidity } = house.store;
  const status = await session.status('Caught');
  t.match(status, { messages: 2, unseen: 1, size, uidNext: two.uid + 1, uidValidity });
  t.ok(uidValidity > 0);
  await caught.move(bySequence(one.uid), 'Release', quiet);
  t.match(await session.status('Caught'), { messages: 1, unseen: 0, uidNext: two.uid + 1 }, 'UIDNEXT never falls');
  const release = await session.status('Release');
  t.match(release, { messages: 0, unseen: 0, size: 0, uidValidity });
  t.equal(release.uidNext, 5, 'the UID given there, plus one');
  t.match(await session.status('INBOX'), { messages: 1, unseen: 1 });
});

t.test('INBOX has one message that nothing takes away', async (t) => {
  const house = await buildHouse(t);
  const texts: string[] = [];
  for (const user of ['global', 'harbour.example', ada]) {
    const session = await house.login(user);
    const inbox = await session.open('INBOX', false);
    const [uid] = uidsOf(inbox);
    t.equal(inbox.view.count, 1);
    t.equal(inbox.view.uidNext, uid! + 1);
    t.notOk(inbox.permanentFlags.includes('\\Deleted'));
    const want = { envelope: true, bodyStructure: true, body: true, commonFields: true, parts: true };
    const [fetched] = await allOf(inbox.fetch([uid!], want));
    const text = await textOf(fetched!.read(0, fetched!.size));
    t.equal(text.length, inbox.view.sizes[0]);
    t.equal(text.slice(5, 40), await textOf(fetched!.read(5, 35)));
    t.match(Buffer.from(fetched!.envelope!).toString(), /How this quarantine works/);
    t.match(Buffer.from(fetched!.bodyStructure!).toString(), /"TEXT" "PLAIN"/i);
    for (const line of text.split('\r\n')) t.ok(line.length <= 78 && !line.includes('\n'), line);
    for (const name of folderNames.slice(1)) t.ok(text.includes(name), `${user} reads about ${name}`);
    texts.push(text.split('\r\n\r\n').slice(1).join('\n'));

    const modSeq = inbox.view.highestModSeq;
    await inbox.store(bySequence(uid!), { op: 'add', flags: ['\\Seen', '\\Deleted', '$x'] });
    t.equal(flagsOf(inbox, uid!), '\\Seen $x');
    t.ok(inbox.view.highestModSeq > modSeq);
    t.strictSame(inbox.view.changedSince(modSeq), [uid]);
    t.strictSame(await inbox.store(bySequence(uid!), { op: 'replace', flags: [], unchangedSince: modSeq }), {
      modified: [uid],
    });
    await inbox.expunge([uid!]);
    t.equal(inbox.view.count, 1);
    inbox.close();
    const again = await house.open(user, 'INBOX');
    t.strictSame(uidsOf(again), [uid], 'the same UID');
    t.equal(flagsOf(again, uid!), '\\Seen $x', 'flags are remembered');
    t.equal(await shownText(again, uid!), text, 'and so is every octet');
    await again.store(bySequence(uid!), { op: 'replace', flags: ['\\Flagged'] });
    await again.store(bySequence(uid!), { op: 'remove', flags: ['\\flagged'] });
    t.equal(flagsOf(again, uid!), '');
    t.match(
      await answerOf((await house.open(user, 'INBOX', true)).store(bySequence(uid!), { op: 'add', flags: ['\\Seen'] })),
      {
        code: 'CANNOT',
      },
    );
  }
  t.equal(new Set(texts).size, 3, 'each level has a text of its own');
});

t.test('a message is shown as its lines above the stored octets', async (t) => {
  const house = await buildHouse(t);
  const raw = Buffer.concat([aMessage(1), Buffer.from('8-bit \xe4\x00 and more\r\n', 'latin1')]);
  const entry = await house.hold({ raw });
  const shown = entry.prefix + raw.toString('latin1');
  t.match(shown, `X-Lazaret-Id: ${entry.id}\r\n`);
  const caught = await house.open(ada, 'Caught');
  t.equal(caught.view.sizes[0], shown.length);
  const want = { envelope: true, bodyStructure: true, body: true, commonFields: true, parts: true };
  const [fetched] = await allOf(caught.fetch([entry.uid, entry.uid + 1], want));
  t.match(fetched, { uid: entry.uid, size: shown.length, prefixSize: entry.prefix.length });
  t.equal(await textOf(fetched!.read(0, shown.length)), shown);
  for (const [offset, length] of [
    [0, 0],
    [3, 5],
    [0, entry.prefix.length],
    [entry.prefix.length - 1, 2],
    [entry.prefix.length, 7],
    [entry.prefix.length + 20, shown.length],
    [shown.length, 10],
  ] as const)
    t.equal(
      await textOf(fetched!.read(offset, length)),
      shown.slice(offset, offset + length),
      `${length} from ${offset}`,
    );
  const summarizer = new Summarizer();
  summarizer.push(raw);
  const summary = summarizer.end();
  t.strictSame(Buffer.from(fetched!.envelope!), Buffer.from(summary.envelope));
  t.strictSame(Buffer.from(fetched!.parts!), Buffer.from(summary.parts));
  t.strictSame(Buffer.from(fetched!.commonFields!), Buffer.from(summary.commonFields));
  const [listed] = await allOf(caught.fetch([entry.uid], { commonFields: true }));
  t.equal(await textOf(listed!.read(0, shown.length)), shown, 'a list can be read from, too');
  for (const name of ['Id', 'Reason', 'Score', 'Rules', 'Status'])
    t.notOk(
      COMMON_FIELDS.has(`x-lazaret-${name}`.toLowerCase()),
      'or the common fields would lack those of the prefix',
    );
});

t.test('many messages come in batches, in order, each with its own sections', async (t) => {
  const house = await buildHouse(t);
  await Promise.all(Array.from({ length: 1_200 }, () => house.hold()));
  const caught = await house.open('global', 'Caught');
  const uids = uidsOf(caught);
  let batches = 0;
  const seen: number[] = [];
  for await (const batch of caught.fetch(Uint32Array.from(uids), { envelope: true, bodyStructure: true })) {
    batches++;
    for (const fetched of batch) {
      seen.push(fetched.uid);
      if (seen.length % 100 > 0) continue;
      const subject = /^Subject: (.*)\r$/m.exec(await textOf(fetched.read(0, fetched.size)))![1];
      t.ok(Buffer.from(fetched.envelope!).toString().includes(`"${subject}"`), `${fetched.uid} has its own envelope`);
    }
  }
  t.strictSame(seen, uids);
  t.ok(batches > 1 && batches < 10, `${batches} batches`);
  const half = uids.slice(600);
  for await (const _ of caught.fetch(half, {})) break;
});

t.test('flags belong to a level', async (t) => {
  const house = await buildHouse(t);
  const entry = await house.hold();
  const [own, domain] = [await house.open(ada, 'Caught'), await house.open('harbour.example', 'Caught')];
  t.ok(own.permanentFlags.includes('\\*') && own.permanentFlags.includes('\\Deleted'));
  const before = own.view.highestModSeq;
  await own.store(bySequence(entry.uid), { op: 'add', flags: ['\\Seen', '$Label1', '$Releasing'] });
  t.equal(flagsOf(own, entry.uid), '\\Seen $Label1', 'keywords of ours cannot be set');
  await domain.refresh();
  t.equal(flagsOf(domain, entry.uid), '');
  t.strictSame(own.view.changedSince(before), [entry.uid]);
  t.strictSame(domain.view.changedSince(before), []);
  const change = { op: 'remove', flags: ['\\Seen'], unchangedSince: before } as const;
  t.strictSame(await own.store(bySequence(entry.uid), change), { modified: [entry.uid] });
  t.match(flagsOf(own, entry.uid), '\\Seen');

  const readOnly = await house.open(ada, 'Caught', true);
  t.ok(readOnly.readOnly);
  t.strictSame(readOnly.permanentFlags, []);
  const refused = { code: 'CANNOT', message: /reading only/ };
  t.match(await answerOf(readOnly.store(bySequence(entry.uid), { op: 'add', flags: ['\\Seen'] })), refused);
  t.match(await answerOf(readOnly.move(bySequence(entry.uid), 'Release', quiet)), refused);
  t.match(await answerOf(readOnly.copy(bySequence(entry.uid), 'Trash', quiet)), refused);
  t.match(await answerOf(readOnly.expunge([entry.uid])), refused);
  t.equal((await house.entry(entry.id)).state, 'held');
});

t.test('arrivals reach an open folder without being asked for', async (t) => {
  const house = await buildHouse(t);
  const caught = await house.open(ada, 'Caught');
  const arrived = new Promise<void>((resolve) => caught.onChange(resolve));
  const entry = await house.hold();
  await arrived;
  t.strictSame(uidsOf(caught), [entry.uid]);
});
