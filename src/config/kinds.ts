/**
 * The kinds of values a setting can have: each a zod type whose every error message says what was expected, so that
 * load.ts can put "expected … , found …" before a person. Nothing here knows which settings exist.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import * as z from 'zod';
import { parseSenderMode } from '#app/delivery/sender';
import { parseAmavisSocket, parseWay } from '#app/delivery/way';
import { dispositionForm, parseDisposition } from '#app/lib/disposition';
import {
  asFilterSetting,
  type FilterSetting,
  filterForm,
  filterNames,
  type NamedFilter,
  parseFilter,
} from '#app/lib/filter-names';
import { parseNextHop } from '#smtp/client/next-hop';

/** A string that means something: `parse` answers undefined for what it does not understand. */
function meaning<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string({ error: expected }).transform((text, context): T => {
    const value = parse(text.trim());
    if (value !== undefined) return value;
    context.issues.push({ code: 'custom', message: expected, input: text });
    return z.NEVER;
  });
}

export const yesOrNo = () => z.boolean({ error: 'true or false' });

export function whole(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: values.length > 1 ? `one of ${values.join(', ')}` : values[0] });
}

/** At least one of them, in any order; named twice is named once. */
export function someOf<const T extends readonly [string, ...string[]]>(values: T) {
  const error = `one or more of ${values.join(', ')}`;
  return z
    .array(z.enum(values, { error }), { error })
    .min(1, { error })
    .transform((chosen) => values.filter((value) => chosen.includes(value)));
}

export const list = <T extends z.ZodType>(item: T, what: string) => z.array(item, { error: `a list of ${what}` });

export const argv = () => {
  const error = 'a command as a list of its words, like ["sa-learn", "--spam"]';
  return z.array(z.string({ error }).min(1, { error }), { error }).min(1, { error });
};

