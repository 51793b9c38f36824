/**
 * A message on its whole way, as a spam goes it: handed over by a listener, seen in a folder over IMAP, released by a MOVE,
 * delivered by the next hop to the probe address, and, where asked for, learned from and forgotten. Every step is a finding;
 * the first that fails ends the way, and what is left of the message is discarded. Other mail is never touched: it is found
 * by its own Message-ID and by an account that is made for the purpose.
 */
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { hostname as machine } from 'node:os';
import { generatePassword } from '#app/accounts/generate';
import { hashPassword } from '#app/accounts/passwords';
import type { Config } from '#app/config/schema';
import { nameOfTrainer, type TrainerSettings } from '#app/config/trainers';
import type { AddressBook } from '#app/policy/addresses';
import { splitAddress } from '#app/policy/addresses';
import { folderOf } from '#app/quarantine/folders';
import type { Actor, Entry, Job, Scope } from '#store/model';
import type { Store } from '#store/port';
import { look, patienceMs, socketPlace, talking } from './checks.ts';
import { Fault, type Finding, whyNot } from './finding.ts';
import { type Place, reachable, shown } from './talk.ts';

export interface ProbeOptions {
  readonly store: Store;
  readonly book: AddressBook;
  readonly config: Config;
  /** An address of ours. */
  readonly to: string;
  /** By which mail is handed over by HTTP; absent: none is. */
  readonly token?: string | undefined;
  /** Teach the learners as well. */
  readonly train: boolean;
  /** So long a delivery may take, beyond the time for undo. */
  readonly waitMs: number;
  readonly report: (finding: Finding) => void;
}

interface Login {
  readonly user: string;
  readonly password: string;
}

/** Every listener for SMTP and LMTP, one after the other, and every IMAP listener once. */
export async function probe(o: ProbeOptions): Promise<void> {
  const { store, book, config, to } = o;
  const owner = book.owner(to);
  const scope: Scope = { level: 'recipient', address: owner };
  const name = `doctor-${randomBytes(4).toString('hex')}`;
  const login: Login = { user: `${name}*${owner}`, password: generatePassword() };
  const account = `${name}*${owner}`;
  await store.accounts.add({ name: account, scope, person: name, passwordHash: await hashPassword(login.password) });
  try {
    for (const listener of config.imap.listen.slice(1)) await tryLogin(o, listener, login);
    const protocols = o.token === undefined ? (['lmtp', 'smtp'] as const) : (['lmtp', 'smtp', 'http'] as const);
    const listeners = protocols.flatMap((protocol) =>
      config.intake[protocol].map((listener) => ({ protocol, listener })),
    );
    if (listeners.length === 0)
      o.report({
        check: 'probe',
        state: 'skipped',
        said: 'there is no listener to hand a message over to',
      });
    for (const { protocol, listener } of listeners) {
      const what = `${protocol} ${shown(listener)}`;
      if (listener.class === 'training')
        o.report({ check: 'probe', what, state: 'skipped', said: 'only copies of delivered mail come here' });
      else await oneWay(o, { what, protocol, listener, login, scope });
    }
  } finally {
    await store.accounts.remove(account);
  }
}

interface Way {
  readonly what: string;
  readonly protocol: 'lmtp' | 'smtp' | 'http';
  readonly listener: Place;
  readonly login: Login;
  readonly scope: Scope & { readonly level: 'recipient' };
}

async function oneWay(o: ProbeOptions, way: Way): Promise<void> {
  const { report } = o;
  const id = randomUUID();
  const subject = `Lazaret probe ${id}`;
  const step = (name: string, todo: string, work: () => Promise<Partial<Finding> & { readonly said: string }>) =>
    look(report, { check: `probe: ${name}`, what: way.what, todo }, work);
  let entry: Entry | undefined;
  const find = async () => {
    const some = await o.store.entries.list({ scope: way.scope, limit: 50 });
    return some.find(({ message }) => message.subject === subject);
  };
  try {
    const handed = await step('hand-over', 'look at the log of the server', async () => ({
      said: `it said ${await handOver(o, way, id, subject)}`,
    }));
    if (!handed) return;
    const seen = await step('seen over IMAP', 'look at the log of the server', async () => {
      entry = await until(find, patienceMs);
      if (!entry?.folder)
        throw new Fault('the message is not in the store', 'do server and doctor have the same `store`?');
      tellClock(o, way, entry);
      await move(o, way.login, entry, id, undefined);
      return { said: `it lies in ${folderOf(entry.folder).name}` };
    });
    if (!seen || !entry) return;
    const held = entry;
    const dropped = await step('release', 'look at the log of the server', async () => {
      const onto = o.train ? 'release-train' : 'release';
      await move(o, way.login, held, id, folderOf(onto).name);
      return { said: `a MOVE onto ${folderOf(onto).name} was taken` };
    });
    if (!dropped) return;
    const todo = 'see what the next hop says above and in its log; the setting is delivery.nextHop';
    const delivered = await step('delivery', todo, async () => ({ said: await delivery(o, held) }));
    if (delivered && o.train) await trained(o, way, held);
  } finally {
    await cleanUp(o, way, (await find().catch(() => undefined)) ?? entry);
  }
}

