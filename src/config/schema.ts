/**
 * The settings: one table of key, kind, default, unit and help. What a configuration file may hold, what the environment
 * may hold, `lazaret config init`, `config show` and docs/config.md all come from it, so none can forget a setting.
 *
 * A default stands here as a person would write it and goes through the same check as theirs.
 */
import * as z from 'zod';
import type { ToldTheSender } from '#app/lib/disposition';
import {
  address,
  argv,
  busUrl,
  disposition,
  domainName,
  duration,
  filePath,
  hostName,
  type ImapListen,
  imapListen,
  intakeListen,
  type ListenAddress,
  list,
  loginName,
  network,
  nextHop,
  oneOf,
  someOf,
  storeUrl,
  whole,
  yesOrNo,
} from './kinds.ts';
import { watchedFolder, watchedForm } from './watched.ts';

/** What people read about a setting. */
export interface About {
  readonly help: string;
  /** The kind of value, in words. */
  readonly kind: string;
  /** As written in a file; absent: there is none, and `otherwise` says what happens then. */
  readonly default?: unknown;
  readonly otherwise?: string;
  /** Shown, as a comment, where there is no default. */
  readonly example?: unknown;
  readonly unit?: string;
  /** May hold a password: never shown as it is. */
  readonly secret?: boolean;
}

const abouts = z.registry<About>();
const groups = z.registry<{ readonly help: string; readonly shape: z.core.$ZodLooseShape }>();

/** A setting with a default. */
function setting<T extends z.ZodType>(type: T, about: About & { readonly default: z.input<T> }) {
  const preset = type.prefault(about.default as z.util.NoUndefined<z.input<T>>);
  abouts.add(preset, about);
  return preset;
}

/** A setting that may be absent. */
function optional<T extends z.ZodType>(type: T, about: About & { readonly otherwise: string }) {
  const free = type.optional();
  abouts.add(free, about);
  return free;
}

function group<T extends z.core.$ZodLooseShape>(help: string, shape: T) {
  const inner = z.strictObject(shape, { error: 'settings, one a line' }).prefault({} as never);
  groups.add(inner, { help, shape });
  return inner;
}

/** What a process can be there for; one may be everything. */
export const roles = ['imap', 'intake', 'worker'] as const;
export type Role = (typeof roles)[number];

const directions = ['auto', 'incoming', 'outgoing'] as const;
export const filters = ['auto', 'amavis', 'rspamd', 'rspamd-milter', 'spamassassin'] as const;
export type IntakeDirection = (typeof directions)[number];
export type IntakeFilter = (typeof filters)[number];

const listenerForm = 'host:port, or { listen: host:port, direction: …, filter: …, disposition: … }';
const intakeListener = () =>
  z.preprocess(
    (value) => (typeof value === 'string' || typeof value === 'number' ? { listen: String(value) } : value),
    z.strictObject(
      {
        listen: intakeListen(),
        direction: oneOf(directions).optional(),
        filter: oneOf(filters).default('auto'),
        disposition: disposition().optional(),
      },
      { error: listenerForm },
    ),
  );

