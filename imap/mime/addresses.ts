/**
 * Address lists of header fields (RFC 5322 §3.4, the obsolete forms of §4.4 too), for ENVELOPE. Anything is accepted:
 * what is not an address still shows up as something. One pass; an unclosed quote or comment is looked for once.
 */

export interface Address {
  /** Display name, else the last comment. Encoded words stay. */
  readonly name: string | undefined;
  /** Source route (`@a,@b`). */
  readonly route: string | undefined;
  readonly mailbox: string;
  /** '' if there is none. */
  readonly host: string;
}

export interface AddressSink {
  address(address: Address): void;
  groupStart(name: string): void;
  groupEnd(): void;
  /** Nothing more is wanted. */
  readonly full: boolean;
}

/** Octets of one name, mailbox, host or comment; the rest is cut. Nobody's name is that long, and ENVELOPE shows From three times. */
const MAX_TEXT = 8192;

/** What ends a run of ordinary octets: blanks and `" ( ) , : ; < > @ \ [`. */
const SPECIAL = new Uint8Array(256);
for (const c of ' \t"(),:;<>@[\\') SPECIAL[c.charCodeAt(0)] = 1;

class AddressParser {
  private readonly text: string;
  private readonly sink: AddressSink;
  private at = 0;
  private quotesBroken = false;
  private commentsBroken = false;
  private inGroup = false;

  // Of the address being read:
  private phrase = '';
  private blank = false;
  private wordStart = 0;
  private atSign = -1;
  private comment: string | undefined;
  private angle: { route: string | undefined; mailbox: string; host: string } | undefined;

  constructor(text: string, sink: AddressSink) {
    this.text = text;
    this.sink = sink;
  }

  parse(): void {
    const { text } = this;
    while (this.at < text.length && !this.sink.full) {
      const c = text[this.at]!;
      if (c === ' ' || c === '\t') {
        this.blank = true;
        this.at++;
      } else if (c === ',') {
        this.at++;
        this.finish();
      } else if (c === ';') {
        this.at++;
        this.finish();
        this.endGroup();
      } else if (c === '<') this.readAngle();
      else if (c === '(' && this.readComment()) this.blank = true;
      else if (c === '@') this.readAt();
      else if (c === ':' && !this.inGroup && !this.angle && this.atSign < 0) this.startGroup();
      else this.add(this.readWord());
    }
    this.finish();
    this.endGroup();
  }

  /** A quoted string's content, a domain literal, or octets up to the next special one; one special octet if need be. */
  private readWord(): string {
    const { text } = this;
    const c = text[this.at];
    if (c === '"') return this.readQuoted() ?? this.take(1);
    if (c === '[') {
      const end = this.literalEnd();
      return this.take(end - this.at);
    }
    let end = this.at;
    while (end < text.length && SPECIAL[text.charCodeAt(end) & 0xff] === 0) end++;
    return this.take(Math.max(1, end - this.at));
  }

  private take(length: number): string {
    const from = this.at;
    this.at += length;
    return this.text.slice(from, this.at);
  }

  private literalEnd(): number {
    let end = this.at + 1;
    while (end < this.text.length && end < this.at + 256 && !'[]\\,<>'.includes(this.text[end]!)) end++;
    return this.text[end] === ']' ? end + 1 : this.at + 1;
  }

  private readQuoted(): string | undefined {
    const { text } = this;
    if (this.quotesBroken) return undefined;
    let out = '';
    let from = this.at + 1;
    for (let i = from; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c === 34) {
        this.at = i + 1;
        return out + text.slice(from, i);
      }
      if (c === 92) {
        out += text.slice(from, i);
        from = ++i;
      }
    }
    this.quotesBroken = true; // the quote is never closed: it and all later ones count as ordinary octets
    return undefined;
  }

  private readComment(): boolean {
    const { text } = this;
    if (this.commentsBroken) return false;
    let depth = 0;
    for (let i = this.at; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c === 92) i++;
      else if (c === 40) depth++;
      else if (c === 41 && --depth === 0) {
        const content = text.slice(this.at + 1, Math.min(i, this.at + MAX_TEXT)).trim();
        if (content !== '') this.comment = content.replace(/\\(.)/g, '$1');
        this.at = i + 1;
        return true;
      }
    }
    this.commentsBroken = true;
    return false;
  }

  private add(word: string): void {
    if (this.angle) return; // text behind <…>
    if (this.blank && this.phrase !== '' && this.atSign !== this.phrase.length) {
      this.phrase += ' ';
      this.wordStart = this.phrase.length;
    }
    this.blank = false;
    if (this.phrase.length < MAX_TEXT) this.phrase += word.slice(0, MAX_TEXT);
  }

  /** The last `@` counts; blanks around it do not. */
  private readAt(): void {
    this.at++;
    if (this.angle) return;
    this.blank = false;
    if (this.phrase.length < MAX_TEXT) this.phrase += '@';
    this.atSign = this.phrase.length;
  }

  private readAngle(): void {
    const { text } = this;
    this.at++;
    let route: string | undefined;
    let content = '';
    let separator = -1;
    let empty = true;
    while (this.at < text.length) {
      const c = text[this.at]!;
      if (c === '>') {
        this.at++;
        break;
      }
      if (c === '<') {
        this.at++;
        content = '';
        separator = -1;
      } else if (c === ' ' || c === '\t') this.at++;
      else if (c === '(' && this.readComment()) continue;
      else if (c === ',' && !(content.startsWith('@') && route === undefined))
        break; // `<a@b, c@d`: never closed
      else if (c === ';' && this.inGroup) break;
      else if (c === ':' && content.startsWith('@') && route === undefined) {
        this.at++;
        route = content;
        content = '';
        separator = -1;
      } else {
        empty = false;
        if (c === '@') separator = content.length;
        const word = c === '@' || c === ',' || c === ':' ? this.take(1) : this.readWord();
        if (content.length < MAX_TEXT) content += word.slice(0, MAX_TEXT);
      }
    }
    if (empty && this.phrase === '') return; // `<>` alone is nobody
    this.angle ??= {
      route,
      mailbox: separator < 0 ? content : content.slice(0, separator),
      host: separator < 0 ? '' : content.slice(separator + 1),
    };
  }

  private finish(): void {
    const { phrase, angle, comment } = this;
    if (angle) this.sink.address({ name: phrase === '' ? comment : phrase, ...angle });
    else if (phrase !== '') {
      const hasHost = this.atSign >= 0;
      // `Ann Example ann@example.org`: the words before the last one are a name.
      const from = hasHost && this.wordStart < this.atSign ? this.wordStart : 0;
      const name = from > 0 ? phrase.slice(0, from).trimEnd() : comment;
      this.sink.address({
        name,
        route: undefined,
        mailbox: hasHost ? phrase.slice(from, this.atSign - 1).trimEnd() : phrase,
        host: hasHost ? phrase.slice(this.atSign).trim() : '',
      });
    }
    this.reset();
  }

  private startGroup(): void {
    this.at++;
    this.sink.groupStart(this.phrase);
    this.inGroup = true;
    this.reset();
  }

  private endGroup(): void {
    if (this.inGroup) this.sink.groupEnd();
    this.inGroup = false;
  }

  private reset(): void {
    this.phrase = '';
    this.blank = false;
    this.wordStart = 0;
    this.atSign = -1;
    this.comment = undefined;
    this.angle = undefined;
  }
}

/** Reads an unfolded field value (a Latin-1 string). */
export function parseAddresses(text: string, sink: AddressSink): void {
  new AddressParser(text, sink).parse();
}
