/**
 * From a file and the environment to the settings the program runs with. Whatever is wrong stops it, all of it at once:
 * file, line, what was expected, what was found.
 */
import { existsSync, readFileSync } from 'node:fs';
import { hostname as machineName } from 'node:os';
import { dirname, relative, resolve } from 'node:path';
import type * as z from 'zod';
import { check } from './checks.ts';
import { isSecretName, parseDomain, withoutPasswords } from './kinds.ts';
import { ConfigError, closest, type Problem } from './problem.ts';
import { type Config, type ListenerFacts, type Parsed, schema, table } from './schema.ts';
import { type Path, plain, readYaml, type Sources, type Tree, withEnvironment } from './sources.ts';
import { settingsOfTrainer, type TrainerSettings } from './trainers.ts';
import { settingsOfWatched } from './watched.ts';

export { ConfigError } from './problem.ts';

/** Where a configuration lies when nobody says so. */
export const usualFiles = ['./lazaret.yaml', '/etc/lazaret/lazaret.yaml'];

/** `--config`, then LAZARET_CONFIG, then the usual places. Nothing anywhere: the defaults and the environment. */
export function findConfig(option: string | undefined, env: NodeJS.ProcessEnv): string | undefined {
  return option || env.LAZARET_CONFIG || usualFiles.find((file) => existsSync(file));
}

export interface Loaded {
  readonly config: Config;
  /** As written, defaults filled in; for people. Passwords are in it. */
  readonly written: Tree;
  /** Settings that stand in the file or the environment → where. */
  readonly places: ReadonlyMap<string, string>;
}

/** @throws ConfigError */
export function loadConfig(from: { readonly file?: string | undefined; readonly env: NodeJS.ProcessEnv }): Config {
  return load(from).config;
}

/** The same with what `config show` needs. @throws ConfigError */
export function load(from: { readonly file?: string | undefined; readonly env: NodeJS.ProcessEnv }): Loaded {
  const below = from.file === undefined ? plain({}) : readYaml(readText(from.file), nameOf(from.file));
  const folder = from.file === undefined ? process.cwd() : dirname(resolve(from.file));
  return understand(withEnvironment(below, from.env), folder);
}

/** Settings made by a program (tests, the demo), in the form of the file. Relative paths count from `folder`. */
export function configFrom(tree: Tree, folder: string = process.cwd()): Config {
  return understand(plain(tree), folder).config;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError([{ place: file, text: `cannot be read: ${reasonOf(error)}` }]);
  }
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'EISDIR') return 'it is a folder';
  return String((error as Error).message);
}

function nameOf(file: string): string {
  const near = relative(process.cwd(), file);
  return near.startsWith('..') || near === '' ? file : near;
}

function understand(sources: Sources, folder: string): Loaded {
  const tree = withoutNulls(sources.tree);
  const problems: Problem[] = [];
  const report = (path: Path, text: string) =>
    problems.push({ place: sources.place(path), text: withoutPasswords(text) });
  for (const key of Object.keys(tree)) if (!Object.hasOwn(schema.shape, key)) report([key], unknown([], key, tree));
  const parsed: Partial<Record<string, unknown>> = {};
  for (const [key, type] of Object.entries(schema.shape)) {
    const result = type.safeParse(tree[key]);
    if (result.success) parsed[key] = result.data;
    else for (const issue of result.error.issues) explain(issue, [key], tree, report);
  }
  check(parsed as Partial<Parsed>, report);
  const { tls, roles = [] } = parsed as Partial<Parsed>;
  // Nodes may share one file of settings: only those that show a certificate need to have it.
  if (showsCertificate(parsed as Partial<Parsed>))
    for (const part of ['cert', 'key'] as const) {
      const file = tls?.[part] && resolve(folder, tls[part]);
      if (file && !existsSync(file)) report(['tls', part], `tls.${part}: there is no file ${file}`);
    }
  if (roles.includes('worker'))
    for (const [i, trainer] of (parsed as Partial<Parsed>).training?.trainers.entries() ?? []) {
      const file = trainer.type === 'webhook' && trainer.ca !== undefined && resolve(folder, trainer.ca);
      if (file && !existsSync(file))
        report(['training', 'trainers', i, 'ca'], `training.trainers[${i + 1}].ca: there is no file ${file}`);
    }
  if (problems.length > 0) throw new ConfigError(inOrder(problems));
  return {
    config: finished(parsed as Parsed, folder),
    written: writtenOut(tree),
    places: placesOf(tree, sources),
  };
}

