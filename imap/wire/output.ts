/**
 * The way out of one connection. Bytes are gathered into large buffers and written in order; nothing is assembled as one
 * string for a whole answer. A client that stops reading costs a bounded buffer: writers wait in `ready`.
 */
export interface Output {
  /** ASCII or UTF-8 text. */
  text(text: string): void;
  bytes(bytes: Uint8Array): void;
  /** A decimal number. */
  number(value: number): void;
  /**
   * Resolves when more may be written: at once while little is buffered (answers undefined then, so that hot loops need not
   * await), else when the peer has read. Rejects when the connection is gone.
   */
  ready(): Promise<void> | undefined;
}
