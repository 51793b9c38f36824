/** `lazaret list`: what is held, newest first. */
import { cleanLine, columns, cut } from '#app/lib/terminal';
import { withNormalized } from '#app/quarantine/score';
import type { EntryId, ReadableFolder, State } from '#store/model';
import type { ListedEntry, ListQuery } from '#store/port';
import { asJson, UsageError, type Verb } from './verb.ts';

const states: readonly State[] = ['held', 'dropped', 'discarded', 'released', 'trained', 'expired'];
const page = 500;

export const list: Verb = {
  name: 'list',
  summary: 'list entries, newest first',
  options: [
    { flags: '--folder <name>', help: 'only what is in it: Caught, "Caught (Outgoing)", "Training Requested", Trash' },
    { flags: '--state <states>', help: `only what is in these states, with commas between: ${states.join(', ')}` },
    { flags: '--owner <who>', help: 'only what belongs to an address or a domain' },
    { flags: '--limit <n>', help: 'no more than so many; 50 if not given' },
    { flags: '--ids', help: 'print ids only, one a line' },
  ],
  examples: [
    ['lazaret list', 'the newest 50'],
    ['lazaret list --folder Caught --owner harbour.example --limit 500', "what waits for a domain's people"],
    ['lazaret list --state dropped,released --json', 'what was released, for programs'],
  ],
  async run(call) {
    const limit = parseLimit(call.text('limit'));
    const wanted = parseStates(call.text('state'));
    const [{ withTools, scopeOf }, { folderNamed }] = await Promise.all([
      import('./tools.ts'),
      import('./folder-names.ts'),
    ]);
    const folder: ReadableFolder | undefined = folderNamed(call.text('folder'));
    return withTools(call, async (tools) => {
      const scope = await scopeOf(call.text('owner'), tools);
      const found: ListedEntry[] = [];
      let before: EntryId | undefined;
      while (found.length < limit) {
        const query: ListQuery = {
          scope,
          ...(folder ? { folder } : {}),
          ...(wanted ? { states: wanted } : {}),
          ...(before ? { before } : {}),
          limit: Math.min(page, limit - found.length),
        };
        const some = await tools.store.entries.list(query);
        found.push(...some);
        before = some.at(-1)?.id;
        if (some.length < query.limit) break;
      }
      if (call.flag('ids')) for (const { id } of found) call.print(`${id}\n`);
      else if (call.json) call.print(asJson(found.map(plain)));
      else if (found.length === 0) call.note('Nothing is there');
      else call.print(await rows(found));
      return 0;
    });
  },
};

function parseLimit(text: string | undefined): number {
  if (text === undefined) return 50;
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit < 1) throw new UsageError(`--limit: expected a number from 1, found "${text}"`);
  return limit;
}

function parseStates(text: string | undefined): readonly State[] | undefined {
  return text?.split(',').map((word) => {
    const state = states.find((one) => one === word.trim().toLowerCase());
    if (!state) throw new UsageError(`--state: expected ${states.join(', ')}, found "${word.trim()}"`);
    return state;
  });
}

async function rows(entries: readonly ListedEntry[]): Promise<string> {
  const { folderOf } = await import('#app/quarantine/folders');
  const room = (process.stdout.columns ?? 0) > 100 ? process.stdout.columns : 140;
  return columns([
    ['ID', 'HELD SINCE', 'WHERE', 'WHY', 'OWNER', 'FROM', 'SUBJECT'],
    ...entries.map(({ id, heldAt, folder, state, verdict, owner, message }) => [
      String(id),
      heldAt.toISOString().slice(0, 16).replace('T', ' '),
      folder && state === 'held' ? folderOf(folder).name : state,
      verdict.reason + (verdict.score === undefined ? '' : ` ${verdict.score}`),
      cut(cleanLine(owner || '(nobody)'), 32),
      cut(cleanLine(message.from || message.sender || '<>'), 32),
      cut(cleanLine(message.subject), Math.max(20, room - 110)),
    ]),
  ]);
}

/** For programs: everything, exactly. */
function plain({ message, prefix, messageId, ...entry }: ListedEntry) {
  const { id, ...about } = message;
  return { ...entry, verdict: withNormalized(entry.verdict), message: about };
}
