/** What can be looked at without a message on its way: what listens, certificates, next hops, learners, folders. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Config } from '#app/config/schema';
import { nameOfTrainer, type TrainerSettings } from '#app/config/trainers';
import { Fault, type Finding, whyNot } from './finding.ts';
import { type Place, reachable, shown, Talk } from './talk.ts';

export const patienceMs = 10_000;
const dayMs = 86_400_000;
const soonDays = 14;

type Report = (finding: Finding) => void;

/** One check: what it throws is a fault, with what to do about it. */
export async function look(
  report: Report,
  about: { readonly check: string; readonly what?: string; readonly todo: string },
  work: () => Promise<Partial<Finding> & { readonly said: string }>,
): Promise<boolean> {
  const { todo, ...which } = about;
  try {
    const found = await work();
    report({ state: 'ok', ...which, ...found });
    return found.state === undefined || found.state === 'ok';
  } catch (error) {
    report({ ...which, state: 'fault', said: whyNot(error), todo: error instanceof Fault ? error.todo : todo });
    return false;
  }
}

export async function talking<T>(place: Place, work: (talk: Talk) => Promise<T>): Promise<T> {
  const talk = await Talk.open(place, patienceMs);
  try {
    return await work(talk);
  } finally {
    talk.close();
  }
}

const serverRuns = 'is a server with this role running, and with these settings? `lazaret serve`, and its log';

/** IMAP listeners, with their certificates. */
export async function checkImap(config: Config, report: Report, now: number): Promise<void> {
  if (!config.roles.includes('imap')) return;
  for (const listener of config.imap.listen) {
    const place = reachable(listener);
    await look(report, { check: 'listener', what: `imap ${shown(listener)}`, todo: serverRuns }, () =>
      talking(place, async (talk) => {
        const greeting = await talk.line();
        if (!/^\* OK/.test(greeting)) throw new Fault(`it greets with "${greeting.slice(0, 100)}"`, serverRuns);
        if (!listener.tls) {
          talk.send('a STARTTLS\r\n');
          if (!/^a OK/.test(await talk.line())) return { said: 'answers, and offers no TLS' };
          await talk.startTls(place.host);
        }
        return certificateOf(talk, now);
      }),
    );
  }
}

function certificateOf(talk: Talk, now: number): Partial<Finding> & { readonly said: string } {
  const certificate = talk.certificate;
  if (!certificate?.valid_to) return { said: 'answers' };
  const days = Math.floor((Date.parse(certificate.valid_to) - now) / dayMs);
  const until = new Date(certificate.valid_to).toISOString().slice(0, 10);
  const todo = 'renew the files of tls.cert and tls.key, then `systemctl reload lazaret`';
  if (days < 0) throw new Fault(`its certificate ran out on ${until}`, todo);
  if (days < soonDays) return { state: 'warning', said: `its certificate runs out on ${until}`, todo };
  const own = certificate.issuer?.CN !== undefined && certificate.issuer.CN === certificate.subject?.CN;
  return { said: `answers; its certificate is good until ${until}${own ? ', and signed by itself' : ''}` };
}

/** Where filters hand over. */
export async function checkIntake(config: Config, report: Report, token: string | undefined): Promise<void> {
  if (!config.roles.includes('intake')) return;
  for (const listener of config.intake.http)
    await look(report, { check: 'listener', what: `http ${shown(listener)}`, todo: serverRuns }, () =>
      talking(reachable(listener), async (talk) => {
        talk.send(`GET /intake HTTP/1.1\r\nHost: ${config.hostname}\r\nConnection: close\r\n\r\n`);
        const answer = await talk.line();
        if (!/^HTTP\/1\.1 \d/.test(answer)) throw new Fault(`it answers "${answer.slice(0, 100)}"`, serverRuns);
        const sparing = '; no message is handed over here, since the settings hold no token itself';
        return { said: `answers${token === undefined ? sparing : ''}` };
      }),
    );
}

