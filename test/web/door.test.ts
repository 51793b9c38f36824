/** The HTTP listeners themselves: TLS, balancers, who is slow, who says too much, and how it ends. With a hand-over of the test's own. */
import { once } from 'node:events';
import net from 'node:net';
import tls, { createSecureContext, type SecureContext } from 'node:tls';
import { generate } from 'selfsigned';
import t, { type Test } from 'tap';
import { createOriginOf } from '#app/net/origin';
import { silent } from '#app/observe/log';
import { type HandedOver, IntakeServer, type IntakeServerOptions } from '#app/web/intake';
import { StoreFull } from '#store/errors';
import { v2 } from '../net/headers.ts';
import { ask } from './request.ts';

const token = 'a-token-for-tests-1234';
const bearer = ['Authorization', `Bearer ${token}`] as const;
const raw = ['Content-Type', 'message/rfc822'] as const;

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function serve(t: Test, options: Partial<IntakeServerOptions> & { readonly balancers?: string[] } = {}) {
  const { createHash } = await import('node:crypto');
  const taken: { handedOver: HandedOver; octets: Buffer }[] = [];
  const logged: { facts: object; text: string }[] = [];
  const replies: number[] = [];
  const note = (facts: object, text: string) => void logged.push({ facts, text });
  const log = { debug: note, info: note, warn: note, error: note };
  const server = new IntakeServer({
    intake: async (handedOver) => {
      taken.push({ handedOver, octets: await all(handedOver.message) });
      return { kind: 'taken', entries: [{ entryId: 7, uid: 8, how: 'new' }] };
    },
    listen: [{ host: '127.0.0.1', port: 0, tls: false, name: 'http-0' }],
    trusted: ['127.0.0.0/8'],
    tokens: [{ name: 'tests', sha256: createHash('sha256').update(token).digest('hex') }],
    maxMessageBytes: 1_000_000,
    originOf: createOriginOf({ trusted: options.balancers ?? [], log: silent }),
    log,
    onReply: ({ code }) => replies.push(code),
    ...options,
  });
  const opened = await server.listen();
  t.teardown(() => server.close(0));
  return { server, port: opened[0]!.port, ports: opened.map(({ port }) => port), taken, logged, replies };
}

/** What a socket says until it is closed. */
async function conversation(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  await new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  return Buffer.concat(chunks).toString('latin1');
}

async function certificate(name: string) {
  const made = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    curve: 'P-256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  });
  return { ca: made.cert, context: createSecureContext({ cert: made.cert, key: made.private }) };
}

t.test('with TLS, a certificate that changes, and nothing without it', async (t) => {
  const [one, two] = await Promise.all([certificate('one'), certificate('two')]);
  let context: SecureContext = one.context;
  const { port, taken } = await serve(t, {
    listen: [{ host: '127.0.0.1', port: 0, tls: true, name: 'http-0' }],
    secureContext: () => context,
  });
  const send = (ca: string) => ask({ port, fields: [bearer, raw], body: 'secret octets', tls: { ca } });
  t.match(await send(one.ca), { status: 200, text: '[{"entryId":7,"uid":8,"how":"new"}]' });
  await t.rejects(send(two.ca));
  context = two.context;
  t.match(await send(two.ca), { status: 200 });
  t.same(
    taken.map(({ octets }) => octets.toString()),
    ['secret octets', 'secret octets'],
  );
  await t.rejects(ask({ port, fields: [bearer, raw], body: 'in the clear' }));
  const idle = net.connect(port, '127.0.0.1');
  t.teardown(() => idle.destroy());
  t.equal(taken.length, 2);
});

