/** Rows 25 to 28 over sockets: who sees what, who may hand mail over, and where mail can never go. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { hashPassword } from '#app/accounts/passwords';
import type { Scope } from '#store/model';
import { RawClient } from '../smtp/raw-client.ts';
import { password, startApp, type TestApp } from '../support/app.ts';
import type { ImapClient } from '../support/imap-client.ts';
import { handOver, login, mailAbout, pairs } from './hand-over.ts';

const [ada, cy, ben] = ['ada@harbour.example', 'cy@harbour.example', 'ben@quay.example'];
const folders = [
  'INBOX',
  'Caught',
  'Caught (Outgoing)',
  'Training Requested',
  'Release',
  'Release &- Train',
  'Spam',
  'Not Spam',
  'Trash',
];
/** A UID that nobody ever had. */
const none = 3_999_999_999;

async function addAccounts(server: TestApp): Promise<void> {
  const passwordHash = await hashPassword(password);
  const more: [string, Scope][] = [
    [cy, { level: 'recipient', address: cy } as Scope],
    ['quay.example', { level: 'domain', domain: 'quay.example' } as Scope],
  ];
  for (const [name, scope] of more) await server.app.store.accounts.add({ name, scope, passwordHash });
}

/** A message of this owner in each of the readable folders, and one on its way out of the undo window. */
async function furnish(t: Test, server: TestApp, owner: string, word: string): Promise<void> {
  const put = (folder: 'caught' | 'outgoing' | 'training', subject: string) =>
    server.app.admit({
      source: (async function* () {
        yield Buffer.from(mailAbout(subject, `The word is ${word}`));
      })(),
      sender: folder === 'outgoing' ? owner : 'stranger@elsewhere.example',
      recipients: [{ address: folder === 'outgoing' ? 'somebody@elsewhere.example' : owner }],
      params: {},
      direction: folder === 'outgoing' ? 'outgoing' : 'incoming',
      filter: 'auto',
      folder,
      repeat: false,
    });
  await put('caught', `${word} stays`);
  await put('caught', `${word} to trash`);
  await put('caught', `${word} to release`);
  await put('caught', `${word} to spam`);
  await put('outgoing', `${word} outgoing`);
  await put('training', `${word} training`);
  const client = await login(t, server, owner);
  await client.ok('SELECT Caught');
  await client.ok('MOVE 4 Spam');
  await client.ok('MOVE 3 Release');
  await client.ok('MOVE 2 Trash');
  await client.ok('LOGOUT');
  client.abandon();
}

/** All UIDs that stays of this owner ever had. */
async function uidsOf(server: TestApp, owner: string): Promise<number[]> {
  const uids: number[] = [];
  for (const entry of await server.app.store.entries.list({ scope: { level: 'global' }, limit: 1000 }))
    if (entry.owner === owner)
      for (const { uid } of (await server.app.store.entries.history(entry.id))?.stays ?? []) uids.push(uid);
  return uids;
}

/** What an answer tells, but for the command's own tag and UID. */
const withoutTag = (said: unknown, uid: number): string =>
  JSON.stringify(said)
    .replace(/TAG \\"t\d+\\"/g, 'TAG')
    .replace(new RegExp(`\\b${uid}\\b`, 'g'), 'UID');

/** Everything about everybody's entries but this owner's, to compare with later. */
async function pictureOf(server: TestApp, owners: readonly string[]): Promise<unknown[]> {
  const picture: unknown[] = [];
  for (const entry of await server.app.store.entries.list({ scope: { level: 'global' }, limit: 1000 }))
    if (owners.includes(entry.owner)) picture.push(await server.app.store.entries.history(entry.id));
  return picture;
}

