/**
 * PROXY protocol on every listener. 127.0.0.2 is the balancer; every other address of loopback is an ordinary client. Which
 * address the server believed shows in the login event, and in LMTP in whether the client may hand mail over.
 */
import { once } from 'node:events';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import { createOriginOf } from '#app/net/origin';
import { silent } from '#app/observe/log';
import { randomFrom } from '../imap/random.ts';
import { password, startApp } from '../support/app.ts';
import { v2 } from './headers.ts';

const random = randomFrom(t);
const balancer = '127.0.0.2';
const settings = {
  proxyProtocol: { trusted: [balancer, '2001:db8::/32'] },
  intake: {
    lmtp: ['127.0.0.1:0'],
    smtp: ['127.0.0.1:0'],
    trusted: ['192.0.2.0/24', '127.0.0.1'],
    handOverDomains: ['quarantine.example'],
  },
};
const login = `a LOGIN ada@harbour.example "${password}"\r\n`;

/** A connection from that address, and what came over it. */
function from(t: Test, localAddress: string, port: number) {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress, noDelay: true });
  t.teardown(() => socket.destroy());
  return { socket, ...listening(socket) };
}

function listening(stream: Duplex) {
  let text = '';
  let isOver = false;
  let wake = () => {};
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    wake();
  });
  stream
    .on('error', () => {})
    .on('close', () => {
      isOver = true;
      wake();
    });
  return {
    /** All that came, once it matches. */
    async until(what: RegExp): Promise<string> {
      while (!what.test(text)) {
        if (isOver) throw new Error(`closed after ${JSON.stringify(text)}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return text;
    },
    async closed(): Promise<string> {
      while (!isOver)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return text;
    },
  };
}

async function inPieces(socket: net.Socket, octets: Buffer, size: () => number): Promise<void> {
  for (let at = 0; at < octets.length; ) {
    const end = at + Math.max(1, size());
    const piece = octets.subarray(at, end);
    await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
    at = end;
  }
}

/** A socket that sends a header ahead of the first thing that is written to it, in the same packet, and cut like this. */
function after(header: Buffer, socket: net.Socket, size: () => number): Duplex {
  let ahead: Buffer | undefined = header;
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const octets = ahead ? Buffer.concat([ahead, chunk]) : chunk;
      ahead = undefined;
      inPieces(socket, octets, size).then(() => done(), done);
    },
    final: (done) => {
      socket.end(done);
    },
  });
  socket.on('data', (chunk) => stream.push(chunk)).on('end', () => stream.push(null));
  socket.on('error', () => {}).on('close', () => stream.destroy());
  return stream;
}

const cuts: readonly [how: string, size: () => number][] = [
  ['in one packet', () => Number.POSITIVE_INFINITY],
  ['octet by octet', () => 1],
  ['cut at random', () => 1 + random(30)],
];
const v1 = (address: string) => Buffer.from(`PROXY TCP4 ${address} 198.51.100.1 4711 143\r\n`);
const headers: readonly [what: string, header: Buffer, address: string][] = [
  ['v1', v1('192.0.2.7'), '192.0.2.7'],
  ['v1, unknown', Buffer.from('PROXY UNKNOWN\r\n'), balancer],
  ['v2', v2({ from: '192.0.2.8', port: 4711 }), '192.0.2.8'],
  ['v2, IPv6 with TLVs', v2({ from: '2001:db8::9', port: 1, tlvs: Buffer.from([4, 0, 2, 9, 9]) }), '2001:db8::9'],
  ['v2, LOCAL', v2({ command: 0 }), balancer],
];

t.test('IMAP: the address of the header is the client, and what came with it is not lost', async (t) => {
  const { addresses, events } = await startApp(t, settings);
  const logins = () => events.flatMap((event) => (event.kind === 'login' ? [event.address] : []));
  for (const [what, header, address] of headers)
    for (const [how, size] of cuts) {
      const plain = from(t, balancer, addresses.imap[0]!.port);
      await inPieces(plain.socket, Buffer.concat([header, Buffer.from(login)]), size);
      const said = await plain.until(/^a OK/m);
      t.match(said, /^\* OK \[CAPABILITY/, `${what}, ${how}`);
      t.equal(logins().at(-1), address, `${what}, ${how}`);
      plain.socket.destroy();

      const { socket } = from(t, balancer, addresses.imap[1]!.port);
      socket.removeAllListeners('data');
      const secure = tls.connect({ socket: after(header, socket, size), rejectUnauthorized: false });
      const heard = listening(secure);
      await heard.until(/^\* OK/);
      secure.write(login);
      await heard.until(/^a OK/m);
      t.equal(logins().at(-1), address, `${what}, TLS, ${how}`);
      secure.destroy();
      socket.destroy();
    }
  t.equal(logins().length, headers.length * cuts.length * 2);
});

t.test('LMTP and SMTP: the address of the header decides who may hand mail over', async (t) => {
  const { addresses } = await startApp(t, settings);
  const tries: readonly [header: Buffer, said: RegExp][] = [
    [v1('192.0.2.7'), /^250 2\.1\.0/m],
    [v1('198.51.100.7'), /^554 5\.7\.1/m],
    [v2({ from: '192.0.2.7', port: 1 }), /^250 2\.1\.0/m],
    [v2({ from: '2001:db8::1', port: 1 }), /^554 5\.7\.1/m],
    // The balancer may not: it speaks for itself, and does not stand in intake.trusted.
    [v2({ command: 0 }), /^554 5\.7\.1/m],
  ];
  for (const [port, hello] of [
    [addresses.lmtp[0]!.port, 'LHLO'],
    [addresses.smtp[0]!.port, 'EHLO'],
  ] as const)
    for (const [header, said] of tries)
      for (const [how, size] of cuts) {
        const client = from(t, balancer, port);
        const words = `${hello} filter.example\r\nMAIL FROM:<a@x.example>\r\nQUIT\r\n`;
        await inPieces(client.socket, Buffer.concat([header, Buffer.from(words)]), size);
        const text = await client.until(/^221 /m);
        t.match(text, /^220 /, 'one greeting');
        t.match(text, said, `${hello} ${JSON.stringify(header.toString('latin1'))} ${how}`);
        client.socket.destroy();
      }
});

t.test('nobody else can pretend to have an address: there a header is a bad command', async (t) => {
  const { addresses, events } = await startApp(t, settings);
  const imap = from(t, '127.0.0.1', addresses.imap[0]!.port);
  imap.socket.write(Buffer.concat([v1('192.0.2.7'), Buffer.from(login)]));
  t.match(await imap.until(/^a OK/m), /^PROXY BAD /m);
  t.same(
    events.flatMap((event) => (event.kind === 'login' ? [event.address] : [])),
    ['127.0.0.1'],
  );

  const binary = from(t, '127.0.0.1', addresses.imap[0]!.port);
  binary.socket.write(Buffer.concat([v2({ from: '192.0.2.7', port: 1 }), Buffer.from(`\r\n${login}`)]));
  t.match(await binary.until(/^a OK/m), /BAD /);
  t.same(
    events.flatMap((event) => (event.kind === 'login' ? [event.address] : [])),
    ['127.0.0.1', '127.0.0.1'],
  );

  const secure = from(t, '127.0.0.1', addresses.imap[1]!.port);
  secure.socket.write(v1('192.0.2.7'));
  t.notMatch(await secure.closed(), /\* OK/, 'not the beginning of TLS');

  const lmtp = from(t, '127.0.0.3', addresses.lmtp[0]!.port); // not one of intake.trusted
  await lmtp.until(/^220 /m);
  lmtp.socket.write(Buffer.concat([v1('192.0.2.7'), Buffer.from('LHLO x\r\nMAIL FROM:<a@x.example>\r\n')]));
  t.match(await lmtp.until(/^554 5\.7\.1/m), /^50\d /m);
});

t.test('from a balancer nothing goes without a good header: closed, logged, and nothing said', async (t) => {
  const logged: object[] = [];
  const log = { ...silent, warn: (facts: object) => void logged.push(facts) };
  const { addresses } = await startApp(t, settings, {}, log);
  const bad: readonly [octets: Buffer, why: string][] = [
    [Buffer.from(login), 'not a PROXY header'],
    [Buffer.from('EHLO x\r\n'), 'not a PROXY header'],
    [Buffer.from('PROXY TCP4 192.0.2.7 1 2\r\n'), 'no addresses of its family'],
    [Buffer.from(`PROXY UNKNOWN ${'x'.repeat(500)}`), 'the line is too long'],
    [v2({ version: 1, from: '192.0.2.7' }), 'an unknown version'],
  ];
  const ports = [...addresses.imap, ...addresses.lmtp, ...addresses.smtp].map(({ port }) => port);
  for (const port of ports)
    for (const [octets, why] of bad) {
      const client = from(t, balancer, port);
      client.socket.write(octets);
      t.equal(await client.closed(), '');
      t.match(logged.pop(), { balancer, why });
    }
  // Half of one, and then nothing more.
  const half = from(t, balancer, ports[0]!);
  half.socket.end(v1('192.0.2.7').subarray(0, 20));
  t.equal(await half.closed(), '');
  t.match(logged.pop(), { balancer, why: 'it left in the middle' });
  t.same(logged, []);
});

t.test('a look whether somebody listens is no trouble worth a warning', async (t) => {
  const warned: object[] = [];
  const seen: string[] = [];
  const log = {
    ...silent,
    warn: (facts: object) => void warned.push(facts),
    debug: (facts: object) => void noted(facts),
  };
  let look = () => {};
  const noted = (facts: object) => {
    if ('balancer' in facts) seen.push(String((facts as { why?: unknown }).why));
    look();
  };
  const { addresses } = await startApp(t, settings, {}, log);
  from(t, balancer, addresses.imap[0]!.port).socket.end();
  while (seen.length === 0)
    await new Promise<void>((resolve) => {
      look = resolve;
    });
  t.same(seen, ['it left']);
  t.same(warned, []);
});

t.test('a header that does not come costs a socket for some time only', async (t) => {
  const logged: object[] = [];
  const log = { ...silent, warn: (facts: object) => void logged.push(facts) };
  const originOf = createOriginOf({ trusted: ['127.0.0.0/8'], log, headerMs: 30 });
  const outcomes: unknown[] = [];
  const server = net.createServer((socket) => {
    Promise.resolve(originOf(socket)).catch((error: unknown) => outcomes.push(error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const client = from(t, '127.0.0.1', (server.address() as net.AddressInfo).port);
  client.socket.write('PROXY TCP4 ');
  t.equal(await client.closed(), '');
  t.match(logged, [{ why: 'it did not come in time' }]);
  t.match(outcomes, [{ message: 'it did not come in time' }]);
});

t.test('a stop does not wait for headers', async (t) => {
  const { app, addresses } = await startApp(t, settings);
  const waiting = [...addresses.imap, ...addresses.lmtp].map(({ port }) => from(t, balancer, port));
  await Promise.all(waiting.map(({ socket }) => once(socket, 'connect')));
  // A later client that was served shows that the server has seen those before.
  for (const { port } of [...addresses.imap.slice(0, 1), ...addresses.lmtp])
    await from(t, '127.0.0.1', port).until(/^(\* OK|220) /);
  const served = from(t, balancer, addresses.imap[1]!.port);
  served.socket.write(v1('192.0.2.7'));
  const before = performance.now();
  const stopped = app.stop(20_000);
  await Promise.all(waiting.map(({ closed }) => closed()));
  t.ok(performance.now() - before < 10_000);
  served.socket.destroy();
  await stopped;
});
