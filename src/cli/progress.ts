/** One line on a terminal that says how far it is; elsewhere nothing. Drawn at most ten times a second. */
export class Progress {
  readonly #what: string;
  readonly #total: number;
  readonly #stream: NodeJS.WriteStream;
  #done = 0;
  #drawnAt = 0;

  constructor(what: string, total: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#what = what;
    this.#total = total;
    this.#stream = stream;
  }

  add(amount: number): void {
    this.#done += amount;
    const now = Date.now();
    if (!this.#stream.isTTY || now - this.#drawnAt < 100) return;
    this.#drawnAt = now;
    const part = this.#total > 0 ? Math.min(1, this.#done / this.#total) : 1;
    const full = Math.round(part * 30);
    this.#stream.write(`\r${this.#what} [${'#'.repeat(full)}${'.'.repeat(30 - full)}] ${Math.floor(part * 100)} %`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#stream.isTTY && this.#drawnAt > 0) this.#stream.write('\r\x1b[K');
  }
}
