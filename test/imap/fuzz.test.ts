/**
 * Junk in four states: before login, after it, with a mailbox selected, and in the middle of something. Nothing may crash or hang, and
 * every answer must be well-formed (the client checks each); after junk the next command is answered, or the connection was ended
 * with BYE.
 */
import t from 'tap';
import { mail } from '../support/fake-backend.ts';
import { ImapClient } from '../support/imap-client.ts';
import { randomFrom } from './random.ts';
import { type World, world } from './world.ts';

const names =
  'CAPABILITY NOOP LOGOUT ID STARTTLS AUTHENTICATE LOGIN ENABLE SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB NAMESPACE STATUS APPEND IDLE CHECK CLOSE UNSELECT EXPUNGE SEARCH FETCH STORE COPY MOVE UID DONE'.split(
    ' ',
  );
const words =
  '1 1:* 2,3 *:1 0 4294967295 4294967296 1:2:3 ( ) () [ ] " "" "a" "\\"" \\ \\Seen \\Deleted $x FLAGS +FLAGS -FLAGS.SILENT BODY[] BODY.PEEK[HEADER.FIELDS (From)]<0.5> BODY[1.2.MIME] BODY[ ENVELOPE BODYSTRUCTURE ALL MODSEQ (CHANGEDSINCE 1) RETURN (MIN MAX) RETURN () SUBJECT OR NOT SINCE 1-Feb-2026 1-Foo-2026 "1-Feb-2026 00:00:00 +0000" UNSEEN CHARSET UTF-8 KOI8-R Caught INBOX Nowhere "Gr&APwA3w-e" & % * (MESSAGES UNSEEN) (CONDSTORE) CONDSTORE NIL PLAIN = AGJvYgB4 bob secret wrong {0} {3+} {5} {-1} {99999999999} {70000} é \0 \xff'.split(
    ' ',
  );

t.test('junk in four states is answered, and the answers are well-formed', async (t) => {
  const random = randomFrom(t);
  const w = await world(t, { limits: { badCommands: 6 } });
  for (let i = 0; i < 5; i++) w.backend.put('Caught', mail(`Number ${i}`), { flags: i % 2 ? ['\\Seen'] : [] });
  w.backend.keeps.add('Caught');
  const states = ['before login', 'logged in', 'selected', 'in the middle'];
  for (const [index, state] of states.entries()) {
    let answered = 0;
    let client = await enter(w, index, random);
    for (let round = 0; round < 3_000; round++) {
      const junk = junkLine(random, round);
      const end = await throwAt(client, junk, `p${round}`, index === 3);
      answered++;
      if (end === 'ended' || random(20) === 0) {
        client.abandon();
        client = await enter(w, index, random);
      }
      if (w.backend.folder('Caught').view.count < 3) for (let i = 0; i < 3; i++) w.backend.put('Caught', mail('x'));
    }
    client.abandon();
    t.equal(answered, 3_000, state);
  }
  const fresh = await w.client('INBOX');
  await fresh.ok('NOOP');
  t.notMatch(w.logged.join('\n'), /A command failed|A connection failed|could not/, 'nothing but refusals');
});

async function enter(w: World, state: number, random: (n: number) => number): Promise<ImapClient> {
  const client = await ImapClient.connect(undefined, w.port);
  if (state >= 1) await client.ok('LOGIN bob secret');
  if (state >= 2) await client.ok('SELECT Caught');
  if (state === 3) client.send(['m IDLE', 'm APPEND Caught {30+}', 'm SEARCH SUBJECT {9+}'][random(3)]!);
  return client;
}

function junkLine(random: (n: number) => number, round: number): Buffer {
  const pick = <T>(from: readonly T[]) => from[random(from.length)]!;
  let text = `j${round} ${random(8) === 0 ? 'UID ' : ''}${pick(names)}`;
  for (let i = random(6); i > 0; i--) text += `${random(12) === 0 ? '' : ' '}${pick(words)}`;
  text += '\r\n';
  const bytes = Buffer.from(text.replaceAll('\\0', '\0').replaceAll('\\xff', '\xff'), 'latin1');
  // Now and then an octet is another, is missing, or is there twice.
  const at = random(bytes.length);
  switch (random(6)) {
    case 0:
      bytes[at] = random(256);
      return bytes;
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 3))]);
    default:
      return bytes;
  }
}

/** Sends junk in two cuts, then a probe; whatever the server asks for is given. */
async function throwAt(
  client: ImapClient,
  junk: Buffer,
  probe: string,
  inside: boolean,
): Promise<'answered' | 'ended'> {
  const cut = junk.length >> 1;
  client.write(junk.subarray(0, cut));
  await new Promise((resolve) => setImmediate(resolve));
  client.write(junk.subarray(cut));
  const filler = `${'y'.repeat(80)}\r\nDONE\r\n*\r\n`;
  // Behind the literal that may be open: the word {3+}, or what a changed or doubled octet makes of it.
  const literal = /\{(\d{1,6})\+\}\r?\n$/.exec(junk.toString('latin1'));
  const rest = 'y'.repeat(Math.max(Number(literal?.[1] ?? 0), inside ? 40 : 0));
  client.write(`\r\n${rest}\r\n${probe} NOOP\r\n`);
  let fed = 0;
  for (;;) {
    let response: string;
    try {
      response = await client.next();
    } catch (error) {
      if (client.closed && /closed the connection/.test((error as Error).message)) return 'ended';
      throw new Error(`after ${JSON.stringify(junk.toString('latin1'))}: ${(error as Error).message}`, {
        cause: error,
      });
    }
    if (response.startsWith(`${probe} `)) return 'answered';
    if (/ OK Begin TLS/.test(response)) return 'ended'; // what comes now is no IMAP
    if (response.startsWith('* BYE')) {
      await client.gone();
      return 'ended';
    }
    // A line, a short literal, or one of up to 70,000 octets.
    const large = fed++ > 0 || /\{[0-9]{3}/.test(junk.toString('latin1'));
    if (response.startsWith('+ ')) client.write(`${large ? 'z'.repeat(70_000) : ''}${filler}${probe} NOOP\r\n`);
    if (fed > 50) throw new Error(`after ${JSON.stringify(junk.toString('latin1'))}: it asks for ever`);
  }
}
