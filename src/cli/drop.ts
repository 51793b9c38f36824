/**
 * What release, spam, not-spam and discard share: entries named by ids are put on an action, as a MOVE of the account that
 * sees everything would do it, through the same methods of the store. An id that is on its way already counts as done:
 * saying it twice does nothing twice. Every id gets its line.
 */
import { userInfo } from 'node:os';
import { isServerRunning } from '#app/lib/heartbeat';
import { cleanLine } from '#app/lib/terminal';
import { meaningOf, stepsLearned } from '#app/quarantine/actions';
import { folderOf } from '#app/quarantine/folders';
import { explain } from '#app/quarantine/refusals';
import type { ActionName, Actor, Entry, EntryId, Job, ReadableFolder, Uid } from '#store/model';
import type { RefusalReason, Store } from '#store/port';
import { type Found, find, inParallel, parseId, readIds } from './ids.ts';
import { everything, type Tools, withTools } from './tools.ts';
import { asJson, type Call } from './verb.ts';

export interface Result {
  /** As typed. */
  readonly id: string;
  readonly entryId?: number;
  readonly ok: boolean;
  readonly said: string;
  /** Where its jobs may be: in the drop just made, or in the one that had taken it before. The first that has some. */
  readonly dropIds?: readonly string[];
}

/** Who is at this terminal. Undo and repeats are per account; the audit trail keeps the person. */
export function actor(): Actor {
  let person: string | undefined;
  try {
    person = userInfo().username;
  } catch {} // a container's user without a name
  return { account: 'global', ...(person ? { person } : {}), via: 'cli' };
}

export function dropOn(
  call: Call,
  action: ActionName,
  options: { readonly wait?: boolean; readonly again?: boolean } = {},
): Promise<number> {
  return withTools(call, async (tools) => {
    const asked = await readIds(call);
    const found = await inParallel(asked, async (id) => {
      const uid = parseId(id);
      return uid && (await find(tools.store, uid));
    });
    const results = await drop(tools, action, asked, found, options.again === true);
    const ended = options.wait ? await waitFor(call, tools.store, results) : results;
    report(call, ended);
    if (action !== 'discard' && results.some(({ ok }) => ok) && !(await isServerRunning(tools.store.settings)))
      call.note(`no server is running: it will be ${doneWord[action]} when one starts`);
    return ended.every(({ ok }) => ok) ? 0 : 1;
  });
}

const doneWord: Readonly<Record<ActionName, string>> = {
  release: 'delivered',
  'release-train': 'delivered and learned from',
  spam: 'learned from',
  'not-spam': 'learned from',
  discard: 'discarded',
  restore: 'put back',
};

export function report(call: Call, results: readonly Result[]): void {
  if (call.json)
    call.print(asJson(results.map(({ id, entryId, ok, said }) => ({ id, ...(entryId ? { entryId } : {}), ok, said }))));
  else for (const { id, said } of results) call.print(`${cleanLine(id)}  ${cleanLine(said)}\n`);
}

const chunkSize = 1000;

async function drop(
  { store, config }: Tools,
  action: ActionName,
  asked: readonly string[],
  found: readonly (Found | undefined)[],
  again: boolean,
): Promise<Result[]> {
  const said = new Map<EntryId, Omit<Result, 'id'>>();
  const groups = new Map<ReadableFolder, Map<Uid, Entry>>();
  for (const one of found) {
    if (!one || said.has(one.entry.id)) continue;
    const { entry, stay } = one;
    const refused = refusal(one, action);
    if (refused) said.set(entry.id, { entryId: entry.id, ...refused });
    else if (stay) groups.set(stay.folder, (groups.get(stay.folder) ?? new Map()).set(stay.uid, entry));
  }
  const steps = stepsLearned(action, actor().via, config.training.learn);
  for (const [folder, entries] of groups) {
    const open = store.drops.begin({
      actor: actor(),
      scope: everything,
      folder,
      action,
      mode: 'move',
      undoMs: config.release.undoSeconds * 1000,
      hostname: config.hostname,
      ...(again ? { again } : {}),
      ...(steps ? { steps } : {}),
    });
    const uids = [...entries.keys()].sort((a, b) => a - b);
    for (let at = 0; at < uids.length; at += chunkSize) {
      const last = at + chunkSize >= uids.length;
      const taken = await store.drops.take(open, uids.slice(at, at + chunkSize), { last });
      const note = (uid: Uid, ok: boolean, words: string) => {
        const entry = entries.get(uid);
        if (!entry) return;
        const dropIds = [open.id, ...(entry.dropId ? [entry.dropId] : [])];
        said.set(entry.id, { entryId: entry.id, ok, said: words, dropIds });
      };
      for (const { from } of taken.pairs) note(from, true, queued(action, entries.get(from)));
      for (const { uid, reason } of taken.refused) note(uid, ...refusedWords(action, reason));
      for (const uid of taken.unknown) note(uid, ...goneWords(action, entries.get(uid)));
    }
  }
  return asked.map((id, i): Result => {
    const entry = found[i]?.entry;
    if (!entry) return { id, ok: false, said: parseId(id) ? 'there is no such entry' : 'is no id' };
    return { id, ...(said.get(entry.id) ?? { entryId: entry.id, ok: false, said: 'it is in no folder' }) };
  });
}

