/**
 * Settings for people: the file that `config init` prints, what `config show` says, and docs/config.md. All of it made
 * from the table in schema.ts. What `config init` prints, read again, gives the defaults.
 */
import { stringify } from 'yaml';
import { isSecretName, withoutPasswords } from './kinds.ts';
import type { Loaded } from './load.ts';
import { type About, environmentName, table } from './schema.ts';
import type { Tree } from './sources.ts';

/** A value on one line, as it may stand in a file. */
export function inline(value: unknown): string {
  const nested = typeof value === 'object';
  return stringify(value, {
    collectionStyle: 'flow',
    flowCollectionPadding: false,
    lineWidth: 0,
    ...(nested ? { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' } : {}),
  }).trimEnd();
}

const described = (about: About): string =>
  about.default === undefined ? `Absent: ${about.otherwise}.` : about.unit ? `In ${about.unit}.` : '';

/** The commented file. */
export function initialFile(): string {
  const out = [
    '# Lazaret. Every setting with its default. Each can also come from the environment, which goes above this file:',
    '# LAZARET_IMAP_LISTEN=\'["127.0.0.1:143"]\'. An empty value is an absent one. `lazaret config check` says what is wrong.',
  ];
  for (const { path, ...line } of table()) {
    const indent = '  '.repeat(path.length - 1);
    const key = path.at(-1);
    const comment = (text: string) => {
      for (const part of wrapped(text, 112 - indent.length)) out.push(`${indent}# ${part}`);
    };
    if (path.length === 1) out.push('');
    if ('group' in line) {
      comment(line.group);
      out.push(`${indent}${key}:`);
      continue;
    }
    const { about } = line;
    comment([about.help, described(about)].filter((text) => text !== '').join(' '));
    if (about.default !== undefined) out.push(`${indent}${key}: ${inline(about.default)}`);
    const example = about.example;
    if (example === undefined) continue;
    if (typeof example === 'object' && !Array.isArray(example)) {
      out.push(`${indent}# ${key}:`);
      for (const [name, value] of Object.entries(example as Tree)) out.push(`${indent}#   ${name}: ${inline(value)}`);
    } else out.push(`${indent}# ${key}: ${inline(example)}`);
  }
  return `${out.join('\n')}\n`;
}

/** The settings in force, without passwords, as plain values. */
export function withoutSecrets(value: unknown): unknown {
  if (typeof value === 'string') return withoutPasswords(value);
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, isSecretName(key) ? hidden(inner) : withoutSecrets(inner)]),
    );
  return value;
}

function hidden(value: unknown): unknown {
  if (typeof value === 'string') return '***';
  return Array.isArray(value) ? value.map(hidden) : withoutSecrets(value);
}

/** The settings in force, one a line, each with where it comes from. Passwords are hidden. */
export function shownSettings({ written, places }: Loaded): string {
  const out: string[] = [];
  const safe = withoutSecrets(written);
  const headed = new Set<string>();
  for (const { path, ...line } of table()) {
    if ('group' in line) continue;
    let value: unknown = safe;
    for (const part of path) value = (value as Tree | undefined)?.[part];
    if (value === undefined) continue;
    for (let depth = 1; depth < path.length; depth++) {
      const group = path.slice(0, depth).join('.');
      if (!headed.has(group)) out.push(`${'  '.repeat(depth - 1)}${path[depth - 1]}:`);
      headed.add(group);
    }
    const text = `${'  '.repeat(path.length - 1)}${path.at(-1)}: ${inline(value)}`;
    out.push(`${text.padEnd(60)}  # ${places.get(path.join('.')) ?? 'default'}`);
  }
  return `${out.join('\n')}\n`;
}

/** docs/config.md */
export function configPage(): string {
  const out = [
    '# Settings',
    '',
    '*Made by `npm run docs` from `src/config/schema.ts`.*',
    '',
    'Settings stand in a YAML file: the one after `--config`, the one in `LAZARET_CONFIG`, `./lazaret.yaml`, or',
    '`/etc/lazaret/lazaret.yaml`, the first that there is. `lazaret config init` prints one with every default.',
    'Each setting can also come from the environment, which goes above the file; lists as JSON or with commas between',
    'their items, `domains` and `aliases` as JSON. An empty value is an absent one. Relative paths count from the folder',
    'of the file. An unknown setting, a wrong kind of value or an impossible one stops the start, and says where it',
    'stands, what was expected and what was found. A duration is written like `30s`, `10m`, `1h` or `5d`.',
    '',
  ];
  let open = false;
  const cell = (text: string) => text.replaceAll('|', '\\|');
  const head = () => {
    if (!open) out.push('| setting | value | default | meaning |', '| --- | --- | --- | --- |');
    open = true;
  };
  for (const { path, ...line } of table()) {
    if (path.length === 1) {
      if (open) out.push('');
      out.push(`## ${path[0]}`, '');
      open = false;
      if ('group' in line) {
        out.push(line.group, '');
        continue;
      }
    }
    head();
    if ('group' in line) {
      out.push(`| \`${path.join('.')}\` | | | ${cell(line.group)} |`);
      continue;
    }
    const { about } = line;
    const kind = cell(about.unit ? `${about.kind}, in ${about.unit}` : about.kind);
    const preset = about.default === undefined ? `absent: ${about.otherwise}` : `\`${inline(about.default)}\``;
    const example = about.example === undefined ? '' : ` Example: \`${inline(about.example)}\``;
    out.push(
      `| \`${path.join('.')}\`<br>\`${environmentName(path)}\` | ${kind} | ${cell(preset)} | ${cell(about.help + example)} |`,
    );
  }
  out.push('', '## The file', '', '```yaml', initialFile().trimEnd(), '```');
  return `${out.join('\n')}\n`;
}

/** Breaks a text between words. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
