/** Finds the end of a header in octets that come in pieces: past the first empty line, ended by CRLF or a bare LF. */
const LF = 10;
const CR = 13;

export class HeaderEnd {
  #line: 'empty' | 'cr' | 'text' = 'empty';
  #found = false;

  get found(): boolean {
    return this.#found;
  }

  /** Where in this piece the body begins (its length, if with the next piece); undefined while the header goes on. */
  push(piece: Uint8Array): number | undefined {
    if (this.#found) return 0;
    for (let at = 0; at < piece.length; ) {
      if (this.#line === 'text') {
        const lf = piece.indexOf(LF, at);
        if (lf < 0) return undefined;
        this.#line = 'empty';
        at = lf + 1;
        continue;
      }
      const octet = piece[at];
      if (octet === LF) {
        this.#found = true;
        return at + 1;
      }
      // A CR alone is text, and so is what follows it.
      this.#line = octet === CR && this.#line === 'empty' ? 'cr' : 'text';
      at++;
    }
    return undefined;
  }
}