/** Where released mail goes. */
export async function checkNextHops(config: Config, report: Report): Promise<void> {
  if (!config.roles.includes('worker')) return;
  const hops = new Set([config.delivery.nextHop]);
  for (const { nextHop } of Object.values(config.domains ?? {})) if (nextHop !== undefined) hops.add(nextHop);
  for (const hop of hops) {
    const { url, place, what } = placeOf(hop);
    const todo = `start the mail server there, or set another delivery.nextHop; mail that is released waits meanwhile`;
    await look(report, { check: 'next hop', what, todo }, () =>
      talking(place, (talk) =>
        url.protocol.startsWith('imap') ? greetImap(talk) : greetSmtp(talk, url, config.hostname),
      ),
    );
  }
  const { amavis } = config.delivery;
  if (amavis !== undefined && !amavis.startsWith('amavis:///')) {
    const { place, what } = placeOf(amavis);
    const todo = 'have amavisd listen there with the policy bank AM.PDP-SOCK (docs/release.md)';
    await look(report, { check: 'amavis', what, todo }, () =>
      talking(place, async () => ({ said: 'takes connections' })),
    );
  }
}

const usualPorts: Readonly<Record<string, number>> = {
  'smtp:': 25,
  'smtps:': 465,
  'lmtp:': 24,
  'imap:': 143,
  'imaps:': 993,
  'amavis:': 9998,
};

function placeOf(text: string): { readonly url: URL; readonly place: Place; readonly what: string } {
  const url = new URL(text);
  const host = decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? (usualPorts[url.protocol] ?? 0) : Number(url.port);
  const place = { host, port, tls: url.protocol === 'smtps:' || url.protocol === 'imaps:' };
  return { url, place, what: `${url.protocol}//${shown(place)}` };
}

async function greetImap(talk: Talk) {
  const greeting = await talk.line();
  if (!/^\* (?:OK|PREAUTH)/.test(greeting))
    throw new Fault(`it greets with "${greeting.slice(0, 100)}"`, 'is it an IMAP server?');
  return { said: 'answers' };
}

async function greetSmtp(talk: Talk, url: URL, hostname: string) {
  const greeting = await talk.reply();
  if (!greeting.startsWith('220')) throw new Fault(`it greets with "${greeting.slice(0, 200)}"`, 'look at its log');
  const hello = await talk.reply(`${url.protocol === 'lmtp:' ? 'LHLO' : 'EHLO'} ${hostname}`);
  if (!hello.startsWith('250'))
    throw new Fault(
      `it answers EHLO with "${hello.slice(0, 200)}"`,
      url.protocol === 'lmtp:'
        ? 'is it an LMTP server? Else write smtp://'
        : 'is it an SMTP server? Else write lmtp://',
    );
  const tls = url.searchParams.get('tls');
  if ((tls === 'require' || tls === 'verify') && url.protocol !== 'smtps:' && !/^250[ -]STARTTLS/im.test(hello))
    throw new Fault('it offers no TLS, which the settings ask for', 'set a certificate up there, or write ?tls=may');
  if (tls === 'verify' && talk.mistrust)
    throw new Fault(
      `its certificate is not good for ${url.hostname}: ${talk.mistrust}`,
      'renew it there, or write ?tls=require to take any',
    );
  if (url.username !== '' && !/^250[ -]AUTH/im.test(hello) && !/^250[ -]STARTTLS/im.test(hello))
    throw new Fault('it takes no login, and the settings have one', 'leave user and password out of the next hop');
  await talk.reply('QUIT').catch(() => {});
  return { said: 'answers' };
}

/** Those who learn, without teaching them anything. */
export async function checkTrainers(config: Config, report: Report): Promise<void> {
  if (!config.roles.includes('worker')) return;
  const { trainers } = config.training;
  if (trainers.length === 0)
    report({
      check: 'trainer',
      state: 'warning',
      said: 'there is none: what people put on Spam and Not Spam is kept, and nobody learns from it',
      todo: 'set training.trainers (docs/training.md), then `lazaret training retry`',
    });
  for (const trainer of trainers)
    await look(
      report,
      { check: 'trainer', what: nameOfTrainer(trainer), todo: 'start it, or correct training.trainers' },
      () => checkTrainer(trainer),
    );
}

