/** `lazaret demo`: the whole product on loopback, with mail to play with. */
import { stopSignal } from './stop-signal.ts';
import { UsageError, type Verb } from './verb.ts';

export const demo: Verb = {
  name: 'demo',
  summary: 'run a server on this machine with mail to play with',
  about:
    'Listens on 127.0.0.1 (IMAP 1143 and 1993, LMTP 2524, SMTP 2525, or the next free ports), makes a certificate, two\n' +
    'domains and four logins, hands more than sixty messages over to itself, and one more every 30 seconds. Prints what to\n' +
    'type into a mail client, and a line for each thing that happens. Released mail goes to files. Ctrl-C ends it.',
  options: [
    { flags: '--data <folder>', help: 'keep everything there and go on with it next time; else a temporary folder' },
  ],
  examples: [
    ['lazaret demo', 'in a fresh temporary folder'],
    ['lazaret demo --data ./demo-data', 'in a folder that is used again by the next run'],
  ],
  async run(call) {
    if (call.arguments.length > 0) throw new UsageError('demo takes no arguments');
    const data = call.text('data');
    if (call.text('config')) call.note('the demo has settings of its own: --config is not read');
    const [{ startDemo }, { createLogger }, { version }] = await Promise.all([
      import('#app/demo/run'),
      import('#app/observe/logger'),
      import('./program.ts'),
    ]);
    const asked = stopSignal();
    const running = await startDemo({
      ...(data ? { data } : {}),
      version,
      log: createLogger({ level: 'warn', format: 'text' }),
      print: (text) => call.print(`${text}\n`),
      json: call.json,
      everyMs: 30_000,
    });
    await asked;
    call.note('Stopping');
    await running.stop();
    return 0;
  },
};
