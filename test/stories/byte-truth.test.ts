/**
 * Rows 8, 9, 10, 16, 17 and 18 on the whole server: what was handed over is what is shown and what is released, octet by
 * octet, below the lines that DESIGN §7.6 and §7.7 name.
 */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RawClient } from '../smtp/raw-client.ts';
import { startApp } from '../support/app.ts';
import { dkimFault, signDkim } from '../support/dkim.ts';
import type { ImapClient } from '../support/imap-client.ts';
import { ended, type HandedOver, handOver, login } from './hand-over.ts';

const fixtures = join(import.meta.dirname, '../fixtures');

interface Sample {
  readonly name: string;
  readonly sent: Buffer;
}

const samples: readonly Sample[] = ['raw', 'filtered'].flatMap((folder) =>
  readdirSync(join(fixtures, folder))
    .filter((name) => name.endsWith('.eml'))
    .sort()
    .map((name) => ({ name: `${folder}/${name}`, sent: ended(readFileSync(join(fixtures, folder, name))) })),
);
/** Those that begin with the block of a filter that is recognised by it. */
const hasBlock = /filtered\/(amavis-(lmtp|smtp|sql|local)|spamassassin-process|rspamd-custom)/;
const blockNames =
  /^(?:Return-Path|Delivered-To|X-Envelope-(?:From|To|To-Blocked)|X-Quarantine-(?:ID|Client)|X-Amavis-[\w-]+|X-Spam-[\w-]+|X-Spamd-Result):/i;

const shownLines = /^(?:X-Lazaret-(?:Id|Reason|Score|Rules|Authentication|Disposition):.*\r\n(?:[ \t].*\r\n)*)+/;
const traceLines =
  /^Received: by quarantine\.example \(Lazaret\) id (\d+);\r\n .*\r\nX-Lazaret-Release: .*\r\n(?: .*\r\n)+Resent-From: Lazaret <postmaster@quarantine\.example>\r\nResent-Date: .*\r\nResent-Message-ID: <[^>]+@quarantine\.example>\r\n/;

/** What is left of a message when the filter's block is taken off: one run of its fields is missing, nothing else. */
function withoutBlock(kept: string, sent: string): string | undefined {
  let same = 0;
  while (same < kept.length && kept[same] === sent[same]) same++;
  const missing = sent.length - kept.length;
  // Where the octet after the run repeats the run's beginning, the difference shows later than the run begins.
  for (let start = same; start >= 0; start--) {
    const run = sent.slice(start, start + missing);
    if (sent.slice(0, start) + sent.slice(start + missing) !== kept) return undefined;
    if (start === 0 || sent[start - 1] === '\n')
      if (run.split(/\r?\n(?![ \t])/).every((field) => field === '' || blockNames.test(field))) return run;
  }
  return undefined;
}

/** One literal per message: `BODY[]`, with its UID and what else was asked for. */
async function fetchAll(
  client: ImapClient,
  set: string,
): Promise<Map<number, { readonly size: number; readonly shown: string }>> {
  const found = new Map<number, { size: number; shown: string }>();
  client.octets = true;
  for (const response of await client.ok(`UID FETCH ${set} (UID RFC822.SIZE BODY.PEEK[])`)) {
    const [, uid, size, octets] = /^\* \d+ FETCH \(UID (\d+) RFC822\.SIZE (\d+) BODY\[\] \{(\d+)\}\r\n/.exec(response)!;
    const shown = response.slice(response.indexOf('\r\n') + 2, -1);
    if (shown.length !== Number(octets)) throw new Error('a literal is not what was announced');
    found.set(Number(uid), { size: Number(size), shown });
  }
  return found;
}

async function body(client: ImapClient, uid: number, section: string): Promise<string | undefined> {
  const [response = ''] = await client.ok(`UID FETCH ${uid} (BODY.PEEK[${section}])`);
  const at = response.indexOf(`BODY[${section}] `) + section.length + 7;
  const rest = response.slice(at);
  if (rest.startsWith('NIL')) return undefined;
  if (rest.startsWith('{')) return rest.slice(rest.indexOf('\r\n') + 2).replace(/(?: UID \d+)?\)$/, '');
  return /^"((?:[^"\\]|\\.)*)"/.exec(rest)![1]!.replace(/\\(.)/g, '$1');
}

