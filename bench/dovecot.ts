/** A private Dovecot 2.3 (sdbox) on loopback, the measure of speed. Needs root, dovecot-imapd and dovecot-lmtpd. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, listening, type Peer, pssKilobytes } from './peer.ts';

export async function startDovecot(): Promise<Peer | string> {
  try {
    execFileSync('dovecot', ['--version']);
  } catch {
    return 'Dovecot is not installed (apt-get install dovecot-imapd dovecot-lmtpd)';
  }
  if (process.getuid?.() !== 0) return 'Dovecot needs root to start';
  const root = mkdtempSync(join(tmpdir(), 'bench-dovecot-'));
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'mail'));
  execFileSync('chown', ['mail:mail', join(root, 'mail')]);
  const [imapPort, lmtpPort] = [await freePort(), await freePort()];
  const file = join(root, 'dovecot.conf');
  writeFileSync(
    file,
    `
base_dir = ${root}/run
state_dir = ${root}/state
log_path = ${root}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = sdbox:${root}/mail/%u
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
  args = password=secret
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
`,
  );
  const child = spawn('dovecot', ['-F', '-c', file], { stdio: 'inherit' });
  await listening(imapPort);
  return {
    name: 'dovecot',
    imapPort,
    lmtpPort,
    user: 'ada@harbour.example',
    password: 'secret',
    recipient: 'ada@harbour.example',
    folder: 'INBOX',
    memoryKilobytes: () => pssKilobytes(child.pid!, true),
    async stop() {
      child.kill();
      if (child.exitCode === null) await once(child, 'exit');
      rmSync(root, { recursive: true, force: true });
    },
  };
}
