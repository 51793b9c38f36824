/**
 * BODY and BODYSTRUCTURE (RFC 3501 §7.4.2): what a part's header says about it, and the tree rendered. Types, encodings
 * and parameter names are shown in lower case, everything else as written.
 */
import { EMPTY_ENVELOPE, EnvelopeBuilder } from './envelope.ts';
import { type Field, fieldsOf, unfoldLatin1 } from './header.ts';
import { type Params, param, parseValued } from './params.ts';
import type { Part, TopHeader } from './parser.ts';
import { quote, quoteOrNil } from './quote.ts';
import { decodeParameter } from './words.ts';

/** A part as its header describes it. */
export interface Description {
  readonly type: string;
  readonly subtype: string;
  readonly params: Params;
  /** The boundary its parts are separated by; only for a multipart that has a usable one. */
  readonly boundary: string | undefined;
  /** In lower case; '7bit' by default. */
  readonly encoding: string;
  readonly id: string | undefined;
  readonly description: string | undefined;
  readonly md5: string | undefined;
  readonly disposition: string | undefined;
  readonly language: string | undefined;
  readonly location: string | undefined;
}

/** RFC 2046 §5.1.1 allows 70; no part of ours may hide behind a longer one that others understand. */
export const MAX_BOUNDARY = 1000;

/** Octets of Content-Language; the rest is cut. */
const MAX_LANGUAGES = 1000;

const PLAIN: Params = [['charset', 'us-ascii']];

/** Collects the fields of one header that describe a part. */
export class DescriptionBuilder {
  private readonly raw = new Map<string, string>();

  add(key: string, field: Field, header: string): void {
    if (key.startsWith('content-') && !this.raw.has(key)) this.raw.set(key, header.slice(field.valueStart, field.end));
  }

  /** `digest`: the part stands in a multipart/digest (RFC 2046 §5.1.5). */
  build(digest: boolean): Description {
    const type = this.type(digest);
    return {
      ...type,
      encoding: this.encoding(),
      id: this.line('content-id'),
      description: this.line('content-description'),
      md5: this.line('content-md5'),
      disposition: this.disposition(),
      language: this.language(),
      location: this.line('content-location'),
    };
  }

  private type(digest: boolean): Pick<Description, 'type' | 'subtype' | 'params' | 'boundary'> {
    const raw = this.raw.get('content-type');
    if (raw === undefined && digest) return { type: 'message', subtype: 'rfc822', params: [], boundary: undefined };
    const { value, params } = raw === undefined ? { value: '', params: [] } : parseValued(raw);
    const match = /^([\x21-\x2e\x30-\x7e]{1,127})\/([\x21-\x2e\x30-\x7e]{1,127})$/.exec(value.toLowerCase());
    // RFC 2045 §5.2: without a Content-Type, or with one that is none, it is plain text.
    if (!match) return { type: 'text', subtype: 'plain', params: PLAIN, boundary: undefined };
    const [, type = '', subtype = ''] = match;
    if (type === 'multipart') {
      const boundary = (param(params, 'boundary') ?? decodeParameter(params, 'boundary'))?.trimEnd();
      // A multipart that cannot have parts is not one: shown as the text it is.
      if (!boundary || boundary.length > MAX_BOUNDARY || /[^\x20-\xff]/.test(boundary))
        return { type: 'text', subtype: 'plain', params: PLAIN, boundary: undefined };
      return { type, subtype, params, boundary };
    }
    const known = type !== 'text' || decodeParameter(params, 'charset') !== undefined;
    return { type, subtype, params: known ? params : [...params, ...PLAIN], boundary: undefined };
  }

  private encoding(): string {
    const raw = this.raw.get('content-transfer-encoding');
    const value = raw === undefined ? '' : parseValued(raw).value.toLowerCase();
    return value === '' ? '7bit' : value;
  }

  private line(key: string): string | undefined {
    const raw = this.raw.get(key);
    return raw === undefined ? undefined : unfoldLatin1(raw);
  }

  private disposition(): string | undefined {
    const raw = this.raw.get('content-disposition');
    if (raw === undefined) return undefined;
    const { value, params } = parseValued(raw);
    return value === '' ? undefined : `(${quote(value.toLowerCase())} ${renderParams(params)})`;
  }

  /** RFC 3282. */
  private language(): string | undefined {
    const tags = this.line('content-language')
      ?.slice(0, MAX_LANGUAGES)
      .replace(/\([^()]*\)/g, '')
      .split(',')
      .map((tag) => tag.trim())
      .filter((tag) => tag !== '');
    return tags && tags.length > 0 ? `(${tags.map(quote).join(' ')})` : undefined;
  }
}

/** What a whole header says: its part's description and, for a message's header, the envelope. */
export function readHeader(
  header: string,
  isMessage: boolean,
  digest: boolean,
  top?: TopHeader,
): { readonly description: Description; readonly envelope: string } {
  const description = new DescriptionBuilder();
  const envelope = isMessage ? new EnvelopeBuilder() : undefined;
  for (const field of fieldsOf(header)) {
    const key = field.name.toLowerCase();
    description.add(key, field, header);
    envelope?.add(key, field, header);
    top?.field(key, field, header);
  }
  return { description: description.build(digest), envelope: envelope?.render() ?? EMPTY_ENVELOPE };
}

function renderParams(params: Params): string {
  if (params.length === 0) return 'NIL';
  return `(${params.map(([name, value]) => `${quote(name)} ${quote(value)}`).join(' ')})`;
}

/** The parts of a rendering that need no sizes; kept for each part while the message is read. */
export interface RenderedDescription {
  /** Type to encoding for a leaf; the subtype for a multipart. */
  readonly basic: string;
  /** Extension data, its leading blank included. */
  readonly extension: string;
}

export function renderDescription(d: Description, kind: Part['kind']): RenderedDescription {
  const rest = `${d.disposition ?? 'NIL'} ${d.language ?? 'NIL'} ${quoteOrNil(d.location)}`;
  if (kind === 'multipart') return { basic: quote(d.subtype), extension: ` ${renderParams(d.params)} ${rest}` };
  // Nested too deep to be looked into: shown as something to save.
  const opaque = d.type === 'multipart' || (isMessage(d) && kind === 'leaf');
  const type = opaque
    ? '"application" "octet-stream" NIL'
    : `${quote(d.type)} ${quote(d.subtype)} ${renderParams(d.params)}`;
  return {
    basic: `${type} ${quoteOrNil(d.id)} ${quoteOrNil(d.description)} ${quote(d.encoding)}`,
    extension: ` ${quoteOrNil(d.md5)} ${rest}`,
  };
}

export function isMessage(d: { readonly type: string; readonly subtype: string }): boolean {
  return d.type === 'message' && d.subtype === 'rfc822';
}

/** The whole tree; its depth is bounded by the parser. */
export function renderStructure(part: Part, extended: boolean): string {
  const extension = extended ? part.rendered.extension : '';
  if (part.kind === 'multipart') {
    let parts = '';
    for (const child of part.children) parts += renderStructure(child, extended);
    return `(${parts} ${part.rendered.basic}${extension})`;
  }
  const basic = `${part.rendered.basic} ${part.bodyEnd - part.bodyStart}`;
  if (part.kind === 'message') {
    const inner = part.children[0];
    const body = inner ? `${inner.envelope} ${renderStructure(inner, extended)}` : EMPTY_ENVELOPE;
    return `(${basic} ${body} ${part.lines}${extension})`;
  }
  return `(${basic}${part.isText ? ` ${part.lines}` : ''}${extension})`;
}
