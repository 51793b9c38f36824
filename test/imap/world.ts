/** An ImapServer over the fake backend on a free port, for one test; everything ends with it. */
import { generate } from 'selfsigned';
import type { Test } from 'tap';
import type { Limits } from '#imap/limits';
import { ImapServer, type ImapServerOptions } from '#imap/server';
import { FakeBackend } from '../support/fake-backend.ts';
import { ImapClient } from '../support/imap-client.ts';

export interface World {
  readonly backend: FakeBackend;
  readonly server: ImapServer;
  readonly port: number;
  readonly tlsPort: number;
  /** Everything that was logged, as JSON. */
  readonly logged: string[];
  connect(o?: { tls?: boolean }): Promise<ImapClient>;
  /** Connected and logged in, with this folder selected. */
  client(folder?: string): Promise<ImapClient>;
}

export interface WorldOptions {
  readonly limits?: Partial<Limits>;
  readonly allowCleartextLogin?: boolean;
  readonly maxConnections?: number;
  readonly originOf?: ImapServerOptions['originOf'];
}

let pair: Promise<{ cert: string; private: string }> | undefined;

/** One certificate a test file: making one takes longer than most tests. */
export async function certificate(): Promise<{ cert: string; key: string }> {
  pair ??= generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec', curve: 'P-256' });
  const made = await pair;
  return { cert: made.cert, key: made.private };
}

export async function world(t: Test, options: WorldOptions = {}): Promise<World> {
  const backend = new FakeBackend();
  const logged: string[] = [];
  const note = (facts: object, message: string) => {
    const { err, ...rest } = facts as { err?: Error };
    logged.push(JSON.stringify({ ...rest, err: err?.stack, message }));
  };
  const log = { debug: note, info: note, warn: note, error: note };
  const pem = await certificate();
  const server = new ImapServer({
    backend,
    hostname: 'mail.example',
    listen: [
      { host: '127.0.0.1', port: 0, tls: false },
      { host: '127.0.0.1', port: 0, tls: true },
    ],
    secureContext: () => pem,
    allowCleartextLogin: options.allowCleartextLogin ?? true,
    maxConnections: options.maxConnections ?? 100,
    log,
    ...(options.limits && { limits: options.limits }),
    ...(options.originOf && { originOf: options.originOf }),
    version: '1.2.3',
  });
  const [plain, tls] = await server.listen();
  t.teardown(() => server.close(0));
  const connect = (o: { tls?: boolean } = {}) => ImapClient.connect(t, o.tls ? tls!.port : plain!.port, o);
  return {
    backend,
    server,
    port: plain!.port,
    tlsPort: tls!.port,
    logged,
    connect,
    async client(folder) {
      const client = await connect();
      await client.ok('LOGIN bob secret');
      if (folder) await client.ok(`SELECT "${folder}"`);
      return client;
    },
  };
}