t.test('row 28: what is not in an account’s scope does not exist, for any command', async (t) => {
  const server = await startApp(t, { release: { undoSeconds: 3600 } });
  await addAccounts(server);
  // So that all UIDs below have three digits, and none is a part of another for SEARCH.
  await handOver(server, 'smtp', [
    {
      recipients: Array.from({ length: 100 }, (_, n) => `nobody${n}@foreign.example`),
      message: mailAbout('for global alone'),
    },
  ]);
  const words = new Map([
    [ada, 'lavender'],
    [cy, 'rosemary'],
    [ben, 'marjoram'],
  ]);
  for (const [owner, word] of words) await furnish(t, server, owner, word);
  const spies: [string, string[]][] = [
    [ada, [cy, ben]],
    ['harbour.example', [ben]],
    [ben, [ada, cy]],
    ['quay.example', [ada, cy]],
  ];
  for (const [spy, strangers] of spies) {
    const before = await pictureOf(server, strangers);
    const client = await login(t, server, spy);
    const foreign = (await Promise.all(strangers.map((owner) => uidsOf(server, owner)))).flat();
    t.ok(foreign.length >= 9 * strangers.length);
    const asks: ((uid: number) => string)[] = [
      (uid) => `UID FETCH ${uid} (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE MODSEQ)`,
      (uid) => `UID FETCH ${uid} (BODY[] BODY[1] RFC822.HEADER)`,
      (uid) => `UID FETCH ${uid},${uid} BODY.PEEK[HEADER.FIELDS (Subject)]`,
      (uid) => `UID FETCH ${uid} FLAGS (CHANGEDSINCE 1)`,
      (uid) => `UID STORE ${uid} +FLAGS (\\Seen \\Deleted secret)`,
      (uid) => `UID STORE ${uid} (UNCHANGEDSINCE 1) FLAGS.SILENT (\\Flagged)`,
      (uid) => `UID SEARCH UID ${uid}`,
      (uid) => `UID SEARCH RETURN (COUNT MIN MAX ALL) UID ${uid}`,
      (uid) => `UID SEARCH HEADER X-Lazaret-Id "${uid}"`,
      ...folders.flatMap((target) => [
        (uid: number) => `UID COPY ${uid} "${target}"`,
        (uid: number) => `UID MOVE ${uid} "${target}"`,
      ]),
      (uid) => `UID EXPUNGE ${uid}`,
    ];
    for (const folder of folders) {
      await client.ok(`SELECT "${folder}"`);
      for (const ask of asks) {
        const expected = await client.says(ask(none));
        for (const uid of foreign) {
          const said = await client.says(ask(uid));
          const same = withoutTag(said, uid) === withoutTag(expected, none);
          if (!same) t.same(said, expected, `${spy} in ${folder}: ${ask(uid)}`);
        }
      }
      for (const stranger of strangers) {
        const word = words.get(stranger)!;
        for (const key of [`TEXT ${word}`, `BODY ${word}`, `SUBJECT ${word}`])
          t.same(await client.ok(`SEARCH ${key}`), ['* SEARCH'], `${spy} in ${folder}: ${key}`);
      }
      // All that it does see is its own, by number as by UID.
      const seen = (await client.ok('FETCH 1:* (UID ENVELOPE BODY.PEEK[])').catch(() => [])).join('\n');
      const own = [...words].filter(([owner]) => !strangers.includes(owner));
      for (const stranger of strangers) t.notOk(seen.includes(words.get(stranger)!), `${spy}: ${folder}`);
      if (['Caught', 'Trash', 'Training Requested', 'Caught (Outgoing)'].includes(folder))
        for (const [, word] of own) t.ok(seen.includes(word), `${spy} sees ${word} in ${folder}`);
    }

    // Bytes that another holds are no better known than bytes that nobody does.
    const other = await login(t, server, strangers[0]!);
    await other.ok('EXAMINE Caught');
    const [whole = ''] = await other.ok('FETCH 1 BODY.PEEK[]');
    const shown = whole.slice(whole.indexOf('\r\n') + 2, -1);
    const refusals = new Set<string>();
    for (const message of [
      shown,
      shown.replace(/X-Lazaret-Id: \d+/, `X-Lazaret-Id: ${none}`),
      shown.replace(/^(?:X-Lazaret-.*\r\n(?:[ \t].*\r\n)*)+/, ''),
      mailAbout('nobody has this'),
    ]) {
      client.write(`m APPEND Release {${message.length}+}\r\n${message}\r\n`);
      const { status, text } = await client.answer('m');
      t.equal(status, 'NO');
      refusals.add(text);
    }
    t.equal(refusals.size, 1, [...refusals].join(' / '));

    // Folders of others, by every command that takes a name.
    const [owner = ''] = strangers;
    const names = (who: string) => [
      `user/${who}`,
      `user/${who}/Caught`,
      `user.${who}`,
      `${who}`,
      `${who}/Caught`,
      `Other Users/${who}/Caught`,
      `~${who}/Caught`,
      `#shared/${who}`,
      `../${who}/Caught`,
    ];
    await client.ok('SELECT Caught');
    for (const [at, name] of names(owner).entries()) {
      const unknown = names('nobody@nowhere.example')[at]!;
      for (const ask of [
        (folder: string) => `SELECT "${folder}"`,
        (folder: string) => `EXAMINE "${folder}"`,
        (folder: string) => `STATUS "${folder}" (MESSAGES UIDNEXT UNSEEN)`,
        (folder: string) => `LIST "" "${folder}"`,
        (folder: string) => `LIST "${folder}" "*"`,
        (folder: string) => `LIST "${folder}" "%"`,
        (folder: string) => `LSUB "" "${folder}"`,
        (folder: string) => `CREATE "${folder}"`,
        (folder: string) => `DELETE "${folder}"`,
        (folder: string) => `RENAME "${folder}" "x"`,
        (folder: string) => `RENAME "Caught" "${folder}"`,
        (folder: string) => `APPEND "${folder}" {1+}\r\nx`,
      ]) {
        const said = await client.says(ask(name));
        t.same(said, await client.says(ask(unknown)), `${spy}: ${ask(name)}`);
        t.notOk(said.untagged.some((line) => /LIST|STATUS|EXISTS/.test(line)));
      }
    }
    t.same(await client.ok('NAMESPACE'), ['* NAMESPACE (("" "/")) NIL NIL']);
    t.same(await pictureOf(server, strangers), before, `${spy} changed nothing of theirs`);
    client.abandon();
    other.abandon();
  }
  t.equal(server.sink.messages.length, 0);
});

