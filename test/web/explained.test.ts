/** Keeps docs/operations.md, the alerts and the dashboard true: they name what there is, and all that there is is explained. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { Metrics } from '#app/observe/metrics';

const docs = join(import.meta.dirname, '../../docs');
const read = (name: string) => readFileSync(join(docs, name), 'utf8');
const metrics = new Metrics({ version: 'test', readStore: async () => ({ jobs: [], uidsUsed: 0 }) });
const names = new Set(metrics.names());
metrics.close();

/** Metrics named in a text, those of a histogram by its name. */
const named = (text: string) =>
  new Set(
    [...text.matchAll(/\b(?:lazaret|process|nodejs)_[a-z_]+[a-z]/g)].map(([name]) => {
      const base = name.replace(/_(?:bucket|sum|count)$/, '');
      return names.has(name) ? name : base;
    }),
  );

t.test('every number is explained, and every one that is explained exists', async (t) => {
  const page = named(read('operations.md'));
  for (const name of names) t.ok(page.has(name), `docs/operations.md explains ${name}`);
  for (const name of page) t.ok(names.has(name), `${name} exists`);
});

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

t.test('every alert asks for numbers that exist, and says what it is about', async (t) => {
  const { groups } = parse(read('monitoring/alerts.yml')) as { groups: { name: string; rules: Rule[] }[] };
  const page = read('operations.md');
  const rules = groups.flatMap(({ rules }) => rules);
  t.ok(rules.length > 5);
  for (const { alert, expr, labels, annotations } of rules) {
    for (const name of named(expr)) t.ok(names.has(name), `${alert}: ${name} exists`);
    t.match(labels.severity, /^(warning|critical)$/);
    t.ok(annotations.summary);
    t.ok(page.includes(`| \`${alert}\` |`), `docs/operations.md says what to do about ${alert}`);
  }
  for (const [, alert] of page.matchAll(/^\| `(Lazaret\w+)` \|/gm))
    t.ok(
      rules.some((rule) => rule.alert === alert),
      `${alert} exists`,
    );
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string }[];
}

t.test('the dashboard shows every number of ours, from the data source that was chosen', async (t) => {
  const text = read('monitoring/grafana-dashboard.json');
  const board = JSON.parse(text) as {
    schemaVersion: number;
    templating: { list: { name: string; type: string }[] };
    panels: Panel[];
  };
  t.ok(board.schemaVersion >= 39);
  t.ok(board.templating.list.some(({ name, type }) => name === 'datasource' && type === 'datasource'));
  t.equal(new Set(board.panels.map(({ id }) => id)).size, board.panels.length, 'each panel has an id of its own');
  const shown = new Set<string>();
  for (const { type, title, datasource, gridPos, targets = [] } of board.panels) {
    t.ok(gridPos.x + gridPos.w <= 24 && gridPos.h > 0, `${title} has its place`);
    if (type === 'row') continue;
    t.equal(datasource?.uid, '${' + 'datasource}', title);
    t.ok(targets.length > 0);
    for (const { expr } of targets) for (const name of named(expr)) shown.add(name);
  }
  for (const name of shown) t.ok(names.has(name), `${name} exists`);
  for (const name of names) if (name.startsWith('lazaret_')) t.ok(shown.has(name), `${name} is shown`);
});
