/**
 * A way out as an operator writes it: what SMTP and LMTP go to (smtp/client), a mailbox server that takes mail by IMAP
 * APPEND, and amavis, which is asked to release what it keeps itself. Reading one gives a whole Way or throws a sentence.
 */
import { decode, type NextHop, NextHopError, parseNextHop, readServer, type TlsMode } from '#smtp/client/next-hop';

/** `imaps://{user}*master:password@mail.example.com/INBOX`. */
export interface ImapBox {
  readonly protocol: 'imap';
  readonly host: string;
  readonly port: number;
  /** TLS from the first octet (imaps://); STARTTLS otherwise. */
  readonly implicitTls: boolean;
  readonly tls: TlsMode;
  /** `{user}` in it stands for the address the mail is for, `{local}` and `{domain}` for its parts. */
  readonly user: string;
  readonly password: string;
  readonly folder: string;
  readonly name: string;
}

/** Where amavis speaks AM.PDP: `amavis://127.0.0.1:9998` or `amavis:///var/lib/amavis/amavisd.sock`. */
export interface AmavisSocket {
  readonly protocol: 'amavis';
  readonly at: { readonly host: string; readonly port: number } | { readonly path: string };
  /** release: past its checks. requeue: through them again. */
  readonly request: 'release' | 'requeue';
  readonly name: string;
}

export type Way = NextHop | ImapBox;

const imapForm = 'imaps://{user}*master:password@mail.example.com/INBOX';
const amavisForm = 'amavis://127.0.0.1:9998 or amavis:///var/lib/amavis/amavisd.sock';

/** @throws NextHopError */
export function parseWay(text: string): Way {
  return /^imaps?:/i.test(text) ? parseImapBox(text) : parseNextHop(text);
}

function parseImapBox(text: string): ImapBox {
  if (!URL.canParse(text)) throw new NextHopError(`a mailbox server is written ${imapForm}`);
  const url = new URL(text);
  const implicitTls = url.protocol === 'imaps:';
  const { login, ...server } = readServer(url, { port: implicitTls ? 993 : 143, implicitTls });
  if (!login) throw new NextHopError(`a mailbox server needs a user and a password, as in ${imapForm}`);
  for (const [name] of login.user.matchAll(/\{[^}]*\}?/g))
    if (!['{user}', '{local}', '{domain}'].includes(name))
      throw new NextHopError(`${name} in a user name is none of {user}, {local}, {domain}`);
  const folder = decode(url.pathname.replace(/^\//, ''), 'folder') || 'INBOX';
  if (/\p{Cc}/u.test(folder)) throw new NextHopError('the name of a folder has no control characters');
  return { protocol: 'imap', ...server, implicitTls, ...login, folder };
}

/** @throws NextHopError */
export function parseAmavisSocket(text: string): AmavisSocket {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'amavis:') throw new NextHopError(`where amavis releases mail is written ${amavisForm}`);
  const request = url.searchParams.get('request') ?? 'release';
  for (const key of url.searchParams.keys())
    if (key !== 'request')
      throw new NextHopError(`"?${key}=" is not known for amavis; there is ?request=release|requeue`);
  if (request !== 'release' && request !== 'requeue')
    throw new NextHopError(`request=${request} is none of release, requeue`);
  if (url.username !== '' || url.hash !== '') throw new NextHopError(`amavis asks for no login: ${amavisForm}`);
  const shared = { protocol: 'amavis', request } as const;
  if (url.hostname === '') {
    const path = decode(url.pathname, 'path');
    if (path.length < 2) throw new NextHopError(`amavis:// needs a host and a port, or a path: ${amavisForm}`);
    return { ...shared, at: { path }, name: `amavis://${path}` };
  }
  if (!/^\/?$/.test(url.pathname))
    throw new NextHopError(`a socket of amavis has three slashes before its path: ${amavisForm}`);
  if (url.port === '' || url.port === '0') throw new NextHopError(`amavis:// needs a port: ${amavisForm}`);
  const at = { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port) };
  return { ...shared, at, name: `amavis://${url.host}` };
}
