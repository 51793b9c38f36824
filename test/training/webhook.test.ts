import { createHmac, timingSafeEqual } from 'node:crypto';
import type { lookup } from 'node:dns';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { generate } from 'selfsigned';
import t, { type Test } from 'tap';
import { isPublic } from '#app/lib/public-address';
import { createWebhookTrainer, type WebhookTrainerOptions } from '#app/training/webhook';
import { lessonOf, patience } from '../support/lesson.ts';

const secret = 'a secret of sixteen';

function trainer(port: number, more: Partial<WebhookTrainerOptions> = {}) {
  return createWebhookTrainer({
    name: 'webhook',
    url: `http://127.0.0.1:${port}/learned?x=1`,
    secret,
    content: 'message',
    maxBytes: 10_000_000,
    privateNetworks: ['127.0.0.0/8'],
    ...more,
  });
}

async function listening(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

interface Seen {
  readonly request: IncomingMessage;
  readonly body: string;
}

/** A service that answers so, and remembers what it was asked. */
async function service(t: Test, answer: (response: ServerResponse, seen: Seen) => void) {
  const asked: Seen[] = [];
  const port = await listening(
    t,
    createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const seen = { request, body };
      asked.push(seen);
      answer(response, seen);
    }),
  );
  return { port, asked };
}

const ok = (response: ServerResponse): void => void response.writeHead(200).end('thanks\n\x1b[31m');

/** As docs/training.md tells a receiver to check it. */
function isGood({ request, body }: Seen, now = Date.now()): boolean {
  const [, seconds, hex] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['x-lazaret-signature'])) ?? [];
  const expected = createHmac('sha256', secret).update(`${seconds}.${body}`).digest();
  return timingSafeEqual(expected, Buffer.from(hex ?? '', 'hex')) && Math.abs(now / 1000 - Number(seconds)) < 300;
}

t.test('a service is told by JSON, signed with the time', async (t) => {
  const { port, asked } = await service(t, ok);
  const message = Buffer.from('Subject: \u00fc\0\r\n\r\n\xff\xfe odd \r\n', 'latin1');
  const lesson = lessonOf(message, { user: 'ada@harbour.example', before: 'ham', subject: 'Über "all"' });
  t.same(await trainer(port).train(lesson, patience()), { kind: 'learned', said: 'thanks \\x1b[31m' });
  const [seen] = asked as [Seen];
  t.match(seen.request, { method: 'POST', url: '/learned?x=1' });
  t.match(seen.request.headers, { 'content-type': 'application/json', host: `127.0.0.1:${port}` });
  const { message: base64, ...facts } = JSON.parse(seen.body);
  t.same(facts, {
    event: 'training',
    id: 'drop/17/train',
    class: 'spam',
    before: 'ham',
    entryId: 17,
    sender: 'promo@spam.example',
    recipient: 'ada@harbour.example',
    subject: 'Über "all"',
    user: 'ada@harbour.example',
    account: 'ada@harbour.example',
    size: message.length,
  });
  t.ok(Buffer.from(base64, 'base64').equals(message));
  t.ok(isGood(seen));
  t.notOk(isGood({ ...seen, body: seen.body.replace('spam', 'ham') }), 'another body is another signature');
  t.notOk(isGood(seen, Date.now() + 600_000), 'and an old one is no good');

  for (const size of [0, 1, 2, 3, 65_535, 65_536, 65_537, 200_000]) {
    const octets = Buffer.alloc(size, 'abcdefg');
    await trainer(port).train(lessonOf(octets), patience());
    const last = asked.at(-1) as Seen;
    t.ok(Buffer.from(JSON.parse(last.body).message, 'base64').equals(octets) && isGood(last), `${size} octets`);
  }

  for (const more of [{ content: 'none' as const }, { maxBytes: message.length - 1 }]) {
    await trainer(port, more).train(lesson, patience());
    const last = asked.at(-1) as Seen;
    t.match(JSON.parse(last.body), { size: message.length, class: 'spam' });
    t.notOk('message' in JSON.parse(last.body));
    t.ok(isGood(last));
  }
});

t.test('what an answer means', async (t) => {
  let status = 200;
  let location: string | undefined;
  const elsewhere = await service(t, ok);
  const { port } = await service(t, (response) =>
    response
      .writeHead(status, 'As\tsaid', location === undefined ? {} : { Location: location })
      .end(status === 204 ? undefined : ''),
  );
  const table = {
    learned: [200, 201, 202, 204],
    refused: [400, 401, 403, 404, 405, 410, 413, 422],
    later: [408, 429, 500, 502, 503, 504],
  };
  for (const [kind, codes] of Object.entries(table))
    for (status of codes) {
      const outcome = await trainer(port).train(lessonOf(), patience());
      t.equal(outcome.kind, kind, String(status));
      t.match(outcome.said, String(status));
    }
  for (status of [301, 302, 307, 308]) {
    location = `http://127.0.0.1:${elsewhere.port}/`;
    t.match(await trainer(port).train(lessonOf(), patience()), { kind: 'later', said: /redirect/ });
  }
  t.same(elsewhere.asked, [], 'no redirect is followed');
});

