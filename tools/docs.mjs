// Makes docs/config.md, docs/cli.md and docs/rfc.md from the sources. With --check nothing is written, and it fails when
// they are not what it would write. Runs on the sources: `npm run docs`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { verbs } from '#app/cli/verbs';
import { configPage } from '#app/config/print';

const root = new URL('../', import.meta.url);

// ------------------------------------------------------------------------------------------------------------- cli.md

function cliPage() {
  const out = [
    '# The command line',
    '',
    '*Made by `npm run docs` from `src/cli/`.*',
    '',
    '`lazaret help` lists the verbs, `lazaret help VERB` explains one. All of them work while a server runs on the same',
    'store, and without one. An option with an empty value is an absent one.',
    '',
    'Every verb takes `--config FILE` (else `LAZARET_CONFIG`, `./lazaret.yaml`, `/etc/lazaret/lazaret.yaml`, the first that',
    'there is) and `--json`, which prints JSON for programs. What is not the answer goes to standard error.',
    '',
    'Exit codes: 0 when all that was asked for was done, 1 when not all was done, 2 when it was not understood.',
    '',
    ...verbs.map(({ name, summary }) => `- [\`${name}\`](#${anchor(name)}): ${summary}`),
  ];
  for (const { name, summary, about, arguments: args = [], options = [], examples } of verbs) {
    const usage = args.map((arg) => (arg.optional ? `[${placeholder(arg)}]` : placeholder(arg)));
    out.push(
      '',
      `## ${name}`,
      '',
      `\`lazaret ${[name, ...usage, '[options]'].join(' ')}\``,
      '',
      `${sentence(summary)}`,
    );
    if (about) out.push('', about.replaceAll('\n', ' '));
    const rows = [
      ...args.map((arg) => [placeholder(arg), arg.help]),
      ...options.map(({ flags, help, choices }) => [flags, choices ? `${help} (${choices.join(', ')})` : help]),
    ];
    if (rows.length > 0)
      out.push('', '| | |', '| --- | --- |', ...rows.map(([term, help]) => `| \`${term}\` | ${cell(help)} |`));
    out.push(
      '',
      '```sh',
      ...examples.flatMap(([line, meaning], i) => [...(i > 0 ? [''] : []), `# ${meaning}`, line]),
      '```',
    );
  }
  return `${out.join('\n')}\n`;
}

const anchor = (heading) => heading.replaceAll(' ', '-');
const placeholder = ({ name, many }) => `${name.toUpperCase()}${many ? '…' : ''}`;
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const cell = (text) => text.replaceAll('|', '\\|');

// ------------------------------------------------------------------------------------------------------------- rfc.md

const titles = {
  1870: 'SMTP SIZE',
  2033: 'LMTP',
  2034: 'SMTP enhanced status codes',
  2045: 'MIME, bodies',
  2046: 'MIME, media types',
  2047: 'MIME, encoded words',
  2152: 'UTF-7',
  2177: 'IMAP IDLE',
  2183: 'Content-Disposition',
  2231: 'MIME, parameters',
  2342: 'IMAP NAMESPACE',
  2920: 'SMTP pipelining',
  2971: 'IMAP ID',
  3030: 'SMTP CHUNKING',
  3207: 'SMTP STARTTLS',
  3282: 'Content-Language',
  3461: 'SMTP DSN',
  3463: 'Enhanced status codes',
  3501: 'IMAP4rev1',
  3691: 'IMAP UNSELECT',
  4155: 'mbox',
  4315: 'IMAP UIDPLUS',
  4422: 'SASL',
  4466: 'IMAP4 ABNF',
  4469: 'IMAP CATENATE (TOOBIG)',
  4616: 'SASL PLAIN',
  4731: 'IMAP ESEARCH',
  4954: 'SMTP AUTH',
  4959: 'IMAP SASL-IR',
  5161: 'IMAP ENABLE',
  5255: 'IMAP internationalization',
  5258: 'IMAP LIST-EXTENDED',
  5321: 'SMTP',
  5322: 'Internet message format',
  5530: 'IMAP response codes',
  5819: 'IMAP LIST-STATUS',
  6152: '8BITMIME',
  6154: 'IMAP SPECIAL-USE',
  6531: 'SMTPUTF8',
  6532: 'Internationalized headers',
  6851: 'IMAP MOVE',
  7162: 'IMAP CONDSTORE and QRESYNC',
  7888: 'IMAP LITERAL+ and LITERAL-',
  7889: 'IMAP APPENDLIMIT',
  8314: 'Implicit TLS',
  8438: 'IMAP STATUS=SIZE',
  9051: 'IMAP4rev2',
};

