/** `lazaret watch`: takes mail out of folders as it comes in, as the setting `intake.watch` has a server do. */
import { handlingIn, handlingOptions } from './mail-source.ts';
import { asJson, Failure, UsageError, type Verb } from './verb.ts';

export const watch: Verb = {
  name: 'watch',
  summary: 'import mail from folders as it comes in',
  about:
    'Takes each file once, when it is complete: in a Maildir at once, elsewhere when it has not changed for --settle and nobody ' +
    'has it open. Files stay where they are, unless --done or --delete say otherwise. What is no mail is told once and left. ' +
    'Ends at Ctrl-C and SIGTERM, between two messages; killed and started again, it takes nothing twice. A server does the same ' +
    'for the folders of the setting `intake.watch`.',
  arguments: [{ name: 'folder', help: 'a folder; the folders in it as well', many: true }],
  options: [
    ...handlingOptions,
    { flags: '--done <folder>', help: 'move files there when their mail is kept' },
    { flags: '--delete', help: 'delete files when their mail is kept' },
    { flags: '--settle <time>', help: 'a file unchanged for so long is complete (5s)' },
    { flags: '--every <time>', help: 'look at least so often, whatever the system tells (30s)' },
    { flags: '--once', help: 'take what is there, and end' },
  ],
  examples: [
    ['lazaret watch /var/lib/amavis/virusmails --filter amavis', "amavis' folder"],
    ['lazaret watch /srv/spam-maildir --rcpt-field Delivered-To --delete', 'a Maildir that something delivers to'],
    ['lazaret watch /srv/in --rcpt ada@harbour.example --done /srv/done --once', 'from cron'],
  ],
  async run(call) {
    const done = call.text('done');
    if (done !== undefined && call.flag('delete')) throw new UsageError('--done and --delete: give one of them');
    const [
      handling,
      { parseDuration },
      { withTools },
      { FolderWatch },
      { handOver },
      { createLogger },
      { stopSignal },
    ] = await Promise.all([
      handlingIn(call),
      import('#app/config/kinds'),
      import('./tools.ts'),
      import('#app/files/watch'),
      import('#app/files/hand-over'),
      import('#app/observe/logger'),
      import('./stop-signal.ts'),
    ]);
    const time = (name: string, otherwise: number) => {
      const text = call.text(name);
      const ms = text === undefined ? otherwise : parseDuration(text);
      if (ms === undefined || ms > 86_400_000)
        throw new UsageError(`--${name}: expected a time like 30s or 10m, up to 1d, found "${text}"`);
      return ms;
    };
    const everyMs = Math.max(1000, time('every', 30_000));
    const settleMs = time('settle', 5_000);
    return withTools(call, async ({ admit, store, config }) => {
      const log = createLogger(call.json ? { ...config.log, format: 'json' } : config.log);
      const watches = call.arguments.map(
        (folder) =>
          new FolderWatch({
            folder,
            afterwards:
              done === undefined ? { kind: call.flag('delete') ? 'delete' : 'keep' } : { kind: 'move', to: done },
            everyMs,
            settleMs,
            marks: store.settings,
            take: async (mail) => (await admit(handOver(mail, handling))).some(({ how }) => how !== 'repeat'),
            log,
          }),
      );
      if (call.flag('once')) {
        const sum = { taken: 0, known: 0, bad: 0 };
        for (const each of watches)
          for (;;) {
            const look = await each.look().catch(cannotLook);
            for (const key of ['taken', 'known', 'bad'] as const) sum[key] += look[key];
            if (look.waiting === 0) break;
            await new Promise((resolve) => setTimeout(resolve, Math.max(100, settleMs)));
          }
        for (const each of watches) await each.stop();
        call.print(call.json ? asJson(sum) : `taken ${sum.taken}, already there ${sum.known}, bad ${sum.bad}\n`);
        return sum.bad === 0 ? 0 : 1;
      }
      const asked = stopSignal();
      for (const each of watches) await each.look().catch(cannotLook);
      for (const each of watches) each.start();
      log.info({ folders: call.arguments }, 'watching');
      const signal = await asked;
      log.info({ signal }, 'stopping');
      await Promise.all(watches.map((each) => each.stop()));
      log.flush();
      return 0;
    });
  },
};

function cannotLook(error: NodeJS.ErrnoException): never {
  if (typeof error.syscall !== 'string') throw error;
  const reason = error.code === 'ENOENT' ? 'there is no such folder' : (error.code ?? error.message);
  throw new Failure(`${error.path ?? 'a folder'} cannot be watched: ${reason}`, { cause: error });
}