/** What can be told without asking the store to do it. */
function refusal({ entry, stay }: Found, action: ActionName): { ok: boolean; said: string } | undefined {
  if (!stay) return { ok: false, said: 'it is in no folder' };
  if (action === 'discard' && entry.state === 'discarded') return { ok: true, said: 'it is in Trash already' };
  if (!stay.open || action === 'restore') return undefined;
  const target = action === 'discard' ? 'trash' : action;
  const meaning = meaningOf(stay.folder, target);
  return meaning.kind === 'refused' ? { ok: false, said: meaning.refusal.text } : undefined;
}

function queued(action: ActionName, entry: Entry | undefined): string {
  if (action === 'discard') return 'discarded';
  if (action === 'spam' || action === 'not-spam')
    return `queued to be learned as ${action === 'spam' ? 'spam' : 'ham'}`;
  return `queued for delivery to ${entry?.recipient || 'nobody'}`;
}

const isRelease = (action: ActionName) => action === 'release' || action === 'release-train';

function refusedWords(action: ActionName, reason: RefusalReason): [ok: boolean, said: string] {
  if (isRelease(action) && (reason === 'released' || reason === 'being-delivered'))
    return [true, 'it is on its way already'];
  if (action === 'discard' && reason === 'discarded') return [true, 'it is in Trash already'];
  return [false, explain([reason], 1)?.text ?? reason];
}

function goneWords(action: ActionName, entry: Entry | undefined): [ok: boolean, said: string] {
  if (isRelease(action) && entry?.state === 'released') return [true, 'it was delivered already'];
  if (isRelease(action) && entry?.state === 'dropped') return [true, 'it is on its way already'];
  return [
    false,
    `it is not held any more, but ${entry?.state ?? 'gone'}${entry?.folder ? `, in ${folderOf(entry.folder).name}` : ''}`,
  ];
}

const pollMs = 200;
const waiting = (job: Job) => job.state === 'ready' || job.state === 'leased';

/**
 * Until the jobs of all results have ended. A job that waits for its next try is told once for each new reason. Without a
 * server nothing would ever end, so then there is no waiting, and nothing counts as done.
 */
async function waitFor(call: Call, store: Store, results: readonly Result[]): Promise<Result[]> {
  const told = new Map<string, string>();
  for (;;) {
    const jobs = new Map<string, Job[]>();
    for (const dropId of new Set(results.flatMap(({ ok, dropIds }) => (ok && dropIds) || [])))
      for (const job of await store.jobs.ofDrop(dropId)) {
        const key = `${dropId} ${job.entryId}`;
        jobs.set(key, [...(jobs.get(key) ?? []), job]);
      }
    const ofResult = ({ ok, entryId, dropIds = [] }: Result): readonly Job[] => {
      const dropId = ok ? dropIds.find((id) => jobs.has(`${id} ${entryId}`)) : undefined;
      return (dropId && jobs.get(`${dropId} ${entryId}`)) || [];
    };
    const open = results.flatMap(ofResult).filter(waiting);
    const gaveUp = open.length > 0 && !(await isServerRunning(store.settings));
    if (open.length === 0 || gaveUp)
      return results.map((result) => {
        const own = ofResult(result);
        if (own.length === 0) return result;
        const said = own.map(
          ({ step, state, outcome }) =>
            `${step} ${waiting({ state } as Job) ? 'waits' : state}${outcome ? `: ${outcome}` : ''}`,
        );
        return { ...result, ok: own.every(({ state }) => state === 'done'), said: said.join('; ') };
      });
    for (const { key, entryId, outcome } of open)
      if (outcome && told.get(key) !== outcome) {
        told.set(key, outcome);
        call.note(`${entryId}  waits: ${cleanLine(outcome)}`);
      }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
