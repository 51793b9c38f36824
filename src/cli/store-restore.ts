/** `lazaret store restore`: a backup becomes the store of these settings. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import type { NumbersRecord } from '#store/records';
import { Progress } from './progress.ts';
import { asJson, Failure, type Verb } from './verb.ts';

/** Octets of a message that may wait for its turn in memory. */
const small = 64 * 1024;
/** What a held message says that came back this way. */
const status = 'restored from a backup made while it was being released; it may have been delivered already';

export const storeRestore: Verb = {
  name: 'store restore',
  summary: 'make the store anew from a backup',
  about:
    'The file is read and verified to its end before anything is written. The store of these settings must not be there, or ' +
    'be empty: move the old one away. Mail clients load their folders anew (UIDVALIDITY is another one). What the server ' +
    'went on to do after the backup is not known, so nothing is done twice by itself: what was being released is held again ' +
    'and says that it may have been delivered already; what was to be learned waits for `lazaret training retry`. Can be ' +
    'interrupted and run again.',
  arguments: [{ name: 'file', help: 'written by `store backup`' }],
  examples: [
    ['lazaret store restore /var/backups/lazaret-2026-11-24', 'with the server stopped and the old store moved away'],
  ],
  async run(call) {
    const file = resolve(call.arguments[0] ?? '');
    const octets = statSync(file, { throwIfNoEntry: false })?.size;
    if (octets === undefined) throw new Failure(`There is no file ${file}`);
    const { store: url } = await call.config();
    const [
      { withNewStore, interruptible },
      { readBackup },
      { Pouring },
      { Restoring },
      { uidValidityAfter },
      { renderPrefix },
      { weightOf },
    ] = await Promise.all([
      import('./store-open.ts'),
      import('./store-file.ts'),
      import('./store-pour.ts'),
      import('#store/restored'),
      import('#store/records'),
      import('#app/quarantine/prefix'),
      import('./store-contents.ts'),
    ]);
    return interruptible('run the same again', async (check) => {
      let numbers: NumbersRecord | undefined;
      const verifying = new Progress('verifying', octets);
      for await (const { record } of readBackup(file)) {
        check();
        verifying.add(weightOf(record));
        if (record.kind === 'numbers') numbers = record;
      }
      verifying.end();
      if (!numbers) throw new Failure(`${file} has no numbers in it; it cannot be restored`);
      const uidValidity = uidValidityAfter(numbers.uidValidity, Date.now());
      const restoring = new Restoring({
        numbers,
        now: Date.now(),
        prefixOf: ({ verdict }) => renderPrefix({ verdict, status }),
      });
      await withNewStore(url, async (store) => {
        const into = await store.upkeep.beginImport();
        const pouring = new Pouring(into);
        const progress = new Progress('restoring', octets);
        for await (const { record, octets } of readBackup(file)) {
          check();
          // Octets come out of the file one message after the other; small ones are kept several at once.
          if (record.kind === 'messages' && record.size > small) await into.message(record, () => octets);
          else if (record.kind === 'messages') {
            const whole: Uint8Array[] = [];
            for await (const piece of octets) whole.push(Buffer.from(piece));
            await pouring.message(
              record,
              () => Readable.from(whole),
              () => {},
            );
          } else for (const each of restoring.record(record)) await pouring.fact(each);
          progress.add(weightOf(record));
        }
        await pouring.flush();
        progress.end();
        await into.finish({ uidValidity });
      });
      const { heldAgain, untrained } = restoring;
      if (call.json) call.print(asJson({ uidValidity, heldAgain, untrained }));
      else {
        call.print(`restored ${file}\n`);
        if (heldAgain > 0) call.note(`${heldAgain} that were being released are held again ($ReleaseFailed)`);
        if (untrained > 0) call.note(`${untrained} were to be learned from; "lazaret training retry" does that`);
      }
      return 0;
    });
  },
};