function rfcPage() {
  /** RFC → section → { code, tests, partial } */
  const rfcs = new Map();
  const note = (rfc, section, file, partial) => {
    const sections = rfcs.get(rfc) ?? rfcs.set(rfc, new Map()).get(rfc);
    const entry = sections.get(section) ?? { code: new Set(), tests: new Set(), partial: new Set() };
    sections.set(section, entry);
    entry[file.startsWith('test/') ? 'tests' : 'code'].add(file);
    if (partial) entry.partial.add(partial);
  };
  for (const top of ['imap', 'smtp', 'test/imap', 'test/smtp'])
    for (const file of filesBelow(top))
      for (const comment of comments(file))
        for (const mark of marks(comment)) note(mark.rfc, mark.section, file, mark.partial);

  const out = [
    '# RFCs',
    '',
    '*Made by `npm run docs` from the marks in the comments of `imap/`, `smtp/` and their tests.*',
    '',
    'Where each section is dealt with, and where it is tested. "Partial" says what is not done. A row without a section',
    'stands for mentions of the whole.',
  ];
  const names = (set) =>
    [...set]
      .sort()
      .map((file) => `[${file}](../${file})`)
      .join('<br>');
  for (const [rfc, sections] of [...rfcs].sort(([a], [b]) => a - b)) {
    out.push(
      '',
      `## RFC ${rfc}${titles[rfc] ? `: ${titles[rfc]}` : ''}`,
      '',
      '| section | code | tests | partial |',
      '| --- | --- | --- | --- |',
    );
    for (const [section, { code, tests, partial }] of [...sections].sort(([a], [b]) => bySection(a, b)))
      out.push(`| ${section && `§${section}`} | ${names(code)} | ${names(tests)} | ${cell([...partial].join('; '))} |`);
  }
  return `${out.join('\n')}\n`;
}

function filesBelow(folder) {
  return readdirSync(new URL(folder, root), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|imap)$/.test(entry.name))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.pathname.length))
    .sort();
}

/** The comments of a file, each as one line. */
function comments(file) {
  const text = readFileSync(new URL(file, root), 'utf8');
  if (file.endsWith('.imap')) return text.split('\n').filter((line) => /(^|\s)#/.test(line));
  const found = text.match(/\/\*[\s\S]*?\*\/|(?:^[ \t]*\/\/.*\n?)+|[ \t]\/\/ .*/gm) ?? [];
  return found.map((comment) => comment.replace(/\n[ \t]*(\*|\/\/)?/g, ' '));
}

/** `RFC 6851 §3.1 (syntax), §3.3; RFC 3501, 4315; RFC 3501 §6.4.4 partial: CHARSET other than UTF-8` */
function* marks(comment) {
  for (const { 0: whole, 1: rfc, index } of comment.matchAll(/RFC (\d{3,4})\b/g)) {
    let rest = comment.slice(index + whole.length);
    const sections = [];
    for (;;) {
      const next = /^(?:\s*\([^()]{0,60}\))?(,| and| to)?\s*§\s?([A-Z\d]+(?:\.\d+)*)/.exec(rest);
      if (!next || (sections.length > 0 && !next[1])) break;
      if (next[1] === ' to') sections.push(...between(sections.at(-1), next[2]));
      sections.push(next[2]);
      rest = rest.slice(next[0].length);
    }
    if (sections.length === 0) {
      yield { rfc: Number(rfc), section: '' };
      for (let more = /^, (\d{4})\b/.exec(rest); more; more = /^, (\d{4})\b/.exec(rest)) {
        yield { rfc: Number(more[1]), section: '' };
        rest = rest.slice(more[0].length);
      }
      continue;
    }
    const partial = /^\s+partial:\s*(.*?)\s*(?:\*\/|$|\. RFC)/.exec(rest)?.[1];
    for (const [i, section] of sections.entries())
      yield { rfc: Number(rfc), section, partial: i === sections.length - 1 ? partial : undefined };
  }
}

/** Sections strictly between 6.1.1 and 6.1.3: 6.1.2. */
function between(first = '', last) {
  const stem = first.slice(0, first.lastIndexOf('.') + 1);
  const [from, to] = [first, last].map((section) => Number(section.slice(stem.length)));
  if (!last.startsWith(stem) || !(to - from < 50)) return [];
  return Array.from({ length: Math.max(0, to - from - 1) }, (_, i) => `${stem}${from + i + 1}`);
}

function bySection(a, b) {
  const [left, right] = [a.split('.'), b.split('.')];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const order = (left[i] ?? '').localeCompare(right[i] ?? '', 'en', { numeric: true });
    if (order !== 0) return order;
  }
  return 0;
}

// ---------------------------------------------------------------------------------------------------------------- main

const pages = { 'docs/config.md': configPage(), 'docs/cli.md': cliPage(), 'docs/rfc.md': rfcPage() };
const check = process.argv.includes('--check');
for (const [file, text] of Object.entries(pages)) {
  const path = new URL(file, root);
  let before = '';
  try {
    before = readFileSync(path, 'utf8');
  } catch {} // not there yet
  if (before === text) continue;
  if (check) {
    console.error(`${file} is not what \`npm run docs\` makes of the sources`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, text);
    console.log(`${file} written`);
  }
}