async function checkTrainer(trainer: TrainerSettings): Promise<{ readonly said: string }> {
  switch (trainer.type) {
    case 'command':
      await Promise.all([trainer.spam, trainer.ham].map(([program]) => runnable(program as string)));
      return { said: 'its programs are there' };
    case 'sa-learn':
      await runnable(trainer.command[0] as string);
      return { said: 'its program is there' };
    case 'rspamd':
      return checkRspamd(trainer.url, trainer.password);
    case 'spamd':
      return checkSpamd(socketPlace(trainer.address));
    case 'webhook': {
      const url = new URL(trainer.url);
      const secure = url.protocol === 'https:';
      const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
      const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
      const mistrust = await talking({ host, port, tls: secure }, async (talk) => talk.mistrust);
      if (mistrust && trainer.ca === undefined)
        throw new Fault(`its certificate is not trusted: ${mistrust}`, 'renew it, or name its authority by `ca`');
      return { said: 'takes connections; nothing was sent' };
    }
    case 'arf':
      return { said: 'reports go by the next hop' };
    case 'maildir':
    case 'mbox': {
      for (const path of [trainer.spam, trainer.ham]) await writable(path);
      return { said: 'its places can be written to' };
    }
  }
}

/** `host:port`, or the path of a socket. */
export function socketPlace(text: string): Place {
  if (text.startsWith('/')) return { host: text, port: 0, path: text };
  const match = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text);
  return { host: match?.[1] ?? match?.[2] ?? text, port: Number(match?.[3] ?? 783) };
}

async function checkSpamd(place: Place): Promise<{ readonly said: string }> {
  return talking(place, async (talk) => {
    talk.send('PING SPAMC/1.5\r\n\r\n');
    const answer = await talk.line();
    if (!/^SPAMD\/\S+ 0 PONG/.test(answer)) throw new Fault(`it answers "${answer.slice(0, 100)}"`, 'is it spamd?');
    return { said: 'answers; whether it may learn shows with the first message (spamd needs --allow-tell)' };
  });
}

async function checkRspamd(base: string, password: string | undefined): Promise<{ readonly said: string }> {
  const url = new URL('stat', base.endsWith('/') ? base : `${base}/`);
  const response = await fetch(url, {
    headers: password === undefined ? {} : { Password: password },
    redirect: 'manual',
    signal: AbortSignal.timeout(patienceMs),
  }).catch((error: Error) => {
    throw error.cause instanceof Error ? error.cause : error;
  });
  await response.body?.cancel();
  if (response.status === 401 || response.status === 403)
    throw new Fault('it refuses our password', "set `password` to the controller's enable_password");
  if (response.status !== 200)
    throw new Fault(`it answers with status ${response.status}`, "is it the port of Rspamd's controller (11334)?");
  return { said: 'answers, and takes our password for reading' };
}

/** A program as a trainer would find it. */
async function runnable(program: string): Promise<void> {
  const places = program.includes('/')
    ? [program]
    : (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  for (const place of places)
    if (
      await access(place, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return;
  throw new Fault(`there is no program ${program}`, 'install it, or write its whole path');
}

/** The place itself, or the nearest folder above it that is there. */
async function writable(path: string): Promise<void> {
  for (let place = path; ; place = join(place, '..')) {
    const about = await stat(place).catch(() => undefined);
    if (!about && place !== join(place, '..')) continue;
    await access(place, constants.W_OK).catch(() => {
      throw new Fault(`${place} cannot be written to`, 'give the user of this program the right to');
    });
    return;
  }
}

/** Folders out of which mail is taken. */
export async function checkWatched(config: Config, report: Report): Promise<void> {
  if (!config.roles.includes('intake')) return;
  for (const { folder, done, delete: deletes } of config.intake.watch)
    await look(report, { check: 'folder', what: folder, todo: 'make it, or correct intake.watch' }, async () => {
      if (!(await stat(folder)).isDirectory()) throw new Fault('it is no folder', 'correct intake.watch');
      const taken = done !== undefined || deletes;
      await access(folder, taken ? constants.R_OK | constants.W_OK : constants.R_OK);
      if (done !== undefined) await writable(done);
      return { said: taken ? 'can be read, and files taken out of it' : 'can be read' };
    });
}
