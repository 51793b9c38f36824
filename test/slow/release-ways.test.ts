/** Ways out into the real programs: Dovecot by LMTP and by IMAP, amavis by AM.PDP, Postfix by the port without filters. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { byAmavis } from '#app/delivery/by-amavis';
import { byImap } from '#app/delivery/by-imap';
import type { Outcome, Parcel } from '#app/delivery/transport';
import { type ImapBox, parseAmavisSocket, parseWay } from '#app/delivery/way';
import type { KeptByAmavis } from '#store/model';
import { run } from '../cli/world.ts';
import { Amavis, amavisOrSkip } from '../support/amavis.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { blockOf, fill } from '../support/doc-blocks.ts';
import { Dovecot, dovecotOrSkip } from '../support/dovecot.ts';
import { freePort } from '../support/free-port.ts';
import { Postfix, postfixOrSkip } from '../support/postfix.ts';
import { drop, recipient, releaseOne, sender, spam } from '../support/releases.ts';
import { Sink } from '../support/sink.ts';
import { submit } from '../support/submit.ts';

const page = 'docs/release.md';
const { signal } = new AbortController();

const parcel = (owner: string, message = 'Subject: x\r\n\r\nx\r\n'): Parcel =>
  ({
    entry: { owner, recipient: owner, internalDate: new Date() },
    attempt: 1,
    mark: 'drop=AAAAAAAAAAAAAAAA;',
    async *source() {
      yield Buffer.from(message);
    },
  }) as unknown as Parcel;

/** A first try. */
const ended = (server: TestApp) =>
  Promise.race([server.until('released'), server.until('release-waits'), server.until('release-failed')]);

t.test('Dovecot takes a release by LMTP, and says so for each', async (t) => {
  if (!dovecotOrSkip(t)) return;
  const dovecot = await Dovecot.start(t);
  const server = await startApp(t, { delivery: { nextHop: `lmtp://127.0.0.1:${dovecot.lmtpPort}?tls=none` } });
  const entry = await releaseOne(server, spam('By LMTP'));
  await ended(server);
  t.match(server.events.at(-1), { kind: 'released', said: /^250 2\.0\.0 <ada@harbour\.example> \S+ Saved/ });
  const [found] = await dovecot.mailbox(recipient);
  t.match(found?.source, /^X-Lazaret-Release: v1;/m);
  t.ok(found?.source.endsWith(spam('By LMTP')), 'the stored bytes, below the trace');
  t.match(await server.app.store.entries.get(entry.id), { state: 'released' });

  const nobody = await releaseOne(server, spam('For nobody'), 'nobody@harbour.example');
  await server.until('release-failed');
  const back = await server.app.store.entries.get(nobody.id);
  t.match(back, { state: 'held', folder: 'caught' });
  t.match(back?.prefix, /X-Lazaret-Status: failed: 550 5\.1\.1/);
});