/** Has this process a listener for which there must be a certificate? */
export function showsCertificate(config: Partial<Pick<Parsed, 'roles' | 'api'>> & SomeIntake): boolean {
  return (config.roles?.includes('imap') ?? false) || showsHttps(config);
}

/** To anybody but mail clients. */
export function showsHttps({ roles = [], intake, api }: Partial<Pick<Parsed, 'roles' | 'api'>> & SomeIntake): boolean {
  if (api?.listen.some(({ tls }) => tls)) return true;
  return roles.includes('intake') && (intake?.http.some((at) => ('listen' in at ? at.listen : at).tls) ?? false);
}
/** As parsed, or as the program has it. */
type SomeIntake = { intake?: { http: readonly ({ tls: boolean } | { listen: { tls: boolean } })[] } | undefined };

/** As one reads a file: by line. */
function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const line = ({ place }: Problem) => Number(/:(\d+)$/.exec(place)?.[1] ?? 0);
  return problems.toSorted((a, b) => line(a) - line(b));
}

/** An empty value is an absent one. */
function withoutNulls(tree: Tree): Tree {
  const full: Tree = {};
  for (const [key, value] of Object.entries(tree)) {
    if (value === null || value === undefined || value === '') continue;
    const isGroup = typeof value === 'object' && !Array.isArray(value) && key !== 'domains' && key !== 'aliases';
    full[key] = isGroup ? withoutNulls(value as Tree) : value;
  }
  return full;
}

function explain(issue: z.core.$ZodIssue, above: Path, tree: Tree, report: (path: Path, text: string) => void): void {
  const path = [...above, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) report([...path, key], unknown(path, key, tree));
    return;
  }
  const { found, known } = valueAt(tree, path);
  const hidden = found !== undefined && known.some(isSecretName);
  report(known, `${nameOfPath(known)}: expected ${issue.message}, found ${hidden ? 'something else' : shown(found)}`);
}

/** The value at a path; a listener written as text has no parts, so it stands for them. */
function valueAt(tree: unknown, path: Path): { readonly found: unknown; readonly known: Path } {
  let found = tree;
  for (const [i, part] of path.entries()) {
    if (typeof found !== 'object' || found === null) return { found, known: path.slice(0, i) };
    found = (found as Record<PropertyKey, unknown>)[part];
  }
  return { found, known: path };
}

const nameOfPath = (path: Path) =>
  path.map((part, i) => (typeof part === 'number' ? `[${part + 1}]` : `${i > 0 ? '.' : ''}${String(part)}`)).join('');

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value, (name, inner) => (isSecretName(name) ? '***' : inner));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function innerOfTrainer(path: Path, tree: Tree): readonly string[] {
  if (path.at(-1) === 'fuzzy') return ['spamFlag', 'hamFlag', 'weight'];
  return settingsOfTrainer(valueAt(tree, [...path, 'type']).found);
}

function unknown(above: Path, key: string, tree: Tree): string {
  const prefix = nameOfPath(above);
  if (prefix === 'training' && ['spam', 'ham', 'timeout'].includes(key))
    return `training.${key}: unknown setting; a command is now written training.trainers: [{ type: command, spam: […], ham: […] }]`;
  const inner =
    above[0] === 'domains'
      ? ['aliases', 'nextHop', 'sender']
      : above[0] === 'training'
        ? innerOfTrainer(above, tree)
        : above[0] === 'intake' && above[1] === 'watch'
          ? settingsOfWatched
          : above.length > 2
            ? ['listen', 'direction', 'filter', 'also', 'disposition', 'class']
            : [];
  const paths = [...table().map(({ path }) => path.join('.')), ...inner.map((name) => `${prefix}.${name}`)];
  const here = paths.filter((path) => path.slice(0, path.lastIndexOf('.') + 1) === (prefix ? `${prefix}.` : ''));
  const typed = prefix ? `${prefix}.${key}` : key;
  // A key of another group, right but for its place, or a slip of the fingers in this one.
  const meant =
    closest(typed, here) ??
    paths.find((path) => path.toLowerCase().endsWith(`.${key.toLowerCase()}`)) ??
    closest(typed, paths);
  return `${typed}: unknown setting${meant ? `; did you mean ${meant}?` : ''}`;
}