/** A naive reader of parts, for messages that are well-formed: section → octets. */
function naiveParts(message: string): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (entity: string, path: string, isPart: boolean): void => {
    const at = entity.startsWith('\r\n') ? 0 : entity.indexOf('\r\n\r\n') + 2;
    const header = entity.slice(0, at + 2);
    const text = entity.slice(at + 2);
    const type = /^Content-Type:\s*([^;\s]+)((?:.*\r\n[ \t])*.*)/im.exec(header);
    const boundary = /boundary="?([^";\r\n]+)"?/i.exec(type?.[2] ?? '')?.[1];
    const under = (n: number | string) => (path === '' ? `${n}` : `${path}.${n}`);
    if (isPart) {
      found.set(path, text);
      found.set(`${path}.MIME`, header);
    }
    if (/^multipart\//i.test(type?.[1] ?? '') && boundary) {
      const pieces = `\r\n${text}`.split(`\r\n--${boundary}`);
      for (const [n, piece] of pieces.slice(1).entries()) {
        if (piece.startsWith('--')) break;
        walk(piece.replace(/^[ \t]*\r\n/, ''), under(n + 1), true);
      }
    } else if (isPart && /^message\/rfc822$/i.test(type?.[1] ?? '')) {
      const inner = text.startsWith('\r\n') ? 0 : text.indexOf('\r\n\r\n') + 2;
      found.set(`${path}.HEADER`, text.slice(0, inner + 2));
      found.set(`${path}.TEXT`, text.slice(inner + 2));
      walk(text, path, false);
    } else if (!isPart) found.set(under(1), text);
  };
  walk(message, '', false);
  return found;
}

t.test('row 8, row 9: every sample, in by LMTP and SMTP, out by FETCH and by release', async (t) => {
  const server = await startApp(t);
  const sent = new Map<string, Sample>();
  for (const protocol of ['lmtp', 'smtp'] as const) {
    const mails: HandedOver[] = samples.map((sample, at) => {
      const recipient = `${protocol}-${at}@harbour.example`;
      sent.set(recipient, sample);
      return { recipients: [recipient], message: sample.sent };
    });
    for (const reply of await handOver(server, protocol, mails)) t.match(reply, /^250 2\.0\.0 /);
  }
  await server.until('arrived', sent.size);
  const recipients = new Map<number, string>();
  for (const event of server.events) if (event.kind === 'arrived') recipients.set(event.entryId, event.owner);

  const client = await login(t, server, 'global');
  await client.ok('EXAMINE Caught');
  const all = await fetchAll(client, '1:*');
  t.equal(all.size, sent.size, 'each is one message');
  const kept = new Map<string, string>();
  for (const [uid, { size, shown }] of all) {
    const recipient = recipients.get(uid)!;
    const { name, sent: octets } = sent.get(recipient)!;
    const label = `${name} by ${recipient.slice(0, 4)}`;
    if (size !== shown.length) t.fail(`${label}: RFC822.SIZE ${size}, BODY[] ${shown.length}`);
    const prefix = shownLines.exec(shown)?.[0] ?? '';
    if (!prefix.includes(`X-Lazaret-Id: ${uid}\r\n`)) t.fail(`${label}: no prefix`);
    const below = shown.slice(prefix.length);
    const original = octets.toString('latin1');
    // Out of a report of SpamAssassin the message in it is taken, and it is that which is kept.
    if (name.includes('report-safe')) {
      const reported = readFileSync(join(fixtures, 'raw/spam-gtube.eml')).toString('latin1');
      t.equal(below, reported, label);
      kept.set(recipient, reported);
      continue;
    }
    const block = withoutBlock(below, original.replaceAll('\0', '\x80'));
    if (block === undefined) t.fail(`${label}: shown is not what was sent`);
    t.equal(block !== '', hasBlock.test(name), `${label}: a block where there is one`);
    const start = original.replaceAll('\0', '\x80').indexOf(block ?? '');
    kept.set(recipient, original.slice(0, start) + original.slice(start + (block?.length ?? 0)));
  }

  await client.ok('SELECT Caught');
  const released = await client.says('UID MOVE 1:* Release');
  t.equal(released.status, 'OK');
  await server.until('released', sent.size);
  t.equal(server.sink.messages.length, sent.size, 'each is delivered once');
  for (const { bytes, recipients: to, sender } of server.sink.messages) {
    const recipient = to[0]!;
    const text = bytes.toString('latin1');
    const [trace = '', id] = traceLines.exec(text) ?? [];
    t.equal(recipients.get(Number(id)), recipient);
    t.equal(sender, 'stranger@elsewhere.example');
    if (text.slice(trace.length) !== kept.get(recipient)) t.fail(`${sent.get(recipient)!.name} was released changed`);
  }
  t.same(
    server.sink.messages.map((message) => message.recipients.join()).sort(),
    [...sent.keys()].sort(),
    'each to its own recipient',
  );

  await t.test('the signature of the S/MIME sample holds after the release', (t) => {
    const at = samples.findIndex(({ name }) => name === 'raw/ham-smime-signed.eml');
    const message = server.sink.messages.find(({ recipients: [to] }) => to === `lmtp-${at}@harbour.example`)!;
    if (spawnSync('openssl', ['version']).status !== 0) {
      if (process.env.CI) t.fail('openssl must be there in CI');
      t.pass('not verified: there is no openssl', { skip: 'there is no openssl' });
      return t.end();
    }
    const verify = (name: string, bytes: Buffer) => {
      const file = join(server.folder, name);
      writeFileSync(file, bytes);
      return spawnSync('openssl', ['smime', '-verify', '-noverify', '-in', file, '-out', '/dev/null'], {
        encoding: 'utf8',
      });
    };
    const right = verify('released.eml', message.bytes);
    t.equal(right.status, 0, right.stderr);
    const forged = Buffer.from(message.bytes.toString('latin1').replace('42 EUR', '43 EUR'), 'latin1');
    t.not(verify('forged.eml', forged).status, 0, 'and would not hold for another text');
    t.end();
  });
});