t.test('behind a balancer the client is who the header says, and nobody else can say it', async (t) => {
  const balancer = '127.0.0.2';
  const { ca, context } = await certificate('one');
  const listen = [false, true].map((tls, at) => ({ host: '127.0.0.1', port: 0, tls, name: `http-${at}` }));
  const { ports, taken, logged } = await serve(t, {
    listen,
    secureContext: () => context,
    balancers: [balancer],
    trusted: ['192.0.2.0/24', '127.0.0.5'],
  });
  const request = `POST /intake HTTP/1.1\r\nHost: x\r\n${bearer.join(': ')}\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello`;
  const from = (localAddress: string, port: number) => net.connect({ host: '127.0.0.1', port, localAddress });
  const plain = async (address: string, header: Buffer | string) => {
    const socket = from(address, ports[0]!);
    socket.write(header);
    socket.write(request);
    return conversation(socket);
  };
  t.match(await plain(balancer, v2({ from: '192.0.2.7', port: 5 })), /^HTTP\/1\.1 200 /);
  t.match(await plain(balancer, 'PROXY TCP4 192.0.2.8 198.51.100.1 56324 443\r\n'), /^HTTP\/1\.1 200 /);
  t.match(await plain(balancer, 'PROXY TCP4 198.51.100.9 198.51.100.1 56324 443\r\n'), /^HTTP\/1\.1 403 /);
  t.match(await plain(balancer, ''), /^$/, 'a balancer has to say it');
  t.match(await plain('127.0.0.5', ''), /^HTTP\/1\.1 200 /);
  t.match(await plain('127.0.0.5', 'PROXY TCP4 192.0.2.8 198.51.100.1 56324 443\r\n'), /^HTTP\/1\.1 400 /);
  t.match(await plain('127.0.0.6', ''), /^HTTP\/1\.1 403 /);

  const socket = from(balancer, ports[1]!);
  socket.write(v2({ from: '192.0.2.7', port: 5 }));
  const secured = tls.connect({ socket, ca, host: '127.0.0.1' });
  secured.write(request);
  t.match(await conversation(secured), /^HTTP\/1\.1 200 /, 'the header stands before TLS');
  t.equal(taken.length, 4);
  t.same(
    logged
      .filter(({ text }) => text === 'A client was not let in')
      .map(({ facts }) => (facts as { client: string }).client),
    ['198.51.100.9', '127.0.0.6'],
  );
});

t.test('headers of 128 KiB are read; longer ones are refused', async (t) => {
  const { port, taken } = await serve(t);
  const long = ['X-Rspamd-symbols', `[${'"x",'.repeat(30_000)}"x"]`] as const;
  t.match(await ask({ port, path: '/intake/rspamd', fields: [bearer, raw, long], body: 'x' }), { status: 200 });
  t.equal(taken[0]?.handedOver.fields.get('symbols')?.[0], long[1]);
  const longer = ['X-Rspamd-symbols', 'x'.repeat(140_000)] as const;
  const answer = await ask({ port, fields: [bearer, raw, longer], body: 'x' }).catch((error: Error) => error);
  t.ok(answer instanceof Error || answer.status === 431);
  t.equal(taken.length, 1);
});

t.test('who is slow with header, body or handshake is cut, and holds up nobody', async (t) => {
  const { context } = await certificate('one');
  const listen = [false, true].map((tls, at) => ({ host: '127.0.0.1', port: 0, tls, name: `http-${at}` }));
  const { ports, taken, logged } = await serve(t, {
    listen,
    secureContext: () => context,
    timing: { headerMs: 200, idleMs: 300, requestMs: 600 },
  });
  const [port, secure] = ports as [number, number];
  const say = (at: number, text: string) => {
    const socket = net.connect(at, '127.0.0.1', () => socket.write(text));
    return socket;
  };
  const head = `POST /intake HTTP/1.1\r\nHost: x\r\n${bearer.join(': ')}\r\n`;
  const drip = say(port, `${head}Content-Length: 100000\r\n\r\n`);
  const drops = setInterval(() => drip.write('x'), 50);
  const all = Promise.all([
    conversation(say(port, 'POST /intake HTTP/1.1\r\nHost:')),
    conversation(say(port, `${head}Content-Length: 100\r\n\r\nhalf of it`)),
    conversation(drip),
    conversation(say(secure, '')),
    conversation(say(secure, '\x16\x03\x01')),
  ]);
  t.match(await ask({ port, fields: [bearer, raw], body: 'meanwhile' }), { status: 200 });
  const said = await all;
  clearInterval(drops);
  for (const [at, text] of said.entries()) t.notMatch(text, /200 OK/, `${at}`);
  t.match(
    taken.map(({ octets }) => octets.toString()),
    ['meanwhile'],
  );
  t.ok(logged.some(({ text }) => text === 'A client left before its message was complete'));
});

