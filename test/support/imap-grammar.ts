/**
 * Is this a response an IMAP4rev1 server with our extensions may send? Takes one whole response, literals inline, as Latin-1.
 * Answers what is wrong with it, or undefined.
 */
export function checkResponse(response: string): string | undefined {
  try {
    new Check(response).response();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

class Check {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  response(): void {
    if (this.#takes('+ ')) {
      this.#prose();
    } else {
      if (!this.#takes('* ')) {
        this.#match(/[^\x00-\x20(){%*"\\+\x7f-\xff]+/y, 'a tag');
        this.#match(/ (?=OK |NO |BAD )/y, 'OK, NO or BAD');
      }
      this.#named(this.#match(/[A-Z0-9]+/y, 'a word'));
    }
    this.#end();
  }

  #named(word: string): void {
    if (/^[0-9]+$/.test(word)) {
      this.#numbered();
      return;
    }
    switch (word) {
      case 'OK':
      case 'NO':
      case 'BAD':
      case 'BYE':
        this.#match(/ /y, 'a blank');
        this.#condition();
        break;
      case 'CAPABILITY':
      case 'ENABLED':
        while (!this.#atEnd()) this.#match(/ [A-Z0-9=+-]+/iy, 'an atom');
        break;
      case 'FLAGS':
        this.#match(/ /y, 'a blank');
        this.#list(() => this.#match(/\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+/y, 'a flag'));
        break;
      case 'LIST':
      case 'LSUB':
        this.#match(/ /y, 'a blank');
        this.#list(() => this.#match(/\\[A-Za-z]+/y, 'an attribute'));
        this.#match(/ "\/" /y, 'the delimiter');
        this.#mailbox();
        if (this.#takes(' ')) this.#value();
        break;
      case 'STATUS':
        this.#match(/ /y, 'a blank');
        this.#mailbox();
        this.#match(/ /y, 'a blank');
        this.#list(() => this.#match(/[A-Z]+ [0-9]+/y, 'an item and its number'));
        break;
      case 'SEARCH':
        while (this.#peek(/ [1-9]/y)) this.#match(/ [1-9][0-9]*/y, 'a number');
        if (!this.#atEnd()) this.#match(/ \(MODSEQ [1-9][0-9]*\)/y, 'a mod-sequence');
        break;
      case 'ESEARCH':
        this.#match(/ \(TAG "[^"\\]+"\)/y, 'the tag');
        this.#takes(' UID');
        while (!this.#atEnd()) this.#match(/ (?:MIN|MAX|COUNT|ALL|MODSEQ) [0-9,:]+/y, 'a result');
        break;
      case 'NAMESPACE':
      case 'ID':
        while (!this.#atEnd()) {
          this.#match(/ /y, 'a blank');
          this.#value();
        }
        break;
      default:
        throw new Error(`No response is called ${word}`);
    }
  }

  #numbered(): void {
    const what = this.#match(/ (?:EXISTS|RECENT|EXPUNGE|FETCH )/y, 'EXISTS, RECENT, EXPUNGE or FETCH');
    if (what === ' EXPUNGE' && this.#text.startsWith('* 0 ')) throw new Error('No message has the number 0');
    if (what === ' FETCH ') {
      this.#list(() => {
        const item = this.#match(/BODY\[[^\]]*\](?:<[0-9]+>)?|RFC822(?:\.[A-Z]+)?|[A-Z]+/y, 'an item');
        this.#match(/ /y, 'a blank');
        if (item === 'FLAGS') this.#list(() => this.#match(/\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+/y, 'a flag'));
        else if (item === 'UID' || item === 'RFC822.SIZE') this.#match(/[0-9]+/y, 'a number');
        else if (item === 'MODSEQ') this.#match(/\([1-9][0-9]*\)/y, 'a mod-sequence');
        else if (item === 'INTERNALDATE')
          this.#match(/"[ 0-3][0-9]-[A-Z][a-z]{2}-[0-9]{4} [0-9:]{8} [+-][0-9]{4}"/y, 'a date and time');
        else if (item.startsWith('BODY[') || item.startsWith('RFC822')) this.#string();
        else this.#value();
      });
    }
  }

  #condition(): void {
    if (this.#takes('[')) {
      this.#match(/[A-Z0-9-]+/y, 'a code');
      if (this.#takes(' ')) this.#match(/[^\]\r\n]+/y, "the code's arguments");
      this.#match(/\] /y, 'the end of the code');
    }
    this.#prose();
  }

  #prose(): void {
    // UTF-8 is beyond RFC 3501's `text`, but is what clients show.
    this.#match(/[^\x00-\x1f\x7f]*/y, 'text');
  }

  #mailbox(): void {
    const name = this.#match(/"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/y, 'a mailbox name');
    if (/&(?![A-Za-z0-9+,]*-)/.test(name)) throw new Error('A bare & in a mailbox name');
  }

  #value(): void {
    if (this.#peek(/\(/y)) {
      // BODYSTRUCTURE's parts stand side by side without blanks.
      this.#at++;
      while (!this.#takes(')')) {
        this.#value();
        if (!this.#peek(/[()]/y)) this.#match(/ (?!\))/y, 'a blank');
      }
    } else if (this.#peek(/["{]/y)) this.#string();
    else this.#match(/NIL|[0-9]+/y, 'NIL or a number');
  }

  #string(): void {
    if (this.#peek(/\{/y)) {
      const size = Number(/[0-9]+/.exec(this.#match(/\{[0-9]+\}\r\n/y, 'a literal'))![0]);
      const literal = this.#text.slice(this.#at, this.#at + size);
      if (literal.length !== size) throw new Error('A literal is too short');
      if (literal.includes('\0')) throw new Error('NUL in a literal');
      this.#at += size;
    } else this.#match(/NIL|"(?:[^\x00\r\n"\\\x80-\xff]|\\["\\])*"/y, 'a string');
  }

  #list(item: () => void): void {
    this.#match(/\(/y, 'a list');
    if (this.#takes(')')) return;
    do item();
    while (this.#takes(' '));
    this.#match(/\)/y, 'the end of the list');
  }

  #takes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #peek(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#text);
  }

  #match(pattern: RegExp, what: string): string {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (!match) throw new Error(`Expected ${what} at ${this.#at + 1}`);
    this.#at += match[0].length;
    return match[0];
  }

  #atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  #end(): void {
    if (!this.#atEnd()) throw new Error(`Nothing was expected at ${this.#at + 1}`);
  }
}
