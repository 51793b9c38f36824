/**
 * Where a database server is: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…, mysql:// and mariadb:// alike. Read
 * here and not by the drivers, so that both are written alike, a mistake is told without the password, and no parameter
 * reaches a driver that we do not know.
 */
import { readFileSync } from 'node:fs';
import { TablesError } from './tables.ts';

export type TlsMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface Address {
  readonly kind: 'postgres' | 'mysql';
  /** A name or IP address; with a `/` at the beginning: MySQL's socket, PostgreSQL's folder with the socket. */
  readonly host: string;
  readonly port: number;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly database: string;
  /** `prefer`: encrypted if the server can do that. */
  readonly tls: TlsMode;
  /** PEM. */
  readonly certificates: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** For messages: without user, password and parameters. */
  readonly name: string;
}

/** As libpq has them, and as MySQL's clients have them. */
const parameters: Readonly<Record<string, 'socket' | 'mode' | 'ssl' | 'ca' | 'cert' | 'key'>> = {
  host: 'socket',
  socket: 'socket',
  sslmode: 'mode',
  'ssl-mode': 'mode',
  ssl: 'ssl',
  sslrootcert: 'ca',
  'ssl-ca': 'ca',
  sslcert: 'cert',
  'ssl-cert': 'cert',
  sslkey: 'key',
  'ssl-key': 'key',
};

const modes: Readonly<Record<string, TlsMode>> = {
  disable: 'disable',
  disabled: 'disable',
  prefer: 'prefer',
  preferred: 'prefer',
  require: 'require',
  required: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
  'verify-identity': 'verify-full',
};

/** @throws TablesError */
export function readAddress(text: string, env: NodeJS.ProcessEnv): Address {
  const kind = /^postgres/i.test(text) ? 'postgres' : 'mysql';
  const wrong = (why: string) =>
    new TablesError(`an address of ${kind === 'postgres' ? 'PostgreSQL' : 'MySQL'}: ${why}`);
  const misread = `it cannot be read; write ${kind}://USER:PASSWORD@HOST/DATABASE, in the password %40 for @, %2F for /, %3F for ? and %23 for #`;
  // As with libpq a user may come without a host, which URL does not take.
  const url = tried(() => new URL(text.replace(/^(\w+:\/\/[^/?#]*@)(?=[:/?]|$)/, '$1localhost')));
  // Such a sign behind the host is one of the password, which must not be shown as something else.
  if (url?.hash !== '' || /@/.test(url.pathname + url.search)) throw wrong(misread);
  const decoded = tried(() =>
    [url.username, url.password, url.hostname, url.pathname.slice(1)].map(decodeURIComponent),
  );
  if (!decoded) throw wrong(misread);
  const [user, password, hostname = '', database = ''] = decoded;
  if (database === '' || database.includes('/'))
    throw wrong('it has to end with the name of the database, as in HOST/DATABASE');

  const given: Partial<Record<(typeof parameters)[string], string>> = {};
  for (const [name, value] of url.searchParams) {
    const known = parameters[name];
    if (!known) throw wrong(`unknown parameter ${name}; known are ${Object.keys(parameters).join(', ')}`);
    given[known] = value;
  }
  const mode = given.mode ?? { true: 'require', '1': 'require', false: 'disable', '0': 'disable' }[given.ssl ?? 'none'];
  const read = (name: 'ca' | 'cert' | 'key') => {
    const file = given[name];
    if (file === undefined) return {};
    try {
      return { [name]: readFileSync(file, 'utf8') };
    } catch (error) {
      throw wrong(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    }
  };
  const host = given.socket ?? (hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost');
  const isSocket = host.startsWith('/');
  let tls: TlsMode | undefined = isSocket ? 'disable' : 'prefer';
  if (mode !== undefined) tls = modes[mode.toLowerCase().replace('_', '-')];
  if (tls === undefined || (given.ssl !== undefined && mode === undefined))
    throw wrong('sslmode has to be one of disable, prefer, require, verify-ca, verify-full');
  // As with libpq: who names a certificate wants it looked at.
  if (tls === 'require' && given.ca !== undefined) tls = 'verify-ca';
  const port = url.port === '' ? (kind === 'postgres' ? 5432 : 3306) : Number(url.port);
  return {
    kind,
    host,
    port,
    user: user || undefined,
    password: password || (kind === 'postgres' ? env.PGPASSWORD : env.MYSQL_PWD),
    database,
    tls,
    certificates: { ...read('ca'), ...read('cert'), ...read('key') },
    name: `${kind}://${isSocket ? '' : url.host}/${database}`,
  };
}

function tried<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