t.test('a mailbox takes a release by IMAP, once', async (t) => {
  if (!dovecotOrSkip(t)) return;
  const dovecot = await Dovecot.start(t, blockOf(page, 'dovecot.conf'));
  const door = await ImapDoor.open(t, dovecot.imapPort);
  const { domains } = parse(blockOf(page, 'imap/lazaret.yaml'));
  const domain = domains['harbour.example'];
  const nextHop = (port: number, folder = 'INBOX') =>
    fill(domain.nextHop, {
      'imaps://': 'imap://',
      password: 'master-secret',
      'imap.example.com/INBOX': `127.0.0.1:${port}/${folder}?tls=none`,
    });
  t.match(domain.nextHop, /^imaps:/);
  const server = await startApp(t, {
    domains: { 'harbour.example': { nextHop: nextHop(door.port) }, 'quay.example': {} },
  });
  const before = Date.now();
  const entry = await releaseOne(server, spam('By IMAP'), 'Ada+shop@harbour.example');
  await ended(server);
  t.match(server.events.at(-1), { kind: 'released', said: /^OK in INBOX of ada@harbour\.example, uid 1$/ });
  const [found] = await dovecot.mailbox('ada@harbour.example');
  t.ok(found?.source.endsWith(spam('By IMAP')), 'the stored bytes, below the trace');
  t.match(found?.source, /^Received: by quarantine\.example \(Lazaret\)/);
  t.same(
    found?.flags.filter((flag) => flag !== '\\Recent'),
    [],
    'unread',
  );
  t.ok(Math.abs(found!.internalDate.getTime() - before) < 60_000);
  t.match(await server.app.store.entries.get(entry.id), { state: 'released' });
  t.same(await dovecot.mailbox('ben@harbour.example'), [], "nobody else's");

  // The answer to APPEND is lost.
  door.loseAppend();
  const lost = await releaseOne(server, spam('Lost answer'));
  await server.until('release-waits');
  t.equal((await dovecot.mailbox(recipient)).length, 2, 'it is there');
  server.advance(10 * 60_000);
  await server.until('released', 2);
  t.match(server.events.at(-1), { said: /from an earlier try$/ });
  t.equal((await dovecot.mailbox(recipient)).length, 2, 'and was not put there again');
  t.match(await server.app.store.entries.get(lost.id), { state: 'released' });

  // What the transport answers to what can go wrong.
  const send = (way: string, owner = recipient): Promise<Outcome> =>
    byImap(parseWay(way) as ImapBox, { connectMs: 2000, silenceMs: 2000 }).send(parcel(owner), signal);
  t.match(await send(nextHop(dovecot.imapPort)), { kind: 'accepted' });
  t.match(await send(nextHop(dovecot.imapPort, 'Nowhere')), { kind: 'refused', said: /^NO \[TRYCREATE\]/ });
  t.match(await send(nextHop(dovecot.imapPort).replace('master-secret', 'wrong')), {
    kind: 'later',
    said: /AUTHENTICATIONFAILED.*\(at the login\)$/,
  });
  t.match(await send(nextHop(dovecot.imapPort), 'eve*ben@harbour.example'), {
    kind: 'refused',
    said: /a login cannot/,
  });
  t.match(await send(nextHop(await freePort())), { kind: 'later', said: /cannot be used \(ECONNREFUSED\)/ });
  t.match(
    await send(nextHop(dovecot.imapPort).replace('?tls=none', '')),
    {
      kind: 'later',
      said: /cannot be used/,
    },
    'no password leaves without TLS',
  );
  t.notMatch(dovecot.log.slice(-300), /master-secret/);
});

t.test('a mailbox server is spoken to over TLS, as the way says', async (t) => {
  if (!dovecotOrSkip(t)) return;
  const dovecot = await Dovecot.start(t, blockOf(page, 'dovecot.conf'), { tls: true });
  const nul = 'Subject: NUL\r\n\r\na\0b\r\n';
  const send = (way: string) => {
    const box = parseWay(way.replace('://', '://{user}*lazaret:master-secret@')) as ImapBox;
    return byImap(box, { connectMs: 5000 }).send(parcel(recipient, nul), signal);
  };
  const { imapPort, imapsPort } = dovecot;
  t.match(await send(`imap://127.0.0.1:${imapPort}`), { kind: 'accepted' }, 'STARTTLS, with any certificate');
  t.match(await send(`imaps://127.0.0.1:${imapsPort}?tls=require`), { kind: 'accepted' });
  for (const way of [`imaps://127.0.0.1:${imapsPort}`, `imap://127.0.0.1:${imapPort}?tls=verify`])
    t.match(
      await send(way),
      { kind: 'later', said: /^the mailbox server cannot be used \(.*CERT/ },
      'a certificate of its own',
    );
  const [first, second, ...more] = await dovecot.mailbox(recipient);
  t.same(
    [first?.source, second?.source],
    [nul, nul].map((text) => text.replace('\0', '\x80')),
    'NUL as IMAP shows it',
  );
  t.same(more, []);
});

t.test('what amavis keeps, amavis releases', async (t) => {
  if (!amavisOrSkip(t)) return;
  const [mailbox, pdp] = [await Sink.start(t), await freePort()];
  const amavisPage = 'docs/connect/amavis.md';
  const database = await Amavis.database(t, blockOf(amavisPage, 'schema.sql'));
  const amavis = await Amavis.start(t, {
    files: {
      '60-lazaret': fill(blockOf(amavisPage, '60-lazaret'), {
        'smtp:[127.0.0.1]:10025': `smtp:[127.0.0.1]:${mailbox.port}`,
      }),
      '62-sql': fill(blockOf(amavisPage, '62-sql'), { '/var/lib/amavis/log.db': database }),
      '63-release': fill(blockOf(page, 'amavis/63-release'), { '10024': '$inet_socket_port', '9998': String(pdp) }),
      '64-test': '$release_method = $forward_method;\n1;\n',
    },
  });
  const delivery = fill(blockOf(page, 'amavis/lazaret.yaml'), { '9998': String(pdp) });
  const server = await startApp(t, parse(delivery));
  const config = join(server.folder, 'import.yaml');
  writeFileSync(config, JSON.stringify({ store: server.storeUrl }));
  await submit(amavis.port, { from: sender, to: [recipient, 'ben@harbour.example'], message: spam('Kept') });
  t.match(await run('import', '--amavis', `sqlite:${database}`, '--config', config), { out: /^imported 1,/ });
  const entries = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 10 });
  const [ada] = entries.filter((entry) => entry.recipient === recipient);
  await drop(server, ada!);
  await ended(server);
  t.match(server.events.at(-1), { kind: 'released', said: /^250 2\.0\.0 from MTA/ });
  t.match(mailbox.messages, [{ sender, recipients: [recipient] }], 'to whom it was released, and nobody else');
  const text = mailbox.messages[0]!.bytes.toString('latin1');
  t.match(text, /^Resent-From: .*ada@harbour\.example|^Resent-From: "Content-filter/m);
  t.notMatch(text, /X-Quarantine-ID/);

  const message = (await server.app.store.messages.get(ada!.messageId))!;
  const { secretId, ...kept } = message.params.amavis!;
  t.ok(secretId);
  const send = (amavis: KeptByAmavis) =>
    byAmavis(parseAmavisSocket(`amavis://127.0.0.1:${pdp}`)).send(
      {
        entry: ada!,
        message: { ...message, params: { amavis } },
        envelope: { sender: message.sender, recipients: [] },
        actor: { account: 'global', via: 'test' },
      } as unknown as Parcel,
      signal,
    );
  t.match(await send(kept), { kind: 'refused', said: /Secret_id is required/ });
  t.match(await send({ ...kept, secretId: 'AAAAAAAAAAAA' }), { kind: 'refused', said: /does not match/ });
  t.equal(mailbox.messages.length, 1);
});