t.test('row 8: every part of a well-formed sample is what a naive reader finds', async (t) => {
  const server = await startApp(t);
  // Those that came out of files with bare LF are read too (test/imap/mime.test.ts), but not by so naive a reader.
  const wellFormed = samples.filter(
    ({ name, sent }) => !/raw\/(?:attack|broken)-/.test(name) && !/(?<!\r)\n/.test(sent.toString('latin1')),
  );
  await handOver(
    server,
    'lmtp',
    wellFormed.map(({ sent }, at) => ({ recipients: [`r${at}@harbour.example`], message: sent })),
  );
  const client = await login(t, server, 'harbour.example');
  await client.ok('EXAMINE Caught');
  const all = await fetchAll(client, '1:*');
  t.equal(all.size, wellFormed.length);
  let parts = 0;
  for (const [at, [uid, { shown }]] of [...all].entries()) {
    const { name } = wellFormed[at]!;
    for (const [section, expected] of naiveParts(shown)) {
      parts++;
      const got = await body(client, uid, section);
      if (got !== expected) t.equal(got?.slice(0, 300), expected.slice(0, 300), `${name} BODY[${section}]`);
    }
    const header = await body(client, uid, 'HEADER');
    t.equal(`${header}${(await body(client, uid, 'TEXT')) ?? ''}` === shown, true, `${name}: HEADER and TEXT are all`);
    t.equal(await body(client, uid, '99'), undefined, 'there is no part 99');
  }
  t.ok(parts > 120, `${parts} parts were compared`);
});

const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
const letter =
  'Received: from mx.elsewhere.example by mx.harbour.example; Tue, 24 Nov 2026 10:00:00 +0000\r\n' +
  'From:  Ann  Example <ann@elsewhere.example>\r\nTo: ada@harbour.example\r\nSubject: Folded \r\n\tand  spaced\r\n' +
  'Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <signed@elsewhere.example>\r\nMIME-Version: 1.0\r\n\r\n' +
  'Some   text \t\r\n.dot\r\n..dots\r\nand the end\r\n\r\n\r\n';

