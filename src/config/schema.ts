/**
 * The settings: one table of key, kind, default, unit and help. What a configuration file may hold, what the environment
 * may hold, `lazaret config init`, `config show` and docs/config.md all come from it, so none can forget a setting.
 *
 * A default stands here as a person would write it and goes through the same check as theirs.
 */
import * as z from 'zod';
import type { ToldTheSender } from '#app/lib/disposition';
import type { FilterSetting, NamedFilter } from '#app/lib/filter-names';
import {
  address,
  amavisSocket,
  busUrl,
  disposition,
  domainName,
  domainOrAddress,
  duration,
  filePath,
  filterSetting,
  hostName,
  type ImapListen,
  imapListen,
  intakeListen,
  type ListenAddress,
  list,
  loginName,
  namedFilter,
  network,
  nextHop,
  oneOf,
  senderMode,
  someOf,
  storeUrl,
  token,
  tokenForm,
  wayOut,
  whole,
  yesOrNo,
} from './kinds.ts';
import { type TrainerSettings, trainer, trainerTypes } from './trainers.ts';
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

/** Ways by which people act on messages. */
export const surfaces = ['imap', 'cli', 'web'] as const;
export type Surface = (typeof surfaces)[number];

const directions = ['auto', 'incoming', 'outgoing'] as const;
export type IntakeDirection = (typeof directions)[number];
export type IntakeFilter = FilterSetting;

const listenerForm =
  'host:port, or { listen: host:port, direction: …, filter: …, also: […], disposition: …, class: … }';
