/**
 * The filter's block: the fields that a filter wrote into the header of the message it hands over (DESIGN §7.1). Only
 * they are believed. A sender can write the same names; what keeps his words out is their place: the block is the fields
 * from the top up to the first `Received:`, the first repeated name, or the first name this filter never writes.
 */

import { type FilterName, type FilterSetting, parseFilter, rspamdMilterFields } from '#app/lib/filter-names';
import { fieldsOf, latin1, unfoldLatin1 } from '#imap/mime/header';
import { clientOf } from './authentication.ts';
import { type Block, type Found, maxMark, valuesOf } from './fields.ts';
import { type Family, families } from './verdicts/families.ts';

export type { FilterName, FilterSetting, NamedFilter } from '#app/lib/filter-names';
export { type Block, type BlockField, fieldText } from './fields.ts';

/** The one field that amavis writes more than once. */
const repeats = ['x-amavis-alert'];
/** Machines of ours that a message may have passed behind its filter. */
const maxOwnHops = 10;

/** What amavis 2.13 puts above its own Received:, in files also above that (INTEGRATIONS §1.2). */
const amavisNames = new Set([
  'return-path',
  'delivered-to',
  'x-envelope-from',
  'x-envelope-to',
  'x-envelope-to-blocked',
  'x-quarantine-id',
  'x-amavis-alert',
  'x-amavis-hold',
  'x-amavis-modified',
  'x-amavis-os-fingerprint',
  'x-amavis-policybank',
  'x-spam-flag',
  'x-spam-score',
  'x-spam-level',
  'x-spam-status',
  'x-spam-report',
]);
/** The formatter of INTEGRATIONS §3.3. */
const rspamdNames = new Set([
  'x-envelope-from',
  'x-envelope-to',
  'x-quarantine-id',
  'x-quarantine-client',
  'x-spam-action',
  'x-spam-score',
  'x-spamd-result',
]);
/** Of Rspamd's milter's fields those that others write as well; alone they are not the milter's. */
const commonNames = new Set(['deliver-to', 'x-spam-flag', 'x-spam-level', 'x-spam-score', 'x-virus']);
/** amavis, where it lets mail pass, writes SpamAssassin's fields among some of its own. */
const isSpamAssassins = (name: string) =>
  name.startsWith('x-spam-') || name.startsWith('x-amavis-') || name === 'x-virus-scanned';

export function findBlock(header: Uint8Array, setting: FilterSetting): Block | undefined {
  return blockIn(latin1(header), setting);
}

/**
 * The same for a header that is at hand as a Latin-1 string. `isOurs`: machines of ours, whose Received a filter may stand
 * behind.
 */
export function blockIn(
  text: string,
  setting: FilterSetting,
  isOurs: (address: string) => boolean = () => false,
): Block | undefined {
  if (setting === 'none') return undefined;
  if (setting === 'auto') return recognise(text);
  const filter = parseFilter(setting);
  if (!filter) return undefined;
  const { name, place, header } = filter;
  if (name === 'amavis') return amavis(text, ['x-quarantine-id', 'x-envelope-to']);
  if (name === 'rspamd') return rspamd(text, ['x-envelope-to', 'x-spamd-result']);
  if (name === 'spamassassin') return spamassassin(text, isOurs);
  if (name === 'rspamd-milter') return milter(text);
  return marks(text, { filter: name, place: place ?? 'end', reasonsIn: header, isOurs }, families[name](header));
}

/** A filter by what only it writes. Not rspamd's milter: at the end of a header anybody can have written. */
function recognise(text: string): Block | undefined {
  const top = run(text, (name) => name.startsWith('x-spam-') && name !== 'x-spam-action');
  if (top.some(({ name }) => name === 'x-spam-checker-version')) return block('spamassassin', text, top);
  return rspamd(text, ['x-quarantine-client', 'x-spamd-result', 'x-spam-action']) ?? amavis(text, ['x-quarantine-id']);
}

/** Any of `proof` makes it amavis' block. */
function amavis(text: string, proof: readonly string[]): Block | undefined {
  const top = run(text, (name) => amavisNames.has(name), repeats);
  return top.some(({ name }) => proof.includes(name)) ? block('amavis', text, top) : undefined;
}

function rspamd(text: string, proof: readonly string[]): Block | undefined {
  const top = run(text, (name) => rspamdNames.has(name));
  return top.some(({ name }) => proof.includes(name)) ? block('rspamd', text, top) : undefined;
}

