/** From one store into another, then both compared. The verb decides whether that is the end of it. */
import { isServerRunning } from '#app/lib/heartbeat';
import type { Store } from '#store/port';
import type { FactRecord } from '#store/records';
import { Renumbering } from '#store/renumbered';
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

/**
 * `check` throws when somebody wants it to stop. With `renumbering`, the source counts as what it makes of it.
 * @throws StoreRefused  the source got more while its numbers were read
 */
export async function copy(from: Store, to: Store, check: () => void, renumbering?: Renumbering): Promise<Copied> {
  if (renumbering) await noteNumbers(from, renumbering, check);
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
      for (const each of renumbering?.record(record) ?? [record]) {
        contents.add(each);
        await pouring.fact(each);
      }
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

async function noteNumbers(from: Store, renumbering: Renumbering, check: () => void): Promise<void> {
  const { records } = await from.upkeep.count();
  const progress = new Progress(
    'reading numbers',
    Renumbering.noted.reduce((sum, kind) => sum + records[kind], 0),
  );
  try {
    for await (const record of from.upkeep.export(Renumbering.noted)) {
      check();
      renumbering.note(record as FactRecord);
      progress.add(1);
    }
  } finally {
    progress.end();
  }
}

/** Jobs may be done without a new mod-sequence, so a server that runs is a change by itself. */
async function changeOf(from: Store, copiedTo: number): Promise<string | undefined> {
  if ((await from.changes.end()) !== copiedTo) return 'What was copied has changed meanwhile';
  if (await isServerRunning(from.settings)) return 'A server is working on what was copied';
  return undefined;
}
