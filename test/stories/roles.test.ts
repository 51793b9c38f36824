/** Several processes on one store, each with a part of the work; and how a process ends. */
import { channel } from 'node:diagnostics_channel';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { hashPassword } from '#app/accounts/passwords';
import { type Addresses, type App, assemble } from '#app/assemble';
import { configFrom } from '#app/config/load';
import { isServerRunning } from '#app/lib/heartbeat';
import { silent } from '#app/observe/log';
import { openStore } from '#store/open';
import { RawClient } from '../smtp/raw-client.ts';
import { password, startApp } from '../support/app.ts';
import { ImapClient } from '../support/imap-client.ts';
import { LmtpClient } from '../support/lmtp.ts';
import { Sink } from '../support/sink.ts';
import { handOver, login } from './hand-over.ts';

const message = 'From: shop@elsewhere.example\r\nSubject: cheap\r\nX-Spam-Flag: YES\r\n\r\nBuy.\r\n';
const ada = 'ada@harbour.example';

interface Node {
  readonly app: App;
  readonly addresses: Addresses;
  /** The first event of that kind, also a past one. */
  sees(kind: string): Promise<object>;
}

/** Nodes on one store: all have the same settings, but for their roles. */
async function cluster(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'lazaret-roles-'));
  const sink = await Sink.start(t);
  const clock = new SharedArrayBuffer(8);
  const running: App[] = [];
  t.teardown(async () => {
    await Promise.all(running.map((app) => app.stop(1000)));
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder,
    sink,
    async start(roles: readonly string[], settings: Record<string, unknown> = {}): Promise<Node> {
      const config = configFrom(
        {
          hostname: 'quarantine.example',
          store: 'sqlite:./lazaret.db',
          roles,
          imap: { listen: ['127.0.0.1:0'], allowCleartextLogin: true },
          intake: { lmtp: ['127.0.0.1:0'], smtp: ['127.0.0.1:0'] },
          delivery: { nextHop: `smtp://127.0.0.1:${sink.port}?tls=none` },
          release: { undoSeconds: 0 },
          ...settings,
        },
        folder,
      );
      const seen = new Map<string, object>();
      let look = () => {};
      const app = await assemble(config, {
        log: silent,
        version: 'test',
        store: { clock, durable: false },
        onEvent(event) {
          seen.set(event.kind, event);
          look();
        },
      });
      running.push(app);
      const addresses = await app.start();
      return {
        app,
        addresses,
        async sees(kind) {
          for (;;) {
            const event = seen.get(kind);
            if (event) return event;
            await new Promise<void>((resolve) => {
              look = resolve;
            });
          }
        },
      };
    },
  };
}

t.test('three processes: one takes mail, one shows it, one delivers', async (t) => {
  const { folder, sink, start } = await cluster(t);
  // Settings that the three share may name a certificate that only one of them has.
  const elsewhere = { tls: { cert: './not-here/cert.pem', key: './not-here/key.pem' } };
  const intake = await start(['intake'], elsewhere);
  t.match(intake.addresses, { imap: [], lmtp: [{ port: /\d/ }], smtp: [{ port: /\d/ }] });
  t.notOk(await isServerRunning(intake.app.store.settings), 'nobody does what is released');
  await t.rejects(start(['imap'], elsewhere), /tls\.cert: there is no file/);
  const certificate = join(folder, 'tls-self-signed.pem');
  t.notOk(existsSync(certificate), 'nothing that shows a certificate was started');

  const imap = await start(['imap']);
  t.match(imap.addresses, { imap: [{ tls: false }], lmtp: [], smtp: [] });
  t.ok(existsSync(certificate));
  await imap.app.store.accounts.add({
    name: ada,
    scope: { level: 'recipient', address: ada },
    passwordHash: await hashPassword(password),
  });
  const client = await ImapClient.connect(t, imap.addresses.imap[0]!.port);
  await client.ok(`LOGIN ${ada} "${password}"`);
  await client.ok('SELECT Caught');
  client.send('i IDLE');
  await client.sees('+ idling');
  const filter = await LmtpClient.connect(intake.addresses.lmtp[0]!.port);
  t.match(await filter.send('shop@elsewhere.example', [ada], message), [/^250 2\.0\.0 /]);
  filter.close();
  await client.sees('* 1 EXISTS');
  client.send('DONE');
  await client.answer('i');
  await client.ok('MOVE 1 Release');
  for (const node of [intake, imap]) await node.app.runner.idle();
  t.equal(sink.messages.length, 0, 'nobody is there to deliver it');

  const worker = await start(['worker'], elsewhere);
  t.match(worker.addresses, { imap: [], lmtp: [], smtp: [] });
  t.match(await worker.sees('released'), { recipient: ada });
  t.equal(sink.messages.length, 1);
  t.match(sink.messages[0]!.bytes.toString(), /Subject: cheap/);
  t.ok(await isServerRunning(intake.app.store.settings));
});