t.test('row 28: what others do is not felt, and flags belong to a level', async (t) => {
  const server = await startApp(t);
  await addAccounts(server);
  await handOver(server, 'lmtp', [{ recipients: [ada], message: mailAbout('mine') }]);
  const hers = await login(t, server, ada);
  const status = () => hers.ok('STATUS Caught (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ SIZE)');
  await hers.ok('SELECT Caught');
  const before = await status();
  const his = await login(t, server, ben);
  const global = await login(t, server, 'global');
  const domain = await login(t, server, 'harbour.example');
  await handOver(server, 'lmtp', [{ recipients: [cy, ben], message: mailAbout('theirs') }]);
  await his.ok('SELECT Caught');
  await his.ok('STORE 1 +FLAGS (\\Seen)');
  await his.ok('MOVE 1 Trash');
  await global.ok('SELECT Caught');
  await domain.ok('SELECT Caught');
  await global.ok('STORE 1:* +FLAGS (\\Seen \\Flagged Checked)');
  await domain.ok('STORE 1:* +FLAGS (\\Answered)');
  await domain.ok('FETCH 1 BODY[]');
  t.same(await hers.ok('NOOP'), [], 'no line of what others did');
  t.same(await status(), before, 'nor does a number move');
  t.same(await hers.ok('FETCH 1 FLAGS'), ['* 1 FETCH (FLAGS ())']);
  t.same(await domain.ok('FETCH 1 FLAGS'), ['* 1 FETCH (FLAGS (\\Answered \\Seen))']);
  await domain.ok('MOVE 1 Trash');
  t.same(await hers.ok('NOOP'), ['* 1 EXPUNGE'], 'but a discard is everybody’s');
});

