/**
 * LIST and LSUB: RFC 3501 §6.3.8, §6.3.9; LIST-EXTENDED RFC 5258; SPECIAL-USE RFC 6154; STATUS RFC 5819.
 *
 * Special-use attributes are part of every LIST answer (RFC 6154 §2 allows it; Outlook and Apple Mail look for them there).
 */
import type { FolderListing } from '../backend.ts';
import { Bad, No } from '../errors.ts';
import type { Args } from '../wire/args.ts';
import { mailbox } from '../wire/quote.ts';
import type { Command, Context } from './command.ts';
import { statusItems, writeStatus } from './status.ts';

interface Listing {
  readonly reference: string;
  readonly patterns: readonly string[];
  readonly select: ReadonlySet<string>;
  readonly show: ReadonlySet<string>;
  readonly status: readonly string[];
  /** Written in the extended form (RFC 5258 §3). */
  readonly extended: boolean;
}

const selections = new Set(['SUBSCRIBED', 'REMOTE', 'RECURSIVEMATCH', 'SPECIAL-USE']);
const returns = new Set(['SUBSCRIBED', 'CHILDREN', 'SPECIAL-USE', 'STATUS']);
const specialUses = new Set(['\\All', '\\Archive', '\\Drafts', '\\Flagged', '\\Junk', '\\Sent', '\\Trash']);

export const list: Command<Listing> = {
  name: 'LIST',
  states: ['authenticated', 'selected'],

  parse(args) {
    const select = new Set<string>();
    let extended = args.sp().peek() === 0x28;
    if (extended) {
      args.list(() => select.add(option(args, selections)), 0);
      args.sp();
      // RFC 5258 §3.1: it needs something to match recursively.
      if (select.has('RECURSIVEMATCH') && !select.has('SUBSCRIBED') && !select.has('SPECIAL-USE'))
        throw new Bad('RECURSIVEMATCH needs another option');
    }
    const reference = args.mailbox();
    args.sp();
    const patterns: string[] = [];
    if (args.peek() === 0x28) {
      extended = true;
      args.list(() => patterns.push(args.listMailbox()));
    } else {
      patterns.push(args.listMailbox());
    }
    const show = new Set<string>();
    let status: string[] = [];
    if (args.tryChar(' ')) {
      if (args.keyword() !== 'RETURN') throw new Bad('Expected RETURN');
      extended = true;
      args.sp().list(() => {
        const name = option(args, returns);
        show.add(name);
        if (name === 'STATUS') status = statusItems(args.sp());
      }, 0);
    }
    return { reference, patterns, select, show, status, extended };
  },

  async run({ reference, patterns, select, show, status, extended }, ctx) {
    if (!extended && patterns[0] === '') return delimiter('LIST', ctx);
    const folders = await ctx.session.folders();
    const matches = matcher(reference, patterns);
    const shown = folders.filter(
      (folder) =>
        matches(folder.name) &&
        (!select.has('SUBSCRIBED') || folder.subscribed) &&
        (!select.has('SPECIAL-USE') || folder.attributes.some((attribute) => specialUses.has(attribute))) &&
        (select.has('SUBSCRIBED') || !folder.attributes.includes('\\NonExistent')),
    );
    const subscribed = select.has('SUBSCRIBED') || show.has('SUBSCRIBED');
    for (const folder of shown) {
      const attributes = [...folder.attributes];
      if (subscribed && folder.subscribed) attributes.push('\\Subscribed');
      line('LIST', attributes, folder.name, ctx);
      if (status.length > 0 && isSelectable(folder)) await statusOf(folder.name, status, ctx);
    }
    if (select.has('RECURSIVEMATCH')) childInfo(folders, shown, matches, select, ctx);
    return ctx.ok('Listed');
  },
};