/** Leases, undo and retention go by the store's clock: on several machines by one that is not this one's. */
function tellClock({ report }: ProbeOptions, { what }: Way, { heldAt }: Entry): void {
  const seconds = Math.round((heldAt.getTime() - Date.now()) / 1000);
  if (Math.abs(seconds) < 60) return;
  const said = `the store's clock is ${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} this machine's`;
  report({
    check: 'clock',
    what,
    state: 'warning',
    said,
    todo: 'have all machines keep time (chrony, systemd-timesyncd)',
  });
}

const notTrusted = "put this machine's address into intake.trusted";
const seeLog = 'look at the log of the server, under the same time';

/** As a filter hands over. Answers the final reply. */
async function handOver(o: ProbeOptions, way: Way, id: string, subject: string): Promise<string> {
  const message = probeMessage(o, id, subject);
  if (way.protocol === 'http') return post(o, way, message);
  return talking(reachable(way.listener), async (talk) => {
    const ok = (reply: string, asked: string) => {
      if (/^[23]/.test(reply)) return reply;
      const todo = reply.startsWith('554 5.7.1') ? notTrusted : seeLog;
      throw new Fault(`it answers ${asked} with "${reply.slice(0, 200)}"`, todo);
    };
    ok(await talk.reply(), 'the connection');
    ok(await talk.reply(`${way.protocol === 'lmtp' ? 'LHLO' : 'EHLO'} ${machine()}`), 'EHLO');
    ok(await talk.reply(`MAIL FROM:<${o.to}>`), 'MAIL');
    ok(await talk.reply(`RCPT TO:<${o.to}>`), 'RCPT');
    ok(await talk.reply('DATA'), 'DATA');
    talk.send(`${message}.\r\n`);
    const reply = ok(await talk.reply(), 'the message');
    await talk.reply('QUIT').catch(() => {});
    return reply;
  });
}

async function post({ to, token }: ProbeOptions, way: Way, message: string): Promise<string> {
  return talking(reachable(way.listener), async (talk) => {
    const fields = [
      `Host: ${shown(way.listener)}`,
      `Authorization: Bearer ${token}`,
      'Content-Type: message/rfc822',
      `Content-Length: ${Buffer.byteLength(message)}`,
      `X-Lazaret-From: ${to}`,
      `X-Lazaret-Rcpt: ${to}`,
      'Connection: close',
    ];
    talk.send(`POST /intake HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${message}`);
    const answer = await talk.line();
    const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
    if (status === '200') return answer;
    const todo = status === '401' ? 'the server has other tokens: restart it' : status === '403' ? notTrusted : seeLog;
    throw new Fault(`it answers the message with "${answer.slice(0, 200)}"`, todo);
  });
}

function probeMessage({ config, to }: ProbeOptions, id: string, subject: string): string {
  const date = new Date().toUTCString().replace(/GMT$/, '+0000');
  return [
    `Received: from ${machine()} by ${config.hostname} (lazaret doctor) id ${id}; ${date}`,
    `From: <${to}>`,
    `To: <${to}>`,
    `Subject: ${subject}`,
    `Date: ${date}`,
    `Message-ID: <${id}@${config.hostname}>`,
    'Auto-Submitted: auto-generated',
    '',
    'This message was sent by `lazaret doctor`, to see whether all parts of the mail',
    'quarantine work together. It came all the way; nothing needs to be done.',
    '',
    `Its number is ${id}.`,
    '',
  ].join('\r\n');
}