t.test('the port without filters takes what the other port refuses, as it is', async (t) => {
  if (!postfixOrSkip(t)) return;
  const [mailbox, back] = [await Sink.start(t), await freePort()];
  const postfix = await Postfix.start(t, {
    sinkPort: mailbox.port,
    main: 'header_checks = regexp:/etc/postfix/refused\n',
    files: { refused: '/^X-Spam-Flag: YES/ REJECT spam\n' },
    master: fill(blockOf('docs/connect/postfix.md', 'reinject/master.cf'), { '127.0.0.1:10026': `127.0.0.1:${back}` }),
  });
  const message = `X-Spam-Flag: YES\r\n${spam('Marked')}`;
  const refused = await submit(postfix.port, { from: sender, to: [recipient], message });
  t.match(refused, { reply: /^550 5\.7\.1 spam/ });
  const server = await startApp(t, { delivery: { nextHop: `smtp://127.0.0.1:${back}?tls=none` } });
  await releaseOne(server, message);
  await mailbox.sees(({ messages }) => messages.length === 1);
  t.ok(mailbox.messages[0]!.bytes.toString('latin1').endsWith(message), 'byte for byte');

  const renaming = await startApp(t, {
    delivery: { nextHop: `smtp://127.0.0.1:${postfix.port}?tls=none` },
    release: { undoSeconds: 0, renameHeaders: true, sender: 'fixed:release@quarantine.example' },
  });
  await releaseOne(renaming, message);
  await mailbox.sees(({ messages }) => messages.length === 2);
  t.equal(mailbox.messages[1]!.sender, 'release@quarantine.example');
  t.ok(
    mailbox.messages[1]!.bytes.toString('latin1').endsWith(`X-Pre-Release-${message}`),
    'under another name it passes the other port as well',
  );
});

/** A port before Dovecot that can lose the answer to APPEND. */
class ImapDoor {
  readonly port: number;
  #loses = false;

  static async open(t: Test, behind: number): Promise<ImapDoor> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    return new ImapDoor(server, behind);
  }

  private constructor(server: Server, behind: number) {
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => {
      const dovecot = connect(behind, '127.0.0.1');
      for (const socket of [client, dovecot]) socket.on('error', () => {});
      let appending = false;
      client.on('data', (chunk: Buffer) => {
        if (/^\S+ APPEND /.test(chunk.toString('latin1'))) appending = true;
        dovecot.write(chunk);
      });
      dovecot.on('data', (chunk: Buffer) => {
        if (this.#loses && appending && /^\S+ OK .*Append/im.test(chunk.toString('latin1'))) {
          this.#loses = false;
          client.destroy();
          dovecot.destroy();
        } else client.write(chunk);
      });
      client.on('close', () => dovecot.destroy());
      dovecot.on('close', () => client.destroy());
    });
  }

  loseAppend(): void {
    this.#loses = true;
  }
}
