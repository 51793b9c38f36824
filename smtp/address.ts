/**
 * Paths and parameters of MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.2; RFC 6531 §3.3). Rather lenient: a refused address is
 * mail that its MTA has to bounce. What is kept is kept as written: quotes, case, A-labels or UTF-8. Refused is only what
 * no next hop could be told: control characters, blanks and angle brackets outside quotes, an open quote.
 */
import { isUtf8 } from 'node:buffer';

export interface Path {
  /** Without angle brackets and source route; '' is the null path. */
  readonly address: string;
  /** Parameters by upper-case name, values as written (xtext not decoded), `true` without a value. */
  readonly params: Readonly<Record<string, string | true>>;
  /** A parameter that was given twice. */
  readonly duplicate?: string;
}

/** Commands are UTF-8 (RFC 6531). Octets that are not, from old senders, are kept as Latin-1 rather than lost. */
export function commandText(line: Uint8Array): string {
  const octets = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  return octets.toString(isUtf8(octets) ? 'utf8' : 'latin1');
}

/** Reads `MAIL FROM:<path> [parameters]`; `verb` is 'MAIL FROM' or 'RCPT TO'. Undefined: not that, or no usable path. */
export function parsePathCommand(verb: string, command: string): Path | undefined {
  const colon = command.indexOf(':');
  if (colon < 0) return undefined;
  const name = command.slice(0, colon).trim().replace(/\s+/g, ' ').toUpperCase();
  if (name !== verb) return undefined;
  // Rspamd 3.4 writes `MAIL FROM: <a@b>`, with a blank.
  const rest = command.slice(colon + 1).trimStart();
  const end = pathEnd(rest);
  if (end === undefined) return undefined;
  const address = rest[0] === '<' ? withoutRoute(rest.slice(1, end - 1)) : rest.slice(0, end);
  if (!isUsable(address)) return undefined;
  return readParams(address, rest.slice(end));
}

/** Past the `>` that closes the path, or past a bare address; quotes are respected. */
function pathEnd(text: string): number | undefined {
  const bracketed = text[0] === '<';
  let quoted = false;
  for (let i = bracketed ? 1 : 0; i < text.length; i++) {
    const c = text[i];
    if (quoted && c === '\\') i++;
    else if (c === '"') quoted = !quoted;
    else if (!quoted && c === '>') return bracketed ? i + 1 : undefined;
    else if (!quoted && !bracketed && c === ' ') return i;
  }
  return bracketed || quoted || text === '' ? undefined : text.length;
}

/** RFC 5321 §4.1.2, appendix C: a source route is accepted and ignored. */
function withoutRoute(path: string): string {
  if (path[0] !== '@') return path;
  const colon = path.indexOf(':');
  return colon < 0 ? path : path.slice(colon + 1);
}

/** A name alone (`postmaster`, RFC 5321 §4.1.1.3, but also what a cron job sends as) is usable. */
function isUsable(address: string): boolean {
  if (address === '') return true;
  if (/[\x00-\x1F\x7F-\x9F]/.test(address)) return false;
  let quoted = false;
  let at = -1;
  for (let i = 0; i < address.length; i++) {
    const c = address[i];
    if (quoted && c === '\\') i++;
    else if (c === '"') quoted = !quoted;
    else if (!quoted && (c === ' ' || c === '<' || c === '>')) return false;
    else if (!quoted && c === '@') at = i;
  }
  return !quoted && at !== 0 && at !== address.length - 1;
}

function readParams(address: string, text: string): Path | undefined {
  if (text !== '' && text[0] !== ' ') return undefined;
  const params: Record<string, string | true> = {};
  let duplicate: string | undefined;
  for (const word of text.split(' ')) {
    if (word === '') continue;
    // RFC 5321 §4.1.2: esmtp-keyword ["=" esmtp-value]; RFC 6531 allows UTF-8 in values.
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=(.*))?$/s.exec(word);
    const [, keyword = '', value] = match ?? [];
    if (!match || (value !== undefined && /[\x00-\x1F\x7F-\x9F]/.test(value))) return undefined;
    const key = keyword.toUpperCase();
    if (Object.hasOwn(params, key)) duplicate ??= key;
    params[key] = value ?? true;
  }
  return duplicate === undefined ? { address, params } : { address, params, duplicate };
}

/**
 * Paths in angle brackets, separated by commas, as amavis writes them into X-Envelope-To. Undefined if any of them cannot
 * be read: half a list of recipients is worse than none. Null paths are left out.
 */
export function parsePathList(text: string): string[] | undefined {
  const found: string[] = [];
  for (let rest = text.trimStart(); rest !== ''; ) {
    const end = rest[0] === '<' ? pathEnd(rest) : undefined;
    if (end === undefined) return undefined;
    const address = withoutRoute(rest.slice(1, end - 1));
    if (!isUsable(address)) return undefined;
    if (address !== '') found.push(address);
    rest = rest.slice(end).trimStart();
    if (rest[0] === ',') rest = rest.slice(1).trimStart();
    else if (rest !== '') return undefined;
  }
  return found;
}
