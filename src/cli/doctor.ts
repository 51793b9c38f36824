/** `lazaret doctor`: what is wrong with this installation, and what to do about it. */
import type { Finding } from '#app/doctor/finding';
import { cleanLine } from '#app/lib/terminal';
import { asJson, type Call, Failure, UsageError, type Verb } from './verb.ts';

export const doctor: Verb = {
  name: 'doctor',
  summary: 'look whether all parts work together, with a message on its whole way',
  about:
    'For a running server, with its settings: store, listeners, certificates, next hops, those who learn, folders. Then, with ' +
    '--to or the setting `doctor.probe`, a message is handed over to each listener, looked for over IMAP, released and ' +
    'delivered to that mailbox; with --train, learned from as ham and, by SpamAssassin, forgotten again. It makes an account ' +
    'for itself meanwhile, cleans up behind itself, and touches no other mail. Exit code 1: something is at fault.',
  options: [
    { flags: '--to <address>', help: 'a mailbox of ours that may get a message (else doctor.probe)' },
    { flags: '--train', help: 'have the message learned from, too' },
    { flags: '--wait <time>', help: 'so long a delivery may take (30s)' },
  ],
  examples: [
    ['lazaret doctor', 'looks at everything that can be looked at without a message'],
    ['lazaret doctor --to postmaster@harbour.example', 'the whole way, to that mailbox'],
    ['lazaret doctor --json', 'for a monitoring system'],
  ],
  async run(call) {
    const [{ load }, file] = await Promise.all([import('#app/config/load'), call.file()]);
    const { config, written } = load({ file, env: call.env });
    const [{ parseDuration }, { openTools }, { visit }] = await Promise.all([
      import('#app/config/kinds'),
      import('#app/assemble'),
      import('#app/doctor/run'),
    ]);
    const typed = call.text('wait');
    const waitMs = typed === undefined ? 30_000 : parseDuration(typed);
    if (waitMs === undefined || waitMs > 3_600_000)
      throw new UsageError(`--wait: expected a time like 30s or 5m, up to 1h, found "${typed}"`);
    const findings: Finding[] = [];
    const report = (finding: Finding) => {
      findings.push(finding);
      if (!call.json) tell(call, finding);
    };
    const tools = await openTools(config).catch((error: unknown) => {
      report({
        check: 'store',
        state: 'fault',
        said: error instanceof Error ? error.message : String(error),
        todo: 'see to the store first: nothing works without it',
      });
    });
    if (tools)
      try {
        const to = call.text('to') ?? config.doctor.probe;
        if (to !== undefined && !(to.includes('@') && tools.book.isOurs(to)))
          throw new Failure(`${to} is no address of ours: the message would be nobody's to see`);
        await visit({ ...tools, config, to, token: tokenIn(written), train: call.flag('train'), waitMs, report });
      } finally {
        await tools.close();
      }
    const faults = findings.filter(({ state }) => state === 'fault').length;
    const warnings = findings.filter(({ state }) => state === 'warning').length;
    if (call.json) call.print(asJson({ well: faults === 0, findings }));
    else call.print(faults + warnings === 0 ? 'All is well.\n' : `${faults} faults, ${warnings} warnings\n`);
    return faults === 0 ? 0 : 1;
  },
};

/** The settings that the program runs with have digests only; the file may hold a token itself. */
function tokenIn({ intake }: { readonly [group: string]: unknown }): string | undefined {
  const tokens = (intake as { readonly tokens?: unknown } | undefined)?.tokens;
  for (const each of Array.isArray(tokens) ? tokens : []) {
    const token: unknown = typeof each === 'object' && each !== null ? (each as { token?: unknown }).token : each;
    if (typeof token === 'string' && !/^sha256:/i.test(token)) return token;
  }
  return undefined;
}

const marks: Readonly<Record<Finding['state'], string>> = {
  ok: 'ok     ',
  warning: 'WARNING',
  fault: 'FAULT  ',
  skipped: 'skipped',
};

function tell(call: Call, { check, what, state, said, todo }: Finding): void {
  call.print(`${marks[state]}  ${check}${what ? ` ${cleanLine(what)}` : ''}: ${cleanLine(said)}\n`);
  if (todo) call.print(`         -> ${cleanLine(todo)}\n`);
}
