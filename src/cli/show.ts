/** `lazaret show ID`: all that is known about an entry, its history in words. */
import { cleanLine, columns } from '#app/lib/terminal';
import {
  authenticationInWords,
  dispositionInWords,
  findingInWords,
  reasonInWords,
  ruleInWords,
  scoreInWords,
} from '#app/quarantine/in-words';
import { withNormalized } from '#app/quarantine/score';
import type { Drop, Folder, Job, TrainingLine } from '#store/model';
import type { History } from '#store/port';
import { inventoryWords } from './inventory-words.ts';
import { asJson, Failure, type Verb } from './verb.ts';

export const show: Verb = {
  name: 'show',
  summary: 'show an entry and its history',
  arguments: [{ name: 'id', help: 'its id, or any UID it has or had in a folder' }],
  examples: [
    ['lazaret show 17', 'who sent what to whom, why it was held, and what became of it'],
    ['lazaret show 17 --json', 'the same for programs'],
  ],
  async run(call) {
    const [{ withTools }, { parseId }, { folderOf }] = await Promise.all([
      import('./tools.ts'),
      import('./ids.ts'),
      import('#app/quarantine/folders'),
    ]);
    const typed = call.arguments[0] as string;
    const uid = parseId(typed);
    return withTools(call, async ({ store }) => {
      const entry = uid && (await store.entries.byUid(uid));
      const history = entry && (await store.entries.history(entry.id));
      if (!history) throw new Failure(`There is no entry ${typed}`);
      const inventory = await store.messages.inventory(history.message.id);
      const nameOf: NameOf = (folder) => folderOf(folder).name;
      if (call.json)
        call.print(
          asJson({
            ...history,
            entry: { ...history.entry, verdict: withNormalized(history.entry.verdict) },
            ...(inventory && { inventory }),
          }),
        );
      else call.print(facts(history, nameOf) + inventoryWords(inventory) + story(history, nameOf));
      return 0;
    });
  },
};

type NameOf = (folder: Folder) => string;

function facts({ entry, message }: History, nameOf: NameOf): string {
  const { verdict } = entry;
  const points = scoreInWords(verdict);
  const why = [`${verdict.reason}${points && `, ${points}`}`, reasonInWords(verdict.reason), verdict.detail];
  const bands = Object.entries(verdict.bands ?? {}).map(([what, from]) => `${what} from ${from}`);
  const rules = verdict.rules.map((rule) => {
    const words = ruleInWords(rule);
    return `${rule.name}${rule.score === undefined ? '' : ` ${rule.score}`}${words && ` (${words})`}`;
  });
  const rows: (readonly [string, string])[] = [
    ['id', String(entry.id)],
    ['subject', message.subject],
    ['from', message.from],
    ['sender', message.sender || '<>'],
    ['recipient', entry.recipient || '(nobody could tell)'],
    ['first sent to', plainOrcpt(entry.orcpt ?? '')],
    ['came from', cameFrom(message.params.client ?? {})],
    ['owner', entry.owner || '(global only)'],
    ['direction', entry.direction],
    ['state', entry.state + (entry.folder ? `, in ${nameOf(entry.folder)} as UID ${entry.uid}` : '')],
    ['why', `${why.filter((text) => text).join('; ')}, said ${verdict.source}`],
    ['action', [verdict.class, verdict.action, ...bands].filter((text) => text).join(', ')],
    ['rules', rules.join(', ')],
    ['also', (verdict.others ?? []).map((other) => findingInWords(other)).join('; ')],
    ['checked', authenticationInWords(verdict.authentication ?? {})],
    ['sender told', verdict.disposition ? dispositionInWords(verdict.disposition) : ''],
    ['filter id', verdict.filterId ?? ''],
    ['size', `${message.size} bytes`],
    ['held since', entry.heldAt.toISOString()],
    ['leaves at', entry.expiresAt?.toISOString() ?? ''],
    ['repeats', entry.linkedTo ? `entry ${entry.linkedTo}` : ''],
  ];
  return columns(rows.filter(([, text]) => text !== '').map(([name, text]) => [name, cleanLine(text)]));
}

/** RFC 3461 §4.2: `rfc822;ada+2Bx@harbour.example`. */
const plainOrcpt = (orcpt: string) =>
  orcpt
    .replace(/^rfc822;/i, '')
    .replace(/\+([0-7][0-9A-F])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Whom the MTA got it from, as its XFORWARD or a request says: `mx.example [198.51.100.7] helo=x, by ESMTP, queue id 4AbC`. */
function cameFrom({ name, addr, helo, proto, ident, login }: Readonly<Record<string, string>>): string {
  const whence = [name, addr && `[${addr}]`, helo && `helo=${helo}`].filter(Boolean).join(' ');
  return [whence, login && `logged in as ${login}`, proto && `by ${proto}`, ident && `queue id ${ident}`]
    .filter(Boolean)
    .join(', ');
}

function story({ stays, drops, jobs, trainings }: History, nameOf: NameOf): string {
  const lines: { at: Date; text: string }[] = [];
  // In the order in which one causes the other: they may have the same time.
  for (const drop of drops) {
    lines.push({ at: drop.createdAt, text: `${who(drop)} put it on ${onto(drop, nameOf)}` });
    if (drop.rolledBackAt) lines.push({ at: drop.rolledBackAt, text: 'which was taken back as a whole' });
  }
  for (const { uid, folder, beganAt, endedAt } of stays) {
    if (endedAt) lines.push({ at: endedAt, text: `out of ${nameOf(folder)}` });
    lines.push({ at: beganAt, text: `into ${nameOf(folder)} as UID ${uid}` });
  }
  for (const job of jobs) lines.push({ at: job.createdAt, text: `${job.step} queued` });
  for (const training of trainings) lines.push({ at: training.at, text: learned(training) });
  for (const job of jobs) {
    if (job.endedAt) lines.push({ at: job.endedAt, text: `${job.step} ${job.state}${words(job)}` });
    else if (job.attempts > 0)
      lines.push({ at: job.dueAt ?? job.createdAt, text: `${job.step} due again${words(job)}` });
  }
  lines.sort((a, b) => a.at.getTime() - b.at.getTime());
  return `\n${lines.map(({ at, text }) => `${at.toISOString()}  ${cleanLine(text)}\n`).join('')}`;
}

function onto({ action, mode }: Drop, nameOf: NameOf): string {
  if (action === 'restore') return 'its way back';
  const folder = nameOf(action === 'discard' ? 'trash' : action);
  return mode === 'move' ? folder : `${folder} (by ${mode.toUpperCase()})`;
}

const answers: Readonly<Record<TrainingLine['kind'], string>> = {
  learned: 'learned it as',
  known: 'knew it already as',
  refused: 'refused to learn it as',
  later: 'could not learn it yet as',
};
const learned = ({ trainer, kind, class: klass, user, said }: TrainingLine) =>
  `${trainer} ${answers[kind]} ${klass}${user === undefined ? '' : ` for ${user}`}: ${said}`;

const who = ({ actor }: Drop) => `${actor.person ? `${actor.person}, as ` : ''}${actor.account} (${actor.via})`;
const words = ({ attempts, outcome }: Job) =>
  `${attempts > 1 ? ` after ${attempts} tries` : ''}${outcome ? `: ${outcome}` : ''}`;
