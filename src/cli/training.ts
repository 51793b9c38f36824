/**
 * `lazaret training list`, `retry` and `stats`: what trainers made of what people dropped. Whatever they said is a
 * stranger's text.
 */
import { isServerRunning } from '#app/lib/heartbeat';
import { cleanLine, columns, cut } from '#app/lib/terminal';
import type { TrainingKind, TrainingLine } from '#store/model';
import type { Backlog, Store, TrainingQuery } from '#store/port';
import { asJson, type Call, UsageError, type Verb } from './verb.ts';

const kinds: readonly TrainingKind[] = ['learned', 'known', 'refused', 'later'];

export const trainingList: Verb = {
  name: 'training list',
  summary: 'list what was not learned yet and what trainers refused, with their words',
  about:
    'Newest first: `refused` will not be learned, `later` is tried again by itself, until it is given up. Only what still ' +
    'counts: not what the same trainer has learned since, nor what was called off. With --kind the whole history of such answers.',
  options: [
    { flags: '--kind <kind>', help: 'all answers of this kind', choices: kinds },
    { flags: '--trainer <name>', help: 'only of this trainer', filled: true },
    { flags: '--limit <n>', help: 'no more than so many lines; 50', filled: true },
    { flags: '--before <line>', help: 'lines older than this one: the next page', filled: true },
  ],
  examples: [
    ['lazaret training list', 'what needs somebody to look at it'],
    ['lazaret training list --trainer rspamd --kind learned --limit 10', 'what Rspamd learned last'],
  ],
  async run(call) {
    const limit = number(call, 'limit') ?? 50;
    const before = number(call, 'before');
    const kind = kinds.find((one) => one === call.text('kind'));
    const trainer = call.text('trainer');
    const { withTools } = await import('./tools.ts');
    return withTools(call, async ({ store }) => {
      const query = { limit, ...(before && { before }), ...(trainer && { trainer }) };
      const lines = kind ? await store.jobs.trainings({ ...query, kind }) : await unlearned(store, query);
      if (call.json) call.print(asJson({ waiting: await waiting(store), lines: lines.map(plain) }));
      else {
        call.print(lines.length === 0 ? 'Nothing.\n' : rows(lines));
        call.note(inWords(await waiting(store)));
      }
      return 0;
    });
  },
};

export const trainingStats: Verb = {
  name: 'training stats',
  summary: 'count what each trainer has learned, knew, refused or put off',
  about: 'Of the messages that are still kept; each answer of a trainer counts once.',
  examples: [
    ['lazaret training stats', 'a line for each trainer and class'],
    ['lazaret training stats --json', 'for programs'],
  ],
  async run(call) {
    const { withTools } = await import('./tools.ts');
    return withTools(call, async ({ store }) => {
      const counts = await store.jobs.trainingStats();
      if (call.json) {
        call.print(asJson({ waiting: await waiting(store), counts }));
        return 0;
      }
      const names = [...new Set(counts.map((line) => `${line.trainer} ${line.class}`))];
      const count = (name: string, kind: TrainingKind) =>
        String(counts.find((line) => `${line.trainer} ${line.class}` === name && line.kind === kind)?.count ?? 0);
      const heading = ['TRAINER', 'CLASS', ...kinds.map((kind) => kind.toUpperCase())];
      const table = names.map((name) => [...name.split(' '), ...kinds.map((kind) => count(name, kind))]);
      call.print(names.length === 0 ? 'No trainer has answered yet.\n' : columns([heading, ...table]));
      call.note(inWords(await waiting(store)));
      return 0;
    });
  },
};