t.test('DKIM signatures hold after a release, also those that name fields we would add', async (t) => {
  const server = await startApp(t);
  const common = ['From', 'To', 'Subject', 'Date', 'Message-ID', 'From'];
  const cases = (['relaxed', 'simple'] as const).flatMap((canonical) =>
    [
      { signed: common, resent: true, received: true },
      { signed: [...common, 'Resent-From', 'Resent-Date'], resent: false, received: true },
      { signed: [...common, 'resent-message-id'], resent: false, received: true },
      { signed: [...common, 'Received', 'Received'], resent: true, received: false },
    ].map((one) => ({ canonical, ...one })),
  );
  const block =
    'X-Envelope-From: <ann@elsewhere.example>\r\nX-Envelope-To: <ada@harbour.example>\r\nX-Quarantine-ID: <abc>\r\n' +
    'X-Spam-Flag: YES\r\nX-Spam-Score: 9.9\r\n';
  await handOver(
    server,
    'smtp',
    cases.flatMap(({ canonical, signed }, at) => {
      const message = signDkim(letter, key.privateKey, { canonical, signed });
      t.equal(dkimFault(message, key.publicKey), undefined, 'the test signs rightly');
      return [
        { recipients: [`plain-${at}@harbour.example`], message },
        { recipients: [`amavis-${at}@harbour.example`], message: block + message },
      ];
    }),
  );
  const client = await login(t, server, 'global');
  await client.ok('SELECT Caught');
  await client.ok('UID MOVE 1:* "Release &- Train"');
  await server.until('released', 2 * cases.length);
  for (const { bytes, recipients } of server.sink.messages) {
    const text = bytes.toString('latin1');
    const { canonical, signed, resent, received } = cases[Number(/\d/.exec(recipients[0]!)?.[0])]!;
    const label = `${recipients[0]} ${canonical} h=${signed.join(':')}`;
    t.equal(dkimFault(text, key.publicKey), undefined, label);
    t.equal(/^Resent-From:/m.test(text), resent, label);
    t.equal(text.includes('(Lazaret)'), received, label);
    t.match(text, /^X-Lazaret-Release: v1;/m);
    t.notMatch(text, /^X-Spam-Flag/m, 'the block is gone');
    t.equal(dkimFault(text.replace('the end', 'an end'), key.publicKey), 'the body was changed');
    t.equal(dkimFault(text.replace('Folded', 'Changed'), key.publicKey), 'the header was changed');
    if (!resent) {
      const added = `Resent-Message-ID: <x@y>\r\nResent-From: a@b\r\nResent-Date: c\r\n${text}`;
      t.equal(dkimFault(added, key.publicKey), 'the header was changed', 'it would not have held with the whole block');
    }
  }
});

t.test('row 10: what is smuggled in stays one message, and goes out as one', async (t) => {
  const server = await startApp(t);
  const ends = ['\n.\n', '\n.\r\n', '\r.\r', '\r.\r\n', '\r\n.\n', '\r\n.\r', '\r\n\0.\r\n', '\n\n.\r\r\n'];
  const smuggled =
    'MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<ben@quay.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n';
  const messages = ends.map((end, at) => `Subject: form ${at}\r\n\r\nbefore${end}${smuggled}`);
  let taken = 0;
  for (const protocol of ['lmtp', 'smtp'] as const)
    for (const [at, message] of messages.entries())
      for (const cut of [1_000_000, 7]) {
        const client = await RawClient.connect(server.addresses[protocol][0]!.port);
        const to = `${protocol}-${at}-${cut}@harbour.example`;
        const greeting = protocol === 'lmtp' ? 'LHLO' : 'EHLO';
        const dialogue = `${greeting} x\r\nMAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<${to}>\r\nDATA\r\n${message}.\r\nNOOP\r\n`;
        const sent = client.pieces(Buffer.from(dialogue, 'latin1'), () => cut);
        const replies = await client.replies(6);
        await sent;
        t.match(replies[3], /^354/);
        t.match(replies[4], /^(?:250 2\.0\.0 Ok: kept|550 5\.5\.2)/);
        t.match(replies[5], /^250/, 'and nothing was said in between');
        if (replies[4]!.startsWith('250')) taken++;
        client.close();
      }
  const ben = await login(t, server, 'ben@quay.example');
  t.match(await ben.ok('STATUS Caught (MESSAGES)'), ['* STATUS "Caught" (MESSAGES 0)'], 'nothing for the victim');
  const client = await login(t, server, 'global');
  t.ok((await client.ok('SELECT Caught')).includes(`* ${taken} EXISTS`));

  // Half of them to a hop that ends at all those forms and knows DATA only, half to one that has BDAT.
  const uids = [...(await fetchAll(client, '1:*')).keys()];
  const half = Math.floor(uids.length / 2);
  for (const [some, extensions] of [
    [uids.slice(0, half), ['PIPELINING', '8BITMIME', 'SMTPUTF8']],
    [uids.slice(half), ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'CHUNKING']],
  ] as const) {
    server.sink.options = { lenient: true, extensions };
    const before = server.sink.messages.length;
    await client.ok(`UID MOVE ${some.join()} Release`);
    await server.until('released', before + some.length);
    t.equal(server.sink.messages.length, before + some.length);
    for (const open of server.sink.open) open.destroy(); // or the next hop's words would still be those of the last
  }
  for (const { sender, bytes, by, recipients } of server.sink.messages) {
    t.equal(sender, 'a@elsewhere.example');
    const text = bytes.toString('latin1');
    const original = messages[Number(recipients[0]!.split('-')[1])]!;
    const below = text.slice(text.indexOf('Subject: form'));
    if (by === 'BDAT') t.equal(below, original);
    else t.equal(below.replace(/([\r\n])\.\.(?=[\r\n])/g, '$1.'), original, 'but for a dot more');
  }
});

