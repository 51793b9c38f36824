/**
 * A real HAProxy in front of a whole server, PROXY protocol versions 1 and 2, before the TLS of IMAP and before LMTP.
 * Needs Debian's haproxy; where it is missing it says so and is skipped (in CI it is installed).
 *
 * HAProxy connects from 127.0.0.2, clients come from other addresses of loopback: which one the server believes shows in the
 * login event, and in LMTP in whether the client may hand mail over.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import { password, startApp } from '../support/app.ts';
import { freePort } from '../support/free-port.ts';

const program = '/usr/sbin/haproxy';
const balancer = '127.0.0.2';
const mayHandOver = '127.0.0.5';

if (existsSync(program)) stories();
else if (process.env.CI) t.fail('haproxy must be there in CI');
else t.pass('skipped: apt-get install haproxy', { skip: 'needs haproxy' });

/** Lines a client reads. */
function lines(socket: net.Socket) {
  let text = '';
  let wake = () => {};
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    wake();
  });
  socket.on('error', () => {}).on('close', () => wake());
  return async (end: RegExp): Promise<string> => {
    while (!end.test(text)) {
      if (socket.destroyed) throw new Error(`closed after ${JSON.stringify(text)}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const said = text;
    text = '';
    return said;
  };
}

async function connectFrom(t: Test, localAddress: string, port: number): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress });
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

interface Front {
  readonly send: 'send-proxy' | 'send-proxy-v2';
  readonly to: number;
}

/** Answers at which ports it listens, once it does, for each of these. */
async function balance(t: Test, fronts: readonly Front[]): Promise<readonly number[]> {
  const folder = t.testdir();
  const file = join(folder, 'haproxy.cfg');
  const ports = await Promise.all(fronts.map(() => freePort()));
  const sections = fronts.map(
    ({ send, to }, n) =>
      `listen front${n}\n  bind 127.0.0.1:${ports[n]}\n  server node 127.0.0.1:${to} ${send} check inter 200ms source ${balancer}\n`,
  );
  writeFileSync(
    file,
    `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n${sections.join('')}`,
  );
  const child = spawn(program, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  t.teardown(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  for (const port of ports)
    for (let isThere = false; !isThere; ) {
      if (child.exitCode !== null) throw new Error(`haproxy ended: ${said}`);
      const socket = net.connect(port, '127.0.0.1');
      isThere = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      });
      socket.destroy();
      if (!isThere) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  return ports;
}

function stories() {
  for (const send of ['send-proxy', 'send-proxy-v2'] as const)
    t.test(`${send}: the server knows the client, behind TLS and in LMTP`, async (t) => {
      const warned: object[] = [];
      const note = (facts: object, message: string) => void warned.push({ ...facts, message });
      const server = await startApp(
        t,
        {
          proxyProtocol: { trusted: [`${balancer}/32`] },
          intake: { lmtp: ['127.0.0.1:0'], smtp: ['127.0.0.1:0'], trusted: [mayHandOver] },
        },
        {},
        { debug() {}, info() {}, warn: note, error: note },
      );
      const { imap, lmtp, smtp } = server.addresses;
      const fronts = [imap[0]!, imap[1]!, lmtp[0]!, smtp[0]!].map(({ port }) => ({ send, to: port }));
      const [atImap, atImaps, atLmtp, atSmtp] = (await balance(t, fronts)) as [number, number, number, number];

      for (const [client, isTls] of [
        ['127.0.0.7', true],
        ['127.0.0.8', true],
        ['127.0.0.9', false],
      ] as const) {
        const plain = await connectFrom(t, client, isTls ? atImaps : atImap);
        const socket = isTls ? tls.connect({ socket: plain, rejectUnauthorized: false }) : plain;
        const until = lines(socket);
        await until(/^\* OK .*\r\n/);
        socket.write(`a LOGIN ada@harbour.example "${password}"\r\nb SELECT Caught\r\n`);
        await until(/^b OK .*\r\n/m);
        const logins = server.events.filter((event) => event.kind === 'login');
        t.equal(logins.at(-1)!.address, client);
        socket.write('c LOGOUT\r\n');
        await until(/^c OK .*\r\n/m);
        socket.destroy();
      }

      for (const [port, hello] of [
        [atLmtp, 'LHLO'],
        [atSmtp, 'EHLO'],
      ] as const) {
        const filter = await connectFrom(t, mayHandOver, port);
        const until = lines(filter);
        // At once, with the header: nothing behind it is lost.
        filter.write(`${hello} x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ada@harbour.example>\r\nDATA\r\n`);
        await until(/^354 /m);
        filter.write(`Subject: by ${send} and ${hello}\r\n\r\nx\r\n.\r\nQUIT\r\n`);
        t.match(await until(/^221 /m), /^250 2\.0\.0 Ok: kept/m);
        const stranger = await connectFrom(t, '127.0.0.6', port);
        const told = lines(stranger);
        stranger.write(`${hello} x\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n`);
        t.match(await told(/^221 /m), /^554 5\.7\.1/m, 'the client, not the balancer, has to be trusted');
      }
      t.same(warned, [], 'and its health checks are no trouble');
    });
}
