/** What a client reads, line by line, around drops (DESIGN §1, §7.5, §7.8): the strict client fails on any line too many. */
import t from 'tap';
import { startApp } from '../support/app.ts';
import type { ImapClient } from '../support/imap-client.ts';
import { handOver, login, mailAbout, pairs } from './hand-over.ts';

const ada = 'ada@harbour.example';
const server = await startApp(t, { release: { undoSeconds: 60 } });

let made = 0;
/** So many new messages of hers; answers their UIDs. */
async function arrive(client: ImapClient, count: number): Promise<number[]> {
  const subjects = Array.from({ length: count }, () => `offer ${++made}.`);
  await handOver(
    server,
    'lmtp',
    subjects.map((subject) => ({ recipients: [ada], message: mailAbout(subject) })),
  );
  await client.ok('SELECT Caught');
  const uids: number[] = [];
  for (const subject of subjects) {
    const [found] = await client.ok(`UID SEARCH SUBJECT "${subject}"`);
    uids.push(Number(/^\* SEARCH (\d+)$/.exec(found!)![1]));
  }
  return uids;
}

t.test('an action folder opens as an empty one that can be written to', async (t) => {
  const client = await login(t, server, ada);
  for (const folder of ['Release', 'Release &- Train', 'Spam', 'Not Spam']) {
    const said = await client.says(`SELECT "${folder}"`);
    t.match(said.text, /^\[READ-WRITE\] /);
    t.ok(said.untagged.includes('* 0 EXISTS'));
    t.ok(said.untagged.some((line) => /^\* OK \[PERMANENTFLAGS \(.*\\Deleted.* \\\*\)\]/.test(line)));
    t.strictSame(await client.ok('UID FETCH 1:* (FLAGS)'), []);
    t.strictSame(await client.ok('UID SEARCH UNDELETED SUBJECT "x"'), ['* SEARCH']);
    t.strictSame(await client.ok('UID STORE 99 +FLAGS (\\Deleted)'), [], 'nothing to take back: OK');
    t.strictSame(await client.ok('UID MOVE 99 Caught'), []);
    t.strictSame(await client.ok('EXPUNGE'), []);
    t.match((await client.says(`EXAMINE "${folder}"`)).text, /^\[READ-ONLY\] /);
    t.match(await client.no('UID MOVE 99 Caught'), /^\[READ-ONLY\] \w+/);
  }
  const other = await startApp(t, { actionFolders: 'strict' });
  const strict = await login(t, other, ada);
  t.match(await strict.no('SELECT Release'), /^\[NOPERM\] Release cannot be opened/);
});

