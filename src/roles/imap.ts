/** The role `imap`: what mail clients talk to. The only one that shows a certificate, and so the only one that needs it. */
import { Authenticator } from '#app/accounts/authenticate';
import { createBackend, type MailboxBackend } from '#app/mailbox/backend';
import { TlsFiles } from '#app/tls';
import { ImapServer, type Listen } from '#imap/server';
import type { Ground } from './ground.ts';

export interface ImapRole {
  readonly server: ImapServer;
  readonly backend: MailboxBackend;
  listen(): Promise<readonly Listen[]>;
  reloadTls(): void;
  stop(graceMs: number): Promise<void>;
}

/** @throws TlsError */
export async function buildImap(
  { config, store, book, originOf, shared, onEvent, log, metrics }: Ground,
  version: string,
): Promise<ImapRole> {
  const tls = await TlsFiles.open(config);
  const authenticator = new Authenticator({
    store,
    book,
    globalName: config.accounts.global,
    loginFailures: config.imap.loginFailures,
    failures: shared.failures,
  });
  const backend = createBackend({
    store,
    authenticator,
    book,
    hostname: config.hostname,
    undoMs: config.release.undoSeconds * 1000,
    actionFolders: config.actionFolders,
    outgoingFolder: config.imap.outgoingFolder,
    learn: config.training.learn,
    maxConnectionsPerUser: config.imap.maxConnectionsPerUser,
    connections: shared.connections,
    listen: shared.bus.listen,
    onEvent,
    log,
  });
  const server = new ImapServer({
    backend,
    originOf,
    hostname: config.hostname,
    listen: config.imap.listen,
    secureContext: () => tls.context(),
    allowCleartextLogin: config.imap.allowCleartextLogin,
    maxConnections: config.imap.maxConnections,
    log,
    version,
    onCommand: (name, ms, outcome) => metrics?.command(name, ms, outcome),
  });
  metrics?.watch({ sessions: () => server, held: () => backend.held() });
  return {
    server,
    backend,
    listen: () => server.listen(),
    reloadTls() {
      tls.reload();
      server.reloadTls();
    },
    async stop(graceMs) {
      await server.close(graceMs);
      backend.close();
    },
  };
}