export const schema = z.strictObject({
  hostname: optional(hostName(), {
    help: 'The name of this server: in banners, trace headers and the certificate it makes for itself.',
    kind: 'host name',
    otherwise: "this machine's own name",
    example: 'quarantine.example.com',
  }),
  store: setting(storeUrl(), {
    help: 'Where everything is kept. sqlite:PATH, one file: its folder is made when it is missing, a relative path counts from the folder of this file. mongodb://HOST/DATABASE?replicaSet=NAME: a database of a replica set, for one process or many.',
    kind: 'store',
    default: 'sqlite:./data/lazaret.db',
    secret: true,
  }),
  bus: optional(busUrl(), {
    help: 'A Redis over which several processes on one store wake each other, and count wrong passwords and connections together. With TLS: rediss://. While it cannot be reached, all goes on as without it.',
    kind: 'redis:// or rediss://, as user:password@host:port/database',
    otherwise: 'the processes are woken by the store, and each counts for itself',
    example: 'redis://10.0.0.7:6379',
    secret: true,
  }),
  roles: setting(someOf(roles), {
    help: 'What this process is there for: imap serves mail clients, intake takes mail from the filter, worker delivers, trains and tidies up. Several processes on one store may share them; `serve --roles` goes before this.',
    kind: `list of ${roles.join(' | ')}, at least one`,
    default: [...roles],
  }),
  tls: group(
    'Certificate and key, in PEM form, both or none. Read again on SIGHUP (`systemctl reload`) without ending sessions.',
    {
      cert: optional(filePath(), {
        help: 'The certificate, with the chain below it.',
        kind: 'path',
        otherwise: 'a self-signed pair, made once beside the store; with MongoDB in ./data beside this file',
        example: './tls/cert.pem',
      }),
      key: optional(filePath(), {
        help: 'Its private key.',
        kind: 'path',
        otherwise: 'as with `cert`',
        example: './tls/key.pem',
      }),
    },
  ),
  imap: group('What mail clients talk to.', {
    listen: setting(list(imapListen(), 'host:port or host:port/tls'), {
      help: 'Where to listen. With /tls: TLS from the start (IMAPS); without it the client asks for it (STARTTLS).',
      kind: 'list of host:port or host:port/tls',
      default: ['127.0.0.1:143', '[::1]:993/tls'],
    }),
    allowCleartextLogin: setting(yesOrNo(), {
      help: 'true: passwords are taken without TLS. For tests and trusted networks.',
      kind: 'true or false',
      default: false,
    }),
    maxConnections: setting(whole(1, 1_000_000), {
      help: 'Connections at a time, of everybody together.',
      kind: 'whole number',
      default: 10_000,
    }),
    maxConnectionsPerUser: setting(whole(1, 1_000_000), {
      help: 'Connections at a time of one account. Thunderbird opens up to five for each of its users.',
      kind: 'whole number',
      default: 50,
    }),
    loginFailures: group('How long a login waits after wrong passwords, growing per user and address.', {
      delayMs: setting(whole(0, 3_600_000), {
        help: 'After the first wrong password; doubled after each further one. 0: none.',
        kind: 'whole number',
        unit: 'ms',
        default: 1000,
      }),
      maxDelayMs: setting(whole(0, 3_600_000), {
        help: 'It never grows beyond this.',
        kind: 'whole number',
        unit: 'ms',
        default: 15_000,
      }),
    }),
    outgoingFolder: setting(yesOrNo(), {
      help: 'Show the folder `Caught (Outgoing)`.',
      kind: 'true or false',
      default: true,
    }),
  }),
  intake: group('How the mail filter hands over what it caught.', {
    lmtp: setting(list(intakeListener(), listenerForm), {
      help: 'Where to listen for LMTP. An entry may name its direction and filter: { listen: "127.0.0.1:24", direction: outgoing, filter: amavis }. And what the filter in front of it tells the sender of the mail it hands over, if that is always the same, for people to see: disposition: accepted, discarded, delivered, or rejected with the reply, as in "rejected 554 5.7.0 Reject".',
      kind: `list of ${listenerForm}`,
      default: ['127.0.0.1:24'],
    }),
    smtp: setting(list(intakeListener(), listenerForm), {
      help: 'The same for SMTP.',
      kind: `list of ${listenerForm}`,
      default: ['127.0.0.1:10025'],
    }),
    trusted: setting(list(network(), 'addresses and ranges'), {
      help: 'Who may hand mail over. Anyone else gets 554 5.7.1 before DATA.',
      kind: 'list of addresses and ranges',
      default: ['127.0.0.0/8', '::1/128'],
    }),
    maxMessageBytes: setting(whole(1024, 4_000_000_000), {
      help: 'A larger message is refused with 552 5.3.4. Should be no smaller than the limit of the mail server in front.',
      kind: 'whole number',
      unit: 'bytes',
      default: 67_108_864,
    }),
    direction: setting(oneOf(directions), {
      help: 'auto: told from recipient and sender, by `domains`. For listeners that name none of their own.',
      kind: directions.join(' | '),
      default: 'auto',
    }),
    handOverDomains: optional(list(domainName(), 'domains'), {
      help: "Addresses there name no person: the recipients stand in the filter's block above the message.",
      kind: 'list of domains',
      otherwise: 'the hostname, unless it is one of `domains`',
      example: ['quarantine.example.com'],
    }),
    watch: setting(list(watchedFolder(filters, directions), watchedForm), {
      help: 'Folders in which others put mail: each file is taken once, when it is complete. `folder`, and who it is for: `rcpt` (addresses), `rcptField` (the field in which the server has put them) or `filter: amavis`. Files stay where they are; with `done: PATH` they are moved there, with `delete: true` deleted. See docs/files.md.',
      kind: `list of ${watchedForm}`,
      default: [],
      example: [{ folder: '/var/lib/amavis/virusmails', filter: 'amavis' }],
    }),
  }),
  domains: optional(
    z.record(
      z.string(),
      z.preprocess(
        (value) => value ?? {},
        z.strictObject(
          { aliases: list(domainName(), 'domains').default([]), nextHop: nextHop().optional() },
          { error: 'aliases and nextHop, or nothing' },
        ),
      ),
      { error: 'domains, each with its aliases and nextHop' },
    ),
    {
      help: 'The domains we are responsible for, each with its alias domains and, if it has one of its own, its next hop.',
      kind: 'domains, each with `aliases` and `nextHop`',
      otherwise: 'every domain is ours, and everything is incoming',
      example: {
        'harbour.example': { aliases: ['harbor.example'], nextHop: 'smtp://10.0.0.5:10026' },
        'quay.example': {},
      },
      secret: true,
    },
  ),
  aliases: setting(z.record(z.string(), address(), { error: 'addresses, each with the address it stands for' }), {
    help: 'Addresses that belong to another address: its owner sees their mail. Acts on later mail.',
    kind: 'addresses, each with the address it stands for',
    default: {},
    example: { 'info@quay.example': 'ben@quay.example' },
  }),
  delivery: group('Where released mail goes: past the filter, or it would be caught again.', {
    nextHop: setting(nextHop(), {
      help: 'smtp://, smtps:// or lmtp://, as user:password@host:port; ?tls=none|may|require|verify.',
      kind: 'next hop',
      default: 'smtp://127.0.0.1:10026',
      secret: true,
    }),
    retryForDays: setting(whole(1, 30), {
      help: 'So long a delivery is tried again. Then the message comes back into its folder, marked as failed.',
      kind: 'whole number',
      unit: 'days',
      default: 5,
    }),
  }),
  release: group('What happens after a drop on a folder.', {
    undoSeconds: setting(whole(0, 3600), {
      help: 'So long a drop waits before anything is done, and can be undone without asking.',
      kind: 'whole number',
      unit: 'seconds',
      default: 10,
    }),
    showAfter: setting(duration(), {
      help: 'A delivery put off by the next hop for longer than this is shown in its folder again, as waiting.',
      kind: 'duration',
      default: '1h',
    }),
  }),
  actionFolders: setting(oneOf(['empty', 'strict']), {
    help: 'empty: Release, Spam and so on open as empty folders. strict: they cannot be opened (in Thunderbird: an alert on every click).',
    kind: 'empty | strict',
    default: 'empty',
  }),
  training: group(
    'Commands that learn from a message on their standard input, both or none. Exit code 0: learned; 69, 71, 74, 75, a signal or a timeout: again later; others: refused.',
    {
      spam: optional(argv(), {
        help: 'Learns spam.',
        kind: 'command, as a list of its words',
        otherwise: 'training is recorded and kept for later',
        example: ['sa-learn', '--spam'],
      }),
      ham: optional(argv(), {
        help: 'Learns ham.',
        kind: 'command, as a list of its words',
        otherwise: 'as with `spam`',
        example: ['sa-learn', '--ham'],
      }),
      timeout: setting(duration(), {
        help: 'A command that takes longer is stopped, and tried again later.',
        kind: 'duration',
        default: '60s',
      }),
    },
  ),
  jobs: group('Work that is done behind the scenes: deliveries and training.', {
    concurrency: setting(whole(1, 1000), {
      help: 'So many at a time.',
      kind: 'whole number',
      default: 16,
    }),
  }),
  proxyProtocol: group(
    'Balancers in front of the listeners that tell us by PROXY protocol, version 1 or 2, who the client is.',
    {
      trusted: setting(list(network(), 'addresses and ranges'), {
        help: 'Their addresses. From there the header is required, before everything else, on every IMAP, LMTP and SMTP listener; from anywhere else it is not understood.',
        kind: 'list of addresses and ranges',
        default: [],
        example: ['10.0.0.2', 'fd00::/64'],
      }),
    },
  ),
  shutdown: group('What happens on SIGTERM: nobody new is let in, and who is at rest is told so.', {
    grace: setting(duration(), {
      help: 'So long commands, messages and deliveries that are running may go on; then they are cut. Docker kills 10 seconds after SIGTERM, systemd 90, unless told otherwise.',
      kind: 'duration',
      default: '8s',
    }),
  }),
  accounts: group('Who logs in.', {
    global: setting(loginName(), {
      help: 'The login name of the account that sees everything.',
      kind: 'name',
      default: 'global',
    }),
  }),
  http: group('What watches a server asks here: /healthz, /readyz and /metrics. No login and no TLS.', {
    listen: setting(list(intakeListen(), 'host:port'), {
      help: 'Where to listen. Names no mail and no person, but is for your own machines: loopback, or a network that strangers do not reach.',
      kind: 'list of host:port',
      default: [],
      example: ['127.0.0.1:8080'],
    }),
  }),
  log: group('What is told about the work, on standard error.', {
    level: setting(oneOf(['debug', 'info', 'warn', 'error']), {
      help: 'The least important line that is written.',
      kind: 'debug | info | warn | error',
      default: 'info',
    }),
    format: setting(oneOf(['auto', 'text', 'json']), {
      help: 'auto: text on a terminal, otherwise JSON, one object a line.',
      kind: 'auto | text | json',
      default: 'auto',
    }),
  }),
});

