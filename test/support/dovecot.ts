/**
 * A real Dovecot for a test, with mailboxes of its own for ada@ and ben@harbour.example: LMTP, IMAP, and the master user
 * `lazaret`. Up in a second; needs root.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImapFlow } from 'imapflow';
import { generate } from 'selfsigned';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';
import { Daemon, programOrSkip } from './programs.ts';

export const dovecotOrSkip = (t: Test): boolean => programOrSkip(t, 'dovecot', 'dovecot-imapd dovecot-lmtpd');

const users = ['ada@harbour.example', 'ben@harbour.example'];

export interface Found {
  readonly source: string;
  readonly flags: readonly string[];
  readonly internalDate: Date;
}

export class Dovecot {
  readonly imapPort: number;
  readonly imapsPort: number;
  readonly lmtpPort: number;
  readonly #folder: string;

  private constructor(folder: string, [imap, imaps, lmtp]: readonly [number, number, number]) {
    this.#folder = folder;
    this.imapPort = imap;
    this.imapsPort = imaps;
    this.lmtpPort = lmtp;
  }

  /**
   * `settings` is a block of a page, with /etc/dovecot for the folder of the configuration. `tls`: it has a certificate
   * that nobody has signed.
   */
  static async start(t: Test, settings = '', { tls = false } = {}): Promise<Dovecot> {
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-dovecot-'));
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, 'mail'));
    spawnSync('chown', ['mail:mail', join(folder, 'mail')]);
    const dovecot = new Dovecot(folder, [await freePort(), await freePort(), await freePort()]);
    writeFileSync(join(folder, 'users'), users.map((user) => `${user}:{PLAIN}of-${user}::::::\n`).join(''));
    writeFileSync(join(folder, 'master-users'), 'lazaret:{PLAIN}master-secret\n');
    const file = join(folder, 'dovecot.conf');
    writeFileSync(
      file,
      dovecot.#configuration() +
        (tls ? await certificate(folder) : 'ssl = no\n') +
        settings.replaceAll('/etc/dovecot/', `${folder}/`),
    );
    const daemon = new Daemon('dovecot', ['-F', '-c', file], folder);
    t.teardown(async () => {
      await daemon.end();
      rmSync(folder, { recursive: true, force: true });
    });
    await daemon.listens(dovecot.imapPort);
    await daemon.listens(dovecot.lmtpPort);
    return dovecot;
  }

  get log(): string {
    return readFileSync(join(this.#folder, 'dovecot.log'), 'utf8');
  }

  /** What lies in a folder of a user's, oldest first. */
  async mailbox(user: string, folder = 'INBOX'): Promise<Found[]> {
    const auth = { user, pass: `of-${user}` };
    const client = new ImapFlow({
      host: '127.0.0.1',
      port: this.imapPort,
      secure: false,
      auth,
      logger: false,
      tls: { rejectUnauthorized: false },
    });
    await client.connect();
    const found: Found[] = [];
    const { exists } = await client.mailboxOpen(folder, { readOnly: true });
    for await (const { source, flags, internalDate } of client.fetch(exists > 0 ? '1:*' : [], {
      source: true,
      flags: true,
      internalDate: true,
    }))
      found.push({
        source: source!.toString('latin1'),
        flags: [...(flags ?? [])],
        internalDate: new Date(internalDate!),
      });
    await client.logout();
    return found;
  }

  #configuration(): string {
    const folder = this.#folder;
    return `base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:${folder}/mail/%u
auth_username_chars =
passdb {
  driver = passwd-file
  args = ${folder}/users
}
userdb {
  driver = passwd-file
  args = ${folder}/users
  default_fields = uid=mail gid=mail home=${folder}/mail/%u
}
service imap-login {
  inet_listener imap {
    port = ${this.imapPort}
  }
  inet_listener imaps {
    port = ${this.imapsPort}
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${this.lmtpPort}
  }
}
`;
  }
}

async function certificate(folder: string): Promise<string> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
  });
  writeFileSync(join(folder, 'cert.pem'), cert);
  writeFileSync(join(folder, 'key.pem'), key, { mode: 0o600 });
  return `ssl = yes\nssl_cert = <${folder}/cert.pem\nssl_key = <${folder}/key.pem\n`;
}