const httpListenerForm = listenerForm.replaceAll('host:port', 'host:port[/tls]');
const intakeListener = <T extends z.ZodType, F extends IntakeFilter>(at: () => T, filter: F, form: string) =>
  z.preprocess(
    (value) => (typeof value === 'string' || typeof value === 'number' ? { listen: String(value) } : value),
    z.strictObject(
      {
        listen: at(),
        direction: oneOf(directions).optional(),
        filter: filterSetting().prefault(filter),
        also: list(namedFilter(), 'filters').default([]),
        disposition: disposition().optional(),
        class: oneOf(['held', 'training']).default('held'),
      },
      { error: form },
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
    lmtp: setting(list(intakeListener(intakeListen, 'auto', listenerForm), listenerForm), {
      help: 'Where to listen for LMTP. An entry may name its direction and filter: { listen: "127.0.0.1:24", direction: outgoing, filter: amavis }; also: […] names further filters whose marks are believed. Which there are and what is read: docs/verdicts.md. And what the filter in front of it tells the sender of the mail it hands over, if that is always the same, for people to see: disposition: accepted, discarded, delivered, or rejected with the reply, as in "rejected 554 5.7.0 Reject". And class: training where only copies of mail come that has been delivered: see `trainingRequested`.',
      kind: `list of ${listenerForm}`,
      default: ['127.0.0.1:24'],
    }),
    smtp: setting(list(intakeListener(intakeListen, 'auto', listenerForm), listenerForm), {
      help: 'The same for SMTP.',
      kind: `list of ${listenerForm}`,
      default: ['127.0.0.1:10027'],
    }),
    http: setting(list(intakeListener(imapListen, 'none', httpListenerForm), httpListenerForm), {
      help: 'Where to listen for mail handed over by HTTP: POST /intake, and POST /intake/rspamd for its metadata_exporter (docs/connect/other.md). With /tls: HTTPS. Needs `intake.tokens`.',
      kind: `list of ${httpListenerForm}`,
      default: [],
      example: ['127.0.0.1:8025'],
    }),
    tokens: setting(list(token(), 'tokens'), {
      help: 'Who shows one of these may hand mail over by HTTP, from an address in `intake.trusted`. Make one with `openssl rand -hex 24`. An entry may have a name for the log, and the hash in the place of the token: { name: rspamd, token: "sha256:…" }.',
      kind: `list of tokens: ${tokenForm}`,
      default: [],
      secret: true,
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
    authservIds: setting(list(hostName(), 'host names'), {
      help: 'Servers of ours that check SPF, DKIM, DMARC or ARC, by the names that they write into Authentication-Results. Such fields are believed if they bear one of these names and stand where only our servers write (docs/verdicts.md).',
      kind: 'list of host names',
      default: [],
      example: ['mx.example.com'],
    }),
    watch: setting(list(watchedFolder(directions), watchedForm), {
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
          {
            aliases: list(domainName(), 'domains').default([]),
            nextHop: wayOut().optional(),
            sender: senderMode().optional(),
          },
          { error: 'aliases, nextHop and sender, or nothing' },
        ),
      ),
      { error: 'domains, each with its aliases, nextHop and sender' },
    ),
    {
      help: 'The domains we are responsible for, each with its alias domains and, if it has one of its own, its next hop, which may also be its mailbox server (imaps://{user}*master:password@host/INBOX, docs/release.md), and its `sender` (see release.sender).',
      kind: 'domains, each with `aliases`, `nextHop` and `sender`',
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
    amavis: optional(amavisSocket(), {
      help: 'Where amavis speaks AM.PDP: amavis://host:port or amavis:///path of its socket; ?request=requeue sends mail through its checks again. What was imported from its quarantine is released by it.',
      kind: 'socket of amavis',
      otherwise: 'such mail goes to the next hop like all other',
      example: 'amavis://127.0.0.1:9998',
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
    sender: setting(senderMode(), {
      help: 'The envelope sender of released incoming mail. original: as it was received. empty: the null sender. srs: rewritten, so that SPF of the next hop is content and bounces find their way back. fixed:ADDRESS: this one. A message without a sender, and outgoing mail, stay as they are.',
      kind: 'original | empty | srs | fixed:ADDRESS',
      default: 'original',
    }),
    srsDomain: optional(domainName(), {
      help: 'The domain of rewritten senders: its mail server has to read them back (postsrsd).',
      kind: 'domain',
      otherwise: 'the hostname',
      example: 'srs.example.com',
    }),
    srsSecret: optional(z.string({ error: 'a secret' }).min(8, { error: 'a secret of 8 characters or more' }), {
      help: 'Signs rewritten senders: the first line of the secret file of postsrsd there.',
      kind: 'text',
      otherwise: 'no sender can be rewritten',
      example: 'the-first-line-of-etc-postsrsd.secret',
      secret: true,
    }),
    validFor: setting(duration(), {
      help: 'So long after each try a filter that knows the release key lets the message through (docs/release.md).',
      kind: 'duration',
      default: '1d',
    }),
    renameHeaders: setting(yesOrNo(), {
      help: 'true: spam fields in the header of a released message (X-Spam-Flag and the like), Return-Path and Delivered-To get X-Pre-Release- in front of their names, unless a DKIM signature names them. For a next hop that files by them, or takes Delivered-To for a loop.',
      kind: 'true or false',
      default: false,
    }),
  }),
  actionFolders: setting(oneOf(['empty', 'strict']), {
    help: 'empty: Release, Spam and so on open as empty folders. strict: they cannot be opened (in Thunderbird: an alert on every click).',
    kind: 'empty | strict',
    default: 'empty',
  }),
  training: group('Who learns from what people put on Spam, Not Spam and Release & Train. See docs/training.md.', {
    trainers: setting(list(trainer(), 'trainers, each with its type'), {
      help: 'Each learns by itself; one that is down holds up nobody. Every trainer has a `type`, and may have a `name`, a `scope` (global, domain or user: whose database learns) and a `timeout`. None: training is recorded and kept for later.',
      kind: `list of trainers, each of type ${trainerTypes.join(' | ')}`,
      default: [],
      example: [
        { type: 'rspamd', url: 'http://127.0.0.1:11334', password: 'q1' },
        { type: 'spamd', address: '127.0.0.1:783', scope: 'user' },
      ],
      secret: true,
    }),
    learn: group('What is learned from without being asked for: how people act is taken for what they mean.', {
      released: setting(list(oneOf(surfaces), `${surfaces.join(', ')}`), {
        help: 'A release by these ways is learned as ham as well, unless the message was held as a virus, as phishing or for a banned file.',
        kind: `list of ${surfaces.join(' | ')}`,
        default: [],
      }),
      discarded: setting(list(oneOf(surfaces), `${surfaces.join(', ')}`), {
        help: 'What is put into Trash by these ways is learned as spam as well; what only leaves a folder by EXPUNGE is not.',
        kind: `list of ${surfaces.join(' | ')}`,
        default: [],
      }),
    }),
    reports: group(
      'Addresses to which users send what they got, attached as clients forward it or in ARF form: as if they had put it on Spam or Not Spam. The mail server hands such mail over like other mail. See docs/training.md.',
      {
        spam: setting(list(address(), 'addresses'), {
          help: 'What is sent here is spam.',
          kind: 'list of addresses',
          default: [],
          example: ['spam@quarantine.example.com'],
        }),
        ham: setting(list(address(), 'addresses'), {
          help: 'What is sent here is none.',
          kind: 'list of addresses',
          default: [],
          example: ['not-spam@quarantine.example.com'],
        }),
        loggedIn: setting(yesOrNo(), {
          help: 'true: only reports of users who had logged in when they sent them (XCLIENT LOGIN, or "with ESMTPSA" in the Received of our own mail server). false: every sender with an account here is believed; then the mail server must keep strangers from sending under such names.',
          kind: 'true or false',
          default: true,
        }),
      },
    ),
  }),
  jobs: group('Work that is done behind the scenes: deliveries and training.', {
    concurrency: setting(whole(1, 1000), {
      help: 'So many at a time.',
      kind: 'whole number',
      default: 16,
    }),
    inventory: setting(yesOrNo(), {
      help: 'Whether the attachments of what is held (names, sizes, SHA-256, what lies in archives) and the domains of its links are listed, for "lazaret show". Done when there is time for it.',
      kind: 'true or false',
      default: true,
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
  doctor: group('What `lazaret doctor` may use.', {
    probe: optional(address(), {
      help: 'A mailbox of ours that may get its message, each time it is run.',
      kind: 'address',
      otherwise: 'it hands no message over, unless told to by --to',
      example: 'postmaster@harbour.example',
    }),
  }),
  shutdown: group('What happens on SIGTERM: nobody new is let in, and who is at rest is told so.', {
    grace: setting(duration(), {
      help: 'So long commands, messages and deliveries that are running may go on; then they are cut. Docker kills 10 seconds after SIGTERM, systemd 90, unless told otherwise.',
      kind: 'duration',
      default: '8s',
    }),
  }),
  trainingRequested: group(
    'Copies of mail that a filter was unsure about and delivered, which their owners may judge in `Training Requested`. A filter hands them over as class training: by a listener with `class: training`, or by HTTP.',
    {
      default: setting(oneOf(['on', 'off']), {
        help: "off: such a copy is thrown away, unless its owner, or the owner's domain, stands below or was switched on by `lazaret training-requested on` or by the API.",
        kind: 'on | off',
        default: 'off',
      }),
      on: setting(list(domainOrAddress(), 'domains and addresses'), {
        help: 'Domains and addresses for which it is on.',
        kind: 'list of domains and addresses',
        default: [],
        example: ['harbour.example', 'ben@quay.example'],
      }),
      keepFor: setting(duration(), {
        help: 'A copy that nobody has judged leaves after this.',
        kind: 'duration',
        default: '14d',
      }),
    },
  ),
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
  api: group('What programs ask and say by HTTP, with a token: so far `/api/training-requested/NAME`.', {
    listen: setting(list(imapListen(), 'host:port or host:port/tls'), {
      help: 'Where to listen. With /tls: HTTPS; without it the token goes over the wire as it is, so let it be loopback. Needs `api.tokens`.',
      kind: 'list of host:port or host:port/tls',
      default: [],
      example: ['127.0.0.1:8081'],
    }),
    tokens: setting(list(token(), 'tokens'), {
      help: 'Who shows one of these may do everything that the API can.',
      kind: `list of tokens: ${tokenForm}`,
      default: [],
      secret: true,
    }),
  }),
  language: setting(oneOf(['en', 'nl']), {
    help: 'In which language the lines above a held message say why it is held. Acts on later mail.',
    kind: 'en | nl',
    default: 'en',
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
/** What comes by a listener. */
export interface ListenerFacts {
  readonly direction: IntakeDirection;
  readonly filter: IntakeFilter;
  /** Further filters whose marks are believed. */
  readonly also?: readonly NamedFilter[];
  readonly disposition?: ToldTheSender;
  /** Only copies of mail that was delivered come there. */
  readonly class?: 'training';
}
export interface IntakeListener extends ListenAddress, ListenerFacts {}
export interface HttpIntakeListener extends IntakeListener {
  readonly tls: boolean;
}

export type Parsed = z.output<typeof schema>;
/** What the program runs with. Durations (`release.showAfter`, a trainer's `timeout`) are milliseconds; paths are absolute. */
export interface Config extends Omit<Parsed, 'hostname' | 'tls' | 'intake' | 'domains' | 'training'> {
  readonly hostname: string;
  /** That of the file of settings: relative paths count from it. */
  readonly folder: string;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly intake: Omit<Parsed['intake'], 'lmtp' | 'smtp' | 'http' | 'direction' | 'handOverDomains'> & {
    readonly lmtp: readonly IntakeListener[];
    readonly smtp: readonly IntakeListener[];
    readonly http: readonly HttpIntakeListener[];
    readonly handOverDomains: string[];
  };
  /** By main name, in lower case. Absent: every domain is ours. */
  readonly domains?: Record<string, { aliases: string[]; nextHop?: string; sender?: string }>;
  readonly training: {
    readonly trainers: readonly TrainerSettings[];
    readonly learn: { readonly released: readonly Surface[]; readonly discarded: readonly Surface[] };
    readonly reports: Parsed['training']['reports'];
  };
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