/**
 * The run next to the topmost Received: above it where SpamAssassin was the last to touch the message, below it where
 * an MTA put its own on top. SpamAssassin takes away what a sender wrote under these names.
 */
function spamassassin(text: string, isOurs: (address: string) => boolean): Block | undefined {
  const its = nextToReceived(text, isSpamAssassins, isOurs);
  return its.some(({ name }) => name.startsWith('x-spam-')) ? block('spamassassin', text, its) : undefined;
}

/**
 * The run next to the topmost Received. Where that tells that the message came from a machine of ours, there is another of
 * ours below it, and the filter may have written there.
 */
function nextToReceived(
  text: string,
  isIts: (name: string) => boolean,
  isOurs: (address: string) => boolean,
): readonly Found[] {
  let above: Found[] = [];
  let hops = 0;
  for (const field of fieldsOf(text)) {
    const name = field.name.toLowerCase();
    if (above.at(-1)?.field.end !== field.start) above = [];
    if (name === 'received') {
      const its = above.length > 0 ? untilRepeated(above) : run(text, isIts, repeats, field.end);
      if (its.length > 0) return its;
      const client = clientOf(unfoldLatin1(text.slice(field.valueStart, Math.min(field.end, field.start + 2000))));
      if (client === undefined || !isOurs(client) || ++hops > maxOwnHops) return [];
    }
    if (isIts(name)) above.push({ name, field });
  }
  return hops > 0 ? [] : run(text, isIts, repeats);
}

function untilRepeated(found: readonly Found[]): readonly Found[] {
  const names = new Set<string>();
  for (const [at, { name }] of found.entries()) {
    if (names.has(name) && !repeats.includes(name)) return found.slice(0, at);
    names.add(name);
  }
  return found;
}

/** The last run of the milter's fields, wherever it is. */
function milter(text: string): Block | undefined {
  const last = lastRun(text, (name) => rspamdMilterFields.has(name));
  if (last.every(({ name }) => commonNames.has(name))) return undefined;
  return { filter: 'rspamd-milter', fields: valuesOf(text, last, maxMark), start: 0, end: 0 };
}

/** Of a repeated name the last is the filter's: it writes below what is there. */
function lastRun(text: string, isIts: (name: string) => boolean): readonly Found[] {
  let last: Found[] = [];
  let end = -1;
  for (const field of fieldsOf(text)) {
    const name = field.name.toLowerCase();
    if (!isIts(name)) continue;
    if (field.start !== end) last = [];
    last.push({ name, field });
    end = field.end;
  }
  return [...new Map(last.map((found) => [found.name, found])).values()];
}

/** A filter that only leaves marks: they say why, and stay in the message. */
function marks(
  text: string,
  where: {
    readonly filter: FilterName;
    readonly place: 'top' | 'end';
    readonly reasonsIn: string | undefined;
    readonly isOurs: (address: string) => boolean;
  },
  { its, telling }: Family,
): Block | undefined {
  const { filter, place, reasonsIn, isOurs } = where;
  const found = place === 'top' ? nextToReceived(text, its, isOurs) : lastRun(text, its);
  if (!found.some(({ name }) => telling(name))) return undefined;
  return { filter, fields: valuesOf(text, found, maxMark), start: 0, end: 0, ...(reasonsIn ? { reasonsIn } : {}) };
}

/** Neighbouring fields from `from` on, up to the first name that is not `its` or comes a second time. */
function run(text: string, its: (name: string) => boolean, twice: readonly string[] = [], from = 0): Found[] {
  const found: Found[] = [];
  const names = new Set<string>();
  let end = from;
  for (const field of fieldsOf(from === 0 ? text : text.slice(from))) {
    const name = field.name.toLowerCase();
    const at = { ...field, start: field.start + from, valueStart: field.valueStart + from, end: field.end + from };
    if (at.start !== end || !its(name) || (names.has(name) && !twice.includes(name))) break;
    names.add(name);
    found.push({ name, field: at });
    end = at.end;
  }
  return found;
}

function block(filter: FilterName, text: string, found: readonly Found[]): Block {
  const start = found[0]?.field.start ?? 0;
  const end = found.at(-1)?.field.end ?? 0;
  return { filter, fields: valuesOf(text, found), start, end };
}