t.test('MOVE: COPYUID, EXPUNGE, OK; sessions in that folder are told; UID MOVE takes it back', async (t) => {
  const [client, watcher, idler, domain] = [
    await login(t, server, ada),
    await login(t, server, ada),
    await login(t, server, ada),
    await login(t, server, 'harbour.example'),
  ];
  const [first, second] = await arrive(client, 2);
  await watcher.ok('SELECT Release');
  await domain.ok('SELECT Release');
  await idler.ok('SELECT Release');
  idler.send('i IDLE');
  await idler.sees(/^\+ /);

  const dropped = await client.ok(`UID MOVE ${first},${second} Release`);
  t.match(dropped, [/^\* OK \[COPYUID \d+ \S+ \S+\] /, '* 2 EXPUNGE', '* 1 EXPUNGE']);
  await idler.sees('* 0 EXISTS');
  t.strictSame(await watcher.ok('NOOP'), ['* 0 EXISTS'], 'who only has it selected: with the next answer');
  t.strictSame(await watcher.ok('NOOP'), [], 'once');
  t.strictSame(await domain.ok('NOOP'), [], 'another account: not at all');

  const there = pairs(dropped[0]!);
  const undone = await watcher.ok(`UID MOVE ${there.get(first!)} Caught`);
  t.match(undone, [/^\* OK \[COPYUID \d+ \d+ \d+\] /], 'and no EXPUNGE: there are no messages here');
  const back = pairs(undone[0]!).get(there.get(first!)!)!;
  t.strictSame(await client.ok('NOOP'), ['* 1 EXISTS']);
  t.strictSame(await client.ok('FETCH 1 UID'), [`* 1 FETCH (UID ${back})`]);
  const byFlag = await watcher.ok(`UID STORE ${there.get(second!)} +FLAGS.SILENT (\\Deleted \\Seen)`);
  t.match(byFlag, [/^\* OK \[COPYUID \d+ \d+ \d+\] /]);
  t.strictSame(await client.ok('NOOP'), ['* 2 EXISTS']);

  // Its answer got lost: a client asks again, in a new session that does not see them any more.
  const again = await client.ok('MOVE 1:2 Release');
  const uids = [...pairs(again[0]!)];
  const fresh = await login(t, server, ada);
  await fresh.ok('SELECT Caught');
  const repeated = await fresh.ok(`UID MOVE ${uids.map(([from]) => from).join()} Release`);
  t.strictSame([...pairs(repeated[0]!)], uids, 'the same UIDs again');
  t.equal(repeated.length, 1);
  await idler.sees('* 0 EXISTS');
  idler.send('DONE');
  await idler.answer('i');
  await watcher.ok('NOOP');
});

