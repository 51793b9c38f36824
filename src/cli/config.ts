/** `lazaret config init|check|show`: the file to begin with, what is wrong with one, and what is in force. */
import { writeFile } from 'node:fs/promises';
import { asJson, Failure, type Verb } from './verb.ts';

export const configInit: Verb = {
  name: 'config init',
  summary: 'print a commented configuration file with every setting and its default',
  about: 'With FILE it is written there, unless there is one already.',
  arguments: [{ name: 'file', help: 'where to write it instead', optional: true }],
  examples: [
    ['lazaret config init > lazaret.yaml', 'begin a configuration'],
    ['lazaret config init /etc/lazaret/lazaret.yaml', 'the same, never overwriting one'],
  ],
  async run({ arguments: [file], json, print }) {
    const { initialFile } = await import('#app/config/print');
    if (json) {
      const { table } = await import('#app/config/schema');
      const settings = table().flatMap((line) =>
        'about' in line ? [{ key: line.path.join('.'), ...line.about }] : [],
      );
      print(asJson(settings));
    } else if (file) {
      await writeFile(file, initialFile(), { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') throw new Failure(`${file} is there already; nothing was written`);
        throw new Failure(`${file} cannot be written: ${error.code}`, { cause: error });
      });
    } else print(initialFile());
    return 0;
  },
};

export const configCheck: Verb = {
  name: 'config check',
  summary: 'say what is wrong with the configuration',
  about:
    'File and environment are read as a start would read them. Each problem has its line, what was expected and what was found; nothing else is touched.',
  examples: [
    ['lazaret config check --config lazaret.yaml', 'before a restart'],
    ['lazaret config check --json', 'for programs: { "ok": …, "problems": […] }'],
  ],
  async run(call) {
    const { ConfigError } = await import('#app/config/load');
    const file = await call.file();
    try {
      await call.config();
    } catch (error) {
      if (!(error instanceof ConfigError) || !call.json) throw error;
      call.print(asJson({ ok: false, file: file ?? null, problems: error.problems }));
      return 1;
    }
    if (call.json) call.print(asJson({ ok: true, file: file ?? null, problems: [] }));
    else call.print(`${file ?? 'no file, the defaults and the environment'}: nothing is wrong\n`);
    return 0;
  },
};

export const configShow: Verb = {
  name: 'config show',
  summary: 'print the settings in force and where each comes from',
  about:
    'Passwords are hidden. With --json: as the program understood them, paths made absolute, durations in milliseconds.',
  examples: [
    ['lazaret config show', 'each setting with the line of the file, the variable, or "default"'],
    ['lazaret config show --json | jq .imap', 'one part of it, for programs'],
  ],
  async run(call) {
    const { load } = await import('#app/config/load');
    const { shownSettings, withoutSecrets } = await import('#app/config/print');
    const loaded = load({ file: await call.file(), env: call.env });
    call.print(call.json ? asJson(withoutSecrets(loaded.config)) : shownSettings(loaded));
    return 0;
  },
};
