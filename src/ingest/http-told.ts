/**
 * The facts of `POST /intake`: what our own header fields (`X-Lazaret-Rcpt`), form fields (`rcpt`) and JSON (`"rcpt"`) say
 * about a message. An unknown name is refused: a slip in it would else be a recipient or a score that nobody reads.
 */
import { isIP } from 'node:net';
import { dispositionForm, parseDisposition } from '#app/lib/disposition';
import { clean } from '#imap/mime/words';
import type { Disposition, Reason, RuleHit, Verdict } from '#store/model';
import type { Told } from './admit.ts';
import { addressesIn, BadFacts, entriesOf, type Facts, kindOf, listOf, numberOf, oneOf, textOf } from './http-facts.ts';
import type { Addressee } from './recipients.ts';

const names = [
  'from',
  'rcpt',
  'reason',
  'score',
  'required',
  'rules',
  'detail',
  'source',
  'id',
  'direction',
  'class',
  'disposition',
  'client-addr',
  'client-name',
  'client-helo',
  'client-proto',
  'queue-id',
] as const;

/** Complete, or it does not compile. */
const reasonNames: Readonly<Record<Reason, true>> = {
  spam: true,
  virus: true,
  banned: true,
  'bad-header': true,
  attachment: true,
  rule: true,
  policy: true,
  geoip: true,
  auth: true,
  phish: true,
  bulk: true,
  unsure: true,
  manual: true,
  unknown: true,
};
const reasons = Object.keys(reasonNames) as Reason[];
export const directions = ['auto', 'incoming', 'outgoing'] as const;
export const classes = ['held', 'training'] as const;

const maxRules = 500;
/** As many as one message may have by LMTP. */
export const maxRecipients = 10_000;

/** Told to come again later: nothing is kept of it. `said`: in what words, where one knows. */
export class PutOff extends Error {
  readonly said: string | undefined;
  readonly recipients: readonly Addressee[];
  constructor(said: string | undefined, recipients: readonly Addressee[]) {
    super('The filter told the sender to come again later');
    this.name = 'PutOff';
    this.said = said;
    this.recipients = recipients;
  }
}

/** @throws BadFacts, PutOff */
export function toldOf(facts: Facts): Told {
  for (const name of facts.keys())
    if (!names.some((known) => known === name))
      throw new BadFacts(`${clean(name, 60)} is not known here; what is: ${names.join(', ')}`);
  const recipients = recipientsOf(facts);
  const disposition = dispositionOf(facts, recipients);
  const verdict = { ...verdictOf(facts), ...(disposition ? { disposition } : {}) };
  const client = clientOf(facts);
  const direction = oneOf(facts, 'direction', directions);
  const sender = senderOf(facts);
  return {
    ...(sender === undefined ? {} : { sender }),
    ...(recipients.length > 0 ? { recipients } : {}),
    ...(direction ? { direction } : {}),
    ...(oneOf(facts, 'class', classes) === 'training' ? { class: 'training' } : {}),
    ...(Object.keys(verdict).length > 0 ? { verdict } : {}),
    ...(Object.keys(client).length > 0 ? { params: { client } } : {}),
  };
}

function senderOf(facts: Facts): string | undefined {
  const value = facts.get('from');
  if (value === undefined || value === null) return undefined;
  const found = typeof value === 'string' ? addressesIn(value) : undefined;
  if (!found || found.length > 1) throw new BadFacts('from: expected one address, or <> for none');
  return found[0] ?? '';
}

function recipientsOf(facts: Facts): Addressee[] {
  const found: Addressee[] = [];
  for (const value of listOf(facts.get('rcpt'))) {
    const some = typeof value === 'string' ? addressesIn(value) : undefined;
    if (!some)
      throw new BadFacts(
        `rcpt: expected an address like ada@harbour.example, or several, found ${typeof value === 'string' ? `"${clean(value, 80)}"` : kindOf(value)}`,
      );
    for (const address of some) found.push({ address });
    if (found.length > maxRecipients) throw new BadFacts(`rcpt: more than ${maxRecipients} recipients`);
  }
  return found;
}