export interface ImapListener extends ImapListen {}
export interface IntakeListener extends ListenAddress {
  readonly direction: IntakeDirection;
  readonly filter: IntakeFilter;
  readonly disposition?: ToldTheSender;
}

export type Parsed = z.output<typeof schema>;
/** What the program runs with. Durations (`release.showAfter`, `training.timeout`) are milliseconds; paths are absolute. */
export interface Config extends Omit<Parsed, 'hostname' | 'tls' | 'intake' | 'domains' | 'training'> {
  readonly hostname: string;
  /** That of the file of settings: relative paths count from it. */
  readonly folder: string;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly intake: Omit<Parsed['intake'], 'lmtp' | 'smtp' | 'direction' | 'handOverDomains'> & {
    readonly lmtp: readonly IntakeListener[];
    readonly smtp: readonly IntakeListener[];
    readonly handOverDomains: string[];
  };
  /** By main name, in lower case. Absent: every domain is ours. */
  readonly domains?: Record<string, { aliases: string[]; nextHop?: string }>;
  readonly training?: { readonly spam: string[]; readonly ham: string[]; readonly timeout: number };
}

/** A line of the table: `imap.loginFailures.delayMs`, or a group's heading. */
export type Line =
  | { readonly path: readonly string[]; readonly group: string }
  | { readonly path: readonly string[]; readonly about: About };

/** The table, top to bottom, each group before its settings. */
export function table(): readonly Line[] {
  const lines: Line[] = [];
  const walk = (shape: z.core.$ZodLooseShape, above: readonly string[]) => {
    for (const [name, type] of Object.entries(shape)) {
      const path = [...above, name];
      const about = abouts.get(type);
      const inner = groups.get(type);
      if (about) lines.push({ path, about });
      if (!inner) continue;
      lines.push({ path, group: inner.help });
      walk(inner.shape, path);
    }
  };
  walk(schema.shape, []);
  return lines;
}

/** `imap.allowCleartextLogin` → `LAZARET_IMAP_ALLOW_CLEARTEXT_LOGIN`. */
export const environmentName = (path: readonly string[]): string =>
  `LAZARET_${path.map((part) => part.replace(/[A-Z]/g, '_$&')).join('_')}`.toUpperCase();