t.test('recipients of one message never learn of each other', async (t) => {
  const server = await startApp(t, {
    intake: { lmtp: ['127.0.0.1:0'], smtp: [], handOverDomains: ['quarantine.example'] },
  });
  await addAccounts(server);
  const everybody = [ada, cy, ben];
  const hidden =
    'From: stranger@elsewhere.example\r\nTo: undisclosed-recipients:;\r\nSubject: to many\r\nMessage-ID: <many@elsewhere.example>\r\n\r\nHello\r\n';
  const amavis =
    `X-Envelope-From: <stranger@elsewhere.example>\r\nX-Envelope-To: <${everybody.join('>, <')}>\r\n` +
    `X-Envelope-To-Blocked: <${everybody.join('>,\r\n <')}>\r\nX-Quarantine-ID: <abcdefg>\r\nX-Spam-Flag: YES\r\nX-Spam-Score: 12\r\n` +
    'X-Spam-Status: Yes, score=12 tag=-999 tag2=6.31 kill=6.31\r\n tests=[GTUBE=12] autolearn=no\r\n' +
    'Received: from client.example by mx.example (amavis, port 10024) with ESMTP\r\n id abcdefg; Tue, 24 Nov 2026 10:00:00 +0000 (UTC)\r\n';
  const rspamd =
    `X-Envelope-From: <stranger@elsewhere.example>\r\nX-Envelope-To: <${everybody.join('>,\r\n <')}>\r\nX-Quarantine-ID: <D42AC>\r\n` +
    'X-Quarantine-Client: [198.51.100.7] helo=x\r\nX-Spam-Action: reject\r\nX-Spam-Score: 34.80\r\n' +
    'X-Spamd-Result: default: True [34.80 / 15.00];\r\n\tGTUBE(34.80)[];\r\n';
  await handOver(server, 'lmtp', [
    { recipients: everybody, message: hidden },
    { recipients: ['spam@quarantine.example'], message: amavis + hidden.replace('to many', 'by amavis') },
    { recipients: ['spam@quarantine.example'], message: rspamd + hidden.replace('to many', 'by rspamd') },
  ]);
  t.equal(server.events.filter(({ kind }) => kind === 'arrived').length, 9, 'an entry for each');
  for (const owner of everybody) {
    const client = await login(t, server, owner);
    t.ok((await client.ok('SELECT Caught')).includes('* 3 EXISTS'));
    const said = [
      ...(await client.ok('FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ ENVELOPE BODY BODYSTRUCTURE)')),
      ...(await client.ok('FETCH 1:* (BODY[] BODY[HEADER] BODY[TEXT] BODY[1] RFC822 RFC822.HEADER RFC822.TEXT)')),
      ...(await client.ok(
        'FETCH 1:* BODY[HEADER.FIELDS (To Cc Bcc X-Envelope-To X-Envelope-To-Blocked Delivered-To)]',
      )),
      ...(await client.ok('FETCH 1:* BODY[HEADER.FIELDS.NOT (Subject)]')),
    ].join('\n');
    for (const other of everybody.filter((each) => each !== owner)) {
      t.notOk(said.includes(other), `${owner} reads nothing of ${other}`);
      t.same(await client.ok(`SEARCH TEXT ${other}`), ['* SEARCH']);
      t.same(await client.ok(`SEARCH OR TO ${other} HEADER X-Envelope-To ${other}`), ['* SEARCH']);
    }
  }
  const client = await login(t, server, cy);
  await client.ok('SELECT Caught');
  await client.ok('MOVE 1:* Release');
  await server.until('released', 3);
  await server.app.runner.idle();
  t.equal(server.sink.messages.length, 3, 'a release is for whoever dropped it');
  for (const { recipients, bytes } of server.sink.messages) {
    t.same(recipients, [cy]);
    for (const other of [ada, ben]) t.notOk(bytes.includes(other));
  }
  const left = await login(t, server, 'global');
  t.ok((await left.ok('SELECT Caught')).includes('* 6 EXISTS'));
});

