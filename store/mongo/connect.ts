/**
 * The connection to a replica set. Everything that was answered is on the disks of most of its nodes, and nothing is read
 * that a failover could take back: that holds for all that goes through this client.
 */
import { type Collection, type Db, MongoClient, MongoServerSelectionError } from 'mongodb';
import { StoreRefused, StoreUnavailable } from '../errors.ts';
import type { CollectionName, Documents } from './documents.ts';
import { asStoreError, codeOf } from './fault.ts';

export interface MongoOptions {
  readonly url: string;
  /** A Float64 of milliseconds that is added to the server's clock. */
  readonly clock?: SharedArrayBuffer;
  /** Also a store whose import was begun and not finished. */
  readonly unfinished?: boolean;
}

/** MongoDB 6.0. */
const wireVersion = 17;
const majority = { w: 'majority', journal: true } as const;

/** The store's clock: the server's, so that all processes have the same one. Between transactions it is reckoned on. */
export class Clock {
  readonly #moved: Float64Array | undefined;
  #ahead = 0;

  constructor(moved?: SharedArrayBuffer) {
    this.#moved = moved && new Float64Array(moved);
  }

  get now(): number {
    return Math.trunc(Date.now() + this.#ahead + (this.#moved?.[0] ?? 0));
  }

  /** The server says what time it is. */
  heard(server: Date): number {
    this.#ahead = server.getTime() - Date.now();
    return this.now;
  }
}

export class Connection {
  readonly client: MongoClient;
  readonly db: Db;
  readonly clock: Clock;

  constructor(client: MongoClient, db: Db, clock: Clock) {
    this.client = client;
    this.db = db;
    this.clock = clock;
  }

  collection<C extends CollectionName>(name: C): Collection<Documents[C]> {
    return this.db.collection<Documents[C]>(name);
  }
}

/** @throws StoreRefused, StoreUnavailable with a sentence that says what an operator can do */
export async function connect(options: MongoOptions): Promise<Connection> {
  const name = databaseOf(options.url);
  const client = clientFor(options.url);
  const hosts = client.options.srvHost ?? client.options.hosts.map((host) => host.toString()).join();
  try {
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello.msg !== 'isdbgrid' && typeof hello.setName !== 'string') throw new StoreRefused(noSet(hosts));
    if (hello.maxWireVersion < wireVersion)
      throw new StoreRefused(`The MongoDB at ${hosts} is older than 6.0; upgrade it`);
    await seeJournal(client, hosts);
    const db = client.db(name);
    const clock = new Clock(options.clock);
    const { localTime } = await db.command({ hello: 1 });
    clock.heard(localTime);
    await db.collection('numbers').findOne({ _id: 'numbers' as never });
    return new Connection(client, db, clock);
  } catch (error) {
    await client.close();
    throw explain(error, hosts, name);
  }
}

/** With this setting `majority` would mean memory. A login that may not read it cannot have set it either. */
async function seeJournal(client: MongoClient, hosts: string): Promise<void> {
  const answer = await client
    .db('admin')
    .command({ replSetGetConfig: 1 })
    .catch(() => undefined);
  if (answer?.config?.writeConcernMajorityJournalDefault === false)
    throw new StoreRefused(
      `The replica set at ${hosts} confirms writes that are on no disk; set writeConcernMajorityJournalDefault to true (rs.reconfig)`,
    );
}

function clientFor(url: string): MongoClient {
  try {
    return new MongoClient(url, {
      appName: 'lazaret',
      writeConcern: majority,
      readConcern: { level: 'majority' },
      readPreference: 'primary',
      retryWrites: true,
      retryReads: true,
      // A primary that says nothing any more is noticed by the driver's heartbeat after connectTimeoutMS and
      // heartbeatFrequencyMS, which then ends what waits for it; a read is tried once more. Together this must stay below
      // the 10 s within which a client is told to try again.
      serverSelectionTimeoutMS: 3000,
      connectTimeoutMS: 3000,
      heartbeatFrequencyMS: 1000,
      socketTimeoutMS: 30_000,
      maxPoolSize: 32,
      ignoreUndefined: true,
    });
  } catch (error) {
    // The driver's words may repeat the URL.
    const said = error instanceof Error ? error.message.replaceAll(/\/\/[^/@]*@/g, '//…@') : '';
    throw new StoreRefused(`The store's URL makes no sense to the MongoDB driver: ${said}`);
  }
}

function databaseOf(url: string): string {
  const [, name] = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^/?]+)/.exec(url) ?? [];
  if (!name) throw new StoreRefused("The store's URL names no database; write mongodb://HOST:PORT/DATABASE");
  return decodeURIComponent(name);
}

const noSet = (hosts: string): string =>
  `The MongoDB at ${hosts} is no replica set, and transactions need one; one node is enough: start mongod with --replSet rs0 and run rs.initiate()`;

function explain(error: unknown, hosts: string, name: string): unknown {
  const cause = { cause: error };
  if (error instanceof MongoServerSelectionError) {
    const servers = [...(error.reason?.servers.values() ?? [])];
    if (servers.length > 0 && servers.every(({ type }) => type === 'RSGhost'))
      return new StoreRefused(noSet(hosts), cause);
    if (servers.some(({ type, maxWireVersion }) => type !== 'Unknown' && maxWireVersion < wireVersion))
      return new StoreRefused(`The MongoDB at ${hosts} is older than 6.0; upgrade it`, cause);
    if (servers.some(({ type }) => type === 'RSSecondary'))
      return new StoreUnavailable(
        `The replica set at ${hosts} has no primary that can be reached; are most of its nodes up?`,
        cause,
      );
    return new StoreUnavailable(
      `The MongoDB at ${hosts} cannot be reached; is it running, and are host, port and replica set of the store's URL right?`,
      cause,
    );
  }
  if (codeOf(error) === 18 || codeOf(error) === 8000)
    return new StoreUnavailable(
      `The MongoDB at ${hosts} refuses the login; check user, password and authSource in the store's URL`,
      cause,
    );
  if (codeOf(error) === 13)
    return new StoreUnavailable(
      `The MongoDB at ${hosts} does not let this user use the database ${name}; grant it the role readWrite there`,
      cause,
    );
  return asStoreError(error);
}
