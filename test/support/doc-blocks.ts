/**
 * The configuration that the pages of docs/ print is the one the tests run: a fenced block whose info string names its
 * file, as in
 *
 *     ```perl file=amavisd.conf
 *
 * Ports and paths of a page are those of a real machine; a test puts its own in their place.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** File → text, of all named blocks of a page. Two blocks of one name are one file, in their order. */
export function blocksOf(page: string): Map<string, string> {
  return blocksIn(readFileSync(join(root, page), 'utf8'), page);
}

export function blocksIn(text: string, page: string): Map<string, string> {
  const files = new Map<string, string>();
  let open: { readonly fence: string; readonly indent: string; readonly file: string | undefined } | undefined;
  let lines: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (!open) {
      const [, indent = '', fence, info = ''] = /^( *)(`{3,}|~{3,})(.*)$/.exec(line) ?? [];
      if (fence === undefined) continue;
      const named = info.split(/\s+/).filter((word) => word.startsWith('file='));
      if (named.length > 1 || named[0] === 'file=')
        throw new Error(`${page}:${index + 1}: a block has one file name, as in file=main.cf`);
      open = { fence, indent, file: named[0]?.slice('file='.length) };
      lines = [];
    } else if (line.trim().startsWith(open.fence) && line.trim().replaceAll(open.fence[0]!, '') === '') {
      if (open.file !== undefined)
        files.set(open.file, (files.get(open.file) ?? '') + lines.map((each) => `${each}\n`).join(''));
      open = undefined;
    } else lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line.trimStart());
  }
  if (open) throw new Error(`${page}: the last block is never closed`);
  return files;
}

/** The block of that name, or an error which says what there is. */
export function blockOf(page: string, file: string): string {
  const files = blocksOf(page);
  const text = files.get(file);
  if (text === undefined) throw new Error(`${page} has no block file=${file}, but ${[...files.keys()].join(', ')}`);
  return text;
}

/**
 * The text with each of these words replaced, wherever it stands as a whole: `127.0.0.1:24` is no part of `127.0.0.1:2424`.
 * In one pass, so that what was put in is not replaced again. Throws if a word does not occur: the page has changed, and the
 * test would run with a port of the real machine.
 */
export function fill(text: string, words: Readonly<Record<string, string>>): string {
  // The longest first, so that a path goes before the folder it begins with.
  const names = Object.keys(words).sort((a, b) => b.length - a.length);
  if (names.length === 0) return text;
  const missing = new Set(names);
  const pattern = names
    .map((name) => {
      const before = /^\w/.test(name) ? '(?<!\\w)' : '';
      const after = /\w$/.test(name) ? '(?!\\w)' : '';
      return before + name.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&') + after;
    })
    .join('|');
  const filled = text.replace(new RegExp(pattern, 'g'), (name) => {
    missing.delete(name);
    return words[name]!;
  });
  if (missing.size > 0) throw new Error(`to be replaced, but not there: ${[...missing].join(', ')}`);
  return filled;
}