t.test('mail that is nobody’s is for global alone, and without a recipient it cannot be released', async (t) => {
  const server = await startApp(t);
  await addAccounts(server);
  await handOver(server, 'smtp', [
    { recipients: ['spam@quarantine.example'], message: mailAbout('no block') },
    {
      recipients: ['spam@quarantine.example'],
      message: `X-Quarantine-ID: <x>\r\nX-Envelope-To: <<<\r\n${mailAbout('unreadable')}`,
    },
    { recipients: ['who@foreign.example'], message: mailAbout('foreign') },
    { recipients: ['INFO@Quay.example'], message: mailAbout('by alias') },
    { recipients: ['ada+shop@harbor.example'], message: mailAbout('by alias domain and tag') },
  ]);
  const counts = async (user: string) => {
    const client = await login(t, server, user);
    const [said = ''] = await client.ok('STATUS Caught (MESSAGES)');
    return Number(/MESSAGES (\d+)/.exec(said)?.[1]);
  };
  t.equal(await counts('global'), 5);
  t.equal(await counts(ada), 1);
  t.equal(await counts(ben), 1);
  t.equal(await counts(cy), 0);
  t.equal(await counts('harbour.example'), 1);
  t.equal(await counts('quay.example'), 1);
  const global = await login(t, server, 'global');
  await global.ok('SELECT Caught');
  for (const number of [1, 2])
    for (const verb of ['MOVE', 'COPY'])
      for (const folder of ['Release', 'Release &- Train'])
        t.match(await global.no(`${verb} ${number} "${folder}"`), /^\[CANNOT\] The message cannot be released/);
  const some = await global.says('MOVE 1:5 Release');
  t.match(some, { status: 'NO', text: /^\[CANNOT\] 2 of 5 cannot be released/ });
  t.equal(pairs(some.untagged.find((line) => line.includes('COPYUID')) ?? '').size, 3, 'the rest is done');
  await server.until('released', 3);
  t.same(
    server.sink.messages.map(({ recipients }) => recipients.join()).sort(),
    ['INFO@Quay.example', 'ada+shop@harbor.example', 'who@foreign.example'].sort(),
  );
});

t.test('row 25: marks that a sender wrote give nobody anything', async (t) => {
  const server = await startApp(t, { domains: { 'example.test': {}, 'harbour.example': {}, 'quay.example': {} } });
  const spoofed = readFileSync(join(import.meta.dirname, '../fixtures/raw/spam-spoofed-filter-headers.eml'));
  // With no Received of ours above them, the marks are at the very top: still nothing but amavis’ own address is believed.
  const naked = spoofed.subarray(spoofed.indexOf('X-Envelope-From'));
  for (const protocol of ['lmtp', 'smtp'] as const)
    await handOver(server, protocol, [
      { recipients: [`${protocol}@example.test`], message: spoofed },
      { recipients: [`naked-${protocol}@example.test`], message: naked },
    ]);
  const owners = server.events.flatMap((event) => (event.kind === 'arrived' ? [event.owner] : []));
  t.same(owners, ['lmtp@example.test', 'naked-lmtp@example.test', 'smtp@example.test', 'naked-smtp@example.test']);
  const global = await login(t, server, 'global');
  await global.ok('SELECT Caught');
  const said = await global.ok('FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-Lazaret-Reason X-Lazaret-Score)]');
  for (const [at, line] of said.entries()) {
    if (at % 2 === 0) t.match(line, /X-Lazaret-Reason: unknown\r\n/);
    t.notMatch(line, /ham/);
  }
  await global.ok('MOVE 1:* Release');
  await server.until('released', 4);
  t.notOk(server.sink.messages.some(({ recipients }) => recipients.includes('victim@example.test')));
  t.ok(server.sink.messages.every(({ sender }) => sender === 'stranger@elsewhere.example'));
});

