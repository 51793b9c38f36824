/** Folders that the role `intake` takes mail out of (`intake.watch`). */
import type { Handling } from '#app/files/hand-over';
import { handOver } from '#app/files/hand-over';
import { type Afterwards, FolderWatch } from '#app/files/watch';
import { admitMessage } from '#app/ingest/admit';
import type { FilterSetting } from '#app/ingest/block';
import type { Ground } from './ground.ts';

export function buildWatches({ config, store, admission, log }: Ground): readonly FolderWatch[] {
  const { watch, maxMessageBytes } = config.intake;
  return watch.map(({ folder, rcpt, rcptField, filter, direction, done, delete: deletes, every, settle }) => {
    const how: Handling<FilterSetting> = {
      recipients: rcpt,
      recipientField: rcptField,
      filter: filter ?? 'auto',
      direction: direction ?? 'auto',
      maxMessageBytes,
    };
    const afterwards: Afterwards =
      done !== undefined ? { kind: 'move', to: done } : { kind: deletes ? 'delete' : 'keep' };
    return new FolderWatch({
      folder,
      afterwards,
      everyMs: every,
      settleMs: settle,
      marks: store.settings,
      take: async (mail) => {
        const admitted = await admitMessage(admission, handOver(mail, how));
        return admitted.some(({ how }) => how !== 'repeat');
      },
      log,
    });
  });
}