async function imapClient(listener: Place & { readonly tls: boolean }, { user, password }: Login) {
  const { ImapFlow } = await import('imapflow');
  const { host, port } = reachable(listener);
  const client = new ImapFlow({
    host,
    port,
    secure: listener.tls,
    auth: { user, pass: password },
    logger: false,
    tls: { rejectUnauthorized: false },
    greetingTimeout: patienceMs,
    connectionTimeout: patienceMs,
    socketTimeout: patienceMs,
  });
  client.on('error', () => {}); // comes out of the command that waits
  try {
    await client.connect();
  } catch (error) {
    const { responseText, authenticationFailed } = error as { responseText?: string; authenticationFailed?: boolean };
    if (authenticationFailed)
      throw new Fault(
        `it refuses the login: ${responseText ?? 'no reason given'}`,
        'do server and doctor have the same `store`?',
      );
    throw error;
  }
  return client;
}

async function tryLogin(
  { report }: ProbeOptions,
  listener: Place & { readonly tls: boolean },
  login: Login,
): Promise<void> {
  await look(
    report,
    { check: 'login', what: `imap ${shown(listener)}`, todo: 'look at the log of the server' },
    async () => {
      const client = await imapClient(listener, login);
      await client.logout().catch(() => {});
      return { said: 'a login is taken' };
    },
  );
}

/** Finds the message in its folder, and moves it, where asked to. @throws Fault  it is not there */
async function move({ config }: ProbeOptions, login: Login, entry: Entry, id: string, onto: string | undefined) {
  const listener = config.imap.listen[0];
  if (!listener) throw new Fault('there is no listener for IMAP', 'set imap.listen');
  const folder = folderOf(entry.folder as 'caught').name;
  const client = await imapClient(listener, login);
  try {
    await client.mailboxOpen(folder);
    const messageId = `<${id}@${config.hostname}>`;
    const found = await until(async () => {
      const uids = await client.search({ header: { 'message-id': messageId } }, { uid: true });
      return uids && uids.length > 0 ? uids : undefined;
    }, patienceMs);
    if (!found) throw new Fault(`it is not in ${folder}`, 'look at the log of the server');
    if (onto === undefined) return;
    const moved = await client.messageMove(found, onto, { uid: true });
    if (!moved) throw new Fault(`the MOVE onto ${onto} was refused`, 'look at the log of the server');
  } finally {
    await client.logout().catch(() => {});
  }
}

/** What the next hop said. @throws Fault */
async function delivery({ store, config, waitMs }: ProbeOptions, entry: Entry): Promise<string> {
  const job = await until(
    async () => {
      const found = await lastJob(store, entry, 'deliver');
      if (!found || (found.state === 'ready' && found.attempts === 0) || found.state === 'leased') return undefined;
      return found;
    },
    waitMs + config.release.undoSeconds * 1000,
  );
  if (!job) throw new Fault('nobody delivers it', 'run a server with the role worker');
  if (job.state === 'done') return `the next hop said ${job.outcome ?? 'nothing'}`;
  const why = job.state === 'failed' ? 'it was refused' : 'it is put off';
  throw new Fault(
    `${why}: ${job.outcome ?? 'no reason given'}`,
    'see to the next hop; the setting is delivery.nextHop',
  );
}

async function lastJob(store: Store, entry: Entry, step: Job['step']): Promise<Job | undefined> {
  const history = await store.entries.history(entry.id);
  return history?.jobs.filter((job) => job.step === step).at(-1);
}

/** What each learner said, and what can be forgotten again is. */
async function trained(o: ProbeOptions, way: Way, entry: Entry): Promise<void> {
  const { store, config, report, waitMs } = o;
  const about = { check: 'probe: train', what: way.what };
  if (config.training.trainers.length === 0) {
    report({ ...about, state: 'skipped', said: 'nobody learns here' });
    return;
  }
  const job = await until(async () => {
    const found = await lastJob(store, entry, 'train-ham');
    return found && found.state !== 'leased' && !(found.state === 'ready' && found.attempts === 0) ? found : undefined;
  }, waitMs);
  const lines = await store.jobs.trainingsOf(entry.messageId);
  for (const trainer of config.training.trainers) {
    const name = nameOfTrainer(trainer);
    const line = lines.findLast((each) => each.trainer === name);
    const which = { check: 'probe: train', what: `${way.what}, ${name}` };
    const todo = 'look at the log of the learner; the setting is training.trainers';
    if (!line)
      report({ ...which, state: 'fault', said: `it has not answered${job?.outcome ? `: ${job.outcome}` : ''}`, todo });
    else if (line.kind === 'learned' || line.kind === 'known') {
      report({ ...which, state: 'ok', said: line.said });
      await look(report, { check: 'probe: forget', what: `${way.what}, ${name}`, todo }, () =>
        forget(o, trainer, entry),
      );
    } else
      report({
        ...which,
        state: 'fault',
        said: `${line.kind === 'later' ? 'not now' : 'refused'}: ${line.said}`,
        todo,
      });
  }
}

