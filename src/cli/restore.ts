/**
 * `lazaret restore`: back to where it came from, out of Trash, or off an action that has not been done yet (which is undo,
 * and only for what this command line or the account `global` dropped).
 */
import type { ActionFolder, Entry, ReadableFolder, Uid } from '#store/model';
import type { Result } from './drop.ts';
import type { Found } from './ids.ts';
import { idArguments } from './ids.ts';
import type { Tools } from './tools.ts';
import type { Verb } from './verb.ts';

export const restore: Verb = {
  name: 'restore',
  summary: 'put messages back into the folder they came from',
  about: 'Out of Trash; or take back a release or a training that `global` ordered, as long as it is not being done.',
  arguments: idArguments,
  examples: [
    ['lazaret restore 17', 'out of Trash'],
    ['lazaret release 17 && lazaret restore 17', 'take a release back within its time'],
  ],
  async run(call) {
    const [{ withTools }, { find, inParallel, parseId, readIds }, { report }] = await Promise.all([
      import('./tools.ts'),
      import('./ids.ts'),
      import('./drop.ts'),
    ]);
    return withTools(call, async (tools) => {
      const asked = await readIds(call);
      const found = await inParallel(asked, async (id) => {
        const uid = parseId(id);
        return uid && (await find(tools.store, uid));
      });
      const done = new Map<number, Omit<Result, 'id'>>();
      for (const one of found)
        if (one && !done.has(one.entry.id))
          done.set(one.entry.id, { entryId: one.entry.id, ...(await putBack(tools, one)) });
      const results = asked.map((id, i): Result => {
        const entry = found[i]?.entry;
        if (entry) return { id, ...(done.get(entry.id) as Omit<Result, 'id'>) };
        return { id, ok: false, said: parseId(id) ? 'there is no such entry' : 'is no id' };
      });
      report(call, results);
      return results.every(({ ok }) => ok) ? 0 : 1;
    });
  },
};

async function putBack({ store, config }: Tools, { entry, stay }: Found): Promise<{ ok: boolean; said: string }> {
  const [{ actor }, { everything }, { folderOf }, { explain }] = await Promise.all([
    import('./drop.ts'),
    import('./tools.ts'),
    import('#app/quarantine/folders'),
    import('#app/quarantine/refusals'),
  ]);
  const back = async (to: Uid | undefined) => {
    const now = await store.entries.get(entry.id);
    return { ok: true, said: `back in ${now?.folder ? folderOf(now.folder).name : 'its folder'}, as UID ${to}` };
  };
  if (entry.place === 'trash' && stay) {
    const drop = store.drops.begin({
      actor: actor(),
      scope: everything,
      folder: 'trash',
      action: 'restore',
      mode: 'move',
      undoMs: 0,
      hostname: config.hostname,
    });
    const taken = await store.drops.take(drop, [stay.uid], { last: true, restoreTo: homeOf(entry) });
    if (taken.pairs.length > 0) return back(taken.pairs[0]?.to);
    const reason = taken.refused[0]?.reason;
    return { ok: false, said: (reason && explain([reason], 1)?.text) ?? 'it is not in Trash any more' };
  }
  if (entry.state === 'held' && stay?.open) return { ok: true, said: `it is in ${folderOf(stay.folder).name}` };
  const history = await store.entries.history(entry.id);
  const there = history?.stays.findLast(({ folder }) => actions.includes(folder));
  if (entry.state !== 'dropped' || !there)
    return { ok: false, said: `it is ${entry.state}, which cannot be taken back` };
  const taken = await store.drops.undo(actor(), everything, there.folder, [{ first: there.uid, last: there.uid }]);
  if (taken.pairs.length > 0) return back(taken.pairs[0]?.to);
  if (taken.refused.length > 0) return { ok: false, said: 'it was already on its way' };
  const by = history?.drops.find(({ id }) => id === entry.dropId)?.actor.account;
  return { ok: false, said: `it was dropped by ${by ?? 'another account'}, which alone can take it back` };
}

/** Where it was put at its arrival; fixed by then. */
const homeOf = (entry: Entry): ReadableFolder =>
  entry.class === 'training' ? 'training' : entry.direction === 'outgoing' ? 'outgoing' : 'caught';

const actions: readonly string[] = ['release', 'release-train', 'spam', 'not-spam'] satisfies ActionFolder[];
