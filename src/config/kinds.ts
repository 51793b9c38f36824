/**
 * The kinds of values a setting can have: each a zod type whose every error message says what was expected, so that
 * load.ts can put "expected … , found …" before a person. Nothing here knows which settings exist.
 */
import { isIP } from 'node:net';
import * as z from 'zod';
import { dispositionForm, parseDisposition } from '#app/lib/disposition';
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

/** Where mail goes on to; kept as it is written. smtp/ says what is wrong with one. */
export const nextHop = () =>
  z.string({ error: nextHopForm }).transform((text, context) => {
    try {
      parseNextHop(text);
      return text;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      context.issues.push({ code: 'custom', message: `${nextHopForm} (${why})`, input: text });
      return z.NEVER;
    }
  });
const nextHopForm = 'a next hop like smtp://10.0.0.5:25';

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
