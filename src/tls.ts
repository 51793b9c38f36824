/**
 * The certificate that listeners show. From the configured files, or a self-signed pair, made once beside the store (where
 * that is no file, in `data` beside the settings) and kept, because people tell their mail client to trust it. Reading again
 * (SIGHUP) changes what later connections see; a pair that cannot be used leaves the one before in place.
 */
import { randomUUID, X509Certificate } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Config } from '#app/config/schema';

type TlsConfig = Pick<Config, 'tls' | 'store' | 'hostname'> & Partial<Pick<Config, 'folder'>>;

/** Names the file and what is wrong with it. */
export class TlsError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TlsError';
  }
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

export class TlsFiles {
  readonly #config: TlsConfig;
  #pair: Pair;

  private constructor(config: TlsConfig, pair: Pair) {
    this.#config = config;
    this.#pair = pair;
  }

  /** Reads the files; makes the self-signed pair if nothing else is there. @throws TlsError */
  static async open(config: TlsConfig): Promise<TlsFiles> {
    return new TlsFiles(config, readPair(config) ?? (await makeOnce(config)));
  }

  context(): SecureContextOptions {
    return this.#pair;
  }

  /** Reads the files again. Small files, asked for by a person: read at once. @throws TlsError, and nothing has changed */
  reload(): void {
    this.#pair = readPair(this.#config) ?? this.#pair;
  }

  /** SHA-256 of the certificate as mail clients show it: `AB:CD:…`. */
  get fingerprint(): string {
    return new X509Certificate(this.#pair.cert).fingerprint256;
  }
}

/** What HTTPS listeners show. */
export interface Certificate {
  context(): SecureContext;
  /** Reads the files again; later connections see it. @throws TlsError, and nothing has changed */
  reload(): void;
}

/** @throws TlsError */
export async function openCertificate(config: TlsConfig): Promise<Certificate> {
  const files = await TlsFiles.open(config);
  const make = () => createSecureContext({ minVersion: 'TLSv1.2', ...files.context() });
  let context = make();
  return {
    context: () => context,
    reload() {
      files.reload();
      context = make();
    },
  };
}

/** Certificate and key of a self-signed pair, in one file: it is there whole or not at all. */
function selfSignedFile({ store, folder = '.' }: TlsConfig): string {
  const beside = store.startsWith('sqlite:') ? dirname(store.slice('sqlite:'.length)) : join(folder, 'data');
  return join(beside, 'tls-self-signed.pem');
}

/** Undefined: nothing is configured, and nothing was made yet. */
function readPair(config: TlsConfig): Pair | undefined {
  const { tls } = config;
  if (!tls) {
    const file = selfSignedFile(config);
    const both = readText(file);
    return both === undefined ? undefined : checked({ cert: both, key: both }, file);
  }
  const [cert, key] = [readText(tls.cert), readText(tls.key)];
  if (cert === undefined) throw new TlsError(`tls.cert: there is no file ${tls.cert}`);
  if (key === undefined) throw new TlsError(`tls.key: there is no file ${tls.key}`);
  return checked({ cert, key }, `${tls.cert}, ${tls.key}`);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new TlsError(`${file} cannot be read: ${code ?? (error as Error).message}`, { cause: error });
  }
}

function checked(pair: Pair, files: string): Pair {
  try {
    createSecureContext(pair); // also says whether the two belong together
    return pair;
  } catch (error) {
    throw new TlsError(`${files}: no certificate with its key: ${(error as Error).message}`, { cause: error });
  }
}

async function makeOnce(config: TlsConfig): Promise<Pair> {
  const { hostname } = config;
  const { generate } = await import('selfsigned');
  const dayMs = 86_400_000;
  const names = [...new Set([hostname, 'localhost'])];
  const made = await generate([{ name: 'commonName', value: hostname.slice(0, 64) }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - dayMs), // clocks of clients are not ours
    notAfterDate: new Date(Date.now() + 3650 * dayMs),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...names.map((value) => ({ type: 2 as const, value })),
          ...['127.0.0.1', '::1'].map((ip) => ({ type: 7 as const, ip })),
        ],
      },
    ],
  });
  const text = `${made.cert.trim()}\n${made.private.trim()}\n`;
  const file = selfSignedFile(config);
  const draft = `${file}.${randomUUID()}`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(draft, text, { mode: 0o600, flag: 'wx' });
    linkSync(draft, file);
  } catch (error) {
    // EEXIST: another process was first, both use its pair.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new TlsError(`${file} cannot be written: ${(error as Error).message}`, { cause: error });
  } finally {
    rmSync(draft, { force: true });
  }
  const both = readText(file) ?? text;
  return { cert: both, key: both };
}
