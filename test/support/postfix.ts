/**
 * A real Postfix for a test: configuration, queue and ports of its own; everything it delivers goes to one sink, bounces too.
 * Blocks of a page are put below its own settings. Up in a second; needs root.
 */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { freePort } from './free-port.ts';
import { programOrSkip } from './programs.ts';

export const postfixOrSkip = (t: Test): boolean => programOrSkip(t, 'postfix', 'postfix');

export interface PostfixOptions {
  /** Of the next hop of everything that is not diverted. */
  readonly sinkPort: number;
  /** Blocks for main.cf and master.cf. `smtp inet` becomes the port of the test; without such a line there is a plain one. */
  readonly main?: string;
  readonly master?: string;
  /** Other files in the folder of the configuration, which the blocks call /etc/postfix. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface Queued {
  readonly queue_id: string;
  readonly sender: string;
  readonly recipients: readonly { readonly address: string; readonly delay_reason?: string }[];
}

export class Postfix {
  /** Where mail comes in from outside. */
  readonly port: number;
  readonly #folder: string;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
  }

  static async start(t: Test, { sinkPort, main = '', master = '', files = {} }: PostfixOptions): Promise<Postfix> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'lazaret-postfix-'));
    chmodSync(folder, 0o755);
    const etc = join(folder, 'etc');
    for (const name of ['etc', 'queue', 'data']) mkdirSync(join(folder, name), { mode: 0o755 });
    chownSync(join(folder, 'data'), Number(spawnSync('id', ['-u', 'postfix'], { encoding: 'utf8' }).stdout), 0);
    const here = (text: string) => text.replaceAll('/etc/postfix/', `${etc}/`);
    const smtp = /^smtp(?=\s+inet\s)/m;
    const services = here(master).replace(smtp, `127.0.0.1:${port}`);
    writeFileSync(join(etc, 'main.cf'), mainCf(folder, sinkPort) + here(main));
    writeFileSync(
      join(etc, 'master.cf'),
      `${masterCf}${smtp.test(master) ? '' : `127.0.0.1:${port} inet n - n - - smtpd\n`}${services}`,
    );
    for (const [name, text] of Object.entries(files))
      writeFileSync(join(etc, name), text, { mode: text.startsWith('#!') ? 0o755 : 0o644 });
    const postfix = new Postfix(port, folder);
    t.teardown(async () => {
      await postfix.#postfix('abort').catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    });
    await postfix.#postfix('start').catch((error: Error) => {
      throw new Error(`postfix did not start: ${error.message}\n${postfix.log}`);
    });
    return postfix;
  }

  get configFolder(): string {
    return join(this.#folder, 'etc');
  }

  /** Where it keeps what a milter or a rule had it hold. */
  get holdFolder(): string {
    return join(this.#folder, 'queue/hold');
  }

  /** All that it has written to its log. */
  get log(): string {
    const file = join(this.#folder, 'log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Resolves with the match as soon as its log has it, also from before. @throws after half a minute without */
  async logs(form: RegExp): Promise<RegExpExecArray> {
    for (const until = Date.now() + 30_000; ; ) {
      const match = form.exec(this.log);
      if (match) return match;
      if (Date.now() > until) throw new Error(`Postfix did not log ${form}:\n${this.log.slice(-4000)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Tries everything again, now. */
  async flush(): Promise<void> {
    await this.#run('postqueue', '-f');
  }

  async queue(): Promise<Queued[]> {
    const lines = await this.#run('postqueue', '-j');
    return lines
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Queued);
  }

  /** `start` is back when it listens; `abort` waits for nobody. */
  async #postfix(verb: 'start' | 'abort'): Promise<void> {
    await promisify(execFile)('postfix', ['-c', join(this.#folder, 'etc'), verb]);
  }

  async #run(program: string, flag: string): Promise<string> {
    const { stdout } = await promisify(execFile)(program, ['-c', join(this.#folder, 'etc'), flag]);
    return stdout;
  }
}

/** Clients come from loopback, but are the internet: no field is added to what they send. */
const mainCf = (folder: string, sinkPort: number) => `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = ${folder}/log
maillog_file_prefixes = ${folder}
myhostname = mx.example.com
mydomain = example.com
myorigin = example.com
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
disable_dns_lookups = yes
smtputf8_enable = yes
message_size_limit = 60000000
relayhost = [127.0.0.1]:${sinkPort}
`;

/** Debian's, without chroot, and without a port. */
const masterCf = `pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`;