t.test('what is no HTTP is cut; what smuggles is refused', async (t) => {
  const { port, taken } = await serve(t);
  const head = `POST /intake HTTP/1.1\r\nHost: x\r\n${bearer.join(': ')}\r\n`;
  for (const text of [
    'EHLO x\r\n\r\n',
    '\0\0\0\0\r\n\r\n',
    `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
    `${head}Content-Length: -1\r\n\r\n`,
    `${head}Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n`,
  ]) {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(text));
    t.match(await conversation(socket), /^HTTP\/1\.1 4\d\d /, JSON.stringify(text.slice(-60)));
  }
  t.same(taken, []);
});

t.test('whoever gets an answer before all is said can still read it', async (t) => {
  const { port } = await serve(t, { intake: async () => ({ kind: 'taken', entries: [] }) });
  const body = Buffer.alloc(12_000_000, 'x');
  for (let round = 0; round < 5; round++) {
    t.match(await ask({ port, fields: [bearer, raw], body: body.subarray(0, 900_000) }), { status: 200, text: '[]' });
    const announced = ['Content-Length', `${body.length}`] as const;
    t.match(await ask({ port, fields: [bearer, raw, announced], body }), { status: 413 });
    t.match(await ask({ port, fields: [raw], body }), { status: 401 });
    t.match(await ask({ port, path: '/elsewhere', fields: [bearer], body }), { status: 404 });
    t.match(await ask({ port, fields: [bearer, ['Content-Encoding', 'br']], body }), { status: 415 });
  }
});

t.test('trouble of ours is 503 with Retry-After, whatever it is, and is counted so', async (t) => {
  let trouble: Error = new Error('mongodb://secret-host/ is not there');
  const { port, replies, logged } = await serve(t, {
    intake: async ({ message }) => {
      await all(message);
      throw trouble;
    },
  });
  const send = () => ask({ port, fields: [bearer, raw], body: 'octets-of-the-message' });
  for (const next of [trouble, new StoreFull('the disk is full')]) {
    trouble = next;
    const answer = await send();
    t.match(answer, { status: 503, text: /^Not kept because of a local problem, please try again later\n$/ });
    t.equal(answer.headers['retry-after'], '30');
  }
  await ask({ port, fields: [raw], body: 'x' });
  t.same(replies, [451, 451, 554]);
  t.match(
    logged.map(({ text }) => text),
    ['A message was not kept', 'A message was not kept: the store is full', 'A client was not let in'],
  );
});

t.test('at a stop what is being handed over comes to its answer, or is cut when the time is over', async (t) => {
  let arrived = () => {};
  let go = () => {};
  const gone = new Promise<void>((resolve) => (go = resolve));
  const { port, server } = await serve(t, {
    intake: async ({ message }) => {
      await all(message);
      arrived();
      await gone;
      return { kind: 'taken', entries: [] };
    },
  });
  const isHere = new Promise<void>((resolve) => (arrived = resolve));
  const idle = net.connect(port, '127.0.0.1');
  idle.on('error', () => {});
  await once(idle, 'connect');
  const answer = ask({ port, fields: [bearer, raw], body: 'x' });
  await isHere;
  const closed = server.close(60_000);
  await t.rejects(ask({ port, fields: [bearer, raw], body: 'too late' }));
  // Who says nothing is not waited for.
  if (!idle.closed) await new Promise<void>((resolve) => void idle.once('close', () => resolve()));
  go();
  t.match(await answer, { status: 200, headers: { connection: 'close' } });
  await closed;

  let begun = () => {};
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const stuck = await serve(t, {
    intake: async ({ message }) => {
      begun();
      await all(message);
      return { kind: 'taken', entries: [] };
    },
  });
  const socket = net.connect(stuck.port, '127.0.0.1', () =>
    socket.write(`POST /intake HTTP/1.1\r\nHost: x\r\n${bearer.join(': ')}\r\nContent-Length: 100\r\n\r\nhalf`),
  );
  const end = conversation(socket);
  await hasBegun;
  await stuck.server.close(50);
  t.equal(await end, '', 'no answer: it will be sent again');
});
