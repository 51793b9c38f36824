/**
 * SPF, DKIM, DMARC and ARC as our own servers found them (RFC 8601 §5: whoever reads such fields must know whose they are).
 * A stranger can write every one of these fields, and our names into them; so two things must hold: the field names a
 * server of `intake.authservIds`, and it stands where only our servers write.
 *
 * That place is followed from the top: fields above and right below a Received of ours. A Received whose client was one of
 * our own machines (loopback, or one that may hand mail over) has another of ours below it; the first that tells of a
 * stranger is the border, and the run of such fields right below it is the last that is read. That run is where Postfix puts
 * what its milters insert (seen: test/fixtures/filtered/rspamd-milter-add-header.eml); below it are the sender's lines.
 */
import { fieldsOf, unfoldLatin1 } from '#imap/mime/header';
import type { Authentication } from '#store/model';

export interface Believed {
  /** `intake.authservIds`, in lower case. */
  readonly authservIds: readonly string[];
  /** Machines of ours, by their address. */
  isOurs(address: string): boolean;
}

type Method = keyof Authentication;
const methods: readonly Method[] = ['spf', 'dkim', 'dmarc', 'arc'];

/** Fields that servers and filters add on the way; any other is where the message itself begins. */
const trace =
  /^(?:received-spf|authentication-results|arc-.{1,60}|dkim-.{1,60}|domainkey-signature|return-path|delivered-to|x-original-to|x-(?:spam|virus|amavis|rspamd|quarantine|greylist|envelope|policyd).{0,100})$/;
const maxFields = 200;

/** From the header as a Latin-1 string, below `from`, the end of the filter's block. Undefined where nothing is believed. */
export function readAuthentication(text: string, from: number, believed: Believed): Authentication | undefined {
  if (believed.authservIds.length === 0) return undefined;
  const found: Partial<Record<Method, string>> = {};
  let isPastBorder = false;
  let read = 0;
  for (const field of fieldsOf(from > 0 ? text.slice(from) : text)) {
    if (++read > maxFields) break;
    const name = field.name.toLowerCase();
    const value = () =>
      unfoldLatin1(text.slice(from + field.valueStart, from + Math.min(field.end, field.start + 8000)));
    if (name === 'received') {
      if (isPastBorder) break;
      const client = clientOf(value());
      isPastBorder = client === undefined || !believed.isOurs(client);
    } else if (!trace.test(name)) break;
    else if (name === 'authentication-results') note(found, resultsIn(value(), believed, false));
    else if (name === 'arc-authentication-results') note(found, resultsIn(value(), believed, true));
    else if (name === 'received-spf') note(found, spfIn(value(), believed));
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

/** The topmost word counts: what was written last was written nearest to us. */
function note(found: Partial<Record<Method, string>>, more: Partial<Record<Method, string>>): void {
  for (const method of methods) found[method] ??= more[method] as string;
  for (const method of methods) if (found[method] === undefined) delete found[method];
}

/** `host; spf=pass smtp.mailfrom=x; dkim=fail (why); dmarc=none`; ARC's has `i=1;` before it (RFC 8617 §4.1.1). */
function resultsIn(value: string, believed: Believed, isArc: boolean): Partial<Record<Method, string>> {
  const pieces = withoutComments(value).split(';', 60);
  if (isArc) pieces.shift();
  const id = pieces.shift()?.trim().split(/\s/, 1)[0]?.toLowerCase() ?? '';
  const found: Partial<Record<Method, string>> = {};
  if (!believed.authservIds.includes(id)) return found;
  for (const piece of pieces) {
    const [, method, result] = /^\s{0,20}(spf|dkim|dmarc|arc)\s{0,9}=\s{0,9}([a-z]{1,20})\b/i.exec(piece) ?? [];
    const key = method?.toLowerCase() as Method | undefined;
    const word = result?.toLowerCase();
    if (!key || !word) continue;
    // Of several signatures one that verifies is enough (RFC 6376 §6.1).
    if (found[key] === undefined || word === 'pass') found[key] = word;
  }
  return found;
}

/** RFC 7208 §9.1: `pass (mx.example.test: domain of …) receiver=mx.example.test; client-ip=…;`. */
function spfIn(value: string, believed: Believed): Partial<Record<Method, string>> {
  const result = /^\s{0,20}([a-z]{1,20})\b/i.exec(value)?.[1]?.toLowerCase();
  const receiver =
    /(?:^|[\s;])receiver=([^\s;]{1,255})/i.exec(withoutComments(value))?.[1] ??
    /^\s{0,20}[a-z]{1,20}\s{1,9}\(([^\s:()]{1,255}):/i.exec(value)?.[1];
  return result && receiver && believed.authservIds.includes(receiver.toLowerCase()) ? { spf: result } : {};
}

/** RFC 5322 §3.2.2 comments out, nested ones too, and what stands in quotes: properties, which nobody asks for here. */
function withoutComments(text: string): string {
  let out = '';
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (c === '\\') {
      at++;
    } else if (c === '"' && depth === 0) isQuoted = !isQuoted;
    else if (c === '(' && !isQuoted) depth++;
    else if (c === ')' && depth > 0 && !isQuoted) depth--;
    else if (depth === 0 && !isQuoted) out += c;
  }
  return out;
}

/**
 * The address that a server wrote down for its client: `from HELO (NAME [ADDRESS])`, by Postfix, Sendmail and amavis, or
 * `from NAME ([ADDRESS] helo=HELO)`, by Exim. What the client said of itself stands before or behind that, and is not read.
 */
export function clientOf(received: string): string | undefined {
  return /^\s{0,20}from\s{1,20}\S{1,300}\s{1,20}\((?!HELO\s|EHLO\s)(?:[^\s()[\]=]{1,300}\s{1,9})?\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\]/.exec(
    received,
  )?.[1];
}