/** SpamAssassin forgets when asked to; the others have no word for it. */
async function forget(
  { store, book }: ProbeOptions,
  trainer: TrainerSettings,
  entry: Entry,
): Promise<Partial<Finding> & { readonly said: string }> {
  const owner = book.owner(entry.owner || entry.recipient);
  const user = trainer.scope === 'user' ? owner : trainer.scope === 'domain' ? splitAddress(owner).domain : undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of store.messages.read(entry.messageId)) pieces.push(Buffer.from(piece));
  const message = Buffer.concat(pieces);
  if (trainer.type === 'spamd')
    return talking(socketPlace(trainer.address), async (talk) => {
      const head = `TELL SPAMC/1.5\r\n${user ? `User: ${user}\r\n` : ''}Remove: local\r\nContent-length: ${message.length}\r\n\r\n`;
      talk.send(head + message.toString('utf8'));
      const answer = await talk.rest();
      if (!/^SPAMD\/\S+ 0 /.test(answer))
        throw new Fault(`it answers "${answer.split('\n', 1)[0]}"`, 'look at its log');
      if (!/^DidRemove:.*local/im.test(answer))
        return {
          state: 'warning',
          said: 'it knows nothing of the message it said it had learned',
          todo: 'do all of its processes have one database?',
        };
      return { said: 'forgotten' };
    });
  if (trainer.type === 'sa-learn') {
    const [program, ...more] = trainer.command;
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn(
        program as string,
        [...more, ...(trainer.dbPath ? ['--dbpath', trainer.dbPath] : []), '--forget'],
        {
          stdio: ['pipe', 'ignore', 'ignore'],
          timeout: 60_000,
        },
      );
      child.once('error', reject);
      child.once('exit', resolve);
      child.stdin.on('error', () => {});
      child.stdin.end(message);
    });
    if (code !== 0) throw new Fault(`sa-learn --forget ended with ${code}`, 'look at what it says when run by hand');
    return { said: 'forgotten' };
  }
  return { state: 'skipped', said: 'it has no way to forget one message; it has learned one that is harmless' };
}

/** What was not delivered is taken back, and discarded. */
async function cleanUp({ store, config, report }: ProbeOptions, way: Way, last: Entry | undefined): Promise<void> {
  if (!last) return;
  const about = { check: 'probe: clean up', what: way.what };
  const actor: Actor = { account: way.scope.address, via: 'cli' };
  try {
    let entry = await store.entries.get(last.id);
    const open = (await store.entries.history(last.id))?.stays ?? [];
    if (entry?.state === 'dropped')
      for (const { folder, uid } of open)
        if (folder === 'release' || folder === 'release-train')
          await store.drops.undo(actor, way.scope, folder, [{ first: uid, last: uid }]);
    entry = await store.entries.get(last.id);
    if (entry?.state === 'held' && entry.uid !== undefined && entry.folder !== undefined) {
      const drop = store.drops.begin({
        actor,
        scope: way.scope,
        folder: entry.folder,
        action: 'discard',
        mode: 'move',
        undoMs: 0,
        hostname: config.hostname,
      });
      await store.drops.take(drop, [entry.uid], { last: true });
    }
    entry = await store.entries.get(last.id);
    if (entry && /^(?:held|dropped)$/.test(entry.state))
      report({
        ...about,
        state: 'warning',
        said: `the message is left as entry ${entry.id}`,
        todo: `lazaret discard ${entry.id}`,
      });
  } catch (error) {
    report({ ...about, state: 'warning', said: whyNot(error), todo: `lazaret discard ${last.id}` });
  }
}

async function until<T>(find: () => Promise<T | undefined>, ms: number): Promise<T | undefined> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await find();
    if (found !== undefined || performance.now() > end) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
