/** `lazaret store backup`: everything in one file, as it is at one moment, while the server runs. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Progress } from './progress.ts';
import { asJson, Failure, type Verb } from './verb.ts';

export const storeBackup: Verb = {
  name: 'store backup',
  summary: 'write everything that the store keeps into one file',
  about:
    'A server may run meanwhile: what is in the file is the store as it was when this began. The file is only there when it ' +
    'is whole. It has all mail and the password hashes in it, and is readable for its owner only. Configuration and ' +
    'certificates are not in it.',
  arguments: [{ name: 'file', help: 'where to write it; never overwrites one' }],
  examples: [['lazaret store backup /var/backups/lazaret-$(date +%F)', 'every night']],
  async run(call) {
    const file = resolve(call.arguments[0] ?? '');
    if (existsSync(file)) throw new Failure(`${file} is there already; nothing was written`);
    const { store: url } = await call.config();
    const [{ withStore, interruptible }, { BackupWriter }, { weightOf, weightOfAll }] = await Promise.all([
      import('./store-open.ts'),
      import('./store-file.ts'),
      import('./store-contents.ts'),
    ]);
    return withStore(url, (store) =>
      interruptible('there is no backup', async (check) => {
        const progress = new Progress('backing up', await weightOfAll(store));
        const writer = await BackupWriter.create(file);
        try {
          for await (const record of store.upkeep.export()) {
            check();
            await writer.record(record, record.kind === 'messages' ? store.messages.read(record.id) : undefined);
            progress.add(weightOf(record));
          }
          await writer.finish();
        } catch (error) {
          await writer.giveUp();
          throw error;
        } finally {
          progress.end();
        }
        const { messages = 0, entries = 0 } = writer.counts;
        if (call.json) call.print(asJson({ file, records: writer.counts }));
        else call.print(`${file}: ${messages} messages, ${entries} entries\n`);
        return 0;
      }),
    );
  },
};