t.test('rows 16, 17, 18: hostile structure is kept, shown and released, and holds up nobody', async (t) => {
  const server = await startApp(t);
  const flood = (name: string, lines: number, line: (n: number) => string) => ({
    name,
    message: `${Array.from({ length: lines }, (_, n) => `${line(n)}\r\n`).join('')}Subject: ${name}\r\n\r\ntext\r\n`,
  });
  const repeated = (name: string, piece: string, octets = 300_000) => {
    const long = piece.repeat(Math.floor(octets / piece.length));
    return { name, message: `From: ${long}\r\nSubject: ${long}\r\nContent-Type: text/plain; ${long}\r\n\r\ntext\r\n` };
  };
  const read = (name: string) => ({
    name,
    message: readFileSync(join(fixtures, 'raw', `${name}.eml`)).toString('latin1'),
  });
  const hostile: { name: string; message: string }[] = [
    ...['attack-nested-multipart-100', 'attack-nested-multipart-2000', 'ham-rfc822-12-levels'].map(read),
    ...['attack-5000-parts', 'attack-1000-recipients-header', 'attack-3000-header-lines'].map(read),
    flood('100,000 To', 100_000, (n) => `To: a${n}@elsewhere.example`),
    { name: 'one header of 10 MB', message: `X-Long: ${'x'.repeat(10_000_000)}\r\nSubject: s\r\n\r\ntext\r\n` },
    {
      name: '50,000 parameters',
      message: `Content-Type: text/plain;${Array.from({ length: 50_000 }, (_, n) => ` a*${n}=b;`).join('\r\n')}\r\n\r\ntext\r\n`,
    },
    ...['=?', '(((', '<<<<', ';;;;', '"\\"\\', 'QUJD', '=?utf-8?q?a?= '].map((piece) => repeated(piece, piece)),
  ];
  const ben = await login(t, server, 'ben@quay.example');
  let worstMs = 0;
  let over = false;
  const beside = (async () => {
    while (!over) {
      const before = performance.now();
      await ben.ok('NOOP');
      worstMs = Math.max(worstMs, performance.now() - before);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const mails = hostile.map(({ message }, at) => ({
    recipients: [`h${at}@harbour.example`],
    message: Buffer.from(message, 'latin1'),
  }));
  for (const reply of await handOver(server, 'lmtp', mails)) t.match(reply, /^250/);
  const client = await login(t, server, 'global');
  await client.ok('SELECT Caught');
  for (const [at, { name }] of hostile.entries()) {
    const before = performance.now();
    const said = await client.ok(`FETCH ${at + 1} (ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE)`);
    const ms = performance.now() - before;
    t.equal(said.length, 1);
    t.ok(ms < 3000, `${name}: ${Math.round(ms)} ms`);
    const depth = deepest(said[0]!);
    t.ok(depth < 250, `${name}: nested ${depth} deep`);
  }
  await client.ok('UID MOVE 1:* Release');
  await server.until('released', hostile.length);
  over = true;
  await beside;
  t.equal(server.sink.messages.length, hostile.length);
  for (const { bytes, recipients } of server.sink.messages) {
    const { name, message } = hostile[Number(/\d+/.exec(recipients[0]!)?.[0])]!;
    t.ok(bytes.subarray(bytes.length - message.length).equals(Buffer.from(message, 'latin1')), `${name} is whole`);
  }
  t.ok(worstMs < 3000, `somebody else's NOOP waited ${Math.round(worstMs)} ms at most`);
});

function deepest(response: string): number {
  let depth = 0;
  let most = 0;
  for (const [token] of response.matchAll(/"(?:[^"\\]|\\.)*"|[()]/g)) {
    if (token === '(') most = Math.max(most, ++depth);
    else if (token === ')') depth--;
  }
  return most;
}
