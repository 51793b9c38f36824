/**
 * Where the links of a text lead: of HTML what its elements point to, of any text the addresses that a mail program would
 * make links of. Linear on anything: every character is looked at a fixed number of times, and what is kept is bounded.
 */
import type { LinkDomain } from '#store/model';
import { isShortener } from './shorteners.ts';

/** Links of one message that are looked at, and different domains that are kept. */
const maxLinks = 20_000;
const maxDomains = 200;
/** Labels of a domain, and its characters: before them stands only what makes each link another one. */
const maxLabels = 5;
const maxDomainLength = 100;
/** No host is longer. A user name before it may be, and hides nothing. */
const maxHost = 260;

/** Attributes that hold an address. */
const linking: ReadonlySet<string> = new Set(
  'href src action formaction background poster data longdesc cite ping xlink:href'.split(' '),
);

export class Links {
  readonly #counts = new Map<string, number>();
  /** Written the same way it is the same: hosts come in many copies. */
  readonly #known = new Map<string, string>();
  #left = maxLinks;
  /** Some were not looked at, or not kept. */
  cut = false;

  html(text: string): void {
    let rest = '';
    scanTags(text, {
      words: (from, to) => {
        rest += `${text.slice(from, to)} `;
      },
      attribute: (name, value) => {
        if (linking.has(name)) this.#address(withoutEntities(value).replace(/[\t\r\n]/g, ''));
        else if (value.includes('/')) rest += `${value} `; // srcset, style, a refresh
      },
    });
    this.plain(withoutEntities(rest));
  }

  plain(text: string): void {
    // Each begins with letters that nothing before them can share, and no piece can match what the next one can.
    for (const [, authority, bare] of text.matchAll(
      /(?:https?|ftp):[\\/]{2,9}([^\s"'<>\\/?#(){}|^`,;]{1,2048})|(?<![\w.@/-])(www\.[^\s"'<>\\/?#(){}|^`,;@]{1,300})/gi,
    ))
      this.#host(authority ?? bare ?? '');
  }

  /** By count, then by name. */
  get found(): readonly LinkDomain[] {
    return [...this.#counts]
      .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
      .map(([domain, count]) => ({ domain, count, ...(isShortener(domain) ? { shortener: true as const } : {}) }));
  }

  /** What an attribute says, as browsers read it: blanks around it, backslashes for slashes, no scheme, or no slashes. */
  #address(value: string): void {
    const match = /^\s{0,100}(?:(?:https?|ftp):[\\/]{0,9}|[\\/]{2,9})([^\s"'<>\\/?#]{1,2048})/i.exec(value);
    if (match) this.#host(match[1] ?? '');
  }

  #host(authority: string): void {
    if (this.#left === 0) {
      this.cut = true;
      return;
    }
    this.#left -= 1;
    const host = trimmed(authority.slice(authority.lastIndexOf('@') + 1));
    if (host.length > maxHost) return;
    let domain = this.#known.get(host);
    if (domain === undefined) {
      domain = domainOf(host);
      this.#known.set(host, domain);
    }
    if (domain === '') return;
    const count = this.#counts.get(domain);
    if (count === undefined && this.#counts.size >= maxDomains) this.cut = true;
    else this.#counts.set(domain, (count ?? 0) + 1);
  }
}

/** Without what ends a sentence behind an address. */
function trimmed(host: string): string {
  let end = host.length;
  while (end > 0 && '.:!*'.includes(host[end - 1] as string)) end -= 1;
  return host.slice(0, end);
}

/** `Müller.example:8080` -> `xn--mller-kva.example`; '' for what is no host. */
function domainOf(host: string): string {
  let name: string;
  try {
    // Undoes %41, IDNA and the many ways to write an IPv4 address, as browsers do.
    name = new URL(`http://${host}/`).hostname;
  } catch {
    return '';
  }
  name = trimmed(name);
  if (name.startsWith('[') || /^[\d.]+$/.test(name)) return name;
  if (!name.includes('.')) return '';
  const labels = name.split('.').slice(-maxLabels);
  while (labels.length > 2 && labels.join('.').length > maxDomainLength) labels.shift();
  const kept = labels.join('.');
  return kept.length > 253 ? '' : kept;
}

const named: Readonly<Record<string, string>> = {
  amp: '&',
  colon: ':',
  sol: '/',
  period: '.',
  commat: '@',
  tab: '\t',
  newline: '\n',
  lt: '<',
  gt: '>',
  quot: '"',
};

function withoutEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(?:x([0-9a-f]{1,6})|(\d{1,7}))|([a-z]{2,7}));?/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return named[name.toLowerCase()] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

interface Seen {
  words(from: number, to: number): void;
  /** `name` in lower case. */
  attribute(name: string, value: string): void;
}

/** Text and attributes of HTML, as far as links go: comments are text (some programs look into them). */
function scanTags(text: string, seen: Seen): void {
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('<', at);
    if (open < 0) break;
    if (open > at) seen.words(at, open);
    at = /[a-z/]/i.test(text[open + 1] ?? '') ? scanTag(text, open + 1, seen) : open + 1;
  }
  if (at < text.length) seen.words(at, text.length);
}

const isBlank = (c: number): boolean => c === 32 || (c >= 9 && c <= 13) || c === 47;

/** One tag, from behind its `<`; answers where it ends. A quote that is never closed ends with the text. */
function scanTag(text: string, from: number, seen: Seen): number {
  let at = from;
  while (at < text.length && !isBlank(text.charCodeAt(at)) && text[at] !== '>') at += 1;
  for (;;) {
    while (isBlank(text.charCodeAt(at))) at += 1;
    if (at >= text.length) return at;
    if (text[at] === '>') return at + 1;
    const start = at;
    while (at < text.length && !isBlank(text.charCodeAt(at)) && text[at] !== '=' && text[at] !== '>') at += 1;
    const name = text.slice(start, Math.min(at, start + 40)).toLowerCase();
    while (at < text.length && isBlank(text.charCodeAt(at)) && text[at] !== '/') at += 1;
    if (text[at] !== '=') {
      if (at === start) at += 1;
      continue;
    }
    at += 1;
    while (at < text.length && isBlank(text.charCodeAt(at)) && text[at] !== '/') at += 1;
    const quote = text[at];
    let end: number;
    if (quote === '"' || quote === "'") {
      at += 1;
      end = text.indexOf(quote, at);
      if (end < 0) end = text.length;
      seen.attribute(name, text.slice(at, end));
      at = end + 1;
    } else {
      end = at;
      while (end < text.length && !isUnquotedEnd(text.charCodeAt(end))) end += 1;
      seen.attribute(name, text.slice(at, end));
      at = end;
    }
  }
}

const isUnquotedEnd = (c: number): boolean => c === 62 || c === 32 || (c >= 9 && c <= 13);