function dispositionOf(facts: Facts, recipients: readonly Addressee[]): Disposition | undefined {
  const text = textOf(facts, 'disposition', 1000);
  if (text === undefined) return undefined;
  const [, off, words = ''] = /^(put-off|rejected(?=\s+4\d\d\b))(?:\s+(.*))?$/is.exec(text) ?? [];
  if (off !== undefined) throw new PutOff(words || undefined, recipients);
  const told = parseDisposition(text);
  if (!told) throw new BadFacts(`disposition: expected ${dispositionForm}; or put-off`);
  return told;
}

function verdictOf(facts: Facts): Partial<Verdict> {
  const reason = oneOf(facts, 'reason', reasons);
  const score = numberOf(facts, 'score');
  const required = numberOf(facts, 'required');
  const rules = rulesIn(facts.get('rules'));
  const detail = textOf(facts, 'detail', 500);
  const filterId = textOf(facts, 'id', 64);
  const source = textOf(facts, 'source', 40);
  if (source !== undefined && !/^[A-Za-z0-9][\w.-]*$/.test(source))
    throw new BadFacts('source: expected the name of a filter, of letters, digits, - and _');
  const found = {
    ...(reason ? { reason } : {}),
    ...(score === undefined ? {} : { score }),
    ...(required === undefined ? {} : { required }),
    ...(rules.length > 0 ? { rules } : {}),
    ...(detail ? { detail } : {}),
    ...(filterId ? { filterId } : {}),
  };
  if (source === undefined && Object.keys(found).length === 0) return {};
  return { source: source?.toLowerCase() ?? 'http', ...found };
}

/** `BAYES_99 3.5, URIBL_BLACK=1.7, PLAIN` in a header; in JSON also a list of such, or of `{name, score, words}`. */
function rulesIn(value: unknown): RuleHit[] {
  const rules: RuleHit[] = [];
  for (const item of listOf(value)) {
    if (typeof item === 'string') for (const piece of item.split(',', maxRules + 1)) add(rules, ruleIn(piece));
    else {
      const facts: Facts = new Map(entriesOf(item, 'rules'));
      const name = textOf(facts, 'name', 100);
      if (name === undefined) throw new BadFacts('rules: one of them has no name');
      const [score, words] = [numberOf(facts, 'score'), textOf(facts, 'words', 200)];
      add(rules, { name, ...(score === undefined ? {} : { score }), ...(words ? { words } : {}) });
    }
    if (rules.length >= maxRules) break;
  }
  return rules;
}

const add = (rules: RuleHit[], rule: RuleHit | undefined) => {
  if (rule && rules.length < maxRules) rules.push(rule);
};

function ruleIn(text: string): RuleHit | undefined {
  const [, name, score] =
    /^\s*(\S{1,100}?)(?:(?:\s+|=|\()([-+]?\d{1,9}(?:\.\d{1,9})?)\)?)?\s*$/.exec(text.slice(0, 300)) ?? [];
  if (text.trim() === '') return undefined;
  if (name === undefined)
    throw new BadFacts('rules: expected names with commas between, each with its points: A 1.5, B -0.2');
  return { name: clean(name, 100), ...(score === undefined ? {} : { score: Number(score) }) };
}

/** By the names that XFORWARD has for them. */
function clientOf(facts: Facts): Record<string, string> {
  const client: Record<string, string> = {};
  const addr = textOf(facts, 'client-addr', 60);
  if (addr !== undefined) {
    const bare = addr.replace(/^\[(?:IPv6:)?|\]$/gi, '');
    if (isIP(bare) === 0) throw new BadFacts('client-addr: expected an IP address');
    client.addr = bare;
  }
  const helo = textOf(facts, 'client-helo', 255);
  if (helo) client.helo = helo;
  const name = textOf(facts, 'client-name', 255);
  if (name) client.name = name;
  const proto = textOf(facts, 'client-proto', 20);
  if (proto) client.proto = proto;
  const queueId = textOf(facts, 'queue-id', 100);
  if (queueId) client.ident = queueId;
  return client;
}
