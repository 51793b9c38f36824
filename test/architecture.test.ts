/** Keeps STYLE §2 true: who may import whom. Reads the import lines of every source file. */
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..');

/** What each part may name besides itself and node:. A trailing slash means everything below. */
const nouns = [
  '#store/model',
  '#store/port',
  '#store/errors',
  '#store/records',
  '#store/findings',
  '#app/lib/',
  '#app/observe/',
];
const meaning = [...nouns, '#app/quarantine/', '#app/policy/', '#app/accounts/', '#app/bus/'];
const edge = (own: string, ...more: string[]) => [...meaning, `#app/${own}/`, ...more];

const rules: Record<string, readonly string[]> = {
  imap: ['#imap/'],
  smtp: ['#smtp/', 'smtp-server'],
  store: ['#store/'],
  'src/lib': [],
  'src/observe': ['pino', 'prom-client'],
  'src/config': [
    '#app/lib/',
    '#app/config/',
    '#app/policy/addresses',
    '#app/delivery/way',
    '#app/delivery/sender',
    '#smtp/client/next-hop',
    'zod',
    'yaml',
  ],
  'src/net': ['#app/lib/', '#app/observe/'],
  // amavis may keep its quarantine in a database.
  'src/files/sql': ['#store/sqlite/sqlite', 'pg', 'mysql2'],
  'src/files': ['#store/model', '#app/lib/', '#app/observe/', '#imap/mime/header', '#smtp/address'],
  'src/quarantine': meaning,
  'src/policy': meaning,
  'src/accounts': [...meaning, 'argon2'],
  'src/bus': [...meaning, 'ioredis'],
  'src/mailbox': edge('mailbox', '#imap/'),
  'src/ingest': edge('ingest', '#smtp/', '#imap/mime/', '#app/files/line-ends'),
  'src/inventory': edge('inventory', '#imap/mime/'),
  'src/jobs': edge('jobs'),
  'src/delivery': edge('delivery', '#smtp/client', 'imapflow'),
  'src/training': edge('training'),
  'src/cli': edge(
    'cli',
    '#store/restored',
    '#store/renumbered',
    '#app/assemble',
    '#app/config/',
    '#app/files/',
    '#app/demo/',
    '#app/doctor/',
    '#package',
    'commander',
  ),
  // Looks at everything from outside.
  'src/doctor': edge('doctor', '#app/config/', 'imapflow'),
  'src/web': edge('web', 'fastify'),
  'src/demo': edge('demo', '#app/assemble', '#app/config/', '#smtp/'),
};
/** What puts the parts together. */
const free = ['src/main.ts', 'src/assemble.ts', 'src/tls.ts', 'src/roles/'];

async function sources(): Promise<string[]> {
  const files: string[] = [];
  for (const top of ['imap', 'smtp', 'store', 'src'])
    for (const entry of await readdir(join(root, top), { recursive: true, withFileTypes: true }))
      if (entry.isFile() && entry.name.endsWith('.ts'))
        files.push(relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'));
  return files;
}

/** Everything a file imports, neighbours spelled as import roots. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g,
  );
  return [...found].map((match) => {
    const name = match[1] ?? match[2] ?? match[3] ?? '';
    if (!name.startsWith('.')) return name;
    const path = join(file, '..', name).split(sep).join('/').replace(/\.ts$/, '');
    return `#${path.replace(/^src\//, 'app/')}`;
  });
}

const allowed = (name: string, list: readonly string[]) =>
  name.startsWith('node:') ||
  list.some((rule) => (rule.endsWith('/') ? name.startsWith(rule) : name === rule || name.startsWith(`${rule}/`)));

t.test('each part imports only what it may', async (t) => {
  const files = await sources();
  t.ok(files.length > 20, 'the sources were found');
  for (const file of files) {
    if (free.some((part) => file.startsWith(part))) continue;
    const part = Object.keys(rules).find((name) => file.startsWith(`${name}/`));
    if (!part) {
      t.fail(`${file} lies in no part that architecture.test.ts knows`);
      continue;
    }
    for (const name of importsOf(file)) {
      const database = /^(@photostructure\/sqlite|mongodb)$/.test(name);
      if (database)
        t.ok(file.startsWith('store/sqlite/') || file.startsWith('store/mongo/'), `${file} may import ${name}`);
      else if (name === `#${part}` || name.startsWith(`#${part.replace(/^src\//, 'app/')}/`)) continue;
      else if (!allowed(name, rules[part]!)) t.fail(`${file} must not import ${name}`);
    }
  }
});

t.test('assemble.ts is imported by main, cli, demo and tests only', async (t) => {
  for (const file of await sources())
    if (importsOf(file).includes('#app/assemble'))
      t.ok(/^src\/(main\.ts|cli\/|demo\/)/.test(file), `${file} imports assemble.ts`);
});

t.test('src/roles/ is imported by assemble.ts only', async (t) => {
  for (const file of await sources())
    if (importsOf(file).some((name) => name.startsWith('#app/roles/')))
      t.ok(/^src\/(assemble\.ts$|roles\/)/.test(file), `${file} imports a role`);
});
