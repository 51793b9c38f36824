/**
 * A real Rspamd for a test: scanner, milter, controller and fuzzy storage on free ports of loopback, with the configuration
 * files of the test's own (those that the pages of docs/connect print), a Redis and a data folder of its own, and a name
 * server that knows no name, so that no scan waits for the world. Ends with the test.
 *
 * Its own rule: a subject with `LAZARET-SPAM n` has n points.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';
import { Daemon, programOrSkip } from './programs.ts';
import { TestRedis } from './redis.ts';

export const rspamdOrSkip = (t: Test): boolean =>
  programOrSkip(t, 'rspamd', 'rspamd', false) && programOrSkip(t, 'redis-server', 'redis-server', false);

export interface RspamdPorts {
  readonly scanner: number;
  readonly milter: number;
  readonly controller: number;
  readonly fuzzy: number;
}

export interface Scanned {
  readonly action: string;
  readonly score: number;
  readonly symbols: Readonly<Record<string, { readonly score: number; readonly options?: readonly string[] }>>;
  readonly messages?: Readonly<Record<string, string>>;
}

/** Name below the folder of local configuration (`local.d/redis.conf`) → text. */
export type RspamdFiles = Readonly<Record<string, string>>;

/** Modules that load lists from the world when they start, or ask it about each message; and greylisting. */
// biome-ignore format: one name a line would say less
const worldly = [
  'arc', 'asn', 'dmarc', 'greylist', 'hfilter', 'mid', 'mime_types', 'multimap', 'mx_check', 'neural', 'phishing', 'rbl', 'spf', 'surbl',
  'whitelist',
];

const ownRule = `
rspamd_config:register_symbol({
  name = 'LAZARET_TEST',
  score = 1.0,
  callback = function(task)
    local points = (task:get_header('Subject') or ''):match('LAZARET%-SPAM (%d+)')
    if points then return true, tonumber(points), 'told by the subject' end
  end,
})
`;

export class TestRspamd {
  readonly ports: RspamdPorts;
  readonly redis: TestRedis;
  readonly #folder: string;
  #daemon: Daemon | undefined;

  private constructor(folder: string, ports: RspamdPorts, redis: TestRedis) {
    this.#folder = folder;
    this.ports = ports;
    this.redis = redis;
  }

  /** `files` are told the ports: the pages print those of a real machine. */
  static async start(
    t: Test,
    files: (ports: RspamdPorts, redis: TestRedis) => RspamdFiles = () => ({}),
  ): Promise<TestRspamd> {
    const folder = await mkdtemp(join(tmpdir(), 'lazaret-rspamd-'));
    const ports = {
      scanner: await freePort(),
      milter: await freePort(),
      controller: await freePort(),
      fuzzy: await freePort(),
    };
    const redis = await TestRedis.start(t);
    const rspamd = new TestRspamd(folder, ports, redis);
    t.teardown(async () => {
      await rspamd.stop();
      await rm(folder, { recursive: true, force: true });
    });
    const nameServer = await startNameServer(t);
    await rspamd.#write({
      'local.d/redis.conf': `servers = "127.0.0.1:${redis.port}";\n`,
      'local.d/worker-controller.inc': `bind_socket = "127.0.0.1:${ports.controller}";\n`,
      'local.d/worker-normal.inc': `bind_socket = "127.0.0.1:${ports.scanner}";\ncount = 1;\n`,
      'local.d/worker-proxy.inc': `bind_socket = "127.0.0.1:${ports.milter}";
upstream "local" { default = yes; hosts = "127.0.0.1:${ports.scanner}"; }\n`,
      ...Object.fromEntries(worldly.map((name) => [`override.d/${name}.conf`, 'enabled = false;\n'])),
      ...files(ports, redis),
      'override.d/options.inc': `dns { nameserver = ["127.0.0.1:${nameServer}"]; retransmits = 1; timeout = 1s; }
url_tld = "${folder}/suffixes";\n`,
      // It compiles the whole list of the world for ten seconds.
      suffixes: 'com\nexample\n',
      'override.d/logging.inc': 'type = "console";\nlevel = "info";\n',
      'rspamd.local.lua': ownRule,
    });
    await rspamd.start();
    return rspamd;
  }

  /** A file in one of its two folders adds to what Debian ships; a later text to the test's own. */
  async #write(files: RspamdFiles): Promise<void> {
    for (const folder of ['local.d', 'override.d', 'data', 'run', 'log'])
      await mkdir(join(this.#folder, folder), { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.#folder, name)), { recursive: true });
      await writeFile(join(this.#folder, name), text);
    }
  }

  get controllerUrl(): string {
    return `http://127.0.0.1:${this.ports.controller}`;
  }

  /** What it has written to its log since it was started. */
  get log(): string {
    return this.#daemon?.said ?? '';
  }

  /** After `stop` too: on the same ports, with the same data. Resolves when scanner and controller answer. */
  async start(): Promise<void> {
    const folders = { CONFDIR: '/etc/rspamd', LOCAL_CONFDIR: this.#folder, DBDIR: `${this.#folder}/data` };
    const names = { ...folders, RUNDIR: `${this.#folder}/run`, LOGDIR: `${this.#folder}/log` };
    const daemon = new Daemon(
      'rspamd',
      [
        '--no-fork',
        '--insecure', // or it refuses to work as root
        ...['-c', '/etc/rspamd/rspamd.conf'],
        ...Object.entries(names).map(([name, value]) => `--var=${name}=${value}`),
      ],
      this.#folder,
    );
    this.#daemon = daemon;
    for (const port of [this.ports.scanner, this.ports.controller])
      while (!(await answers(port))) {
        if (!daemon.isRunning) throw new Error(`rspamd ended: ${daemon.said.slice(-4000)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
  }

  async stop(): Promise<void> {
    await this.#daemon?.end();
  }

  /** Has it judge a message, as a mail server would. */
  async scan(
    message: string | Uint8Array,
    envelope: {
      readonly from: string;
      readonly to: readonly string[];
      readonly more?: Readonly<Record<string, string>>;
    },
  ): Promise<Scanned> {
    const headers = new Headers({
      From: envelope.from,
      Ip: '198.51.100.7',
      Helo: 'dyn-7.spam.example',
      Pass: 'all',
      ...envelope.more,
    });
    for (const recipient of envelope.to) headers.append('Rcpt', recipient);
    const response = await fetch(`http://127.0.0.1:${this.ports.scanner}/checkv2`, {
      method: 'POST',
      headers,
      body: message,
    });
    return (await response.json()) as Scanned;
  }

  /** One of the controller's questions. */
  async ask(path: string, password = ''): Promise<unknown> {
    const response = await fetch(`${this.controllerUrl}/${path}`, { headers: { Password: password } });
    return response.json();
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ping`);
    return (await response.text()).startsWith('pong');
  } catch {
    return false;
  }
}

/** Answers every question with NXDOMAIN (RFC 1035 §4.1.1: QR, RD as asked, RA, RCODE 3). */
async function startNameServer(t: Test): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (question, from) => {
    if (question.length < 12) return;
    const answer = Buffer.from(question);
    answer[2] = 0x80 | (answer[2]! & 0x79);
    answer[3] = 0x83;
    answer.fill(0, 6, 12); // no answers; what stands behind the question is left out
    socket.send(answer.subarray(0, endOfQuestion(answer)), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return socket.address().port;
}

function endOfQuestion(packet: Buffer): number {
  let at = 12;
  while (at < packet.length && packet[at] !== 0) at += packet[at]! + 1;
  return at + 5;
}
