/**
 * A next hop as an operator writes it: `smtp://user:password@host:port?tls=none|may|require|verify`, `smtps://…` (TLS from
 * the first byte) or `lmtp://…`. Reading it either gives a whole NextHop or throws a sentence that says what is wrong;
 * the sentence never repeats the password.
 */

/**
 * none: never. may: when offered, whatever the certificate says, in clear text otherwise. require: or not at all, any
 * certificate. verify: or not at all, and the certificate must be good for the host.
 */
export type TlsMode = 'none' | 'may' | 'require' | 'verify';
const tlsModes: readonly string[] = ['none', 'may', 'require', 'verify'];

export interface NextHop {
  readonly protocol: 'smtp' | 'lmtp';
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (smtps://); STARTTLS otherwise. */
  readonly implicitTls: boolean;
  readonly tls: TlsMode;
  readonly login?: { readonly user: string; readonly password: string };
  /** How logs and counters call it; no secrets in it. Hops of one name may still differ in their login. */
  readonly name: string;
  /** Connections are shared by what has the same key. Not for logs. */
  readonly key: string;
}

export class NextHopError extends Error {
  override readonly name = 'NextHopError';
}

const schemes: Readonly<Record<string, { protocol: 'smtp' | 'lmtp'; port: number; implicitTls: boolean }>> = {
  'smtp:': { protocol: 'smtp', port: 25, implicitTls: false },
  'smtps:': { protocol: 'smtp', port: 465, implicitTls: true },
  'lmtp:': { protocol: 'lmtp', port: 24, implicitTls: false },
};

export function parseNextHop(text: string): NextHop {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new NextHopError('a next hop is written smtp://host:port, smtps://host:port or lmtp://host:port');
  }
  const scheme = schemes[url.protocol];
  if (!scheme) throw new NextHopError(`"${url.protocol}//" is none of smtp://, smtps://, lmtp://`);
  if (url.pathname !== '' && url.pathname !== '/') {
    throw new NextHopError(`a next hop has no path ("${url.pathname}"); it ends after the port, or with ?tls=…`);
  }
  const { port, implicitTls } = scheme;
  const server = readServer(url, { port, implicitTls });
  const { name, tls, login } = server;
  return {
    protocol: scheme.protocol,
    ...server,
    implicitTls,
    key: JSON.stringify([name, tls, login?.user, login?.password]),
  };
}

/** What every next hop has, whatever is spoken to it: `scheme://user:password@host:port?tls=…`. @throws NextHopError */
export function readServer(
  url: URL,
  { port: usualPort, implicitTls }: { readonly port: number; readonly implicitTls: boolean },
): Pick<NextHop, 'host' | 'port' | 'tls' | 'login' | 'name'> {
  // The schemes are unknown to URL, which therefore takes the host as it is: brackets, case and percent signs stay.
  const host = decode(url.hostname, 'host')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  if (host === '') throw new NextHopError(`${url.protocol}// needs a host, as in ${url.protocol}//mail.example.com:25`);
  if (!/^[\w.:%-]+$/.test(host)) throw new NextHopError('the host of a next hop is a name or an IP address');
  const port = url.port === '' ? usualPort : Number(url.port);
  if (port < 1) throw new NextHopError('the port of a next hop lies between 1 and 65535');
  if (url.hash !== '') throw new NextHopError('a # in a user name or password of a next hop is written %23');

  const login = readLogin(url);
  const tls = readTls(url, implicitTls, login !== undefined);
  const shownHost = host.includes(':') ? `[${host}]` : host;
  return { host, port, tls, ...(login && { login }), name: `${url.protocol}//${shownHost}:${port}` };
}

function readLogin(url: URL): NextHop['login'] {
  if (url.username === '' && url.password === '') return undefined;
  if (url.username === '')
    throw new NextHopError(`a next hop with a password needs a user name, as in ${url.protocol}//user:password@host`);
  if (url.password === '')
    throw new NextHopError(`a next hop with a user name needs a password, as in ${url.protocol}//user:password@host`);
  return { user: decode(url.username, 'user name'), password: decode(url.password, 'password') };
}

function readTls(url: URL, implicitTls: boolean, withLogin: boolean): TlsMode {
  for (const key of url.searchParams.keys()) {
    if (key !== 'tls')
      throw new NextHopError(`"?${key}=" is not known for a next hop; there is ?tls=none|may|require|verify`);
  }
  const asked = url.searchParams.getAll('tls');
  if (asked.length > 1) throw new NextHopError('?tls= stands twice in a next hop');
  const [mode] = asked;
  // A password leaves in clear text only if the operator wrote tls=none or tls=may in so many words.
  if (mode === undefined) return implicitTls ? 'verify' : withLogin ? 'require' : 'may';
  if (!tlsModes.includes(mode)) throw new NextHopError(`tls=${mode} is none of none, may, require, verify`);
  if (implicitTls && (mode === 'none' || mode === 'may')) {
    throw new NextHopError(`${url.protocol}// is always TLS: tls=${mode} contradicts it, use require or verify`);
  }
  return mode as TlsMode;
}

export function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new NextHopError(
      `the ${what} of a next hop has a % that is not followed by two hex digits; a % itself is written %25`,
    );
  }
}
