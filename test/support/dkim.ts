/**
 * Signs and verifies DKIM (RFC 6376, rsa-sha256) for tests, with keys in hand instead of DNS. Both canonicalisations; a
 * name in `h=` beyond the fields that are there stands for their absence (§5.4.2), which is what a release must not end.
 */
import { createHash, createSign, createVerify, type KeyObject } from 'node:crypto';

export type Canonical = 'simple' | 'relaxed';

interface Field {
  readonly name: string;
  /** With its colon, folds and last CRLF. */
  readonly raw: string;
}

export function signDkim(
  message: string,
  key: KeyObject,
  o: { readonly canonical: Canonical; readonly signed: readonly string[] },
): string {
  const { header, body } = split(message);
  const bodyHash = createHash('sha256').update(canonicalBody(body, o.canonical), 'latin1').digest('base64');
  const unsigned =
    `DKIM-Signature: v=1; a=rsa-sha256; c=${o.canonical}/${o.canonical}; d=elsewhere.example;\r\n` +
    `\ts=test; h=${o.signed.join(':')};\r\n\tbh=${bodyHash};\r\n\tb=`;
  const signature = createSign('sha256')
    .update(signedOctets(fieldsOf(header), o.signed, o.canonical, `${unsigned}\r\n`), 'latin1')
    .sign(key, 'base64');
  return `${unsigned}${signature.replace(/.{60}(?=.)/g, '$&\r\n\t')}\r\n${message}`;
}

/** Undefined when the signature holds, else what does not. */
export function dkimFault(message: string, key: KeyObject): string | undefined {
  const { header, body } = split(message);
  const fields = fieldsOf(header);
  const own = fields.find(({ name }) => name === 'dkim-signature');
  if (!own) return 'there is no signature';
  const tags = new Map(
    own.raw
      .slice(own.raw.indexOf(':') + 1)
      .split(';')
      .map((tag) => {
        const at = tag.indexOf('=');
        return [tag.slice(0, at).trim(), tag.slice(at + 1).replace(/\s+/g, '')] as const;
      }),
  );
  const [headerForm, bodyForm] = (tags.get('c') ?? 'simple/simple').split('/') as [Canonical, Canonical];
  const bodyHash = createHash('sha256').update(canonicalBody(body, bodyForm), 'latin1').digest('base64');
  if (bodyHash !== tags.get('bh')) return 'the body was changed';
  const unsigned = own.raw.replace(/([;\s]b=)[^;]*$/, '$1\r\n');
  const octets = signedOctets(
    fields.filter((field) => field !== own),
    (tags.get('h') ?? '').split(':'),
    headerForm,
    unsigned,
  );
  const holds = createVerify('sha256')
    .update(octets, 'latin1')
    .verify(key, tags.get('b') ?? '', 'base64');
  return holds ? undefined : 'the header was changed';
}

function split(message: string): { header: string; body: string } {
  const end = message.indexOf('\r\n\r\n');
  return { header: message.slice(0, end + 2), body: message.slice(end + 4) };
}

function fieldsOf(header: string): Field[] {
  return [...header.matchAll(/^([^\s:]+)[ \t]*:.*\r\n(?:[ \t].*\r\n)*/gm)].map(([raw, name]) => ({
    name: name!.toLowerCase(),
    raw,
  }));
}

/** §5.4.2: of several fields of a name the lowest first; §3.7: the signature itself last, without its CRLF. */
function signedOctets(fields: readonly Field[], signed: readonly string[], form: Canonical, own: string): string {
  const left = [...fields];
  let octets = '';
  for (const name of signed) {
    const at = left.findLastIndex((field) => field.name === name.toLowerCase());
    if (at >= 0) octets += canonicalField(left.splice(at, 1)[0]!.raw, form);
  }
  return octets + canonicalField(own, form).slice(0, -2);
}

function canonicalField(raw: string, form: Canonical): string {
  if (form === 'simple') return raw;
  const colon = raw.indexOf(':');
  const value = raw
    .slice(colon + 1)
    .replaceAll('\r\n', '')
    .replace(/[ \t]+/g, ' ')
    .trim();
  return `${raw.slice(0, colon).trim().toLowerCase()}:${value}\r\n`;
}

function canonicalBody(body: string, form: Canonical): string {
  const relaxed = form === 'relaxed' ? body.replace(/[ \t]+/g, ' ').replace(/ (?=\r\n|$)/g, '') : body;
  const text = relaxed.replace(/(?:\r\n)+$/, '');
  return text === '' && form === 'relaxed' ? '' : `${text}\r\n`;
}