t.test('on its way by the same action already: the same pair, and it is expunged here, too', async (t) => {
  const [client, late] = [await login(t, server, ada), await login(t, server, ada)];
  const [first, second] = await arrive(client, 2);
  await late.ok('SELECT Caught');
  const [told] = await client.ok(`UID MOVE ${first} Release`);
  const said = await late.ok(`UID MOVE ${first},${second} Release`);
  t.match(said, [/^\* OK \[COPYUID /, '* 2 EXPUNGE', '* 1 EXPUNGE']);
  t.equal(pairs(said[0]!).get(first!), pairs(told!).get(first!));
  t.strictSame(await late.ok('NOOP'), []);
  await client.ok('NOOP');
});

t.test('what others took is left out of a MOVE, and the rest is done before it is said', async (t) => {
  const [client, other] = [await login(t, server, ada), await login(t, server, 'global')];
  const uids = await arrive(client, 3);
  await other.ok('SELECT Caught');
  await other.ok(`UID MOVE ${uids[1]} Trash`);
  const said = await client.says(`UID MOVE ${uids.join()} Release`);
  t.match(said, {
    status: 'NO',
    text: '[EXPUNGEISSUED] 1 of 3 was already discarded elsewhere',
    untagged: [/^\* OK \[COPYUID /, '* 3 EXPUNGE', '* 1 EXPUNGE'],
  });
  const fetched = await client.says('FETCH 1 UID');
  t.strictSame([fetched.untagged, fetched.text.split(' ')[0]], [[], '[EXPUNGEISSUED]']);
  t.strictSame(await client.ok('NOOP'), ['* 1 EXPUNGE']);
  t.match(await client.no('UID MOVE 1:* Nowhere'), /^\[TRYCREATE\] \w+/);
});

t.test('COPY onto Trash takes it away, and its numbers stay until the client asks for news', async (t) => {
  const client = await login(t, server, ada);
  const [first, second] = await arrive(client, 2);
  const copied = await client.says('COPY 1 Trash');
  t.match(copied, { status: 'OK', text: /^\[COPYUID \d+ \d+ \d+\] /, untagged: [] });
  t.strictSame(await client.ok('STORE 1 +FLAGS (\\Deleted)'), [], 'OK, and nothing changes');
  t.strictSame(await client.ok('CHECK'), []);
  t.strictSame(await client.ok('FETCH 2 UID'), [`* 2 FETCH (UID ${second})`], 'the second is still the second');
  t.strictSame(await client.ok('EXPUNGE'), ['* 1 EXPUNGE']);
  const trashed = [...pairs(copied.text)];
  t.strictSame(
    trashed.map(([from]) => from),
    [first],
  );

  // A script goes through its folder by number.
  t.match((await client.ok('COPY 1 Spam')).join('\n'), /^\* 1 FETCH \(UID \d+ FLAGS \(\$Trained\)\)$/m);
  await client.ok('STORE 1 +FLAGS.SILENT (\\Deleted)');
  t.strictSame(await client.ok('EXPUNGE'), ['* 1 EXPUNGE']);

  await client.ok('SELECT Trash');
  const restored = await client.says(`UID COPY ${trashed[0]![1]} Caught`);
  t.match(restored, { status: 'OK', untagged: [] });
  t.ok((await client.ok('CLOSE')).length === 0);
});

t.test('CLOSE discards in Caught, hides in Trash, and does nothing in INBOX', async (t) => {
  const [client, other] = [await login(t, server, ada), await login(t, server, 'harbour.example')];
  const [uid] = await arrive(client, 1);
  await client.ok(`UID STORE ${uid} +FLAGS.SILENT (\\Deleted)`);
  t.strictSame(await client.ok('CLOSE'), []);
  await client.ok('SELECT Caught');
  t.notMatch((await client.ok('UID SEARCH ALL')).join(), new RegExp(` ${uid}\\b`));
  await client.ok('UNSELECT');
  const count = async (of: ImapClient): Promise<number> =>
    Number(/MESSAGES (\d+)/.exec((await of.ok('STATUS Trash (MESSAGES)'))[0]!)![1]);
  const [hers, theirs] = [await count(client), await count(other)];
  await client.ok('SELECT Trash');
  await client.ok('STORE * +FLAGS.SILENT (\\Deleted)');
  await client.ok('CLOSE');
  t.strictSame([await count(client), await count(other)], [hers - 1, theirs]);

  const inbox = await client.ok('SELECT INBOX');
  t.ok(inbox.includes('* 1 EXISTS'));
  const permanent = inbox.find((line) => line.includes('PERMANENTFLAGS'));
  t.match(permanent, /\\Seen/);
  t.notMatch(permanent, /\\Deleted/);
  await client.ok('STORE 1 +FLAGS (\\Deleted \\Flagged)');
  t.strictSame(await client.ok('EXPUNGE'), []);
  await client.ok('CLOSE');
  t.ok((await client.ok('SELECT INBOX')).includes('* 1 EXISTS'));
  t.match(await client.ok('FETCH 1 FLAGS'), ['* 1 FETCH (FLAGS (\\Flagged))']);
  for (const command of ['COPY 1 Release', 'MOVE 1 Trash', 'UID COPY 1:* Spam'])
    t.match(await client.no(command), /^\[CANNOT\] \w+/, command);
});

t.test('APPEND: any message onto Spam, and never a stranger’s onto Release', async (t) => {
  const [client, watcher] = [await login(t, server, ada), await login(t, server, ada)];
  await watcher.ok('SELECT Spam');
  watcher.send('i IDLE');
  await watcher.sees(/^\+ /);
  const stranger = mailAbout('never seen here');
  const put = (folder: string) => client.says(`APPEND ${folder} {${stranger.length}+}\r\n${stranger}`);
  t.match(await put('Spam'), { status: 'OK', text: /^Appended/ }, 'without APPENDUID');
  await watcher.sees('* 0 EXISTS');
  watcher.send('DONE');
  await watcher.answer('i');
  t.match(await put('Release'), { status: 'NO', text: /^\[CANNOT\] It is not identical to a message held here/ });
  for (const folder of ['INBOX', 'Caught', 'Trash'])
    t.match(await client.no(`APPEND ${folder} {10}`), /^\[CANNOT\] \w+/, `${folder}, before it is sent`);
  t.equal(server.sink.messages?.length ?? 0, 0);
});
