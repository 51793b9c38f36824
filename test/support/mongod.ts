/**
 * A real MongoDB for tests. One throw-away replica set of one node serves all files of a test run, started by the first that
 * asks (`freshDatabase`); tests that stop or kill a server start a set of their own (`ReplicaSet.start`).
 *
 * MONGODB_URL names a server to use instead of the shared one, MONGOD a program to start. What was started here ends with
 * the run also when the run is killed: mongod-keeper.mjs sees to it. Nothing here is for data that anybody wants to keep.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';

export const howToHaveIt =
  'no MongoDB here: MONGODB_URL, MONGOD or PATH may name one, and `bash .ci/mongod-path` (with python3-pip) fetches one for tests';

interface Ending {
  teardown(end: () => Promise<void>): void;
}

// ------------------------------------------------------------------------------------------------------- one for a run

/** Whether there is one to use or to start. */
export const hasMongo = (): boolean => (process.env.MONGODB_URL ?? '') !== '' || program() !== undefined;

/**
 * For the top of a test file: false when there is no MongoDB. Then the run says that this is skipped and how to have one, and
 * with CI set it fails.
 */
export function mongoOrSkip(t: Test): boolean {
  if (hasMongo()) return true;
  if (process.env.CI) t.fail(howToHaveIt);
  else t.test('with MongoDB', { skip: howToHaveIt }, () => {});
  return false;
}

/** The URL of an empty database of the test's own; removed when the test ends, after what was registered later. */
export async function freshDatabase(t: Ending): Promise<string> {
  const url = withDatabase(await serverUrl(), `lazaret_test_${randomBytes(6).toString('hex')}`);
  t.teardown(() => withClient(url, async (client) => void (await client.db().dropDatabase())));
  return url;
}

/** Does something with a client of the server at that URL, and closes it. */
export async function withClient<T>(url: string, what: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: 30_000 });
  try {
    return await what(client);
  } finally {
    await client.close();
  }
}

let shared: Promise<string> | undefined;
/** The server of this run. @throws when there is none, with a sentence that says how to have one */
export function serverUrl(): Promise<string> {
  const given = process.env.MONGODB_URL;
  shared ??= given ? Promise.resolve(given) : sharedByTheRun();
  return shared;
}

/** The first file of the run makes the folder, and the server in it; the others read its URL there. */
async function sharedByTheRun(): Promise<string> {
  // tap gives each run a name, and starts each file itself; a file that runs without it is a run of its own.
  const run = process.env._TAPJS_PROCESSINFO_ROOT_;
  const runner = run ? process.ppid : process.pid;
  const folder = join(roomyFolder(), `lazaret-mongod-${run ?? `${process.pid}-${randomBytes(4).toString('hex')}`}`);
  const [ready, failed] = [join(folder, 'url'), join(folder, 'failed')];
  try {
    mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    for (const deadline = performance.now() + 90_000; performance.now() < deadline; await pause(50)) {
      if (existsSync(ready)) return readFileSync(ready, 'utf8');
      if (existsSync(failed)) throw new Error(readFileSync(failed, 'utf8'));
    }
    throw new Error(`the MongoDB of this test run did not start in 90 s: ${folder}`);
  }
  keep(folder, runner);
  try {
    const { url } = await ReplicaSet.in(folder, 1);
    writeFileSync(`${ready}.new`, url);
    renameSync(`${ready}.new`, ready);
    return url;
  } catch (error) {
    writeFileSync(`${failed}.new`, String(error));
    renameSync(`${failed}.new`, failed);
    throw error;
  }
}

/** That URL with another database. */
export function withDatabase(url: string, name: string): string {
  const [, server, old, query] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/([^?]*))?(\?.*)?$/.exec(url) ?? [];
  if (!server) throw new Error('MONGODB_URL is no URL of a MongoDB');
  // Without the option a login is looked for in the database that the URL names.
  const source =
    server.includes('@') && !query?.includes('authSource=')
      ? `${query ? '&' : '?'}authSource=${old ? old : 'admin'}`
      : '';
  return `${server}/${name}${query ?? ''}${source}`;
}

// ------------------------------------------------------------------------------------------------------- replica sets

export interface ReplicaSetOptions {
  /** 1 by default; with 3, one may be lost. */
  readonly nodes?: number;
  /** So long the others wait for a primary that says nothing; 2000 by default, where MongoDB has 10,000. */
  readonly electionTimeoutMs?: number;
  /** Where its data lie; in memory by default, where there is room. */
  readonly under?: string;
}

/** A replica set of the test's own. */
export class ReplicaSet {
  readonly nodes: readonly MongodNode[];

  private constructor(nodes: readonly MongodNode[]) {
    this.nodes = nodes;
  }

  /** Ends when the test ends. @throws when there is no mongod, with a sentence that says how to have one */
  static async start(t: Ending, { nodes = 1, electionTimeoutMs, under }: ReplicaSetOptions = {}): Promise<ReplicaSet> {
    const folder = mkdtempSync(join(under ?? roomyFolder(), 'lazaret-mongod-'));
    keep(folder, process.pid);
    t.teardown(async () => {
      await Promise.all(set?.nodes.map((node) => node.kill()) ?? []);
      rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    });
    const set = await ReplicaSet.in(folder, nodes, electionTimeoutMs);
    return set;
  }