t.test('a stop: what runs gets its answer, who is at rest is told so at once', async (t) => {
  const server = await startApp(t);
  await handOver(server, 'lmtp', [{ recipients: [ada], message }]);
  const idle = await login(t, server, ada);
  await idle.ok('SELECT Caught');
  idle.send('i IDLE');
  await idle.sees('+ idling');
  const atRest = await RawClient.connect(server.addresses.smtp[0]!.port);
  await atRest.command('EHLO filter.example');
  const sending = await RawClient.connect(server.addresses.lmtp[0]!.port);
  await sending.command('LHLO filter.example');
  sending.write(`MAIL FROM:<a@b.example>\r\nRCPT TO:<${ada}>\r\nDATA\r\n`);
  await sending.replies(3);
  const working = await login(t, server, ada);
  await working.ok('SELECT Caught');

  // Committed, and not answered yet: the worst moment for a stop.
  const answering = channel('lazaret:imap.answering');
  let stopped: Promise<void> | undefined;
  const stop = () => {
    answering.unsubscribe(stop);
    stopped = server.app.stop(20_000);
  };
  answering.subscribe(stop);
  working.send('m MOVE 1 Trash');
  t.match(await working.answer('m'), { status: 'OK', untagged: [/COPYUID/, '* 1 EXPUNGE'] });
  await working.sees('* BYE The server is stopping');
  // In IDLE it may still be told of the MOVE, before the BYE or not at all.
  const last = await idle.next();
  if (last === '* 1 EXPUNGE') await idle.sees('* BYE The server is stopping');
  else t.equal(last, '* BYE The server is stopping');
  t.match(await atRest.reply(), /^421 4\.3\.2 /);
  await t.rejects(RawClient.connect(server.addresses.lmtp[0]!.port), 'nobody new is let in');
  sending.write(`${message}.\r\n`);
  t.match(await sending.reply(), /^250 2\.0\.0 /, 'a message that was on its way is taken');
  t.match(await sending.reply(), /^421 4\.3\.2 /);
  for (const { socket } of [atRest, sending]) socket.destroy();
  await stopped;
});

t.test('a stop gives leases back: what was not sent can be claimed at once', async (t) => {
  let connected = () => {};
  const hop = new Promise<void>((resolve) => {
    connected = resolve;
  });
  const hanging = await Sink.start(t, {
    behave: () => {
      connected();
      return 'hang';
    },
  });
  const server = await startApp(t, { delivery: { nextHop: `smtp://127.0.0.1:${hanging.port}?tls=none` } });
  await handOver(server, 'lmtp', [{ recipients: [ada], message }]);
  const client = await login(t, server, ada);
  await client.ok('SELECT Caught');
  await client.ok('MOVE 1 Release');
  await hop;
  const claim = { steps: ['deliver'], limit: 10, leaseMs: 60_000 } as const;
  t.same(await server.app.store.jobs.claim(claim), [], 'it is leased');
  client.end();
  await server.app.stop(50);
  const store = await openStore(server.storeUrl);
  t.teardown(() => store.close());
  t.match(await store.jobs.claim(claim), [{ step: 'deliver' }]);
});
