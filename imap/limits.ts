/** Every number the engine holds a client to, with its unit and its reason. Tests set their own. */
export interface Limits {
  /** Octets of one command's lines, literals and sequence numbers not counted. RFC 7162 §4 asks for 8192 at least. */
  readonly lineOctets: number;
  /** Octets of one command's lines, sequence numbers included, after login: 100,000 sparse UIDs in one UID MOVE. Before login `lineOctets`. */
  readonly setOctets: number;
  /** Octets of all literals of one command but APPEND's message: names, search texts. */
  readonly literalOctets: number;
  /** The same before login: a user name and a password. */
  readonly earlyLiteralOctets: number;
  /** Octets of a message in APPEND. */
  readonly appendOctets: number;
  /** Octets of a refused command that are read and thrown away, so that the connection may go on; 4 GiB ahead is nobody's mistake. */
  readonly skipOctets: number;
  /** Octets of input kept while a command runs; then the socket is not read. */
  readonly inputOctets: number;
  /** Octets waiting for the client to read; then whoever writes waits. With one gathering buffer (64 KiB) on top, 256 KiB are never reached. */
  readonly outputOctets: number;
  /** Bad commands in a row, then BYE: whoever speaks so does not speak IMAP. */
  readonly badCommands: number;
  /** Milliseconds from connecting to being logged in (TLS handshake included). */
  readonly loginTimeoutMs: number;
  /** Milliseconds without a byte from a client logged in: RFC 3501 §5.4 allows no less than 30 minutes. IDLE too: RFC 2177 has clients renew it at 29. */
  readonly idleTimeoutMs: number;
  /** Milliseconds between signs of life to a client in IDLE, so that NAT entries stay and dead peers show. */
  readonly stillHereMs: number;
  /** Milliseconds in which a client reads nothing while output waits for it; then it is cut. */
  readonly stalledMs: number;
  /** Milliseconds between two looks at all connections: one timer for all, and the precision of the four above. */
  readonly sweepMs: number;
  /** Connections of one address that are not logged in. Those logged in are the backend's to count, per account. */
  readonly strangersPerAddress: number;
}

export const defaultLimits: Limits = {
  lineOctets: 64 * 1024,
  setOctets: 1024 * 1024,
  literalOctets: 64 * 1024,
  earlyLiteralOctets: 8 * 1024,
  appendOctets: 64 * 1024 * 1024,
  skipOctets: 1024 * 1024 * 1024,
  inputOctets: 64 * 1024,
  outputOctets: 128 * 1024,
  badCommands: 10,
  loginTimeoutMs: 60_000,
  idleTimeoutMs: 30 * 60_000,
  stillHereMs: 2 * 60_000,
  stalledMs: 5 * 60_000,
  sweepMs: 5_000,
  strangersPerAddress: 1_000,
};
