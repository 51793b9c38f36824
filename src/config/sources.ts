/**
 * Where settings come from: a YAML file, which knows the line of each value, and the environment, which goes above it.
 * Answers one tree of plain values, as written, and the place of each for error messages. Knows nothing of their kinds
 * but whether a setting is a list or a text, because an environment variable has only text.
 */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { ConfigError, closest, type Problem } from './problem.ts';
import { environmentName, type Line, table } from './schema.ts';

export type Tree = { [key: string]: unknown };
export type Path = readonly PropertyKey[];

export interface Sources {
  readonly tree: Tree;
  /** Where the value at this path was written, or the nearest thing above it: `lazaret.yaml:7`. */
  place(path: Path): string;
}

/** A file's text. `name` is how messages call it. */
export function readYaml(text: string, name: string): Sources {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const at = (offset: number) => `${name}:${counter.linePos(offset).line || 1}`;
  if (document.errors.length > 0)
    throw new ConfigError(
      document.errors.map((error) => ({ place: at(error.pos[0]), text: firstLine(error.message) })),
    );
  const tree: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof tree !== 'object' || Array.isArray(tree))
    throw new ConfigError([{ place: `${name}:1`, text: 'expected settings like `hostname: quarantine.example.com`' }]);

  /** The offset of the deepest thing on the way to `path` that the file has: a key, or an item of a list. */
  const offsetOf = (path: Path): number => {
    let node: Node | null = document.contents;
    let offset = 0;
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
        if (!pair) break;
        if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
        node = pair.value as Node | null;
      } else if (isSeq(node)) {
        node = (node.items[Number(part)] ?? null) as Node | null;
        offset = node?.range?.[0] ?? offset;
      } else break;
    }
    return offset;
  };
  return { tree: tree as Tree, place: (path) => at(offsetOf(path)) };
}

/** Settings made by a program: no places to name. */
export const plain = (tree: Tree): Sources => ({ tree, place: () => '' });

/** Names without `_` and case, so that nobody has to know where a key's words part. */
const bare = (name: string) => name.replaceAll('_', '').toUpperCase();

/** Not settings: the file itself, what tests switch on, and what Kubernetes sets for a service called `lazaret`. */
const others = /^LAZARET_(CONFIG|FAIL_?POINTS?(_.*)?|TEST_.*|SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP)(_.*)?)?)$/;

/** Lays `LAZARET_…` variables above what a file says. A variable that is empty is absent. */
export function withEnvironment(below: Sources, env: NodeJS.ProcessEnv): Sources {
  const settings = table().filter((line): line is Extract<Line, { about: unknown }> => 'about' in line);
  const names = new Map(settings.map((line) => [bare(environmentName(line.path)), line]));
  const tree = structuredClone(below.tree);
  const variables = new Map<string, string>();
  const problems: Problem[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('LAZARET_') || !text?.trim() || others.test(variable)) continue;
    const line = names.get(bare(variable));
    if (!line) {
      const meant = closest(
        variable,
        [...names.values()].map(({ path }) => environmentName(path)),
      );
      problems.push({ place: variable, text: `unknown setting${meant ? `; did you mean ${meant}?` : ''}` });
      continue;
    }
    try {
      put(tree, line.path, fromText(text.trim(), line.about.default ?? line.about.example));
      variables.set(line.path.join('.'), variable);
    } catch {
      problems.push({ place: variable, text: `expected JSON, found ${JSON.stringify(text)}` });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    tree,
    place(path) {
      for (let end = path.length; end > 0; end--) {
        const variable = variables.get(path.slice(0, end).join('.'));
        if (variable) return variable;
      }
      return below.place(path);
    },
  };
}

/** A variable's text as a value like `example`. What does not fit stays text: the schema says what was expected. */
function fromText(text: string, example: unknown): unknown {
  if (Array.isArray(example))
    return text.startsWith('[')
      ? JSON.parse(text)
      : text
          .split(',')
          .map((item) => item.trim())
          .filter((item) => item !== '');
  if (typeof example === 'object') return JSON.parse(text);
  if (typeof example === 'number') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (typeof example === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  let at = tree;
  for (const part of path.slice(0, -1)) {
    const below = at[part] ?? {};
    if (typeof below !== 'object' || Array.isArray(below)) return; // not a group: the schema will say so
    at[part] = below;
    at = below as Tree;
  }
  at[path.at(-1) as string] = value;
}

const firstLine = (text: string) => text.split('\n', 1)[0] as string;
