/**
 * What each setting may be by itself, the schema says; here is what cannot be true of several together. Every check looks
 * only at settings that were understood, so that one mistake does not hide another.
 */
import { AddressBook } from '#app/policy/addresses';
import { parseAddress, parseDomain, type Token } from './kinds.ts';
import type { Parsed } from './schema.ts';
import type { Path } from './sources.ts';
import { nameOfTrainer, type TrainerSettings } from './trainers.ts';

export type Report = (path: Path, text: string) => void;

export function check(config: Partial<Parsed>, report: Report): void {
  domains(config, report);
  aliases(config, report);
  listeners(config, report);
  pairs(config, report);
  trainers(config, report);
  senders(config, report);
  watched(config, report);
  reports(config, report);
  // Longer than any supervisor waits, and a timer of Node.js must hold it.
  if (config.shutdown && config.shutdown.grace > 3_600_000)
    report(['shutdown', 'grace'], 'shutdown.grace: expected no more than 1h');
}

function domains({ domains, intake }: Partial<Parsed>, report: Report): void {
  if (!domains) return;
  const names = new Map<string, string>();
  for (const name of Object.keys(domains)) {
    const domain = parseDomain(name);
    if (!domain)
      report(['domains', name], `domains: expected a domain like harbour.example, found ${JSON.stringify(name)}`);
    else if (names.has(domain)) report(['domains', name], `${domain} stands here twice`);
    else names.set(domain, domain);
  }
  for (const [name, { aliases }] of Object.entries(domains))
    aliases.forEach((alias, i) => {
      const other = names.get(alias);
      if (other === alias)
        report(['domains', name, 'aliases', i], `${alias} is a domain itself, it cannot be an alias of ${name}`);
      else if (other !== undefined) report(['domains', name, 'aliases', i], `${alias} is already an alias of ${other}`);
      else names.set(alias, name);
    });
  intake?.handOverDomains?.forEach((domain, i) => {
    if (names.has(domain))
      report(
        ['intake', 'handOverDomains', i],
        `addresses of ${domain} would name no person, but it is one of \`domains\``,
      );
  });
}

function aliases({ domains, aliases }: Partial<Parsed>, report: Report): void {
  if (!aliases) return;
  const book = new AddressBook({ domains });
  const targets = new Map<string, string>();
  for (const [from, to] of Object.entries(aliases)) {
    const at = ['aliases', from];
    if (!parseAddress(from))
      report(at, `aliases: expected an address like info@quay.example, found ${JSON.stringify(from)}`);
    else if (!book.isOurs(from)) report(at, `${from} is not in any of \`domains\`, so it would never be looked up`);
    else if (!book.isOurs(to)) report(at, `${to} is not in any of \`domains\``);
    else if (targets.has(book.owner(from))) report(at, `${from} is the same address as another one here`);
    else targets.set(book.owner(from), book.owner(to));
  }
  const told = new Set<string>();
  for (const from of Object.keys(aliases)) {
    const way = [book.owner(from)];
    for (let next = targets.get(way[0] as string); next !== undefined; next = targets.get(next)) {
      if (way[0] === next && !told.has(next)) {
        for (const member of way) told.add(member);
        report(['aliases', from], `${[...way, next].join(' → ')}: an alias of itself`);
      }
      if (way.includes(next)) break;
      way.push(next);
    }
  }
}

function senders({ release, domains }: Partial<Parsed>, report: Report): void {
  if (!release || release.srsSecret) return;
  const needs = 'srs needs release.srsSecret';
  if (release.sender === 'srs') report(['release', 'sender'], `release.sender: ${needs}`);
  for (const [name, { sender }] of Object.entries(domains ?? {}))
    if (sender === 'srs') report(['domains', name, 'sender'], `domains.${name}.sender: ${needs}`);
}

function listeners({ imap, intake, api, http }: Partial<Parsed>, report: Report): void {
  const taken = new Map<string, string>();
  const look = (path: Path, at: { host: string; port: number }) => {
    const place = `${at.host.includes(':') ? `[${at.host}]` : at.host}:${at.port}`;
    const other = taken.get(place);
    if (at.port !== 0 && other) report(path, `${place} is already used by ${other}`);
    taken.set(place, path.slice(0, 2).join('.'));
  };
  imap?.listen.forEach((at, i) => {
    look(['imap', 'listen', i], at);
  });
  for (const protocol of ['lmtp', 'smtp', 'http'] as const)
    intake?.[protocol].forEach(({ listen }, i) => {
      look(['intake', protocol, i], listen);
    });
  http?.listen.forEach((at, i) => {
    look(['http', 'listen', i], at);
  });
  api?.listen.forEach((at, i) => {
    look(['api', 'listen', i], at);
  });
  if (intake && intake.http.length > 0 && intake.tokens.length === 0)
    report(['intake', 'http'], 'intake.http stands here without intake.tokens: nobody could hand mail over there');
  if (api && api.listen.length > 0 && api.tokens.length === 0)
    report(['api', 'listen'], 'api.listen stands here without api.tokens: nobody could ask there');
  tokens(['intake', 'tokens'], intake?.tokens ?? [], report);
  tokens(['api', 'tokens'], api?.tokens ?? [], report);
}