export const trainingRetry: Verb = {
  name: 'training retry',
  summary: 'learn what was kept for later because no trainer was configured',
  about:
    'Without `training.trainers` in the settings a drop on Spam, Not Spam or Release & Train is recorded and kept. Once ' +
    'there is a trainer, this queues all of that again, as long as the messages are there; of each message what was wanted ' +
    'last. With --failed also what trainers refused or what was given up: only those are asked again that had not learned it.',
  options: [{ flags: '--failed', help: 'also what failed' }],
  examples: [
    ['lazaret training retry', 'after `training.trainers` was added to the settings and the server restarted'],
    ['lazaret training retry --failed', 'after what `lazaret training list` tells of was mended'],
    ['lazaret training retry --json', 'for programs: { "queued": 12 }'],
  ],
  async run(call) {
    const { withTools } = await import('./tools.ts');
    return withTools(call, async ({ store, config }) => {
      const queued = await store.jobs.retryUntrained({ failed: call.flag('failed') });
      call.print(call.json ? asJson({ queued }) : `queued ${queued}\n`);
      if (config.training.trainers.length === 0)
        call.note('these settings name no trainer: without one it will be kept for later again');
      else if (queued > 0 && !(await isServerRunning(store.settings)))
        call.note('no server is running: it will be learned from when one starts');
      return 0;
    });
  },
};

function number(call: Call, name: string): number | undefined {
  const text = call.text(name);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new UsageError(`--${name}: expected a number from 1, found "${text}"`);
  return value;
}

const pageSize = 200;

/** Newest first, as many as the query says: what is in the way of trainings that have not been learned by all. */
async function unlearned(store: Store, query: TrainingQuery): Promise<readonly TrainingLine[]> {
  const found: TrainingLine[] = [];
  for (const kind of ['refused', 'later'] as const) {
    let before = query.before;
    for (let more = query.limit; more > 0; ) {
      const page = await store.jobs.trainings({ ...query, limit: pageSize, kind, ...(before && { before }) });
      for (const line of page)
        if (more > 0 && (await stillCounts(store, line))) {
          found.push(line);
          more--;
        }
      before = page.at(-1)?.id;
      if (page.length < pageSize) break;
    }
  }
  return found.sort((a, b) => b.id - a.id).slice(0, query.limit);
}

async function stillCounts({ jobs }: Store, line: TrainingLine): Promise<boolean> {
  const job = await jobs.get(line.jobKey);
  if (!job || job.state === 'done' || job.state === 'cancelled') return false;
  const later = (await jobs.trainingsOf(line.messageId)).filter(
    ({ id, trainer, jobKey, user }) =>
      id > line.id && trainer === line.trainer && jobKey === line.jobKey && user === line.user,
  );
  return later.length === 0;
}

type Waiting = Pick<Backlog, 'due' | 'later' | 'leased'>;

/** Trainings that have not ended. */
async function waiting(store: Store): Promise<Waiting> {
  const sum = { due: 0, later: 0, leased: 0 };
  for (const { step, due, later, leased } of await store.jobs.backlog()) {
    if (step === 'deliver') continue;
    sum.due += due;
    sum.later += later;
    sum.leased += leased;
  }
  return sum;
}

const inWords = ({ due, later, leased }: Waiting): string =>
  `waiting: ${due} for their turn, ${later} for their next try or the end of the undo time; being done: ${leased}`;

function rows(lines: readonly TrainingLine[]): string {
  const room = (process.stdout.columns ?? 0) > 100 ? process.stdout.columns : 140;
  return columns([
    ['LINE', 'WHEN', 'ENTRY', 'TRAINER', 'AS', 'ANSWER', 'FOR', 'ASKED BY', 'WORDS'],
    ...lines.map((line) => [
      String(line.id),
      line.at.toISOString().slice(0, 16).replace('T', ' '),
      line.entryId === undefined ? '-' : String(line.entryId),
      cleanLine(line.trainer),
      line.class,
      line.kind,
      cut(cleanLine(line.user ?? 'all'), 32),
      cut(cleanLine(line.account), 32),
      cut(cleanLine(line.said), Math.max(40, room - 100)),
    ]),
  ]);
}

/** For programs: everything that others can make use of. */
const plain = ({ messageId: _, ...line }: TrainingLine) => line;
