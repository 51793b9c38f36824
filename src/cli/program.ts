/** Verbs as commander's commands: arguments, options, help with examples, exit codes. */
import { createRequire } from 'node:module';
import { Command, CommanderError, Option } from 'commander';
import { cleanLine } from '#app/lib/terminal';
import { type Call, Failure, UsageError, type Verb } from './verb.ts';
import { verbs } from './verbs.ts';

export const version = (createRequire(import.meta.url)('#package') as { version: string }).version;

const groups: Readonly<Record<string, string>> = {
  'training-requested': 'for whom copies of delivered mail are kept',
  config: 'Settings: print, check, show',
  account: 'Who may log in',
  training: 'What is learned from',
  store: 'The store as a whole: copy, back up, restore, check',
};

export interface Io {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: NodeJS.ReadableStream;
  out(text: string): void;
  err(text: string): void;
}

/** Runs what was typed behind the program's name. Answers the exit code: 0 done, 1 not (all) done, 2 not understood. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  let code = 0;
  const program = buildProgram(io, (exitCode) => {
    code = exitCode;
  });
  try {
    // `help account add` is `account add --help`: commander's own help knows one word only.
    const typed = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv;
    await program.parseAsync(typed, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) {
      const verb = verbs.find(({ name }) => `${argv.join(' ')} `.startsWith(`${name} `));
      io.err(`lazaret: ${cleanLine(error.message)}\n${helpOf(verb)}\n`);
      return 2;
    }
    io.err(`${sentence(error)}\n`);
    return 1;
  }
}

export function buildProgram(io: Io, done: (code: number) => void): Command {
  const program = base(new Command('lazaret'), io)
    .description('A quarantine for mail, used from the mail client people already have')
    .version(version, '-V, --version', 'print the version')
    .usage('VERB [options]')
    .helpCommand('help [verb]', 'explain a verb, with examples')
    .addHelpText('after', '\n`lazaret help VERB` explains a verb, with examples.');
  const parents = new Map<string, Command>();
  for (const verb of verbs) {
    const [first = '', second] = verb.name.split(' ');
    let parent = program;
    if (second) {
      parent =
        parents.get(first) ??
        base(program.command(first), io)
          .description(groups[first] ?? '')
          .usage('VERB [options]')
          .helpCommand('help [verb]', 'explain a verb, with examples');
      parents.set(first, parent);
    }
    addVerb(parent, verb, io, done);
  }
  return program;
}

const base = (command: Command, io: Io): Command =>
  command
    .exitOverride()
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      outputError: (text, write) => write(text.replace(/^error:/, 'lazaret:')),
    })
    .showSuggestionAfterError()
    .showHelpAfterError(helpOf());

const helpOf = (verb?: Verb) => `lazaret help${verb ? ` ${verb.name}` : ''} says more.`;

function addVerb(parent: Command, verb: Verb, io: Io, done: (code: number) => void): void {
  const command = base(parent.command(verb.name.split(' ').at(-1) as string), io)
    .summary(verb.summary)
    .description(verb.about ? `${verb.summary}\n\n${verb.about}` : verb.summary)
    .showHelpAfterError(helpOf(verb))
    .allowExcessArguments(false);
  for (const { name, help, optional, many } of verb.arguments ?? []) {
    const inner = `${name}${many ? '...' : ''}`;
    command.argument(optional ? `[${inner}]` : `<${inner}>`, help);
  }
  for (const { flags, help, many, choices, filled } of verb.options ?? []) {
    const option = new Option(flags, choices ? `${help} (${choices.join(', ')})` : help);
    if (choices) option.argParser((value) => choice(value, flags, choices));
    if (filled) option.argParser((value) => notEmpty(value, flags));
    if (many) option.argParser((value, before: string[] | undefined) => [...(before ?? []), value]);
    command.addOption(option);
  }
  command.option(
    '--config <file>',
    'the configuration file (else LAZARET_CONFIG, ./lazaret.yaml, /etc/lazaret/lazaret.yaml)',
  );
  command.option('--json', 'print JSON, for programs');
  command.addHelpText('after', `\nExamples:\n${examples(verb)}`);
  command.action(async () => {
    done(await verb.run(callOf(command, io)));
  });
}

const examples = (verb: Verb): string =>
  verb.examples.map(([line, meaning]) => `  # ${meaning}\n  $ ${line}`).join('\n');

function choice(value: string, flags: string, choices: readonly string[]): string {
  if (value.trim() !== '' && !choices.includes(value))
    throw new UsageError(`${flags.split(' ')[0]}: expected one of ${choices.join(', ')}, found "${value}"`);
  return value;
}

function notEmpty(value: string, flags: string): string {
  if (value.trim() === '') throw new UsageError(`${flags.split(' ')[0]}: expected a value, found ""`);
  return value;
}

function callOf(command: Command, io: Io): Call {
  const options: Record<string, unknown> = command.opts();
  const key = (name: string) => name.replace(/-([a-z])/g, (_, c: string) => c.toUpperCase());
  const text = (name: string) => {
    const value = options[key(name)];
    return typeof value === 'string' && value.trim() !== '' ? value : undefined;
  };
  const file = async () => {
    const { findConfig } = await import('#app/config/load');
    return findConfig(text('config'), io.env);
  };
  return {
    arguments: command.args,
    text,
    texts(name) {
      const value = options[key(name)];
      return Array.isArray(value)
        ? value.filter((item): item is string => typeof item === 'string' && item.trim() !== '')
        : [];
    },
    flag: (name) => options[key(name)] === true,
    json: options.json === true,
    env: io.env,
    stdin: io.stdin,
    file,
    async config() {
      const { loadConfig } = await import('#app/config/load');
      return loadConfig({ file: await file(), env: io.env });
    },
    print: io.out,
    note: (line) => io.err(`${line}\n`),
  };
}

/** Whatever went wrong, for a person. What we did not expect keeps its stack: somebody has to look for it. */
function sentence(error: unknown): string {
  if (!(error instanceof Error)) return `lazaret: ${String(error)}`;
  const { code, address, port, syscall } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (error.name === 'ConfigError') return error.message.split('\n').map(cleanLine).join('\n');
  if (syscall === 'listen') return `lazaret: cannot listen on ${address}:${port}: ${listenReason(code)}`;
  if (error instanceof Failure || error.name === 'TlsError' || 'temporary' in error)
    return `lazaret: ${cleanLine(error.message)}`;
  return `lazaret: ${error.stack ?? error.message}`;
}

function listenReason(code: string | undefined): string {
  if (code === 'EADDRINUSE') return 'something listens there already; end it, or set another port';
  if (code === 'EACCES') return 'ports below 1024 need a privilege (CAP_NET_BIND_SERVICE) or another setting';
  if (code === 'EADDRNOTAVAIL') return 'this machine has no such address';
  return code ?? 'unknown reason';
}