t.test('whatever a service does, the lesson ends', async (t) => {
  const raw = async (t: Test, act: (socket: Socket) => void) => trainer(await listening(t, createTcpServer(act)));
  const big = Buffer.alloc(8_000_000, 'x');
  const closes = await raw(t, (socket) => socket.end());
  t.match(await closes.train(lessonOf(), patience()), { kind: 'later', said: /could not be asked/ });
  const resets = await raw(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  t.match(await resets.train(lessonOf(big), patience()), { kind: 'later', said: /could not be asked/ });
  const garbage = await raw(t, (socket) => socket.once('data', () => socket.end('220 mail.example ESMTP\r\n')));
  t.match(await garbage.train(lessonOf(), patience()), { kind: 'later', said: /could not be asked/ });
  const broken = await raw(t, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nlearned, and then')),
  );
  t.match(await broken.train(lessonOf(), patience()), { kind: 'learned' }, 'it said so');
  const early = await raw(t, (socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')),
  );
  t.match(await early.train(lessonOf(big), patience()), { kind: 'refused', said: /413/ });
  const endless = await raw(t, (socket) =>
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      const more = () => {
        while (socket.writable && socket.write(`1000\r\n${'y'.repeat(4096)}\r\n`));
      };
      socket.on('drain', more);
      more();
    }),
  );
  const said = (await endless.train(lessonOf(), patience())).said;
  t.equal(said.length, 200, 'nobody reads it all');

  let reached: () => void = () => {};
  const silent = await raw(t, (socket) => socket.once('data', () => reached()));
  const time = new AbortController();
  const asked = new Promise<void>((resolve) => (reached = resolve));
  const outcome = silent.train(lessonOf(big), time.signal);
  await asked;
  time.abort(new Error('it took too long'));
  t.same(await outcome, { kind: 'later', said: 'it took too long' });

  const unreadable = trainer((await service(t, ok)).port);
  const lesson = {
    ...lessonOf(),
    async *message() {
      yield Buffer.from('half');
      throw new Error('the store is away');
    },
  };
  t.match(await unreadable.train(lesson, patience()), { kind: 'later' });
  const port = await listening(t, createTcpServer());
  const { port: nobody } = await new Promise<{ port: number }>((resolve) => {
    const server = createTcpServer().listen(0, '127.0.0.1', () => {
      const address = server.address() as AddressInfo;
      server.close(() => resolve(address));
    });
  });
  t.not(port, nobody);
  t.match(await trainer(nobody).train(lessonOf(), patience()), { kind: 'later', said: /ECONNREFUSED/ });
});

type Lookup = typeof lookup;
const answering = (...addresses: readonly string[][]) => {
  const asked: string[] = [];
  const fake = (
    name: string,
    _: unknown,
    callback: (error: null, found: { address: string; family: number }[]) => void,
  ) => {
    const answer = addresses[Math.min(asked.length, addresses.length - 1)] as string[];
    asked.push(name);
    callback(
      null,
      answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { asked, lookup: fake as unknown as Lookup };
};

t.test('only what is public, or named, is asked (row 34)', async (t) => {
  const { port, asked } = await service(t, ok);
  const noneAllowed = { privateNetworks: [] };
  for (const host of [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '169.254.169.254',
    '[fe80::1]',
    '[fd00::1]',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    'localhost',
  ]) {
    const outcome = await trainer(port, { ...noneAllowed, url: `http://${host}:${port}/` }).train(
      lessonOf(),
      patience(),
    );
    t.match(outcome, { kind: 'later', said: /is no public address: `privateNetworks`/ }, host);
  }
  const named = (names: ReturnType<typeof answering>, privateNetworks = ['127.0.0.0/8']) =>
    trainer(port, { url: `http://reports.example:${port}/`, privateNetworks, lookup: names.lookup });
  t.match(await named(answering(['10.0.0.1', '::ffff:127.0.0.1']), []).train(lessonOf(), patience()), {
    kind: 'later',
    said: /^10\.0\.0\.1 is no public/,
  });
  t.same(asked, [], 'nobody was asked');

  // Rebinding: what was allowed is connected to, whatever the name means a moment later.
  const rebound = answering(['127.0.0.1'], ['10.0.0.1']);
  t.match(await named(rebound).train(lessonOf(), patience()), { kind: 'learned' });
  t.same(rebound.asked, ['reports.example']);
  t.match(asked[0]?.request.headers.host, `reports.example:${port}`);
  t.match(await named(answering(['10.0.0.1', '127.0.0.1', '169.254.169.254'])).train(lessonOf(), patience()), {
    kind: 'learned',
  });
  t.equal(asked.length, 2);

  for (const address of ['1.1.1.1', '8.8.8.8', '2606:4700::1111', '172.32.0.1', '100.128.0.1', '::ffff:8.8.8.8'])
    t.ok(isPublic(address), address);
  for (const address of [
    '',
    'localhost',
    '1.1.1',
    '2001:db8::1',
    '198.51.100.7',
    '255.255.255.255',
    'ff02::1',
    '::8.8.8.8',
  ])
    t.notOk(isPublic(address), address);
});

t.test('certificates are verified', async (t) => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'reports.example' }], {
    keyType: 'ec',
    curve: 'P-256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'reports.example' }] }],
  });
  const port = await listening(
    t,
    createTlsServer({ key, cert }, (_, response) => ok(response)),
  );
  const options = { url: `https://reports.example:${port}/`, lookup: answering(['127.0.0.1']).lookup };
  t.match(await trainer(port, options).train(lessonOf(), patience()), {
    kind: 'later',
    said: /^the certificate of the service is not good \(/,
  });
  t.match(await trainer(port, { ...options, ca: cert }).train(lessonOf(), patience()), { kind: 'learned' });
  const other = { ...options, ca: cert, url: `https://other.example:${port}/` };
  t.match(await trainer(port, other).train(lessonOf(), patience()), { kind: 'later', said: /certificate.*ALTNAME/ });
});
