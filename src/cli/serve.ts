/**
 * `lazaret serve`: the server. SIGTERM and SIGINT end it cleanly; SIGHUP reads the certificate again.
 */
import type { ProductEvent } from '#app/observe/events';
import { stopSignal } from './stop-signal.ts';
import { Failure, type Verb } from './verb.ts';

/** As long as systemd and docker wait by default before they kill, and a little less. */
const graceMs = 8_000;
/** What somebody may have to look after. */
const badNews: ReadonlySet<ProductEvent['kind']> = new Set(['release-failed', 'training-refused']);

export const serve: Verb = {
  name: 'serve',
  summary: 'run the server',
  about:
    'Listens for mail clients (IMAP) and for the mail filter (LMTP, SMTP), delivers what is released, and trains. ' +
    'SIGTERM and Ctrl-C end it cleanly; SIGHUP reads certificate and key again, without ending sessions. With --json its ' +
    'log is JSON, one object a line, whatever `log.format` says.',
  examples: [
    ['lazaret serve --config lazaret.yaml', 'with the settings of a file'],
    ['LAZARET_IMAP_LISTEN=\'["0.0.0.0:1143"]\' lazaret serve', 'with a setting from the environment'],
    ['systemctl reload lazaret', 'sends SIGHUP: a new certificate is in use from now on'],
  ],
  async run(call) {
    const file = await call.file();
    const config = await call.config();
    const [{ createLogger }, { assemble }, { version }] = await Promise.all([
      import('#app/observe/logger'),
      import('#app/assemble'),
      import('./program.ts'),
    ]);
    const log = createLogger(call.json ? { ...config.log, format: 'json' } : config.log);
    let reload = () => {}; // until there is a server: a reload right after the start must not end it
    process.on('SIGHUP', () => reload());
    const asked = stopSignal();
    const app = await assemble(config, {
      log,
      version,
      onEvent: ({ kind, ...facts }) => log[badNews.has(kind) ? 'warn' : 'info'](facts, kind),
    });
    const addresses = await app.start();
    reload = () => {
      try {
        app.reloadTls();
        log.info({}, 'certificate read again');
      } catch (error) {
        log.error({ error: (error as Error).message }, 'certificate not read; the one before stays in use');
      }
    };
    log.info({ version, config: file ?? 'none', store: config.store, ...shown(addresses) }, 'listening');
    const signal = await asked;
    log.info({ signal }, 'stopping');
    await app.stop(graceMs).catch((error: unknown) => {
      throw new Failure(`Not stopped cleanly: ${(error as Error).message}`, { cause: error });
    });
    log.info({}, 'stopped');
    log.flush();
    return 0;
  },
};

interface Listening {
  readonly host: string;
  readonly port: number;
  readonly tls?: boolean;
}

/** `127.0.0.1:143`, `[::1]:993/tls`: as they are written in the configuration. */
function shown(addresses: {
  readonly imap: readonly Listening[];
  readonly lmtp: readonly Listening[];
  readonly smtp: readonly Listening[];
}) {
  const write = ({ host, port, tls }: Listening) =>
    `${host.includes(':') ? `[${host}]` : host}:${port}${tls ? '/tls' : ''}`;
  return { imap: addresses.imap.map(write), lmtp: addresses.lmtp.map(write), smtp: addresses.smtp.map(write) };
}
