/**
 * The port: what a product must answer when mail is handed over, by SMTP or LMTP. Addresses come as octets made text
 * (UTF-8), local parts as written (quotes and case kept), without angle brackets; '' is the null sender.
 */

export interface Reply {
  readonly code: number;
  /** RFC 3463, e.g. `2.0.0`. */
  readonly enhanced: string;
  readonly text: string;
}

export interface HandOverClient {
  readonly protocol: 'lmtp' | 'smtp';
  readonly address: string;
  readonly port: number;
  readonly helo: string;
  /** The listener it came to, as configured. */
  readonly listener: string;
  /** From XFORWARD / XCLIENT of a trusted client (Postfix): lower-case names without prefix, decoded from xtext. */
  readonly forwarded: Readonly<Record<string, string>>;
  /** Names the connection in logs. */
  readonly id: string;
}

export interface Recipient {
  readonly address: string;
  /** Parameters of RCPT, upper-case names: ORCPT, NOTIFY. */
  readonly params: Readonly<Record<string, string | true>>;
}

export interface Transaction {
  readonly client: HandOverClient;
  readonly sender: string;
  /** Parameters of MAIL, upper-case names: SIZE, BODY, SMTPUTF8, RET, ENVID. */
  readonly params: Readonly<Record<string, string | true>>;
  readonly recipients: readonly Recipient[];
}

export interface Receiver {
  /** May this client hand mail over? A reply refuses it before DATA (554 5.7.1), undefined lets it in. */
  admit(client: HandOverClient): Reply | undefined;
  /**
   * Takes one message. The source is the message after dot-unstuffing, with the CRLF that SMTP puts at its end; it ends
   * early with an error if the client leaves or exceeds a limit, and then nothing may be kept. One reply for all
   * recipients, always (INTEGRATIONS §0.5). What is thrown becomes 451 4.3.0, and nothing may be kept.
   */
  receive(transaction: Transaction, source: AsyncIterable<Uint8Array>): Promise<Reply>;
}