function tokens(path: Path, tokens: readonly Token[], report: Report): void {
  tokens.forEach(({ sha256 }, i) => {
    if (tokens.findIndex((other) => other.sha256 === sha256) < i)
      report([...path, i], `${path.join('.')}[${i + 1}] stands here twice`);
  });
}

function pairs({ tls, imap }: Partial<Parsed>, report: Report): void {
  if (tls && !tls.cert !== !tls.key) {
    const [there, missing] = tls.cert ? ['cert', 'key'] : ['key', 'cert'];
    report(['tls', there as string], `tls.${there} stands here without tls.${missing}`);
  }
  if (imap && imap.loginFailures.delayMs > imap.loginFailures.maxDelayMs)
    report(['imap', 'loginFailures', 'maxDelayMs'], 'expected no less than imap.loginFailures.delayMs');
}

function trainers({ training }: Partial<Parsed>, report: Report): void {
  const names = new Map<string, number>();
  training?.trainers.forEach((trainer, i) => {
    const at = ['training', 'trainers', i];
    const here = `training.trainers[${i + 1}]`;
    const name = nameOfTrainer(trainer);
    const other = names.get(name.toLowerCase());
    if (other !== undefined)
      report(at, `${here}: number ${other + 1} is called ${name} too; give one of them another \`name\``);
    names.set(name.toLowerCase(), i);
    // A timer of Node.js must hold it, and a job is not kept from others for hours.
    if (trainer.timeout < 100 || trainer.timeout > 600_000)
      report([...at, 'timeout'], `${here}.timeout: expected 100ms to 10m`);
    perUser(trainer, here, (text) => report(at, text));
    if (trainer.type === 'arf' && !trainer.spam && !trainer.ham)
      report(at, `${here}: expected \`spam\`, the address that gets reports of spam, or \`ham\`, or both`);
    if (trainer.type === 'rspamd' && !trainer.bayes && !trainer.fuzzy?.spamFlag && !trainer.fuzzy?.hamFlag)
      report(at, `${here}: with \`bayes: false\` and no \`fuzzy\` flag nothing is learned`);
    if ((trainer.type === 'maildir' || trainer.type === 'mbox') && trainer.spam === trainer.ham)
      report([...at, 'ham'], `${here}.ham: expected another place than \`spam\``);
  });
}

/** Where a trainer needs to be told where the user's name goes, it stands there exactly when there is a user. */
function perUser(trainer: TrainerSettings, here: string, report: (text: string) => void): void {
  if (trainer.type === 'arf') {
    if (trainer.scope !== 'global') report(`${here}.scope: reports by mail know no other than global`);
    return;
  }
  if (trainer.type !== 'command' && trainer.type !== 'maildir' && trainer.type !== 'mbox') return;
  for (const key of ['spam', 'ham'] as const) {
    const has = trainer[key].includes('{user}');
    if (has && trainer.scope === 'global')
      report(`${here}.${key}: {user} has a meaning only with \`scope: domain\` or \`scope: user\``);
    if (!has && trainer.scope !== 'global')
      report(
        `${here}.${key}: with \`scope: ${trainer.scope}\` {user} has to stand in it, ${trainer.type === 'command' ? 'as a word of its own' : 'in the path'}`,
      );
  }
}

function watched({ intake }: Partial<Parsed>, report: Report): void {
  intake?.watch.forEach((one, i) => {
    const at = ['intake', 'watch', i];
    if (one.done !== undefined && one.delete)
      report([...at, 'delete'], `${one.folder}: its files can be moved (done) or deleted, not both`);
    if (one.rcpt.length > 0 && one.rcptField !== undefined)
      report(
        [...at, 'rcptField'],
        `${one.folder}: rcpt and rcptField both say whom its mail is for; one of them is enough`,
      );
    if (intake.watch.findIndex(({ folder }) => folder === one.folder) < i)
      report([...at, 'folder'], `${one.folder} is watched already`);
  });
}

function reports({ training, domains }: Partial<Parsed>, report: Report): void {
  const book = new AddressBook({ domains });
  const spam = new Set(training?.reports.spam.map((address) => book.owner(address)));
  training?.reports.ham.forEach((address, i) => {
    if (spam.has(book.owner(address)))
      report(['training', 'reports', 'ham', i], `${address} stands among training.reports.spam as well`);
  });
}
