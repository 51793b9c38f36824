/**
 * `lazaret serve`: the server. SIGTERM and SIGINT end it cleanly; SIGHUP reads the certificate again.
 */
import type { Config } from '#app/config/schema';
import type { ProductEvent } from '#app/observe/events';
import { stopSignal } from './stop-signal.ts';
import { type Call, Failure, UsageError, type Verb } from './verb.ts';

/** What somebody may have to look after. */
const badNews: ReadonlySet<ProductEvent['kind']> = new Set(['release-failed', 'training-refused']);

export const serve: Verb = {
  name: 'serve',
  summary: 'run the server',
  about:
    'Listens for mail clients (IMAP) and for the mail filter (LMTP, SMTP), delivers what is released, and trains. ' +
    'With --roles it does only a part of that, beside other processes on the same store. SIGTERM and Ctrl-C end it cleanly, ' +
    'within `shutdown.grace`; SIGHUP reads certificate and key again, without ending sessions. With --json its ' +
    'log is JSON, one object a line, whatever `log.format` says.',
  options: [
    {
      flags: '--roles <list>',
      help: 'what this process does, with commas: imap, intake, worker (else the setting `roles`)',
      filled: true,
    },
  ],
  examples: [
    ['lazaret serve --config lazaret.yaml', 'with the settings of a file'],
    ['lazaret serve --roles intake,worker', 'takes mail and delivers, and shows nobody a folder'],
    ['LAZARET_IMAP_LISTEN=\'["0.0.0.0:1143"]\' lazaret serve', 'with a setting from the environment'],
    ['systemctl reload lazaret', 'sends SIGHUP: a new certificate is in use from now on'],
  ],
  async run(call) {
    const file = await call.file();
    const config = await settings(call, file);
    const [{ createLogger }, { assemble }, { version }, { withoutPasswords }, { showsCertificate }] = await Promise.all(
      [
        import('#app/observe/logger'),
        import('#app/assemble'),
        import('./program.ts'),
        import('#app/config/kinds'),
        import('#app/config/load'),
      ],
    );
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
      if (!showsCertificate(config)) return; // nobody is shown a certificate
      try {
        app.reloadTls();
        log.info({}, 'certificate read again');
      } catch (error) {
        log.error({ error: (error as Error).message }, 'certificate not read; the one before stays in use');
      }
    };
    const { roles, store } = config;
    log.info(
      { version, config: file ?? 'none', roles, store: withoutPasswords(store), ...shown(addresses) },
      'listening',
    );
    const signal = await asked;
    log.info({ signal }, 'stopping');
    await app.stop(config.shutdown.grace).catch((error: unknown) => {
      throw new Failure(`Not stopped cleanly: ${(error as Error).message}`, { cause: error });
    });
    log.info({}, 'stopped');
    log.flush();
    return 0;
  },
};

/** The settings, with the roles that were typed. They decide what else must be there, so they come before the settings do. */
async function settings(call: Call, file: string | undefined): Promise<Config> {
  const typed = call.text('roles');
  const [{ loadConfig }, { roles: known }] = await Promise.all([
    import('#app/config/load'),
    import('#app/config/schema'),
  ]);
  if (typed === undefined) return loadConfig({ file, env: call.env });
  const roles = typed.split(',').map((role) => role.trim());
  for (const role of roles)
    if (!known.some((name) => name === role))
      throw new UsageError(`--roles: expected one or more of ${known.join(', ')}, found "${role}"`);
  return loadConfig({ file, env: { ...call.env, LAZARET_ROLES: JSON.stringify(roles) } });
}

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
  readonly intakeHttp: readonly Listening[];
  readonly api: readonly Listening[];
  readonly http: readonly Listening[];
}) {
  const write = ({ host, port, tls }: Listening) =>
    `${host.includes(':') ? `[${host}]` : host}:${port}${tls ? '/tls' : ''}`;
  const { imap, lmtp, smtp, intakeHttp, api, http } = addresses;
  return {
    imap: imap.map(write),
    lmtp: lmtp.map(write),
    smtp: smtp.map(write),
    ...(intakeHttp.length > 0 ? { intakeHttp: intakeHttp.map(write) } : {}),
    ...(api.length > 0 ? { api: api.map(write) } : {}),
    http: http.map(write),
  };
}
