/** A private Dovecot 2.3 (sdbox) on loopback, the measure of speed. Needs root, dovecot-imapd and dovecot-lmtpd. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { end, freePort, listening, type Peer, pssKilobytes } from './peer.ts';

export async function makeDovecot(): Promise<Peer | string> {
  try {
    execFileSync('dovecot', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'Dovecot is not installed (apt-get install dovecot-imapd dovecot-lmtpd)';
  }
  if (process.getuid?.() !== 0) return 'Dovecot needs root to start';
  const root = mkdtempSync(join(tmpdir(), 'bench-dovecot-'));
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'mail'));
  execFileSync('chown', ['mail:mail', join(root, 'mail')]);
  const [imapPort, lmtpPort] = [await freePort(), await freePort()];
  const password = 'bench-secret';
  const file = join(root, 'dovecot.conf');
  const settings = `
base_dir = ${root}/run
state_dir = ${root}/state
log_path = ${root}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = sdbox:${root}/mail/%u
lmtp_add_received_header = no
mail_max_userip_connections = 5000
namespace inbox {
  inbox = yes
  separator = /
  mailbox Release {
    auto = create
  }
}
passdb {
  driver = static
  args = password=${password}
}
userdb {
  driver = static
  args = uid=mail gid=mail home=${root}/mail/%u
}
service imap-login {
  inet_listener imap {
    port = ${imapPort}
  }
  client_limit = 4000
  process_min_avail = 2
}
service imap {
  process_limit = 4000
}
service anvil {
  client_limit = 12000
}
service auth {
  client_limit = 12000
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${lmtpPort}
  }
}
`;
  let child: ChildProcess | undefined;
  return {
    name: 'dovecot',
    imapPort,
    lmtpPort,
    password,
    folder: 'INBOX',
    addUser() {}, // any name will do
    async start(hasty = false) {
      writeFileSync(file, settings + (hasty ? 'mail_fsync = never\n' : ''));
      child = spawn('dovecot', ['-F', '-c', file], { stdio: 'inherit' });
      await listening(imapPort);
    },
    async stop() {
      if (child) await end(child);
    },
    memoryKilobytes: () => (child?.pid ? pssKilobytes(child.pid, true) : Number.NaN),
    remove() {
      rmSync(root, { recursive: true, force: true });
    },
  };
}