  /** In a folder that somebody else removes. */
  static async in(folder: string, count: number, electionTimeoutMs = 2000): Promise<ReplicaSet> {
    const path = program();
    if (path === undefined) throw new Error(howToHaveIt);
    const nodes = await Promise.all(
      Array.from({ length: count }, (_, n) => MongodNode.start(path, join(folder, `node${n}`))),
    );
    const set = new ReplicaSet(nodes);
    await withClient(nodes[0]!.url, async (client) => {
      await client.db('admin').command({
        replSetInitiate: {
          _id: 'rs0',
          members: nodes.map(({ host }, n) => ({ _id: n, host, priority: n === 0 ? 2 : 1 })),
          settings: { electionTimeoutMillis: electionTimeoutMs, heartbeatIntervalMillis: electionTimeoutMs / 4 },
        },
      });
    });
    await set.primary();
    return set;
  }

  /** For `store:`; names the database `lazaret`. */
  get url(): string {
    return `mongodb://${this.nodes.map(({ host }) => host).join()}/lazaret?replicaSet=rs0`;
  }

  /** The node that takes writes; waits for one. @throws after a minute */
  async primary(): Promise<MongodNode> {
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await pause(50))
      for (const node of this.nodes) if (node.isRunning && (await node.isPrimary())) return node;
    throw new Error('the replica set has no primary');
  }
}

/** One mongod, over its restarts on the same port and data. */
export class MongodNode {
  readonly port: number;
  readonly host: string;
  /** Of this node alone. */
  readonly url: string;
  readonly #program: string;
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #isPaused = false;

  private constructor(path: string, folder: string, port: number) {
    this.#program = path;
    this.#folder = folder;
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.url = `mongodb://${this.host}/?directConnection=true`;
  }

  static async start(path: string, folder: string): Promise<MongodNode> {
    mkdirSync(folder);
    for (let tries = 3; ; tries--) {
      const node = new MongodNode(path, folder, await freePort());
      try {
        await node.start();
        return node;
      } catch (error) {
        // Somebody else may have taken the port in between.
        if (tries === 1 || !String(error).includes('Address already in use')) throw error;
      }
    }
  }

  /** Starts it, again or for the first time; resolves when it can be connected to. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error('it is running');
    const log = join(this.#folder, 'log');
    const child = spawn(
      this.#program,
      [
        ...['--replSet', 'rs0', '--bind_ip', '127.0.0.1', '--port', String(this.port), '--nounixsocket'],
        ...['--dbpath', this.#folder, '--logpath', log, '--quiet'],
        // Small, since several may run; the rest is as in real life.
        ...['--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '256'],
        ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
        ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
        ...['--setParameter', 'ttlMonitorSleepSecs=1'],
        // A secondary gives up a node that says nothing after this and its wait for more (docs/mongodb.md).
        ...['--setParameter', 'oplogNetworkTimeoutBufferSeconds=1'],
      ],
      // Of a group of its own: Ctrl-C is for the tests, which may want to say something to it at their end.
      { stdio: 'ignore', detached: true, env: { PATH: process.env.PATH, HOME: process.env.HOME } },
    );
    this.#child = child;
    this.#isPaused = false;
    this.#exited = new Promise((resolve) => {
      child.once('exit', resolve);
      child.once('error', resolve);
    });
    child.unref();
    if (child.pid !== undefined) writeFileSync(`${this.#folder}.pid`, String(child.pid));
    for (const deadline = performance.now() + 60_000; ; await pause(25)) {
      if (await listens(this.port)) return;
      if (this.isRunning && performance.now() < deadline) continue;
      const said = existsSync(log) ? readFileSync(log, 'utf8').slice(-2000) : '';
      throw new Error(`mongod did not start (${child.exitCode ?? child.signalCode})\n${said}`);
    }
  }

  /** As an operator stops it; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    // Not to be forgotten while it is waited for.
    this.#child?.ref();
    if (this.isRunning) this.#child!.kill(signal);
    if (this.#isPaused && signal !== 'SIGKILL') this.resume();
    await this.#exited;
    rmSync(`${this.#folder}.pid`, { force: true });
  }

  /** SIGSTOP: its connections stay, and nothing answers. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
    this.#isPaused = true;
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.kill('SIGCONT');
    this.#isPaused = false;
  }

  /** A node that is paused is running. */
  get isRunning(): boolean {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Whether it says so of itself; false when it says nothing within a second. */
  async isPrimary(): Promise<boolean> {
    if (this.#isPaused) return false;
    const client = new MongoClient(this.url, { serverSelectionTimeoutMS: 1000, socketTimeoutMS: 1000 });
    try {
      return (await client.db('admin').command({ hello: 1 })).isWritablePrimary === true;
    } catch {
      return false;
    } finally {
      await client.close();
    }
  }
}

// ------------------------------------------------------------------------------------------------------------- means

let found: { readonly path: string | undefined } | undefined;
/** The same places in which .ci/mongod-path looks, without fetching anything. */
function program(): string | undefined {
  if (found) return found.path;
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'mongod'));
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'mongod-6.0.5/mongod');
  const path = [process.env.MONGOD ?? '', ...onPath, cache].find(
    (file) => file !== '' && existsSync(file) && statSync(file).isFile() && spawnSync(file, ['--version']).status === 0,
  );
  found = { path };
  return path;
}

/** Memory, where there is room in it: hundreds of databases with their indexes are many small files. */
function roomyFolder(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    if (bavail * bsize > 3 * 1024 ** 3) return '/dev/shm';
  } catch {
    // Not on this system.
  }
  return tmpdir();
}

/** Starts the keeper of a folder. */
function keep(folder: string, watched: number): void {
  const keeper = join(import.meta.dirname, 'mongod-keeper.mjs');
  spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, keeper, folder, String(watched)], {
    stdio: 'ignore',
    detached: true,
  }).unref();
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
