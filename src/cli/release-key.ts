/** `lazaret release-key`: the key by which a filter knows a release (docs/release.md). */
import { asJson, Failure, type Verb } from './verb.ts';

export const releaseKey: Verb = {
  name: 'release-key',
  summary: 'print the key by which a filter lets released mail through',
  about:
    'Lazaret signs each release with it (X-Lazaret-Release). Whoever has it can send mail past the filter: keep it as you keep ' +
    'a password, and give it to the filter only.',
  options: [
    { flags: '--file <path>', help: 'into this new file, which only its owner may read', filled: true },
    { flags: '--new', help: 'make a new key first, because the old one is known to others' },
  ],
  examples: [
    ['lazaret release-key --file /etc/rspamd/lazaret-release.key', 'for the rule of docs/release.md'],
    ['lazaret release-key', '64 hex digits'],
    ['lazaret release-key --new', 'then restart Lazaret, and give it to the filters'],
  ],
  async run(call) {
    const file = call.text('file');
    const [{ withTools }, { open }, { randomBytes }] = await Promise.all([
      import('./tools.ts'),
      import('node:fs/promises'),
      import('node:crypto'),
    ]);
    return withTools(call, async ({ store, releaseKey: old }) => {
      const keyToGive = async (): Promise<string> => {
        const key = call.flag('new') ? randomBytes(32) : old;
        if (key !== old) {
          await store.settings.put('releaseKey', key);
          call.note('a server that runs signs with the old key until it is started again');
        }
        return Buffer.from(key).toString('hex');
      };
      if (file === undefined) {
        const key = await keyToGive();
        call.print(call.json ? asJson({ key }) : `${key}\n`);
        return 0;
      }
      const handle = await open(file, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
        const exists = error.code === 'EEXIST';
        throw new Failure(exists ? `${file} is there already; remove it first` : `${file}: ${error.message}`);
      });
      try {
        await handle.writeFile(`${await keyToGive()}\n`);
      } finally {
        await handle.close();
      }
      if (call.json) call.print(asJson({ file }));
      else call.print(`${file}\n`);
      return 0;
    });
  },
};