t.test('row 26: who is not listed hands nothing over', async (t) => {
  const server = await startApp(t, {
    intake: { lmtp: ['127.0.0.1:0'], smtp: ['127.0.0.1:0'], trusted: ['10.0.0.0/8', '::1/128'] },
  });
  for (const protocol of ['lmtp', 'smtp'] as const) {
    const { port } = server.addresses[protocol][0]!;
    const client = await RawClient.connect(port);
    await client.command(protocol === 'lmtp' ? 'LHLO x' : 'EHLO x');
    t.match(await client.command('XFORWARD ADDR=10.0.0.1'), /^5/, 'nor does saying who one is help');
    t.match(await client.command('XCLIENT ADDR=10.0.0.1'), /^5/);
    t.match(await client.command('MAIL FROM:<a@b.example>'), /^554 5\.7\.1 /);
    t.match(await client.command('RCPT TO:<ada@harbour.example>'), /^5/);
    t.match(await client.command('DATA'), /^5/);
    client.close();
  }
  t.same(server.events, []);
});

t.test('row 27: nothing leaves but what is held, and to nobody but whom it was for', async (t) => {
  const server = await startApp(t);
  await handOver(server, 'lmtp', [
    { recipients: [ada], message: mailAbout('held').replace('To: somebody', 'To: victim') },
    { recipients: [ada], message: mailAbout('held too') },
  ]);
  const hers = await login(t, server, ada);
  await hers.ok('SELECT Caught');
  const [whole = ''] = await hers.ok('FETCH 1 BODY.PEEK[]');
  const shown = whole.slice(whole.indexOf('\r\n') + 2, -1);
  const append = async (client: ImapClient, folder: string, message: string) => {
    client.write(`p APPEND "${folder}" {${Buffer.byteLength(message)}+}\r\n${message}\r\n`);
    return client.answer('p');
  };
  const bare = shown.replace(/^(?:X-Lazaret-.*\r\n(?:[ \t].*\r\n)*)+/, '');
  for (const folder of ['Release', 'Release &- Train'])
    for (const message of [
      mailAbout('my own'),
      shown.replace('Hello', 'Hullo'),
      shown.replace('To: victim', 'To: another'),
      `Resent-To: victim@elsewhere.example\r\n${shown}`,
      `X-Lazaret-Recipient: victim@elsewhere.example\r\n${bare}`,
      `X-Lazaret-Id: 1\r\n${mailAbout('my own')}`,
      bare.slice(0, -3),
      `${bare}more\r\n`,
      '',
    ]) {
      const { status, text } = await append(hers, folder, message);
      t.equal(status, 'NO', message.slice(0, 40));
      t.match(text, /^\[(?:CANNOT|NOPERM)\] \S/);
    }
  for (const name of [
    'Release/victim@elsewhere.example',
    'Release victim@elsewhere.example',
    'Release\\r\\nRCPT',
    'release:x',
  ])
    for (const verb of ['COPY', 'MOVE']) {
      const said = await hers.says(`${verb} 1 "${name}"`);
      t.match(said, { status: /NO|BAD/ });
    }
  for (const folder of ['Caught', 'INBOX', 'Trash', 'Training Requested', 'Caught (Outgoing)'])
    t.match(await append(hers, folder, mailAbout('my own')), { status: 'NO', text: /^\[(?:CANNOT|NOPERM)\] \S/ });
  t.match(await append(hers, 'Spam', mailAbout('learn this')), { status: 'OK' });
  t.match(await append(hers, 'Not Spam', mailAbout('and this')), { status: 'OK' });
  await server.until('training-waits', 2); // there is no trainer, and they are kept
  await server.app.runner.idle();
  t.equal(server.sink.messages.length, 0, 'nothing left');

  t.match(await append(hers, 'Release', shown), { status: 'OK' }, 'what was shown, as it was shown');
  await hers.ok('MOVE 2 Release');
  await server.until('released', 2);
  t.same(
    server.sink.messages.map(({ recipients }) => recipients),
    [[ada], [ada]],
    'to the envelope’s recipient, whatever To says',
  );
  t.notOk(server.sink.commands.some((line) => line.includes('victim')));
});
