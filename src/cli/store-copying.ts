/** From one store into another, then both compared. The verb decides whether that is the end of it. */
import { isServerRunning } from '#app/lib/heartbeat';
import type { Store } from '#store/port';
import { Progress } from './progress.ts';
import { Contents, contentsOf, hashing, weightOf, weightOfAll } from './store-contents.ts';
import { Pouring } from './store-pour.ts';

export interface Copied {
  readonly source: Contents;
  readonly target: Contents;
  /** Why the source may have more by now, in words. */
  readonly changed: string | undefined;
  /** The target can be used from then on. */
  finish(): Promise<void>;
}

/** `check` throws when somebody wants it to stop. */
export async function copy(from: Store, to: Store, check: () => void): Promise<Copied> {
  const weight = await weightOfAll(from);
  const into = await to.upkeep.beginImport();
  const pouring = new Pouring(into);
  const contents = new Contents();
  const copying = new Progress('copying', weight);
  let copiedTo = 0;
  try {
    for await (const record of from.upkeep.export()) {
      check();
      if (record.kind === 'messages') {
        let sha256 = '';
        const octets = () =>
          hashing(from.messages.read(record.id), (hash) => {
            sha256 = hash;
          });
        await pouring.message(record, octets, async (how) => {
          if (how === 'there') for await (const _ of octets()); // nobody has read them
          contents.add(record, sha256);
          copying.add(weightOf(record));
        });
        continue;
      }
      if (record.kind === 'numbers') copiedTo = record.lastModSeq;
      contents.add(record);
      await pouring.fact(record);
      copying.add(weightOf(record));
    }
    await pouring.flush();
  } finally {
    copying.end();
  }
  const comparing = new Progress('comparing', weight);
  try {
    const target = await contentsOf(to, (octets) => {
      check();
      comparing.add(octets);
    });
    return { source: contents, target, changed: await changeOf(from, copiedTo), finish: () => into.finish() };
  } finally {
    comparing.end();
  }
}

/** Jobs may be done without a new mod-sequence, so a server that runs is a change by itself. */
async function changeOf(from: Store, copiedTo: number): Promise<string | undefined> {
  if ((await from.changes.end()) !== copiedTo) return 'What was copied has changed meanwhile';
  if (await isServerRunning(from.settings)) return 'A server is working on what was copied';
  return undefined;
}