export const lsub: Command<{ reference: string; pattern: string }> = {
  name: 'LSUB',
  states: ['authenticated', 'selected'],
  parse: (args) => ({ reference: args.sp().mailbox(), pattern: args.sp().listMailbox() }),
  async run({ reference, pattern }, ctx) {
    if (pattern === '') return delimiter('LSUB', ctx);
    const matches = matcher(reference, [pattern]);
    const folders = (await ctx.session.folders()).filter((folder) => folder.subscribed);
    const names = new Set(folders.map((folder) => folder.name));
    const parents = new Set<string>();
    for (const { name, attributes } of folders) {
      if (matches(name))
        line(
          'LSUB',
          attributes.filter((attribute) => !specialUses.has(attribute)),
          name,
          ctx,
        );
      // RFC 3501 §6.3.9: with %, a parent that is not subscribed itself stands for its subscribed children.
      else if (pattern.includes('%'))
        for (const parent of ancestors(name)) if (!names.has(parent) && matches(parent)) parents.add(parent);
    }
    for (const parent of parents) line('LSUB', ['\\Noselect'], parent, ctx);
    return ctx.ok('Listed');
  },
};

function option(args: Args, known: ReadonlySet<string>): string {
  const name = args.keyword();
  if (!known.has(name)) throw new Bad('LIST does not know this option');
  return name;
}

/** RFC 3501 §6.3.8: an empty pattern asks for the delimiter. */
function delimiter(word: string, ctx: Context) {
  ctx.out.text(`* ${word} (\\Noselect) "/" ""\r\n`);
  return ctx.ok('Listed');
}

function line(word: string, attributes: readonly string[], name: string, ctx: Context, more = ''): void {
  ctx.out.text(`* ${word} (${attributes.join(' ')}) "/" ${mailbox(name)}${more}\r\n`);
}

/** RFC 5258 §3.5: parents outside the selection whose children are in it. */
function childInfo(
  folders: readonly FolderListing[],
  shown: readonly FolderListing[],
  matches: (name: string) => boolean,
  select: ReadonlySet<string>,
  ctx: Context,
): void {
  const criteria = ['SUBSCRIBED', 'SPECIAL-USE'].filter((name) => select.has(name)).map((name) => `"${name}"`);
  const inside = folders.filter((folder) => !select.has('SUBSCRIBED') || folder.subscribed);
  const parents = new Set(inside.flatMap((folder) => ancestors(folder.name)).filter(matches));
  for (const { name } of shown) parents.delete(name);
  for (const name of parents) {
    const folder = folders.find((known) => known.name === name);
    line('LIST', folder?.attributes ?? ['\\NonExistent'], name, ctx, ` ("CHILDINFO" (${criteria.join(' ')}))`);
  }
}

/** RFC 5819 §2: a folder whose status is refused is listed without one. */
async function statusOf(name: string, items: readonly string[], ctx: Context): Promise<void> {
  try {
    await writeStatus(name, items, ctx);
  } catch (error) {
    if (!(error instanceof No)) throw error;
  }
}

function isSelectable({ attributes }: FolderListing): boolean {
  return !attributes.includes('\\Noselect') && !attributes.includes('\\NonExistent');
}

function ancestors(name: string): string[] {
  const parts = name.split('/');
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('/'));
}

/** Reference and pattern simply stand one behind the other; `*` is anything, `%` anything within one level. */
function matcher(reference: string, patterns: readonly string[]): (name: string) => boolean {
  return (name) =>
    patterns.some((pattern) => {
      const whole = reference + pattern;
      return name === 'INBOX' ? matchesPattern(whole.toUpperCase(), name) : matchesPattern(whole, name);
    });
}

/** In time |pattern| × |name| whatever the pattern: which prefixes of the name the pattern so far matches. */
function matchesPattern(pattern: string, name: string): boolean {
  let reached = new Array<boolean>(name.length + 1).fill(false);
  reached[0] = true;
  for (const char of pattern) {
    const next = new Array<boolean>(name.length + 1).fill(false);
    if (char === '*' || char === '%') {
      for (let i = 0; i <= name.length; i++)
        next[i] = reached[i]! || (i > 0 && next[i - 1]! && (char === '*' || name[i - 1] !== '/'));
    } else {
      for (let i = 1; i <= name.length; i++) next[i] = reached[i - 1]! && name[i - 1] === char;
    }
    reached = next;
  }
  return reached[name.length]!;
}