export const filePath = () => {
  const error = 'a path';
  return z.string({ error }).min(1, { error });
};

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s` → 90000; undefined for what is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})\s*(ms|s|m|h|d)$/.exec(text);
  return match ? Number(match[1]) * (unitMs[match[2]!] as number) : undefined;
}

/** Milliseconds, written with a unit. */
export const duration = () => meaning('a duration like 30s, 10m, 1h or 5d', parseDuration);

const label = '[\\p{L}\\p{N}](?:[\\p{L}\\p{N}_-]{0,61}[\\p{L}\\p{N}])?';
const domainForm = new RegExp(`^${label}(?:\\.${label})*$`, 'u');

/** A domain in lower case, without the dot at its end; undefined for what is none. Unicode labels are welcome. */
export function parseDomain(text: string): string | undefined {
  const name = text.replace(/\.$/, '').toLowerCase().normalize('NFC');
  return name.length <= 253 && domainForm.test(name) ? name : undefined;
}
export const domainName = () => meaning('a domain like harbour.example', parseDomain);

/** An address with its domain in lower case, its local part as written; undefined for what is none. */
export function parseAddress(text: string): string | undefined {
  const at = text.lastIndexOf('@');
  const local = text.slice(0, at);
  const domain = parseDomain(text.slice(at + 1));
  if (at < 1 || at > 255 || !domain || /[\s\p{Cc}<>]/u.test(local)) return undefined;
  return `${local}@${domain}`;
}
export const address = () => meaning('an address like ada@harbour.example', parseAddress);

export const domainOrAddress = () =>
  meaning('a domain or an address, like harbour.example or ada@harbour.example', (text) =>
    text.includes('@') ? parseAddress(text) : parseDomain(text),
  );

export const hostName = () => meaning('a host name like quarantine.example.com', parseDomain);

export interface ListenAddress {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** `127.0.0.1:143`, `[::1]:993`, `localhost:24`. */
export function parseListen(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^[\]:\s/]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  const host = match[1] ?? match[2] ?? '';
  if (port > 65535) return undefined;
  if (match[1] !== undefined ? isIP(host) !== 6 : isIP(host) !== 4 && (/^[\d.]+$/.test(host) || !parseDomain(host)))
    return undefined;
  return { host, port };
}

export interface ImapListen extends ListenAddress {
  /** TLS from the first octet; without it STARTTLS is offered. */
  readonly tls: boolean;
}
export const imapListen = () =>
  meaning<ImapListen>('host:port or host:port/tls with a port from 0 to 65535, like 127.0.0.1:143', (text) => {
    const tls = text.endsWith('/tls');
    const at = parseListen(tls ? text.slice(0, -'/tls'.length) : text);
    return at && { ...at, tls };
  });
export const intakeListen = () => meaning('host:port with a port from 0 to 65535, like 127.0.0.1:24', parseListen);

/** A filter by its name: `mailscanner@top`, `icewarp:X-Own-Header`. */
export const namedFilter = () =>
  meaning<NamedFilter>(`one of ${filterNames.join(', ')}`, (text) =>
    parseFilter(text) ? (text as NamedFilter) : undefined,
  );
/** The same, or how it is told. */
export const filterSetting = () => meaning<FilterSetting>(`one of ${filterForm}`, asFilterSetting);

/** What a filter tells the sender. */
export const disposition = () => meaning(dispositionForm, parseDisposition);

/** An address range in CIDR form; a single address stands for itself. */
export const network = () =>
  meaning('an address or a range like 10.0.0.0/8 or ::1/128', (text) => {
    const [base = '', bits, ...more] = text.split('/');
    const family = isIP(base);
    if (!family || more.length > 0) return undefined;
    const most = family === 4 ? 32 : 128;
    if (bits === undefined) return `${base}/${most}`;
    return /^\d{1,3}$/.test(bits) && Number(bits) <= most ? `${base}/${bits}` : undefined;
  });

/** Kept as it is written; the reader says what is wrong with it. */
const readBy = (form: string, read: (text: string) => unknown) =>
  z.string({ error: form }).transform((text, context) => {
    try {
      read(text);
      return text;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      context.issues.push({ code: 'custom', message: `${form} (${why})`, input: text });
      return z.NEVER;
    }
  });

/** Where mail goes on to. */
export const nextHop = () => readBy('a next hop like smtp://10.0.0.5:25', parseNextHop);
/** Where the mail of one domain goes on to: also into its users' mailboxes. */
export const wayOut = () => readBy('a next hop like smtp://10.0.0.5:25', parseWay);
export const amavisSocket = () => readBy('a socket of amavis like amavis://127.0.0.1:9998', parseAmavisSocket);

export const senderMode = () =>
  meaning('original, empty, srs or fixed:ADDRESS', (text) => (parseSenderMode(text) ? text : undefined));

/** An http or https address without a login in it, which would end up in logs. */
export const httpUrl = () =>
  meaning('an address like https://reports.example.com/learned, without user and password', (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isPlain = url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
    return isPlain && url.hash === '' ? text : undefined;
  });

/** A socket: host:port, or the path of one in the file system. */
export const socketAddress = () =>
  meaning('host:port or the path of a socket, like 127.0.0.1:783 or /run/spamd.sock', (text) => {
    if (text.startsWith('/')) return text;
    const at = parseListen(text);
    return at && at.port > 0 ? text : undefined;
  });

/** Never shown: see isSecretName. */
export const secretText = (least = 1) => {
  const error = `a text of at least ${least} character${least === 1 ? '' : 's'}`;
  return z.string({ error }).min(least, { error });
};

/** Settings of these names are never shown, wherever they stand. */
export const isSecretName = (name: PropertyKey): boolean => /(password|secret|tokens?)$/i.test(String(name));

export interface Token {
  /** What the log calls whoever shows it. */
  readonly name: string;
  /** Hex: a token itself is forgotten at once. */
  readonly sha256: string;
}

export const tokenForm =
  'a token of at least 16 characters, or sha256: and its hash, or { name: …, token: one of these }';

/** What somebody shows to be let in; may be given as its SHA-256, so that the file does not hold it. */
export const token = () => {
  const text = z
    .string({ error: tokenForm })
    .refine((text) => /^[!-~]{16,500}$/.test(text), { error: tokenForm })
    .refine((text) => !/^sha256:/i.test(text) || /^sha256:[0-9a-f]{64}$/i.test(text), { error: tokenForm })
    .transform((text) =>
      /^sha256:/i.test(text)
        ? text.slice('sha256:'.length).toLowerCase()
        : createHash('sha256').update(text).digest('hex'),
    );
  return z.preprocess(
    (value) => (typeof value === 'object' ? value : { token: value }),
    z
      .strictObject({ name: trainerName().default('unnamed'), token: text }, { error: tokenForm })
      .transform(({ name, token }): Token => ({ name, sha256: token })),
  );
};

export const trainerName = () =>
  meaning('a name of letters, digits, - and _, at most 32 of them', (text) =>
    /^[a-z0-9][a-z0-9_-]{0,31}$/i.test(text) ? text : undefined,
  );

/** Takes the password out of every `scheme://user:password@` in a text. */
export const withoutPasswords = (text: string): string =>
  text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/]*):[^\s@]*@/gi, '$1:***@');

export const storeUrl = () =>
  meaning('a store like sqlite:./data/lazaret.db or mongodb://HOST/DATABASE?replicaSet=rs0', (text) =>
    (/^sqlite:(?!\/\/)[^\s?#]/.test(text) && !text.endsWith('/')) ||
    /^mongodb(\+srv)?:\/\/[^\s/?#]+\/[^\s/?#]+(\?[^\s#]*)?$/.test(text)
      ? text
      : undefined,
  );

/** A Redis, with TLS or without; kept as it is written. */
export const busUrl = () =>
  meaning('a Redis like redis://10.0.0.7:6379, or rediss://redis.example.com/0 with TLS', (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (!url || !/^rediss?:$/.test(url.protocol) || url.hostname === '' || url.search !== '' || url.hash !== '')
      return undefined;
    return /^\/?\d{0,5}$/.test(url.pathname) && isDecodable(url.username + url.password) ? text : undefined;
  });

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The name under which an account that sees everything logs in: must not look like an address, a domain or a person. */
export const loginName = () =>
  meaning('a name of letters, digits, - and _, like global', (text) =>
    /^[\p{L}\p{N}][\p{L}\p{N}_-]{0,63}$/u.test(text) ? text.toLowerCase() : undefined,
  );