function finished(parsed: Parsed, folder: string): Config {
  const { tls, training, intake, domains: written, ...rest } = parsed;
  const hostname = parsed.hostname ?? parseDomain(machineName()) ?? 'localhost';
  const path = (file: string) => resolve(folder, file);
  const listener = <T>(at: Omit<Parsed['intake']['lmtp'][number], 'listen'> & { listen: T }): T & ListenerFacts => ({
    ...at.listen,
    direction: at.direction ?? intake.direction,
    filter: at.filter,
    ...(at.also.length > 0 ? { also: at.also } : {}),
    ...(at.disposition ? { disposition: at.disposition } : {}),
    ...(at.class === 'training' ? { class: at.class } : {}),
  });
  const domains: NonNullable<Config['domains']> = {};
  for (const [name, { aliases, nextHop, sender }] of Object.entries(written ?? {}))
    domains[parseDomain(name) as string] = { aliases, ...(nextHop && { nextHop }), ...(sender && { sender }) };
  const ours = Object.entries(domains).flatMap(([name, { aliases }]) => [name, ...aliases]);
  return {
    ...rest,
    hostname,
    folder: resolve(folder),
    store: parsed.store.startsWith('sqlite:') ? `sqlite:${path(parsed.store.slice('sqlite:'.length))}` : parsed.store,
    ...(tls.cert && tls.key ? { tls: { cert: path(tls.cert), key: path(tls.key) } } : {}),
    intake: {
      watch: intake.watch.map(({ done, ...one }) => ({
        ...one,
        folder: path(one.folder),
        ...(done === undefined ? {} : { done: path(done) }),
      })),
      trusted: intake.trusted,
      authservIds: intake.authservIds,
      maxMessageBytes: intake.maxMessageBytes,
      lmtp: intake.lmtp.map(listener),
      smtp: intake.smtp.map(listener),
      http: intake.http.map(listener),
      tokens: intake.tokens,
      handOverDomains: intake.handOverDomains ?? (ours.includes(hostname) ? [] : [hostname]),
    },
    ...(ours.length > 0 ? { domains } : {}),
    training: { ...training, trainers: training.trainers.map((trainer) => withPaths(trainer, path)) },
  };
}

/** Files and folders of a trainer count from the folder of the settings, too. */
function withPaths(trainer: TrainerSettings, path: (file: string) => string): TrainerSettings {
  switch (trainer.type) {
    case 'maildir':
    case 'mbox':
      return { ...trainer, spam: path(trainer.spam), ham: path(trainer.ham) };
    case 'sa-learn':
      return trainer.dbPath === undefined ? trainer : { ...trainer, dbPath: path(trainer.dbPath) };
    case 'webhook':
      return trainer.ca === undefined ? trainer : { ...trainer, ca: path(trainer.ca) };
    default:
      return trainer;
  }
}

function placesOf(tree: Tree, sources: Sources): ReadonlyMap<string, string> {
  const places = new Map<string, string>();
  for (const { path, ...line } of table()) {
    const { found, known } = valueAt(tree, path);
    if ('about' in line && found !== undefined && known.length === path.length)
      places.set(path.join('.'), sources.place(path));
  }
  return places;
}

/** Every setting of the table, as written or by its default, groups as groups. */
function writtenOut(tree: Tree): Tree {
  const out: Tree = {};
  for (const { path, ...line } of table()) {
    if (!('about' in line)) continue;
    const value = valueAt(tree, path).found ?? line.about.default;
    if (value === undefined) continue;
    let at = out;
    for (const part of path.slice(0, -1)) {
      at[part] ??= {};
      at = at[part] as Tree;
    }
    at[path.at(-1) as string] = value;
  }
  return out;
}
