/**
 * The filter's block: the fields that a filter wrote into the header of the message it hands over (DESIGN §7.1). Only
 * they are believed. A sender can write the same names; what keeps his words out is their place: the block is the fields
 * from the top up to the first `Received:`, the first repeated name, or the first name this filter never writes.
 */
import { type Field, fieldsOf, latin1, textOfLatin1, unfoldLatin1 } from '#imap/mime/header';

export type FilterName = 'amavis' | 'rspamd' | 'rspamd-milter' | 'spamassassin';
/** none: no field of the message is a filter's; whatever stands there, its sender wrote. */
export type FilterSetting = 'auto' | 'none' | FilterName;

export interface BlockField {
  /** Lower case. */
  readonly name: string;
  /** As text, unfolded. */
  readonly value: string;
  /** As it stands there, folds and all; one character for one octet. */
  readonly raw: string;
}

export interface Block {
  readonly filter: FilterName;
  readonly fields: readonly BlockField[];
  /** Octets that are no part of the message that is kept. Empty for rspamd-milter: its fields stay where they are. */
  readonly start: number;
  readonly end: number;
}

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
/** rspamd's milter_headers (INTEGRATIONS §3.4), those that it puts at the end of the header. */
const milterNames = new Set([
  'deliver-to',
  'x-rspamd-action',
  'x-rspamd-pre-result',
  'x-rspamd-queue-id',
  'x-rspamd-server',
  'x-spam',
  'x-spam-flag',
  'x-spam-level',
  'x-spam-score',
  'x-spam-status',
  'x-spamd-bar',
  'x-spamd-result',
  'x-virus',
]);
/** Fields of that list that others write as well; alone they are not the milter's. */
const commonNames = new Set(['deliver-to', 'x-spam-flag', 'x-spam-level', 'x-spam-score', 'x-virus']);
const isSpamAssassins = (name: string) => name.startsWith('x-spam-');

interface Found {
  readonly name: string;
  readonly field: Field;
}

export function findBlock(header: Uint8Array, setting: FilterSetting): Block | undefined {
  if (setting === 'none') return undefined;
  const text = latin1(header);
  if (setting === 'auto') return recognise(text);
  if (setting === 'amavis') return amavis(text, ['x-quarantine-id', 'x-envelope-to']);
  if (setting === 'rspamd') return rspamd(text, ['x-envelope-to', 'x-spamd-result']);
  return setting === 'spamassassin' ? spamassassin(text) : milter(text);
}

/** A filter by what only it writes. Not rspamd's milter: at the end of a header anybody can have written. */
function recognise(text: string): Block | undefined {
  const top = run(text, (name) => name.startsWith('x-spam-') && name !== 'x-spam-action');
  if (top.some(({ name }) => name === 'x-spam-checker-version')) return block('spamassassin', text, top);
  return rspamd(text, ['x-quarantine-client', 'x-spamd-result', 'x-spam-action']) ?? amavis(text, ['x-quarantine-id']);
}

/** Any of `proof` makes it amavis' block. */
function amavis(text: string, proof: readonly string[]): Block | undefined {
  const top = run(text, (name) => amavisNames.has(name), ['x-amavis-alert']);
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
function spamassassin(text: string): Block | undefined {
  let above: Found[] = [];
  for (const field of fieldsOf(text)) {
    const name = field.name.toLowerCase();
    if (above.at(-1)?.field.end !== field.start) above = [];
    if (name === 'received') {
      const its = above.length > 0 ? untilRepeated(above) : run(text, isSpamAssassins, [], field.end);
      return its.length > 0 ? block('spamassassin', text, its) : undefined;
    }
    if (isSpamAssassins(name)) above.push({ name, field });
  }
  const top = run(text, isSpamAssassins);
  return top.length > 0 ? block('spamassassin', text, top) : undefined;
}

function untilRepeated(found: readonly Found[]): readonly Found[] {
  const end = found.findIndex(({ name }, at) => found.findIndex((other) => other.name === name) < at);
  return end < 0 ? found : found.slice(0, end);
}

/** The last run of the milter's fields, wherever it is; of a repeated name the last is the milter's. */
function milter(text: string): Block | undefined {
  let last: Found[] = [];
  let current: Found[] = [];
  let end = -1;
  for (const field of fieldsOf(text)) {
    const name = field.name.toLowerCase();
    if (!milterNames.has(name)) current = [];
    else {
      if (field.start !== end) current = [];
      current.push({ name, field });
      last = current;
      end = field.end;
    }
  }
  if (last.every(({ name }) => commonNames.has(name))) return undefined;
  const latest = new Map(last.map((found) => [found.name, found]));
  return { filter: 'rspamd-milter', fields: valuesOf(text, [...latest.values()]), start: 0, end: 0 };
}

/** Neighbouring fields from `from` on, up to the first name that is not `its` or comes a second time. */
function run(text: string, its: (name: string) => boolean, repeats: readonly string[] = [], from = 0): Found[] {
  const found: Found[] = [];
  const names = new Set<string>();
  let end = from;
  for (const field of fieldsOf(from === 0 ? text : text.slice(from))) {
    const name = field.name.toLowerCase();
    const at = { ...field, start: field.start + from, valueStart: field.valueStart + from, end: field.end + from };
    if (at.start !== end || !its(name) || (names.has(name) && !repeats.includes(name))) break;
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

function valuesOf(text: string, found: readonly Found[]): BlockField[] {
  return found.map(({ name, field }) => {
    const raw = text.slice(field.valueStart, field.end);
    return { name, raw, value: textOfLatin1(unfoldLatin1(raw)) };
  });
}

export function fieldText(block: Block, name: string): string | undefined {
  return block.fields.find((field) => field.name === name)?.value;
}
